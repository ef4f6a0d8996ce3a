//! The commands that the dialing side runs.

use std::{error::Error, io, sync::Arc};

use futures::{AsyncReadExt, AsyncWrite, AsyncWriteExt, future::join_all};
use libp2p::{PeerId, Stream, StreamProtocol};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{
    sync::{Barrier, Semaphore, mpsc, oneshot},
    time::Instant,
};

use crate::{protocols, streams::Open};

pub type Result<T = Value> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Clone)]
pub struct Dialer {
    pub opener: mpsc::UnboundedSender<Open>,
    pub remote: Option<PeerId>,
}

impl Dialer {
    pub async fn run(self, command: &str, request: &Value) -> Result {
        let number = |name: &str| request[name].as_u64().unwrap_or_default() as usize;
        match command {
            "echo" => self.echo(number("bytes"), number("chunk")).await,
            "streams" => self.streams(number("count"), number("at_once")).await,
            "half_close" => self.half_close(number("count"), number("chunk")).await,
            "reset" => self.reset(request["by"] == "dialer").await,
            _ => Err(format!("no command {command:?}").into()),
        }
    }

    async fn open(&self, protocol: StreamProtocol) -> Result<Stream> {
        let (reply, opened) = oneshot::channel();
        let peer = self.remote.ok_or("not connected")?;
        self.opener.send(Open {
            peer,
            protocol,
            reply,
        })?;
        Ok(opened.await??)
    }

    /// Writes in chunks of that size; each is a message of its own, as long as it fits.
    async fn echo(&self, size: usize, chunk: usize) -> Result {
        let content: Vec<u8> = (0..size).map(|_| rand::random()).collect();
        let sent = hex(&Sha256::digest(&content));
        let started = Instant::now();
        let (mut reader, mut writer) = self.open(protocols::ECHO).await?.split();
        let write = write_in_chunks(&mut writer, &content, chunk);
        let mut echoed = vec![0; size];
        futures::try_join!(write, reader.read_exact(&mut echoed))?;
        // Not before all is read: it takes the answer to its FIN for an error.
        writer.close().await?;
        let seconds = started.elapsed().as_secs_f64();
        let received = hex(&Sha256::digest(&echoed));
        Ok(json!({"sent": sent, "received": received, "bytes": echoed.len(), "seconds": seconds}))
    }

    /// All of them are open, and each has been answered once, before the first one ends.
    /// At most so many at once wait for their first answer.
    async fn streams(&self, count: usize, at_once: usize) -> Result {
        let started = Instant::now();
        let places = Arc::new(Semaphore::new(at_once));
        let answered = Arc::new(Barrier::new(count));
        let all = join_all((0..count).map(|number| {
            let (dialer, places, answered) = (self.clone(), places.clone(), answered.clone());
            tokio::spawn(async move {
                dialer
                    .one_of_many(format!("stream {number}"), &places, &answered)
                    .await
            })
        }));
        let failed: Vec<_> = all
            .await
            .into_iter()
            .filter_map(|done| done.map_or_else(|e| Some(e.into()), Result::err))
            .collect();
        match failed.first() {
            Some(error) => Err(format!("{} of {count} streams: {error}", failed.len()).into()),
            None => Ok(json!({"count": count, "seconds": started.elapsed().as_secs_f64()})),
        }
    }

    async fn one_of_many(
        &self,
        text: String,
        places: &Semaphore,
        answered: &Barrier,
    ) -> Result<()> {
        let place = places.acquire().await?;
        let first = self.first_answer(&text).await;
        drop(place);
        answered.wait().await;
        // Nothing is read after that: it takes the answer to its FIN for an error.
        Ok(first?.close().await?)
    }

    async fn first_answer(&self, text: &str) -> Result<Stream> {
        let mut stream = self.open(protocols::ECHO).await?;
        stream.write_all(text.as_bytes()).await?;
        stream.flush().await?;
        let mut echoed = vec![0; text.len()];
        stream.read_exact(&mut echoed).await?;
        if echoed == text.as_bytes() {
            Ok(stream)
        } else {
            Err(format!("sent {text:?}, received {echoed:?}").into())
        }
    }

    async fn half_close(&self, count: usize, chunk: usize) -> Result {
        let started = Instant::now();
        let content: Vec<u8> = (0..100_000).map(|_| rand::random()).collect();
        let expected = Sha256::digest(&content);
        for _ in 0..count {
            let mut stream = self.open(protocols::DIGEST).await?;
            write_in_chunks(&mut stream, &content, chunk).await?;
            stream.close().await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            if answer != expected.as_slice() {
                return Err(format!("{} bytes of answer, not the digest", answer.len()).into());
            }
        }
        Ok(json!({"count": count, "seconds": started.elapsed().as_secs_f64()}))
    }

    async fn reset(&self, by_dialer: bool) -> Result {
        let mut stream = self.open(protocols::RESET).await?;
        stream
            .write_all(if by_dialer { b"d" } else { b"l" })
            .await?;
        stream.flush().await?;
        if by_dialer {
            stream.read_exact(&mut [0]).await?;
            return Ok(json!({}));
        }
        Ok(json!({"how": protocols::how_it_ended(&mut stream).await}))
    }
}

async fn write_in_chunks(
    writer: &mut (impl AsyncWrite + Unpin),
    content: &[u8],
    size: usize,
) -> io::Result<()> {
    for chunk in content.chunks(size) {
        writer.write_all(chunk).await?;
        writer.flush().await?;
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
