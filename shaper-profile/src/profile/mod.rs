//! The profile of a link: what people write, typed.

mod check;
mod direction;
mod files;
mod outages;
mod patch;
mod rule;
mod timeline;
mod written;

use serde::Serialize;

pub use crate::effect::{Distribution, Order};
use crate::error::Invalid;

pub use direction::{DEFAULT_QUEUE, DEFAULT_QUEUE_PACKETS, Direction, FULL_PACKET};
pub use outages::{Outages, Scheduled};
pub use patch::Patch;
pub use rule::{FilterPlace, RuleProfile};
pub use timeline::Change;
pub(crate) use timeline::{check_repeat, fixed};

/// A named link and where its figures come from. Serialized, it is a profile that reads back the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Profile {
    /// The preset's or file's name.
    pub name: String,
    /// One line.
    pub description: String,
    /// Where the figures come from; may be empty.
    pub source: String,
    /// The link.
    #[serde(flatten)]
    pub link: Link,
}

/// A link: two directions that go down together, how they change, and packets that are treated otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// From the first end to the second; in a star, from the host up to the bridge.
    pub a_to_b: Direction,
    /// From the second end to the first; in a star, from the bridge down to the host.
    pub b_to_a: Direction,
    /// When the link carries nothing, in either direction: a link that is down is down both ways.
    pub outages: Outages,
    /// Other settings from set times on, in order of time.
    pub changes: Vec<Change>,
    /// The time after which the settings from the start and the changes begin anew.
    pub repeat: Option<crate::quantity::Duration>,
    /// Links of their own for what matches, the first that does; without changes and rules.
    pub rules: Vec<RuleProfile>,
}

impl Link {
    /// The same in both directions.
    #[must_use]
    pub fn symmetric(direction: Direction, outages: Outages) -> Self {
        Self { a_to_b: direction.clone(), b_to_a: direction, outages, ..Self::default() }
    }

    /// The settings of both directions, from a to b first, so long after the link's start.
    #[must_use]
    pub fn at(&self, since_start: crate::quantity::Duration) -> (&Direction, &Direction) {
        let since_start = since_start.0.0;
        let within = match self.repeat {
            Some(repeat) if !repeat.is_zero() => since_start % repeat.0.0,
            _ => since_start,
        };
        let holds = self.changes.iter().rev().find(|change| change.at.0.0 <= within);
        holds.map_or((&self.a_to_b, &self.b_to_a), |change| (&change.a_to_b, &change.b_to_a))
    }

    /// Whether these settings can be.
    ///
    /// # Errors
    /// See [`Direction::check`], [`Outages::check`], [`Change::check`] and [`RuleProfile::check`]; and a timeline that
    /// begins anew before its last change, or has none; and two rules of one given name.
    pub fn check(&self) -> Result<(), Invalid> {
        self.a_to_b.check()?;
        self.b_to_a.check()?;
        self.outages.check()?;
        let mut before = None;
        for change in &self.changes {
            change.check(self, before)?;
            before = Some(change.at);
        }
        if let Some(repeat) = self.repeat {
            check_repeat(repeat, before)?;
        }
        if let Some((earlier, later)) = RuleProfile::namesakes(&self.rules) {
            return Err(Invalid {
                key: "name",
                problem: format!("rule[{earlier}] and rule[{later}] have the same"),
                hint: "give each rule a name of its own".to_owned(),
            });
        }
        self.rules.iter().try_for_each(RuleProfile::check)
    }
}
