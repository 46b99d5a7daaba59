//! Captures at both sides of an impaired interface, with the fate of each packet.
//!
//! The process that impairs it tells what it decides while packets are captured where they enter the link and where they
//! leave it ([`follow`]). When capturing ends both are joined, and the file is written with what was found.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use shaper_engine::clock;
use shaper_net::signals::Signals;
use shaper_offline::annotate::{Annotation, CapturePoint, annotate};
use shaper_offline::join::{CaptureIndex, ClockMap, ClockSample, Joined, Point, Seen};
use shaper_offline::pcapfile::Reader;
use shaper_offline::writer::Statistics;

use super::output::open;
use super::pipe::Ending;
use super::{Counted, Device, Plan, capture};
use crate::apply::{Followed, Frame, Stream, Target, follow};
use crate::capture::Way;
use crate::fates::{Decision, Departure, Log, key, verdict};

/// Decisions, and departures, that are kept: as many as of a direction in a run.
const KEPT: usize = 1 << 22;
/// How often the clocks are read against each other.
const READ: Duration = Duration::from_millis(250);
/// By device that is captured at: the side of the link that its packets are of, and which way they go there.
const DEVICES: [(usize, Seen); 4] = [(0, Seen::Entering), (1, Seen::Leaving), (0, Seen::Leaving), (1, Seen::Entering)];

/// What came of it.
#[derive(Debug)]
pub(crate) struct Fated {
    /// By side: its name, packets captured, and packets that the capture dropped.
    pub(crate) sides: [(String, u64, u64); 2],
    /// Decisions by what they were: `none` for what was let through.
    pub(crate) decided: BTreeMap<&'static str, u64>,
    /// Packets in the file, and those of them with a fate.
    pub(crate) packets: (u64, u64),
    /// Packets that look alike: each has the fate of one of them.
    pub(crate) ambiguous: u64,
    /// Fates that found no room on their way here, or were too many.
    pub(crate) lost: u64,
    /// Of which decisions there are records.
    pub(crate) recording: String,
    /// Why fates ended before the capture did.
    pub(crate) ended: Option<String>,
    /// Bytes of the file.
    pub(crate) bytes: u64,
}

/// What was told.
struct Gathered {
    decisions: Vec<Decision>,
    departures: Vec<Departure>,
    lost: u64,
    clocks: Vec<clock::ClockSample>,
    ended: Option<String>,
}

/// Captures as [`capture`] does, at both sides of the interface that `plan` names, which some process impairs.
///
/// # Errors
///
/// Those of [`capture`]; when nobody impairs the interface; when the file cannot be written.
pub(crate) fn capture_with_fates(
    mut plan: Plan,
    target: &Target,
    signals: Signals,
    began: impl FnOnce(&Plan),
    tell: impl FnMut(&Counted),
) -> anyhow::Result<(Fated, Option<anyhow::Error>)> {
    let [interface] = plan.interfaces.as_slice() else {
        bail!("--fates is of one interface, or of a bridge by one of its ports: name one")
    };
    let (followed, stream) = follow(&interface.device, target)?;
    let path = std::mem::replace(&mut plan.path, PathBuf::new());
    let mut out = New::open(&path, &Ending::by(signals))?;
    let mut spool = path.clone().into_os_string();
    spool.push(".spool");
    plan.path = spool.into();
    plan.interfaces = devices(&followed);
    let stopper = stream.stopper()?;
    let gathering = gather(stream)?;
    let captured = capture(&plan, signals, began, tell);
    stopper.enough();
    let gathered = gathering.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let (counted, failed) = captured?;
    let fated = finish(counted, gathered, &followed, &plan, &mut out.file);
    let fated =
        fated.with_context(|| format!("{}: what was captured is in {}", path.display(), plan.path.display()))?;
    fs::remove_file(&plan.path).with_context(|| format!("{}: cannot be removed", plan.path.display()))?;
    let bytes = fs::metadata(&path).map_or(0, |file| file.len());
    out.is_whole = true;
    // That the devices went with whoever impaired the interface is told as that.
    let failed = failed.map(|error| match &fated.ended {
        Some(why) => anyhow::anyhow!("{why}"),
        None => error,
    });
    Ok((Fated { bytes, ..fated }, failed))
}

/// A file that goes again unless it becomes whole.
struct New<'p> {
    file: Box<dyn Write>,
    path: &'p Path,
    is_whole: bool,
}

impl<'p> New<'p> {
    fn open(path: &'p Path, ending: &Ending) -> anyhow::Result<Self> {
        let (file, _) = open(path, ending)?;
        Ok(Self { file, path, is_whole: false })
    }
}

impl Drop for New<'_> {
    fn drop(&mut self) {
        let is_ours = !self.is_whole && fs::metadata(self.path).is_ok_and(|file| file.is_file());
        if is_ours {
            // It would be empty, or cut.
            let _ = fs::remove_file(self.path);
        }
    }
}

/// Where packets of both directions enter and leave: what a device sends goes into the link, what it receives came out.
fn devices(followed: &Followed) -> Vec<Device> {
    let [first, second] = &followed.devices;
    let [one, other] = &followed.sides;
    let device = |device: &String, side: &String, way| {
        let word = if way == Way::Outbound { "in" } else { "out" };
        Device { device: device.clone(), name: format!("{side} {word}"), way: Some(way) }
    };
    // In the order of DEVICES.
    vec![
        device(first, one, Way::Outbound),
        device(first, other, Way::Inbound),
        device(second, one, Way::Inbound),
        device(second, other, Way::Outbound),
    ]
}

/// Keeps what is told until the stream ends, and reads the clocks meanwhile.
fn gather(mut stream: Stream) -> anyhow::Result<JoinHandle<Gathered>> {
    let mut gathered =
        Gathered { decisions: Vec::new(), departures: Vec::new(), lost: 0, clocks: vec![clock::sample()], ended: None };
    let gather = move || {
        let mut read = Instant::now();
        loop {
            match stream.next() {
                Ok(Some(frame)) => gathered.take(frame),
                Ok(None) => break,
                Err(error) => {
                    gathered.ended = Some(format!("{error:#}"));
                    break;
                }
            }
            if read.elapsed() >= READ {
                read = Instant::now();
                gathered.clocks.push(clock::sample());
            }
        }
        gathered.clocks.push(clock::sample());
        gathered
    };
    thread::Builder::new().name("fates".into()).spawn(gather).context("cannot start a thread")
}

impl Gathered {
    fn take(&mut self, frame: Frame) {
        self.lost += frame.lost;
        self.lost += kept(&mut self.decisions, frame.decisions);
        self.lost += kept(&mut self.departures, frame.departures);
    }
}

/// Keeps as many as there is room for; how many there was none for.
fn kept<T>(all: &mut Vec<T>, mut more: Vec<T>) -> u64 {
    let room = KEPT.saturating_sub(all.len());
    let beyond = more.len().saturating_sub(room);
    more.truncate(room);
    all.append(&mut more);
    beyond as u64
}

/// Joins both, and writes the file.
fn finish(
    counted: Counted,
    gathered: Gathered,
    followed: &Followed,
    plan: &Plan,
    out: &mut dyn Write,
) -> anyhow::Result<Fated> {
    let samples = gathered.clocks.iter().map(|sample| ClockSample {
        before: sample.before,
        realtime: i64::try_from(sample.realtime).unwrap_or(i64::MAX),
        after: sample.after,
    });
    let clock = ClockMap::new(samples.collect()).context("the clocks read meanwhile make no sense")?;
    let mut log = Log::default();
    log.add(gathered.decisions.iter().copied(), gathered.departures.iter().copied());
    let spool = plan.path.as_path();
    let index = |side: usize| -> anyhow::Result<CaptureIndex> {
        let seen = |interface: u32| match DEVICES.get(interface as usize) {
            Some((of, seen)) if *of == side => *seen,
            _ => Seen::Elsewhere,
        };
        Ok(CaptureIndex::read_of(&mut Reader::open(spool)?, seen, key)?)
    };
    let (a, b) = (index(0)?, index(1)?);
    let joined = log.join([&a, &b], [Some(spool); 2], &clock)?;
    let sides = [0, 1].map(|side: usize| {
        let of_it =
            || counted.interfaces.iter().zip(DEVICES).filter(move |(_, (of, _))| *of == side).map(|(counts, _)| counts);
        let (received, dropped) =
            of_it().fold((0, 0), |(received, dropped), counts| (received + counts.received, dropped + counts.dropped));
        (followed.sides.get(side).cloned().unwrap_or_default(), received, dropped)
    });
    let point = |side: usize, point| {
        let (name, received, dropped) = sides.get(side)?;
        Some(CapturePoint {
            point,
            name,
            description: None,
            filter: Some(plan.filter.as_str()).filter(|filter| !filter.is_empty()),
            statistics: Some(Statistics {
                received: Some(*received),
                dropped: Some(*dropped),
                ..Statistics::default()
            }),
        })
    };
    let points: Vec<CapturePoint<'_>> = [point(0, Point::A), point(1, Point::B)].into_iter().flatten().collect();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    let annotation = Annotation {
        points: &points,
        of: &DEVICES.map(|(side, _)| side),
        application: concat!("shaper ", env!("CARGO_PKG_VERSION")),
        verdict: &verdict,
        clock: boot.as_deref().map(str::trim),
    };
    let annotated = annotate(spool, out, &log.engine(), &joined, &clock, &annotation)?;
    Ok(Fated {
        decided: decided(&log),
        packets: (annotated.packets, annotated.with_fate),
        ambiguous: ambiguous(&joined),
        lost: gathered.lost,
        recording: followed.recording.clone(),
        ended: gathered.ended,
        bytes: 0,
        sides,
    })
}

fn decided(log: &Log) -> BTreeMap<&'static str, u64> {
    let mut decided = BTreeMap::new();
    for record in &log.records {
        *decided.entry(record.cause.name).or_default() += 1;
    }
    decided
}

fn ambiguous(joined: &Joined) -> u64 {
    joined.directions.iter().map(|direction| direction.ambiguous).sum()
}
