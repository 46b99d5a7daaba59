//! What can be wrong with a filter, and with rules together.

use std::ops::Range;

use shaper_common::rules::SHAPES;

use super::lower::MATCHES;
use super::ruleset::{ENTRIES, MASKS, RULES};

/// A place in a filter's text and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {problem}; {hint}")]
pub struct FilterError {
    /// The bytes of the text that it is about; empty at its end.
    pub at: Range<usize>,
    /// Where that begins, in characters from 1.
    pub column: usize,
    /// What is wrong.
    pub problem: String,
    /// What would be right, with an example.
    pub hint: String,
}

/// Why a filter compiles to no matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LowerError {
    /// No packet could match.
    #[error("no packet can match it: two of its conditions exclude each other; take one of them out")]
    Never,
    /// It needs more matches than a rule may have.
    #[error(
        "it comes to {count} masked matches, and a rule may have {MATCHES}: a negation takes one match a bit, and \
         conditions joined by `and` multiply; let an earlier rule take what is to be left out, or make several rules \
         of it"
    )]
    TooMany {
        /// How many it would be; where joining conditions was given up, how many they come to when each is joined with
        /// each.
        count: u64,
    },
}

/// What one rule adds to the shapes of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brings {
    /// The rule's number: its place in the list, from 0.
    pub rule: usize,
    /// Masks that no rule before it has.
    pub shapes: usize,
}

/// Why rules do not compile together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleSetError {
    /// One of the filters alone does not.
    #[error("rule {rule}, `{filter}`: {source}")]
    Filter {
        /// The rule's number: its place in the list, from 0.
        rule: usize,
        /// The filter's text.
        filter: String,
        /// Why not.
        source: LowerError,
    },
    /// More rules than there are numbers for.
    #[error("{count} rules: at most {RULES} go together; join filters that have the same effect by `or`")]
    TooManyRules {
        /// How many there are.
        count: usize,
    },
    /// More masks than a packet is looked up under, and no way to do with fewer.
    #[error(
        "the rules look at packets in {shapes} different ways, and {SHAPES} is the most that each packet is looked up \
         in; {}; {}; write ranges and prefixes of few lengths, and instead of `not X` let an earlier rule take X",
        brought(.brings), cost(*.entries)
    )]
    TooManyShapes {
        /// How many masks the rules have.
        shapes: usize,
        /// Which rules bring them in, the worst first.
        brings: Vec<Brings>,
        /// How many entries the table would need in order to do with as many shapes as there may be; `None` where that
        /// was not worked out, for there are more than [`MASKS`].
        entries: Option<u64>,
    },
    /// More entries than the table holds.
    #[error("the rules need {count} entries in the table, which holds {ENTRIES}; use fewer rules, or simpler ones")]
    TooManyEntries {
        /// How many it would be, or at least so many.
        count: usize,
    },
}

fn brought(brings: &[Brings]) -> String {
    let told: Vec<String> =
        brings.iter().take(3).map(|Brings { rule, shapes }| format!("rule {rule} brings {shapes}")).collect();
    let rest: usize = brings.iter().skip(3).map(|brings| brings.shapes).sum();
    let others = if rest == 0 { String::new() } else { format!(", all others {rest}") };
    format!("{}{others}", told.join(", "))
}

fn cost(entries: Option<u64>) -> String {
    match entries {
        Some(entries) if entries >> 40 != 0 => {
            format!("in {SHAPES} ways they would take over 10^12 entries of a table that holds {ENTRIES}")
        }
        Some(entries) => format!("in {SHAPES} ways they would take {entries} entries of a table that holds {ENTRIES}"),
        None => format!("more than {MASKS} are not put together"),
    }
}
