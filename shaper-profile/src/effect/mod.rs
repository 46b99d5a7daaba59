//! The effects of a link as people write them, one file an effect.
//!
//! Each type reads its text, writes what reads back the same, and in the alternate form what people read. What a
//! text gets wrong is an [`EffectError`] or an [`UnknownWord`] with an example of what is right.

mod aqm;
mod cell;
mod corrupt;
mod distribution;
mod duplicate;
mod ecn;
mod given;
mod loss_position;
mod order;
mod outage;
mod overhead;
mod policer;
mod reorder;
mod scope;
mod slot;
mod trace;
mod word;
mod words;

pub use aqm::Aqm;
pub use cell::Cell;
pub use corrupt::{Corrupt, Damage, Part};
pub use distribution::Distribution;
pub use duplicate::Duplicate;
pub use ecn::Ecn;
pub use given::{Given, Optional};
pub use loss_position::LossPosition;
pub use order::Order;
pub use outage::{Flap, Held, OutageLength};
pub use overhead::Overhead;
pub use policer::{Depth, Policer};
pub use reorder::Reorder;
pub use scope::Scope;
pub use slot::{Slot, SlotShape, SlotTime};
pub use trace::{End, TraceRef};
pub use word::UnknownWord;
pub use words::{EffectError, Problem};

/// Writes types as their text.
macro_rules! as_text {
    ($($effect:ty),+) => {
        $(impl serde::Serialize for $effect {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        })+
    };
}
use as_text;

/// A file's path as it stands beside `folder`: relative paths of a profile are relative to the profile's own file.
fn beside(folder: &std::path::Path, path: &str) -> String {
    folder.join(path).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::fmt::{Debug, Display};
    use std::str::FromStr;

    /// Text, what is written of it, what people read.
    pub(super) fn read<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(cases: &[(&str, &str, &str)]) {
        for (text, again, told) in cases {
            let effect: T = text.parse().unwrap();
            assert_eq!((effect.to_string().as_str(), format!("{effect:#}").as_str()), (*again, *told), "{text}");
            assert_eq!(again.parse::<T>().unwrap(), effect, "{text}");
        }
    }

    /// Text, and words of its error; each error has an example that is right.
    pub(super) fn refused<T: FromStr<Err: Display> + Debug>(cases: &[(&str, &str)]) {
        for (text, words) in cases {
            let error = text.parse::<T>().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
            assert!(error.contains("write ") && error.matches('"').count() >= 2, "{text}: {error}");
        }
    }
}
