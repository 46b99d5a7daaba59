//! A filter as it was understood: conditions, joined.

use std::ops::Range;

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// A transport that has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Udp,
    Sctp,
}

/// Which of a packet's two addresses or ports a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Destination,
    Either,
    Both,
}

/// Addresses that agree with one under a mask; no bit of the address is set where the mask has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Net {
    V4 { address: u32, mask: u32 },
    V6 { address: [u32; 4], mask: [u32; 4] },
}

/// Which tag a `vlan` looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    Any,
    Outer,
    Inner,
}

/// Which byte of an ICMP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Icmp {
    Type,
    Code,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Family(Family),
    /// Neither that of IPv4 nor that of IPv6.
    EtherType(u16),
    Protocol {
        family: Option<Family>,
        number: u8,
    },
    EtherAddress {
        side: Side,
        address: [u8; 6],
    },
    Address {
        side: Side,
        net: Net,
    },
    Port {
        transport: Option<Transport>,
        side: Side,
        first: u16,
        last: u16,
    },
    Vlan {
        id: Option<u16>,
        tag: Tag,
        /// Where it stands, for errors.
        at: Range<usize>,
    },
    Multicast,
    Broadcast,
    /// A multicast destination by its IP address.
    GroupAddress(Family),
    Icmp {
        family: Family,
        part: Icmp,
        value: u8,
        equal: bool,
    },
    /// `flags & mask` is `value`, or is not.
    TcpFlags {
        mask: u8,
        value: u8,
        equal: bool,
    },
    Dscp(u8),
    Ecn(u8),
    Fragment,
    Control,
}

impl Condition {
    /// Whether it names control packets: a packet that is one matches by such a condition alone.
    pub(super) fn names_control(&self) -> bool {
        match self {
            Self::Control | Self::EtherType(0x0806) => true,
            Self::Protocol { family, number: 2 } => *family != Some(Family::V6),
            Self::Icmp { family: Family::V6, part: Icmp::Type, value: 130..=137 | 143, equal } => *equal,
            _ => false,
        }
    }
}

/// Conditions, joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expression {
    Is(Condition),
    Not(Box<Expression>),
    All(Vec<Expression>),
    Any(Vec<Expression>),
}

impl Expression {
    pub(super) fn and(self, right: Self) -> Self {
        match self {
            Self::All(mut parts) => {
                parts.push(right);
                Self::All(parts)
            }
            left => Self::All(vec![left, right]),
        }
    }

    pub(super) fn or(self, right: Self) -> Self {
        match self {
            Self::Any(mut parts) => {
                parts.push(right);
                Self::Any(parts)
            }
            left => Self::Any(vec![left, right]),
        }
    }

    /// Where a `vlan` stands that is not denied.
    fn asks_for_tag(&self) -> Option<&Range<usize>> {
        match self {
            Self::Is(Condition::Vlan { at, .. }) => Some(at),
            Self::Is(_) | Self::Not(_) => None,
            Self::All(parts) | Self::Any(parts) => parts.iter().find_map(Self::asks_for_tag),
        }
    }

    /// Of two `vlan` that must both hold the first one means the outer tag and the second one the inner. Where a third
    /// one stands is the error.
    pub(super) fn place_tags(&mut self, place: Tag) -> Result<(), Range<usize>> {
        match self {
            Self::Is(Condition::Vlan { tag, .. }) => *tag = place,
            Self::Is(_) | Self::Not(_) => {}
            Self::Any(parts) => parts.iter_mut().try_for_each(|part| part.place_tags(place))?,
            Self::All(parts) => {
                let asking = parts.iter().filter_map(Self::asks_for_tag);
                let places: &[Tag] = match (asking.clone().count(), place) {
                    (0 | 1, _) => &[place],
                    (_, Tag::Any) => &[Tag::Outer, Tag::Inner],
                    _ => &[place],
                };
                if let Some(at) = asking.clone().nth(places.len()) {
                    return Err(at.clone());
                }
                let asking = parts.iter_mut().filter(|part| part.asks_for_tag().is_some());
                asking.zip(places).try_for_each(|(part, place)| part.place_tags(*place))?;
            }
        }
        Ok(())
    }
}
