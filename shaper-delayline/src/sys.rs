//! The system calls of the forwarder's thread, one wrapper each.

use std::io;
use std::os::fd::RawFd;

use shaper_common::units::Nanos;

/// CLOCK_MONOTONIC, the clock of `bpf_ktime_get_ns` and of release times.
#[inline]
pub fn monotonic() -> Nanos {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec; the clock exists on every Linux, so the call cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    Nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Starts fetching what lies at a reference, where the processor has an instruction for it.
#[inline]
pub(crate) fn prefetch<T>(target: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing and cannot fault.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(target).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = target;
}

/// A slice of equal values, in huge pages where the kernel gives them: walked out of order, small ones cost a miss
/// in the translation cache nearly every time.
pub(crate) fn large_slice<T: Clone>(count: usize, value: T) -> Box<[T]> {
    const PAGE: usize = 1 << 21;
    let mut slice = Vec::with_capacity(count);
    let start = slice.as_ptr() as usize;
    let (first, end) = (start.next_multiple_of(PAGE), (start + count * size_of::<T>()) & !(PAGE - 1));
    if first < end {
        // SAFETY: the range lies in memory that `slice` owns, and the advice changes none of its contents. It is
        // only an advice: whether it is taken does not matter.
        unsafe { libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_HUGEPAGE) };
    }
    slice.resize(count, value);
    slice.into_boxed_slice()
}

/// Descriptors to wait on.
#[derive(Debug)]
pub(crate) struct PollSet(Vec<libc::pollfd>);

impl PollSet {
    /// Waits for each of them to become readable.
    pub(crate) fn readable(fds: impl Iterator<Item = RawFd>) -> PollSet {
        PollSet(fds.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 }).collect())
    }

    /// `ppoll`: waits until one is ready, the time is over, or a signal came. A socket in error, since its interface is
    /// gone, is not waited on again: it would be ready for ever.
    pub(crate) fn wait(&mut self, timeout: Nanos) -> io::Result<()> {
        let timeout = libc::timespec {
            tv_sec: (timeout.0 / 1_000_000_000) as libc::time_t,
            tv_nsec: (timeout.0 % 1_000_000_000) as libc::c_long,
        };
        // SAFETY: the array is as long as said, the timeout valid, and there is no signal mask.
        let answer =
            unsafe { libc::ppoll(self.0.as_mut_ptr(), self.0.len() as libc::nfds_t, &timeout, std::ptr::null()) };
        if answer < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        if answer > 0 {
            for entry in &mut self.0 {
                if entry.revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0 {
                    entry.fd = -1;
                }
            }
        }
        Ok(())
    }
}

/// Asks for wake-ups of this thread at the time itself rather than up to 50 us later (`PR_SET_TIMERSLACK`).
pub(crate) fn precise_timers() -> io::Result<()> {
    // SAFETY: the option takes an integer.
    let answer = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Puts this thread under `SCHED_FIFO` with the priority given.
pub(crate) fn realtime(priority: u8) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: priority.into() };
    // SAFETY: the parameters are valid; 0 is the calling thread.
    let answer = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameters) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Keeps this thread on one processor.
pub(crate) fn pin(cpu: u32) -> io::Result<()> {
    // SAFETY: all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    if cpu >= libc::CPU_SETSIZE as u32 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: the number was checked to lie in the set.
    unsafe { libc::CPU_SET(cpu as usize, &mut set) };
    // SAFETY: the set is valid for its size; 0 is the calling thread.
    let answer = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
