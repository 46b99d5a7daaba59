//! One interface: read by libpcap on a thread of its own, and handed on in batches.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use pcap::{Active, Capture, Linktype, Precision, Stat};
use shaper_offline::pcapfile::linktype;

use super::{Device, Plan};

/// What libpcap calls all interfaces together.
pub(super) const ANY: &str = "any";
/// Bytes of packets after which a batch is handed on, though there is more.
const BATCH: usize = 1 << 18;
/// How long the kernel keeps packets together before they can be read, in milliseconds.
const BLOCK_MS: i32 = 10;
/// From a packet's stamp until it can be read, at most: soft interrupts of a busy processor come late too.
pub(super) const MOMENT: Duration = Duration::from_millis(50);
/// How long it is waited for packets before it is looked whether it is to end, in milliseconds.
const WAIT_MS: u16 = 10;
/// How often the kernel is asked what it dropped.
const ASK: Duration = Duration::from_millis(100);

/// A packet of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// When it was stamped, nanoseconds since the epoch.
    pub(super) ts_ns: i64,
    /// Its length on the wire.
    pub(super) origlen: u32,
    /// Where it ends in the batch's bytes; it begins where the one before it ends.
    end: usize,
}

/// Packets of one interface in the order in which the kernel had them.
#[derive(Debug)]
pub(super) struct Batch {
    /// Which interface.
    pub(super) of: usize,
    pub(super) packets: Vec<Taken>,
    bytes: Vec<u8>,
    /// When they had been read.
    pub(super) read: Instant,
    /// Since when nothing was left to be read; `None` as long as there may be more.
    pub(super) drained: Option<Instant>,
    /// What has been read and dropped by then.
    pub(super) told: Told,
}

/// What an interface's capture has come to. The kernel's own count of what it received is of no use: at a loopback device
/// it has each packet twice, and libpcap hands on one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Packets that were read.
    pub(super) read: u64,
    /// Packets that found no room in the kernel's buffer.
    pub(super) dropped: u64,
}

impl Batch {
    pub(super) fn new(of: usize) -> Self {
        Self { of, packets: Vec::new(), bytes: Vec::new(), read: Instant::now(), drained: None, told: Told::default() }
    }

    pub(super) fn push(&mut self, ts_ns: i64, origlen: u32, data: &[u8]) {
        self.bytes.extend_from_slice(data);
        self.packets.push(Taken { ts_ns, origlen, end: self.bytes.len() });
    }

    /// The bytes of a packet.
    pub(super) fn data(&self, number: usize) -> &[u8] {
        let end = |number: usize| self.packets.get(number).map_or(0, |packet| packet.end);
        let start = number.checked_sub(1).map_or(0, end);
        self.bytes.get(start..end(number)).unwrap_or_default()
    }
}

/// The thread of an interface.
pub(super) struct Source {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

/// Opens an interface: packets that arrive from now on wait for the thread.
pub(super) fn open(device: &Device, plan: &Plan) -> anyhow::Result<Capture<Active>> {
    let interface = device.device.as_str();
    let open = || {
        if interface != ANY && nix::net::if_::if_nametoindex(interface).is_err() {
            bail!("{interface}: no such interface: `ip link` lists those that there are");
        }
        let failed = |tried: &'static str| move || format!("{interface}: cannot {tried}");
        let mut capture = Capture::from_device(interface)
            .with_context(failed("find it"))?
            .snaplen(i32::try_from(plan.snaplen).unwrap_or(i32::MAX))
            .promisc(plan.promiscuous)
            // Not one by one: then packets lie one behind another in the buffer, whatever the longest of them may be.
            .timeout(BLOCK_MS)
            .precision(Precision::Nano)
            .buffer_size(i32::try_from(plan.buffer).unwrap_or(i32::MAX))
            .open()
            .with_context(failed("capture"))?
            .setnonblock()
            .with_context(failed("capture without blocking"))?;
        if interface == ANY {
            // It tells the interface of each packet.
            let _ = capture.set_datalink(Linktype::LINUX_SLL2);
        }
        if let Some(way) = device.way {
            capture.direction(way.into()).with_context(failed("capture one way"))?;
        }
        if !plan.filter.is_empty() {
            capture.filter(&plan.filter, true).with_context(|| format!("{interface}: --filter {:?}", plan.filter))?;
        }
        Ok(capture)
    };
    match &plan.netns {
        Some(netns) => netns.run(open)?,
        None => open(),
    }
}

/// What stands at the beginning of its packets, as files call it.
pub(super) fn linktype(capture: &Capture<Active>) -> anyhow::Result<u16> {
    /// What libpcap calls raw IP; files call it otherwise (pcap-linktype(7)).
    const DLT_RAW: i32 = 12;
    match capture.get_datalink().0 {
        DLT_RAW => Ok(linktype::RAW),
        other => u16::try_from(other).context("packets of an unknown kind"),
    }
}

impl Source {
    pub(super) fn start(
        of: usize,
        device: &Device,
        capture: Capture<Active>,
        batches: SyncSender<Batch>,
    ) -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (name, is_to_stop) = (device.name.clone(), Arc::clone(&stop));
        let thread = thread::Builder::new()
            .name(format!("capture {}", device.name))
            .spawn(move || read(of, capture, &is_to_stop, &batches).with_context(|| format!("{name}: cannot go on")))
            .context("cannot start a thread")?;
        Ok(Self { stop, thread })
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Whether it ended, though nobody stopped it.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Why it ended, if it failed.
    pub(super) fn join(self) -> anyhow::Result<()> {
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// The kernel's counter of drops, which begins again at 2^32.
#[derive(Default)]
struct Drops {
    last: u32,
}

impl Drops {
    /// How many there were since it was asked before.
    fn since(&mut self, stats: Stat) -> u64 {
        // Not what the device itself dropped: the network did that.
        let since = stats.dropped.wrapping_sub(self.last);
        self.last = stats.dropped;
        u64::from(since)
    }
}

fn read(of: usize, mut capture: Capture<Active>, stop: &AtomicBool, batches: &SyncSender<Batch>) -> anyhow::Result<()> {
    let mut asked = Instant::now();
    let mut drops = Drops::default();
    let mut told = Told::default();
    let mut told_to_stop = None;
    loop {
        if told_to_stop.is_none() && stop.load(Ordering::Acquire) {
            told_to_stop = Some(Instant::now());
        }
        // What was stamped before can be read by then.
        let last = told_to_stop.is_some_and(|told| told.elapsed() >= MOMENT);
        let mut batch = Batch::new(of);
        // Whatever arrived before is found below.
        let since = batch.read;
        let failed = loop {
            if batch.bytes.len() >= BATCH {
                break None;
            }
            match capture.next_packet() {
                Ok(packet) => {
                    // Nanoseconds where microseconds were, because that precision was asked for.
                    let ts = packet.header.ts;
                    let at = ts.tv_sec.saturating_mul(1_000_000_000).saturating_add(ts.tv_usec);
                    batch.push(at, packet.header.len, packet.data);
                }
                Err(pcap::Error::TimeoutExpired | pcap::Error::NoMorePackets) => {
                    batch.drained = Some(since);
                    break None;
                }
                Err(error) => break Some(error),
            }
        };
        let ends = failed.is_some() || (last && batch.drained.is_some());
        if ends || asked.elapsed() >= ASK {
            asked = Instant::now();
            if let Ok(stats) = capture.stats() {
                told.dropped += drops.since(stats);
            }
        }
        told.read += batch.packets.len() as u64;
        batch.read = Instant::now();
        batch.told = told;
        let is_drained = batch.drained.is_some();
        // Nobody listens any more where writing failed.
        if batches.send(batch).is_err() {
            return Ok(());
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        if ends {
            return Ok(());
        }
        if is_drained {
            // SAFETY: the descriptor is the capture's own, which outlives this borrow.
            let descriptor = unsafe { BorrowedFd::borrow_raw(capture.as_raw_fd()) };
            let mut waiting = [PollFd::new(descriptor, PollFlags::POLLIN)];
            // An interrupted wait is a short one.
            let _ = poll(&mut waiting, PollTimeout::from(WAIT_MS));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_of_the_kernel_begins_again_and_ours_does_not() {
        let mut drops = Drops::default();
        let stat = |dropped| Stat { received: 0, dropped, if_dropped: 1 };
        assert_eq!(drops.since(stat(u32::MAX - 1)), u64::from(u32::MAX) - 1);
        assert_eq!(drops.since(stat(3)), 5);
        assert_eq!(drops.since(stat(3)), 0);
    }
}
