//! One amount of memory that many distributions share.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Words of eight bytes that are left; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Budget(Option<Arc<AtomicUsize>>);

impl Budget {
    /// So many words.
    #[must_use]
    pub fn of(words: usize) -> Self {
        Self(Some(Arc::new(AtomicUsize::new(words))))
    }

    /// Without an end.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::default()
    }

    /// Takes words if there are so many left.
    pub fn take(&self, words: usize) -> bool {
        let Some(left) = &self.0 else { return true };
        left.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(words)).is_ok()
    }

    /// Gives words back that were taken.
    pub fn give_back(&self, words: usize) {
        if let Some(left) = &self.0 {
            left.fetch_add(words, Ordering::Relaxed);
        }
    }
}
