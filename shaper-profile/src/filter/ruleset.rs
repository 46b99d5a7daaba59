//! Rules together: the table in which a packet finds the lowest one that matches it.

use std::collections::{BTreeMap, HashMap};

use shaper_common::rules::{Key, RuleKey, SHAPES, Shapes, WORDS, classify};

use super::Filter;
use super::error::{Brings, RuleSetError};
use super::shapes::{Group, Groups, fewer};

/// The most rules that go together.
pub const RULES: usize = 65_534;
/// The most entries that a table holds: each takes about 130 bytes of a hash map in the kernel.
pub const ENTRIES: usize = 1 << 19;
/// The most masks among which it is looked for such as can be put together.
pub const MASKS: usize = 512;

/// One entry of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The number of its shape.
    pub shape: u32,
    /// The masked words.
    pub words: [u32; WORDS],
    /// The number of the rule.
    pub rule: u32,
}

impl Entry {
    /// Its key in the table of all directions.
    #[must_use]
    pub const fn key(&self, direction: u32) -> RuleKey {
        RuleKey { direction, shape: self.shape, words: self.words }
    }
}

/// Compiled rules: what is written into the kernel's maps for a direction.
///
/// A rule's number is its place in the list of filters, from 0; of the rules that match a packet the one with the
/// lowest number is its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSet {
    /// The masks, by the lowest rule with each.
    pub shapes: Shapes,
    /// The entries, by shape and words. None appears twice.
    pub entries: Vec<Entry>,
}

impl RuleSet {
    /// Compiles filters, the first one to rule 0.
    ///
    /// More masks than [`SHAPES`] are put together as long as the table has room for the entries that this costs.
    ///
    /// # Errors
    ///
    /// When there are more than [`RULES`], when one of them can never match or needs more than
    /// [`MATCHES`](super::MATCHES), and when together they need more shapes or entries than there are.
    pub fn compile(filters: &[Filter]) -> Result<Self, RuleSetError> {
        if filters.len() > RULES {
            return Err(RuleSetError::TooManyRules { count: filters.len() });
        }
        let mut groups = Groups::new();
        let mut brings: BTreeMap<usize, usize> = BTreeMap::new();
        let mut count = 0;
        for (rule, filter) in filters.iter().enumerate() {
            let matches = filter.matches_of_rule().map_err(|source| RuleSetError::Filter {
                rule,
                filter: filter.text().to_owned(),
                source,
            })?;
            for one in matches {
                let known = groups.len();
                let group = groups.entry(one.mask).or_default();
                // Rules come in their order: the first one with an entry keeps it.
                let before = group.len();
                group.entry(one.value).or_insert(rule as u32);
                count += group.len() - before;
                if groups.len() > known {
                    *brings.entry(rule).or_default() += 1;
                }
            }
            if count > ENTRIES {
                return Err(RuleSetError::TooManyEntries { count });
            }
        }
        let masks = groups.len();
        let too_many = |entries| {
            let mut brings: Vec<Brings> =
                brings.iter().map(|(rule, shapes)| Brings { rule: *rule, shapes: *shapes }).collect();
            brings.sort_by_key(|brings| std::cmp::Reverse(brings.shapes));
            RuleSetError::TooManyShapes { shapes: masks, brings, entries }
        };
        if masks > MASKS {
            return Err(too_many(None));
        }
        let groups = fewer(groups, SHAPES, ENTRIES as u64).map_err(|entries| too_many(Some(entries)))?;
        Ok(Self::of(groups))
    }

    fn of(groups: Groups) -> Self {
        let least = |group: &Group| group.values().copied().min().unwrap_or(u32::MAX);
        let mut order: Vec<(u32, Key, Group)> =
            groups.into_iter().map(|(mask, group)| (least(&group), mask, group)).collect();
        order.sort_by_key(|(least, mask, _)| (*least, *mask));
        let mut shapes = Shapes { count: order.len() as u32, ..Shapes::EMPTY };
        let slots = shapes.least.iter_mut().zip(&mut shapes.masks);
        for ((least_slot, mask_slot), (least, mask, _)) in slots.zip(&order) {
            (*least_slot, *mask_slot) = (*least, *mask);
        }
        let mut entries = Vec::with_capacity(order.iter().map(|(_, _, group)| group.len()).sum());
        for (shape, (_, _, group)) in order.into_iter().enumerate() {
            let begin = entries.len();
            let entry = |(value, rule): (Key, u32)| Entry { shape: shape as u32, words: value.words, rule };
            entries.extend(group.into_iter().map(entry));
            if let Some(own) = entries.get_mut(begin..) {
                own.sort_unstable_by_key(|entry: &Entry| entry.words);
            }
        }
        Self { shapes, entries }
    }

    /// The table as userspace asks it.
    #[must_use]
    pub fn matcher(&self) -> Matcher {
        let table = self.entries.iter().map(|entry| (entry.key(0), entry.rule)).collect();
        Matcher { shapes: self.shapes, table }
    }
}

/// Compiled rules in a hash map, asked as the kernel asks its own.
#[derive(Clone, Debug)]
pub struct Matcher {
    shapes: Shapes,
    table: HashMap<RuleKey, u32>,
}

impl Matcher {
    /// The number of the rule that a packet with this key goes by; `None` for the default.
    #[must_use]
    pub fn rule(&self, key: &Key) -> Option<u32> {
        classify(key, 0, &self.shapes, &mut RuleKey::default(), |masked| self.table.get(masked).copied())
    }
}
