//! Fewer shapes for more entries: a mask that is widened by some bits takes one entry for each of their values.

use std::collections::{BTreeMap, HashMap};

use shaper_common::rules::Key;

/// The values under one mask, each with the lowest number of the rules that have it.
pub(super) type Group = HashMap<Key, u32>;

/// Groups by mask.
pub(super) type Groups = BTreeMap<Key, Group>;

/// A mask in the making, and the places of the groups that go into it.
struct Joined {
    mask: Key,
    groups: Vec<usize>,
    entries: u64,
}

fn union(left: &Key, right: &Key) -> Key {
    let mut union = *left;
    right.words.iter().enumerate().for_each(|(at, bits)| union.set(at, *bits));
    union
}

/// Entries for `entries` of this mask under a wider one.
fn widened(entries: u64, mask: &Key, wide: &Key) -> u64 {
    let added: u32 = mask.words.iter().zip(&wide.words).map(|(mask, wide)| (wide & !mask).count_ones()).sum();
    if added >= 40 { u64::MAX / 4 } else { entries.saturating_mul(1 << added).min(u64::MAX / 4) }
}

impl Joined {
    /// Entries for both under one mask.
    fn with(&self, other: &Self) -> u64 {
        let wide = union(&self.mask, &other.mask);
        widened(self.entries, &self.mask, &wide) + widened(other.entries, &other.mask, &wide)
    }

    /// The partner behind it in the list that adds the fewest entries, and how many.
    fn partner(&self, others: &[Self], behind: usize) -> (u64, usize) {
        let added = |other: &Self| self.with(other).saturating_sub(self.entries + other.entries);
        let pairs = others.iter().enumerate().skip(behind + 1).map(|(place, other)| (added(other), place));
        pairs.min().unwrap_or((u64::MAX, 0))
    }
}

/// Which groups go together so that no more than `limit` masks are left, and how many entries that may take: two by
/// two, those first that add the fewest entries.
fn plan(groups: &Groups, limit: usize) -> (Vec<Joined>, u64) {
    let mut joined: Vec<Joined> = groups
        .iter()
        .enumerate()
        .map(|(place, (mask, group))| Joined { mask: *mask, groups: vec![place], entries: group.len() as u64 })
        .collect();
    let best =
        |joined: &[Joined], place: usize| joined.get(place).map_or((u64::MAX, 0), |one| one.partner(joined, place));
    let mut partners: Vec<(u64, usize)> = (0..joined.len()).map(|place| best(&joined, place)).collect();
    while joined.len() > limit {
        let cheapest = partners.iter().enumerate().min_by_key(|(_, (added, _))| *added);
        let Some((left, (_, right))) = cheapest.map(|(place, partner)| (place, *partner)) else { break };
        // The right one stands behind the left one.
        let taken = joined.remove(right);
        partners.remove(right);
        if let Some(one) = joined.get_mut(left) {
            one.entries = one.with(&taken);
            one.mask = union(&one.mask, &taken.mask);
            one.groups.extend(taken.groups);
        }
        for place in 0..joined.len() {
            let Some((added, partner)) = partners.get(place).copied() else { continue };
            let renewed = if place == left || partner == right || partner == left {
                best(&joined, place)
            } else {
                let partner = if partner > right { partner - 1 } else { partner };
                let to_new = match (joined.get(place), joined.get(left)) {
                    (Some(one), Some(new)) if place < left => one.with(new).saturating_sub(one.entries + new.entries),
                    _ => u64::MAX,
                };
                (added, partner).min((to_new, left))
            };
            if let Some(slot) = partners.get_mut(place) {
                *slot = renewed;
            }
        }
    }
    let entries = joined.iter().map(|one| one.entries).fold(0, u64::saturating_add);
    (joined, entries)
}

/// The same rules with `limit` masks at most. The error is the number of entries that it would take, where that is
/// more than there may be.
pub(super) fn fewer(groups: Groups, limit: usize, entries: u64) -> Result<Groups, u64> {
    if groups.len() <= limit {
        return Ok(groups);
    }
    let (plan, needed) = plan(&groups, limit);
    if needed > entries {
        return Err(needed);
    }
    let mut sources: Vec<Option<(Key, Group)>> = groups.into_iter().map(Some).collect();
    let mut fewer = Groups::new();
    for joined in plan {
        let group = fewer.entry(joined.mask).or_default();
        for place in joined.groups {
            let Some((mask, source)) = sources.get_mut(place).and_then(Option::take) else { continue };
            let added = added_bits(&mask, &joined.mask);
            for (value, rule) in source {
                each_value(value, &added, &mut |value| {
                    group.entry(value).and_modify(|least| *least = rule.min(*least)).or_insert(rule);
                });
            }
        }
    }
    Ok(fewer)
}

/// The bits of the wide mask that the narrow one lacks: word and bit.
fn added_bits(narrow: &Key, wide: &Key) -> Vec<(usize, u32)> {
    let words = narrow.words.iter().zip(&wide.words).enumerate();
    words
        .flat_map(|(at, (narrow, wide))| {
            let added = wide & !narrow;
            (0..32).map(|shift| 1 << shift).filter(move |bit| added & bit != 0).map(move |bit| (at, bit))
        })
        .collect()
}

/// Calls with every combination of these bits.
fn each_value(value: Key, bits: &[(usize, u32)], call: &mut impl FnMut(Key)) {
    let Some(((at, bit), rest)) = bits.split_first() else { return call(value) };
    each_value(value, rest, call);
    let mut set = value;
    set.set(*at, *bit);
    each_value(set, rest, call);
}
