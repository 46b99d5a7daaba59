//! `shaper capture`: several interfaces into one pcapng file, in order of time.
//!
//! Each interface has a thread that reads it by libpcap and hands on batches ([`source`]). The caller's thread puts them in
//! order ([`order`]) and writes them ([`output`]). Where it cannot keep up, the threads wait, the kernel's buffers fill, and
//! what finds no room in these is counted by the kernel: told while it goes on, in the file and in the end. Whoever reads
//! along through a pipe ([`pipe`]) is waited for, but not once the capture is to end and nothing is read any more.
//!
//! With fates ([`fates`]) the devices are those that an impaired interface's packets are led through, and what is captured
//! is written once more in the end, with what was decided of each packet.

mod fates;
mod order;
mod output;
mod pipe;
mod source;

use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::bail;
use shaper_net::netns::NetNs;
use shaper_net::signals::Signals;

use super::Way;
pub(crate) use fates::{Fated, capture_with_fates};
use order::Order;
use output::Output;
pub(crate) use output::Ring;
use pipe::Ending;
use source::{Batch, Source};

/// How often it is looked whether it is to end.
const LOOK: Duration = Duration::from_millis(50);
/// How often it is told how it stands, and what reads along gets what was written.
const TELL: Duration = Duration::from_secs(1);
/// Batches of all interfaces that may wait to be written: beyond that their threads wait.
const WAITING: usize = 64;

/// An interface, or one way through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// The kernel's name.
    pub(crate) device: String,
    /// The name in the file, and in what is told.
    pub(crate) name: String,
    /// Packets of this way alone.
    pub(crate) way: Option<Way>,
}

impl From<String> for Device {
    fn from(name: String) -> Self {
        Self { device: name.clone(), name, way: None }
    }
}

/// What is captured, and where to.
pub(crate) struct Plan {
    /// Interfaces, each once.
    pub(crate) interfaces: Vec<Device>,
    /// The namespace that they are in; `None` for our own, which needs no capability to be in.
    pub(crate) netns: Option<NetNs>,
    /// The file; `-` for standard output.
    pub(crate) path: PathBuf,
    /// Several files instead of one that grows.
    pub(crate) ring: Option<Ring>,
    /// Which packets, in libpcap's words; all where there are none.
    pub(crate) filter: String,
    /// Bytes of each packet that are kept.
    pub(crate) snaplen: u32,
    /// The kernel's buffer for each interface, in bytes.
    pub(crate) buffer: u32,
    /// Whether packets for other hosts are taken too, where the device would not hand them on.
    pub(crate) promiscuous: bool,
    /// Ends it after this time.
    pub(crate) duration: Option<Duration>,
    /// Ends it after so many packets.
    pub(crate) count: Option<u64>,
}

/// How one interface stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Its name.
    pub(crate) interface: String,
    /// Packets that passed the filter, those that were dropped included.
    pub(crate) received: u64,
    /// Packets that found no room in the kernel's buffer.
    pub(crate) dropped: u64,
    /// Packets written.
    pub(crate) written: u64,
}

/// How it stands, and how it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// By interface.
    pub(crate) interfaces: Vec<Counts>,
    /// Bytes written, over all files.
    pub(crate) bytes: u64,
    /// Packets that stand behind a later one, since they came more than a moment after it.
    pub(crate) out_of_order: u64,
    /// Files of a ring that have been begun; one without a ring.
    pub(crate) files: u64,
    /// The file written last.
    pub(crate) last: PathBuf,
}

impl Counted {
    /// Packets that were dropped at all interfaces.
    pub(crate) fn dropped(&self) -> u64 {
        self.interfaces.iter().map(|counts| counts.dropped).sum()
    }

    /// Packets received at all interfaces, those that were dropped included.
    pub(crate) fn received(&self) -> u64 {
        self.interfaces.iter().map(|counts| counts.received).sum()
    }

    /// Packets written of all interfaces.
    pub(crate) fn written(&self) -> u64 {
        self.interfaces.iter().map(|counts| counts.written).sum()
    }
}

/// Captures until a signal, the time or the number of packets ends it, or an interface goes away: that is an error, which is
/// returned beside what was taken until then.
///
/// It is an error too if whoever reads along reads nothing any more when it is to end, for a second or until a second signal.
///
/// `began` hears that packets are taken from now on, `tell` once a second how it stands.
pub(crate) fn capture(
    plan: &Plan,
    signals: Signals,
    began: impl FnOnce(&Plan),
    mut tell: impl FnMut(&Counted),
) -> anyhow::Result<(Counted, Option<anyhow::Error>)> {
    let (sender, batches) = mpsc::sync_channel(WAITING);
    let opened: Vec<_> =
        plan.interfaces.iter().map(|interface| source::open(interface, plan)).collect::<anyhow::Result<_>>()?;
    let links: Vec<u16> = opened.iter().map(source::linktype).collect::<anyhow::Result<_>>()?;
    let ending = Ending::by(signals);
    let mut output = Output::create(plan, &links, ending.clone())?;
    let sources: Vec<Source> = opened
        .into_iter()
        .zip(&plan.interfaces)
        .enumerate()
        .map(|(of, (capture, interface))| Source::start(of, interface, capture, sender.clone()))
        .collect::<anyhow::Result<_>>()?;
    // Theirs are the only ones now: the channel ends with the last thread.
    drop(sender);
    began(plan);
    ending.at(plan.duration.and_then(|duration| Instant::now().checked_add(duration)));
    let mut order = Order::new(sources.len());
    let taken = take_until(&ending, &batches, &sources, &mut order, &mut output, &mut tell);
    output.stop();
    for source in &sources {
        source.stop();
    }
    let ended = taken.and_then(|is_enough| {
        rest(&batches, &mut order, &mut output)?;
        Ok((is_enough, output.finish(order.late())?))
    });
    if output.gave_up() {
        // Their counts alone are still of interest.
        batches.iter().for_each(|batch| output.told(&batch));
        let counted = output.abandoned(order.late());
        let (written, received) = (counted.written(), counted.received());
        bail!(
            "{}: nobody reads it: {written} packets are out, {} of the {received} received are not, and the end is cut off",
            counted.last.display(),
            received.saturating_sub(written)
        );
    }
    let (is_enough, counted) = ended?;
    let failed: Vec<anyhow::Error> = sources.into_iter().filter_map(|source| source.join().err()).collect();
    // What was asked for is there, whatever came of the interface then.
    let failed = failed.into_iter().next().filter(|_| !is_enough).map(|error| {
        let written = counted.written();
        error.context(format!("ended early, with {written} packets in {}", counted.last.display()))
    });
    Ok((counted, failed))
}

/// Takes what comes until it is to end; whether that is because there are as many packets as were asked for.
fn take_until(
    ending: &Ending,
    batches: &Receiver<Batch>,
    sources: &[Source],
    order: &mut Order,
    output: &mut Output<'_>,
    tell: &mut impl FnMut(&Counted),
) -> anyhow::Result<bool> {
    let mut told = Instant::now();
    loop {
        match batches.recv_timeout(LOOK) {
            Ok(batch) => take(batch, order, output)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(false),
        }
        order.ready(|packet| output.packet(&packet))?;
        if output.is_full() {
            return Ok(true);
        }
        if ending.is_due() || sources.iter().any(Source::has_ended) {
            return Ok(false);
        }
        if told.elapsed() >= TELL {
            told = Instant::now();
            output.flush()?;
            tell(&output.counted(order.late()));
        }
    }
}

/// Takes what has arrived until now, however long it was held back.
fn rest(batches: &Receiver<Batch>, order: &mut Order, output: &mut Output<'_>) -> anyhow::Result<()> {
    for batch in batches {
        take(batch, order, output)?;
        order.ready(|packet| output.packet(&packet))?;
    }
    order.rest(|packet| output.packet(&packet))
}

fn take(batch: Batch, order: &mut Order, output: &mut Output) -> anyhow::Result<()> {
    output.told(&batch);
    order.take(batch)
}

/// Sees that names are there, and each of them once.
///
/// # Errors
///
/// Which one is there twice.
pub(crate) fn check_interfaces(interfaces: &[String]) -> anyhow::Result<()> {
    for (at, name) in interfaces.iter().enumerate() {
        if interfaces.iter().take(at).any(|before| before == name) {
            bail!("{name} is named twice: each of its packets would stand there twice");
        }
    }
    if interfaces.len() > 1 && interfaces.iter().any(|name| name == source::ANY) {
        bail!("{} is all interfaces: name it alone, or those that are meant", source::ANY);
    }
    Ok(())
}
