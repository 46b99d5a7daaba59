//! Sums of products over the bits of a key: what a filter is while it is compiled.

use std::collections::{HashMap, HashSet};

use shaper_common::rules::{Key, Match, WORDS, flags, words};

/// Pairs of terms that are multiplied out at once.
const PAIRS: u64 = 1 << 17;
/// Terms that are kept between two steps.
const TERMS: usize = 1 << 13;

/// Comparisons of a term with a mask that are made in order to find those that others cover.
const COMPARISONS: usize = 1 << 18;

/// More terms than are worked with: how many there would be.
#[derive(Clone, Copy, Debug)]
pub(super) struct TooMany(pub(super) u64);

/// One product: bits that must be as they are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Term {
    pub(super) bits: Match,
    /// One of its conditions names control packets.
    pub(super) names: bool,
}

/// Flags of a key of which at most one is set.
const EXCLUSIVE: [(u32, u32); 6] = [
    (flags::IPV4, flags::IPV6),
    (flags::TCP, flags::UDP),
    (flags::TCP, flags::ICMP),
    (flags::UDP, flags::ICMP),
    (flags::PORTS, flags::ICMP),
    (flags::PORTS, flags::LATER_FRAGMENT),
];
/// Flags of a key, and others that are set wherever they are.
const IMPLIED: [(u32, u32); 3] = [
    (flags::BROADCAST, flags::MULTICAST),
    (flags::LATER_FRAGMENT, flags::FRAGMENT),
    (flags::TAGGED_TWICE, flags::TAGGED),
];

/// Flags that IP packets alone have.
const OF_IP: u32 = flags::IPV4 | flags::IPV6 | flags::PORTS | flags::ICMP | flags::TCP | flags::UDP | flags::FRAGMENT;
/// Flags that the packets of some protocols alone have.
const OF_PROTOCOLS: [(u32, &[u32]); 4] =
    [(flags::TCP, &[6]), (flags::UDP, &[17]), (flags::ICMP, &[1, 58]), (flags::PORTS, &[6, 17, 132])];

impl Term {
    /// Bits of one word.
    pub(super) fn of(at: usize, mask: u32, value: u32) -> Self {
        let mut bits = Match::default();
        bits.mask.set(at, mask);
        bits.value.set(at, value & mask);
        Self { bits, names: false }
    }

    /// Both; `None` where they exclude each other.
    fn and(&self, other: &Self) -> Option<Self> {
        let ours = self.bits.mask.words.iter().zip(&self.bits.value.words);
        let theirs = other.bits.mask.words.iter().zip(&other.bits.value.words);
        let differs = |((mask, value), (other, other_value)): ((&u32, &u32), (&u32, &u32))| {
            mask & other & (value ^ other_value) != 0
        };
        if ours.zip(theirs).any(differs) {
            return None;
        }
        let mut both = *self;
        both.names |= other.names;
        other.bits.mask.words.iter().enumerate().for_each(|(at, bits)| both.bits.mask.set(at, *bits));
        other.bits.value.words.iter().enumerate().for_each(|(at, bits)| both.bits.value.set(at, *bits));
        both.is_possible().then_some(both)
    }

    /// Whether the bits hold wherever those of the other one do.
    fn covers(&self, other: &Self) -> bool {
        let ours = self.bits.mask.words.iter().zip(&self.bits.value.words);
        let theirs = other.bits.mask.words.iter().zip(&other.bits.value.words);
        ours.zip(theirs).all(|((mask, value), (other, other_value))| mask & !other == 0 && other_value & mask == *value)
    }

    /// Whether any packet may have these bits, by what `shaper_common::rules` says of its flags.
    fn is_possible(&self) -> bool {
        let mask = self.bits.mask.word(words::FLAGS);
        let set = self.bits.value.word(words::FLAGS);
        let unset = mask & !set;
        let types_mask = self.bits.mask.word(words::TYPES);
        let types = self.bits.value.word(words::TYPES);
        let ethertype = if types_mask >> 16 == 0xffff { Some(types >> 16) } else { None };
        let protocol = if types_mask >> 8 & 0xff == 0xff { Some(types >> 8 & 0xff) } else { None };
        EXCLUSIVE.iter().all(|(one, other)| set & one == 0 || set & other == 0)
            && IMPLIED.iter().all(|(flag, other)| set & flag == 0 || unset & other == 0)
            && (set & OF_IP == 0 || ethertype.is_none_or(|found| found == 0x0800 || found == 0x86dd))
            && OF_PROTOCOLS
                .iter()
                .all(|(flag, protocols)| set & flag == 0 || protocol.is_none_or(|found| protocols.contains(&found)))
    }

    /// What decides with which others it is multiplied first.
    fn support(terms: &[Self]) -> Key {
        let mut support = Key::ZERO;
        for term in terms {
            term.bits.mask.words.iter().enumerate().for_each(|(at, bits)| support.set(at, *bits));
        }
        support
    }

    /// Every packet but those with these bits: for each bit one term, in which the bits before it are right and it is
    /// wrong. No two of them match the same packet, and the masks lie within each other, as those of prefixes do.
    pub(super) fn denied(&self) -> Vec<Self> {
        let mut terms = Vec::new();
        let mut before = Self { bits: Match::default(), names: false };
        for at in 0..WORDS {
            for bit in (0..32).rev().map(|shift| 1u32 << shift).filter(|bit| self.bits.mask.word(at) & bit != 0) {
                let value = self.bits.value.word(at) & bit;
                let mut term = before;
                term.bits.mask.set(at, bit);
                term.bits.value.set(at, value ^ bit);
                terms.push(term);
                before.bits.mask.set(at, bit);
                before.bits.value.set(at, value);
            }
        }
        terms
    }
}

/// Every packet that all of the sums match.
///
/// Those about the same bits are multiplied first, for most of their products contradict each other: what denies two
/// addresses of a side takes little more than what denies one. Then the smaller ones before the larger.
pub(super) fn product(mut sums: Vec<Vec<Term>>) -> Result<Vec<Term>, TooMany> {
    sums.sort_by_cached_key(|sum| Term::support(sum));
    let mut alike: Vec<Vec<Term>> = Vec::new();
    let mut last = None;
    for sum in sums {
        let support = Term::support(&sum);
        match alike.last_mut() {
            Some(before) if last == Some(support) => *before = both(before, &sum)?,
            _ => alike.push(sum),
        }
        last = Some(support);
    }
    alike.sort_by_key(Vec::len);
    let mut alike = alike.into_iter();
    let first = alike.next().unwrap_or_default();
    alike.try_fold(first, |left, right| both(&left, &right))
}

/// Every packet that both sums match.
fn both(left: &[Term], right: &[Term]) -> Result<Vec<Term>, TooMany> {
    let pairs = left.len() as u64 * right.len() as u64;
    if pairs > PAIRS {
        return Err(TooMany(pairs));
    }
    // What the other side covers stays as it is, and its other products would be covered by that.
    let kept = |own: &[Term], others: &[Term]| -> Vec<Option<Term>> {
        let other_names = others.iter().any(|other| other.names);
        let keeps = |one: &Term, other: &Term| one.names || other.names || !other_names;
        let covered = |one: &Term| others.iter().find(|other| keeps(one, other) && other.covers(one));
        own.iter().map(|one| covered(one).map(|other| Term { names: one.names || other.names, ..*one })).collect()
    };
    let (left_kept, right_kept) = (kept(left, right), kept(right, left));
    let mut products: HashSet<Term> = left_kept.iter().chain(&right_kept).flatten().copied().collect();
    for (left, _) in left.iter().zip(&left_kept).filter(|(_, kept)| kept.is_none()) {
        let others = right.iter().zip(&right_kept).filter(|(_, kept)| kept.is_none());
        products.extend(others.filter_map(|(right, _)| left.and(right)));
    }
    if products.len() > TERMS {
        return Err(TooMany(products.len() as u64));
    }
    Ok(simplified(products.into_iter().collect()))
}

/// Every packet that one of the sums matches.
pub(super) fn sum(parts: Vec<Vec<Term>>) -> Result<Vec<Term>, TooMany> {
    let count = parts.iter().map(Vec::len).sum::<usize>();
    if count > TERMS {
        return Err(TooMany(count as u64));
    }
    Ok(simplified(parts.into_iter().flatten().collect()))
}

/// Without terms that another one covers, in a fixed order; of very many, at least without any twice.
pub(super) fn simplified(mut terms: Vec<Term>) -> Vec<Term> {
    terms.sort_unstable();
    terms.dedup();
    let mut by_mask: HashMap<(bool, Key), HashSet<Key>> = HashMap::new();
    for term in &terms {
        by_mask.entry((term.names, term.bits.mask)).or_default().insert(term.bits.value);
    }
    if by_mask.len() < 2 || terms.len().saturating_mul(by_mask.len()) > COMPARISONS {
        return terms;
    }
    let is_covered = |term: &Term| {
        let wider = |(names, mask): &(bool, Key)| {
            *names == term.names && *mask != term.bits.mask && is_within(mask, &term.bits.mask)
        };
        by_mask.iter().filter(|(key, _)| wider(key)).any(|((_, mask), values)| {
            let mut value = term.bits.value;
            value.words.iter_mut().zip(&mask.words).for_each(|(value, mask)| *value &= mask);
            values.contains(&value)
        })
    };
    terms.retain(|term| !is_covered(term));
    terms
}

/// Whether each bit of the one mask is in the other as well.
fn is_within(mask: &Key, other: &Key) -> bool {
    mask.words.iter().zip(&other.words).all(|(mask, other)| mask & !other == 0)
}
