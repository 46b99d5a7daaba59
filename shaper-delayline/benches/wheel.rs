//! The core of the delay line without sockets: nanoseconds to insert a frame and take it out again, in a steady
//! state with so many frames held. `cargo bench -p shaper-delayline --bench wheel [-- --json]`

use std::hint::black_box;
use std::time::Instant;

use shaper_common::units::Nanos;
use shaper_delayline::{FramePool, Wheel};

const SAMPLES: usize = 31;
const OPERATIONS: u64 = 1_000_000;
/// What the forwarder passes to `work_ahead` each turn.
const WORK_AHEAD: u32 = 128;

struct Case {
    name: &'static str,
    held: u32,
    /// Delay that all have at least, and the width of what is added, evenly distributed.
    delay: u64,
    jitter: u64,
    /// Frames a turn of the loop.
    batch: u32,
}

const CASES: [Case; 8] = [
    Case { name: "20 ms", held: 1, delay: 20_000_000, jitter: 0, batch: 1 },
    Case { name: "10 to 30 ms", held: 1, delay: 10_000_000, jitter: 20_000_000, batch: 1 },
    Case { name: "20 ms", held: 1_000, delay: 20_000_000, jitter: 0, batch: 1 },
    Case { name: "10 to 30 ms", held: 1_000, delay: 10_000_000, jitter: 20_000_000, batch: 1 },
    Case { name: "1 s", held: 1_000_000, delay: 1_000_000_000, jitter: 0, batch: 16 },
    Case { name: "0.5 to 1.5 s", held: 1_000_000, delay: 500_000_000, jitter: 1_000_000_000, batch: 16 },
    Case { name: "20 ms", held: 1_000_000, delay: 20_000_000, jitter: 0, batch: 16 },
    Case { name: "10 to 30 ms", held: 1_000_000, delay: 10_000_000, jitter: 20_000_000, batch: 16 },
];

/// Marsaglia's xorshift64.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Nanoseconds an insertion and its removal take together: median, least and most over the samples.
fn measure(case: &Case) -> (f64, f64, f64) {
    let frames = 2 * case.held + 2 * case.batch + 64;
    let mut pool = FramePool::new(frames);
    let mut wheel = Wheel::new(frames, Nanos(0));
    let mut seed = 7;
    let mut delays: Vec<u64> = Vec::new();
    for _ in 0..1 << 16 {
        let added = if case.jitter == 0 { 0 } else { random(&mut seed) % case.jitter };
        delays.push(case.delay + added);
    }
    // As many arrive in the mean delay as are held.
    let step = (case.delay + case.jitter / 2) * u64::from(case.batch) / u64::from(case.held);
    let (mut now, mut next) = (0, 0);
    let mut turn = |wheel: &mut Wheel| {
        now += step;
        let mut out = 0;
        while let Some(due) = wheel.pop_due(Nanos(now)) {
            pool.give(black_box(due).frame);
            out += 1;
        }
        for _ in 0..case.batch {
            let Some(frame) = pool.take() else { break };
            wheel.insert(frame, Nanos(now + delays[next]));
            next = (next + 1) % delays.len();
        }
        wheel.work_ahead(WORK_AHEAD);
        black_box(wheel.next_deadline());
        out
    };
    // Until the frames have gone round three times, so that their numbers are in the disorder of a long run.
    let mut warm = 0;
    while warm < 3 * u64::from(case.held) + 1_000 {
        warm += turn(&mut wheel);
    }
    let mut samples: Vec<f64> = (0..SAMPLES)
        .map(|_| {
            let start = Instant::now();
            let mut out = 0;
            while out < OPERATIONS / 4 {
                out += turn(&mut wheel);
            }
            start.elapsed().as_nanos() as f64 / out as f64
        })
        .collect();
    samples.sort_by(f64::total_cmp);
    (samples[SAMPLES / 2], samples[0], samples[SAMPLES - 1])
}

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    if !json {
        println!(
            "{:>9}  {:<14} {:>8} {:>8} {:>8}   ns for an insertion and its removal",
            "held", "delay", "median", "least", "most"
        );
    }
    for case in &CASES {
        let (median, least, most) = measure(case);
        let Case { name, held, .. } = case;
        if json {
            println!(
                r#"{{"bench":"delay-line core","held":{held},"delay":"{name}","median_ns":{median:.1},"least_ns":{least:.1},"most_ns":{most:.1}}}"#
            );
        } else {
            println!("{held:>9}  {name:<14} {median:>8.1} {least:>8.1} {most:>8.1}");
        }
    }
}
