//! Engine `xsk`: XDP programs decide and drop, AF_XDP hands the rest to the delay line.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hdrhistogram::Histogram;
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use shaper_bpf::{Beat, Object};
use shaper_common::layout::DIRECTIONS;
use shaper_common::units::Nanos;
use shaper_delayline::{Config, Control, DelayLine, DelayLineError, Monitor, Outcome, Released, Sizing};
use shaper_xsk::{Socket, SocketConfig, Statistics, Umem, UmemConfig};

use crate::error::Error;
use crate::hold::{Hold, Left, Lost};
use crate::room::{Room, Share};
use crate::spec::Options;
use crate::thread::{join, spawn};

/// Entries of each ring of each socket. The fill rings of a lab of twenty hosts share the UMEM.
pub const RING: u32 = 2048;
/// Bytes of a frame: an MTU of 1500 with room for tags, XDP's headroom and metadata.
pub(crate) const FRAME: u32 = 2048;
/// Queues of a port, where there are two: so many sockets the programs know.
pub(crate) const MOST_QUEUES: u32 = DIRECTIONS / 2;
/// The fewest frames of a queue: what its rings hold, and room beside that.
const LEAST_FRAMES: u32 = 1 << 13;

/// What packets are held in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// The most bytes of a frame.
    pub(crate) frame: u32,
    /// Frames of all queues together.
    pub(crate) frames: u32,
    /// Queues of each port. Those of one number share a part of the memory.
    pub(crate) queues: u32,
}

impl Memory {
    /// Frames of the ports' queues of one number.
    fn of_a_queue(&self) -> u32 {
        match self.queues {
            0 | 1 => self.frames,
            queues => (self.frames / queues).max(LEAST_FRAMES),
        }
    }
}

/// Delay lines between ports whose number is that of the direction that comes in there: one for each queue of theirs.
pub(crate) struct Lines {
    queues: Vec<Line>,
    room: Room,
    heartbeat: Option<JoinHandle<Result<(), shaper_bpf::Error>>>,
    done: Arc<AtomicBool>,
}

/// That of one queue.
struct Line {
    control: Control,
    monitor: Arc<Monitor>,
    running: Option<JoinHandle<(DelayLine, Result<Outcome, DelayLineError>)>>,
    /// Kept when it has ended, for its sockets have statistics.
    ended: Option<DelayLine>,
}

impl Lines {
    /// Binds a socket to each queue of each port, in the calling thread's network namespace, and starts to hold what comes
    /// in. `outputs` are the numbers of the ports that packets leave at.
    ///
    /// # Errors
    ///
    /// What the kernel refuses.
    pub(crate) fn open(
        object: &mut Object,
        ports: &[u32],
        outputs: &[usize],
        memory: Memory,
        options: &Options,
        released: Sender<Vec<Released>>,
    ) -> Result<Self, Error> {
        let bound = (0..memory.queues).map(|queue| bind(ports, queue, memory)).collect::<Result<Vec<_>, _>>()?;
        let count = bound.len();
        let reserve = Sizing { ports: ports.len() as u32, fill: RING }.frames_for(0, Nanos::ZERO);
        let mut lines = Self {
            queues: Vec::new(),
            room: Room { packets: memory.of_a_queue().saturating_sub(reserve), of_each: Share::Queue(memory.queues) },
            heartbeat: None,
            done: Arc::new(AtomicBool::new(false)),
        };
        let processors = allowed_processors();
        for (queue, (umem, sockets)) in bound.into_iter().enumerate() {
            for (port, socket) in sockets.iter().enumerate() {
                object.set_socket((port * count + queue) as u32, socket.fd())?;
            }
            let sockets = sockets.into_iter().zip(outputs);
            let config = Config {
                busy_poll: options.busy_poll,
                realtime_priority: options.realtime_priority,
                // One alone runs where there is room, and so do more than there are processors.
                cpu: processors.get(queue).filter(|_| (2..=processors.len()).contains(&count)).copied(),
                released: Some(released.clone()),
                ..Config::default()
            };
            let ports = sockets.map(|(socket, peer)| shaper_delayline::Port { socket, peer: *peer }).collect();
            let mut line = DelayLine::new(&umem, ports, config)?;
            let (control, monitor) = (Control::new(), line.monitor());
            let mut opened = Line { control: control.clone(), monitor, running: None, ended: None };
            opened.running = Some(spawn("delay line", move || {
                let ended = line.run(&control);
                (line, ended)
            })?);
            lines.queues.push(opened);
        }
        let (beat, done) = (object.take_beat()?, Arc::clone(&lines.done));
        let monitors: Vec<_> = lines.queues.iter().map(|line| Arc::clone(&line.monitor)).collect();
        lines.heartbeat = Some(spawn("heartbeat", move || keep_beating(beat, &monitors, &done))?);
        Ok(lines)
    }

    /// How many queues of each port there are.
    pub(crate) fn queues(&self) -> u32 {
        self.queues.len() as u32
    }
}

/// The processors that this process may run on; none where that is not known.
fn allowed_processors() -> Vec<u32> {
    let Ok(allowed) = sched_getaffinity(Pid::from_raw(0)) else { return Vec::new() };
    (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false)).map(|cpu| cpu as u32).collect()
}

/// A socket for a queue of each port, on memory of their own.
fn bind(ports: &[u32], queue: u32, memory: Memory) -> Result<(Umem, Vec<Socket>), Error> {
    let umem = Umem::new(UmemConfig { frames: memory.of_a_queue(), frame_size: memory.frame, headroom: 0 })?;
    let rings = SocketConfig { rx: RING, tx: RING, fill: RING, completion: RING, ..SocketConfig::default() };
    let sockets = ports.iter().map(|ifindex| Socket::bind(&umem, *ifindex, queue, &rings)).collect::<Result<_, _>>()?;
    Ok((umem, sockets))
}

impl Hold for Lines {
    fn room(&self) -> Room {
        self.room
    }

    fn left(&self, direction: usize) -> Left {
        self.queues.iter().fold(Left::default(), |all, line| all.and(&line.monitor.counts(direction)))
    }

    fn lost(&self, direction: usize) -> Result<Lost, Error> {
        let mut socket = Statistics::default();
        for line in &self.queues {
            socket = socket.and(&line.monitor.statistics(direction)?.unwrap_or_default());
        }
        Ok(Lost { socket, ..Lost::default() })
    }

    fn lateness(&self, direction: usize) -> Option<Histogram<u64>> {
        let mut all = self.queues.iter().map(|line| line.monitor.lateness(direction));
        let first = all.next()??;
        all.try_fold(first, |mut sum, one| {
            // All have the same bounds.
            sum.add(one?).ok()?;
            Some(sum)
        })
    }

    fn starved(&self) -> u64 {
        self.queues.iter().map(|line| line.monitor.starved()).sum()
    }

    fn has_ended(&self) -> bool {
        self.queues.iter().any(|line| line.running.as_ref().is_some_and(JoinHandle::is_finished))
            || self.heartbeat.as_ref().is_some_and(JoinHandle::is_finished)
    }

    fn drain(&mut self, _object: &Object, deadline: Nanos) -> Result<u32, Error> {
        for line in &self.queues {
            line.control.drain(deadline);
        }
        let mut leaked = 0;
        for Line { running, ended, .. } in &mut self.queues {
            let (line, outcome) = join("delay line", running.take())?;
            *ended = Some(line);
            leaked += outcome?.leaked;
        }
        self.done.store(true, Ordering::Release);
        join("heartbeat", self.heartbeat.take())??;
        Ok(leaked)
    }

    fn abort(&mut self) {
        self.done.store(true, Ordering::Release);
        for line in &self.queues {
            line.control.stop();
        }
        // A thread that panicked has said so; there is nothing more to do for it here.
        for line in &mut self.queues {
            drop(line.running.take().map(JoinHandle::join));
        }
        drop(self.heartbeat.take().map(JoinHandle::join));
    }
}

/// What could not be opened whole ends what was started of it.
impl Drop for Lines {
    fn drop(&mut self) {
        self.abort();
    }
}

/// Tells the programs when the delay lines came round, until it is `done`.
fn keep_beating(mut beat: Beat, monitors: &[Arc<Monitor>], done: &AtomicBool) -> Result<(), shaper_bpf::Error> {
    /// As long as the delay line sleeps at the most; both together are a small part of what is taken for stale.
    const ROUND: Duration = Duration::from_millis(20);
    while !done.load(Ordering::Acquire) {
        // Of all, for packets come by each.
        beat.set(monitors.iter().map(|monitor| monitor.heartbeat()).min().unwrap_or(Nanos::ZERO))?;
        thread::sleep(ROUND);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_share_the_memory_that_one_would_have() {
        const GIB: u64 = 1 << 30;
        let bytes = |frames, queues| {
            let memory = Memory { frame: FRAME, frames, queues };
            u64::from(memory.of_a_queue()) * u64::from(queues) * u64::from(FRAME)
        };
        for queues in [1, 2, 3, 16, MOST_QUEUES] {
            assert!(bytes(1 << 19, queues) <= GIB && bytes(1 << 19, queues) > GIB / 2, "{queues}");
            assert!(bytes(1 << 14, queues) <= GIB, "{queues}");
        }
        let least = Memory { frame: FRAME, frames: 1, queues: MOST_QUEUES }.of_a_queue();
        assert!(least > Sizing { ports: 2, fill: RING }.frames_for(0, Nanos::ZERO));
    }
}
