//! Engine `edt`: TC programs decide when packets depart, and `fq` holds them until then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hdrhistogram::Histogram;
use shaper_bpf::{Beat, Object, Releases};
use shaper_common::layout::Ticket;
use shaper_common::units::Nanos;
use shaper_delayline::Released;
use shaper_net::netns::NetNs;
use shaper_net::rtnl::{FqSettings, Rtnl};

use crate::clock::monotonic;
use crate::diversion::{Diverted, hook_own};
use crate::error::Error;
use crate::hold::{Hold, Left, Lost};
use crate::room::{Room, Share};
use crate::thread::{join, spawn};

/// How long is slept before the rings or the counts are looked at again.
const ROUND: Duration = Duration::from_millis(1);

/// By direction: actual minus intended release in nanoseconds.
type Lateness = Arc<Mutex<Vec<Histogram<u64>>>>;

/// The `fq` of each pair, and the thread that reads what they let go.
pub(crate) struct Scheduler {
    /// By direction: the far end.
    far: Vec<u32>,
    /// Packets that each of them holds at most.
    limit: u32,
    rtnl: Rtnl,
    lateness: Lateness,
    /// The map that it is written by is to be there for as long as programs are loaded.
    _beat: Beat,
    reader: Option<JoinHandle<()>>,
    done: Arc<AtomicBool>,
}

impl Scheduler {
    /// Gives the far end of each pair an `fq` for so many packets, and attaches what decides in front of it.
    ///
    /// # Errors
    ///
    /// [`Error::NoFq`] where the kernel has none, and whatever else it refuses.
    pub(crate) fn open(
        object: &mut Object,
        netns: &NetNs,
        diverted: &Diverted,
        packets: u32,
        released: Sender<Vec<Released>>,
    ) -> Result<Self, Error> {
        let rtnl = netns.rtnl()?;
        let settings = FqSettings {
            limit: packets.min(Ticket::MOST),
            // As many trees as it may have: where packets may overtake, each is a flow.
            buckets_log: 16,
            orphan_mask: Ticket::FLOW,
            timer_slack: 1_000,
            // Beyond whatever a profile can ask for: it is not to drop in silence.
            horizon: u32::MAX,
        };
        let pairs = diverted.pairs();
        for pair in pairs {
            rtnl.set_fq(pair.far.index, &settings).map_err(no_fq)?;
            netns.run(|| object.attach(pair.far.index))??;
            netns.run(|| {
                hook_own(object, &pair.far.name, |object, hook| object.attach_schedule(&pair.far.name, hook))
            })??;
        }
        // Nobody's heartbeat is waited for: the kernel goes on by itself.
        let mut beat = object.take_beat()?;
        beat.set(Nanos::MAX)?;
        let histograms = (0..2).map(|_| shaper_delayline::lateness_histogram()).collect::<Result<_, _>>();
        let histograms = histograms.map_err(shaper_delayline::DelayLineError::from)?;
        let mut opened = Self {
            far: pairs.iter().map(|pair| pair.far.index).collect(),
            limit: settings.limit,
            rtnl,
            lateness: Arc::new(Mutex::new(histograms)),
            _beat: beat,
            reader: None,
            done: Arc::new(AtomicBool::new(false)),
        };
        let (releases, lateness, done) =
            (object.take_releases()?, Arc::clone(&opened.lateness), Arc::clone(&opened.done));
        opened.reader = Some(spawn("releases", move || read(releases, &lateness, &released, &done))?);
        Ok(opened)
    }

    /// Whether `fq` holds nothing, and all that it let go has come out.
    fn is_empty(&self, object: &Object) -> Result<bool, Error> {
        for (direction, far) in (0u32..).zip(self.far.iter().copied()) {
            if self.rtnl.fq_counts(far)?.held != 0 {
                return Ok(false);
            }
            // What the far end sent is on its way to where it is counted.
            if object.edge_counts(direction)?.returned < self.rtnl.stats(far)?.tx_packets {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Hold for Scheduler {
    fn room(&self) -> Room {
        Room { packets: self.limit, of_each: Share::Direction(self.far.len() as u32) }
    }

    fn left(&self, _direction: usize) -> Left {
        // The programs count what comes out.
        Left::default()
    }

    fn lost(&self, direction: usize) -> Result<Lost, Error> {
        let Some(far) = self.far.get(direction) else { return Ok(Lost::default()) };
        let fq = self.rtnl.fq_counts(*far)?;
        let refused = self.rtnl.stats(*far)?.tx_dropped;
        Ok(Lost { scheduler: fq.dropped, held: fq.held, refused, ..Lost::default() })
    }

    fn lateness(&self, direction: usize) -> Option<Histogram<u64>> {
        locked(&self.lateness).get(direction).cloned()
    }

    fn starved(&self) -> u64 {
        0
    }

    fn has_ended(&self) -> bool {
        self.reader.as_ref().is_some_and(JoinHandle::is_finished)
    }

    fn drain(&mut self, object: &Object, deadline: Nanos) -> Result<u32, Error> {
        /// Looks one after another that must find nothing, for a packet may be between two places while they are looked at.
        const LOOKS: u32 = 5;
        let mut empty = 0;
        while empty < LOOKS && monotonic() < deadline.0 {
            empty = if self.is_empty(object)? { empty + 1 } else { 0 };
            thread::sleep(ROUND);
        }
        self.done.store(true, Ordering::Release);
        join("releases", self.reader.take())?;
        Ok(0)
    }

    fn abort(&mut self) {
        self.done.store(true, Ordering::Release);
        // A thread that panicked has said so.
        drop(self.reader.take().map(JoinHandle::join));
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.abort();
    }
}

fn locked(lateness: &Lateness) -> MutexGuard<'_, Vec<Histogram<u64>>> {
    lateness.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads releases until it is `done` and there are none.
fn read(mut releases: Releases, lateness: &Lateness, released: &Sender<Vec<Released>>, done: &AtomicBool) {
    /// Releases that are handed on at once.
    const CHUNK: usize = 4096;
    loop {
        // Read before the ring: what is set now was written after all that it will ever hold.
        let last = done.load(Ordering::Acquire);
        let chunk: Vec<Released> = releases
            .by_ref()
            .take(CHUNK)
            .map(|release| Released {
                id: release.id,
                intended: release.intended,
                actual: release.actual,
                direction: release.direction,
                copy: release.copy as u8,
                sent: true,
            })
            .collect();
        {
            let mut lateness = locked(lateness);
            for one in &chunk {
                if let Some(histogram) = lateness.get_mut(one.direction as usize) {
                    histogram.saturating_record(one.actual.saturating_sub(one.intended).0);
                }
            }
        }
        let whole = chunk.len() == CHUNK;
        // Who is gone wants no more.
        if (!chunk.is_empty() && released.send(chunk).is_err()) || (last && !whole) {
            return;
        }
        if !whole {
            thread::sleep(ROUND);
        }
    }
}

/// That the kernel has no `fq` is an error of its own: another engine does without.
fn no_fq(error: shaper_net::Error) -> Error {
    if matches!(error, shaper_net::Error::Missing { what: "qdisc", .. }) { Error::NoFq } else { error.into() }
}
