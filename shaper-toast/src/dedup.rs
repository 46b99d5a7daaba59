//! One sender's commands, each once, however many copies arrive and across the sequence's wrap.
//!
//! The copies of a burst share its id, so a burst is known by that; the burst index plays no part
//! (de-duplication keyed on it applies a command once per copy). A command that was not burst is
//! known by its sequence.

use std::collections::{HashSet, VecDeque};

use crate::wire::{Header, sequence_after};

/// How many commands of one sender are remembered.
pub const REMEMBERED: usize = 256;

/// A sequence this far behind the newest is a sender that started anew, not a late command.
const RESTART_DISTANCE: u32 = 4 * REMEMBERED as u32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Burst(u32),
    Single(u32),
}

/// What one received copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The first copy of the newest command so far.
    New,
    /// The first copy of a command older than one already seen.
    OutOfOrder {
        /// The newest sequence seen.
        newest: u32,
    },
    /// A further copy.
    Repeated,
}

/// The memory of one sender.
#[derive(Debug, Default)]
pub struct Dedup {
    seen: HashSet<Key>,
    order: VecDeque<Key>,
    newest: Option<u32>,
}

impl Dedup {
    /// Classifies a copy and remembers it.
    pub fn arrival(&mut self, header: &Header) -> Arrival {
        let key = match header.burst_id {
            0 => Key::Single(header.sequence),
            id => Key::Burst(id),
        };
        let behind = self.newest.filter(|&newest| !sequence_after(header.sequence, newest));
        let restarted = behind.is_some_and(|newest| newest.wrapping_sub(header.sequence) >= RESTART_DISTANCE);
        if restarted && matches!(key, Key::Single(_)) {
            // The sequences of the sender's former life say nothing about its new one.
            self.seen.clear();
            self.order.clear();
        }
        if !self.seen.insert(key) {
            return Arrival::Repeated;
        }
        self.order.push_back(key);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        match behind {
            Some(newest) if !restarted => Arrival::OutOfOrder { newest },
            _ => {
                self.newest = Some(header.sequence);
                Arrival::New
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{FLAG_BURST, MessageType};
    use proptest::prelude::*;

    fn copy(sequence: u32, burst_id: u32, burst_index: u8) -> Header {
        Header {
            message_type: MessageType::Transport,
            flags: if burst_id == 0 { 0 } else { FLAG_BURST },
            sequence,
            timestamp: 0,
            burst_id,
            burst_index,
            burst_total: if burst_id == 0 { 1 } else { 3 },
            session: 1,
        }
    }

    #[test]
    fn three_copies_of_a_burst_are_one_command() {
        let mut dedup = Dedup::default();
        let arrivals: Vec<Arrival> = (0..3).map(|i| dedup.arrival(&copy(9, 77, i))).collect();
        assert_eq!(arrivals, [Arrival::New, Arrival::Repeated, Arrival::Repeated]);
    }

    #[test]
    fn a_sender_that_counts_each_copy_is_still_one_command() {
        let mut dedup = Dedup::default();
        let arrivals: Vec<Arrival> = (0..3).map(|i| dedup.arrival(&copy(9 + u32::from(i), 77, i))).collect();
        assert_eq!(arrivals, [Arrival::New, Arrival::Repeated, Arrival::Repeated]);
    }

    #[test]
    fn an_older_command_is_out_of_order_and_its_copies_repeat() {
        let mut dedup = Dedup::default();
        assert_eq!(dedup.arrival(&copy(5, 50, 0)), Arrival::New);
        assert_eq!(dedup.arrival(&copy(4, 40, 1)), Arrival::OutOfOrder { newest: 5 });
        assert_eq!(dedup.arrival(&copy(4, 40, 2)), Arrival::Repeated);
        assert_eq!(dedup.arrival(&copy(6, 60, 0)), Arrival::New);
    }

    #[test]
    fn a_restarted_sender_is_heard_again() {
        let mut dedup = Dedup::default();
        for sequence in 5_000..5_010 {
            assert_eq!(dedup.arrival(&copy(sequence, 0, 0)), Arrival::New);
        }
        assert_eq!(dedup.arrival(&copy(0, 0, 0)), Arrival::New);
        assert_eq!(dedup.arrival(&copy(1, 0, 0)), Arrival::New);
    }

    proptest! {
        #![proptest_config(crate::testing::fixed())]

        #[test]
        fn every_command_is_new_once_across_the_wrap(
            start in prop_oneof![any::<u32>(), u32::MAX - 300..=u32::MAX],
            bursts in any::<bool>(),
            copies in 1u8..9,
        ) {
            let mut dedup = Dedup::default();
            for n in 0..600u32 {
                let sequence = start.wrapping_add(n);
                let burst_id = if bursts { n + 1 } else { 0 };
                for index in 0..copies {
                    let expected = if index == 0 { Arrival::New } else { Arrival::Repeated };
                    prop_assert_eq!(dedup.arrival(&copy(sequence, burst_id, index)), expected);
                }
            }
        }
    }
}
