//! The programs by name.

/// The programs of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// A port of an impaired link.
    Link,
    /// The decision for packets given as data.
    Probe,
    /// Benchmarks: nothing.
    Empty,
    /// Benchmarks: the clock alone.
    Clock,
    /// Benchmarks: all of `link` up to the metadata.
    Decision,
    /// Benchmarks: straight on to another device.
    Forward,
    /// Lets everything in, at the far side of a device that packets are redirected to.
    Pass,
    /// Benchmarks: a source of frames.
    Generate,
    /// Leads packets of the first direction to the delay line, at a TC hook.
    DivertForward,
    /// The same of the second direction.
    DivertBackward,
    /// Sends on what comes back from the delay line, at a TC hook.
    ComeBack,
    /// Engine `edt`: lets what arrives at the far end leave by it, at a TC hook.
    TurnRound,
    /// Engine `edt`: gives packets their departure time, at a TC hook.
    Schedule,
    /// Engine `edt`: sends on what departed, at a TC hook.
    Released,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Link,
        Self::Probe,
        Self::Empty,
        Self::Clock,
        Self::Decision,
        Self::Forward,
        Self::Pass,
        Self::Generate,
        Self::DivertForward,
        Self::DivertBackward,
        Self::ComeBack,
        Self::TurnRound,
        Self::Schedule,
        Self::Released,
    ];

    /// The name in the object.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Probe => "probe",
            Self::Empty => "empty",
            Self::Clock => "clock",
            Self::Decision => "decision",
            Self::Forward => "forward",
            Self::Pass => "pass",
            Self::Generate => "generate",
            Self::DivertForward => "divert_forward",
            Self::DivertBackward => "divert_backward",
            Self::ComeBack => "come_back",
            Self::TurnRound => "turn_round",
            Self::Schedule => "schedule",
            Self::Released => "released",
        }
    }

    /// Whether it is one of a TC hook, and not of XDP.
    #[must_use]
    pub const fn is_classifier(self) -> bool {
        matches!(
            self,
            Self::DivertForward
                | Self::DivertBackward
                | Self::ComeBack
                | Self::TurnRound
                | Self::Schedule
                | Self::Released
        )
    }
}
