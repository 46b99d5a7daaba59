//! A load from the first client to the last packet, and what both ends used in each of its phases.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::ends::{Server, Summary, Tester};
use super::load::Load;
use super::process::{Memory, Places, pause, processor_time};
use crate::Session;

/// How much longer than the ramp-up it may take until all is up.
const CONNECT: Duration = Duration::from_secs(30);
/// What is received of what was to come where a load is carried.
pub(super) const RECEIVED: f64 = 0.999;
/// The share of a window by which its counts may be of another time than its clock says.
const SKEW: f64 = 0.02;
/// How late frames may be sent at the 99th percentile: `shaper webrtc load` says of more that this host cannot carry it.
pub(super) const SLIP_MS: f64 = 20.0;

/// What was used and counted up to a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    at: Instant,
    /// How long before that the counts may have been taken: as long as the server took to tell them.
    since: Duration,
    /// Processor time.
    server: Duration,
    tester: Duration,
    /// RTP packets that the server had received and sent on.
    received: u64,
    forwarded: u64,
}

impl Moment {
    pub(super) fn now(server: &Server, tester: Option<&Tester>) -> Result<Self> {
        let asked = Instant::now();
        // First: a server with much to do answers late, and counts when it answers.
        let counts = server.counts()?;
        let used = processor_time(server.running.pid())?;
        let of_tester = tester.map_or(Ok(Duration::ZERO), |tester| processor_time(tester.running.pid()))?;
        let at = Instant::now();
        Ok(Self {
            at,
            since: at.saturating_duration_since(asked),
            server: used,
            tester: of_tester,
            received: counts.of("rtp_received_total")?,
            forwarded: counts.of("rtp_forwarded_total")?,
        })
    }
}

/// What happened from one moment to another, in seconds and packets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    pub(super) seconds: f64,
    /// Processor time.
    pub(super) server: f64,
    pub(super) tester: f64,
    pub(super) received: f64,
    pub(super) forwarded: f64,
    /// Seconds by which the counts may begin or end before the rest.
    pub(super) skew: f64,
}

impl Window {
    pub(super) fn between(from: &Moment, to: &Moment) -> Self {
        let seconds = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64();
        let count = |from: u64, to: u64| to.saturating_sub(from) as f64;
        Self {
            seconds: to.at.saturating_duration_since(from.at).as_secs_f64(),
            server: seconds(from.server, to.server),
            tester: seconds(from.tester, to.tester),
            received: count(from.received, to.received),
            forwarded: count(from.forwarded, to.forwarded),
            skew: from.since.max(to.since).as_secs_f64(),
        }
    }

    /// Whether too much of what was counted may be of another time.
    pub(super) fn is_skewed(&self) -> bool {
        self.skew > SKEW * self.seconds
    }

    /// Why it has no figures where it is.
    pub(super) fn why_skewed(&self) -> String {
        format!("the server took {:.0} ms to say what it counted in {:.1} s", 1e3 * self.skew, self.seconds)
    }

    /// Nanoseconds of the server's for a packet that it sends on, with its share of what came in.
    pub(super) fn server_a_packet(&self) -> f64 {
        1e9 * self.server / self.forwarded
    }

    /// Nanoseconds of the tester's for a packet that it sends or receives.
    pub(super) fn tester_a_packet(&self) -> f64 {
        1e9 * self.tester / (self.received + self.forwarded)
    }
}

/// Seconds of processor time for a handshake: what was used while `handshakes` of them were made, less what the transports
/// that were already there cost, which is half of what all of them cost afterwards, `idle` for each second.
fn a_handshake(used: f64, seconds: f64, idle: f64, handshakes: f64) -> f64 {
    (used - idle * seconds / 2.0).max(0.0) / handshakes
}

/// Whether a load was carried, and if not, who could not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    Carried,
    Server,
    Tester,
}

/// What a load came to.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    load: Load,
    /// Whether all transports and subscriptions were there.
    is_complete: bool,
    /// From the first client until all transports are up.
    pub(super) ramp: Window,
    /// While all are there.
    pub(super) steady: Window,
    /// Growth since before the first client, in bytes.
    pub(super) server_grew: f64,
    pub(super) tester_grew: f64,
    /// All of the tester's, in bytes, with its share of what others have too.
    pub(super) tester_memory: f64,
    forwarded: u64,
    pub(super) summary: Summary,
}

impl Taken {
    /// Microseconds of processor time for each transport that came up.
    pub(super) fn server_a_handshake(&self) -> f64 {
        let idle = self.steady.server / self.steady.seconds;
        1e6 * a_handshake(self.ramp.server, self.ramp.seconds, idle, self.load.transports() as f64)
    }

    /// The same of the tester.
    pub(super) fn tester_a_handshake(&self) -> f64 {
        let idle = self.steady.tester / self.steady.seconds;
        1e6 * a_handshake(self.ramp.tester, self.ramp.seconds, idle, self.load.transports() as f64)
    }

    /// A share of a total, for each client.
    pub(super) fn a_client(&self, all: f64) -> f64 {
        all / f64::from(self.load.all_clients())
    }

    /// Milliseconds that frames were late.
    pub(super) fn slip(&self) -> f64 {
        self.summary.schedule_slip.map_or(0.0, |slip| slip.p99_ms)
    }

    /// Whether its packets may be those of another time; without media there are none.
    fn is_skewed(&self) -> bool {
        self.load.publishers > 0 && self.steady.is_skewed()
    }

    /// Who could not carry it. What is lost behind the server's counter is the tester's doing: it did not take it. A server
    /// that does not come to say what it counted has more to do than it can.
    pub(super) fn bound(&self) -> Bound {
        let Summary { received_of_expected, packets_expected, frames_skipped, .. } = self.summary;
        let enough = |share: f64| share >= RECEIVED;
        let has_all = self.summary.successful_connections == self.summary.total_clients && self.is_complete;
        // A load without media is carried when its transports are up.
        let all_came = received_of_expected.map_or(self.load.publishers == 0, enough);
        let all_went = packets_expected > 0 && enough(self.forwarded as f64 / packets_expected as f64);
        if self.slip() > SLIP_MS || frames_skipped > 0 {
            Bound::Tester
        } else if has_all && all_came && !self.is_skewed() {
            Bound::Carried
        } else if has_all && !all_came && all_went {
            Bound::Tester
        } else {
            Bound::Server
        }
    }

    /// The first of the tester's findings, in few words.
    pub(super) fn gravest(&self) -> &str {
        self.summary.findings.first().and_then(|finding| finding.split([':', ';']).next()).unwrap_or("no finding")
    }

    /// An error where it was not carried: what was measured is then of something else, and a server with a backlog does not
    /// count all that it sends on.
    pub(super) fn carried(self) -> Result<Self> {
        let Summary { total_clients, successful_connections, .. } = &self.summary;
        let gravest = self.gravest();
        ensure!(
            total_clients == successful_connections,
            "{successful_connections} of {total_clients} clients connected: {gravest}"
        );
        ensure!(self.is_complete, "transports or subscriptions are missing after {} s: {gravest}", CONNECT.as_secs());
        let who = match self.bound() {
            Bound::Carried => return Ok(self),
            Bound::Server => "server",
            Bound::Tester => "tester",
        };
        let received = 100.0 * self.summary.received_of_expected.unwrap_or(0.0);
        let late = if self.is_skewed() { format!("; {}", self.steady.why_skewed()) } else { String::new() };
        bail!("more than the {who} carries: {received:.1} % received, slip {:.1} ms at p99{late}", self.slip())
    }
}

/// How long phases take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phases {
    /// From when all is there to the window.
    pub(super) settle: Duration,
    pub(super) window: Duration,
}

/// Runs a load against a server of its own.
pub(super) fn run(session: &Session, shaper: &Path, places: &Places, load: &Load, phases: Phases) -> Result<Taken> {
    session.check()?;
    let server = Server::start(shaper, &places.server)?;
    let before = Moment::now(&server, None)?;
    let server_rest = Memory::of(server.running.pid())?;
    let tester = Tester::start(shaper, server.http, &load.arguments(), &places.tester)?;
    let tester_used = processor_time(tester.running.pid())?;
    let start = Moment { at: Instant::now(), tester: tester_used, ..before };
    let tester_rest = Memory::of(tester.running.pid())?;
    // Who looks is a load too.
    pause(session, load.ramp_up)?;
    let transports = [("transports_connected_total", load.transports())];
    let subscriptions = [("consumers", load.subscriptions())];
    let is_up = server.wait_for(session, CONNECT, &transports)?;
    let up = Moment::now(&server, Some(&tester))?;
    let is_complete = is_up && server.wait_for(session, CONNECT, &subscriptions)?;
    pause(session, phases.settle)?;
    let from = Moment::now(&server, Some(&tester))?;
    pause(session, phases.window)?;
    let to = Moment::now(&server, Some(&tester))?;
    let [server_has, tester_has] = [server.running.pid(), tester.running.pid()].map(Memory::of);
    let (server_has, tester_has) = (server_has?, tester_has?);
    let summary = tester.end(session)?;
    let forwarded = server.counts()?.of("rtp_forwarded_total")?;
    server.end(session)?;
    let grew = |from: Memory, to: Memory| to.resident as f64 - from.resident as f64;
    Ok(Taken {
        load: *load,
        is_complete,
        ramp: Window::between(&start, &up),
        steady: Window::between(&from, &to),
        server_grew: grew(server_rest, server_has),
        tester_grew: grew(tester_rest, tester_has),
        tester_memory: tester_has.proportional as f64,
        forwarded,
        summary,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::ends::Times;
    use super::super::load::Media;
    use super::*;

    /// A load of 10 clients, one of whom publishes, that was carried.
    pub(in super::super) fn taken() -> Taken {
        let times = Some(Times { p50_ms: 1.0, p99_ms: 2.0 });
        let window =
            Window { seconds: 2.0, server: 0.03, tester: 0.05, received: 100.0, forwarded: 900.0, skew: 0.001 };
        Taken {
            load: Load {
                media: Media::Audio,
                rooms: 1,
                clients: 10,
                publishers: 1,
                received: 1,
                fps: 30,
                ramp_up: Duration::from_secs(2),
            },
            is_complete: true,
            ramp: window,
            steady: Window { seconds: 5.0, server: 0.01, tester: 0.02, ..window },
            server_grew: 1e6,
            tester_grew: 2e6,
            tester_memory: 3e6,
            forwarded: 1000,
            summary: Summary {
                total_clients: 10,
                successful_connections: 10,
                packets_expected: 1000,
                received_of_expected: Some(1.0),
                connection_time: times,
                schedule_slip: times,
                frames_skipped: 0,
                findings: Vec::new(),
            },
        }
    }

    #[test]
    fn a_window_is_what_lies_between_two_moments() {
        let at = Instant::now();
        let moment = |seconds, since, server, tester, received, forwarded| Moment {
            at: at + Duration::from_secs(seconds),
            since: Duration::from_millis(since),
            server: Duration::from_millis(server),
            tester: Duration::from_millis(tester),
            received,
            forwarded,
        };
        let window = Window::between(&moment(0, 30, 100, 50, 10, 90), &moment(4, 10, 140, 110, 1010, 9090));
        let expected =
            Window { seconds: 4.0, server: 0.04, tester: 0.06, received: 1000.0, forwarded: 9000.0, skew: 0.03 };
        assert!((window.server - expected.server).abs() < 1e-12 && (window.tester - expected.tester).abs() < 1e-12);
        assert_eq!((window.seconds, window.received, window.forwarded), (4.0, 1000.0, 9000.0));
        assert!((window.skew - expected.skew).abs() < 1e-12, "the longer of both answers: {window:?}");
        // 40 ms for 9,000 packets sent on, 60 ms for 10,000 in all.
        assert!((window.server_a_packet() - 4444.4).abs() < 0.1, "{window:?}");
        assert!((window.tester_a_packet() - 6000.0).abs() < 1e-6, "{window:?}");
    }

    #[test]
    fn a_handshake_is_without_what_those_cost_that_are_there() {
        // 2 ms a second once all are there: 2 ms in the 2 s of the ramp-up, of 30 ms, for 11 transports.
        let taken = taken();
        assert!((taken.server_a_handshake() - 28_000.0 / 11.0).abs() < 1e-6);
        assert!((taken.tester_a_handshake() - 46_000.0 / 11.0).abs() < 1e-6);
        assert_eq!(a_handshake(0.001, 10.0, 1.0, 10.0), 0.0, "less than nothing is nothing");
        assert_eq!(taken.a_client(taken.server_grew), 100_000.0);
    }

    #[test]
    fn who_could_not_carry_a_load_is_told_apart() {
        let carried = taken();
        assert_eq!(carried.bound(), Bound::Carried);
        let with = |change: fn(&mut Taken)| {
            let mut taken = taken();
            change(&mut taken);
            taken.bound()
        };
        let lost = |taken: &mut Taken| taken.summary.received_of_expected = Some(0.998);
        assert_eq!(with(lost), Bound::Tester, "the server sent it all");
        let not_sent = |taken: &mut Taken| {
            taken.summary.received_of_expected = Some(0.9);
            taken.forwarded = 900;
        };
        assert_eq!(with(not_sent), Bound::Server);
        assert_eq!(with(|taken| taken.is_complete = false), Bound::Server);
        assert_eq!(with(|taken| taken.summary.successful_connections = 9), Bound::Server);
        let late = |taken: &mut Taken| taken.summary.schedule_slip = Some(Times { p50_ms: 1.0, p99_ms: 20.1 });
        assert_eq!(with(late), Bound::Tester);
        assert_eq!(with(|taken| taken.summary.frames_skipped = 1), Bound::Tester);
        // Of 5 s.
        assert_eq!(with(|taken| taken.steady.skew = 0.099), Bound::Carried);
        assert_eq!(with(|taken| taken.steady.skew = 0.101), Bound::Server, "what it counted is of another time");
        assert_eq!(with(|taken| taken.summary.received_of_expected = None), Bound::Tester);
        let silent = |taken: &mut Taken| {
            taken.load.publishers = 0;
            taken.summary.received_of_expected = None;
        };
        assert_eq!(with(silent), Bound::Carried, "nothing was to be sent");
        let silent_and_busy = |taken: &mut Taken| {
            taken.load.publishers = 0;
            taken.summary.received_of_expected = None;
            taken.steady.skew = 0.3;
        };
        assert_eq!(with(silent_and_busy), Bound::Carried, "nor was anything to be counted");
        let lost_and_busy = |taken: &mut Taken| {
            taken.summary.received_of_expected = Some(0.998);
            taken.steady.skew = 0.3;
        };
        assert_eq!(with(lost_and_busy), Bound::Tester, "the server sent it all");
    }

    #[test]
    fn a_load_that_is_not_carried_has_no_figures() {
        let mut lonely = taken();
        lonely.summary.successful_connections = 9;
        lonely.summary.findings = vec!["one-way: client-3 received nothing".to_owned(), "more".to_owned()];
        assert_eq!(lonely.carried().unwrap_err().to_string(), "9 of 10 clients connected: one-way");
        let late = Taken { is_complete: false, ..taken() };
        assert!(late.carried().unwrap_err().to_string().contains("subscriptions are missing"));
        let mut lossy = taken();
        lossy.summary.received_of_expected = Some(0.82);
        lossy.forwarded = 820;
        let why = lossy.carried().unwrap_err().to_string();
        assert_eq!(why, "more than the server carries: 82.0 % received, slip 2.0 ms at p99");
        let mut busy = taken();
        busy.steady.skew = 0.25;
        let why = busy.carried().unwrap_err().to_string();
        assert!(why.ends_with("at p99; the server took 250 ms to say what it counted in 5.0 s"), "{why}");
        assert!(taken().carried().is_ok());
    }
}
