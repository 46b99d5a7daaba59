//! `ecn`: marking instead of losing.

use std::fmt;
use std::str::FromStr;

use super::word::UnknownWord;

/// Whether packets that would be lost, or dropped by queue management, are marked "congestion experienced" (CE)
/// instead if their sender said that it understands that (ECT, RFC 3168).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ecn(pub bool);

impl Ecn {
    /// Whether it is on.
    #[must_use]
    pub const fn is_on(self) -> bool {
        self.0
    }
}

impl FromStr for Ecn {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text.trim() {
            "on" | "true" => Ok(Self(true)),
            "off" | "false" => Ok(Self(false)),
            text => Err(UnknownWord::new(text, &["on", "off", "true", "false"])),
        }
    }
}

impl fmt::Display for Ecn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0 { "on" } else { "off" })
    }
}

super::as_text!(Ecn);

#[cfg(test)]
mod tests {
    use super::super::tests::{read, refused};
    use super::*;

    #[test]
    fn on_or_off() {
        read::<Ecn>(&[("on", "on", "on"), ("true", "on", "on"), ("false", "off", "off"), ("off", "off", "off")]);
        refused::<Ecn>(&[("yes", "write \"on\", \"off\", \"true\" or \"false\""), ("", "is not known")]);
        assert!(!Ecn::default().is_on());
    }
}
