//! Settings that were given, over others that stay.

use serde::Serialize;

use super::Direction;
use crate::effect::{
    Aqm, Cell, Corrupt, Distribution, Duplicate, Ecn, Given, LossPosition, Order, Overhead, Policer, Reorder, Scope,
    Slot, TraceRef,
};
use crate::error::Located;
use crate::loss::Loss;
use crate::quantity::{Duration, QueueLimit, Rate};
use crate::read::Keys;

/// The keys of a direction, each with what is written for it.
macro_rules! keys {
    ($($key:ident: $given:ty,)+) => {
        /// Settings that were given, over others that stay. Serialized, it has the keys that were given.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct Patch {
            $(
                #[doc = concat!("See [`Direction::", stringify!($key), "`].")]
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $key: Option<$given>,
            )+
        }

        impl Patch {
            /// The keys, in their order.
            pub const KEYS: &[&str] = &[$(stringify!($key)),+];

            /// What stands in a table.
            pub(crate) fn read(keys: &mut Keys<'_, '_, '_>) -> Result<Self, Located> {
                Ok(Self { $($key: keys.value(stringify!($key))?,)+ })
            }

            /// What makes the second direction of the first.
            #[must_use]
            pub fn between(before: &Direction, after: &Direction) -> Self {
                Self { $($key: (before.$key != after.$key).then(|| after.$key.clone().into()),)+ }
            }

            fn over(&self, base: &Direction) -> Direction {
                Direction { $($key: self.$key.clone().map_or_else(|| base.$key.clone(), Into::into),)+ }
            }
        }
    };
}

keys! {
    delay: Duration,
    jitter: Duration,
    distribution: Distribution,
    correlation_time: Duration,
    order: Order,
    loss: Loss,
    loss_position: LossPosition,
    ecn: Ecn,
    duplicate: Duplicate,
    corrupt: Corrupt,
    reorder: Reorder,
    slot: Given<Slot>,
    rate: Rate,
    overhead: Overhead,
    cell: Given<Cell>,
    queue: Given<QueueLimit>,
    aqm: Aqm,
    policer: Given<Policer>,
    scope: Scope,
    trace: Given<TraceRef>,
}

impl Patch {
    /// The direction with what was given.
    #[must_use]
    pub fn apply(&self, base: &Direction) -> Direction {
        let mut direction = self.over(base);
        // A queue and its management belong to their bottleneck and go with it, as a correlation does with its jitter.
        if direction.rate.is_unlimited() {
            direction.queue = self.queue.and_then(Option::from);
            direction.aqm = self.aqm.unwrap_or_default();
        }
        if !direction.has_jitter() {
            direction.correlation_time = self.correlation_time.unwrap_or_default();
        }
        direction
    }

    /// The same with paths of files as they stand beside `folder`.
    #[must_use]
    pub(crate) fn within(self, folder: &std::path::Path) -> Self {
        Self {
            distribution: self.distribution.map(|distribution| distribution.within(folder)),
            trace: self.trace.map(|Given(trace)| Given(trace.map(|trace| trace.within(folder)))),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_bottleneck_or_to_jitter_goes_with_it() {
        let base = Direction {
            jitter: Duration::from_millis(5),
            correlation_time: Duration::from_millis(50),
            rate: "10mbit".parse().unwrap(),
            queue: Some(QueueLimit::Packets(100)),
            aqm: Aqm::CODEL,
            ..Direction::default()
        };
        let none = Patch { jitter: Some(Duration::ZERO), rate: Some(Rate::UNLIMITED), ..Patch::default() };
        assert_eq!(none.apply(&base), Direction::default());
        let faster = Patch { rate: Some("20mbit".parse().unwrap()), ..Patch::default() }.apply(&base);
        assert_eq!((faster.queue, faster.aqm), (base.queue, base.aqm));
        let given = Patch { aqm: Some(Aqm::PIE), ..none }.apply(&base);
        assert_eq!(given.check().unwrap_err().key, "aqm");
    }

    #[test]
    fn what_is_between_two_directions_makes_the_second_of_the_first() {
        let before = Direction {
            delay: Duration::from_millis(5),
            slot: Some("10ms".parse().unwrap()),
            rate: "10mbit".parse().unwrap(),
            queue: Some(QueueLimit::Packets(100)),
            ..Direction::default()
        };
        let after = Direction { slot: None, queue: None, loss: "1% burst 3".parse().unwrap(), ..before.clone() };
        let between = Patch::between(&before, &after);
        assert_eq!(between.apply(&before), after);
        assert_eq!(between.delay, None);
        assert_eq!(Patch::between(&before, &before), Patch::default());
        assert_eq!(toml::to_string(&between).unwrap(), "loss = \"1% burst 3\"\nslot = \"none\"\nqueue = \"default\"\n");
    }
}
