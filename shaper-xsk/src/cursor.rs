//! Ring arithmetic: who may touch which slots, over a producer and a consumer index that two sides share.
//!
//! The indices run through all of `u32` and wrap; a slot is an index modulo the ring's size, a power of two.
//! The producer writes slots, then stores its index with release order; the consumer loads that index with acquire
//! order before it reads them, and the other way round for handing slots back (`net/xdp/xsk_queue.h`).
//! Cursors know nothing of slots, so they are tested on plain memory.

use std::sync::atomic::{AtomicU32, Ordering};

/// An index shared with the other side. Implemented by the real atomic, and in tests by the model checker's.
pub(crate) trait Index {
    /// Loads; what the other side wrote before its [`publish`](Index::publish) is visible afterwards.
    fn observe(&self) -> u32;
    /// Stores; what was written before is visible to who observes the value.
    fn publish(&self, value: u32);
}

impl Index for AtomicU32 {
    fn observe(&self) -> u32 {
        self.load(Ordering::Acquire)
    }

    fn publish(&self, value: u32) {
        self.store(value, Ordering::Release);
    }
}

/// The producer's side of a ring.
#[derive(Debug, Clone)]
pub(crate) struct ProducerCursor {
    size: u32,
    /// Next index to write; runs ahead of the shared producer index until published.
    next: u32,
    /// The consumer index as last seen: no further than the true one.
    consumer: u32,
}

impl ProducerCursor {
    /// A cursor on a ring of `size` slots (a power of two) that stands at the shared indices.
    pub(crate) fn new(size: u32, producer: &impl Index, consumer: &impl Index) -> ProducerCursor {
        debug_assert!(size.is_power_of_two());
        ProducerCursor { size, next: producer.observe(), consumer: consumer.observe() }
    }

    /// Slots free to write. Looks at the shared index only when fewer than `want` are known to be free.
    pub(crate) fn free(&mut self, want: u32, consumer: &impl Index) -> u32 {
        let known = self.size - self.next.wrapping_sub(self.consumer);
        if known >= want {
            return known;
        }
        self.consumer = consumer.observe();
        self.size - self.next.wrapping_sub(self.consumer)
    }

    /// The slot to write next. Only after [`free`](Self::free) said there is one.
    pub(crate) fn claim(&mut self) -> u32 {
        debug_assert!(self.next.wrapping_sub(self.consumer) < self.size);
        let slot = self.next & (self.size - 1);
        self.next = self.next.wrapping_add(1);
        slot
    }

    /// Shows all claimed slots to the consumer.
    pub(crate) fn publish(&self, producer: &impl Index) {
        producer.publish(self.next);
    }

    /// Slots claimed that the consumer has not taken yet.
    pub(crate) fn pending(&mut self, consumer: &impl Index) -> u32 {
        self.consumer = consumer.observe();
        self.next.wrapping_sub(self.consumer)
    }
}

/// The consumer's side of a ring.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerCursor {
    size: u32,
    /// Next index to read; runs ahead of the shared consumer index until released.
    next: u32,
    /// The producer index as last seen: no further than the true one.
    producer: u32,
}

impl ConsumerCursor {
    /// A cursor on a ring of `size` slots (a power of two) that stands at the shared indices.
    pub(crate) fn new(size: u32, producer: &impl Index, consumer: &impl Index) -> ConsumerCursor {
        debug_assert!(size.is_power_of_two());
        ConsumerCursor { size, next: consumer.observe(), producer: producer.observe() }
    }

    /// Slots ready to read. Looks at the shared index only when fewer than `want` are known to be ready.
    pub(crate) fn ready(&mut self, want: u32, producer: &impl Index) -> u32 {
        let known = self.producer.wrapping_sub(self.next);
        if known >= want {
            return known;
        }
        self.producer = producer.observe();
        self.producer.wrapping_sub(self.next)
    }

    /// The slot to read next. Only after [`ready`](Self::ready) said there is one.
    pub(crate) fn take(&mut self) -> u32 {
        debug_assert!(self.producer != self.next);
        let slot = self.next & (self.size - 1);
        self.next = self.next.wrapping_add(1);
        slot
    }

    /// Hands all taken slots back to the producer.
    pub(crate) fn release(&self, consumer: &impl Index) {
        consumer.publish(self.next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;
    use std::collections::VecDeque;

    #[derive(Debug, Clone)]
    enum Step {
        Produce(u32),
        Publish,
        Consume(u32),
        Release,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        prop::collection::vec(
            prop_oneof![
                (0u32..20).prop_map(Step::Produce),
                Just(Step::Publish),
                (0u32..20).prop_map(Step::Consume),
                Just(Step::Release),
            ],
            0..200,
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() })]
        #[test]
        fn a_ring_is_a_bounded_queue_whatever_the_interleaving(
            steps in steps(), log_size in 0u32..5, start in prop_oneof![Just(0u32), Just(u32::MAX - 7), any::<u32>()],
        ) {
            let size = 1u32 << log_size;
            let (producer, consumer) = (AtomicU32::new(start), AtomicU32::new(start));
            let mut slots = vec![0u64; size as usize];
            let mut writer = ProducerCursor::new(size, &producer, &consumer);
            let mut reader = ConsumerCursor::new(size, &producer, &consumer);
            // The oracle: values written but not shown, shown but not read, and read but not handed back.
            let (mut written, mut shown, mut unreturned) = (VecDeque::new(), VecDeque::new(), 0u32);
            let mut value = 0u64;
            for step in steps {
                match step {
                    Step::Produce(count) => for _ in 0..count {
                        let held = written.len() as u32 + shown.len() as u32 + unreturned;
                        prop_assert_eq!(writer.free(size, &consumer), size - held);
                        if held == size { break; }
                        slots[writer.claim() as usize] = value;
                        written.push_back(value);
                        value += 1;
                        prop_assert_eq!(writer.pending(&consumer), held + 1);
                    },
                    Step::Publish => { writer.publish(&producer); shown.append(&mut written); }
                    Step::Consume(count) => for _ in 0..count {
                        prop_assert_eq!(reader.ready(size, &producer), shown.len() as u32);
                        let Some(expected) = shown.pop_front() else { break };
                        prop_assert_eq!(slots[reader.take() as usize], expected);
                        unreturned += 1;
                    },
                    Step::Release => { reader.release(&consumer); unreturned = 0; }
                }
            }
        }
    }

    #[test]
    fn a_known_surplus_is_not_looked_up_again() {
        let (producer, consumer) = (AtomicU32::new(0), AtomicU32::new(0));
        let mut writer = ProducerCursor::new(4, &producer, &consumer);
        consumer.store(u32::MAX, Ordering::Relaxed);
        assert_eq!(writer.free(4, &consumer), 4);
    }

    mod ordering {
        use super::super::*;
        use loom::cell::UnsafeCell;
        use loom::sync::Arc;
        use loom::sync::atomic::AtomicU32 as ModelU32;

        impl Index for ModelU32 {
            fn observe(&self) -> u32 {
                self.load(Ordering::Acquire)
            }
            fn publish(&self, value: u32) {
                self.store(value, Ordering::Release);
            }
        }

        #[test]
        fn no_slot_is_ever_touched_by_both_sides() {
            const SIZE: u32 = 2;
            const VALUES: u64 = 3;
            loom::model(|| {
                let ring = Arc::new((
                    ModelU32::new(u32::MAX),
                    ModelU32::new(u32::MAX),
                    [UnsafeCell::new(0u64), UnsafeCell::new(0u64)],
                ));
                let theirs = ring.clone();
                let writer = loom::thread::spawn(move || {
                    let (producer, consumer, slots) = &*theirs;
                    let mut cursor = ProducerCursor::new(SIZE, producer, consumer);
                    let mut value = 0;
                    while value < VALUES {
                        if cursor.free(1, consumer) == 0 {
                            loom::thread::yield_now();
                            continue;
                        }
                        let slot = cursor.claim() as usize;
                        // SAFETY: a claimed slot is the producer's alone; the model checker verifies just that.
                        slots[slot].with_mut(|cell| unsafe { *cell = value });
                        cursor.publish(producer);
                        value += 1;
                    }
                });
                let (producer, consumer, slots) = &*ring;
                let mut cursor = ConsumerCursor::new(SIZE, producer, consumer);
                let mut expected = 0;
                while expected < VALUES {
                    if cursor.ready(1, producer) == 0 {
                        loom::thread::yield_now();
                        continue;
                    }
                    let slot = cursor.take() as usize;
                    // SAFETY: a taken slot is the consumer's alone; the model checker verifies just that.
                    let value = slots[slot].with(|cell| unsafe { *cell });
                    assert_eq!(value, expected);
                    cursor.release(consumer);
                    expected += 1;
                }
                writer.join().unwrap();
            });
        }
    }
}
