//! The settings of a direction, at the top or in its own table.

use std::ops::Range;

use super::source::{Keys, Places, Source, Table};
use crate::error::Located;
use crate::profile::{Direction, Patch};

/// The keys of each direction's table, the plain name first.
pub(super) const A_TO_B: [&str; 2] = ["a_to_b", "up"];
pub(super) const B_TO_A: [&str; 2] = ["b_to_a", "down"];

/// The settings that a direction's own are over, and where those stand that were given beside it.
#[derive(Clone, Copy)]
pub(super) struct Base<'b> {
    pub(super) direction: &'b Direction,
    pub(super) places: &'b Places,
}

impl Source<'_> {
    /// The settings of a table, and where they stand.
    pub(super) fn patch(&self, table: &Table<'_, '_>) -> Result<(Patch, Places), Located> {
        let mut keys = Keys::of(self, table);
        let patch = Patch::read(&mut keys)?.within(self.folder);
        Ok((patch, keys.places))
    }

    /// The table of a direction, by either of its names.
    pub(super) fn direction_table<'d, 'i>(
        &self,
        parent: &Table<'d, 'i>,
        [plain, other]: [&str; 2],
    ) -> Result<Option<Table<'d, 'i>>, Located> {
        let (name, value) = match (parent.get(plain), parent.get(other)) {
            (Some(_), Some(second)) => {
                let problem = format!("[{plain}] and [{other}] are the same direction; keep one of them");
                return Err(self.at(second.span(), parent.key(other), problem));
            }
            (Some(value), None) => (plain, value),
            (None, Some(value)) => (other, value),
            (None, None) => return Ok(None),
        };
        self.table(parent, name, value).map(Some)
    }

    /// A direction's settings, over those that hold for both.
    pub(super) fn direction(
        &self,
        parent: &Table<'_, '_>,
        names: [&str; 2],
        base: Base<'_>,
    ) -> Result<Direction, Located> {
        let Some(table) = self.direction_table(parent, names)? else {
            let place = |key: &str| base.places.get(key).cloned().unwrap_or_else(|| parent.span.clone());
            let checked = base.direction.check().map(|()| base.direction.clone());
            return checked.map_err(|bad| self.invalid(place(bad.key), &parent.prefix, bad));
        };
        if let Some(outages) = table.get("outages") {
            let problem = "a link that is down is down both ways; put [outages] at the top level".to_owned();
            return Err(self.at(outages.span(), table.key("outages"), problem));
        }
        self.deny_unknown(&table, &[Patch::KEYS])?;
        let (patch, places) = self.patch(&table)?;
        let direction = patch.apply(base.direction);
        direction.check().map(|()| direction).map_err(|bad| {
            let span = |places: &Places| -> Option<Range<usize>> { places.get(bad.key).cloned() };
            let span = span(&places).or_else(|| span(base.places)).unwrap_or_else(|| table.span.clone());
            self.invalid(span, &table.prefix, bad)
        })
    }
}
