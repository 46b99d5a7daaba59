//! A cursor joined with the slots it governs, in memory that the kernel maps too.

use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

use crate::abi::RingOffset;
use crate::cursor::{ConsumerCursor, ProducerCursor};
use crate::mmap::Mapping;

/// Where a ring's parts lie. Keeps the mapping alive that they lie in.
#[derive(Debug)]
struct Parts<T> {
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    slots: NonNull<T>,
    size: u32,
    _mapping: Mapping,
}

// SAFETY: the pointers lead into the mapping, which is not bound to a thread; one side of a ring has one owner.
unsafe impl<T: Send> Send for Parts<T> {}

impl<T: Copy> Parts<T> {
    /// Nothing if the offsets lead out of the mapping.
    fn new(mapping: Mapping, offsets: &RingOffset, size: u32) -> Option<Parts<T>> {
        Some(Parts {
            producer: mapping.at(offsets.producer, 1)?,
            consumer: mapping.at(offsets.consumer, 1)?,
            slots: mapping.at(offsets.desc, usize::try_from(size).ok()?)?,
            size,
            _mapping: mapping,
        })
    }

    fn producer(&self) -> &AtomicU32 {
        // SAFETY: `Mapping::at` said that an aligned index lies there; the other side writes it atomically too.
        unsafe { self.producer.as_ref() }
    }

    fn consumer(&self) -> &AtomicU32 {
        // SAFETY: as for the producer index.
        unsafe { self.consumer.as_ref() }
    }
}

/// The bytes to map for a ring of `size` slots of `T`.
pub(crate) fn mapped_length<T>(offsets: &RingOffset, size: u32) -> Option<usize> {
    let slots = size_of::<T>().checked_mul(usize::try_from(size).ok()?)?;
    usize::try_from(offsets.desc).ok()?.checked_add(slots)
}

/// A ring that we fill and the kernel empties: fill and tx.
#[derive(Debug)]
pub(crate) struct Producer<T> {
    parts: Parts<T>,
    cursor: ProducerCursor,
}

impl<T: Copy> Producer<T> {
    pub(crate) fn new(mapping: Mapping, offsets: &RingOffset, size: u32) -> Option<Producer<T>> {
        let parts = Parts::new(mapping, offsets, size)?;
        let cursor = ProducerCursor::new(size, parts.producer(), parts.consumer());
        Some(Producer { parts, cursor })
    }

    /// Slots.
    pub(crate) fn size(&self) -> u32 {
        self.parts.size
    }

    /// Slots free to write; exact only if it is less than `want`.
    #[inline]
    pub(crate) fn free(&mut self, want: u32) -> u32 {
        // SAFETY: as in `Parts::consumer`; taken by field so that the cursor can be borrowed at once.
        let consumer = unsafe { self.parts.consumer.as_ref() };
        self.cursor.free(want, consumer)
    }

    /// Writes one slot; the kernel sees it after [`publish`](Self::publish). False if the ring is full.
    #[inline]
    pub(crate) fn push(&mut self, value: T) -> bool {
        if self.free(1) == 0 {
            return false;
        }
        let slot = self.cursor.claim() as usize;
        // SAFETY: the cursor keeps `slot` below the ring's size, and a claimed slot is ours until published.
        unsafe { self.parts.slots.add(slot).write(value) };
        true
    }

    /// Shows what was pushed to the kernel.
    #[inline]
    pub(crate) fn publish(&self) {
        self.cursor.publish(self.parts.producer());
    }

    /// Entries pushed that the kernel has not taken yet.
    #[inline]
    pub(crate) fn pending(&mut self) -> u32 {
        // SAFETY: as in `Parts::consumer`; taken by field so that the cursor can be borrowed at once.
        let consumer = unsafe { self.parts.consumer.as_ref() };
        self.cursor.pending(consumer)
    }
}

/// A ring that the kernel fills and we empty: rx and completion.
#[derive(Debug)]
pub(crate) struct Consumer<T> {
    parts: Parts<T>,
    cursor: ConsumerCursor,
}

impl<T: Copy> Consumer<T> {
    pub(crate) fn new(mapping: Mapping, offsets: &RingOffset, size: u32) -> Option<Consumer<T>> {
        let parts = Parts::new(mapping, offsets, size)?;
        let cursor = ConsumerCursor::new(size, parts.producer(), parts.consumer());
        Some(Consumer { parts, cursor })
    }

    /// Passes up to `limit` entries to `each` in ring order and hands their slots back. Returns how many.
    #[inline]
    pub(crate) fn consume(&mut self, limit: u32, mut each: impl FnMut(T)) -> u32 {
        // SAFETY: as in `Parts::producer`; taken by field so that the cursor can be borrowed at once.
        let producer = unsafe { self.parts.producer.as_ref() };
        let count = self.cursor.ready(limit, producer).min(limit).min(self.parts.size);
        for _ in 0..count {
            let slot = self.cursor.take() as usize;
            // SAFETY: the cursor keeps `slot` below the ring's size, and a taken slot is ours until released.
            each(unsafe { self.parts.slots.add(slot).read() });
        }
        if count > 0 {
            self.cursor.release(self.parts.consumer());
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;
    use std::collections::VecDeque;
    use std::os::fd::{AsFd, FromRawFd, OwnedFd};

    const OFFSETS: RingOffset = RingOffset { producer: 0, consumer: 64, desc: 128, flags: 192 };

    /// Both sides of one ring: the same memory mapped twice.
    fn both_sides(size: u32) -> (Producer<u64>, Consumer<u64>) {
        let length = mapped_length::<u64>(&OFFSETS, size).unwrap();
        // SAFETY: a name and no flags; the descriptor returned is ours alone.
        let memory = unsafe { OwnedFd::from_raw_fd(libc::memfd_create(c"ring".as_ptr(), 0)) };
        // SAFETY: plain integers.
        assert_eq!(unsafe { libc::ftruncate(std::os::fd::AsRawFd::as_raw_fd(&memory), length as libc::off_t) }, 0);
        let map = || Mapping::ring(length, memory.as_fd(), 0).unwrap();
        (Producer::new(map(), &OFFSETS, size).unwrap(), Consumer::new(map(), &OFFSETS, size).unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() })]
        #[test]
        fn what_is_pushed_comes_out_once_in_order(
            batches in prop::collection::vec((0u32..12, 0u32..12), 1..80), log_size in 0u32..4,
        ) {
            let size = 1 << log_size;
            let (mut producer, mut consumer) = both_sides(size);
            let mut oracle = VecDeque::new();
            let mut value = 0;
            for (push, take) in batches {
                for _ in 0..push {
                    let accepted = producer.push(value);
                    prop_assert_eq!(accepted, oracle.len() < size as usize);
                    if accepted { oracle.push_back(value); value += 1; }
                }
                producer.publish();
                prop_assert_eq!(producer.pending() as usize, oracle.len());
                let mut got = Vec::new();
                let count = consumer.consume(take, |value| got.push(value));
                prop_assert_eq!(count as usize, got.len());
                prop_assert_eq!(got.len(), oracle.len().min(take as usize));
                let expected: Vec<u64> = oracle.drain(..got.len()).collect();
                prop_assert_eq!(got, expected);
            }
        }
    }

    #[test]
    fn offsets_outside_the_mapping_make_no_ring() {
        let mapping = Mapping::anonymous(4096).unwrap();
        let offsets = RingOffset { desc: 4096 - 8, ..OFFSETS };
        assert!(Producer::<u64>::new(mapping, &offsets, 2).is_none());
    }
}
