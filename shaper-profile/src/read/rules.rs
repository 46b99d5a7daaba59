//! Links of their own for packets that match.

use toml::de::DeValue;

use super::link::{A_TO_B, B_TO_A, Base};
use super::source::{Source, Table};
use crate::error::{Located, ProfileError};
use crate::profile::{FilterPlace, Link, Patch, RuleProfile};

const KEYS: [&str; 8] = ["match", "name", "profile", "outages", "a_to_b", "b_to_a", "up", "down"];
const EXAMPLE: &str = "write [[rule]] on a line of its own, and match = \"udp port 5000\" below it";

impl Source<'_> {
    /// The rules in their order.
    pub(super) fn rules(&self, root: &Table<'_, '_>) -> Result<Vec<RuleProfile>, Located> {
        let tables = self.tables(root, "rule", EXAMPLE)?;
        let rules = tables.iter().map(|table| self.rule(table)).collect::<Result<Vec<_>, _>>()?;
        if let Some((earlier, later)) = RuleProfile::namesakes(&rules)
            && let Some(table) = tables.get(later)
        {
            let span = table.get("name").map_or_else(|| table.span.clone(), toml::Spanned::span);
            let name = rules.get(later).map_or("", |rule| &rule.name);
            let problem = format!("rule[{earlier}] has the name \"{name}\" too; give each rule a name of its own");
            return Err(self.at(span, table.key("name"), problem));
        }
        Ok(rules)
    }

    fn rule(&self, table: &Table<'_, '_>) -> Result<RuleProfile, Located> {
        if let Some(value) = table.get("change").or(table.get("loop")).or(table.get("rule")) {
            let problem = "a rule's link has none of its own; put it at the top level".to_owned();
            let key = ["change", "loop", "rule"].into_iter().find(|key| table.get(key).is_some());
            return Err(self.at(value.span(), table.key(key.unwrap_or_default()), problem));
        }
        self.deny_unknown(table, &[&KEYS, Patch::KEYS])?;
        let example = "write match = \"udp port 5000\"";
        let wrong = |span, problem: &str| self.at(span, table.key("match"), format!("{problem}; {example}"));
        let filter = self.string(table, "match")?.ok_or_else(|| wrong(table.span.clone(), "is missing"))?;
        let place = table.get("match").map(|value| {
            let (line, column) = self.place(value.span().start);
            let raw = self.text.get(value.span()).unwrap_or_default().to_owned();
            FilterPlace { file: self.file.clone(), line, column, raw }
        });
        if filter.trim().is_empty() {
            let span = table.get("match").map_or_else(|| table.span.clone(), toml::Spanned::span);
            return Err(wrong(span, "is empty"));
        }
        let named = self.named(table)?;
        let (common, places) = self.patch(table)?;
        let direction =
            |names, of| self.direction(table, names, Base { direction: &common.apply(of), places: &places });
        let link = Link {
            a_to_b: direction(A_TO_B, &named.a_to_b)?,
            b_to_a: direction(B_TO_A, &named.b_to_a)?,
            outages: self.outages(table, named.outages)?,
            ..Link::default()
        };
        let name = self.string(table, "name")?.unwrap_or_else(|| filter.clone());
        Ok(RuleProfile { name, filter, place, link })
    }

    /// The link of the preset that a rule names, a clean one where it names none.
    fn named(&self, table: &Table<'_, '_>) -> Result<Link, Located> {
        let Some(value) = table.get("profile") else { return Ok(Link::default()) };
        let DeValue::String(name) = value.get_ref() else {
            return Err(self.at(value.span(), table.key("profile"), "must be a string; write \"wifi\"".to_owned()));
        };
        match crate::presets::preset(name) {
            Ok(profile) => Ok(profile.link),
            Err(ProfileError::Text(located)) => Err(located),
            Err(error) => Err(self.at(value.span(), table.key("profile"), error.to_string())),
        }
    }
}
