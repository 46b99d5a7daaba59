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
    /// Latency from the payload that a client sent to the payload that another received.
    E2e,
    /// The share of clients whose media flowed.
    Connected,
    /// The share of packets that subscriptions should have brought that they did.
    Received,
    /// How late a load tester was against its own schedule.
    Slip,
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
    /// Everything there is, and nothing is named.
    Whole,
}

impl Figure {
    /// All.
    pub(super) const ALL: [Self; 13] = [
        Self::Loss,
        Self::Arrived,
        Self::Out,
        Self::Matched,
        Self::Reordered,
        Self::Delay,
        Self::Lateness,
        Self::Delivery,
        Self::Exit,
        Self::E2e,
        Self::Connected,
        Self::Received,
        Self::Slip,
    ];

    /// Those that a load of the WebRTC workload measures.
    pub const OF_A_LOAD: [Self; 4] = [Self::E2e, Self::Connected, Self::Received, Self::Slip];

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
            Self::E2e => "e2e",
            Self::Connected => "connected",
            Self::Received => "received",
            Self::Slip => "slip",
        }
    }

    pub(super) const fn value(self) -> Value {
        match self {
            Self::Loss | Self::Reordered | Self::Delivery | Self::Connected | Self::Received => Value::Share,
            Self::Arrived | Self::Out | Self::Matched | Self::Exit => Value::Count,
            Self::Delay | Self::Lateness | Self::E2e | Self::Slip => Value::Time,
        }
    }

    pub(super) const fn subject(self) -> Subject {
        match self {
            Self::Delivery => Subject::Peer,
            Self::Exit => Subject::Command,
            Self::E2e | Self::Connected | Self::Received | Self::Slip => Subject::Whole,
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
            Self::Delivery | Self::Slip => "nothing: nothing was sent",
            Self::E2e => "nothing: nothing was received",
            Self::Received => "nothing: nothing was subscribed to",
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
