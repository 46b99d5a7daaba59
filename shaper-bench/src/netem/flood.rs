//! As many packets as one processor can send, through the interface's queueing as programs of users send them, and what
//! arrives; with the processor time of the whole host, whoever took it.

use std::fs;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, setsockopt, socket, sockopt};
use shaper_bpf::{Program, RunTime, RunTimes};
use shaper_engine::clock::monotonic;

use super::batch::Batch;
use super::bed::Bed;
use super::{Figures, probe};
use crate::{frame, stats};

/// Before counting begins: longer than the delay.
const WARM: Duration = Duration::from_millis(300);
/// How long is counted.
const COUNTED: Duration = Duration::from_millis(1_000);
/// What is under way when nothing has come for so long is lost.
const QUIET: Duration = Duration::from_millis(100);
/// The share of what came flat out at which nothing may be lost that was not asked for.
const EASE: f64 = 0.8;
/// From one look at whether something is due to the next, where less is offered than can be.
const LOOK: Duration = Duration::from_micros(50);
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
    /// Where they are counted.
    programs: Vec<RunTime>,
}

/// Programs that a packet meets, and what they take of it.
const PROGRAMS: [(Program, &str); 6] = [
    (Program::DivertForward, "divert_forward_ns"),
    (Program::Link, "link_ns"),
    (Program::TurnRound, "turn_round_ns"),
    (Program::Schedule, "schedule_ns"),
    (Program::Released, "released_ns"),
    (Program::ComeBack, "come_back_ns"),
];

/// Floods so many times. With `ahead` each frame is given its departure time, so many nanoseconds from when it is sent.
pub(super) fn run(bed: &Bed, ahead: Option<u64>, repeats: u32, figures: &mut Figures) -> Result<()> {
    let (mut rates, mut costs, mut lost) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..repeats {
        let (from, to) = once(bed, ahead, None)?;
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

/// Offers 80 % of what came flat out, for as long, and counts what of it did not come.
pub(super) fn at_ease(bed: &Bed, ahead: Option<u64>, figures: &mut Figures) -> Result<()> {
    let rate = EASE * figures.get("pps").copied().context("nothing came flat out")?;
    let before = bed.arrived()?;
    let (_, sent) = while_sending(bed, ahead, Some(rate), |_| {
        std::thread::sleep(WARM + COUNTED);
        Ok(())
    })?;
    figures.insert("ease_sent", sent as f64);
    figures.insert("ease_lost", sent.saturating_sub(bed.arrived()? - before) as f64);
    Ok(())
}

/// Floods once more and tells what each program of ours takes a packet that arrives, counting included.
pub(super) fn count_programs(bed: &Bed, figures: &mut Figures) -> Result<()> {
    let times = RunTimes::count()?;
    let (from, to) = once(bed, None, Some(&times))?;
    let arrived = (to.arrived - from.arrived).max(1) as f64;
    for (program, name) in PROGRAMS {
        let taken = |counts: &Counts| -> Duration {
            counts.programs.iter().filter(|one| one.program == program).map(|one| one.time).sum()
        };
        let taken = taken(&to).saturating_sub(taken(&from));
        if !taken.is_zero() {
            figures.insert(name, taken.as_nanos() as f64 / arrived);
        }
    }
    Ok(())
}

fn once(bed: &Bed, ahead: Option<u64>, times: Option<&RunTimes>) -> Result<(Counts, Counts)> {
    let (counted, _) = while_sending(bed, ahead, None, |sent| {
        std::thread::sleep(WARM);
        let from = counts(bed, sent, times)?;
        std::thread::sleep(COUNTED);
        Ok((from, counts(bed, sent, times)?))
    })?;
    Ok(counted)
}

/// Sends while something is done, at a rate in packets a second or as fast as it goes; once nothing more arrives, what
/// that came to, and how many were sent.
fn while_sending<T>(
    bed: &Bed,
    ahead: Option<u64>,
    rate: Option<f64>,
    what: impl FnOnce(&AtomicU64) -> Result<T>,
) -> Result<(T, u64)> {
    let socket = bed.near.run(packet_socket)??;
    if ahead.is_some() {
        probe::departs(&socket)?;
    }
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let done = std::thread::scope(|scope| {
        let sending = scope.spawn(|| send(&socket, bed.device, ahead, rate, &stop, &sent));
        let done = what(&sent);
        stop.store(true, Ordering::Relaxed);
        sending.join().map_err(|_| anyhow!("the sender panicked"))??;
        done
    });
    settle(bed)?;
    Ok((done?, sent.into_inner()))
}

fn packet_socket() -> Result<OwnedFd> {
    // Without a protocol it receives nothing.
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None::<SockProtocol>)
        .context("cannot open a packet socket")?;
    setsockopt(&socket, sockopt::SndBufForce, &BUFFER)?;
    Ok(socket)
}

fn send(
    socket: &OwnedFd,
    device: u32,
    ahead: Option<u64>,
    rate: Option<f64>,
    stop: &AtomicBool,
    sent: &AtomicU64,
) -> Result<()> {
    let mut batch = Batch::new(frame::udp(frame::FROM, frame::TO, SIZE), device)?;
    let begun = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        if rate.is_some_and(|rate| sent.load(Ordering::Relaxed) as f64 >= rate * begun.elapsed().as_secs_f64()) {
            std::thread::sleep(LOOK);
            continue;
        }
        match batch.send(socket, ahead) {
            Ok(count) => {
                sent.fetch_add(count, Ordering::Relaxed);
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

fn counts(bed: &Bed, sent: &AtomicU64, times: Option<&RunTimes>) -> Result<Counts> {
    let programs = times.map(RunTimes::read).transpose()?.unwrap_or_default();
    let sent = sent.load(Ordering::Relaxed);
    Ok(Counts { at: monotonic(), sent, arrived: bed.arrived()?, busy: busy()?, programs })
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
