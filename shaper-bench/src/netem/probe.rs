//! Numbered datagrams, stamped by the kernel at both ends: where a packet enters the interface's queueing, which is before
//! any qdisc or TC program (`SCM_TSTAMP_SCHED`), and where the receiving host takes it from the cable (`SO_TIMESTAMPNS`).
//! Both by CLOCK_REALTIME of one kernel; what the cable takes is part of every delay.

use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, TimestampingFlag, recvmsg, sendmsg, setsockopt, sockopt,
};
use shaper_engine::clock::{self, ClockSample, monotonic};

use super::bed::{Bed, FROM, TO};

const PORT: u16 = 7_001;
/// What Ethernet, IPv4 and UDP put in front.
const HEADERS: usize = 42;
/// What arrives later than so long after the last one was sent, or after the last one that came, is lost.
const QUIET: Duration = Duration::from_millis(500);
/// Bytes that all datagrams under way may take.
const BUFFER: usize = 64 << 20;
/// Room for the control messages of a stamp.
const CONTROL: usize = 256;

/// How datagrams are sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    pub(super) count: u32,
    /// From one to the next; with none all are sent at once.
    pub(super) gap_nanos: u64,
    /// Bytes of a frame, Ethernet header included.
    pub(super) frame: usize,
}

/// What became of datagram after datagram: when it was sent, and when it came, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Probed {
    pub(super) sent: Vec<u64>,
    pub(super) arrived: Vec<Option<u64>>,
}

impl Probed {
    /// One-way delays in seconds, of those that came.
    pub(super) fn delays(&self) -> impl Iterator<Item = f64> {
        self.sent.iter().zip(&self.arrived).filter_map(|(sent, arrived)| Some(seconds(*sent, (*arrived)?)))
    }
}

/// From one stamp to another.
pub(super) fn seconds(from: u64, to: u64) -> f64 {
    // Not as floating point before: times since 1970 would be whole multiples of 256 ns.
    to.wrapping_sub(from).cast_signed() as f64 / 1e9
}

/// Sends by the schedule. With `ahead` each datagram is given its departure time, so many nanoseconds from when it is
/// handed to the kernel; it counts as sent at that moment.
pub(super) fn run(bed: &Bed, schedule: &Schedule, ahead: Option<u64>) -> Result<Probed> {
    let receiver = bed.far.run(receiver)??;
    let sender = bed.near.run(sender)??;
    if ahead.is_some() {
        departs(&sender)?;
    }
    let over = AtomicBool::new(false);
    let count = schedule.count as usize;
    std::thread::scope(|scope| {
        let receiving = scope.spawn(|| receive(&receiver, count, &over));
        let sent = send(&sender, schedule, ahead);
        over.store(true, Ordering::Relaxed);
        let arrived = receiving.join().map_err(|_| anyhow!("the receiver panicked"))??;
        Ok(Probed { sent: sent?, arrived })
    })
}

fn receiver() -> Result<UdpSocket> {
    let socket = UdpSocket::bind((TO, PORT))?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)?;
    Ok(socket)
}

/// Not connected: each packet may leave when it is its time.
fn sender() -> Result<UdpSocket> {
    nix::sys::prctl::set_timerslack(1)?;
    let socket = UdpSocket::bind((FROM, 0))?;
    setsockopt(&socket, sockopt::SndBufForce, &BUFFER)?;
    // Stamps come by the receive buffer.
    setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)?;
    let flags = TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_OPT_ID
        | TimestampingFlag::SOF_TIMESTAMPING_OPT_TSONLY
        | TimestampingFlag::from_bits_retain(libc::SOF_TIMESTAMPING_TX_SCHED);
    setsockopt(&socket, sockopt::Timestamping, &flags).context("this kernel stamps no packets that are sent")?;
    Ok(socket)
}

/// Lets a socket say when each of its packets is to depart.
///
/// `fq` takes all times for ones of CLOCK_MONOTONIC, and such they are. But they are called something else: what it knows to
/// be a departure by that clock, the kernel keeps where the packet arrives (`skb_clear_tstamp`, Linux 6.12), and stamps the
/// arrival only behind the IP layer (`skb_clear_delivery_time`), later than it does with all others.
pub(super) fn departs(socket: &impl AsFd) -> Result<()> {
    let asked = libc::sock_txtime { clockid: libc::CLOCK_REALTIME, flags: 0 };
    setsockopt(socket, sockopt::TxTime, &asked).context("this kernel takes no departure times of a socket")
}

fn send(socket: &UdpSocket, schedule: &Schedule, ahead: Option<u64>) -> Result<Vec<u64>> {
    let to = SockaddrIn::from(SocketAddrV4::new(TO, PORT));
    let mut stamps: Vec<Option<u64>> = vec![None; schedule.count as usize];
    let mut payload = vec![0x5a; schedule.frame.saturating_sub(HEADERS).max(4)];
    let mut handed = Vec::new();
    let mut due = monotonic();
    for number in 0..schedule.count {
        let now = monotonic();
        if now < due {
            std::thread::sleep(Duration::from_nanos(due - now));
        }
        due += schedule.gap_nanos;
        if let Some(place) = payload.get_mut(..4) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        let departure = ahead.map(|ahead| monotonic() + ahead);
        handed.extend(departure.zip(ahead).map(|(departure, ahead)| departure - ahead));
        let control = departure.as_ref().map(ControlMessage::TxTime);
        let slices = [IoSlice::new(&payload)];
        sendmsg(socket.as_raw_fd(), &slices, control.as_slice(), MsgFlags::empty(), Some(&to))
            .context("cannot send a datagram")?;
        if schedule.gap_nanos > 0 {
            take_stamps(socket, &mut stamps)?;
        }
    }
    let since = Instant::now();
    while stamps.contains(&None) && since.elapsed() < QUIET {
        take_stamps(socket, &mut stamps)?;
    }
    let stamps: Option<Vec<u64>> = stamps.into_iter().collect();
    if ahead.is_some() {
        let ClockSample { before, realtime, after } = clock::sample();
        let since = realtime.saturating_sub(before.midpoint(after));
        return Ok(handed.into_iter().map(|at| at + since).collect());
    }
    stamps.context("the kernel did not stamp every datagram that was sent")
}

/// Takes the stamps that there are. A packet that is led through another device gets another one there: the first counts.
fn take_stamps(socket: &UdpSocket, stamps: &mut [Option<u64>]) -> Result<()> {
    loop {
        let mut control = [0u8; CONTROL];
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let message = match recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut [], Some(&mut control), flags) {
            Ok(message) => message,
            Err(Errno::EAGAIN) => return Ok(()),
            Err(error) => return Err(error).context("cannot read the stamps of what was sent"),
        };
        let (mut stamp, mut number) = (None, None);
        for control in message.cmsgs()? {
            match control {
                ControlMessageOwned::ScmTimestampsns(stamps) => stamp = Some(nanos(&stamps.system)),
                ControlMessageOwned::Ipv4RecvErr(error, _) => number = Some(error.ee_data),
                _ => {}
            }
        }
        if let (Some(stamp), Some(place)) = (stamp, number.and_then(|number| stamps.get_mut(number as usize))) {
            place.get_or_insert(stamp);
        }
    }
}

fn receive(socket: &UdpSocket, count: usize, over: &AtomicBool) -> Result<Vec<Option<u64>>> {
    let mut arrived: Vec<Option<u64>> = vec![None; count];
    let mut missing = count;
    let mut last = Instant::now();
    while missing > 0 {
        let mut number = [0u8; 4];
        let mut control = [0u8; CONTROL];
        let mut room = [IoSliceMut::new(&mut number)];
        let received = recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut room, Some(&mut control), MsgFlags::empty());
        match received {
            Ok(message) => {
                let stamp = message.cmsgs()?.find_map(|control| match control {
                    ControlMessageOwned::ScmTimestampns(stamp) => Some(nanos(&stamp)),
                    _ => None,
                });
                ensure!(stamp.is_some(), "the kernel did not stamp a datagram that came");
                last = Instant::now();
                if let Some(place) = arrived.get_mut(u32::from_be_bytes(number) as usize)
                    && place.is_none()
                {
                    *place = stamp;
                    missing -= 1;
                }
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {
                if !over.load(Ordering::Relaxed) {
                    last = Instant::now();
                } else if last.elapsed() > QUIET {
                    break;
                }
            }
            Err(error) => return Err(error).context("cannot receive"),
        }
    }
    Ok(arrived)
}

fn nanos(time: &nix::sys::time::TimeSpec) -> u64 {
    (time.tv_sec() * 1_000_000_000 + time.tv_nsec()).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nanosecond_counts_in_times_since_1970() {
        let now = 1_800_000_000_000_000_001;
        assert_eq!((seconds(now, now + 1), seconds(now + 1, now)), (1e-9, -1e-9));
    }
}
