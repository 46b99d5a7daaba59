//! One wrapper a system call; each error names its call. Nothing else in this crate calls the kernel.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use crate::abi::{self, SockaddrXdp};

/// A system call that failed: its name and the kernel's answer.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) call: &'static str,
    pub(crate) source: io::Error,
}

impl Failed {
    fn last(call: &'static str) -> Failed {
        Failed { call, source: io::Error::last_os_error() }
    }

    /// The error number, 0 if there is none.
    pub(crate) fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or(0)
    }
}

/// `socket(AF_XDP, SOCK_RAW)`, in the calling thread's network namespace.
pub(crate) fn socket() -> Result<OwnedFd, Failed> {
    // SAFETY: takes no pointers.
    let fd = unsafe { libc::socket(abi::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(Failed::last("socket(AF_XDP)"));
    }
    // SAFETY: the kernel just returned this descriptor and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `setsockopt` with a plain value. `call` names the option in errors.
pub(crate) fn set_option<T: Copy>(
    fd: BorrowedFd<'_>,
    level: i32,
    option: i32,
    value: &T,
    call: &'static str,
) -> Result<(), Failed> {
    // SAFETY: the pointer is valid for the length given for as long as the call lasts.
    let answer = unsafe {
        libc::setsockopt(fd.as_raw_fd(), level, option, ptr::from_ref(value).cast(), size_of::<T>() as libc::socklen_t)
    };
    if answer < 0 { Err(Failed::last(call)) } else { Ok(()) }
}

/// Structures in which every bit pattern is a value, so that the kernel may fill them.
///
/// # Safety
/// Implement for types of integers without padding only.
pub(crate) unsafe trait Plain: Copy + Default {}
// SAFETY: `u64` fields only.
unsafe impl Plain for abi::MmapOffsets {}
// SAFETY: `u64` fields only.
unsafe impl Plain for abi::Statistics {}
// SAFETY: an integer.
unsafe impl Plain for u32 {}

/// `getsockopt` at level `SOL_XDP`. What an older kernel leaves out stays 0.
pub(crate) fn get_option<T: Plain>(fd: BorrowedFd<'_>, option: i32, call: &'static str) -> Result<T, Failed> {
    let mut value = T::default();
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, all inside `value`, and any bits are a valid `T`.
    let answer = unsafe {
        libc::getsockopt(fd.as_raw_fd(), abi::SOL_XDP, option, ptr::from_mut(&mut value).cast(), &mut length)
    };
    if answer < 0 { Err(Failed::last(call)) } else { Ok(value) }
}

/// `bind`.
pub(crate) fn bind(fd: BorrowedFd<'_>, address: &SockaddrXdp) -> Result<(), Failed> {
    // SAFETY: the address is valid for its own length.
    let answer = unsafe {
        libc::bind(fd.as_raw_fd(), ptr::from_ref(address).cast(), size_of::<SockaddrXdp>() as libc::socklen_t)
    };
    if answer < 0 { Err(Failed::last("bind(AF_XDP)")) } else { Ok(()) }
}

/// `sendto` without data: asks the kernel to look at the tx ring.
pub(crate) fn kick(fd: BorrowedFd<'_>) -> Result<(), Failed> {
    // SAFETY: no data and no address are passed.
    let answer = unsafe { libc::sendto(fd.as_raw_fd(), ptr::null(), 0, libc::MSG_DONTWAIT, ptr::null(), 0) };
    if answer < 0 { Err(Failed::last("sendto(AF_XDP)")) } else { Ok(()) }
}

/// `mmap`, readable and writable, populated. `file` is a socket and its ring's offset, or nothing for memory of
/// our own. The address is not null.
pub(crate) fn map(length: usize, file: Option<(BorrowedFd<'_>, i64)>) -> Result<ptr::NonNull<u8>, Failed> {
    let (flags, fd, offset) = match file {
        Some((fd, offset)) => (libc::MAP_SHARED, fd.as_raw_fd(), offset),
        None => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, -1, 0),
    };
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory in use.
    let address = unsafe {
        libc::mmap(ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags | libc::MAP_POPULATE, fd, offset)
    };
    if address == libc::MAP_FAILED {
        return Err(Failed::last("mmap"));
    }
    ptr::NonNull::new(address.cast()).ok_or(Failed { call: "mmap", source: io::ErrorKind::AddrNotAvailable.into() })
}

/// `madvise(MADV_DONTFORK)` on a mapping of [`map`].
pub(crate) fn keep_from_children(address: ptr::NonNull<u8>, length: usize) -> Result<(), Failed> {
    // SAFETY: the advice changes nothing in this process, and what a child cannot reach it cannot misuse.
    let answer = unsafe { libc::madvise(address.as_ptr().cast(), length, libc::MADV_DONTFORK) };
    if answer < 0 { Err(Failed::last("madvise(MADV_DONTFORK)")) } else { Ok(()) }
}

/// `munmap`. A failure means that the caller's bookkeeping is wrong, and leaves the memory mapped.
///
/// # Safety
/// The range was returned by [`map`] and nothing refers to it any more.
pub(crate) unsafe fn unmap(address: ptr::NonNull<u8>, length: usize) {
    // SAFETY: the caller's obligation.
    unsafe { libc::munmap(address.as_ptr().cast(), length) };
}
