//! The frames that packets live in: one mapping, cut into frames of equal size, shared by all sockets bound to it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::abi::{SOL_XDP, UmemReg, XDP_PACKET_HEADROOM, XDP_UMEM_REG};
use crate::error::XskError;
use crate::mmap::Mapping;
use crate::syscall;

/// The shape of a UMEM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UmemConfig {
    /// Number of frames, at least 1.
    pub frames: u32,
    /// Bytes in a frame: 2048 or 4096.
    pub frame_size: u32,
    /// Bytes kept free in front of a packet besides the 256 that XDP keeps anyway; a multiple of 8.
    pub headroom: u32,
}

/// Frame memory, pinned by the kernel as long as a socket uses it. Clones are handles to the same memory, and keep
/// the socket open that it is registered with.
///
/// The kernel may write any frame that it owns at any time. So there are no references into frames: bytes go in
/// and out by copy through relaxed atomics. Who reads a frame that it has given to the kernel gets bytes of no
/// meaning, never undefined behaviour.
#[derive(Debug, Clone)]
pub struct Umem {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: UmemConfig,
    memory: Mapping,
    /// The socket that the memory is registered with, once it is bound.
    owner: Mutex<Option<Arc<OwnedFd>>>,
}

impl Umem {
    /// Maps the memory, all of it present from the start. Nothing is registered with the kernel before the first
    /// [`Socket::bind`](crate::Socket::bind).
    ///
    /// # Errors
    /// [`XskError::InvalidSize`] for a shape the kernel would refuse, [`XskError::LockedMemory`] if there is not
    /// that much memory.
    pub fn new(config: UmemConfig) -> Result<Umem, XskError> {
        if !matches!(config.frame_size, 2048 | 4096) {
            return Err(XskError::InvalidSize {
                what: "the UMEM's frame size",
                value: config.frame_size.into(),
                must: "it must be 2048 or 4096 bytes",
            });
        }
        if config.frames == 0 {
            return Err(XskError::InvalidSize {
                what: "the number of UMEM frames",
                value: 0,
                must: "there must be at least 1",
            });
        }
        if config.headroom > config.frame_size / 4 || !config.headroom.is_multiple_of(8) {
            return Err(XskError::InvalidSize {
                what: "the UMEM's headroom",
                value: config.headroom.into(),
                must: "it must be a multiple of 8 and at most a quarter of the frame",
            });
        }
        let bytes = u64::from(config.frames) * u64::from(config.frame_size);
        let too_large = |source| XskError::LockedMemory { call: "mmap of the UMEM", bytes, source };
        let length = usize::try_from(bytes).map_err(|_| too_large(std::io::Error::from_raw_os_error(libc::ENOMEM)))?;
        let memory = Mapping::anonymous(length).map_err(|failed| too_large(failed.source))?;
        Ok(Umem { inner: Arc::new(Inner { config, memory, owner: Mutex::new(None) }) })
    }

    /// Number of frames.
    pub fn frames(&self) -> u32 {
        self.inner.config.frames
    }

    /// Bytes in a frame.
    pub fn frame_size(&self) -> u32 {
        self.inner.config.frame_size
    }

    /// The longest packet that fits a frame behind its headroom.
    pub fn max_packet(&self) -> u32 {
        self.inner.config.frame_size - self.data_offset()
    }

    /// Where the kernel puts a packet's first byte within a frame, in copy mode.
    pub fn data_offset(&self) -> u32 {
        XDP_PACKET_HEADROOM + self.inner.config.headroom
    }

    /// The address of a frame's first byte, for the fill ring.
    pub fn frame_address(&self, frame: u32) -> u64 {
        u64::from(frame) * u64::from(self.inner.config.frame_size)
    }

    /// The number of the frame that an address lies in, or nothing if it lies outside the UMEM.
    #[inline]
    pub fn frame_number(&self, address: u64) -> Option<u32> {
        let frame = address >> self.inner.config.frame_size.trailing_zeros();
        u32::try_from(frame).ok().filter(|frame| *frame < self.inner.config.frames)
    }

    /// Loads a little-endian integer from any address in the UMEM; nothing if it does not lie inside.
    ///
    /// XDP metadata lies directly in front of a packet: the first word of 32 bytes of it is
    /// `load(descriptor.addr - 32)`, the last one `load(descriptor.addr - 8)`.
    #[inline]
    pub fn load(&self, address: u64) -> Option<u64> {
        if let Some(cell) = self.inner.memory.at::<AtomicU64>(address, 1) {
            // SAFETY: the cell lies in the mapping, aligned, and the mapping lives as long as `self`.
            return Some(u64::from_le(unsafe { cell.as_ref() }.load(Ordering::Relaxed)));
        }
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Some(u64::from_le_bytes(bytes))
    }

    /// Stores a little-endian integer at any address in the UMEM; nothing if it does not lie inside.
    #[inline]
    pub fn store(&self, address: u64, value: u64) -> Option<()> {
        if let Some(cell) = self.inner.memory.at::<AtomicU64>(address, 1) {
            // SAFETY: as in `load`.
            unsafe { cell.as_ref() }.store(value.to_le(), Ordering::Relaxed);
            return Some(());
        }
        self.write(address, &value.to_le_bytes())
    }

    /// Starts fetching the cache line of an address, where the processor has an instruction for it.
    #[inline]
    pub fn prefetch(&self, address: u64) {
        #[cfg(target_arch = "x86_64")]
        if let Some(byte) = self.inner.memory.at::<u8>(address, 1) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a prefetch reads nothing, and the address lies in the mapping.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(byte.as_ptr().cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = address;
    }

    /// Copies bytes out of the UMEM; nothing if they do not all lie inside.
    pub fn read(&self, address: u64, into: &mut [u8]) -> Option<()> {
        let cells = self.bytes(address, into.len())?;
        for (byte, cell) in into.iter_mut().zip(cells) {
            *byte = cell.load(Ordering::Relaxed);
        }
        Some(())
    }

    /// Copies bytes into the UMEM; nothing if they do not all fit.
    pub fn write(&self, address: u64, from: &[u8]) -> Option<()> {
        let cells = self.bytes(address, from.len())?;
        for (byte, cell) in from.iter().zip(cells) {
            cell.store(*byte, Ordering::Relaxed);
        }
        Some(())
    }

    /// Copies `length` bytes from one address in the UMEM to another; nothing if they do not all lie inside. Where the
    /// two overlap, what lies there afterwards has no meaning.
    pub fn copy(&self, from: u64, to: u64, length: usize) -> Option<()> {
        let (source, target) = (self.bytes(from, length)?, self.bytes(to, length)?);
        let words = length / size_of::<u64>();
        // Packets lie aligned in their frames, and word by word they take an eighth of the time.
        let copied = match (self.words(from, words), self.words(to, words)) {
            (Some(source), Some(target)) => {
                for (from, to) in source.iter().zip(target) {
                    to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
                }
                words * size_of::<u64>()
            }
            _ => 0,
        };
        for (from, to) in source.iter().zip(target).skip(copied) {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        Some(())
    }

    fn words(&self, address: u64, count: usize) -> Option<&[AtomicU64]> {
        let first: NonNull<AtomicU64> = self.inner.memory.at(address, count)?;
        // SAFETY: as in `bytes`; `at` said that the words are aligned too.
        Some(unsafe { std::slice::from_raw_parts(first.as_ptr(), count) })
    }

    fn bytes(&self, address: u64, length: usize) -> Option<&[AtomicU8]> {
        let first: NonNull<AtomicU8> = self.inner.memory.at(address, length)?;
        // SAFETY: `at` said that `length` bytes lie in the mapping, which lives as long as `self`; atomics may be
        // shared with whoever else writes them.
        Some(unsafe { std::slice::from_raw_parts(first.as_ptr(), length) })
    }

    /// The socket that the memory is registered with, locked so that two binds cannot both be the first.
    pub(crate) fn owner(&self) -> MutexGuard<'_, Option<Arc<OwnedFd>>> {
        self.inner.owner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `XDP_UMEM_REG`: registers the memory with a socket, which pins it.
    pub(crate) fn register(&self, socket: &OwnedFd) -> Result<(), XskError> {
        let fd: BorrowedFd<'_> = socket.as_fd();
        let bytes = self.inner.memory.length() as u64;
        let registration = UmemReg {
            addr: self.inner.memory.address().as_ptr() as u64,
            len: bytes,
            chunk_size: self.inner.config.frame_size,
            headroom: self.inner.config.headroom,
            flags: 0,
            padding: 0,
        };
        syscall::set_option(fd, SOL_XDP, XDP_UMEM_REG, &registration, "setsockopt(XDP_UMEM_REG)").map_err(|failed| {
            match failed.errno() {
                libc::ENOBUFS | libc::ENOMEM => {
                    XskError::LockedMemory { call: failed.call, bytes, source: failed.source }
                }
                libc::EPERM => XskError::NotPermitted { call: failed.call, subject: "the UMEM".into() },
                _ => XskError::Call {
                    call: failed.call,
                    subject: format!("{bytes} bytes in frames of {}", self.inner.config.frame_size),
                    source: failed.source,
                },
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn umem() -> Umem {
        Umem::new(UmemConfig { frames: 4, frame_size: 2048, headroom: 0 }).unwrap()
    }

    #[test]
    fn integers_are_little_endian_at_any_alignment() {
        let umem = umem();
        for address in [0, 8, 240, 241, 4 * 2048 - 8] {
            umem.store(address, 0x0102_0304_0506_0708).unwrap();
            let mut bytes = [0; 8];
            umem.read(address, &mut bytes).unwrap();
            assert_eq!(bytes, [8, 7, 6, 5, 4, 3, 2, 1]);
            assert_eq!(umem.load(address), Some(0x0102_0304_0506_0708));
        }
    }

    #[test]
    fn nothing_outside_the_umem_is_touched() {
        let umem = umem();
        let end = 4 * 2048;
        assert_eq!(umem.load(end - 7), None);
        assert_eq!(umem.load(u64::MAX - 15), None);
        assert_eq!(umem.store(end, 1), None);
        assert_eq!(umem.read(end - 1, &mut [0; 2]), None);
        assert_eq!(umem.write(u64::MAX, &[0; 2]), None);
        assert_eq!(umem.copy(0, end - 1, 2), None);
        assert_eq!(umem.copy(end - 1, 0, 2), None);
        assert_eq!(umem.copy(u64::MAX, 0, 1), None);
        assert_eq!(umem.frame_number(end), None);
        assert_eq!(umem.frame_number(end - 1), Some(3));
        assert_eq!(umem.frame_number(umem.frame_address(2)), Some(2));
    }

    #[test]
    fn a_copy_is_the_same_bytes_and_no_more_at_any_alignment_and_length() {
        let umem = umem();
        let packet: Vec<u8> = (0..1600u32).map(|index| (index * 7 % 255 + 1) as u8).collect();
        for (from, to) in [(256, 2048 + 256), (257, 2048 + 256), (256, 2048 + 259), (259, 2048 + 259)] {
            for length in [0, 1, 7, 8, 9, 60, 1514] {
                umem.write(from, &packet).unwrap();
                umem.write(to - 1, &[0; 1700]).unwrap();
                umem.copy(from, to, length).unwrap();
                let mut copied = vec![0; length + 2];
                umem.read(to - 1, &mut copied).unwrap();
                assert_eq!(copied[1..=length], packet[..length], "{length} bytes from {from} to {to}");
                assert_eq!((copied[0], copied[length + 1]), (0, 0), "{length} bytes from {from} to {to}");
            }
        }
    }

    #[test]
    fn shapes_the_kernel_refuses_are_named() {
        for (config, setting) in [
            (UmemConfig { frames: 4, frame_size: 1024, headroom: 0 }, "frame size is 1024"),
            (UmemConfig { frames: 0, frame_size: 2048, headroom: 0 }, "number of UMEM frames is 0"),
            (UmemConfig { frames: 4, frame_size: 2048, headroom: 12 }, "headroom is 12"),
        ] {
            let message = Umem::new(config).unwrap_err().to_string();
            assert!(message.contains(setting), "{message}");
        }
    }
}
