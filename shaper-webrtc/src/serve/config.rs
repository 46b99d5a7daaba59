//! What a server is told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::page::Shape;

/// The settings of a server.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Where HTTP and WebSockets are served. Port 0 takes any that is free.
    pub listen: SocketAddr,
    /// The address that media sockets are bound to.
    pub media_address: IpAddr,
    /// The UDP port of the first shard; shard n has this plus n. 0 takes any that are free.
    pub media_port: u16,
    /// The address that candidates name, if it is not `media_address`: needed where that is
    /// unspecified, or behind one-to-one NAT.
    pub advertise: Option<IpAddr>,
    /// Shards: threads with a UDP port each. A room lives in one.
    pub threads: usize,
    /// Whether each shard is pinned to one CPU of those that this process may use.
    pub pin: bool,
    /// Where the mapping log goes; one that exists is replaced.
    pub map_log: Option<PathBuf>,
    /// Tokens of which WHIP and WHEP requests must bear one; with none, everybody may.
    pub bearer_tokens: Vec<String>,
    /// What an estimate of the bandwidth towards a client begins with, in bits a second.
    pub initial_bitrate: u64,
    /// Whether the page is served, at `/`.
    pub page: bool,
    /// What the page's controls change; with none it has no controls.
    pub shape: Option<Shape>,
    /// Limits.
    pub limits: Limits,
    /// Faults that tests put in.
    pub faults: Faults,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 3000)),
            media_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            media_port: 0,
            advertise: None,
            threads: 1,
            pin: true,
            map_log: None,
            bearer_tokens: Vec::new(),
            initial_bitrate: 2_500_000,
            page: false,
            shape: None,
            limits: Limits::default(),
            faults: Faults::default(),
        }
    }
}

/// How much of anything there may be. What is beyond is refused, with the limit in the message.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Rooms.
    pub rooms: usize,
    /// Participants, WHIP and WHEP clients among them.
    pub clients: usize,
    /// WebSockets and HTTP connections that are open at one time.
    pub connections: usize,
    /// Tracks that one participant sends.
    pub producers_per_client: usize,
    /// Tracks that one participant receives.
    pub consumers_per_client: usize,
    /// Transports of one participant.
    pub transports_per_client: usize,
    /// Layers of one track.
    pub layers: usize,
    /// The longest message or body, in bytes.
    pub message_bytes: usize,
    /// The longest name of a room or participant, in bytes.
    pub name_bytes: usize,
    /// Messages a second that a client may send for long; more are refused.
    pub messages_per_second: u32,
    /// Messages that it may send at once.
    pub message_burst: u32,
    /// A WebSocket on which nothing comes for so long is closed.
    pub idle: Duration,
    /// A WebSocket whose client takes nothing for so long, while there is something for it, is cut off.
    pub unread: Duration,
    /// A participant whose WebSocket is gone is given up after so long.
    pub reconnect: Duration,
    /// A transport that is not connected is given up after so long.
    pub connect: Duration,
    /// A publisher is asked for a key frame at most once in so long, each layer.
    pub key_frame_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rooms: 1000,
            clients: 4000,
            connections: 4096,
            producers_per_client: 8,
            consumers_per_client: 1000,
            transports_per_client: 4,
            layers: 4,
            message_bytes: 65_536,
            name_bytes: 256,
            messages_per_second: 100,
            message_burst: 100,
            idle: Duration::from_secs(300),
            unread: Duration::from_secs(10),
            reconnect: Duration::from_secs(30),
            connect: Duration::from_secs(30),
            key_frame_interval: Duration::from_millis(500),
        }
    }
}

/// Faults of the server's own, so that tests can show that they are told apart from those of a link.
/// No flag sets them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The share of media packets, in millionths, that come in and are not sent on: neither in the
    /// mapping log nor sent again when asked for.
    pub drop_media_ppm: u32,
    /// The seed of which.
    pub seed: u64,
}
