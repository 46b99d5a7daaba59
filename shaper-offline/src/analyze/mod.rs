//! Captures analysed: two points against each other, or one alone.
//!
//! Two points: a survey finds what both captures hold of each packet, whether addresses are
//! rewritten, and how the clocks relate; then both files are merged in order of time. Packets wait
//! for their counterpart for the waiting time, so memory does not grow with the files.

mod alike;
mod capture;
mod clock;
mod density;
mod engine;
mod examples;
mod feed;
mod finding;
mod findings;
mod flow;
mod gaps;
mod hash;
mod key;
mod leaps;
#[cfg(test)]
mod limit_tests;
mod one;
mod orphans;
mod pattern;
mod pending;
mod point;
mod reorder;
mod result;
mod rtp;
mod runs;
mod sightings;
mod sink;
mod survey;
mod tally;
mod text;
mod two;
mod watch;

use std::{path::PathBuf, time::Duration};

use thiserror::Error;

pub use capture::{Capture, Predicate};
pub use clock::{Clock, ClockFound, ClockMethod, ClockStep};
pub use density::{Displacement, ReorderDensity};
pub use finding::{Finding, FindingKind, Sentence, Severity};
pub use flow::FlowKey;
pub use key::Tier;
pub use one::{
    BeganBy, Conversation, Description, Direction, FlowSeen, LinkSession, ProtocolPackets, ProtocolSeen, PtpMessages,
    StunSeen, TcpTotals, ToastSession, one_point, one_point_of,
};
pub use pattern::{FlowPattern, NoFlow};
pub use reorder::Reordering;
pub use result::{Analysis, Damage, Figures, FileFound, FlowFigures, Tiers, Totals, Way};
pub use runs::LossRuns;
pub use sink::{Displaced, Ending, Fate, PacketRecord, Sighting, Sink};
pub use two::{Comparison, two_points, two_points_into};

pub(crate) use survey::named_clock;
pub(crate) use {capture::open, hash::mix};

use crate::{anonymize::Key, pcapfile};

/// What an analysis should assume.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What is known of the clocks.
    pub clock: Clock,
    /// Waiting time: what has not arrived after it counts as lost (Tmax of RFC 7680).
    pub waiting: Duration,
    /// Flows listed; the totals always hold all.
    pub flows: usize,
    /// Addresses and names are told as this key maps them. Paths become `a` and `b`, interfaces their numbers.
    pub anonymize: Option<Key>,
}

impl Default for Options {
    fn default() -> Self {
        Self { clock: Clock::Estimate, waiting: Duration::from_secs(3), flows: 1000, anonymize: None }
    }
}

/// Why an analysis failed.
#[derive(Debug, Error)]
pub enum AnalyzeError {
    /// A capture cannot be read.
    #[error(transparent)]
    Capture(#[from] pcapfile::Error),
    /// The same file twice.
    #[error("{} is given twice: name the captures of two different points, or two interfaces of it", .0.display())]
    SameFile(PathBuf),
    /// An interface that the file does not describe.
    #[error("{} has no interface {wanted}: it has {names}", path.display())]
    NoInterface {
        /// The file.
        path: PathBuf,
        /// Name or number asked for.
        wanted: String,
        /// Numbers and names of those that there are.
        names: String,
    },
    /// A pipe or standard input, for what reads captures several times.
    #[error(
        "{}: a comparison reads each capture several times, and this can be read once: write it to a file first \
         (cat > FILE), compressed or not, and name that",
        .0.display()
    )]
    NotAFile(PathBuf),
}

/// What this module's entry points return.
pub type Result<T> = std::result::Result<T, AnalyzeError>;
