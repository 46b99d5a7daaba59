//! Loss as people write it, the chain of states that it compiles to, and what that comes out as.

mod burst;
mod outcome;

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use shaper_common::loss::{Chain, PATTERN, STATES};
use shaper_common::units::Probability;

use crate::names::suggest;
use crate::quantity::{Percent, QuantityError};

pub use burst::{BurstChain, BurstLength};
pub use outcome::LossOutcome;

/// The words of losses.
const WORDS: [&str; 7] = ["burst", "max", "correlation", "gemodel", "state", "every", "pattern"];

/// How packets are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// Each packet on its own: `5%`.
    Independent(Percent),
    /// In bursts of so many packets in the mean: `5% burst 3`. The simple Gilbert model: what is lost stays lost with
    /// `1 - 1/burst`, and a burst begins with `ratio / ((1 - ratio) burst)`. With `max 10` no burst is longer than that,
    /// while ratio and mean stay: see [`BurstChain`].
    Bursts {
        /// Packets lost in the long run.
        ratio: Percent,
        /// Mean length of a burst.
        burst: BurstLength,
        /// Length of the longest.
        max: Option<NonZeroU32>,
    },
    /// So that the losses of two packets one behind the other have this correlation: `5% correlation 25%`. The ratio is
    /// kept exactly: the chain stays lost with `ratio + correlation (1 - ratio)`, and begins to be with
    /// `ratio (1 - correlation)`.
    Correlated {
        /// Packets lost in the long run.
        ratio: Percent,
        /// Correlation of neighbours.
        correlation: Percent,
    },
    /// Gilbert-Elliott: `gemodel 1% 10% 70% 0.1%`, as netem writes it: p, r, 1-h, 1-k.
    GilbertElliott {
        /// From the good state to the bad.
        p: Percent,
        /// From the bad state to the good.
        r: Percent,
        /// Loss in the bad state, 1-h.
        bad: Percent,
        /// Loss in the good state, 1-k.
        good: Percent,
    },
    /// netem's four states: `state 1% 50% 10% 30% 0.5%`, p13 p31 p32 p23 p14. State 1 receives, 3 loses, 2 receives
    /// within a burst, 4 loses a single packet and goes back to 1.
    FourState {
        /// From receiving into a burst.
        p13: Percent,
        /// Out of a burst.
        p31: Percent,
        /// From losing to receiving within a burst.
        p32: Percent,
        /// Back to losing within a burst.
        p23: Percent,
        /// To a single loss.
        p14: Percent,
    },
    /// The last of every so many packets: `every 10`.
    Every(NonZeroU32),
    /// By a pattern of up to 64 packets that repeats, 1 for what is lost: `pattern 0001`.
    Pattern(Pattern),
}

/// Packets of which some are lost, over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// The first packet by the lowest bit, one for what is lost.
    lost: u64,
    packets: u32,
}

impl FromStr for Pattern {
    type Err = LossError;

    fn from_str(text: &str) -> Result<Self, LossError> {
        let wrong = || LossError::Pattern { text: text.to_owned() };
        let packets = u32::try_from(text.len()).ok().filter(|packets| (1..=PATTERN).contains(packets));
        let mut lost = 0;
        for (place, packet) in text.bytes().enumerate().take(PATTERN as usize) {
            match packet {
                b'0' => {}
                b'1' => lost |= 1 << place,
                _ => return Err(wrong()),
            }
        }
        Ok(Self { lost, packets: packets.ok_or_else(wrong)? })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..self.packets).try_for_each(|place| write!(formatter, "{}", self.lost >> place & 1))
    }
}

impl Default for Loss {
    fn default() -> Self {
        Self::Independent(Percent::ZERO)
    }
}

/// A text that says no loss.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LossError {
    /// One of its figures.
    #[error(transparent)]
    Quantity(#[from] QuantityError),
    /// A length.
    #[error(
        "\"{text}\" is no burst: write the mean number of packets lost in a row, from 1 to 1000000, as in \"5% burst 3\""
    )]
    Burst {
        /// What was written.
        text: String,
    },
    /// The longest burst.
    #[error(
        "\"{text}\" is no longest burst: write a whole number of packets from 1 to 1000000, as in \"5% burst 3 max 10\""
    )]
    Max {
        /// What was written.
        text: String,
    },
    /// A number of packets.
    #[error("\"{text}\" is no number of packets: write a whole one from 1, as in \"every 10\" for one lost of ten")]
    Every {
        /// What was written.
        text: String,
    },
    /// A pattern.
    #[error(
        "\"{text}\" is no pattern: write 1 to 64 times 0 or 1, 1 for a packet that is lost, as in \"pattern 0001\""
    )]
    Pattern {
        /// What was written.
        text: String,
    },
    /// Words.
    #[error(
        "\"{text}\" is no loss{}: write \"5%\", \"5% burst 3\", \"5% burst 3 max 10\", \"5% correlation 25%\", \"gemodel 1% 10% 70% 0.1%\" \
         (p r 1-h 1-k), \"state 1% 50% 10% 30% 0.5%\" (p13 p31 p32 p23 p14), \"every 10\", or \"pattern 0001\"",
        near.map(|near| format!(" (did you mean \"{near}\"?)")).unwrap_or_default()
    )]
    Words {
        /// What was written.
        text: String,
        /// The known word that is nearest to one that is not known, where one is near.
        near: Option<&'static str>,
    },
    /// Figures that no chain has.
    #[error("\"{text}\": {problem}")]
    Impossible {
        /// What was written.
        text: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

impl Loss {
    /// Whether nothing is lost.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The probability of losing each packet on its own; none where there is a chain.
    #[must_use]
    pub fn probability(&self) -> Probability {
        match self {
            Self::Independent(ratio) => ratio.probability(),
            _ => Probability::NEVER,
        }
    }

    /// Losses in bursts, as they are compiled.
    #[must_use]
    pub fn bursts(&self) -> Option<BurstChain> {
        match *self {
            Self::Bursts { ratio, burst, max } => Some(BurstChain::new(ratio.fraction(), burst, max)),
            _ => None,
        }
    }

    /// The chain of states, where losses are correlated. One of bursts that are cut is right once they are cut: see
    /// [`BurstChain::max`].
    #[must_use]
    pub fn chain(&self) -> Option<Chain> {
        let of = |percent: Percent| percent.fraction();
        // By state: the probability of a loss, and of going to other states.
        let states: [(f64, [(u32, f64); 2]); STATES] = match *self {
            Self::Independent(_) | Self::Every(_) | Self::Pattern(_) => return None,
            Self::Bursts { ratio, burst, max } => {
                let chain = BurstChain::new(of(ratio), burst, max);
                two_states(outcome::fraction(chain.start), outcome::fraction(chain.leave), 1.0, 0.0)
            }
            Self::Correlated { ratio, correlation } => {
                let (q, rho) = (of(ratio), of(correlation));
                two_states(q * (1.0 - rho), (1.0 - q) * (1.0 - rho), 1.0, 0.0)
            }
            Self::GilbertElliott { p, r, bad, good } => two_states(of(p), of(r), of(bad), of(good)),
            Self::FourState { p13, p31, p32, p23, p14 } => [
                (0.0, [(2, of(p13)), (3, of(p14))]),
                (0.0, [(2, of(p23)), (0, 0.0)]),
                (1.0, [(0, of(p31)), (1, of(p32))]),
                (1.0, [(0, 1.0), (0, 0.0)]),
            ],
        };
        let mut chain = Chain::default();
        for (place, (lose, [(first, to_first), (second, to_second)])) in states.into_iter().enumerate() {
            chain.lose[place] = threshold(lose);
            chain.leave[place] = [threshold(to_first), threshold(to_first + to_second)];
            chain.to[place] = [first, second];
        }
        chain.longest = match *self {
            Self::Bursts { max: Some(longest), .. } => longest.get(),
            _ => 0,
        };
        let share = match *self {
            Self::Bursts { ratio, max: Some(_), .. } => [1.0 - of(ratio), of(ratio), 0.0, 0.0],
            _ => outcome::stationary(&chain),
        };
        chain.first = [threshold(share[0]), threshold(share[0] + share[1]), threshold(share[0] + share[1] + share[2])];
        Some(chain)
    }

    /// Packets after which losses repeat, zero where they do not, and which of them are lost.
    #[must_use]
    pub(crate) fn pattern(&self) -> (u32, u64) {
        match *self {
            Self::Every(packets) => (packets.get(), 1 << ((packets.get() - 1) % PATTERN)),
            Self::Pattern(Pattern { lost, packets }) => (packets, lost),
            _ => (0, 0),
        }
    }

    /// The ratio that was asked for by name.
    #[must_use]
    pub fn ratio(&self) -> Option<Percent> {
        match self {
            Self::Independent(ratio) | Self::Bursts { ratio, .. } | Self::Correlated { ratio, .. } => Some(*ratio),
            _ => None,
        }
    }

    /// What comes out in the long run, by the thresholds that the link has.
    #[must_use]
    pub fn outcome(&self) -> LossOutcome {
        if let Some(bursts) = self.bursts().filter(|bursts| bursts.max.is_some()) {
            return bursts.outcome();
        }
        match (self.chain(), self.pattern()) {
            (Some(chain), _) => LossOutcome::of(&chain),
            (None, (period @ 1.., pattern)) => LossOutcome::repeating(period, pattern),
            (None, _) => LossOutcome::independent(self.probability().0 as f64 / 2f64.powi(32)),
        }
    }

    /// The reason why no chain has these figures.
    fn impossible(&self) -> Option<String> {
        let of = |percent: Percent| percent.fraction();
        match *self {
            Self::Bursts { ratio, burst, max } => {
                let (q, length) = (of(ratio), burst.packets());
                if q >= 1.0 {
                    return Some("what loses every packet has no bursts: write \"100%\"".into());
                }
                if let Some(most) = max.filter(|most| length > 1.0 && length >= f64::from(most.get())) {
                    return Some(format!(
                        "the mean of bursts is less than the longest: write a max above {burst}, as in \
                         \"{ratio} burst {burst} max {}\"",
                        most.get().max(length.ceil() as u32).saturating_mul(3)
                    ));
                }
                let least = q / (1.0 - q);
                (length < least).then(|| {
                    format!("bursts that short cannot lose that much: write burst {:.3} or more", least.max(1.0))
                })
            }
            Self::Correlated { correlation, .. } if of(correlation) >= 1.0 => {
                Some("correlated in full, all packets have the fate of the first: write 99.9% or less".into())
            }
            Self::GilbertElliott { r, .. } if r.is_zero() => {
                Some("the bad state is never left: write an r above 0%, as in \"gemodel 1% 10%\"".into())
            }
            Self::FourState { p13, p31, p32, p23, p14 } => {
                if of(p13) + of(p14) > 1.0 {
                    Some("p13 and p14 leave the same state: together they are 100% at most".into())
                } else if of(p31) + of(p32) > 1.0 {
                    Some("p31 and p32 leave the same state: together they are 100% at most".into())
                } else if p31.is_zero() || (!p32.is_zero() && p23.is_zero()) {
                    Some("a burst never ends: write a p31 above 0%, and a p23 above 0% beside p32".into())
                } else {
                    None
                }
            }
            _ => None,
        }
    }
}

/// A good state, 0, and a bad one, 1; the others are never taken.
fn two_states(p: f64, r: f64, bad: f64, good: f64) -> [(f64, [(u32, f64); 2]); STATES] {
    [(good, [(1, p), (0, 0.0)]), (bad, [(0, r), (0, 0.0)]), (0.0, [(0, 0.0); 2]), (0.0, [(0, 0.0); 2])]
}

/// The nearest threshold for a 32-bit draw.
fn threshold(of: f64) -> Probability {
    Probability((of.clamp(0.0, 1.0) * 2f64.powi(32)).round() as u64)
}

impl FromStr for Loss {
    type Err = LossError;

    fn from_str(text: &str) -> Result<Self, LossError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let percent = |word: &str| word.parse::<Percent>().map_err(LossError::from);
        let no_loss = || {
            let is_unknown = |word: &&&str| word.starts_with(char::is_alphabetic) && !WORDS.contains(*word);
            let near = words.iter().find(is_unknown).and_then(|word| suggest(word, &WORDS));
            Err(LossError::Words { text: text.to_owned(), near })
        };
        let loss = match *words.as_slice() {
            ["gemodel", p, r, ref rest @ ..] if rest.len() <= 2 => {
                // netem's defaults: the bad state loses all, the good one nothing.
                let bad = rest.first().copied().unwrap_or("100%");
                let good = rest.get(1).copied().unwrap_or("0%");
                Self::GilbertElliott { p: percent(p)?, r: percent(r)?, bad: percent(bad)?, good: percent(good)? }
            }
            ["state", p13, p31, p32, p23, p14] => Self::FourState {
                p13: percent(p13)?,
                p31: percent(p31)?,
                p32: percent(p32)?,
                p23: percent(p23)?,
                p14: percent(p14)?,
            },
            ["every", packets] => {
                Self::Every(packets.parse().map_err(|_| LossError::Every { text: packets.to_owned() })?)
            }
            ["pattern", pattern] => Self::Pattern(pattern.parse()?),
            [ratio, "burst", length] => Self::Bursts { ratio: percent(ratio)?, burst: length.parse()?, max: None },
            [ratio, "burst", length, "max", most] => {
                let max = most.parse().ok().filter(|max: &NonZeroU32| max.get() <= burst::LONGEST);
                let max = Some(max.ok_or_else(|| LossError::Max { text: most.to_owned() })?);
                Self::Bursts { ratio: percent(ratio)?, burst: length.parse()?, max }
            }
            [ratio, "correlation", correlation] => {
                Self::Correlated { ratio: percent(ratio)?, correlation: percent(correlation)? }
            }
            ["none"] => Self::default(),
            [word] if word.starts_with(char::is_alphabetic) => return no_loss(),
            [] | [_] | [_, "%"] => Self::Independent(percent(text)?),
            _ => return no_loss(),
        };
        match loss.impossible() {
            Some(problem) => Err(LossError::Impossible { text: text.to_owned(), problem }),
            None => Ok(loss),
        }
    }
}

/// As it is read; the alternate form is for people.
impl fmt::Display for Loss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (*self, formatter.alternate()) {
            (Self::Independent(ratio), true) => write!(formatter, "{ratio:#}"),
            (Self::Independent(ratio), false) => write!(formatter, "{ratio}"),
            (Self::Bursts { ratio, burst, max: None }, true) => write!(formatter, "{ratio:#} in bursts of {burst}"),
            (Self::Bursts { ratio, burst, max: None }, false) => write!(formatter, "{ratio} burst {burst}"),
            (Self::Bursts { ratio, burst, max: Some(max) }, true) => {
                write!(formatter, "{ratio:#} in bursts of {burst} and {max} at most")
            }
            (Self::Bursts { ratio, burst, max: Some(max) }, false) => {
                write!(formatter, "{ratio} burst {burst} max {max}")
            }
            (Self::Correlated { ratio, correlation }, true) => {
                write!(formatter, "{ratio:#} with correlation {correlation:#}")
            }
            (Self::Correlated { ratio, correlation }, false) => {
                write!(formatter, "{ratio} correlation {correlation}")
            }
            (Self::GilbertElliott { p, r, bad, good }, true) => {
                write!(formatter, "by Gilbert-Elliott p {p:#}, r {r:#}, 1-h {bad:#}, 1-k {good:#}")
            }
            (Self::GilbertElliott { p, r, bad, good }, false) => write!(formatter, "gemodel {p} {r} {bad} {good}"),
            (Self::FourState { p13, p31, p32, p23, p14 }, true) => {
                write!(formatter, "by four states p13 {p13:#}, p31 {p31:#}, p32 {p32:#}, p23 {p23:#}, p14 {p14:#}")
            }
            (Self::FourState { p13, p31, p32, p23, p14 }, false) => {
                write!(formatter, "state {p13} {p31} {p32} {p23} {p14}")
            }
            (Self::Every(packets), true) => write!(formatter, "of one packet in {packets}"),
            (Self::Every(packets), false) => write!(formatter, "every {packets}"),
            (Self::Pattern(pattern), true) => write!(formatter, "by the pattern {pattern}"),
            (Self::Pattern(pattern), false) => write!(formatter, "pattern {pattern}"),
        }
    }
}

impl serde::Serialize for Loss {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Loss {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_written_reads_back_and_is_told_to_people() {
        for (text, again, told) in [
            ("5%", "5%", "5 %"),
            ("0", "0%", "0 %"),
            ("none", "0%", "0 %"),
            ("5% burst 3", "5% burst 3", "5 % in bursts of 3"),
            ("5% burst 3 max 10", "5% burst 3 max 10", "5 % in bursts of 3 and 10 at most"),
            ("5% burst 1 max 1", "5% burst 1 max 1", "5 % in bursts of 1 and 1 at most"),
            ("5 % ", "5%", "5 %"),
            ("1%  correlation 25%", "1% correlation 25%", "1 % with correlation 25 %"),
            ("gemodel 1% 10%", "gemodel 1% 10% 100% 0%", "by Gilbert-Elliott p 1 %, r 10 %, 1-h 100 %, 1-k 0 %"),
            ("every 10", "every 10", "of one packet in 10"),
            ("pattern 0010", "pattern 0010", "by the pattern 0010"),
            (
                "state 1% 50% 10% 30% 0.5%",
                "state 1% 50% 10% 30% 0.5%",
                "by four states p13 1 %, p31 50 %, p32 10 %, p23 30 %, p14 0.5 %",
            ),
        ] {
            let loss = read(text);
            assert_eq!((loss.to_string().as_str(), format!("{loss:#}").as_str()), (again, told));
            assert_eq!(read(again), loss);
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_can() {
        for (text, words) in [
            ("", "it is empty"),
            ("-1%", "it is negative"),
            ("101%", "it is larger than 100%"),
            ("5% burst 0.5", "from 1 to 1000000"),
            ("5% burst many", "from 1 to 1000000"),
            ("80% burst 2", "write burst 4.000 or more"),
            ("100% burst 2", "write \"100%\""),
            ("5% burst 3 max 2", "write a max above 3, as in \"5% burst 3 max 9\""),
            ("5% burst 3 max 3", "write a max above 3"),
            ("5% burst 3 max 0", "from 1 to 1000000"),
            ("5% burst 3 max 1000001", "from 1 to 1000000"),
            ("5% burst 3 max", "is no loss"),
            ("5% correlation 100%", "99.9% or less"),
            ("5% burst", "\"5% burst 3\""),
            ("gemodel 1%", "\"gemodel 1% 10% 70% 0.1%\""),
            ("gemodel 1% 0%", "an r above 0%"),
            ("state 60% 10% 1% 1% 50%", "together they are 100% at most"),
            ("state 1% 0% 1% 1% 0%", "a p31 above 0%"),
            ("state 1% 10% 1% 0% 0%", "a p23 above 0%"),
            ("random 5%", "is no loss: write"),
            ("5% brust 3", "is no loss (did you mean \"burst\"?): write"),
            ("gemodle 1% 10%", "did you mean \"gemodel\"?"),
            ("every 0", "a whole one from 1"),
            ("every -3", "a whole one from 1"),
            ("pattern 012", "1 to 64 times 0 or 1"),
            ("pattern 11111111111111111111111111111111111111111111111111111111111111110", "1 to 64 times 0 or 1"),
            ("pattern", "is no loss"),
        ] {
            let error = text.parse::<Loss>().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
