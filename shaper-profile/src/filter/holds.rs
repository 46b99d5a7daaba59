//! Whether a filter holds for a packet, by what it says and without what it compiles to.

use shaper_common::rules::{Key, flags, words};

use super::ast::{Condition, Expression, Family, Icmp, Net, Side, Tag, Transport};

/// Whether the packet matches.
///
/// A control packet does by a way through the filter on which a condition that holds names it.
pub(super) fn matches(expression: &Expression, key: &Key) -> bool {
    let Held { holds, names } = held(expression, key, true);
    if key.has(flags::CONTROL) { names } else { holds }
}

#[derive(Clone, Copy)]
struct Held {
    holds: bool,
    /// It holds in a way that names control packets.
    names: bool,
}

fn held(expression: &Expression, key: &Key, positive: bool) -> Held {
    let all = |parts: &[Expression]| {
        parts.iter().map(|part| held(part, key, positive)).fold(Held { holds: true, names: false }, |left, right| {
            let names = left.names && right.holds || left.holds && right.names;
            Held { holds: left.holds && right.holds, names }
        })
    };
    let any = |parts: &[Expression]| {
        parts.iter().map(|part| held(part, key, positive)).fold(Held { holds: false, names: false }, |left, right| {
            Held { holds: left.holds || right.holds, names: left.names || right.names }
        })
    };
    match expression {
        Expression::Is(condition) => {
            let holds = condition.holds(key) == positive;
            Held { holds, names: holds && positive && condition.names_control() }
        }
        Expression::Not(denied) => held(denied, key, !positive),
        Expression::All(parts) if positive => all(parts),
        Expression::All(parts) => any(parts),
        Expression::Any(parts) if positive => any(parts),
        Expression::Any(parts) => all(parts),
    }
}

impl Side {
    fn of(self, source: bool, destination: bool) -> bool {
        match self {
            Self::Source => source,
            Self::Destination => destination,
            Self::Either => source || destination,
            Self::Both => source && destination,
        }
    }
}

fn ethertype(key: &Key) -> u16 {
    (key.word(words::TYPES) >> 16) as u16
}

fn is_family(key: &Key, family: Family) -> bool {
    match family {
        Family::V4 => ethertype(key) == 0x0800,
        Family::V6 => ethertype(key) == 0x86dd,
    }
}

fn is_ip(key: &Key) -> bool {
    is_family(key, Family::V4) || is_family(key, Family::V6)
}

fn protocol(key: &Key) -> u8 {
    (key.word(words::TYPES) >> 8) as u8
}

fn address(key: &Key, at: usize) -> u128 {
    (0..4).fold(0, |address, word| address << 32 | u128::from(key.word(at + word)))
}

fn ethernet(key: &Key) -> u128 {
    (0..3).fold(0, |bytes, word| bytes << 32 | u128::from(key.word(words::ETHERNET + word)))
}

impl Condition {
    fn holds(&self, key: &Key) -> bool {
        match *self {
            Self::Family(family) => is_family(key, family),
            Self::EtherType(wanted) => ethertype(key) == wanted,
            Self::Protocol { family, number } => {
                family.map_or(is_ip(key), |family| is_family(key, family)) && protocol(key) == number
            }
            Self::EtherAddress { side, address } => {
                let wanted = address.iter().fold(0, |bytes, byte| bytes << 8 | u128::from(*byte));
                let both = ethernet(key);
                side.of(both & 0xffff_ffff_ffff == wanted, both >> 48 == wanted)
            }
            Self::Address { side, net } => {
                let within = |at: usize| match net {
                    Net::V4 { address, mask } => is_family(key, Family::V4) && key.word(at) & mask == address,
                    Net::V6 { address: wanted, mask } => {
                        let whole = |words: [u32; 4]| words.iter().fold(0, |all, word| all << 32 | u128::from(*word));
                        is_family(key, Family::V6) && address(key, at) & whole(mask) == whole(wanted)
                    }
                };
                side.of(within(words::SOURCE), within(words::DESTINATION))
            }
            Self::Port { transport, side, first, last } => {
                let wanted = match transport {
                    None => true,
                    Some(Transport::Tcp) => protocol(key) == 6,
                    Some(Transport::Udp) => protocol(key) == 17,
                    Some(Transport::Sctp) => protocol(key) == 132,
                };
                let ports = key.word(words::LAYER4);
                let within = |port: u32| (u32::from(first)..=u32::from(last)).contains(&port);
                key.has(flags::PORTS) && wanted && side.of(within(ports >> 16), within(ports & 0xffff))
            }
            Self::Vlan { id, tag, .. } => {
                let ids = key.word(words::VLANS);
                let is = |found: u32| id.is_none_or(|wanted| u32::from(wanted) == found);
                let outer = key.has(flags::TAGGED) && is(ids >> 16);
                let inner = key.has(flags::TAGGED_TWICE) && is(ids & 0xffff);
                match tag {
                    Tag::Any => outer || inner,
                    Tag::Outer => outer,
                    Tag::Inner => inner,
                }
            }
            Self::Multicast => ethernet(key) >> 88 & 1 == 1,
            Self::Broadcast => ethernet(key) >> 48 == 0xffff_ffff_ffff,
            Self::GroupAddress(family) => {
                let first = key.word(words::DESTINATION) >> 24;
                is_family(key, family)
                    && match family {
                        Family::V4 => first >= 224,
                        Family::V6 => first == 255,
                    }
            }
            Self::Icmp { family, part, value, equal } => {
                let message = key.word(words::LAYER4);
                let found = match part {
                    Icmp::Type => message >> 16,
                    Icmp::Code => message & 0xffff,
                };
                key.has(flags::ICMP) && is_family(key, family) && (found == u32::from(value)) == equal
            }
            Self::TcpFlags { mask, value, equal } => {
                let found = key.word(words::TCP_FLAGS) as u8;
                key.has(flags::PORTS) && protocol(key) == 6 && (found & mask == value) == equal
            }
            Self::Dscp(wanted) => is_ip(key) && key.word(words::TYPES) as u8 >> 2 == wanted,
            Self::Ecn(wanted) => is_ip(key) && key.word(words::TYPES) as u8 & 3 == wanted,
            Self::Fragment => key.has(flags::FRAGMENT),
            Self::Control => key.has(flags::CONTROL),
        }
    }
}
