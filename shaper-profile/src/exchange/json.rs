//! JSON (RFC 8259) with the line of each value: what is wrong with a value can be said with its place.

use super::error::Wrong;
use super::number;

/// The deepest nesting that is read.
const DEEPEST: usize = 64;

const HINT: &str = "give the file as the tool wrote it";

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Value {
    pub(super) line: usize,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Array(Vec<Value>),
    /// Names in their order, each once.
    Object(Vec<(String, Value)>),
}

/// Reads a text that is one value.
pub(super) fn read(text: &str) -> Result<Value, Wrong> {
    let mut reader = Reader { rest: text.trim_start_matches('\u{feff}'), line: 1 };
    let value = reader.value(0)?;
    reader.blanks();
    if reader.rest.is_empty() { Ok(value) } else { Err(reader.wrong("something follows the value")) }
}

impl Value {
    /// A number, or a text that is one; of zero or more.
    pub(super) fn number(&self, what: &str) -> Result<f64, Wrong> {
        let (Kind::Number(text) | Kind::Text(text)) = &self.kind else {
            return Err(self.wrong(format!("{what} is no number")));
        };
        number::number(text).map_err(|problem| self.wrong(format!("{what}: {problem}")))
    }

    pub(super) fn wrong(&self, problem: impl Into<String>) -> Wrong {
        Wrong::new(self.line, problem, "write it as the format's own tool does")
    }

    /// The entries of an object.
    pub(super) fn fields(&self, what: &str) -> Result<Fields<'_>, Wrong> {
        match &self.kind {
            Kind::Object(entries) => Ok(Fields { line: self.line, entries: entries.iter().collect() }),
            _ => Err(Wrong::new(self.line, format!("{what} is no object"), "write it in braces: { \"key\": … }")),
        }
    }
}

/// Entries of an object that were not taken yet.
pub(super) struct Fields<'v> {
    pub(super) line: usize,
    entries: Vec<&'v (String, Value)>,
}

impl<'v> Fields<'v> {
    /// The value of this name, which is taken; none where there is none or it is null.
    pub(super) fn take(&mut self, name: &str) -> Option<&'v Value> {
        let place = self.entries.iter().position(|(known, _)| known == name)?;
        let (_, value) = self.entries.remove(place);
        (value.kind != Kind::Null).then_some(value)
    }

    /// The number of this name.
    pub(super) fn number(&mut self, name: &str) -> Result<Option<f64>, Wrong> {
        self.take(name).map(|value| value.number(name)).transpose()
    }

    /// Nothing may be left.
    pub(super) fn end(self, known: &str) -> Result<(), Wrong> {
        match self.entries.first() {
            None => Ok(()),
            Some((name, value)) => Err(Wrong::new(
                value.line,
                format!("\"{name}\" is not known here"),
                format!("known: {known}; take it out if the link does not hang on it"),
            )),
        }
    }
}

struct Reader<'t> {
    rest: &'t str,
    line: usize,
}

impl Reader<'_> {
    fn wrong(&self, problem: impl std::fmt::Display) -> Wrong {
        Wrong::new(self.line, format!("no JSON: {problem}"), HINT)
    }

    fn blanks(&mut self) {
        let trimmed = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let (blanks, rest) = self.rest.split_at(self.rest.len() - trimmed.len());
        self.line += blanks.matches('\n').count();
        self.rest = rest;
    }

    fn takes(&mut self, word: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(word) else { return false };
        self.rest = rest;
        true
    }

    fn value(&mut self, depth: usize) -> Result<Value, Wrong> {
        self.blanks();
        let line = self.line;
        if depth > DEEPEST {
            return Err(self.wrong("it is nested too deep"));
        }
        let kind = match self.rest.chars().next() {
            Some('{') => self.object(depth)?,
            Some('[') => self.array(depth)?,
            Some('"') => Kind::Text(self.text()?),
            Some('-' | '0'..='9') => self.digits(),
            _ if self.takes("null") => Kind::Null,
            _ if self.takes("true") => Kind::Bool(true),
            _ if self.takes("false") => Kind::Bool(false),
            Some(other) => return Err(self.wrong(format!("\"{other}\" begins no value"))),
            None => return Err(self.wrong("it ends where a value should stand")),
        };
        Ok(Value { line, kind })
    }

    /// As far as a number may go; whether it is one is seen when it is taken.
    fn digits(&mut self) -> Kind {
        let is_of_number = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
        let end = self.rest.find(|c| !is_of_number(c)).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        self.rest = rest;
        Kind::Number(number.to_owned())
    }

    fn array(&mut self, depth: usize) -> Result<Kind, Wrong> {
        self.takes("[");
        let mut items = Vec::new();
        self.blanks();
        if self.takes("]") {
            return Ok(Kind::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.blanks();
            if self.takes("]") {
                return Ok(Kind::Array(items));
            }
            if !self.takes(",") {
                return Err(self.wrong("a comma or \"]\" is missing"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Kind, Wrong> {
        self.takes("{");
        let mut entries: Vec<(String, Value)> = Vec::new();
        self.blanks();
        if self.takes("}") {
            return Ok(Kind::Object(entries));
        }
        loop {
            self.blanks();
            let name = self.text()?;
            if entries.iter().any(|(known, _)| *known == name) {
                return Err(self.wrong(format!("\"{name}\" stands there twice")));
            }
            self.blanks();
            if !self.takes(":") {
                return Err(self.wrong("a colon is missing"));
            }
            entries.push((name, self.value(depth + 1)?));
            self.blanks();
            if self.takes("}") {
                return Ok(Kind::Object(entries));
            }
            if !self.takes(",") {
                return Err(self.wrong("a comma or \"}\" is missing"));
            }
        }
    }

    fn text(&mut self) -> Result<String, Wrong> {
        if !self.takes("\"") {
            return Err(self.wrong("a text in quotes is missing"));
        }
        let mut text = String::new();
        loop {
            let mut characters = self.rest.chars();
            let next = characters.next();
            self.rest = characters.as_str();
            match next {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escape()?),
                Some('\n') | None => return Err(self.wrong("a text has no closing quote")),
                Some(character) => text.push(character),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Wrong> {
        let mut characters = self.rest.chars();
        let kind = characters.next();
        self.rest = characters.as_str();
        Ok(match kind {
            Some(same @ ('"' | '\\' | '/')) => same,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let unit = self.unit()?;
                let code = match unit {
                    0xd800..0xdc00 if self.takes("\\u") => {
                        let low = self.unit()?;
                        0x1_0000 + ((unit - 0xd800) << 10) + (low.wrapping_sub(0xdc00) & 0x3ff)
                    }
                    _ => unit,
                };
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return Err(self.wrong("an escape is not known")),
        })
    }

    fn unit(&mut self) -> Result<u32, Wrong> {
        let digits = self.rest.get(..4).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let unit = unit.ok_or_else(|| self.wrong("four digits are missing behind \\u"))?;
        self.rest = self.rest.get(4..).unwrap_or_default();
        Ok(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_lines() {
        let value =
            read("{\n \"a\": [1, -2.5e3,\n true], \"b\": {\"c\": \"\\u00e9\\ud83d\\ude00\\n\"}, \"d\": null}\n")
                .unwrap();
        let mut fields = value.fields("it").unwrap();
        let Kind::Array(items) = &fields.take("a").unwrap().kind else { panic!("{value:?}") };
        assert_eq!(items.iter().map(|item| item.line).collect::<Vec<_>>(), [2, 2, 3]);
        let inner = fields.take("b").unwrap();
        assert_eq!(inner.fields("b").unwrap().take("c").unwrap().kind, Kind::Text("\u{e9}\u{1f600}\n".into()));
        assert!(fields.take("d").is_none());
        assert_eq!(fields.end("a"), Ok(()));
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_line() {
        for (text, line, problem) in [
            ("", 1, "ends where a value should stand"),
            ("{\n\"a\" 1}", 2, "a colon is missing"),
            ("{\n\"a\": 1\n\"b\": 2}", 3, "a comma or \"}\" is missing"),
            ("[1 2]", 1, "a comma or \"]\" is missing"),
            ("{\"a\": 1, \"a\": 2}", 1, "stands there twice"),
            ("\"abc\ndef\"", 1, "no closing quote"),
            ("\"\\x\"", 1, "an escape is not known"),
            ("\"\\u12\"", 1, "four digits are missing"),
            ("1 1", 1, "something follows the value"),
            ("nul", 1, "begins no value"),
            (&"[".repeat(1_000), 1, "nested too deep"),
        ] {
            let wrong = read(text).unwrap_err();
            assert!(wrong.line == line && wrong.problem.contains(problem), "{text}: {wrong:?}");
        }
    }
}
