//! What the figures of a run amount to.

use serde::{Deserialize, Serialize};

/// How grave a finding is, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The run failed, or a figure cannot be trusted.
    Error,
    /// A figure must be read with care.
    Warning,
    /// Good to know.
    Note,
}

impl Severity {
    /// The word shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// What a reader must know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How grave it is.
    pub severity: Severity,
    /// One sentence: what, where, and what to do about it.
    pub text: String,
}

/// What a user demands of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expectation {
    /// The demand, as written.
    pub text: String,
    /// Whether it held.
    pub held: bool,
    /// The figure it was held against, in words.
    pub measured: String,
}

/// A grade, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum GradeLevel {
    /// Delivery of 95 % and more.
    Excellent,
    /// Delivery of 85 % and more.
    Good,
    /// Delivery of 70 % and more.
    Fair,
    /// Less.
    Poor,
}

impl GradeLevel {
    /// The word shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Excellent => "EXCELLENT",
            Self::Good => "GOOD",
            Self::Fair => "FAIR",
            Self::Poor => "POOR",
        }
    }
}

/// How well peers stayed in step, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SyncLevel {
    /// At most one sync failure.
    High,
    /// At most three.
    Medium,
    /// More.
    Low,
}

impl SyncLevel {
    /// The word shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::High => "HIGH",
            Self::Medium => "MEDIUM",
            Self::Low => "LOW",
        }
    }
}

/// A workload's grade: the worst of delivery, spread and re-convergence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grade {
    /// The grade; null where there is none.
    pub result: Option<GradeLevel>,
    /// What decided it, or why there is none and what it would take.
    pub why: String,
    /// What it is made of.
    pub parts: GradeParts,
}

/// The parts of a grade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GradeParts {
    /// Commands delivered among those intended.
    pub delivery: GradePart<GradeLevel>,
    /// Time from the first to the last peer.
    pub spread: GradePart<GradeLevel>,
    /// Time back to the controller's state after an outage.
    pub reconvergence: GradePart<GradeLevel>,
    /// Sync failures, on a scale of their own; no part of the grade.
    pub sync: GradePart<SyncLevel>,
}

/// One part of a grade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GradePart<Level> {
    /// The level reached; null where the run cannot say.
    pub result: Option<Level>,
    /// The figure it rests on, or why there is none.
    pub why: String,
}
