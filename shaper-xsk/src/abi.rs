//! Constants and structures of `include/uapi/linux/if_xdp.h`, and the few of other headers that go with them.
//!
//! libc declares most of these too; a test below holds the two against each other.

/// `SOL_XDP`, `include/linux/socket.h`.
pub(crate) const SOL_XDP: i32 = 283;
/// `AF_XDP`, `include/linux/socket.h`.
pub(crate) const AF_XDP: i32 = 44;

/// Bind flag: use the UMEM of the socket in `shared_umem_fd` (`if_xdp.h`).
pub(crate) const XDP_SHARED_UMEM: u16 = 1 << 0;
/// Bind flag: force copy mode (`if_xdp.h`).
pub(crate) const XDP_COPY: u16 = 1 << 1;
/// Bind flag: force zero-copy mode (`if_xdp.h`).
pub(crate) const XDP_ZEROCOPY: u16 = 1 << 2;

/// `getsockopt`: [`MmapOffsets`] (`if_xdp.h`).
pub(crate) const XDP_MMAP_OFFSETS: i32 = 1;
/// `setsockopt`: entries of the rx ring (`if_xdp.h`).
pub(crate) const XDP_RX_RING: i32 = 2;
/// `setsockopt`: entries of the tx ring (`if_xdp.h`).
pub(crate) const XDP_TX_RING: i32 = 3;
/// `setsockopt`: [`UmemReg`] (`if_xdp.h`).
pub(crate) const XDP_UMEM_REG: i32 = 4;
/// `setsockopt`: entries of the fill ring (`if_xdp.h`).
pub(crate) const XDP_UMEM_FILL_RING: i32 = 5;
/// `setsockopt`: entries of the completion ring (`if_xdp.h`).
pub(crate) const XDP_UMEM_COMPLETION_RING: i32 = 6;
/// `getsockopt`: [`Statistics`] (`if_xdp.h`).
pub(crate) const XDP_STATISTICS: i32 = 7;
/// `getsockopt`: [`XDP_OPTIONS_ZEROCOPY`] among others (`if_xdp.h`).
pub(crate) const XDP_OPTIONS: i32 = 8;
/// Flag in what `XDP_OPTIONS` returns: the socket is in zero-copy mode (`if_xdp.h`).
pub(crate) const XDP_OPTIONS_ZEROCOPY: u32 = 1 << 0;

/// `mmap` offset of the rx ring (`if_xdp.h`).
pub(crate) const XDP_PGOFF_RX_RING: i64 = 0;
/// `mmap` offset of the tx ring (`if_xdp.h`).
pub(crate) const XDP_PGOFF_TX_RING: i64 = 0x8000_0000;
/// `mmap` offset of the fill ring (`if_xdp.h`).
pub(crate) const XDP_UMEM_PGOFF_FILL_RING: i64 = 0x1_0000_0000;
/// `mmap` offset of the completion ring (`if_xdp.h`).
pub(crate) const XDP_UMEM_PGOFF_COMPLETION_RING: i64 = 0x1_8000_0000;

/// Room that XDP keeps in front of a packet in each frame, on top of the UMEM's own headroom
/// (`XDP_PACKET_HEADROOM`, `include/uapi/linux/bpf.h`).
pub(crate) const XDP_PACKET_HEADROOM: u32 = 256;

/// `SO_PREFER_BUSY_POLL`, `include/uapi/asm-generic/socket.h`.
pub(crate) const SO_PREFER_BUSY_POLL: i32 = 69;
/// `SO_BUSY_POLL_BUDGET`, `include/uapi/asm-generic/socket.h`.
pub(crate) const SO_BUSY_POLL_BUDGET: i32 = 70;

/// `struct sockaddr_xdp` (`if_xdp.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct SockaddrXdp {
    pub(crate) family: u16,
    pub(crate) flags: u16,
    pub(crate) ifindex: u32,
    pub(crate) queue_id: u32,
    pub(crate) shared_umem_fd: u32,
}

/// `struct xdp_umem_reg` (`if_xdp.h`) as of Linux 5.4. Newer kernels append a transmit metadata length; they take
/// the shorter form as well.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct UmemReg {
    pub(crate) addr: u64,
    pub(crate) len: u64,
    pub(crate) chunk_size: u32,
    pub(crate) headroom: u32,
    pub(crate) flags: u32,
    pub(crate) padding: u32,
}

/// `struct xdp_ring_offset` (`if_xdp.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RingOffset {
    pub(crate) producer: u64,
    pub(crate) consumer: u64,
    pub(crate) desc: u64,
    pub(crate) flags: u64,
}

/// `struct xdp_mmap_offsets` (`if_xdp.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MmapOffsets {
    pub(crate) rx: RingOffset,
    pub(crate) tx: RingOffset,
    pub(crate) fill: RingOffset,
    pub(crate) completion: RingOffset,
}

/// A packet in the UMEM: `struct xdp_desc` (`if_xdp.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// Offset of the packet's first byte from the start of the UMEM.
    pub addr: u64,
    /// Length of the packet in bytes.
    pub len: u32,
    /// Flags; 0 unless multi-buffer or transmit metadata is in use.
    pub options: u32,
}

/// What the kernel counted for one socket: `struct xdp_statistics` (`if_xdp.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Packets lost because no frame could be had for them, or because they were longer than a frame. Those that
    /// found the fill ring empty are among them (`__xsk_rcv`, `net/xdp/xsk.c`).
    pub rx_dropped: u64,
    /// Descriptors from the fill ring that lay outside the UMEM.
    pub rx_invalid_descs: u64,
    /// Descriptors from the tx ring that lay outside the UMEM or were longer than a frame.
    pub tx_invalid_descs: u64,
    /// Packets lost because the rx ring was full: user space does not keep up.
    pub rx_ring_full: u64,
    /// Times the fill ring was found empty: the UMEM is too small or refilled too late. In copy mode a packet was
    /// lost each time, which `rx_dropped` counts too.
    pub rx_fill_ring_empty_descs: u64,
    /// Times the kernel looked at the tx ring and found it empty. Not a loss.
    pub tx_ring_empty_descs: u64,
}

impl Statistics {
    /// Both together.
    #[must_use]
    pub const fn and(&self, other: &Self) -> Self {
        Self {
            rx_dropped: self.rx_dropped + other.rx_dropped,
            rx_invalid_descs: self.rx_invalid_descs + other.rx_invalid_descs,
            tx_invalid_descs: self.tx_invalid_descs + other.tx_invalid_descs,
            rx_ring_full: self.rx_ring_full + other.rx_ring_full,
            rx_fill_ring_empty_descs: self.rx_fill_ring_empty_descs + other.rx_fill_ring_empty_descs,
            tx_ring_empty_descs: self.tx_ring_empty_descs + other.tx_ring_empty_descs,
        }
    }

    /// Packets that reached the socket and were lost there, each counted once, in copy mode.
    pub fn lost(&self) -> u64 {
        self.rx_dropped + self.rx_ring_full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_those_libc_declares() {
        assert_eq!(SOL_XDP, libc::SOL_XDP);
        assert_eq!(AF_XDP, libc::AF_XDP);
        assert_eq!(XDP_SHARED_UMEM, libc::XDP_SHARED_UMEM);
        assert_eq!(XDP_COPY, libc::XDP_COPY);
        assert_eq!(XDP_ZEROCOPY, libc::XDP_ZEROCOPY);
        assert_eq!(XDP_MMAP_OFFSETS, libc::XDP_MMAP_OFFSETS);
        assert_eq!(XDP_RX_RING, libc::XDP_RX_RING);
        assert_eq!(XDP_TX_RING, libc::XDP_TX_RING);
        assert_eq!(XDP_UMEM_REG, libc::XDP_UMEM_REG);
        assert_eq!(XDP_UMEM_FILL_RING, libc::XDP_UMEM_FILL_RING);
        assert_eq!(XDP_UMEM_COMPLETION_RING, libc::XDP_UMEM_COMPLETION_RING);
        assert_eq!(XDP_STATISTICS, libc::XDP_STATISTICS);
        assert_eq!(XDP_OPTIONS, libc::XDP_OPTIONS);
        assert_eq!(XDP_OPTIONS_ZEROCOPY, libc::XDP_OPTIONS_ZEROCOPY);
        assert_eq!(XDP_PGOFF_RX_RING, libc::XDP_PGOFF_RX_RING);
        assert_eq!(XDP_PGOFF_TX_RING, libc::XDP_PGOFF_TX_RING);
        assert_eq!(u64::try_from(XDP_UMEM_PGOFF_FILL_RING).unwrap(), libc::XDP_UMEM_PGOFF_FILL_RING);
        assert_eq!(u64::try_from(XDP_UMEM_PGOFF_COMPLETION_RING).unwrap(), libc::XDP_UMEM_PGOFF_COMPLETION_RING);
    }

    #[test]
    fn structures_are_as_long_as_libcs() {
        assert_eq!(size_of::<SockaddrXdp>(), size_of::<libc::sockaddr_xdp>());
        assert_eq!(size_of::<MmapOffsets>(), size_of::<libc::xdp_mmap_offsets>());
        assert_eq!(size_of::<Descriptor>(), size_of::<libc::xdp_desc>());
        assert_eq!(size_of::<Statistics>(), size_of::<libc::xdp_statistics>());
    }
}
