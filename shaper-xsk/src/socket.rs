//! An AF_XDP socket bound to one queue of one interface.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, Weak};

use crate::abi::{self, Descriptor, MmapOffsets, RingOffset, SOL_XDP, SockaddrXdp, Statistics, XDP_OPTIONS_ZEROCOPY};
use crate::error::XskError;
use crate::mmap::Mapping;
use crate::ring::{Consumer, Producer, mapped_length};
use crate::syscall::{self, Failed};
use crate::umem::Umem;

/// How packets pass between the device and the UMEM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BindMode {
    /// Zero-copy where the driver can, else copy.
    Auto,
    /// Copy: works on every device that runs XDP programs.
    #[default]
    Copy,
    /// Zero-copy, or the bind fails.
    ZeroCopy,
}

/// Ring sizes, each a power of two, and what the first socket on a UMEM decides for all that share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketConfig {
    /// Entries of the rx ring.
    pub rx: u32,
    /// Entries of the tx ring.
    pub tx: u32,
    /// Entries of the fill ring.
    pub fill: u32,
    /// Entries of the completion ring. Copy mode sends no more than fit here.
    pub completion: u32,
    /// Taken from the first socket bound to the UMEM; the kernel makes the others follow it.
    pub mode: BindMode,
    /// Bytes that sent packets may occupy until the device is done with them (`SO_SNDBUFFORCE`); 0 keeps the
    /// system's default, which is 208 KiB, less than 256 small packets.
    pub send_buffer: u32,
}

impl Default for SocketConfig {
    fn default() -> SocketConfig {
        SocketConfig { rx: 4096, tx: 4096, fill: 4096, completion: 4096, mode: BindMode::Copy, send_buffer: 64 << 20 }
    }
}

/// What came of asking the kernel to transmit. In copy mode, one call sends a bounded number of packets: ask again
/// while [`Socket::tx_pending`] is not 0 and calls make progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kick {
    /// The kernel went through the tx ring.
    Done,
    /// Stopped early (`EAGAIN`): the call's budget is used up, or the completion ring, send buffer or device queue
    /// is full. What was not sent is still in the tx ring.
    Again,
    /// Stopped early (`EBUSY`): in copy mode the device dropped exactly one packet. It left the tx ring, and its
    /// frame comes back through the completion ring like a sent one (`__xsk_generic_xmit`, `net/xdp/xsk.c`).
    Dropped,
    /// Stopped early (`ENOBUFS`, `ENOMEM`): the kernel has no memory for a packet. It is still in the tx ring.
    NoMemory,
    /// The interface is down or gone (`ENETDOWN`, `ENXIO`). Nothing was sent.
    Down,
}

/// A bound AF_XDP socket and its four rings. One owner; may move between threads.
#[derive(Debug)]
pub struct Socket {
    rx: Consumer<Descriptor>,
    tx: Producer<Descriptor>,
    fill: Producer<u64>,
    completion: Consumer<u64>,
    zero_copy: bool,
    ifindex: u32,
    queue: u32,
    umem: Umem,
    fd: Arc<OwnedFd>,
}

impl Socket {
    /// Makes a socket in the calling thread's network namespace and binds it to `queue` of the interface `ifindex`
    /// there. The first socket bound to `umem` registers the memory; later ones, also of other interfaces and
    /// namespaces, share it. Each gets its own fill and completion ring, so no two may bind the same queue.
    ///
    /// Packets arrive once [`refill`](Self::refill) gave frames and an XDP program redirects to [`fd`](Self::fd)
    /// through an XSKMAP.
    ///
    /// # Errors
    /// One variant of [`XskError`] for each thing a user can put right: no AF_XDP, no permission, locked memory,
    /// a queue that cannot be bound, a ring size that is no power of two.
    pub fn bind(umem: &Umem, ifindex: u32, queue: u32, config: &SocketConfig) -> Result<Socket, XskError> {
        for (what, size) in [
            ("the rx ring's size", config.rx),
            ("the tx ring's size", config.tx),
            ("the fill ring's size", config.fill),
            ("the completion ring's size", config.completion),
        ] {
            if !size.is_power_of_two() {
                return Err(XskError::InvalidSize { what, value: size.into(), must: "it must be a power of two" });
            }
        }
        let fd = syscall::socket().map_err(|failed| match failed.errno() {
            libc::EAFNOSUPPORT => XskError::NotSupported,
            libc::EPERM => XskError::NotPermitted { call: failed.call, subject: "this network namespace".into() },
            _ => XskError::Call { call: failed.call, subject: "this network namespace".into(), source: failed.source },
        })?;
        let fd = Arc::new(fd);
        let named = |failed: Failed| at_interface(failed, ifindex, queue);

        let mut owner = umem.owner();
        if owner.is_none() {
            umem.register(&fd)?;
        }
        for (option, size, call) in [
            (abi::XDP_UMEM_FILL_RING, config.fill, "setsockopt(XDP_UMEM_FILL_RING)"),
            (abi::XDP_UMEM_COMPLETION_RING, config.completion, "setsockopt(XDP_UMEM_COMPLETION_RING)"),
            (abi::XDP_RX_RING, config.rx, "setsockopt(XDP_RX_RING)"),
            (abi::XDP_TX_RING, config.tx, "setsockopt(XDP_TX_RING)"),
        ] {
            syscall::set_option(fd.as_fd(), SOL_XDP, option, &size, call).map_err(named)?;
        }
        let offsets: MmapOffsets =
            syscall::get_option(fd.as_fd(), abi::XDP_MMAP_OFFSETS, "getsockopt(XDP_MMAP_OFFSETS)").map_err(named)?;
        let rings = Rings::map(fd.as_fd(), &offsets, config).map_err(named)?;

        let address = SockaddrXdp {
            family: abi::AF_XDP as u16,
            flags: match (&*owner, config.mode) {
                // Any further flag on a shared UMEM is EINVAL: the mode is the first socket's.
                (Some(_), _) => abi::XDP_SHARED_UMEM,
                (None, BindMode::Auto) => 0,
                (None, BindMode::Copy) => abi::XDP_COPY,
                (None, BindMode::ZeroCopy) => abi::XDP_ZEROCOPY,
            },
            ifindex,
            queue_id: queue,
            shared_umem_fd: owner.as_ref().map_or(0, |first| first.as_raw_fd() as u32),
        };
        syscall::bind(fd.as_fd(), &address).map_err(|failed| bind_failed(failed, ifindex, queue, umem))?;
        if owner.is_none() {
            *owner = Some(fd.clone());
        }
        drop(owner);

        if config.send_buffer > 0 {
            let bytes = i32::try_from(config.send_buffer).unwrap_or(i32::MAX);
            syscall::set_option(
                fd.as_fd(),
                libc::SOL_SOCKET,
                libc::SO_SNDBUFFORCE,
                &bytes,
                "setsockopt(SO_SNDBUFFORCE)",
            )
            .map_err(named)?;
        }
        let options: u32 =
            syscall::get_option(fd.as_fd(), abi::XDP_OPTIONS, "getsockopt(XDP_OPTIONS)").map_err(named)?;
        let Rings { rx, tx, fill, completion } = rings;
        Ok(Socket {
            rx,
            tx,
            fill,
            completion,
            zero_copy: options & XDP_OPTIONS_ZEROCOPY != 0,
            ifindex,
            queue,
            umem: umem.clone(),
            fd,
        })
    }

    /// The descriptor, for the XSKMAP and for `poll`.
    pub fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// The memory it is bound to.
    pub fn umem(&self) -> &Umem {
        &self.umem
    }

    /// Interface index, in the namespace the socket was made in.
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// Queue of the interface.
    pub fn queue(&self) -> u32 {
        self.queue
    }

    /// Whether the kernel runs the socket in zero-copy mode.
    pub fn is_zero_copy(&self) -> bool {
        self.zero_copy
    }

    /// Passes up to `limit` received packets to `each`, in order of arrival; their frames are then the caller's.
    /// Returns how many.
    #[inline]
    pub fn receive(&mut self, limit: u32, each: impl FnMut(Descriptor)) -> u32 {
        self.rx.consume(limit, each)
    }

    /// Puts a packet into the tx ring, its frame then being the kernel's once shown by
    /// [`publish_tx`](Self::publish_tx). False if the ring is full.
    #[inline]
    pub fn push_tx(&mut self, packet: Descriptor) -> bool {
        self.tx.push(packet)
    }

    /// Shows the packets pushed to the kernel, which sends them at the next [`kick`](Self::kick).
    #[inline]
    pub fn publish_tx(&mut self) {
        self.tx.publish();
    }

    /// Packets in the tx ring that the kernel has not taken.
    #[inline]
    pub fn tx_pending(&mut self) -> u32 {
        self.tx.pending()
    }

    /// Entries the tx ring can still take.
    #[inline]
    pub fn tx_free(&mut self) -> u32 {
        self.tx.free(self.tx.size())
    }

    /// Asks the kernel to send what is in the tx ring, once.
    ///
    /// # Errors
    /// [`XskError::Call`] if the kernel answered anything that [`Kick`] does not name.
    pub fn kick(&mut self) -> Result<Kick, XskError> {
        let Err(failed) = syscall::kick(self.fd.as_fd()) else {
            return Ok(Kick::Done);
        };
        match failed.errno() {
            libc::EAGAIN | libc::EINTR => Ok(Kick::Again),
            libc::EBUSY => Ok(Kick::Dropped),
            libc::ENOBUFS | libc::ENOMEM => Ok(Kick::NoMemory),
            libc::ENETDOWN | libc::ENXIO => Ok(Kick::Down),
            _ => Err(at_interface(failed, self.ifindex, self.queue)),
        }
    }

    /// Passes the addresses of up to `limit` frames that are sent (or were dropped by the device) to `each`; they
    /// are then the caller's. Returns how many.
    #[inline]
    pub fn reap(&mut self, limit: u32, each: impl FnMut(u64)) -> u32 {
        self.completion.consume(limit, each)
    }

    /// Gives frames to the kernel to receive into, as long as `next` has an address and the fill ring has room.
    /// Returns how many.
    #[inline]
    pub fn refill(&mut self, mut next: impl FnMut() -> Option<u64>) -> u32 {
        let free = self.fill.free(self.fill.size());
        let mut given = 0;
        while given < free
            && let Some(address) = next()
            && self.fill.push(address)
        {
            given += 1;
        }
        if given > 0 {
            self.fill.publish();
        }
        given
    }

    /// Frames in the fill ring that the kernel has not taken.
    #[inline]
    pub fn fill_pending(&mut self) -> u32 {
        self.fill.pending()
    }

    /// Entries of the fill ring.
    pub fn fill_size(&self) -> u32 {
        self.fill.size()
    }

    /// What the kernel counted so far (`XDP_STATISTICS`).
    ///
    /// # Errors
    /// [`XskError::Call`] if the kernel does not answer.
    pub fn statistics(&self) -> Result<Statistics, XskError> {
        read_statistics(self.fd.as_fd(), self.ifindex, self.queue)
    }

    /// A handle by which other threads read the statistics while the socket is in use.
    pub fn statistics_handle(&self) -> StatisticsHandle {
        StatisticsHandle { fd: Arc::downgrade(&self.fd), ifindex: self.ifindex, queue: self.queue }
    }

    /// Lets reads on the socket run the device's NAPI poll: for `micros` microseconds at most, `budget` packets at
    /// a time (`SO_PREFER_BUSY_POLL`, `SO_BUSY_POLL`, `SO_BUSY_POLL_BUDGET`; Linux 5.11).
    ///
    /// # Errors
    /// [`XskError::NotPermitted`] without CAP_NET_ADMIN.
    pub fn set_busy_poll(&self, micros: u32, budget: u32) -> Result<(), XskError> {
        let prefer = u32::from(micros > 0);
        for (option, value, call) in [
            (abi::SO_PREFER_BUSY_POLL, prefer, "setsockopt(SO_PREFER_BUSY_POLL)"),
            (libc::SO_BUSY_POLL, micros, "setsockopt(SO_BUSY_POLL)"),
            (abi::SO_BUSY_POLL_BUDGET, budget, "setsockopt(SO_BUSY_POLL_BUDGET)"),
        ] {
            syscall::set_option(self.fd.as_fd(), libc::SOL_SOCKET, option, &value, call)
                .map_err(|failed| at_interface(failed, self.ifindex, self.queue))?;
        }
        Ok(())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Reads a socket's statistics from any thread. Does not keep the socket open.
#[derive(Debug, Clone)]
pub struct StatisticsHandle {
    fd: Weak<OwnedFd>,
    ifindex: u32,
    queue: u32,
}

impl StatisticsHandle {
    /// What the kernel counted so far; nothing once the socket is closed.
    ///
    /// # Errors
    /// [`XskError::Call`] if the kernel does not answer.
    pub fn read(&self) -> Result<Option<Statistics>, XskError> {
        let Some(fd) = self.fd.upgrade() else { return Ok(None) };
        read_statistics(fd.as_fd(), self.ifindex, self.queue).map(Some)
    }
}

fn read_statistics(fd: BorrowedFd<'_>, ifindex: u32, queue: u32) -> Result<Statistics, XskError> {
    syscall::get_option(fd, abi::XDP_STATISTICS, "getsockopt(XDP_STATISTICS)")
        .map_err(|failed| at_interface(failed, ifindex, queue))
}

/// The four rings, mapped.
struct Rings {
    rx: Consumer<Descriptor>,
    tx: Producer<Descriptor>,
    fill: Producer<u64>,
    completion: Consumer<u64>,
}

impl Rings {
    fn map(fd: BorrowedFd<'_>, offsets: &MmapOffsets, config: &SocketConfig) -> Result<Rings, Failed> {
        fn mapping<T>(fd: BorrowedFd<'_>, offsets: &RingOffset, size: u32, page: i64) -> Result<Mapping, Failed> {
            Mapping::ring(mapped_length::<T>(offsets, size).ok_or_else(inconsistent)?, fd, page)
        }
        let rx = mapping::<Descriptor>(fd, &offsets.rx, config.rx, abi::XDP_PGOFF_RX_RING)?;
        let tx = mapping::<Descriptor>(fd, &offsets.tx, config.tx, abi::XDP_PGOFF_TX_RING)?;
        let fill = mapping::<u64>(fd, &offsets.fill, config.fill, abi::XDP_UMEM_PGOFF_FILL_RING)?;
        let completion =
            mapping::<u64>(fd, &offsets.completion, config.completion, abi::XDP_UMEM_PGOFF_COMPLETION_RING)?;
        Ok(Rings {
            rx: Consumer::new(rx, &offsets.rx, config.rx).ok_or_else(inconsistent)?,
            tx: Producer::new(tx, &offsets.tx, config.tx).ok_or_else(inconsistent)?,
            fill: Producer::new(fill, &offsets.fill, config.fill).ok_or_else(inconsistent)?,
            completion: Consumer::new(completion, &offsets.completion, config.completion).ok_or_else(inconsistent)?,
        })
    }
}

fn inconsistent() -> Failed {
    Failed { call: "getsockopt(XDP_MMAP_OFFSETS)", source: std::io::ErrorKind::InvalidData.into() }
}

fn at_interface(failed: Failed, ifindex: u32, queue: u32) -> XskError {
    let subject = format!("interface {ifindex} queue {queue}");
    match failed.errno() {
        libc::EPERM => XskError::NotPermitted { call: failed.call, subject },
        _ => XskError::Call { call: failed.call, subject, source: failed.source },
    }
}

fn bind_failed(failed: Failed, ifindex: u32, queue: u32, umem: &Umem) -> XskError {
    let advice = match failed.errno() {
        libc::EPERM => {
            return XskError::NotPermitted { call: failed.call, subject: format!("interface {ifindex} queue {queue}") };
        }
        libc::ENOBUFS | libc::ENOMEM => {
            let bytes = u64::from(umem.frames()) * u64::from(umem.frame_size());
            return XskError::LockedMemory { call: failed.call, bytes, source: failed.source };
        }
        libc::ENODEV => "there is no such interface in this thread's network namespace: check name and namespace",
        libc::EBUSY => "another AF_XDP socket holds the queue, or did a moment ago: close it, or use another queue",
        libc::EINVAL => "the queue does not exist, or is bound to this UMEM already: check `ethtool -l`",
        libc::EOPNOTSUPP => "the driver cannot do this mode: use copy mode",
        libc::ENETDOWN => "the interface is down: set it up first",
        _ => "unexpected: report this with the kernel's version",
    };
    XskError::Bind { ifindex, queue, source: failed.source, advice }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::umem::UmemConfig;

    #[test]
    fn a_ring_size_that_is_no_power_of_two_is_named() {
        let umem = Umem::new(UmemConfig { frames: 1, frame_size: 2048, headroom: 0 }).unwrap();
        for (config, ring) in [
            (SocketConfig { rx: 3, ..SocketConfig::default() }, "rx ring's size is 3"),
            (SocketConfig { tx: 0, ..SocketConfig::default() }, "tx ring's size is 0"),
            (SocketConfig { fill: 100, ..SocketConfig::default() }, "fill ring's size is 100"),
            (SocketConfig { completion: 7, ..SocketConfig::default() }, "completion ring's size is 7"),
        ] {
            let message = Socket::bind(&umem, 1, 0, &config).unwrap_err().to_string();
            assert!(message.contains(ring), "{message}");
        }
    }
}
