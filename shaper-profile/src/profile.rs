//! The profile of a link: what people write, typed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use shaper_common::delay::Jitter;
use shaper_common::units::Nanos;

use crate::error::Invalid;
use crate::loss::Loss;
use crate::quantity::{Duration, EventRate, QueueLimit, Rate, Size};

/// Bytes of a full-size Ethernet frame without frame check sequence: what a queue must hold at least.
pub const FULL_PACKET: u64 = 1514;

/// The default queue of a bottleneck is as much as it serves in this time ...
pub const DEFAULT_QUEUE: Duration = Duration::from_millis(100);

/// ... and no less than this many packets of full size.
pub const DEFAULT_QUEUE_PACKETS: u64 = 10;

const LONGEST_DELAY: Duration = Duration::from_millis(3_600_000);
const MOST_OVERHEAD: Size = Size(10_000);

/// The distribution of the jitter around the base delay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distribution {
    /// Uniform; jitter is the half-width.
    #[default]
    Uniform,
    /// Normal; jitter is sigma.
    Normal,
}

/// What jitter may do to the order of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Each packet leaves at its own time and may overtake.
    #[default]
    Free,
    /// No packet leaves before its predecessor.
    Keep,
}

impl Order {
    /// The integer form.
    #[must_use]
    pub const fn compiled(self) -> shaper_common::order::Order {
        match self {
            Self::Free => shaper_common::order::Order::Free,
            Self::Keep => shaper_common::order::Order::Keep,
        }
    }
}

impl Distribution {
    /// The integer form; a jitter of zero is none.
    #[must_use]
    pub const fn compiled(self, jitter: Duration) -> Jitter {
        match self {
            _ if jitter.is_zero() => Jitter::None,
            Self::Uniform => Jitter::Uniform,
            Self::Normal => Jitter::Normal,
        }
    }
}

/// A word that is none of those a setting takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not known; write {known}")]
pub struct UnknownWord {
    /// What stood there.
    pub text: String,
    /// What may stand there.
    pub known: &'static str,
}

macro_rules! words {
    ($words:ident, $known:literal, $($name:literal => $value:ident),+) => {
        impl FromStr for $words {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($name => Ok(Self::$value),)+
                    _ => Err(UnknownWord { text: text.to_owned(), known: $known }),
                }
            }
        }

        impl fmt::Display for $words {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(match self {
                    $(Self::$value => $name,)+
                })
            }
        }
    };
}

words!(Distribution, "\"uniform\" or \"normal\"", "uniform" => Uniform, "normal" => Normal);
words!(Order, "\"keep\" or \"free\"", "keep" => Keep, "free" => Free);

/// A named link and where its figures come from. Serialized, it is a profile that reads back the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Profile {
    /// The preset's or file's name.
    pub name: String,
    /// One line.
    pub description: String,
    /// Where the figures come from; may be empty.
    pub source: String,
    /// The link.
    #[serde(flatten)]
    pub link: Link,
}

/// A link: two directions that go down together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Link {
    /// From the first end to the second; in a star, from the host up to the bridge.
    pub a_to_b: Direction,
    /// From the second end to the first; in a star, from the bridge down to the host.
    pub b_to_a: Direction,
    /// When the link carries nothing, in either direction: a link that is down is down both ways.
    pub outages: Outages,
}

/// What happens to packets of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Direction {
    /// Base delay.
    pub delay: Duration,
    /// Half-width of uniform jitter, sigma of normal jitter.
    pub jitter: Duration,
    /// The distribution of the jitter.
    pub distribution: Distribution,
    /// Whether packets may overtake.
    pub order: Order,
    /// How packets are lost.
    pub loss: Loss,
    /// The bottleneck.
    pub rate: Rate,
    /// Bytes on the wire beside each packet's own, for the bottleneck.
    pub overhead: Size,
    /// What waits before the bottleneck. Default with a rate: as much as it serves in 100 ms, and no
    /// less than ten packets of 1514 bytes and the overhead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueLimit>,
}

/// Settings that were given, over others that stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// See [`Direction::delay`].
    pub delay: Option<Duration>,
    /// See [`Direction::jitter`].
    pub jitter: Option<Duration>,
    /// See [`Direction::distribution`].
    pub distribution: Option<Distribution>,
    /// See [`Direction::order`].
    pub order: Option<Order>,
    /// See [`Direction::loss`].
    pub loss: Option<Loss>,
    /// See [`Direction::rate`].
    pub rate: Option<Rate>,
    /// See [`Direction::overhead`].
    pub overhead: Option<Size>,
    /// See [`Direction::queue`].
    pub queue: Option<QueueLimit>,
}

impl Patch {
    /// The direction with what was given.
    #[must_use]
    pub fn apply(&self, base: &Direction) -> Direction {
        let rate = self.rate.unwrap_or(base.rate);
        // A queue belongs to its bottleneck and goes with it.
        let inherited = base.queue.filter(|_| !rate.is_unlimited());
        Direction {
            delay: self.delay.unwrap_or(base.delay),
            jitter: self.jitter.unwrap_or(base.jitter),
            distribution: self.distribution.unwrap_or(base.distribution),
            order: self.order.unwrap_or(base.order),
            loss: self.loss.unwrap_or(base.loss),
            rate,
            overhead: self.overhead.unwrap_or(base.overhead),
            queue: self.queue.or(inherited),
        }
    }
}

impl Direction {
    /// Time the bottleneck needs for so many bytes on the wire, rounded down; zero without one.
    #[must_use]
    pub fn service_time(&self, bytes: u64) -> Nanos {
        let bits = u128::from(bytes) * 8_000_000_000;
        bits.checked_div(u128::from(self.rate.0.0))
            .map_or(Nanos::ZERO, |nanos| Nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// The queue as the longest time from a packet's arrival until it is through the bottleneck; zero
    /// without one. Bytes include the overhead; packets are of full size.
    #[must_use]
    pub fn queue_time(&self) -> Nanos {
        if self.rate.is_unlimited() {
            return Nanos::ZERO;
        }
        let packet = FULL_PACKET + self.overhead.0;
        match self.queue {
            Some(QueueLimit::Bytes(size)) => self.service_time(size.0),
            Some(QueueLimit::Packets(packets)) => self.service_time(packet.saturating_mul(u64::from(packets))),
            Some(QueueLimit::Time(time)) => time.0,
            None => DEFAULT_QUEUE.0.later_of(self.service_time(DEFAULT_QUEUE_PACKETS * packet)),
        }
    }

    /// Whether these settings can be.
    ///
    /// # Errors
    /// A delay or jitter over an hour, an overhead over 10 kB, a queue without a rate, and a queue smaller
    /// than one packet of 1514 bytes and its overhead.
    pub fn check(&self) -> Result<(), Invalid> {
        for (key, value) in [("delay", self.delay), ("jitter", self.jitter)] {
            if value > LONGEST_DELAY {
                return Err(Invalid {
                    key,
                    problem: format!("{value:#} is longer than an hour"),
                    hint: format!("write for example {key} = \"20ms\""),
                });
            }
        }
        if self.overhead > MOST_OVERHEAD {
            return Err(Invalid {
                key: "overhead",
                problem: format!("{:#} a packet is more than {MOST_OVERHEAD:#}", self.overhead),
                hint: "write for example overhead = \"24B\"".to_owned(),
            });
        }
        let Some(queue) = self.queue else { return Ok(()) };
        if self.rate.is_unlimited() {
            return Err(Invalid {
                key: "queue",
                problem: "there is no rate, and nothing waits before a link without a bottleneck".to_owned(),
                hint: "set a rate too, for example rate = \"10mbit\", or leave the queue out".to_owned(),
            });
        }
        let packet = FULL_PACKET + self.overhead.0;
        let needed = self.service_time(packet);
        if self.queue_time() < needed {
            return Err(Invalid {
                key: "queue",
                problem: format!(
                    "{queue:#} is smaller than one packet ({packet} bytes, {:#} at {:#}): none would pass",
                    Duration(needed),
                    self.rate
                ),
                hint: "write for example queue = \"100p\" or queue = \"64kB\"".to_owned(),
            });
        }
        Ok(())
    }
}

/// Outages of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outages {
    /// How often one begins at random while the link is up.
    pub rate: EventRate,
    /// How long each of those lasts.
    pub length: Duration,
    /// Those that begin at set times.
    pub scheduled: Vec<Scheduled>,
}

/// An outage, or a row of them, at set times since the link's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Scheduled {
    /// When the first one begins.
    pub at: Duration,
    /// How long each lasts.
    pub length: Duration,
    /// From one's beginning to the next one's; a single one without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Duration>,
}

impl Outages {
    /// Whether there can be none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.rate.is_zero() && self.scheduled.is_empty()
    }

    /// Whether these settings can be.
    ///
    /// # Errors
    /// Random outages or scheduled ones of no length, and rows whose outages would begin inside another.
    pub fn check(&self) -> Result<(), Invalid> {
        if !self.rate.is_zero() && self.length.is_zero() {
            return Err(Invalid {
                key: "outages.length",
                problem: format!("outages come at {:#} and last no time", self.rate),
                hint: "write for example length = \"500ms\"".to_owned(),
            });
        }
        for outage in &self.scheduled {
            if outage.length.is_zero() {
                return Err(Invalid {
                    key: "outages.scheduled",
                    problem: format!("the outage at {:#} lasts no time", outage.at),
                    hint: "write for example { at = \"10s\", length = \"500ms\" }".to_owned(),
                });
            }
            if outage.every.is_some_and(|every| every <= outage.length) {
                return Err(Invalid {
                    key: "outages.scheduled",
                    problem: format!("the outages from {:#} on last until the next begins", outage.at),
                    hint: "make every longer than length, for example { at = \"5s\", length = \"300ms\", every = \"10s\" }"
                        .to_owned(),
                });
            }
        }
        Ok(())
    }
}

impl Link {
    /// The same in both directions.
    #[must_use]
    pub const fn symmetric(direction: Direction, outages: Outages) -> Self {
        Self { a_to_b: direction, b_to_a: direction, outages }
    }

    /// Whether these settings can be.
    ///
    /// # Errors
    /// See [`Direction::check`] and [`Outages::check`].
    pub fn check(&self) -> Result<(), Invalid> {
        self.a_to_b.check()?;
        self.b_to_a.check()?;
        self.outages.check()
    }
}
