//! The loop of a shard's thread.

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::time::TimeSpec;
use nix::unistd::Pid;

use super::Shard;
use crate::serve::metrics::add;

/// Datagrams that are read before timers and commands have their turn.
const BATCH: usize = 64;
/// Larger than any datagram that ends on Ethernet; a longer one is no WebRTC and is cut off.
const DATAGRAM: usize = 2000;
/// From one look at layers, key frame requests and the mapping log to the next.
const TICK: Duration = Duration::from_millis(100);

impl Shard {
    /// Runs until told to stop.
    pub(super) fn run(mut self) {
        if self.config.pin {
            pin(self.index);
        }
        let mut buffer = [0; DATAGRAM];
        loop {
            self.obey();
            self.read(&mut buffer);
            let now = Instant::now();
            self.expire(now);
            self.drive_dirty(now);
            if now >= self.next_tick {
                self.tick(now);
                self.drive_dirty(now);
                self.next_tick = now + TICK;
            }
            self.bury();
            if self.stopping {
                return;
            }
            self.wait();
        }
    }

    fn read(&mut self, buffer: &mut [u8; DATAGRAM]) {
        for _ in 0..BATCH {
            match self.socket.recv_from(buffer) {
                Ok((length, from)) => {
                    let now = Instant::now();
                    add(&self.metrics.datagrams_in, 1);
                    add(&self.metrics.bytes_in, length as u64);
                    self.receive(from, buffer.get(..length).unwrap_or_default(), now);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // What ICMP says of an earlier datagram is reported here; it costs one turn.
                Err(_) => {}
            }
        }
    }

    /// Waits for the socket, a command, or the next timer.
    fn wait(&mut self) {
        let next = self.timers.peek().map_or(self.next_tick, |timer| timer.0.0.min(self.next_tick));
        let timeout = TimeSpec::from_duration(next.saturating_duration_since(Instant::now()));
        let mut ready =
            [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN), PollFd::new(self.woken.as_fd(), PollFlags::POLLIN)];
        let woken = ppoll(&mut ready, Some(timeout), None).is_ok_and(|count| count > 0)
            && ready.last().and_then(PollFd::any).unwrap_or(false);
        if woken {
            let mut byte = [0; 1];
            while self.woken.recv(&mut byte).is_ok() {}
        }
    }
}

/// Pins this thread to one CPU of those that the process may use. Where that is not possible it runs
/// anywhere.
fn pin(index: usize) {
    let this = Pid::from_raw(0);
    let Ok(allowed) = sched_getaffinity(this) else { return };
    let cpus: Vec<usize> = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false)).collect();
    let Some(cpu) = cpus.get(index % cpus.len().max(1)) else { return };
    let mut one = CpuSet::new();
    if one.set(*cpu).is_ok() {
        let _ = sched_setaffinity(this, &one);
    }
}
