//! The comments that carry a packet's fate, and on the section the clock of its stamps.
//!
//! Grammar (ABNF, RFC 5234), in one `opt_comment` of the packet or section:
//!
//! ```text
//! comment = "shaper" *( SP pair )
//! pair    = key "=" value
//! key     = 1*( ALPHA / DIGIT / "_" )
//! value   = 1*( %x21-3C / %x3E-7E )      ; visible ASCII except "="
//! ```
//!
//! | key | value |
//! | --- | --- |
//! | `cause` | `none` for a packet let through; else what dropped it: `loss`, `queue`, `outage` |
//! | `rule` | number of the rule, decimal |
//! | `id` | packet id, decimal; the same in `epb_packetid` |
//! | `dir` | direction, decimal: 0 forward, 1 backward |
//! | `seq` | sequence number of the record in its direction, decimal |
//! | `copy` | on copies: which one, decimal, from 1 up; `intended` and `actual` are its own then |
//! | `intended` | intended release time, nanoseconds since the epoch, decimal |
//! | `actual` | actual release time, nanoseconds since the epoch, decimal |
//! | `clock` | on sections: the host's clock, by the id of its boot; equal where one clock stamped |
//!
//! Each key stands at most once, in the order above when written; readers take any order and
//! ignore keys they do not know. Comments that do not start with the tag belong to somebody else.

use std::fmt;

use thiserror::Error;

const TAG: &str = "shaper";

/// A fate, as it stands in a packet comment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comment {
    /// Name of what decided the fate.
    pub cause: Option<String>,
    /// Number of the rule.
    pub rule: Option<u32>,
    /// Packet id.
    pub id: Option<u64>,
    /// Direction.
    pub dir: Option<u16>,
    /// Sequence number of the record in its direction.
    pub seq: Option<u64>,
    /// Which copy of the packet, from 1 up; none on the packet itself.
    pub copy: Option<u32>,
    /// Intended release time, nanoseconds since the epoch.
    pub intended: Option<i64>,
    /// Actual release time, nanoseconds since the epoch.
    pub actual: Option<i64>,
    /// Which clock stamped the packets of the section.
    pub clock: Option<String>,
}

/// A comment that carries the tag but breaks the grammar.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommentError {
    /// A pair without "=", or with an empty side.
    #[error("comment pair {0:?} is not key=value")]
    Pair(String),
    /// A number that is none, or out of range.
    #[error("comment value {value:?} of {key} is no number of its range")]
    Number {
        /// Key.
        key: String,
        /// Value.
        value: String,
    },
    /// A key that stands twice.
    #[error("comment key {0} stands twice")]
    Twice(String),
}

impl Comment {
    /// Names the cause.
    #[must_use]
    pub fn cause(mut self, cause: &str) -> Self {
        self.cause = Some(cause.to_owned());
        self
    }

    /// Numbers the rule.
    #[must_use]
    pub fn rule(mut self, rule: u32) -> Self {
        self.rule = Some(rule);
        self
    }

    /// Gives the packet id.
    #[must_use]
    pub fn id(mut self, id: u64) -> Self {
        self.id = Some(id);
        self
    }

    /// Gives direction and sequence number of the record.
    #[must_use]
    pub fn record(mut self, dir: u16, seq: u64) -> Self {
        self.dir = Some(dir);
        self.seq = Some(seq);
        self
    }

    /// Numbers the copy.
    #[must_use]
    pub fn copy(mut self, copy: u32) -> Self {
        self.copy = Some(copy);
        self
    }

    /// Gives the intended release time.
    #[must_use]
    pub fn intended(mut self, ns: i64) -> Self {
        self.intended = Some(ns);
        self
    }

    /// Gives the actual release time.
    #[must_use]
    pub fn actual(mut self, ns: i64) -> Self {
        self.actual = Some(ns);
        self
    }

    /// Names the clock that stamps the section.
    #[must_use]
    pub fn clock(mut self, clock: &str) -> Self {
        self.clock = Some(clock.to_owned());
        self
    }

    /// The first of a packet's comments that is one. What somebody else wrote, or wrote wrong, is none.
    #[must_use]
    pub fn first<'a>(comments: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        comments.into_iter().find_map(|text| Self::parse(text).ok().flatten())
    }

    /// Reads a comment; `Ok(None)` if it does not carry the tag.
    ///
    /// # Errors
    /// [`CommentError`] if it carries the tag and breaks the grammar.
    pub fn parse(text: &str) -> Result<Option<Self>, CommentError> {
        let mut words = text.split(' ');
        if words.next() != Some(TAG) {
            return Ok(None);
        }
        let mut comment = Self::default();
        for word in words {
            let (key, value) = word
                .split_once('=')
                .filter(|(key, value)| !key.is_empty() && !value.is_empty())
                .ok_or_else(|| CommentError::Pair(word.to_owned()))?;
            match key {
                "cause" => set(&mut comment.cause, key, Ok(value.to_owned()))?,
                "rule" => set(&mut comment.rule, key, number(key, value))?,
                "id" => set(&mut comment.id, key, number(key, value))?,
                "dir" => set(&mut comment.dir, key, number(key, value))?,
                "seq" => set(&mut comment.seq, key, number(key, value))?,
                "copy" => set(&mut comment.copy, key, number(key, value))?,
                "intended" => set(&mut comment.intended, key, number(key, value))?,
                "actual" => set(&mut comment.actual, key, number(key, value))?,
                "clock" => set(&mut comment.clock, key, Ok(value.to_owned()))?,
                _ => {}
            }
        }
        Ok(Some(comment))
    }
}

fn number<T: std::str::FromStr>(key: &str, value: &str) -> Result<T, CommentError> {
    value.parse().map_err(|_| CommentError::Number { key: key.to_owned(), value: value.to_owned() })
}

fn set<T>(slot: &mut Option<T>, key: &str, value: Result<T, CommentError>) -> Result<(), CommentError> {
    if slot.replace(value?).is_some() {
        return Err(CommentError::Twice(key.to_owned()));
    }
    Ok(())
}

impl fmt::Display for Comment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(TAG)?;
        pair(f, "cause", self.cause.as_deref().map(word))?;
        pair(f, "rule", self.rule)?;
        pair(f, "id", self.id)?;
        pair(f, "dir", self.dir)?;
        pair(f, "seq", self.seq)?;
        pair(f, "copy", self.copy)?;
        pair(f, "intended", self.intended)?;
        pair(f, "actual", self.actual)?;
        pair(f, "clock", self.clock.as_deref().map(word))
    }
}

/// A value as the grammar has room for it: what does not fit becomes an underscore.
fn word(text: &str) -> String {
    if text.is_empty() {
        return "_".to_owned();
    }
    text.chars().map(|c| if c.is_ascii_graphic() && c != '=' { c } else { '_' }).collect()
}

fn pair(f: &mut fmt::Formatter<'_>, key: &str, value: Option<impl fmt::Display>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, " {key}={value}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_full_comment_reads_as_documented() {
        let comment = Comment::default()
            .cause("loss")
            .rule(3)
            .id(42)
            .record(1, 17)
            .copy(2)
            .intended(1_700_000_000_000_000_000)
            .actual(1_700_000_000_000_000_123);
        let text = "shaper cause=loss rule=3 id=42 dir=1 seq=17 copy=2 \
                    intended=1700000000000000000 actual=1700000000000000123";
        assert_eq!(comment.to_string(), text);
        assert_eq!(Comment::parse(text), Ok(Some(comment)));
    }

    #[test]
    fn strangers_are_left_alone_and_nonsense_is_named() {
        assert_eq!(Comment::parse("retransmission?"), Ok(None));
        assert_eq!(Comment::parse("shapers id=1"), Ok(None));
        assert_eq!(Comment::parse("shaper later=new id=1"), Ok(Some(Comment::default().id(1))));
        assert_eq!(Comment::parse("shaper id"), Err(CommentError::Pair("id".into())));
        assert_eq!(Comment::parse("shaper id=1 id=1"), Err(CommentError::Twice("id".into())));
        assert!(matches!(Comment::parse("shaper dir=-1"), Err(CommentError::Number { .. })));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            cause in prop::option::of("[a-z_-]{1,12}"),
            rule: Option<u32>, id: Option<u64>, dir: Option<u16>, seq: Option<u64>,
            copy: Option<u32>, intended: Option<i64>, actual: Option<i64>,
            clock in prop::option::of("[0-9a-f-]{1,36}"),
        ) {
            let comment = Comment { cause, rule, id, dir, seq, copy, intended, actual, clock };
            prop_assert_eq!(Comment::parse(&comment.to_string()), Ok(Some(comment)));
        }

        #[test]
        fn any_cause_gives_a_comment_of_the_grammar(cause: String) {
            let text = Comment::default().cause(&cause).id(1).to_string();
            let read = Comment::parse(&text).unwrap().unwrap();
            prop_assert_eq!(read.id, Some(1));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = Comment::parse(&text);
            let _ = Comment::parse(&format!("shaper {text}"));
        }
    }
}
