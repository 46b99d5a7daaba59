//! Flows: where randomness has the scope of a flow, each has draws, indices and order of its own.
//!
//! The table is bounded: a flow has one of the [`WAYS`] places of the bucket that its hash names. Where all are taken the
//! one that was not seen for longest makes room, which is counted, and should it come back begins anew.

use core::hint::black_box;

use crate::loss::Place;
use crate::process::Process;
use crate::units::Nanos;

/// Flows in a bucket.
pub const WAYS: usize = 8;

/// What a flow carries over from packet to packet; where the scope of randomness is the link, what the link does.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// The index that its next packet takes for draws and patterns.
    pub next_index: u64,
    /// The latest release time given so far.
    pub last_release: Nanos,
    /// Jitter that is correlated in time.
    pub process: Process,
    /// Where the chain of losses is.
    pub loss: Place,
    /// Packets that went on since the last that left without the delay.
    pub since_reordered: u32,
    /// The last answers of chances, see [`crate::chance::Chance::hits`]: duplicate, corrupt, reorder.
    pub chances: [u8; 3],
    /// Explicit padding.
    pub _reserved: u8,
}

impl Flow {
    /// A flow that nothing came of yet: all zero, which the compiler must not know, for it would call a function that
    /// clears memory, and there is no call under a lock before Linux 6.7.
    #[inline(always)]
    fn begin() -> Self {
        let zero = black_box(0u64);
        Self {
            next_index: zero,
            last_release: Nanos(zero),
            process: Process { z: zero as i64, at: Nanos(zero) },
            loss: Place { state: zero as u32, run: zero as u32 },
            since_reordered: zero as u32,
            // Not the same value three times, which is cleared by a call too.
            chances: [black_box(0), black_box(0), black_box(0)],
            _reserved: 0,
        }
    }
}

/// A place in the table of flows.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowPlace {
    /// When the flow was last seen; zero where the place is free.
    pub seen: Nanos,
    /// The flow's hash.
    pub hash: u32,
    /// Explicit padding.
    pub _reserved: u32,
    /// What it carries.
    pub flow: Flow,
}

/// Flows whose hashes name the same bucket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// The places.
    pub places: [FlowPlace; WAYS],
}

/// Where a flow was found in its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its place.
    pub place: u32,
    /// One if another one was put out for it, else zero.
    pub evicted: u64,
}

/// The sign of a difference: one for a negative one.
#[inline(always)]
fn sign(difference: u64) -> u64 {
    black_box(difference >> 63)
}

impl Bucket {
    /// The number of a flow's bucket of `mask + 1`, which are a power of two.
    #[inline(always)]
    #[must_use]
    pub const fn of(hash: u32, mask: u32) -> u32 {
        // A bit of a product hangs on those of its factors that are no higher: from the 32nd on on all of the hash, which
        // may differ in its upper bits alone where ports are counted up.
        ((hash as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32 & mask
    }

    /// Finds the place of a flow, or makes one.
    #[inline(always)]
    #[must_use]
    pub fn find(&mut self, hash: u32, now: Nanos) -> Found {
        // Signs of differences instead of branches, of each of which the verifier walks through both sides. Times are
        // below 2^63.
        let (mut known, mut known_at) = (0, 0);
        let (mut oldest, mut oldest_at) = (i64::MAX as u64, 0);
        let mut way = 0;
        while way < WAYS {
            if let Some(place) = self.places.get(way) {
                let is_taken = sign(0u64.wrapping_sub(place.seen.0));
                let is_same = sign(((place.hash ^ hash) as u64).wrapping_sub(1)) & is_taken;
                known |= is_same;
                known_at |= way as u64 & 0u64.wrapping_sub(is_same);
                let is_older = 0u64.wrapping_sub(sign(place.seen.0.wrapping_sub(oldest)));
                oldest ^= (oldest ^ place.seen.0) & is_older;
                oldest_at ^= (oldest_at ^ way as u64) & is_older;
            }
            way += 1;
        }
        let at = black_box((known_at & 0u64.wrapping_sub(known)) | (oldest_at & known.wrapping_sub(1)));
        if let Some(place) = self.places.get_mut(at as usize & (WAYS - 1)) {
            if black_box(known) == 0 {
                place.hash = hash;
                place.flow = Flow::begin();
            }
            // A time of zero would be a free place.
            place.seen = Nanos(now.0 | 1);
        }
        Found { place: at as u32, evicted: sign(0u64.wrapping_sub(oldest)) & (1 - known) }
    }

    /// What the flow at a place carries.
    #[inline(always)]
    #[must_use]
    pub fn get(&self, place: u32) -> Flow {
        match self.places.get(black_box(place) as usize & (WAYS - 1)) {
            Some(place) => place.flow,
            None => Flow::default(),
        }
    }

    /// Writes what the flow at a place carries on.
    #[inline(always)]
    pub fn put(&mut self, place: u32, flow: &Flow) {
        if let Some(place) = self.places.get_mut(black_box(place) as usize & (WAYS - 1)) {
            // By way of the stack: between memories that may overlap it would be a call.
            place.flow = black_box(*flow);
        }
    }
}
