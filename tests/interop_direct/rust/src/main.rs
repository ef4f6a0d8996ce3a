//! A libp2p peer on rust-libp2p that speaks webrtc-direct, driven by lines of JSON; ../README.md has the protocol.

mod dialer;
mod protocols;
mod streams;

use std::{collections::HashMap, error::Error, time::Duration};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder, Transport,
    core::muxing::StreamMuxerBox,
    identify,
    multiaddr::Protocol,
    ping,
    swarm::{NetworkBehaviour, SwarmEvent, dial_opts::DialOpts},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    sync::mpsc,
    time::Instant,
};

use crate::dialer::Dialer;

pub fn tell(value: Value) {
    println!("{value}");
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    streams: streams::Behaviour,
}

/// A command whose answer is an event of the swarm.
struct Pending {
    id: Value,
    command: String,
    since: Instant,
}

struct Peer {
    swarm: Swarm<Behaviour>,
    opener: mpsc::UnboundedSender<streams::Open>,
    remote: Option<PeerId>,
    pending: Vec<Pending>,
    identified: HashMap<PeerId, identify::Info>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let (opener, opening) = mpsc::unbounded_channel();
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_other_transport(|key| {
            let certificate = libp2p_webrtc::tokio::Certificate::generate(&mut rand::rng())?;
            Ok(
                libp2p_webrtc::tokio::Transport::new(key.clone(), certificate)
                    .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection))),
            )
        })?
        .with_behaviour(|key| Behaviour {
            identify: identify::Behaviour::new(identify::Config::new(
                "/ipfs/0.1.0".into(),
                key.public(),
            )),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(Duration::from_secs(1))),
            streams: streams::Behaviour::new(opening),
        })?
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(Duration::from_secs(3600))
                .with_max_negotiating_inbound_streams(512)
        })
        .build();
    // Without a listener the transport has no socket to dial from.
    swarm.listen_on("/ip4/127.0.0.1/udp/0/webrtc-direct".parse()?)?;
    while !matches!(
        swarm.select_next_some().await,
        SwarmEvent::NewListenAddr { .. }
    ) {}

    let mut peer = Peer {
        swarm,
        opener,
        remote: None,
        pending: Vec::new(),
        identified: HashMap::new(),
    };
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) => peer.take(serde_json::from_str(&line)?),
                None => break,
            },
            event = peer.swarm.select_next_some() => peer.on_event(event),
        }
    }
    peer.close_all().await;
    Ok(())
}

impl Peer {
    fn take(&mut self, request: Value) {
        let id = request["id"].clone();
        let command = request["command"].as_str().unwrap_or_default().to_owned();
        let started = match command.as_str() {
            "listen" => parse_address(&request)
                .and_then(|address| Ok(self.swarm.listen_on(address).map(|_| ())?)),
            "dial" => parse_address(&request).and_then(|address| self.dial(address)),
            "close" => {
                self.remote
                    .map(|remote| self.swarm.disconnect_peer_id(remote));
                Ok(())
            }
            "identify" | "ping" => Ok(()),
            _ => {
                let dialer = Dialer {
                    opener: self.opener.clone(),
                    remote: self.remote,
                };
                tokio::spawn(async move { answer(id, dialer.run(&command, &request).await) });
                return;
            }
        };
        match started {
            Ok(()) => self.pending.push(Pending {
                id,
                command,
                since: Instant::now(),
            }),
            Err(error) => answer(id, Err(error)),
        }
        self.answer_identify();
    }

    fn dial(&mut self, address: Multiaddr) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Some(Protocol::P2p(remote)) = address.iter().last() else {
            return Err("no peer id in the address".into());
        };
        self.remote = Some(remote);
        Ok(self
            .swarm
            .dial(DialOpts::peer_id(remote).addresses(vec![address]).build())?)
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::NewListenAddr { address, .. } => {
                let address = address.with(Protocol::P2p(*self.swarm.local_peer_id()));
                self.answer("listen", |_| {
                    Ok(json!({"addresses": [address.to_string()]}))
                });
            }
            SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                tell(json!({"event": "connected", "peer": peer_id.to_string()}));
                if self.remote == Some(peer_id) {
                    let peer = peer_id.to_string();
                    self.answer("dial", |seconds| {
                        Ok(json!({"peer": peer, "seconds": seconds}))
                    });
                }
            }
            SwarmEvent::ConnectionClosed { peer_id, .. } => {
                tell(json!({"event": "disconnected", "peer": peer_id.to_string()}));
                self.answer("close", |_| Ok(json!({})));
            }
            SwarmEvent::OutgoingConnectionError { error, .. } => {
                self.answer("dial", |_| Err(format!("{error:?}").into()));
            }
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
                peer_id,
                info,
                ..
            })) => {
                self.identified.insert(peer_id, info);
                self.answer_identify();
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { result, .. })) => match result
            {
                Ok(time) => self.answer("ping", |_| Ok(json!({"seconds": time.as_secs_f64()}))),
                Err(error) => self.answer("ping", |_| Err(error.to_string().into())),
            },
            _ => {}
        }
    }

    fn answer_identify(&mut self) {
        let Some(info) = self.remote.and_then(|remote| self.identified.get(&remote)) else {
            return;
        };
        let protocols: Vec<_> = info
            .protocols
            .iter()
            .map(|protocol| protocol.to_string())
            .collect();
        let agent = info.agent_version.clone();
        self.answer("identify", |seconds| {
            Ok(json!({"agent": agent, "protocols": protocols, "seconds": seconds}))
        });
    }

    fn answer(&mut self, command: &str, result: impl Fn(f64) -> dialer::Result) {
        for done in self
            .pending
            .extract_if(.., |pending| pending.command == command)
        {
            answer(done.id, result(done.since.elapsed().as_secs_f64()));
        }
    }

    async fn close_all(&mut self) {
        let peers: Vec<_> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let closing = async {
            while self.swarm.connected_peers().next().is_some() {
                self.swarm.select_next_some().await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(5), closing).await;
    }
}

fn parse_address(request: &Value) -> Result<Multiaddr, Box<dyn Error + Send + Sync>> {
    Ok(request["address"].as_str().unwrap_or_default().parse()?)
}

fn answer(id: Value, result: dialer::Result) {
    match result {
        Ok(result) => tell(json!({"id": id, "result": result})),
        Err(error) => tell(json!({"id": id, "error": error.to_string()})),
    }
}
