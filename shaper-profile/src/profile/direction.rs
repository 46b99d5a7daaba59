//! What happens to packets of one direction.

use serde::Serialize;
use shaper_common::units::Nanos;

use crate::effect::{
    Aqm, Cell, Corrupt, Distribution, Duplicate, Ecn, LossPosition, Order, Overhead, Policer, Reorder, Scope, Slot,
    TraceRef,
};
use crate::loss::Loss;
use crate::quantity::{Duration, QueueLimit, Rate};

/// Bytes of a full-size Ethernet frame without frame check sequence: what a queue must hold at least.
pub const FULL_PACKET: u64 = 1514;

/// The default queue of a bottleneck is as much as it serves in this time ...
pub const DEFAULT_QUEUE: Duration = Duration::from_millis(100);

/// ... and no less than this many packets of full size.
pub const DEFAULT_QUEUE_PACKETS: u64 = 10;

/// What happens to packets of one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Direction {
    /// Base delay.
    pub delay: Duration,
    /// Half-width of uniform jitter, standard deviation of other jitter.
    pub jitter: Duration,
    /// The distribution of the jitter.
    pub distribution: Distribution,
    /// Time constant of the jitter's correlation; zero where it is independent from packet to packet.
    #[serde(skip_serializing_if = "is_default")]
    pub correlation_time: Duration,
    /// Whether packets may overtake.
    pub order: Order,
    /// How packets are lost.
    pub loss: Loss,
    /// On which side of the bottleneck.
    #[serde(skip_serializing_if = "is_default")]
    pub loss_position: LossPosition,
    /// Whether what would be lost or dropped by queue management is marked instead.
    #[serde(skip_serializing_if = "is_default")]
    pub ecn: Ecn,
    /// Packets that come more than once.
    #[serde(skip_serializing_if = "is_default")]
    pub duplicate: Duplicate,
    /// Packets whose bytes are changed.
    #[serde(skip_serializing_if = "is_default")]
    pub corrupt: Corrupt,
    /// Packets that leave without the delay.
    #[serde(skip_serializing_if = "is_default")]
    pub reorder: Reorder,
    /// Slots in which packets leave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<Slot>,
    /// The bottleneck.
    pub rate: Rate,
    /// Bytes on the wire beside each packet's own, for the bottleneck.
    pub overhead: Overhead,
    /// Cells that packets are cut into, for the bottleneck.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cell: Option<Cell>,
    /// What waits before the bottleneck. Default with a rate: as much as it serves in 100 ms, and no
    /// less than ten packets of 1514 bytes and the overhead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueLimit>,
    /// Active management of that queue.
    #[serde(skip_serializing_if = "is_default")]
    pub aqm: Aqm,
    /// A rate without a queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policer: Option<Policer>,
    /// Whether all packets share draws, chains and order, or those of each flow.
    #[serde(skip_serializing_if = "is_default")]
    pub scope: Scope,
    /// A file of settings over time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceRef>,
}

fn is_default<T: Default + PartialEq>(setting: &T) -> bool {
    *setting == T::default()
}

impl Direction {
    /// The bytes of such a frame on the wire: padded, with the overhead, and in cells.
    #[must_use]
    pub fn wire_bytes(&self, frame: u64) -> u64 {
        let bytes = self.overhead.on_wire(frame);
        self.cell.map_or(bytes, |cell| cell.on_wire(bytes))
    }

    /// Time the bottleneck needs for so many bytes on the wire, rounded down; zero without one.
    #[must_use]
    pub fn service_time(&self, bytes: u64) -> Nanos {
        let bits = u128::from(bytes) * 8_000_000_000;
        bits.checked_div(u128::from(self.rate.0.0))
            .map_or(Nanos::ZERO, |nanos| Nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// The queue as the longest time from a packet's arrival until it is through the bottleneck; zero
    /// without one. Bytes include the overhead; of a queue in packets, that of packets of full size.
    #[must_use]
    pub fn queue_time(&self) -> Nanos {
        if self.rate.is_unlimited() {
            return Nanos::ZERO;
        }
        let packet = self.wire_bytes(FULL_PACKET);
        match self.queue {
            Some(QueueLimit::Bytes(size)) => self.service_time(size.0),
            Some(QueueLimit::Packets(packets)) => self.service_time(packet.saturating_mul(u64::from(packets))),
            Some(QueueLimit::Time(time)) => time.0,
            None => DEFAULT_QUEUE.0.later_of(self.service_time(DEFAULT_QUEUE_PACKETS * packet)),
        }
    }

    /// Whether packets can be delayed at all by delay, jitter, or a table that holds delays of its own.
    #[must_use]
    pub const fn has_delay(&self) -> bool {
        !self.delay.is_zero() || self.has_jitter()
    }

    /// Whether delays can vary.
    #[must_use]
    pub const fn has_jitter(&self) -> bool {
        !self.jitter.is_zero() || self.distribution.is_table()
    }
}
