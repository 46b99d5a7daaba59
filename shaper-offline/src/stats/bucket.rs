//! Logarithmic buckets, and those of them that occur.

use super::Budget;

/// Bits of a bucket's mantissa: a relative width of 2^-10.
pub(super) const MANTISSA: u32 = 10;
/// The fewest where memory is short: a relative width of 2^-4.
const COARSEST: u32 = 4;
/// Words that an entry takes.
const ENTRY: usize = 2;

/// Bucket of a magnitude: exact below 2^mantissa, then 2^mantissa buckets an octave.
pub(super) fn bucket_of(magnitude: u64, mantissa: u32) -> usize {
    let exponent = magnitude.max(1).ilog2();
    if exponent < mantissa {
        return magnitude as usize;
    }
    let shift = exponent - mantissa;
    let within = (magnitude >> shift) as usize & ((1 << mantissa) - 1);
    ((shift as usize + 1) << mantissa) + within
}

/// The least magnitude of a bucket, and how many there are in it.
fn range(bucket: usize, mantissa: u32) -> (u64, u64) {
    let octave = bucket >> mantissa;
    if octave == 0 {
        return (bucket as u64, 1);
    }
    let shift = octave - 1;
    let within = (bucket & ((1 << mantissa) - 1)) | (1 << mantissa);
    ((within as u64) << shift, 1 << shift)
}

/// The value a bucket stands for: its middle.
pub(super) fn middle(bucket: usize, negative: bool, mantissa: u32) -> i64 {
    let (least, width) = range(bucket, mantissa);
    let magnitude = i64::try_from(least + width / 2).unwrap_or(i64::MAX);
    if negative { -magnitude } else { magnitude }
}

/// The buckets that occur, ascending; as coarse as the budget makes them.
#[derive(Clone, Debug)]
pub(super) struct Sparse {
    mantissa: u32,
    /// Bucket, or its complement for negative values, and samples in it.
    entries: Vec<(i32, u64)>,
}

impl Sparse {
    pub(super) fn new() -> Self {
        Self { mantissa: MANTISSA, entries: Vec::new() }
    }

    /// Adds samples of one value.
    pub(super) fn add(&mut self, value: i64, count: u64, budget: &Budget) {
        loop {
            let bucket = bucket_of(value.unsigned_abs(), self.mantissa) as i32;
            let index = if value < 0 { !bucket } else { bucket };
            let at = match self.entries.binary_search_by_key(&index, |entry| entry.0) {
                Ok(at) => {
                    if let Some(entry) = self.entries.get_mut(at) {
                        entry.1 += count;
                    }
                    return;
                }
                Err(at) => at,
            };
            if self.entries.len() == self.entries.capacity() {
                let more = self.entries.len().max(4);
                if budget.take(more * ENTRY) {
                    self.entries.reserve_exact(more);
                } else if self.mantissa > COARSEST {
                    self.coarsen(budget);
                    continue;
                }
                // Else the vector grows by itself: the coarsest buckets are few.
            }
            self.entries.insert(at, (index, count));
            return;
        }
    }

    /// Makes two buckets one.
    fn coarsen(&mut self, budget: &Budget) {
        let before = self.entries.capacity();
        let (fine, coarse) = (self.mantissa, self.mantissa - 1);
        self.mantissa = coarse;
        let mut merged: Vec<(i32, u64)> = Vec::new();
        for (index, count) in self.entries.drain(..) {
            let bucket = if index < 0 { !index } else { index };
            let bucket = bucket_of(range(bucket as usize, fine).0, coarse) as i32;
            let index = if index < 0 { !bucket } else { bucket };
            match merged.last_mut().filter(|last| last.0 == index) {
                Some(last) => last.1 += count,
                None => merged.push((index, count)),
            }
        }
        merged.shrink_to_fit();
        budget.give_back(before.saturating_sub(merged.capacity()) * ENTRY);
        self.entries = merged;
    }

    /// Values and samples, ascending.
    pub(super) fn values(&self) -> impl Iterator<Item = (i64, u64)> {
        self.entries.iter().map(|&(index, count)| {
            let bucket = if index < 0 { !index } else { index };
            (middle(bucket as usize, index < 0, self.mantissa), count)
        })
    }
}
