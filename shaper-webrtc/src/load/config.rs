//! What a load is told.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::sockets::{HostSockets, Sockets};

/// What clients speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// SimplestChat over WebSocket: all clients are in rooms, and some publish.
    #[default]
    SimplestChat,
    /// WHIP: every client publishes.
    Whip,
    /// WHEP: every client receives.
    Whep,
}

/// The size of the picture, and with it the rate of video.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quality {
    /// 854 x 480, 1 Mbit/s.
    P480,
    /// 1280 x 720, 2.5 Mbit/s.
    #[default]
    P720,
    /// 1920 x 1080, 4.5 Mbit/s.
    P1080,
}

impl Quality {
    /// Width and height in pixels.
    #[must_use]
    pub const fn size(self) -> (u16, u16) {
        match self {
            Self::P480 => (854, 480),
            Self::P720 => (1280, 720),
            Self::P1080 => (1920, 1080),
        }
    }

    /// The rate of payloads that is aimed at, in bits a second; layers of simulcast share it.
    #[must_use]
    pub const fn bits_per_second(self) -> u64 {
        match self {
            Self::P480 => 1_000_000,
            Self::P720 => 2_500_000,
            Self::P1080 => 4_500_000,
        }
    }
}

/// The settings of a load.
#[derive(Clone)]
pub struct LoadConfig {
    /// What clients speak.
    pub target: Target,
    /// `ws://HOST:PORT/ws` for SimplestChat, `http://HOST:PORT` for WHIP and WHEP.
    pub server: String,
    /// The bearer token of WHIP and WHEP requests.
    pub token: Option<String>,
    /// How many.
    pub clients: usize,
    /// From the end of the ramp-up to the last packet that is sent.
    pub duration: Duration,
    /// From the first client to the last; none: 5 s up to 100 clients, and 20 clients a second beyond.
    pub ramp_up: Option<Duration>,
    /// How long packets may still come in beyond one second after the last was sent.
    pub drain: Duration,
    /// How long each stage of each client may take.
    pub timeout: Duration,
    /// The room's name; with several rooms a number follows.
    pub room: String,
    /// Rooms; client i is in room i modulo this.
    pub rooms: usize,
    /// Whether audio is sent and received.
    pub audio: bool,
    /// Whether video is.
    pub video: bool,
    /// The share of clients that publish, from 0 to 1: in each room at least one.
    pub publish_ratio: f64,
    /// How many audio tracks a client subscribes to at most.
    pub max_audio: usize,
    /// How many video tracks a client subscribes to at most.
    pub max_video: usize,
    /// Of video.
    pub quality: Quality,
    /// Frames a second.
    pub fps: u32,
    /// Whether senders take no notice of the bandwidth estimate.
    pub fixed_bitrate: bool,
    /// Whether video is sent in three layers, by restriction identifier.
    pub simulcast: bool,
    /// Whether audio is silent half of the time, and silence is hardly sent.
    pub dtx: bool,
    /// Whether audio is in the mode of Opus that has in-band error correction, flagged as there.
    pub fec: bool,
    /// Clients a second that leave and come back.
    pub churn_per_second: f64,
    /// How often each transport restarts ICE.
    pub ice_restart_every: Option<Duration>,
    /// Threads that handle media; none: as many as CPUs that this process may use.
    pub workers: Option<usize>,
    /// Where the packet log goes; one that exists is replaced.
    pub packet_log: Option<PathBuf>,
    /// Who makes sockets.
    pub sockets: Arc<dyn Sockets>,
    /// Faults that are put in.
    pub faults: Faults,
}

impl Default for LoadConfig {
    fn default() -> Self {
        Self {
            target: Target::SimplestChat,
            server: "ws://localhost:3000/ws".to_owned(),
            token: None,
            clients: 5,
            duration: Duration::from_secs(30),
            ramp_up: None,
            drain: Duration::ZERO,
            timeout: Duration::from_secs(15),
            room: "load".to_owned(),
            rooms: 1,
            audio: true,
            video: true,
            publish_ratio: 1.0,
            max_audio: usize::MAX,
            max_video: 4,
            quality: Quality::P720,
            fps: 30,
            fixed_bitrate: false,
            simulcast: false,
            dtx: false,
            fec: false,
            churn_per_second: 0.0,
            ice_restart_every: None,
            workers: None,
            packet_log: None,
            sockets: Arc::new(HostSockets),
            faults: Faults::default(),
        }
    }
}

impl fmt::Debug for LoadConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, server, clients, duration, room, rooms, .. } = self;
        formatter
            .debug_struct("LoadConfig")
            .field("target", target)
            .field("server", server)
            .field("clients", clients)
            .field("duration", duration)
            .field("room", room)
            .field("rooms", rooms)
            .finish_non_exhaustive()
    }
}

/// Clients that start in a second where nobody says how long the ramp-up is.
const STARTS_PER_SECOND: usize = 20;
const SHORTEST_RAMP: Duration = Duration::from_secs(5);

impl LoadConfig {
    /// The ramp-up, as set or scaled with the clients.
    #[must_use]
    pub fn ramp_up(&self) -> Duration {
        let scaled = Duration::from_secs((self.clients / STARTS_PER_SECOND) as u64);
        self.ramp_up.unwrap_or_else(|| scaled.max(SHORTEST_RAMP))
    }
}

/// Faults of the tester's own. Those that no flag sets are for tests, which show that they are told apart from those of a
/// link or a server.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Clients by number, and when they are killed, from the begin of the run: their sockets are closed without a
    /// goodbye on WebSocket or transports, as the kernel closes those of a process that is killed.
    pub kills: Vec<(usize, Duration)>,
    /// Each thread that handles media sleeps so long, and works so long, in turn.
    pub stall: Option<(Duration, Duration)>,
    /// Clients whose media never leaves, by number.
    pub mute: Vec<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ramp_up_grows_with_the_clients_unless_it_is_set() {
        let ramp = |clients, ramp_up| LoadConfig { clients, ramp_up, ..LoadConfig::default() }.ramp_up();
        assert_eq!(ramp(5, None), Duration::from_secs(5));
        assert_eq!(ramp(1000, None), Duration::from_secs(50));
        assert_eq!(ramp(1000, Some(Duration::ZERO)), Duration::ZERO);
    }
}
