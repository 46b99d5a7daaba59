//! A profile's text, the places in it, and single values.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Range;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Invalid, Located};
use crate::names::suggest;

/// Where each key of a table stands.
pub(super) type Places = BTreeMap<&'static str, Range<usize>>;

pub(super) struct Source<'t> {
    pub(super) file: Arc<str>,
    pub(super) folder: &'t Path,
    pub(super) text: &'t str,
    /// Where each line begins.
    lines: Vec<usize>,
}

/// A table and its place in the document.
#[derive(Clone)]
pub(super) struct Table<'t, 'i> {
    pub(super) prefix: String,
    pub(super) entries: &'t DeTable<'i>,
    pub(super) span: Range<usize>,
}

impl<'t, 'i> Table<'t, 'i> {
    pub(super) fn get(&self, key: &str) -> Option<&'t Spanned<DeValue<'i>>> {
        self.entries.iter().find(|(name, _)| name.get_ref().as_ref() == key).map(|(_, value)| value)
    }

    pub(super) fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

/// The keys of a table that is read, and where they stand.
pub(crate) struct Keys<'s, 't, 'i> {
    source: &'s Source<'s>,
    table: &'s Table<'t, 'i>,
    pub(super) places: Places,
}

impl<'s, 't, 'i> Keys<'s, 't, 'i> {
    pub(super) const fn of(source: &'s Source<'s>, table: &'s Table<'t, 'i>) -> Self {
        Self { source, table, places: Places::new() }
    }

    /// A string's, bare number's or truth value's text: each gets the same errors as its text would.
    pub(crate) fn value<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Result<Option<T>, Located> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        let wrong = |problem: String| self.source.at(value.span(), self.table.key(key), problem);
        let text = match value.get_ref() {
            DeValue::String(text) => text.as_ref(),
            DeValue::Integer(number) => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            DeValue::Boolean(true) => "true",
            DeValue::Boolean(false) => "false",
            _ => {
                let example = "must be a string; write for example \"20ms\", \"5%\", \"10mbit\" or \"keep\"";
                return Err(wrong(example.to_owned()));
            }
        };
        let read = text.parse().map_err(|error: T::Err| wrong(error.to_string()))?;
        self.places.insert(key, value.span());
        Ok(Some(read))
    }

    /// Where the key stands, or the table where it does not.
    pub(super) fn place(&self, key: &str) -> Range<usize> {
        self.places.get(key).cloned().unwrap_or_else(|| self.table.span.clone())
    }
}

impl<'t> Source<'t> {
    pub(super) fn new(file: &str, folder: &'t Path, text: &'t str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file: file.into(), folder, text, lines }
    }

    /// Line and column of an offset, both from 1.
    pub(super) fn place(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|begin| *begin <= offset);
        let begin = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        (line, self.text.get(begin..offset).unwrap_or_default().chars().count() + 1)
    }

    pub(super) fn at(&self, span: Range<usize>, key: String, problem: String) -> Located {
        let (line, column) = self.place(span.start);
        Located { file: self.file.to_string(), line, column, key, problem }
    }

    pub(super) fn invalid(&self, span: Range<usize>, prefix: &str, invalid: Invalid) -> Located {
        self.at(span, format!("{prefix}{}", invalid.key), format!("{}; {}", invalid.problem, invalid.hint))
    }

    pub(super) fn deny_unknown(&self, table: &Table<'_, '_>, known: &[&[&str]]) -> Result<(), Located> {
        for name in table.entries.keys() {
            let key = name.get_ref().as_ref();
            if known.iter().any(|known| known.contains(&key)) {
                continue;
            }
            let known = known.concat();
            let problem = match suggest(key, &known) {
                Some(near) => format!("unknown key; did you mean {near}?"),
                None => format!("unknown key; known here: {}", known.join(", ")),
            };
            return Err(self.at(name.span(), table.key(key), problem));
        }
        Ok(())
    }

    pub(super) fn table<'d, 'i>(
        &self,
        parent: &Table<'d, 'i>,
        key: &str,
        value: &'d Spanned<DeValue<'i>>,
    ) -> Result<Table<'d, 'i>, Located> {
        match value.get_ref() {
            DeValue::Table(entries) => {
                Ok(Table { prefix: format!("{}.", parent.key(key)), entries, span: value.span() })
            }
            _ => Err(self.at(
                value.span(),
                parent.key(key),
                format!("must be a table; write [{}] on a line of its own", without_numbers(&parent.key(key))),
            )),
        }
    }

    /// The tables of a list, none where there is no such key.
    pub(super) fn tables<'d, 'i>(
        &self,
        parent: &Table<'d, 'i>,
        key: &str,
        example: &str,
    ) -> Result<Vec<Table<'d, 'i>>, Located> {
        let Some(value) = parent.get(key) else { return Ok(Vec::new()) };
        let wrong = |span| self.at(span, parent.key(key), format!("must be a list of tables; {example}"));
        let DeValue::Array(items) = value.get_ref() else { return Err(wrong(value.span())) };
        let table = |(number, item): (usize, &'d Spanned<DeValue<'i>>)| match item.get_ref() {
            DeValue::Table(entries) => {
                Ok(Table { prefix: format!("{}[{number}].", parent.key(key)), entries, span: item.span() })
            }
            _ => Err(wrong(item.span())),
        };
        items.iter().enumerate().map(table).collect()
    }

    /// A list of strings, none where there is no such key.
    pub(super) fn strings(
        &self,
        table: &Table<'_, '_>,
        key: &'static str,
        example: &str,
    ) -> Result<Option<Vec<String>>, Located> {
        let Some(value) = table.get(key) else { return Ok(None) };
        let wrong = |span| self.at(span, table.key(key), format!("must be a list of strings; write {example}"));
        let DeValue::Array(items) = value.get_ref() else { return Err(wrong(value.span())) };
        let string = |item: &Spanned<DeValue<'_>>| match item.get_ref() {
            DeValue::String(text) => Ok(text.clone().into_owned()),
            _ => Err(wrong(item.span())),
        };
        items.iter().map(string).collect::<Result<_, _>>().map(Some)
    }

    /// A table that may be missing.
    pub(super) fn table_of<'d, 'i>(&self, parent: &Table<'d, 'i>, key: &str) -> Result<Option<Table<'d, 'i>>, Located> {
        parent.get(key).map(|value| self.table(parent, key, value)).transpose()
    }

    pub(super) fn string(&self, table: &Table<'_, '_>, key: &'static str) -> Result<Option<String>, Located> {
        match table.get(key).map(|value| (value.span(), value.get_ref())) {
            None => Ok(None),
            Some((_, DeValue::String(text))) => Ok(Some(text.clone().into_owned())),
            Some((span, _)) => Err(self.at(span, table.key(key), format!("must be a string; write {key} = \"…\""))),
        }
    }
}

/// A key as it stands in a table's header: "change\[0\].up" is written "change.up".
fn without_numbers(key: &str) -> String {
    let mut parts = key.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |header, part| header + part.split_once(']').map_or(part, |(_, rest)| rest))
}
