//! A filter to the masked matches of a rule.

use shaper_common::rules::{Key, Match, flags, words};

use super::ast::{Condition, Expression, Family, Icmp, Net, Side, Tag, Transport};
use super::error::LowerError;
use super::terms::{Term, TooMany, product, simplified, sum};

/// The most matches that a rule may have.
pub const MATCHES: usize = 4096;

/// What a condition is in bits.
enum Form {
    /// These bits.
    Bits(Term),
    /// One of several flags that exclude each other: the others are not set. So what differs in it alone shares a
    /// mask.
    OneOf {
        all: u32,
        flag: u32,
    },
    /// The 16 bits at `shift` of the word with the ports, from the first number to the last.
    Range {
        shift: u32,
        first: u16,
        last: u16,
    },
    Not(Box<Form>),
    All(Vec<Form>),
    Any(Vec<Form>),
}

/// The matches of a whole filter, in a fixed order: a packet matches it where it matches any of them.
pub(super) fn matches(expression: &Expression) -> Result<Vec<Match>, LowerError> {
    let mut terms = terms(expression, true).map_err(|TooMany(count)| LowerError::TooMany { count })?;
    for term in &mut terms {
        if !term.names {
            term.bits.mask.set(words::FLAGS, flags::CONTROL);
        }
        // From here on the mask says it.
        term.names = false;
    }
    // `not control` beside a condition that names it.
    let terms = simplified(terms);
    match terms.len() {
        0 => Err(LowerError::Never),
        1..=MATCHES => Ok(terms.into_iter().map(|term| term.bits).collect()),
        count => Err(LowerError::TooMany { count: count as u64 }),
    }
}

fn terms(expression: &Expression, positive: bool) -> Result<Vec<Term>, TooMany> {
    let mut factors = Vec::new();
    expression.factors(positive, &mut factors)?;
    product(factors)
}

impl Expression {
    /// The sums that must all hold: not multiplied out, so that those about the same bits meet first.
    fn factors(&self, positive: bool, factors: &mut Vec<Vec<Term>>) -> Result<(), TooMany> {
        match self {
            Self::Is(condition) => {
                let begin = factors.len();
                form(condition).factors(positive, factors)?;
                let names = positive && condition.names_control();
                factors.iter_mut().skip(begin).flatten().for_each(|term| term.names = names);
            }
            Self::Not(denied) => denied.factors(!positive, factors)?,
            Self::All(parts) | Self::Any(parts) if matches!(self, Self::All(_)) == positive => {
                parts.iter().try_for_each(|part| part.factors(positive, factors))?;
            }
            Self::All(parts) | Self::Any(parts) => {
                factors.push(sum(parts.iter().map(|part| terms(part, positive)).collect::<Result<_, _>>()?)?);
            }
        }
        Ok(())
    }
}

impl Form {
    /// As [`Expression::factors`].
    fn factors(&self, positive: bool, factors: &mut Vec<Vec<Term>>) -> Result<(), TooMany> {
        match self {
            Self::Not(form) => form.factors(!positive, factors),
            Self::All(forms) | Self::Any(forms) if matches!(self, Self::All(_)) == positive => {
                forms.iter().try_for_each(|form| form.factors(positive, factors))
            }
            _ => {
                factors.push(self.terms(positive)?);
                Ok(())
            }
        }
    }

    /// The sum of products, of the form or of what it leaves.
    fn terms(&self, positive: bool) -> Result<Vec<Term>, TooMany> {
        Ok(match self {
            Self::Bits(term) if positive => vec![*term],
            Self::Bits(term) => term.denied(),
            Self::OneOf { all, flag } if positive => vec![Term::of(words::FLAGS, *all, *flag)],
            Self::OneOf { flag, .. } => vec![Term::of(words::FLAGS, *flag, 0)],
            Self::Range { shift, first, last } if positive => prefixes(*shift, *first, *last),
            Self::Range { shift, first, last } => {
                let below = first.checked_sub(1).map(|below| prefixes(*shift, 0, below));
                let above = last.checked_add(1).map(|above| prefixes(*shift, above, u16::MAX));
                below.into_iter().chain(above).flatten().collect()
            }
            Self::Not(form) => form.terms(!positive)?,
            Self::All(forms) | Self::Any(forms) => {
                let parts = forms.iter().map(|form| form.terms(positive)).collect::<Result<_, _>>()?;
                if matches!(self, Self::All(_)) == positive { product(parts)? } else { sum(parts)? }
            }
        })
    }
}

/// A range as the fewest prefixes.
fn prefixes(shift: u32, first: u16, last: u16) -> Vec<Term> {
    let mut terms = Vec::new();
    let (mut next, end) = (u32::from(first), u32::from(last) + 1);
    while next < end {
        // The largest block that begins here and ends within.
        let aligned = if next == 0 { 16 } else { next.trailing_zeros().min(16) };
        let bits = aligned.min((end - next).ilog2());
        let mask = 0xffff & !((1u32 << bits) - 1);
        terms.push(Term::of(words::LAYER4, mask << shift, next << shift));
        next += 1 << bits;
    }
    terms
}

fn flag(flag: u32) -> Form {
    Form::OneOf { all: flag, flag }
}

fn family(family: Family) -> Form {
    let flag = match family {
        Family::V4 => flags::IPV4,
        Family::V6 => flags::IPV6,
    };
    Form::OneOf { all: flags::IPV4 | flags::IPV6, flag }
}

fn any_family() -> Form {
    Form::Any(vec![family(Family::V4), family(Family::V6)])
}

fn bits(at: usize, mask: u32, value: u32) -> Form {
    Form::Bits(Term::of(at, mask, value))
}

/// A field of the word of types, which is zero where the packet is not IP.
fn of_ip(mask: u32, value: u32) -> Form {
    let field = bits(words::TYPES, mask, value);
    if value == 0 { Form::All(vec![any_family(), field]) } else { field }
}

fn protocol(number: u8) -> Form {
    match number {
        6 => Form::OneOf { all: flags::TCP | flags::UDP, flag: flags::TCP },
        17 => Form::OneOf { all: flags::TCP | flags::UDP, flag: flags::UDP },
        _ => of_ip(0xff00, u32::from(number) << 8),
    }
}

fn sides(side: Side, form: impl Fn(bool) -> Form) -> Form {
    match side {
        Side::Source => form(true),
        Side::Destination => form(false),
        Side::Either => Form::Any(vec![form(true), form(false)]),
        Side::Both => Form::All(vec![form(true), form(false)]),
    }
}

fn ether_address([a, b, c, d, e, f]: [u8; 6], source: bool) -> Form {
    let mut term = Term { bits: Match { mask: Key::ZERO, value: Key::ZERO }, names: false };
    let (first, last) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([e, f]));
    let parts = if source {
        [(1, 0xffff, u32::from(first)), (2, u32::MAX, u32::from_be_bytes([c, d, e, f]))]
    } else {
        [(0, u32::MAX, u32::from_be_bytes([a, b, c, d])), (1, 0xffff_0000, u32::from(last) << 16)]
    };
    for (word, mask, value) in parts {
        term.bits.mask.set(words::ETHERNET + word, mask);
        term.bits.value.set(words::ETHERNET + word, value);
    }
    Form::Bits(term)
}

fn address(net: Net, source: bool) -> Form {
    let at = if source { words::SOURCE } else { words::DESTINATION };
    let mut term = Term { bits: Match { mask: Key::ZERO, value: Key::ZERO }, names: false };
    let mut put = |word: usize, mask: u32, value: u32| {
        term.bits.mask.set(at + word, mask);
        term.bits.value.set(at + word, value);
    };
    let of = match net {
        Net::V4 { address, mask } => {
            put(0, mask, address);
            Family::V4
        }
        Net::V6 { address, mask } => {
            let pairs = mask.into_iter().zip(address);
            pairs.enumerate().for_each(|(word, (mask, value))| put(word, mask, value));
            Family::V6
        }
    };
    Form::All(vec![family(of), Form::Bits(term)])
}

fn vlan(id: Option<u16>, inner: bool) -> Form {
    let (present, shift) = if inner { (flags::TAGGED_TWICE, 0) } else { (flags::TAGGED, 16) };
    match id {
        None => flag(present),
        Some(id) => Form::All(vec![flag(present), bits(words::VLANS, 0xffff << shift, u32::from(id) << shift)]),
    }
}

fn form(condition: &Condition) -> Form {
    match *condition {
        Condition::Family(of) => family(of),
        Condition::EtherType(ethertype) => bits(words::TYPES, 0xffff_0000, u32::from(ethertype) << 16),
        Condition::Protocol { family: None, number } => protocol(number),
        Condition::Protocol { family: Some(of), number } => Form::All(vec![family(of), protocol(number)]),
        Condition::EtherAddress { side, address } => sides(side, |source| ether_address(address, source)),
        Condition::Address { side, net } => sides(side, |source| address(net, source)),
        Condition::Port { transport, side, first, last } => {
            let ports = sides(side, |source| Form::Range { shift: if source { 16 } else { 0 }, first, last });
            let transport = transport.map(|transport| match transport {
                Transport::Tcp => protocol(6),
                Transport::Udp => protocol(17),
                Transport::Sctp => protocol(132),
            });
            Form::All([flag(flags::PORTS), ports].into_iter().chain(transport).collect())
        }
        Condition::Vlan { id, tag, .. } => match tag {
            Tag::Any => Form::Any(vec![vlan(id, false), vlan(id, true)]),
            Tag::Outer => vlan(id, false),
            Tag::Inner => vlan(id, true),
        },
        Condition::Multicast => flag(flags::MULTICAST),
        Condition::Broadcast => flag(flags::BROADCAST),
        // As pcap-filter has it: 224.0.0.0/3, which takes in what is reserved and 255.255.255.255.
        Condition::GroupAddress(Family::V4) => {
            Form::All(vec![family(Family::V4), bits(words::DESTINATION, 0xe000_0000, 0xe000_0000)])
        }
        Condition::GroupAddress(Family::V6) => {
            Form::All(vec![family(Family::V6), bits(words::DESTINATION, 0xff00_0000, 0xff00_0000)])
        }
        Condition::Icmp { family: of, part, value, equal } => {
            let shift = if part == Icmp::Type { 16 } else { 0 };
            let field = bits(words::LAYER4, 0xff << shift, u32::from(value) << shift);
            Form::All(vec![family(of), flag(flags::ICMP), if equal { field } else { Form::Not(Box::new(field)) }])
        }
        Condition::TcpFlags { mask, value, equal } => {
            let field = bits(words::TCP_FLAGS, u32::from(mask), u32::from(value));
            let field = if equal { field } else { Form::Not(Box::new(field)) };
            Form::All(vec![protocol(6), flag(flags::PORTS), field])
        }
        Condition::Dscp(value) => of_ip(0xfc, u32::from(value) << 2),
        Condition::Ecn(value) => of_ip(0x03, u32::from(value)),
        Condition::Fragment => flag(flags::FRAGMENT),
        Condition::Control => flag(flags::CONTROL),
    }
}
