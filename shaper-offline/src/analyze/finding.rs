//! A finding: one sentence, and the packets that it is about.

use std::fmt;

use serde::{Serialize, Serializer};

use super::result::Way;

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// No packet was recognised in both captures.
    NothingShared,
    /// The captures may be given in the wrong order.
    WrongOrder,
    /// What was lost of what was sent.
    Loss,
    /// One-way delay.
    Delay,
    /// Variation of delay, where the delay itself is not known.
    DelayVariation,
    /// Packets that arrived out of order.
    Reordered,
    /// Further copies.
    Duplicated,
    /// Packets that arrived with other content.
    Corrupted,
    /// TCP data that arrived in other segments.
    Resegmented,
    /// Missing without proof of loss.
    Unmatched,
    /// Sent while the other capture did not run.
    Edge,
    /// Arrived without having been seen sent.
    ArrivalsOnly,
    /// Lost packets that may be what arrived unknown.
    PerhapsDamaged,
    /// The clocks cannot be related: traffic went one way.
    ClockOneDirection,
    /// The clocks cannot be related: their estimates disagree.
    ClockDisagrees,
    /// A clock was set while the captures ran.
    ClockStepped,
    /// How far one-way delays may be off.
    ClockBound,
    /// Nothing tells directions.
    NoDirection,
    /// A capture without packets.
    EmptyCapture,
    /// A capture of which no packet was chosen.
    NothingChosen,
    /// A capture that is cut off.
    CutOff,
    /// A capture that is damaged: what stands behind the damage was not read.
    Damaged,
    /// Packets that a capture lost.
    CaptureDrops,
    /// Stamps that go backwards.
    BackwardStamps,
    /// Stamps far from those around them.
    LeapingStamps,
    /// Packets seen again on another interface.
    SeenAgain,
    /// Packets cut shorter than the others.
    CutShort,
    /// Packets that could not be read.
    LeftOut,
    /// Packets at both points without a direction.
    UnplacedPairs,
    /// Packets at one point without a direction.
    Unplaced,
    /// Pairs of packets that look alike.
    Ambiguous,
    /// Packets of flows that are not followed.
    Untracked,
    /// Packets given up before their time.
    Evicted,
}

/// How grave a finding is, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// What was asked cannot be answered, or not of all that was asked about.
    Error,
    /// A figure must be read with care.
    Warning,
    /// A result, or good to know.
    Note,
}

/// What matters about an analysis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about.
    pub kind: FindingKind,
    /// How grave it is.
    pub severity: Severity,
    /// The direction it is of; `None` if of none or both.
    pub way: Option<Way>,
    /// One sentence, or a few.
    pub text: String,
    /// Packets it is about; 0 where it is about none in particular.
    pub count: u64,
    /// Frames of the first ten of them in the first file, as Wireshark counts, from 1.
    pub frames_a: Vec<u64>,
    /// The same in the second file.
    pub frames_b: Vec<u64>,
}

impl Finding {
    pub(super) fn new(kind: FindingKind, severity: Severity, text: impl Into<String>) -> Self {
        Self { kind, severity, way: None, text: text.into(), count: 0, frames_a: Vec::new(), frames_b: Vec::new() }
    }

    pub(super) fn of(self, count: u64) -> Self {
        Self { count, ..self }
    }

    pub(super) fn going(self, way: Way) -> Self {
        Self { way: Some(way), ..self }
    }

    pub(super) fn at(self, [frames_a, frames_b]: [Vec<u64>; 2]) -> Self {
        Self { frames_a, frames_b, ..self }
    }

    /// The sentence, with the frames of the files of these names.
    pub(super) fn within<'a>(&'a self, names: [&'a str; 2]) -> Within<'a> {
        Within { finding: self, names }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.within(["A", "B"]).fmt(f)
    }
}

/// A finding of one capture: a sentence, and how grave it is. In JSON it is the sentence alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// How grave it is.
    pub severity: Severity,
    /// One sentence, or a few.
    pub text: String,
}

impl Sentence {
    pub(super) fn error(text: impl Into<String>) -> Self {
        Self { severity: Severity::Error, text: text.into() }
    }

    pub(super) fn warning(text: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, text: text.into() }
    }

    pub(super) fn note(text: impl Into<String>) -> Self {
        Self { severity: Severity::Note, text: text.into() }
    }
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Sentence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// A finding, shown with the names of its files.
pub(super) struct Within<'a> {
    finding: &'a Finding,
    names: [&'a str; 2],
}

impl fmt::Display for Within<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { text, count, frames_a, frames_b, .. } = self.finding;
        f.write_str(text)?;
        let mut opened = false;
        for (frames, name) in [(frames_a, self.names[0]), (frames_b, self.names[1])] {
            if frames.is_empty() {
                continue;
            }
            f.write_str(if opened { "; " } else { " [frame" })?;
            if !opened && (frames.len() > 1 || *count > 1) {
                f.write_str("s")?;
            }
            if !opened {
                f.write_str(" ")?;
            }
            opened = true;
            for (at, frame) in frames.iter().enumerate() {
                write!(f, "{}{frame}", if at == 0 { "" } else { ", " })?;
            }
            let more = if *count > frames.len() as u64 { " …" } else { "" };
            write!(f, "{more} of {name}")?;
        }
        if opened { f.write_str("]") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frames_of_both_files_stand_behind_the_sentence() {
        let finding = Finding::new(FindingKind::Loss, Severity::Note, "A to B: 3 lost.").of(3);
        assert_eq!(finding.to_string(), "A to B: 3 lost.");
        let finding = finding.at([vec![4, 9], Vec::new()]);
        assert_eq!(finding.within(["a.pcap", "b.pcap"]).to_string(), "A to B: 3 lost. [frames 4, 9 … of a.pcap]");
        let finding = finding.of(1).at([vec![4], vec![5]]);
        assert_eq!(finding.to_string(), "A to B: 3 lost. [frame 4 of A; 5 of B]");
    }
}
