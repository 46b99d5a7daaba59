//! Reading a profile from TOML, with the place of what is wrong.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Range;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Invalid, Located};
use crate::names::suggest;
use crate::profile::{Direction, Link, Outages, Patch, Profile, Scheduled};

const DIRECTION_KEYS: [&str; 8] = ["delay", "jitter", "distribution", "order", "loss", "rate", "overhead", "queue"];
const TOP_KEYS: [&str; 16] = [
    "name",
    "description",
    "source",
    "outages",
    "a_to_b",
    "b_to_a",
    "up",
    "down",
    "delay",
    "jitter",
    "distribution",
    "order",
    "loss",
    "rate",
    "overhead",
    "queue",
];

/// The keys of each direction's table, the plain name first.
const A_TO_B: [&str; 2] = ["a_to_b", "up"];
const B_TO_A: [&str; 2] = ["b_to_a", "down"];

/// Where each key of a table stands.
type Places = BTreeMap<&'static str, Range<usize>>;

struct Source<'t> {
    file: &'t str,
    text: &'t str,
}

/// A table and its place in the document.
#[derive(Clone)]
struct Table<'t, 'i> {
    prefix: String,
    entries: &'t DeTable<'i>,
    span: Range<usize>,
}

impl<'t, 'i> Table<'t, 'i> {
    fn get(&self, key: &str) -> Option<&'t Spanned<DeValue<'i>>> {
        self.entries.iter().find(|(name, _)| name.get_ref().as_ref() == key).map(|(_, value)| value)
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

/// Reads the text of a profile; `file` is what errors call it.
pub(crate) fn profile(file: &str, fallback_name: &str, text: &str) -> Result<Profile, Located> {
    let source = Source { file, text };
    let document = DeTable::parse(text).map_err(|error| {
        source.at(error.span().unwrap_or(0..0), String::new(), format!("no TOML: {}", error.message()))
    })?;
    let root = Table { prefix: String::new(), entries: document.get_ref(), span: document.span() };
    source.deny_unknown(&root, &TOP_KEYS)?;

    let (common, places) = source.patch(&root)?;
    let base = common.apply(&Direction::default());
    let a_to_b = source.direction(&root, A_TO_B, &base, &places)?;
    let b_to_a = source.direction(&root, B_TO_A, &base, &places)?;
    let outages = match root.get("outages") {
        Some(value) => source.outages(&source.table(&root, "outages", value)?)?,
        None => Outages::default(),
    };
    Ok(Profile {
        name: source.string(&root, "name")?.unwrap_or_else(|| fallback_name.to_owned()),
        description: source.string(&root, "description")?.unwrap_or_default(),
        source: source.string(&root, "source")?.unwrap_or_default(),
        link: Link { a_to_b, b_to_a, outages },
    })
}

impl Source<'_> {
    fn at(&self, span: Range<usize>, key: String, problem: String) -> Located {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Located { file: self.file.to_owned(), line, column, key, problem }
    }

    fn invalid(&self, span: Range<usize>, prefix: &str, invalid: Invalid) -> Located {
        self.at(span, format!("{prefix}{}", invalid.key), format!("{}; {}", invalid.problem, invalid.hint))
    }

    fn deny_unknown(&self, table: &Table<'_, '_>, known: &[&str]) -> Result<(), Located> {
        for name in table.entries.keys() {
            let key = name.get_ref().as_ref();
            if known.contains(&key) {
                continue;
            }
            let problem = match suggest(key, known) {
                Some(near) => format!("unknown key; did you mean {near}?"),
                None => format!("unknown key; known here: {}", known.join(", ")),
            };
            return Err(self.at(name.span(), table.key(key), problem));
        }
        Ok(())
    }

    fn table<'t, 'i>(
        &self,
        parent: &Table<'t, 'i>,
        key: &str,
        value: &'t Spanned<DeValue<'i>>,
    ) -> Result<Table<'t, 'i>, Located> {
        match value.get_ref() {
            DeValue::Table(entries) => {
                Ok(Table { prefix: format!("{}.", parent.key(key)), entries, span: value.span() })
            }
            _ => Err(self.at(
                value.span(),
                parent.key(key),
                format!("must be a table; write [{key}] on a line of its own"),
            )),
        }
    }

    /// A string's or bare number's text: a number gets the same errors as its text would.
    fn value<T: FromStr<Err: Display>>(
        &self,
        table: &Table<'_, '_>,
        key: &'static str,
        places: &mut Places,
    ) -> Result<Option<T>, Located> {
        let Some(value) = table.get(key) else { return Ok(None) };
        let text = match value.get_ref() {
            DeValue::String(text) => text.as_ref(),
            DeValue::Integer(number) => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            _ => {
                let problem = "must be a string; write for example \"20ms\", \"5%\", \"10mbit\" or \"keep\"".to_owned();
                return Err(self.at(value.span(), table.key(key), problem));
            }
        };
        places.insert(key, value.span());
        text.parse().map(Some).map_err(|error: T::Err| self.at(value.span(), table.key(key), error.to_string()))
    }

    fn string(&self, table: &Table<'_, '_>, key: &'static str) -> Result<Option<String>, Located> {
        match table.get(key).map(|value| (value.span(), value.get_ref())) {
            None => Ok(None),
            Some((_, DeValue::String(text))) => Ok(Some(text.clone().into_owned())),
            Some((span, _)) => Err(self.at(span, table.key(key), format!("must be a string; write {key} = \"…\""))),
        }
    }

    fn patch(&self, table: &Table<'_, '_>) -> Result<(Patch, Places), Located> {
        let mut places = Places::new();
        let patch = Patch {
            delay: self.value(table, "delay", &mut places)?,
            jitter: self.value(table, "jitter", &mut places)?,
            distribution: self.value(table, "distribution", &mut places)?,
            order: self.value(table, "order", &mut places)?,
            loss: self.value(table, "loss", &mut places)?,
            rate: self.value(table, "rate", &mut places)?,
            overhead: self.value(table, "overhead", &mut places)?,
            queue: self.value(table, "queue", &mut places)?,
        };
        Ok((patch, places))
    }

    fn direction(
        &self,
        root: &Table<'_, '_>,
        names: [&str; 2],
        base: &Direction,
        base_places: &Places,
    ) -> Result<Direction, Located> {
        let [plain, other] = names;
        let (name, value) = match (root.get(plain), root.get(other)) {
            (Some(_), Some(second)) => {
                let problem = format!("[{plain}] and [{other}] are the same direction; keep one of them");
                return Err(self.at(second.span(), root.key(other), problem));
            }
            (Some(value), None) => (plain, value),
            (None, Some(value)) => (other, value),
            (None, None) => {
                let place = |key: &str| base_places.get(key).cloned().unwrap_or_else(|| root.span.clone());
                return base.check().map(|()| *base).map_err(|bad| self.invalid(place(bad.key), "", bad));
            }
        };
        let table = self.table(root, name, value)?;
        if let Some(outages) = table.get("outages") {
            let problem = "a link that is down is down both ways; put [outages] at the top level".to_owned();
            return Err(self.at(outages.span(), table.key("outages"), problem));
        }
        self.deny_unknown(&table, &DIRECTION_KEYS)?;
        let (patch, places) = self.patch(&table)?;
        let direction = patch.apply(base);
        direction.check().map(|()| direction).map_err(|bad| {
            let own = places.get(bad.key).cloned();
            let span = own.or_else(|| base_places.get(bad.key).cloned()).unwrap_or_else(|| table.span.clone());
            self.invalid(span, &table.prefix, bad)
        })
    }

    fn outages(&self, table: &Table<'_, '_>) -> Result<Outages, Located> {
        self.deny_unknown(table, &["rate", "length", "scheduled"])?;
        let mut places = Places::new();
        let random = Outages {
            rate: self.value(table, "rate", &mut places)?.unwrap_or_default(),
            length: self.value(table, "length", &mut places)?.unwrap_or_default(),
            scheduled: Vec::new(),
        };
        random.check().map_err(|bad| {
            let span = places.get("length").or(places.get("rate")).cloned().unwrap_or_else(|| table.span.clone());
            self.invalid(span, "", bad)
        })?;
        let scheduled = match table.get("scheduled") {
            Some(value) => self.scheduled(table, value)?,
            None => Vec::new(),
        };
        Ok(Outages { scheduled, ..random })
    }

    fn scheduled(&self, outages: &Table<'_, '_>, value: &Spanned<DeValue<'_>>) -> Result<Vec<Scheduled>, Located> {
        let example = "write scheduled = [{ at = \"10s\", length = \"500ms\" }]";
        let wrong = |span| self.at(span, outages.key("scheduled"), format!("must be a list of tables; {example}"));
        let DeValue::Array(items) = value.get_ref() else { return Err(wrong(value.span())) };
        let mut scheduled = Vec::new();
        for (number, item) in items.iter().enumerate() {
            let DeValue::Table(entries) = item.get_ref() else { return Err(wrong(item.span())) };
            let prefix = format!("{}[{number}].", outages.key("scheduled"));
            let table = Table { prefix, entries, span: item.span() };
            self.deny_unknown(&table, &["at", "length", "every"])?;
            let mut places = Places::new();
            let missing = |key: &str| self.at(item.span(), table.key(key), format!("is missing; {example}"));
            let outage = Scheduled {
                at: self.value(&table, "at", &mut places)?.ok_or_else(|| missing("at"))?,
                length: self.value(&table, "length", &mut places)?.ok_or_else(|| missing("length"))?,
                every: self.value(&table, "every", &mut places)?,
            };
            let alone = Outages { scheduled: vec![outage], ..Outages::default() };
            alone.check().map_err(|bad| {
                let problem = format!("{}; {}", bad.problem, bad.hint);
                let key = if outage.length.is_zero() { "length" } else { "every" };
                self.at(places.get(key).cloned().unwrap_or_else(|| item.span()), table.key(key), problem)
            })?;
            scheduled.push(outage);
        }
        Ok(scheduled)
    }
}
