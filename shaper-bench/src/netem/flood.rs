//! As many packets as one processor can send, through the interface's queueing as programs of users send them, and what
//! arrives; with the processor time of the whole host, whoever took it.

use std::fs;
use std::io::IoSlice;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, MultiHeaders, SockFlag, SockProtocol, SockType, SockaddrLike, sendmmsg,
    setsockopt, socket, sockopt,
};
use shaper_engine::clock::monotonic;

use super::Figures;
use super::bed::Bed;
use crate::{frame, stats};

/// Frames of one call.
const BATCH: usize = 64;
/// Before counting begins: longer than the delay.
const WARM: Duration = Duration::from_millis(300);
/// How long is counted.
const COUNTED: Duration = Duration::from_millis(1_000);
/// What is under way when nothing has come for so long is lost.
const QUIET: Duration = Duration::from_millis(100);
/// Bytes of a frame.
const SIZE: usize = 64;
/// Bytes that all frames under way may take.
const BUFFER: usize = 256 << 20;

/// At one moment.
struct Counts {
    at: u64,
    sent: u64,
    arrived: u64,
    busy: u64,
}

pub(super) fn run(bed: &Bed, repeats: u32, figures: &mut Figures) -> Result<()> {
    let (mut rates, mut costs, mut lost) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..repeats {
        let (from, to) = once(bed)?;
        let arrived = (to.arrived - from.arrived) as f64;
        rates.push(1e9 * arrived / (to.at - from.at) as f64);
        costs.push((to.busy.saturating_sub(from.busy)) as f64 / arrived.max(1.0));
        lost.push(1.0 - arrived / (to.sent - from.sent).max(1) as f64);
    }
    figures.insert("pps", stats::median(&rates));
    figures.insert("cpu_ns", stats::median(&costs));
    figures.insert("flood_lost", stats::median(&lost));
    Ok(())
}

fn once(bed: &Bed) -> Result<(Counts, Counts)> {
    let socket = bed.near.run(packet_socket)??;
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let taken = std::thread::scope(|scope| {
        let sending = scope.spawn(|| send(&socket, bed.device, &stop, &sent));
        let taken = (|| {
            std::thread::sleep(WARM);
            let from = counts(bed, &sent)?;
            std::thread::sleep(COUNTED);
            Ok((from, counts(bed, &sent)?))
        })();
        stop.store(true, Ordering::Relaxed);
        sending.join().map_err(|_| anyhow!("the sender panicked"))??;
        taken
    });
    settle(bed)?;
    taken
}

fn packet_socket() -> Result<OwnedFd> {
    // Without a protocol it receives nothing.
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None::<SockProtocol>)
        .context("cannot open a packet socket")?;
    setsockopt(&socket, sockopt::SndBufForce, &BUFFER)?;
    Ok(socket)
}

fn send(socket: &OwnedFd, device: u32, stop: &AtomicBool, sent: &AtomicU64) -> Result<()> {
    let frame = frame::udp(frame::FROM, frame::TO, SIZE);
    let slices = vec![[IoSlice::new(&frame)]; BATCH];
    let to = vec![Some(link_address(device)?); BATCH];
    let mut headers = MultiHeaders::<LinkAddr>::preallocate(BATCH, None);
    while !stop.load(Ordering::Relaxed) {
        match sendmmsg(socket.as_raw_fd(), &mut headers, &slices, &to, [], MsgFlags::MSG_DONTWAIT) {
            Ok(results) => {
                sent.fetch_add(results.count() as u64, Ordering::Relaxed);
            }
            // The first of them was dropped on its way.
            Err(Errno::ENOBUFS) => {
                sent.fetch_add(1, Ordering::Relaxed);
            }
            // As much is under way as the socket may have.
            Err(Errno::EAGAIN | Errno::EINTR) => std::thread::yield_now(),
            Err(error) => return Err(error).context("cannot send frames"),
        }
    }
    Ok(())
}

/// A device, as an address of packet sockets (packet(7)).
fn link_address(device: u32) -> Result<LinkAddr> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: super::tc::IPV4.to_be(),
        sll_ifindex: i32::try_from(device)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [0; 8],
    };
    // SAFETY: the pointer is to a whole sockaddr_ll, whose size is given.
    let made = unsafe {
        LinkAddr::from_raw((&raw const address).cast(), Some(size_of::<libc::sockaddr_ll>() as libc::socklen_t))
    };
    made.context("not a packet socket's address")
}

fn counts(bed: &Bed, sent: &AtomicU64) -> Result<Counts> {
    Ok(Counts { at: monotonic(), sent: sent.load(Ordering::Relaxed), arrived: bed.arrived()?, busy: busy()? })
}

/// Waits until nothing more arrives.
fn settle(bed: &Bed) -> Result<()> {
    let mut arrived = bed.arrived()?;
    loop {
        std::thread::sleep(QUIET);
        let now = bed.arrived()?;
        if now == arrived {
            return Ok(());
        }
        arrived = now;
    }
}

/// Nanoseconds that all processors together were busy: what they were not idle, by the line `cpu` of /proc/stat
/// (proc_stat(5)), in ticks of 10 ms.
fn busy() -> Result<u64> {
    let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    ticks(&text).map(|ticks| ticks * 10_000_000).context("/proc/stat: no line cpu as it should be")
}

/// user, nice, system, irq, softirq: neither idle nor iowait, nor what a hypervisor took.
fn ticks(text: &str) -> Option<u64> {
    let numbers: Vec<u64> =
        text.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map_while(|number| number.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, ..] = numbers[..] else { return None };
    Some(user + nice + system + irq + softirq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_not_busy() {
        assert_eq!(ticks("cpu  10 1 5 1000 200 2 3 400 0 0\ncpu0 1 1 1 1\n"), Some(21));
        assert_eq!(ticks("cpu0 1 1\n"), None);
    }
}
