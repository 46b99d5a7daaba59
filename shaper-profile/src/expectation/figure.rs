//! What can be demanded.

/// A figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// The share of packets that the link dropped, of those that came.
    Loss,
    /// Packets that came.
    Arrived,
    /// Packets that went on, copies among them.
    Out,
    /// Packets found at both points.
    Matched,
    /// The share of packets that came after a later one, of those that arrived.
    Reordered,
    /// One-way delay.
    Delay,
    /// Actual minus intended release.
    Lateness,
    /// The share of what the built-in workload sent that its peer got, or all peers together.
    Delivery,
    /// The code that a command ended with.
    Exit,
}

/// What a figure is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Share,
    Count,
    Time,
}

/// What a figure is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Direction,
    /// One, or all.
    Peer,
    Command,
}

impl Figure {
    /// All.
    pub(super) const ALL: [Self; 9] = [
        Self::Loss,
        Self::Arrived,
        Self::Out,
        Self::Matched,
        Self::Reordered,
        Self::Delay,
        Self::Lateness,
        Self::Delivery,
        Self::Exit,
    ];

    /// Those that a run measures.
    pub const OF_A_RUN: [Self; 8] = [
        Self::Loss,
        Self::Arrived,
        Self::Out,
        Self::Reordered,
        Self::Delay,
        Self::Lateness,
        Self::Delivery,
        Self::Exit,
    ];

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Arrived => "arrived",
            Self::Out => "out",
            Self::Matched => "matched",
            Self::Reordered => "reordered",
            Self::Delay => "delay",
            Self::Lateness => "lateness",
            Self::Delivery => "delivery",
            Self::Exit => "exit",
        }
    }

    pub(super) const fn value(self) -> Value {
        match self {
            Self::Loss | Self::Reordered | Self::Delivery => Value::Share,
            Self::Arrived | Self::Out | Self::Matched | Self::Exit => Value::Count,
            Self::Delay | Self::Lateness => Value::Time,
        }
    }

    pub(super) const fn subject(self) -> Subject {
        match self {
            Self::Delivery => Subject::Peer,
            Self::Exit => Subject::Command,
            _ => Subject::Direction,
        }
    }

    /// Whether it is a distribution, of which a statistic is asked for.
    pub(super) const fn is_distribution(self) -> bool {
        matches!(self.value(), Value::Time)
    }

    /// A value, for example.
    pub(super) const fn example(self) -> &'static str {
        match (self, self.value()) {
            (Self::Exit, _) => "0",
            (_, Value::Share) => "6%",
            (_, Value::Count) => "1000",
            (_, Value::Time) => "1ms",
        }
    }

    /// What is said where nothing was measured.
    pub(super) const fn without(self) -> &'static str {
        match self {
            Self::Exit => "nothing: it did not end with a code of its own",
            Self::Delay | Self::Reordered => "nothing: no packet was seen at both ends",
            Self::Delivery => "nothing: nothing was sent",
            _ => "nothing: no packet came",
        }
    }
}

/// A figure of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// The least.
    Min,
    /// The mean.
    Mean,
    /// The median.
    P50,
    /// The 90th percentile.
    P90,
    /// The 95th percentile.
    P95,
    /// The 99th percentile: what is meant where none is named.
    P99,
    /// The 99.9th percentile.
    P999,
    /// The most.
    Max,
}

impl Statistic {
    pub(super) const ALL: [Self; 8] =
        [Self::Min, Self::Mean, Self::P50, Self::P90, Self::P95, Self::P99, Self::P999, Self::Max];

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Min => "min",
            Self::Mean => "mean",
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::P999 => "p999",
            Self::Max => "max",
        }
    }
}
