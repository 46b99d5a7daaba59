//! What drives traffic in a scenario.

use shaper_common::units::Nanos;

use super::peer::{PeerAt, PeerClock};
use super::webrtc::WebRtcSettings;
use crate::quantity::Duration;

/// A workload of ours: it lasts as long as the scenario.
#[derive(Clone, Debug, PartialEq)]
pub enum BuiltIn {
    /// Multicast sync between the first host and the others.
    Toast(ToastSettings),
    /// A stream of numbered UDP datagrams from the first host to the second.
    Probe(ProbeSettings),
    /// Audio and video between clients behind access links of their own.
    WebRtc(WebRtcSettings),
}

impl BuiltIn {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Toast(_) => "toast",
            Self::Probe(_) => "probe",
            Self::WebRtc(_) => "webrtc",
        }
    }
}

/// As the flags of `shaper run toast`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToastSettings {
    /// From one command to the next.
    pub spacing: Option<Duration>,
    /// Peers that are never started.
    pub absent: Vec<String>,
    /// A peer that joins late.
    pub late: Option<PeerAt>,
    /// A peer that leaves.
    pub leave: Option<PeerAt>,
    /// Whether the last peer commands too.
    pub second_controller: bool,
    /// Beats per minute that every fourth command sets.
    pub tempo: Vec<f64>,
    /// Clocks that are put wrong.
    pub clocks: Vec<PeerClock>,
}

/// A setting that a built-in workload cannot run with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Its key, which is its flag's name.
    pub key: &'static str,
    /// What was asked for, as the flag has it.
    pub value: String,
    /// What there can be.
    pub want: String,
    /// A value that can be, as the flag has it.
    pub example: String,
}

impl ToastSettings {
    /// The least from one command to the next; a controller sends each in a burst of up to a millisecond.
    pub const LEAST_SPACING: Duration = Duration(Nanos(1_000_000));
    /// The fastest tempo that is meant seriously.
    pub const MOST_BPM: f64 = 1_000.0;

    /// Whether these peers can do all of this within that time.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be.
    pub fn check(&self, peers: &[String], duration: Duration) -> Result<(), Unfit> {
        let named = self.absent.iter().map(|peer| ("absent", peer, peer.clone()));
        let at = |at: &PeerAt| format!("{}@{}", at.peer, at.at);
        let named = named.chain(self.late.iter().map(|late| ("late", &late.peer, at(late))));
        let named = named.chain(self.leave.iter().map(|leave| ("leave", &leave.peer, at(leave))));
        let mut named = named.chain(self.clocks.iter().map(|clock| ("clock", &clock.peer, clock.peer.clone())));
        if let Some((key, _, value)) = named.find(|(_, peer, _)| !peers.contains(peer)) {
            let peer = peers.first().map_or("b", String::as_str);
            let example = match key {
                "absent" => peer.to_owned(),
                "clock" => format!("{peer}@2500us,40ppm"),
                _ => format!("{peer}@{}", Duration(Nanos(duration.0.0 / 2))),
            };
            let want = format!("the lab has no such peer: it has {}", peers.join(", "));
            return Err(Unfit { key, value, want, example });
        }
        for (key, at) in [("late", &self.late), ("leave", &self.leave)] {
            if let Some(PeerAt { peer, at }) = at.as_ref().filter(|at| at.at >= duration) {
                let half = Duration(Nanos(duration.0.0 / 2));
                return Err(Unfit {
                    key,
                    value: format!("{peer}@{at}"),
                    want: format!("the run is over by then, after {duration:#}"),
                    example: format!("{peer}@{half}"),
                });
            }
        }
        if let Some(spacing) = self.spacing.filter(|spacing| *spacing < Self::LEAST_SPACING) {
            let most = 1_000_000_000 / Self::LEAST_SPACING.0.0;
            return Err(Unfit {
                key: "spacing",
                value: spacing.to_string(),
                want: format!("want {} or more, that is {most} commands a second at most", Self::LEAST_SPACING),
                example: "100ms".to_owned(),
            });
        }
        match self.tempo.iter().find(|tempo| !(1.0..=Self::MOST_BPM).contains(*tempo)) {
            Some(tempo) => Err(Unfit {
                key: "tempo",
                value: tempo.to_string(),
                want: format!("want 1 to {} beats per minute", Self::MOST_BPM),
                example: "100,140".to_owned(),
            }),
            None => Ok(()),
        }
    }
}

/// As the flags of `shaper run probe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSettings {
    /// From one datagram to the next.
    pub interval: Duration,
    /// Bytes of each payload.
    pub payload: usize,
}

impl ProbeSettings {
    /// The least payload: a mark by which the receiver knows it, and its number.
    pub const LEAST_PAYLOAD: usize = 16;
    /// The largest payload of a UDP datagram that an MTU of 1500 carries whole.
    pub const MOST_PAYLOAD: usize = 1_500 - 20 - 8;
    /// Most packets: what both ends note of each has to fit into memory.
    pub const MOST_PACKETS: u64 = 50_000_000;

    /// How many packets there are in this time.
    #[must_use]
    pub const fn packets_in(&self, duration: Duration) -> u64 {
        match duration.0.0.checked_div(self.interval.0.0) {
            Some(packets) => packets,
            None => 0,
        }
    }

    /// Whether a probe can send so.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be.
    pub fn check(&self) -> Result<(), Unfit> {
        let (least, most) = (Self::LEAST_PAYLOAD, Self::MOST_PAYLOAD);
        if self.interval.is_zero() {
            let want = "there is some time from one packet to the next".to_owned();
            return Err(Unfit { key: "interval", value: "0".to_owned(), want, example: "1ms".to_owned() });
        }
        if !(least..=most).contains(&self.payload) {
            let (value, want) = (self.payload.to_string(), format!("want {least} to {most} bytes"));
            return Err(Unfit { key: "payload", value, want, example: "172".to_owned() });
        }
        Ok(())
    }

    /// Whether it can send so many.
    ///
    /// # Errors
    ///
    /// None, and too many.
    pub fn check_packets(packets: u64) -> Result<(), Unfit> {
        let want = match packets {
            0 => "a probe needs packets".to_owned(),
            1..=Self::MOST_PACKETS => return Ok(()),
            _ => format!("want at most {}", Self::MOST_PACKETS),
        };
        Err(Unfit { key: "packets", value: packets.to_string(), want, example: "10000".to_owned() })
    }
}

impl Default for ProbeSettings {
    fn default() -> Self {
        Self { interval: Duration::from_millis(1), payload: 172 }
    }
}

/// A program that is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What it is called, in expectations and in the names of its files.
    pub name: String,
    /// The program, and its arguments.
    pub command: Vec<String>,
    /// The host that it runs on, or the network namespace; the first host, or that of the interface, where none is named.
    pub on: Option<String>,
    /// When it is started, since the start.
    pub at: Duration,
    /// After which time it is ended, if it has not by itself.
    pub lasts: Option<Duration>,
    /// Whether the run is over without it.
    pub background: bool,
    /// How it is to end, where nobody ends it.
    pub expect_exit: ExpectedExit,
}

/// How a command is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedExit {
    /// With this code.
    Code(u8),
    /// However it likes.
    Any,
}

impl Default for ExpectedExit {
    fn default() -> Self {
        Self::Code(0)
    }
}

/// Why a text is no exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no exit code: write 0 to 255, or \"any\"")]
pub struct NoExit;

impl std::str::FromStr for ExpectedExit {
    type Err = NoExit;

    fn from_str(text: &str) -> Result<Self, NoExit> {
        if text == "any" { Ok(Self::Any) } else { text.parse().map(Self::Code).map_err(|_| NoExit) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Duration = Duration::from_millis(20_000);

    fn checked(settings: &ToastSettings) -> Result<(), Unfit> {
        settings.check(&["b".to_owned()], RUN)
    }

    #[test]
    fn a_tempo_that_is_none_does_not_fit() {
        for value in [0.0, -120.0, f64::NAN, f64::INFINITY, 1e9] {
            let unfit = checked(&ToastSettings { tempo: vec![100.0, value], ..ToastSettings::default() }).unwrap_err();
            assert_eq!((unfit.key, unfit.value), ("tempo", value.to_string()));
        }
    }

    #[test]
    fn commands_closer_than_a_controller_can_send_them_do_not_fit() {
        let spaced = |ns| ToastSettings { spacing: Some(Duration(Nanos(ns))), ..ToastSettings::default() };
        for ns in [0, 1_000, 999_999] {
            assert_eq!(checked(&spaced(ns)).unwrap_err().key, "spacing");
        }
        checked(&spaced(1_000_000)).unwrap();
    }

    #[test]
    fn nobody_comes_or_goes_after_the_end() {
        let at = |ns| Some(PeerAt { peer: "b".to_owned(), at: Duration(Nanos(ns)) });
        for (ns, held) in [(19_999_999_999, true), (20_000_000_000, false), (60_000_000_000, false)] {
            let late = checked(&ToastSettings { late: at(ns), ..ToastSettings::default() });
            let leave = checked(&ToastSettings { leave: at(ns), ..ToastSettings::default() });
            assert_eq!([late.is_ok(), leave.is_ok()], [held; 2]);
        }
    }

    #[test]
    fn a_probe_has_some_packets_that_fit_into_memory_and_the_mtu() {
        let usual = ProbeSettings::default();
        assert_eq!((usual.check(), usual.packets_in(RUN)), (Ok(()), 20_000));
        for (packets, held) in [(0, false), (1, true), (50_000_000, true), (u64::MAX, false)] {
            assert_eq!(ProbeSettings::check_packets(packets).is_ok(), held, "{packets}");
        }
        for (payload, held) in [(15, false), (16, true), (1_472, true), (1_473, false)] {
            assert_eq!(ProbeSettings { payload, ..usual.clone() }.check().is_ok(), held, "{payload}");
        }
        assert_eq!(ProbeSettings { interval: Duration::ZERO, ..usual }.check().unwrap_err().key, "interval");
    }
}
