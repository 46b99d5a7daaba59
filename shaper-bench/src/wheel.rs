//! The core of the delay line without sockets: nanoseconds to insert a frame and take it out again, in a steady
//! state with so many frames held.

use std::hint::black_box;

use anyhow::Result;
use shaper_common::units::Nanos;
use shaper_delayline::{FramePool, Wheel};

use crate::Session;
use crate::clock::processor_time;
use crate::report::{Aim, Figure};

const SUITE: &str = "core";
/// Frames through the wheel in one sample.
const OPERATIONS: u64 = 250_000;
/// Samples of each case a repeat, interleaved.
const ROUNDS: u32 = 5;
/// What the forwarder passes to `work_ahead` each turn.
const WORK_AHEAD: u32 = 128;
/// Delays drawn beforehand, gone through over and over.
const DELAYS: usize = 1 << 16;

struct Case {
    held: u32,
    name: &'static str,
    /// Delay that all have at least, and the width of what is added, evenly distributed.
    delay: u64,
    jitter: u64,
    /// Frames a turn of the loop.
    batch: u32,
}

const CASES: [Case; 8] = [
    Case { held: 1, name: "20 ms", delay: 20_000_000, jitter: 0, batch: 1 },
    Case { held: 1, name: "10 to 30 ms", delay: 10_000_000, jitter: 20_000_000, batch: 1 },
    Case { held: 1_000, name: "20 ms", delay: 20_000_000, jitter: 0, batch: 1 },
    Case { held: 1_000, name: "10 to 30 ms", delay: 10_000_000, jitter: 20_000_000, batch: 1 },
    Case { held: 1_000_000, name: "1 s", delay: 1_000_000_000, jitter: 0, batch: 16 },
    Case { held: 1_000_000, name: "0.5 to 1.5 s", delay: 500_000_000, jitter: 1_000_000_000, batch: 16 },
    Case { held: 1_000_000, name: "20 ms", delay: 20_000_000, jitter: 0, batch: 16 },
    Case { held: 1_000_000, name: "10 to 30 ms", delay: 10_000_000, jitter: 20_000_000, batch: 16 },
];

/// Marsaglia's xorshift64.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// A wheel in its steady state.
struct Bench {
    wheel: Wheel,
    pool: FramePool,
    delays: Vec<u64>,
    next: usize,
    now: u64,
    /// Time a turn: as many arrive in the mean delay as are held.
    step: u64,
    batch: u32,
}

impl Bench {
    fn new(case: &Case) -> Self {
        let frames = 2 * case.held + 2 * case.batch + 64;
        let mut seed = 7;
        let delays = (0..DELAYS)
            .map(|_| case.delay + if case.jitter == 0 { 0 } else { random(&mut seed) % case.jitter })
            .collect();
        let step = (case.delay + case.jitter / 2) * u64::from(case.batch) / u64::from(case.held);
        let mut bench = Self {
            wheel: Wheel::new(frames, Nanos(0)),
            pool: FramePool::new(frames),
            delays,
            next: 0,
            now: 0,
            step,
            batch: case.batch,
        };
        // Until the frames have gone round three times, so that their numbers are in the disorder of a long run.
        bench.run(3 * u64::from(case.held) + 1_000);
        bench
    }

    /// One turn of a forwarder's loop; how many frames came out.
    fn turn(&mut self) -> u64 {
        self.now += self.step;
        let mut out = 0;
        while let Some(due) = self.wheel.pop_due(Nanos(self.now)) {
            self.pool.give(black_box(due).frame);
            out += 1;
        }
        for _ in 0..self.batch {
            let Some(frame) = self.pool.take() else { break };
            let delay = self.delays.get(self.next).copied().unwrap_or(0);
            black_box(self.wheel.insert(frame, Nanos(self.now + delay)));
            self.next = (self.next + 1) % DELAYS;
        }
        self.wheel.work_ahead(WORK_AHEAD);
        black_box(self.wheel.next_deadline());
        out
    }

    /// Turns until so many frames have come out; how many did.
    fn run(&mut self, frames: u64) -> u64 {
        let mut out = 0;
        while out < frames {
            out += self.turn();
        }
        out
    }
}

pub(crate) fn measure(session: &Session) -> Result<Vec<Figure>> {
    session.tell("the timing wheel");
    let mut benches: Vec<(&Case, Bench, Vec<f64>)> =
        CASES.iter().map(|case| (case, Bench::new(case), Vec::new())).collect();
    for _ in 0..session.repeats * ROUNDS {
        session.check()?;
        for (_, bench, samples) in &mut benches {
            let start = processor_time();
            let out = bench.run(OPERATIONS);
            samples.push((processor_time() - start) as f64 / out as f64);
        }
    }
    let name = |case: &Case| format!("{} held, {}", case.held, case.name);
    Ok(benches
        .into_iter()
        .map(|(case, _, samples)| {
            Figure::new(SUITE, name(case), "ns", samples).against("1 held, 20 ms").aim(Aim::Below(60.0))
        })
        .collect())
}
