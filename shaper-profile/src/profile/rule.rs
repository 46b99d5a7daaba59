//! A link of its own for packets that match.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::Link;
use crate::error::{Invalid, Located};

/// A link of its own for packets that match. Two are equal wherever their filters stand.
#[derive(Clone, Debug, Default)]
pub struct RuleProfile {
    /// For people; the filter where none was given.
    pub name: String,
    /// Which packets, in the words of the filter's own grammar.
    pub filter: String,
    /// Where the filter stands; none if it was not read from a text.
    pub place: Option<FilterPlace>,
    /// What happens to them; without changes and rules.
    pub link: Link,
}

impl PartialEq for RuleProfile {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.filter, &self.link) == (&other.name, &other.filter, &other.link)
    }
}

impl Eq for RuleProfile {}

impl RuleProfile {
    /// Whether these settings can be. The filter is not read.
    ///
    /// # Errors
    /// See [`Link::check`]; an empty filter; and changes or rules of its own.
    pub fn check(&self) -> Result<(), Invalid> {
        let wrong = |key, problem: &str, hint: &str| Err(Invalid { key, problem: problem.into(), hint: hint.into() });
        if self.filter.trim().is_empty() {
            return wrong("match", "is empty", "write for example match = \"udp port 5000\"");
        }
        if !self.link.changes.is_empty() || self.link.repeat.is_some() {
            return wrong("change", "a rule's link does not change", "put [[change]] at the top level");
        }
        if !self.link.rules.is_empty() {
            return wrong("rule", "a rule has no rules of its own", "put each [[rule]] at the top level");
        }
        self.link.check()
    }

    /// The first two rules of one name, by their numbers. A rule that has its filter for a name was given none, and two
    /// such are none: the later one never matches, and the name leads to the one that does.
    pub(crate) fn namesakes(rules: &[Self]) -> Option<(usize, usize)> {
        let mut known: HashMap<&str, (usize, bool)> = HashMap::new();
        rules.iter().enumerate().find_map(|(number, rule)| {
            let is_given = rule.name != rule.filter;
            match known.entry(&rule.name) {
                Entry::Occupied(earlier) => {
                    let (earlier, was_given) = *earlier.get();
                    (is_given || was_given).then_some((earlier, number))
                }
                Entry::Vacant(new) => {
                    new.insert((number, is_given));
                    None
                }
            }
        })
    }

    /// What is wrong with the filter at this byte of it, as an error with its place.
    #[must_use]
    pub fn wrong_at(&self, byte: usize, problem: String) -> Located {
        let key = "match".to_owned();
        match &self.place {
            Some(place) => {
                let (line, column) = place.of(&self.filter, byte);
                Located { file: place.file.to_string(), line, column, key, problem }
            }
            None => {
                let column = self.filter.char_indices().take_while(|(at, _)| *at < byte).count() + 1;
                Located { file: format!("rule {}", self.name), line: 1, column, key, problem }
            }
        }
    }
}

/// Where a filter stands in a profile's text.
#[derive(Clone, Debug)]
pub struct FilterPlace {
    /// What errors call the text.
    pub(crate) file: Arc<str>,
    /// Line of the string's opening quote, from 1.
    pub(crate) line: usize,
    /// Column of it in characters, from 1.
    pub(crate) column: usize,
    /// The string as it stands there, with its quotes and escapes.
    pub(crate) raw: String,
}

impl FilterPlace {
    /// Line and column of a byte of the filter.
    fn of(&self, filter: &str, byte: usize) -> (usize, usize) {
        let before = self.raw.get(..self.raw_offset(filter, byte)).unwrap_or(&self.raw);
        match before.rsplit_once('\n') {
            Some((lines, last)) => (self.line + lines.matches('\n').count() + 1, last.chars().count() + 1),
            None => (self.line, self.column + before.chars().count()),
        }
    }

    /// The offset in the raw string at which a byte of the text that it stands for is written (TOML 1.1, "String").
    fn raw_offset(&self, filter: &str, byte: usize) -> usize {
        let quote = self.raw.get(..1).unwrap_or_default();
        let is_long = self.raw.len() >= 6 && self.raw.starts_with(&quote.repeat(3));
        let mut at = if is_long { 3 } else { 1 };
        let rest = |at: usize| self.raw.get(at..).unwrap_or_default();
        // A line's end right behind the opening quotes is none of the text's.
        if is_long {
            at += ["\r\n", "\n"].into_iter().find(|end| rest(at).starts_with(end)).map_or(0, str::len);
        }
        for (place, character) in filter.char_indices() {
            // A line's end behind a backslash is left out with the blanks that follow.
            while quote == "\"" && rest(at).starts_with('\\') {
                let behind = rest(at + 1);
                let blanks = behind.len() - behind.trim_start_matches([' ', '\t', '\r', '\n']).len();
                if !behind.get(..blanks).unwrap_or_default().contains('\n') {
                    break;
                }
                at += 1 + blanks;
            }
            if place >= byte {
                break;
            }
            at += match rest(at).as_bytes() {
                [b'\\', kind, ..] if quote == "\"" => match kind {
                    b'x' => 4,
                    b'u' => 6,
                    b'U' => 10,
                    _ => 2,
                },
                [b'\r', b'\n', ..] if character == '\n' => 2,
                _ => character.len_utf8(),
            };
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets::parse;

    /// Where the profile's text has `mark` as its rule's filter has it.
    fn place(text: &str, mark: &str) -> (usize, usize) {
        let profile = parse("link.toml", "link", text).unwrap();
        let rule = &profile.link.rules[0];
        let error = rule.wrong_at(rule.filter.find(mark).unwrap(), "wrong".into());
        assert_eq!((error.file.as_str(), error.key.as_str()), ("link.toml", "match"));
        (error.line, error.column)
    }

    #[test]
    fn a_byte_of_the_filter_is_found_where_it_is_written() {
        assert_eq!(place("[[rule]]\nmatch = \"udp port 5000\"", "port"), (2, 14));
        assert_eq!(place("[[rule]]\n  match = 'udp port 5000'", "udp"), (2, 12));
        assert_eq!(place("[[rule]]\nmatch = \"\"\"\nudp\nport 5000\"\"\"", "port"), (4, 1));
        assert_eq!(place("[[rule]]\r\nmatch = '''\r\nudp\r\n port 5000'''", "port"), (4, 2));
        assert_eq!(place("[[rule]]\nmatch = \"\"\"udp \\\n   port 5000\"\"\"", "port"), (3, 4));
        assert_eq!(place("[[rule]]\nmatch = \"\\u0075dp\\tport 5000\"", "port"), (2, 20));
        assert_eq!(place("rule = [{ match = \"\u{fc}\u{fc} port\" }]", "port"), (1, 23));
    }

    #[test]
    fn a_filter_of_no_text_has_its_own_columns() {
        let rule = RuleProfile { name: "voice".into(), filter: "udp prot 5".into(), ..RuleProfile::default() };
        assert_eq!(rule.wrong_at(4, "wrong".into()).to_string(), "rule voice:1:5: match: wrong");
    }
}
