//! The loop of a worker's thread.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{EpollEvent, EpollFlags};
use nix::sys::time::TimeSpec;

use super::command::Command;
use super::leg::Leg;
use super::report::{LegReport, WorkerReport};
use super::{LegNumber, Shared, Worker};

/// Frames that are sent before sockets have their turn.
const FRAMES: usize = 256;
/// Sockets that are told ready at once.
const READY: usize = 256;
/// A frame that has been due for so long when sending ends should have been sent.
const OVERDUE: Duration = Duration::from_millis(20);
/// From one point of the time series to the next.
pub(super) const SECOND: Duration = Duration::from_secs(1);

impl Worker {
    /// Runs until told to stop.
    pub(super) fn run(mut self) -> WorkerReport {
        let mut next_stall = self.shared.faults.stall.map(|(_, working)| Instant::now() + working);
        while self.obey() {
            self.frames();
            self.sockets();
            self.expire();
            self.second();
            if let (Some((asleep, working)), Some(at)) = (self.shared.faults.stall, next_stall)
                && Instant::now() >= at
            {
                std::thread::sleep(asleep);
                next_stall = Some(Instant::now() + working);
            }
            self.wait();
        }
        self.end()
    }

    /// Does what is asked for: whether to go on.
    fn obey(&mut self) -> bool {
        while let Ok(command) = self.incoming.try_recv() {
            let now = Instant::now();
            match command {
                Command::Open(leg) => self.open(leg, now),
                Command::Publish { leg, tracks } => self.with(leg, |leg, shared| {
                    if let Err(reason) = leg.publish(tracks, shared, now) {
                        leg.end(reason);
                    }
                }),
                Command::Subscribe { leg, stream, done } => {
                    let mut answer = Err("the transport has ended".to_owned());
                    self.with(leg, |leg, shared| answer = leg.subscribe(stream, shared, now));
                    // A client that has ended does not wait for it.
                    let _ = done.send(answer);
                }
                Command::Unsubscribe { leg, producer } => {
                    self.with(leg, |leg, shared| leg.unsubscribe(&producer, shared, now));
                }
                Command::RestartIce { leg, remote } => self.with(leg, |leg, shared| {
                    let mut api = leg.new.rtc.direct_api();
                    api.set_local_ice_credentials(str0m::ice::IceCreds::new());
                    api.set_remote_ice_credentials(remote);
                    leg.drive(shared, now);
                }),
                Command::Quiet { leg } => self.with(leg, |leg, _| leg.quiet = true),
                Command::Close { leg, since } => {
                    // What comes to others from then on is not for it any more.
                    self.with(leg, |leg, shared| leg.unsubscribe_all(shared, since.unwrap_or(now)));
                    self.close(leg, now);
                }
                Command::StopSending => self.stop_sending(now),
                Command::Stop => return false,
            }
        }
        true
    }

    fn with(&mut self, leg: LegNumber, run: impl FnOnce(&mut Leg, &mut Shared)) {
        if let Some(leg) = self.legs.get_mut(&leg) {
            run(leg, &mut self.shared);
        }
    }

    fn open(&mut self, mut leg: Box<Leg>, now: Instant) {
        let number = leg.new.number;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, number);
        if let Err(error) = self.epoll.add(leg.new.socket.as_fd(), event) {
            leg.end(format!("cannot wait for its socket: {error}"));
        }
        leg.drive(&mut self.shared, now);
        self.legs.insert(number, leg);
    }

    fn close(&mut self, number: LegNumber, now: Instant) {
        if let Some(mut leg) = self.legs.remove(&number) {
            // The one that it is within.
            let number = now.saturating_duration_since(self.shared.began).as_secs() + 1;
            leg.end_second(&self.shared, now, number);
            // Its socket goes with it, and out of the set.
            self.reports.push(LegReport::of(*leg, &mut self.shared, now));
        }
    }

    /// Sends what is due.
    fn frames(&mut self) {
        for _ in 0..FRAMES {
            let now = Instant::now();
            let Some((due, leg, track)) = self.shared.timers.next_frame(now) else { return };
            self.with(leg, |leg, shared| {
                if !leg.ended {
                    leg.send_frame(track, due, shared, now);
                }
            });
        }
    }

    /// Frames that should have gone out by now are not sent any more; they are counted.
    fn stop_sending(&mut self, now: Instant) {
        self.shared.sending = false;
        for leg in self.legs.values_mut().filter(|leg| !leg.quiet && !leg.ended) {
            let mut skipped = 0;
            for track in &mut leg.tracks {
                while track.due().is_some_and(|due| due + OVERDUE <= now) {
                    track.frame += 1;
                    skipped += 1;
                }
            }
            leg.skipped += skipped;
        }
    }

    fn sockets(&mut self) {
        let mut ready = [EpollEvent::empty(); READY];
        let count = self.epoll.wait(&mut ready, 0_u8).unwrap_or(0);
        for event in ready.iter().take(count) {
            let Some(leg) = self.legs.get_mut(&event.data()) else { continue };
            if leg.ended {
                // It would be ready for ever.
                let _ = self.epoll.delete(leg.new.socket.as_fd());
            } else {
                leg.read(&mut self.shared);
            }
        }
    }

    fn expire(&mut self) {
        let now = Instant::now();
        while let Some((entry, number)) = self.shared.timers.next_leg(now) {
            let Some(leg) = self.legs.get_mut(&number).filter(|leg| !leg.ended) else { continue };
            if self.shared.timers.is_due(number, &mut leg.timer, entry, now) {
                leg.drive(&mut self.shared, now);
            }
        }
    }

    fn second(&mut self) {
        let now = Instant::now();
        if now < self.next_second {
            return;
        }
        // Those that nobody came round for are one.
        while self.next_second <= now {
            self.next_second += SECOND;
        }
        let number = now.saturating_duration_since(self.shared.began).as_secs();
        for leg in self.legs.values_mut() {
            leg.end_second(&self.shared, now, number);
        }
        if let Some(log) = &mut self.shared.log {
            log.flush();
        }
    }

    /// Waits for a socket, a command, or the next time.
    fn wait(&mut self) {
        let next = self.shared.timers.next().map_or(self.next_second, |next| next.min(self.next_second));
        let timeout = TimeSpec::from_duration(next.saturating_duration_since(Instant::now()));
        // An epoll descriptor can be waited for like any other, and this wait is not in milliseconds.
        let mut ready =
            [PollFd::new(self.epoll.0.as_fd(), PollFlags::POLLIN), PollFd::new(self.woken.as_fd(), PollFlags::POLLIN)];
        let woken = ppoll(&mut ready, Some(timeout), None).is_ok_and(|count| count > 0)
            && ready.last().and_then(PollFd::any).unwrap_or(false);
        if woken {
            let mut byte = [0; 1];
            while self.woken.recv(&mut byte).is_ok() {}
        }
    }

    fn end(mut self) -> WorkerReport {
        let now = Instant::now();
        let numbers: Vec<LegNumber> = self.legs.keys().copied().collect();
        for number in numbers {
            self.close(number, now);
        }
        WorkerReport { legs: self.reports, slip: self.shared.slip }
    }
}
