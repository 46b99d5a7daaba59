//! The table of outages.

use super::source::{Keys, Source, Table};
use crate::effect::Given;
use crate::error::Located;
use crate::profile::{Outages, Scheduled};

const KEYS: [&str; 5] = ["rate", "length", "flap", "held", "scheduled"];
const SCHEDULED_KEYS: [&str; 3] = ["at", "length", "every"];
const EXAMPLE: &str = "write scheduled = [{ at = \"10s\", length = \"500ms\" }]";

impl Source<'_> {
    /// The outages of a link, over others that stay.
    pub(super) fn outages(&self, parent: &Table<'_, '_>, base: Outages) -> Result<Outages, Located> {
        let Some(value) = parent.get("outages") else { return Ok(base) };
        let table = self.table(parent, "outages", value)?;
        self.deny_unknown(&table, &[&KEYS])?;
        let mut keys = Keys::of(self, &table);
        let outages = Outages {
            rate: keys.value("rate")?.unwrap_or(base.rate),
            length: keys.value("length")?.unwrap_or(base.length),
            flap: keys.value("flap")?.map_or(base.flap, |Given(flap)| flap),
            held: keys.value("held")?.unwrap_or(base.held),
            scheduled: Vec::new(),
        };
        outages.check().map_err(|bad| {
            let place = if keys.places.contains_key("length") { keys.place("length") } else { keys.place("rate") };
            self.invalid(place, &parent.prefix, bad)
        })?;
        let scheduled = if table.get("scheduled").is_some() { self.scheduled(&table)? } else { base.scheduled };
        Ok(Outages { scheduled, ..outages })
    }

    fn scheduled(&self, outages: &Table<'_, '_>) -> Result<Vec<Scheduled>, Located> {
        let mut scheduled = Vec::new();
        for table in self.tables(outages, "scheduled", EXAMPLE)? {
            self.deny_unknown(&table, &[&SCHEDULED_KEYS])?;
            let mut keys = Keys::of(self, &table);
            let missing = |key: &str| self.at(table.span.clone(), table.key(key), format!("is missing; {EXAMPLE}"));
            let outage = Scheduled {
                at: keys.value("at")?.ok_or_else(|| missing("at"))?,
                length: keys.value("length")?.ok_or_else(|| missing("length"))?,
                every: keys.value("every")?,
            };
            let alone = Outages { scheduled: vec![outage], ..Outages::default() };
            alone.check().map_err(|bad| {
                let problem = format!("{}; {}", bad.problem, bad.hint);
                let key = if outage.length.is_zero() { "length" } else { "every" };
                self.at(keys.place(key), table.key(key), problem)
            })?;
            scheduled.push(outage);
        }
        Ok(scheduled)
    }
}
