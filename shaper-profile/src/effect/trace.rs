//! `trace`: settings over time, from a file.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::given::Optional;
use super::words::{EffectError, Grammar, Words};

const GRAMMAR: Grammar =
    Grammar { effect: "trace", example: "\"lte.csv\", \"lte.csv loop\" or \"lte.csv hold\"", options: &[] };

/// A file of settings over time, and what is behind its end: `lte.csv loop`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TraceRef {
    /// The file's path.
    pub path: String,
    /// What is behind the trace's end.
    pub end: End,
}

/// What is behind a trace's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum End {
    /// The last settings stay.
    #[default]
    Hold,
    /// It begins anew.
    Loop,
}

impl TraceRef {
    /// The same with the path as it stands beside `folder`.
    #[must_use]
    pub fn within(self, folder: &Path) -> Self {
        Self { path: super::beside(folder, &self.path), ..self }
    }
}

impl Optional for TraceRef {
    const ABSENT: &'static str = "none";
}

impl FromStr for TraceRef {
    type Err = EffectError;

    fn from_str(text: &str) -> Result<Self, EffectError> {
        let mut words = Words::of(&GRAMMAR, text);
        words.next("the file's path")?;
        // A path may hold blanks: it is all but the last word, as it stands.
        let text = text.trim();
        let (path, end) = match text.rsplit_once(char::is_whitespace) {
            Some((path, "loop")) => (path.trim_end(), End::Loop),
            Some((path, "hold")) => (path.trim_end(), End::Hold),
            _ => (text, End::Hold),
        };
        Ok(Self { path: path.to_owned(), end })
    }
}

impl fmt::Display for TraceRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = match self.end {
            End::Hold => "hold",
            End::Loop => "loop",
        };
        write!(formatter, "{} {end}", self.path)
    }
}

super::as_text!(TraceRef);

#[cfg(test)]
mod tests {
    use super::super::tests::{read, refused};
    use super::*;

    #[test]
    fn a_file_and_what_is_behind_its_end() {
        read::<TraceRef>(&[
            ("lte.csv", "lte.csv hold", "lte.csv hold"),
            ("lte.csv loop", "lte.csv loop", "lte.csv loop"),
            ("my trace.csv  hold ", "my trace.csv hold", "my trace.csv hold"),
            ("loop", "loop hold", "loop hold"),
        ]);
        refused::<TraceRef>(&[("", "the file's path is missing"), ("  ", "the file's path is missing")]);
        let trace = "a.csv loop".parse::<TraceRef>().unwrap().within(Path::new("links"));
        assert_eq!(trace, TraceRef { path: "links/a.csv".into(), end: End::Loop });
    }
}
