//! `loss_position`: on which side of the bottleneck packets are lost.

use super::word::word;

/// On which side of the bottleneck packets are lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LossPosition {
    /// Before it: what is lost takes no service.
    #[default]
    Before,
    /// Behind it: what is lost has waited and was served.
    After,
}

word!(LossPosition, "before" => Before, "after" => After);

#[cfg(test)]
mod tests {
    use super::super::tests::{read, refused};
    use super::*;

    #[test]
    fn one_of_two_words() {
        read::<LossPosition>(&[("before", "before", "before"), ("after", "after", "after")]);
        refused::<LossPosition>(&[("behind", "write \"before\" or \"after\""), ("befor", "did you mean \"before\"?")]);
    }
}
