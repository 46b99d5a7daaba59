//! Active queue management: which packets a queue drops or marks before it is full.
//!
//! The queue of [`crate::rate`] is virtual: when a packet comes, the time at which its service will begin is known,
//! because the packets ahead of it are decided already. A management that acts as packets leave the queue is therefore
//! asked at the arrival, with that later time, and one that acts as they enter it with the time of arrival. Either way
//! a packet that is dropped takes no service: the caller asks first, and lets the bottleneck serve what is left.
//!
//! Each file is one management, a function of settings, carried state, times and one draw: [`codel`] (RFC 8289),
//! [`pie`] (RFC 8033), [`pi2`] (RFC 9332, coupled, in a single queue) and [`step`] (RFC 9332, immediate marking of
//! L4S). [`control`] is the controller that PIE and PI2 share.

pub mod codel;
pub mod control;
pub mod fixed;
pub mod pi2;
pub mod pie;
pub mod step;

/// Which management a queue has.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aqm {
    /// None: it drops at the tail.
    #[default]
    None = 0,
    /// [`codel`].
    Codel = 1,
    /// [`pie`].
    Pie = 2,
    /// [`pi2`].
    Pi2 = 3,
    /// [`step`].
    Step = 4,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// It enters the queue as it is.
    #[default]
    Pass,
    /// It enters the queue and is marked Congestion Experienced.
    Mark,
    /// It is dropped, and takes no service.
    Drop,
}

/// The ECN field of the IP header (RFC 3168, RFC 9331).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ecn {
    /// The transport does not understand marks.
    #[default]
    NotEct,
    /// ECT(1): L4S.
    Ect1,
    /// ECT(0): classic.
    Ect0,
    /// Congestion Experienced: marked before it came here.
    Ce,
}

impl Ecn {
    /// The field as it stands in the two lowest bits of the IPv4 TOS or IPv6 traffic class.
    #[inline(always)]
    #[must_use]
    pub const fn of(traffic_class: u8) -> Self {
        match traffic_class & 3 {
            0 => Self::NotEct,
            1 => Self::Ect1,
            2 => Self::Ect0,
            _ => Self::Ce,
        }
    }

    /// Whether a mark may stand for a drop.
    #[inline(always)]
    #[must_use]
    pub const fn is_capable(self) -> bool {
        !matches!(self, Self::NotEct)
    }

    /// Whether the packet is treated as L4S: ECT(1), and CE, which may have been ECT(1) (RFC 9331 section 5.1).
    #[inline(always)]
    #[must_use]
    pub const fn is_l4s(self) -> bool {
        matches!(self, Self::Ect1 | Self::Ce)
    }
}
