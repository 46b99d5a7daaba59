//! Packet memory, read with the bounds checks that the verifier wants to see.

use aya_ebpf::programs::XdpContext;
pub(crate) use shaper_common::layout::Probe;
use shaper_common::parse::Bytes;
use shaper_common::rewrite::BytesMut;

/// No header that is looked at starts further in than this.
const FARTHEST: usize = 0x1fff;

/// A frame in packet memory.
pub(crate) struct Frame {
    start: usize,
    end: usize,
}

impl Frame {
    /// The frame of an XDP context.
    #[inline(always)]
    pub(crate) fn new(ctx: &XdpContext) -> Self {
        Self { start: ctx.data(), end: ctx.data_end() }
    }

    /// Bytes of the frame.
    #[inline(always)]
    pub(crate) fn len(&self) -> u32 {
        (self.end - self.start) as u32
    }

    #[inline(always)]
    fn read<T: Copy>(&self, at: usize) -> Option<T> {
        let at = self.start + (at & FARTHEST);
        if at + core::mem::size_of::<T>() > self.end {
            return None;
        }
        // SAFETY: the check above shows that the value lies within the packet; it may be unaligned.
        Some(unsafe { core::ptr::read_unaligned(at as *const T) })
    }
}

impl BytesMut for Frame {
    #[inline(always)]
    fn set_u16(&mut self, at: usize, word: u16) {
        let at = self.start + (at & FARTHEST);
        if at + core::mem::size_of::<u16>() > self.end {
            return;
        }
        // SAFETY: the check above shows that the word lies within the packet, which is this program's to write.
        unsafe { core::ptr::write_unaligned(at as *mut u16, word.to_be()) };
    }

    #[inline(always)]
    fn set_u32(&mut self, at: usize, word: u32) {
        let at = self.start + (at & FARTHEST);
        if at + core::mem::size_of::<u32>() > self.end {
            return;
        }
        // SAFETY: as above.
        unsafe { core::ptr::write_unaligned(at as *mut u32, word.to_be()) };
    }
}

impl Bytes for Frame {
    #[inline(always)]
    fn u16(&self, at: usize) -> Option<u16> {
        self.read(at).map(u16::from_be)
    }

    #[inline(always)]
    fn u32(&self, at: usize) -> Option<u32> {
        self.read(at).map(u32::from_be)
    }
}
