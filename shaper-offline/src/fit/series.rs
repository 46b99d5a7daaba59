//! What was measured of one direction: when each packet was sent, and what became of it.

/// One direction's packets in order of sending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// The packets.
    pub packets: Vec<Observed>,
    /// Whether the times of sending are known; else they only number the packets.
    pub timed: bool,
    /// Whether delays are those from end to end; else the clocks' offset is in them, and only differences count.
    pub absolute: bool,
}

/// One packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// When it was sent, in nanoseconds since any epoch.
    pub sent_ns: i64,
    /// What became of it.
    pub fate: Fate,
    /// Its length in bytes of the frame, where that is known.
    pub bytes: Option<u32>,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrived so many nanoseconds behind its sending.
    Arrived(i64),
    /// It arrived, and nobody knows when.
    Untimed,
    /// It was lost.
    Lost,
    /// It met a link that is known to have been down: no loss that comes packet by packet.
    Down,
    /// Nobody knows whether it arrived.
    Unknown,
}

impl Fate {
    /// The delay, where it is known, in nanoseconds.
    #[must_use]
    pub const fn delay_ns(self) -> Option<i64> {
        match self {
            Self::Arrived(delay) => Some(delay),
            Self::Untimed | Self::Lost | Self::Down | Self::Unknown => None,
        }
    }

    /// Whether it was lost packet by packet, where that is known; what met a link that was down says nothing of it.
    #[must_use]
    pub const fn lost(self) -> Option<bool> {
        match self {
            Self::Arrived(_) | Self::Untimed => Some(false),
            Self::Lost => Some(true),
            Self::Down | Self::Unknown => None,
        }
    }
}

impl Series {
    /// Packets in order of sending; those sent at one time stay as they came.
    #[must_use]
    pub fn sorted(mut packets: Vec<Observed>, timed: bool, absolute: bool) -> Self {
        packets.sort_by_key(|packet| packet.sent_ns);
        Self { packets, timed, absolute }
    }
}
