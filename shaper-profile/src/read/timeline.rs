//! Settings that change at set times.

use super::link::{A_TO_B, B_TO_A, Base};
use super::source::{Keys, Source, Table};
use crate::error::Located;
use crate::profile::{Change, Direction, Link, Patch, check_repeat, fixed};
use crate::quantity::Duration;

const KEYS: [&str; 5] = ["at", "a_to_b", "b_to_a", "up", "down"];
const EXAMPLE: &str = "write [[change]] on a line of its own, and at = \"10s\" below it";

impl Source<'_> {
    /// The changes of a link, each with all settings that hold from then on.
    pub(super) fn changes(&self, root: &Table<'_, '_>, link: &Link) -> Result<Vec<Change>, Located> {
        self.changes_of(&self.tables(root, "change", EXAMPLE)?, link)
    }

    /// The same, of tables by another name.
    pub(super) fn changes_of(&self, tables: &[Table<'_, '_>], link: &Link) -> Result<Vec<Change>, Located> {
        let mut changes: Vec<Change> = Vec::new();
        for table in tables {
            let last = changes.last();
            let held = last.map_or((&link.a_to_b, &link.b_to_a), |change| (&change.a_to_b, &change.b_to_a));
            let change = self.change(table, held, last.map(|change| change.at))?;
            changes.push(change);
        }
        Ok(changes)
    }

    fn change(
        &self,
        table: &Table<'_, '_>,
        held: (&Direction, &Direction),
        before: Option<Duration>,
    ) -> Result<Change, Located> {
        self.deny_fixed(table)?;
        if let Some(outages) = table.get("outages") {
            let problem = "outages have times of their own; put [outages] at the top level".to_owned();
            return Err(self.at(outages.span(), table.key("outages"), problem));
        }
        self.deny_unknown(table, &[&KEYS, Patch::KEYS])?;
        let mut keys = Keys::of(self, table);
        let missing = || self.at(table.span.clone(), table.key("at"), "is missing; write at = \"10s\"".to_owned());
        let at = keys.value("at")?.ok_or_else(missing)?;
        let (common, places) = self.patch(table)?;
        let direction = |names, held| {
            if let Some(own) = self.direction_table(table, names)? {
                self.deny_fixed(&own)?;
            }
            self.direction(table, names, Base { direction: &common.apply(held), places: &places })
        };
        let change = Change { at, a_to_b: direction(A_TO_B, held.0)?, b_to_a: direction(B_TO_A, held.1)? };
        change.check_time(before).map_err(|bad| self.invalid(keys.place("at"), &table.prefix, bad))?;
        Ok(change)
    }

    fn deny_fixed(&self, table: &Table<'_, '_>) -> Result<(), Located> {
        for key in Change::FIXED {
            if let Some(value) = table.get(key) {
                return Err(self.invalid(value.span(), &table.prefix, fixed(key)));
            }
        }
        Ok(())
    }

    /// The time after which the timeline begins anew.
    pub(super) fn repeat(&self, root: &Table<'_, '_>, changes: &[Change]) -> Result<Option<Duration>, Located> {
        let mut keys = Keys::of(self, root);
        let Some(repeat) = keys.value("loop")? else { return Ok(None) };
        let last = changes.last().map(|change| change.at);
        check_repeat(repeat, last).map_err(|bad| self.invalid(keys.place("loop"), &root.prefix, bad))?;
        Ok(Some(repeat))
    }
}
