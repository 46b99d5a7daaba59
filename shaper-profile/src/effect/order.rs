//! `order`: what jitter may do to the order of packets.

use serde::Deserialize;

use super::word::word;

/// What jitter may do to the order of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Each packet leaves at its own time and may overtake.
    #[default]
    Free,
    /// No packet leaves before its predecessor.
    Keep,
}

word!(Order, "keep" => Keep, "free" => Free);

impl Order {
    /// The integer form.
    #[must_use]
    pub const fn compiled(self) -> shaper_common::order::Order {
        match self {
            Self::Free => shaper_common::order::Order::Free,
            Self::Keep => shaper_common::order::Order::Keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{read, refused};
    use super::*;

    #[test]
    fn one_of_two_words() {
        read::<Order>(&[("keep", "keep", "keep"), (" free ", "free", "free")]);
        refused::<Order>(&[("kept", "\"kept\" is not known (did you mean \"keep\"?); write \"keep\" or \"free\"")]);
    }
}
