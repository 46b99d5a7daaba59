//! What drives the traffic of a run.

use serde::Serialize;
use shaper_profile::scenario::{PeerAt, PeerClock, ProbeSettings, ToastSettings, WebRtcSettings};
use shaper_toast::script::Interleaved;

/// Every so-many-th command is a tempo change.
const TEMPO_EVERY: u32 = 4;

/// An offset and skew put into a peer's clock on purpose.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClockInjection {
    /// Whose.
    pub peer: String,
    /// In microseconds.
    pub offset_us: i64,
    /// In parts per million.
    pub skew_ppm: f64,
}

impl From<&PeerClock> for ClockInjection {
    fn from(clock: &PeerClock) -> Self {
        Self { peer: clock.peer.clone(), offset_us: clock.offset_us, skew_ppm: clock.skew_ppm }
    }
}

/// The multicast sync workload.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ToastPlan {
    /// Peers beside the controller.
    pub peers: usize,
    /// Peers that are never started: what a harness must not miss.
    pub absent: Vec<String>,
    /// Peer and time at which it joins, in nanoseconds since the start.
    pub late: Option<(String, u64)>,
    /// Peer and time at which it leaves the group.
    pub leave: Option<(String, u64)>,
    /// Whether the second peer commands too.
    pub second_controller: bool,
    /// Tempo changes among the commands.
    pub tempo: Option<Interleaved>,
    /// Clocks that are put wrong on purpose.
    pub clocks: Vec<ClockInjection>,
    /// From one command to the next in nanoseconds; the least that keeps commands apart if not given.
    pub spacing_ns: Option<u64>,
}

impl ToastPlan {
    /// These settings with so many peers.
    #[must_use]
    pub fn of(settings: &ToastSettings, peers: usize) -> Self {
        let at = |at: &PeerAt| (at.peer.clone(), at.at.0.0);
        let tempo = &settings.tempo;
        Self {
            peers,
            absent: settings.absent.clone(),
            late: settings.late.as_ref().map(at),
            leave: settings.leave.as_ref().map(at),
            second_controller: settings.second_controller,
            tempo: (!tempo.is_empty()).then(|| Interleaved { every: TEMPO_EVERY, values: tempo.clone() }),
            clocks: settings.clocks.iter().map(ClockInjection::from).collect(),
            spacing_ns: settings.spacing.map(|spacing| spacing.0.0),
        }
    }
}

/// The probe stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProbePlan {
    /// How many datagrams.
    pub packets: u64,
    /// From one to the next in nanoseconds.
    pub interval_ns: u64,
    /// Bytes of each payload.
    pub payload: usize,
}

impl ProbePlan {
    /// So many packets of these settings.
    #[must_use]
    pub const fn of(settings: &ProbeSettings, packets: u64) -> Self {
        Self { packets, interval_ns: settings.interval.0.0, payload: settings.payload }
    }
}

/// WebRTC clients, each behind an access link, and the server between them, whose own link is clean.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WebRtcPlan {
    /// Clients.
    pub clients: usize,
    /// Access links. Where there are fewer than clients these take turns, and some share one.
    pub links: usize,
    /// How long all of them send, in nanoseconds: the end of the run. Until then they come one after the other.
    pub sending_ns: u64,
    /// What the tester is told beside what the run decides, as its command line has it.
    pub tester: Vec<String>,
    /// When the server is killed, if it is.
    pub kill: Option<ServerKill>,
}

/// A server that is killed in the middle of the run, as by a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ServerKill {
    /// When, in nanoseconds since the start.
    pub at_ns: u64,
    /// How long after that another one is started in its place, in nanoseconds; none is if not given.
    pub back_after_ns: Option<u64>,
}

impl WebRtcPlan {
    /// The host that the server is on.
    pub const SERVER: &'static str = WebRtcSettings::SERVER;
    /// What the server is called that comes in place of one that was killed.
    pub const SECOND_SERVER: &'static str = "server-2";

    /// These settings; `sending_ns` is for how long all send, in nanoseconds.
    #[must_use]
    pub fn of(settings: &WebRtcSettings, sending_ns: u64) -> Self {
        let kills = settings.kill_clients.iter().map(|(client, at)| format!("--kill-client={client}@{}ns", at.0.0));
        Self {
            clients: settings.clients,
            links: settings.links,
            sending_ns,
            tester: settings.media.iter().cloned().chain(kills).collect(),
            kill: settings.kill_server_at.map(|at| ServerKill {
                at_ns: at.0.0,
                back_after_ns: settings.server_back_after.map(|after| after.0.0),
            }),
        }
    }

    /// The hosts of the lab: the server's, and one for each access link.
    #[must_use]
    pub fn host_names(&self) -> Vec<String> {
        WebRtcSettings::host_names(self.links)
    }
}

/// What drives traffic.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// Multicast sync.
    Toast(ToastPlan),
    /// A probe stream from the first host to the second.
    Probe(ProbePlan),
    /// Clients that send each other audio and video through a server.
    #[serde(rename = "webrtc")]
    WebRtc(WebRtcPlan),
    /// The commands of a scenario alone.
    Commands,
}

impl Workload {
    /// The name used in output.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Toast(_) => "toast",
            Self::Probe(_) => "probe",
            Self::WebRtc(_) => "webrtc",
            Self::Commands => "commands",
        }
    }

    /// Whether it needs a switch that snoops.
    #[must_use]
    pub const fn is_multicast(&self) -> bool {
        !matches!(self, Self::WebRtc(_))
    }

    /// Hosts of the lab.
    #[must_use]
    pub const fn hosts(&self) -> usize {
        match self {
            Self::Toast(plan) => plan.peers + 1,
            Self::WebRtc(plan) => plan.links + 1,
            Self::Probe(_) | Self::Commands => 2,
        }
    }
}
