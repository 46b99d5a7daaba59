//! What is asked of each contender, in the words of each.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::bed::TO;
use super::figures::Shape;
use super::probe::Schedule;

pub(super) const DELAY: f64 = 20e-3;
pub(super) const JITTER: f64 = 5e-3;
pub(super) const LOSS: f64 = 0.05;
/// Gilbert-Elliott: into the bad state, in which all is lost, and out of it again.
pub(super) const BAD: f64 = 0.02;
pub(super) const GOOD: f64 = 0.2;
/// Bits a second.
pub(super) const RATE: f64 = 10e6;
/// Bytes of a frame, Ethernet header included, that is sent into the bottleneck.
pub(super) const RATE_FRAME: usize = 1_000;
/// So many at once: 0.32 s of work for the bottleneck.
const RATE_FRAMES: u32 = 400;
/// Datagrams that tell whether a rule applies.
const RULE_PROBES: u32 = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    Delay,
    Uniform,
    Normal,
    Pareto,
    Random,
    Bursts,
    Rate,
    /// So many rules; the packets match the last, which delays them.
    Rules(u32),
}

impl Setting {
    pub(super) fn all(rules: &[u32]) -> Vec<Self> {
        let mut all =
            vec![Self::Delay, Self::Uniform, Self::Normal, Self::Pareto, Self::Random, Self::Bursts, Self::Rate];
        all.extend(rules.iter().map(|count| Self::Rules(*count)));
        all
    }

    pub(super) fn name(self) -> String {
        match self {
            Self::Delay => "delay 20 ms".into(),
            Self::Uniform => "delay 20 ms, jitter 5 ms uniform".into(),
            Self::Normal => "delay 20 ms, jitter 5 ms normal".into(),
            Self::Pareto => "delay 20 ms, jitter 5 ms pareto".into(),
            Self::Random => "loss 5 %".into(),
            Self::Bursts => "loss gemodel 2 % 20 %".into(),
            Self::Rate => "rate 10 Mbit/s".into(),
            Self::Rules(1) => "1 rule".into(),
            Self::Rules(count) => format!("{count} rules"),
        }
    }

    /// The shape of the jitter, where there is any.
    pub(super) fn shape(self) -> Option<Shape> {
        match self {
            Self::Uniform => Some(Shape::Uniform),
            Self::Normal => Some(Shape::Normal),
            Self::Pareto => Some(Shape::Pareto),
            _ => None,
        }
    }

    /// Flags of `shaper`; for rules it is a profile.
    pub(super) fn flags(self) -> &'static str {
        match self {
            Self::Delay | Self::Rules(_) => "--delay 20ms",
            Self::Uniform => "--delay 20ms --jitter 5ms",
            Self::Normal => "--delay 20ms --jitter 5ms --distribution normal",
            Self::Pareto => "--delay 20ms --jitter 5ms --distribution pareto",
            Self::Random => "--loss 5%",
            Self::Bursts => "--loss 'gemodel 2% 20%'",
            Self::Rate => "--rate 10mbit --queue 1s",
        }
    }

    /// The profile of rules, one for each address.
    pub(super) fn profile(self) -> Option<String> {
        let Self::Rules(count) = self else { return None };
        let mut text = String::new();
        for address in addresses(count) {
            let _ = writeln!(text, "[[rule]]\nmatch = \"ip dst host {address}\"\ndelay = \"20ms\"");
        }
        Some(text)
    }

    pub(super) fn schedule(self, probes: u32) -> Schedule {
        let paced = |count, gap| Schedule { count, gap_nanos: gap, frame: 64 };
        match self {
            Self::Delay | Self::Uniform | Self::Normal | Self::Pareto => paced(probes, 1_000_000),
            Self::Random | Self::Bursts => paced(2 * probes, 500_000),
            Self::Rate => Schedule { count: RATE_FRAMES, gap_nanos: 0, frame: RATE_FRAME },
            Self::Rules(_) => paced(RULE_PROBES.min(probes), 1_000_000),
        }
    }

    /// Whether it is measured how many packets a second come through, too.
    pub(super) fn is_flooded(self) -> bool {
        matches!(self, Self::Delay | Self::Rules(_))
    }
}

/// So many addresses, the last of them that which packets go to.
pub(super) fn addresses(count: u32) -> impl Iterator<Item = Ipv4Addr> {
    let others = (0..count.saturating_sub(1)).map(|number| Ipv4Addr::from(0x0b00_0000 + number));
    others.chain((count > 0).then_some(TO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packets_match_the_last_rule_alone() {
        let all: Vec<_> = addresses(3).collect();
        assert_eq!(all, [Ipv4Addr::new(11, 0, 0, 0), Ipv4Addr::new(11, 0, 0, 1), TO]);
        let profile = Setting::Rules(3).profile().unwrap();
        assert_eq!(profile.matches("[[rule]]").count(), 3);
        assert!(profile.trim_end().ends_with("match = \"ip dst host 10.77.0.2\"\ndelay = \"20ms\""));
    }
}
