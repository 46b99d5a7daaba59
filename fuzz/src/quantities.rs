//! What one value of a flag or of a profile's key holds: quantities with their units, and effects in words.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use shaper_profile::effect::{
    Aqm, Cell, Corrupt, Duplicate, Ecn, Flap, Given, Held, LossPosition, Order, OutageLength, Overhead, Policer,
    Reorder, Scope, Slot, TraceRef,
};
use shaper_profile::quantity::{Duration, EventRate, Percent, QueueLimit, Rate, Size};
use shaper_profile::{Distribution, Loss};

/// Reads the bytes as each of them; what can be read is written as what reads the same.
pub fn read(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    quantity::<Duration>(text);
    quantity::<EventRate>(text);
    quantity::<Percent>(text);
    quantity::<QueueLimit>(text);
    quantity::<Rate>(text);
    quantity::<Size>(text);

    comes_back::<Aqm>(text);
    comes_back::<Cell>(text);
    comes_back::<Corrupt>(text);
    comes_back::<Distribution>(text);
    comes_back::<Duplicate>(text);
    comes_back::<Ecn>(text);
    comes_back::<Given<Flap>>(text);
    comes_back::<Given<Slot>>(text);
    comes_back::<Held>(text);
    comes_back::<Loss>(text);
    comes_back::<LossPosition>(text);
    comes_back::<Order>(text);
    comes_back::<OutageLength>(text);
    comes_back::<Overhead>(text);
    comes_back::<Policer>(text);
    comes_back::<Reorder>(text);
    comes_back::<Scope>(text);
    comes_back::<TraceRef>(text);
}

/// As it is written for people, too.
fn quantity<T: FromStr<Err: Display> + Display + Debug + PartialEq>(text: &str) {
    if let Some(value) = comes_back::<T>(text) {
        let shown = format!("{value:#}");
        assert!(shown.parse::<T>().is_ok_and(|again| again == value), "{text:?} is {value:?}, shown as {shown:?}");
    }
}

fn comes_back<T: FromStr<Err: Display> + Display + Debug + PartialEq>(text: &str) -> Option<T> {
    match text.parse::<T>() {
        Ok(value) => {
            let written = value.to_string();
            let same = written.parse::<T>().is_ok_and(|again| again == value);
            assert!(same, "{text:?} is {value:?}, written as {written:?}");
            Some(value)
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}
