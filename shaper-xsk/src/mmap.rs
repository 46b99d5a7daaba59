//! A memory mapping that is unmapped when dropped.

use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use crate::syscall::{self, Failed};

/// Shared memory. Whoever reads or writes it answers for the races with the kernel.
#[derive(Debug)]
pub(crate) struct Mapping {
    address: NonNull<u8>,
    length: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread; access to its bytes is `unsafe` where it happens.
unsafe impl Send for Mapping {}
// SAFETY: as above; a shared `Mapping` only hands out its address.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Zeroed memory, populated. A child made by fork does not get it: the kernel copies pinned pages then and there,
    /// which for a large UMEM takes as much memory again, and seconds.
    pub(crate) fn anonymous(length: usize) -> Result<Mapping, Failed> {
        let mapping = Mapping { address: syscall::map(length, None)?, length };
        syscall::keep_from_children(mapping.address, length)?;
        Ok(mapping)
    }

    /// One ring of an AF_XDP socket, at the offset that `if_xdp.h` gives for its kind.
    pub(crate) fn ring(length: usize, socket: BorrowedFd<'_>, offset: i64) -> Result<Mapping, Failed> {
        Ok(Mapping { address: syscall::map(length, Some((socket, offset)))?, length })
    }

    /// The first byte.
    pub(crate) fn address(&self) -> NonNull<u8> {
        self.address
    }

    /// Bytes in the mapping.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// The address of a `T` at `offset`, or nothing if it would not lie inside, aligned.
    pub(crate) fn at<T>(&self, offset: u64, count: usize) -> Option<NonNull<T>> {
        let offset = usize::try_from(offset).ok()?;
        let end = size_of::<T>().checked_mul(count)?.checked_add(offset)?;
        if end > self.length {
            return None;
        }
        // SAFETY: `offset` is at most the mapping's length.
        let pointer: NonNull<T> = unsafe { self.address.add(offset) }.cast();
        pointer.is_aligned().then_some(pointer)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range came from `map`; whoever keeps pointers into it also keeps the mapping.
        unsafe { syscall::unmap(self.address, self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_outside_or_askew_are_refused() {
        let mapping = Mapping::anonymous(4096).unwrap();
        assert!(mapping.at::<u64>(4088, 1).is_some());
        assert!(mapping.at::<u64>(4088, 2).is_none());
        assert!(mapping.at::<u64>(4, 1).is_none());
        assert!(mapping.at::<u64>(u64::MAX, 1).is_none());
        assert!(mapping.at::<u64>(0, usize::MAX).is_none());
    }
}
