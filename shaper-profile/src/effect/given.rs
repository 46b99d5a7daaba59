//! A setting that may be absent, with the word that says so.

use std::fmt;
use std::str::FromStr;

/// A type that a setting may do without, and the word for that.
pub trait Optional {
    /// The word, such as "none".
    const ABSENT: &'static str;
}

/// What is written for a setting that may be absent: the word for that, or the setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given<T>(pub Option<T>);

impl<T> From<Option<T>> for Given<T> {
    fn from(setting: Option<T>) -> Self {
        Self(setting)
    }
}

impl<T> From<Given<T>> for Option<T> {
    fn from(given: Given<T>) -> Self {
        given.0
    }
}

impl<T: Optional + FromStr> FromStr for Given<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text.trim() == T::ABSENT { Ok(Self(None)) } else { text.parse().map(|setting| Self(Some(setting))) }
    }
}

impl<T: Optional + fmt::Display> fmt::Display for Given<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(setting) => setting.fmt(formatter),
            None => formatter.write_str(T::ABSENT),
        }
    }
}

impl<T: Optional + fmt::Display> serde::Serialize for Given<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Optional for crate::quantity::QueueLimit {
    const ABSENT: &'static str = "default";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::QueueLimit;

    #[test]
    fn the_word_for_nothing_reads_back_as_nothing() {
        let none: Given<QueueLimit> = "default".parse().unwrap();
        assert_eq!((none, none.to_string().as_str()), (Given(None), "default"));
        let some: Given<QueueLimit> = "100p".parse().unwrap();
        assert_eq!((some, some.to_string().as_str()), (Given(Some(QueueLimit::Packets(100))), "100p"));
        assert!("nothing".parse::<Given<QueueLimit>>().is_err());
    }
}
