//! The source of frames: live frames of a BPF test run, at a pace, counted where they leave and where they arrive.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use shaper_bpf::{Exclusion, Object, Room};
use shaper_common::layout::{OUTPUT_GENERATE, Pace};
use shaper_common::units::Nanos;
use shaper_engine::clock::monotonic;

use crate::frame;
use crate::link::bed::Bed;
use crate::link::threads::{self, Thread};

/// Before counting begins: longer than the longest delay.
const WARM: Duration = Duration::from_millis(60);
/// How long is counted.
const COUNTED: Duration = Duration::from_millis(300);
/// How far the source may fall behind its schedule and catch up.
const CATCH_UP: Nanos = Nanos(200_000);
/// Nothing more is waited for when this long nothing arrived.
const QUIET: Duration = Duration::from_millis(50);
/// The ring of records of a source, which records nothing: one page.
const NO_RECORDS: u32 = 1 << 12;

/// How fast frames are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rate {
    /// As fast as one processor can.
    FlatOut,
    /// Packets a second, evenly spaced as far as batches of 64 allow.
    Paced(f64),
}

impl Rate {
    fn gap(self) -> Nanos {
        match self {
            Self::FlatOut => Nanos(0),
            Self::Paced(rate) => Nanos((1e9 / rate) as u64),
        }
    }
}

/// What was counted at one moment.
struct Snapshot {
    at: u64,
    sent: u64,
    arrived: u64,
    source: u64,
    line: Option<u64>,
}

/// What came of sending for a while.
#[derive(Debug)]
pub(crate) struct Trial {
    /// Seconds in which `counted` and the processor times were taken.
    seconds: f64,
    /// Sent and arrived in these seconds.
    sent: u64,
    arrived: u64,
    source: u64,
    line: Option<u64>,
    /// Sent and arrived in all, from the first to the last.
    sent_in_all: u64,
    arrived_in_all: u64,
}

impl Trial {
    /// Packets a second that left the source.
    pub(crate) fn offered_rate(&self) -> f64 {
        self.sent as f64 / self.seconds
    }

    /// Packets a second that arrived.
    pub(crate) fn delivered_rate(&self) -> f64 {
        self.arrived as f64 / self.seconds
    }

    /// Share of all packets sent that never arrived.
    pub(crate) fn loss(&self) -> f64 {
        1.0 - self.arrived_in_all as f64 / self.sent_in_all.max(1) as f64
    }

    /// Packets that left the source and did not arrive.
    pub(crate) fn lost(&self) -> u64 {
        self.sent_in_all.saturating_sub(self.arrived_in_all)
    }

    /// Processor time of the sending thread, by packet sent.
    pub(crate) fn source_nanos(&self) -> f64 {
        self.source as f64 / self.sent.max(1) as f64
    }

    /// Processor time of the delay line, by packet that arrived.
    pub(crate) fn line_nanos(&self) -> Option<f64> {
        self.line.map(|line| line as f64 / self.arrived.max(1) as f64)
    }
}

/// A source of frames of one size.
pub(crate) struct Source {
    object: Object,
    frame: Vec<u8>,
}

impl Source {
    pub(crate) fn new(size: usize) -> Result<Self> {
        threads::prepare_interrupt()?;
        Ok(Self {
            object: Object::load(NO_RECORDS, Exclusion::Device, &Room::PLAIN)?,
            frame: frame::udp(frame::FROM, frame::TO, size),
        })
    }

    /// Sends from host `a` for a while and counts at host `b`.
    pub(crate) fn trial(&mut self, bed: &Bed, rate: Rate) -> Result<Trial> {
        let host = bed.lab().host("a")?.ifindex;
        bed.lab().netns("a")?.run(|| self.object.set_output(OUTPUT_GENERATE, host))??;
        let first = bed.received()?.rx_packets;
        let start = Nanos(monotonic());
        self.object.set_pace(Pace { due: start, gap: rate.gap(), catch_up: CATCH_UP, end: Nanos::MAX, sent: 0 })?;
        let (from, to) = self.generating(|this, source| {
            std::thread::sleep(WARM);
            let from = this.snapshot(bed, source)?;
            std::thread::sleep(COUNTED);
            Ok((from, this.snapshot(bed, source)?))
        })?;
        let sent_in_all = self.object.pace()?.sent;
        let arrived_in_all = settle(bed, first + sent_in_all)? - first;
        Ok(Trial {
            seconds: (to.at - from.at) as f64 / 1e9,
            sent: to.sent - from.sent,
            arrived: to.arrived - from.arrived,
            source: to.source - from.source,
            line: to.line.zip(from.line).map(|(to, from)| to - from),
            sent_in_all,
            arrived_in_all,
        })
    }

    /// Does something while a thread of its own sends.
    fn generating<T>(&self, during: impl FnOnce(&Self, Thread) -> Result<T>) -> Result<T> {
        let stop = AtomicBool::new(false);
        let (to_us, from_it) = mpsc::channel();
        std::thread::scope(|scope| {
            let stop = &stop;
            let generator = scope.spawn(move || {
                // Nobody waits for its number when the other side is gone.
                let _ = to_us.send(Thread::own());
                while !stop.load(Ordering::Relaxed) {
                    self.object.generate(&self.frame)?;
                }
                anyhow::Ok(())
            });
            let thread = from_it.recv().context("the source did not start")?;
            let done = during(self, thread);
            stop.store(true, Ordering::Relaxed);
            while !generator.is_finished() {
                threads::interrupt(thread);
                std::thread::sleep(Duration::from_millis(1));
            }
            match generator.join() {
                Ok(ended) => ended.context("cannot send live frames")?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
            done
        })
    }

    fn snapshot(&self, bed: &Bed, source: Thread) -> Result<Snapshot> {
        Ok(Snapshot {
            at: monotonic(),
            sent: self.object.pace()?.sent,
            arrived: bed.received()?.rx_packets,
            source: source.processor_time()?,
            line: bed.line().map(Thread::processor_time).transpose()?,
        })
    }
}

/// Waits until so many have arrived or no more come.
fn settle(bed: &Bed, expected: u64) -> Result<u64> {
    let mut arrived = bed.received()?.rx_packets;
    let mut since = Instant::now();
    while arrived < expected && since.elapsed() < QUIET {
        std::thread::sleep(Duration::from_millis(1));
        let now = bed.received()?.rx_packets;
        if now > arrived {
            (arrived, since) = (now, Instant::now());
        }
    }
    Ok(arrived)
}

/// Sends frames back from host `b` for a moment, from which a bridge learns where they go.
pub(crate) fn teach(bed: &Bed) -> Result<()> {
    let mut source = Source { frame: frame::udp(frame::TO, frame::FROM, 64), ..Source::new(64)? };
    let host = bed.lab().host("b")?.ifindex;
    bed.lab().netns("b")?.run(|| source.object.set_output(OUTPUT_GENERATE, host))??;
    source.object.set_pace(Pace { gap: Nanos(1_000_000), end: Nanos::MAX, ..Pace::default() })?;
    source.generating(|source, _| {
        while source.object.pace()?.sent == 0 {
            std::thread::yield_now();
        }
        Ok(())
    })
}
