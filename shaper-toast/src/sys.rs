//! The system calls no safe wrapper has, and the clocks; each error names its call.

use std::io;
use std::mem;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::time::{ClockId, clock_gettime};

use crate::units::Nanos;

fn read_clock(id: ClockId) -> i64 {
    // Neither clock can fail: both always exist, and the result is written to our own memory.
    clock_gettime(id).map_or(0, |t| t.tv_sec() * 1_000_000_000 + t.tv_nsec())
}

/// CLOCK_MONOTONIC.
pub(crate) fn monotonic() -> Nanos {
    Nanos(u64::try_from(read_clock(ClockId::CLOCK_MONOTONIC)).unwrap_or(0))
}

/// CLOCK_REALTIME less CLOCK_MONOTONIC in nanoseconds, from the tightest of eight bracketed
/// readings.
pub(crate) fn realtime_minus_monotonic() -> i64 {
    (0..8)
        .map(|_| {
            let before = read_clock(ClockId::CLOCK_MONOTONIC);
            let real = read_clock(ClockId::CLOCK_REALTIME);
            let after = read_clock(ClockId::CLOCK_MONOTONIC);
            (after - before, real - before - (after - before) / 2)
        })
        .min()
        .map_or(0, |(_, difference)| difference)
}

/// IP_MULTICAST_IF by interface index: an address could belong to several interfaces.
pub(crate) fn set_multicast_interface(socket: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    let request = libc::ip_mreqn {
        imr_multiaddr: libc::in_addr { s_addr: 0 },
        imr_address: libc::in_addr { s_addr: Ipv4Addr::UNSPECIFIED.to_bits().to_be() },
        imr_ifindex: i32::try_from(index).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?,
    };
    // SAFETY: the descriptor is borrowed and so open; the pointer is to a live ip_mreqn, whose
    // size is passed, and the kernel only reads it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_MULTICAST_IF,
            (&raw const request).cast(),
            mem::size_of::<libc::ip_mreqn>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Datagrams dropped at this socket, most often because its receive buffer was full: SO_MEMINFO,
/// SK_MEMINFO_DROPS (include/uapi/linux/sock_diag.h; kernel 4.12).
pub(crate) fn socket_drops(socket: BorrowedFd<'_>) -> io::Result<u64> {
    const VARS: usize = 9;
    const DROPS: usize = 8;
    let mut info = [0u32; VARS];
    let mut len = mem::size_of_val(&info) as libc::socklen_t;
    // SAFETY: the descriptor is borrowed and so open; `info` has `len` writable bytes, and the
    // kernel writes no more than `len` of them.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MEMINFO, info.as_mut_ptr().cast(), &raw mut len)
    };
    if result == 0 { Ok(u64::from(info[DROPS])) } else { Err(io::Error::last_os_error()) }
}

static STOPPED_BY_SIGNAL: AtomicBool = AtomicBool::new(false);

extern "C" fn on_stop_signal(_: libc::c_int) {
    STOPPED_BY_SIGNAL.store(true, Ordering::Relaxed);
}

/// Lets SIGTERM and SIGINT raise the flag of [`stopped_by_signal`] instead of ending the process.
pub(crate) fn catch_stop_signals() -> io::Result<()> {
    // Without SA_RESTART, so that a sleeping poll returns.
    let action = SigAction::new(SigHandler::Handler(on_stop_signal), SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        // SAFETY: the handler only stores to an atomic, which is async-signal-safe, and lives as
        // long as the program.
        unsafe { sigaction(signal, &action) }.map_err(io::Error::from)?;
    }
    Ok(())
}

pub(crate) fn stopped_by_signal() -> bool {
    STOPPED_BY_SIGNAL.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    #[test]
    fn datagrams_that_a_full_socket_drops_are_counted() {
        let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket2::SockRef::from(&receiver).set_recv_buffer_size(4_096).unwrap();
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let to = receiver.local_addr().unwrap();
        for _ in 0..200 {
            sender.send_to(&[0; 1_000], to).unwrap();
        }
        receiver.set_nonblocking(true).unwrap();
        let mut buffer = [0; 1_000];
        let heard = std::iter::from_fn(|| receiver.recv(&mut buffer).ok()).count() as u64;
        assert!(heard < 200);
        assert_eq!(socket_drops(receiver.as_fd()).unwrap() + heard, 200);
    }

    #[test]
    fn realtime_is_monotonic_plus_the_difference() {
        let expected = read_clock(ClockId::CLOCK_REALTIME);
        let mapped = monotonic().signed_since(Nanos::ZERO) + realtime_minus_monotonic();
        // A second of scheduling; a wrong sign or unit is off by decades.
        assert!((mapped - expected).abs() < 1_000_000_000);
    }
}
