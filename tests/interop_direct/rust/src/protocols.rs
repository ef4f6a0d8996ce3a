//! What every peer serves.

use std::io;

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::{Stream, StreamProtocol};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::tell;

/// Copies until EOF, then ends its own side.
pub const ECHO: StreamProtocol = StreamProtocol::new("/echo/1.0.0");
/// Reads until EOF, and only then answers, with the SHA-256.
pub const DIGEST: StreamProtocol = StreamProtocol::new("/digest/1.0.0");
/// `l`: the listener resets; `d`: it echoes that, and tells how the stream ends.
pub const RESET: StreamProtocol = StreamProtocol::new("/reset/1.0.0");
pub const ALL: [StreamProtocol; 3] = [ECHO, DIGEST, RESET];

/// A stream that is dropped before it is closed is reset.
pub async fn serve(mut stream: Stream, protocol: StreamProtocol) {
    let served = match protocol.as_ref() {
        "/echo/1.0.0" => echo(&mut stream).await,
        "/digest/1.0.0" => digest(&mut stream).await,
        _ => reset(&mut stream).await,
    };
    if let Err(error) = served {
        eprintln!("{protocol}: {error:?}");
    }
}

async fn echo(stream: &mut Stream) -> io::Result<()> {
    let mut chunk = vec![0; 65536];
    loop {
        let size = stream.read(&mut chunk).await?;
        if size == 0 {
            return stream.close().await;
        }
        stream.write_all(&chunk[..size]).await?;
        stream.flush().await?;
    }
}

async fn digest(stream: &mut Stream) -> io::Result<()> {
    let mut content = Vec::new();
    stream.read_to_end(&mut content).await?;
    stream.write_all(&Sha256::digest(&content)).await?;
    stream.close().await
}

async fn reset(stream: &mut Stream) -> io::Result<()> {
    let mut order = [0];
    stream.read_exact(&mut order).await?;
    if order == *b"d" {
        stream.write_all(&order).await?;
        stream.flush().await?;
        let how = how_it_ended(stream).await;
        tell(json!({"event": "stream-ended", "how": how}));
    }
    Ok(())
}

pub async fn how_it_ended(stream: &mut Stream) -> String {
    match stream.read_to_end(&mut Vec::new()).await {
        Ok(_) => "eof".into(),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => "reset".into(),
        Err(error) => format!("{error:?}"),
    }
}
