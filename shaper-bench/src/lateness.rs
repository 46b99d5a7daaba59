//! What the delay line misses its release times by, beside what a sleep misses its own by on this host.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use shaper_engine::clock::{idle_timer_errors, monotonic};

use crate::Session;
use crate::link::bed::{Bed, Middle};
use crate::link::delayed;
use crate::report::{Aim, Figure};

const SUITE: &str = "lateness";
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];
/// Sleeps of a millisecond a repeat.
const SLEEPS: usize = 1_000;
/// Bytes of a datagram.
const SIZE: usize = 22;
const PORT: u16 = 9_000;

/// Packets a second, and how long: enough packets for the tail, and no more.
const RATES: [(u32, Duration); 3] =
    [(1_000, Duration::from_secs(3)), (10_000, Duration::from_secs(2)), (100_000, Duration::from_secs(1))];

struct Case {
    busy_poll: bool,
    rate: u32,
    time: Duration,
    samples: [Vec<f64>; 3],
    /// Percent of the packets asked for that were sent in time.
    sent: Vec<f64>,
}

fn idle(quantile: &str) -> String {
    format!("idle timer, {quantile}")
}

pub(crate) fn measure(session: &Session) -> Result<Vec<Figure>> {
    let mut cases: Vec<Case> = [false, true]
        .into_iter()
        .flat_map(|busy_poll| {
            RATES.map(|(rate, time)| Case { busy_poll, rate, time, samples: Default::default(), sent: Vec::new() })
        })
        .collect();
    let mut sleeps: [Vec<f64>; 3] = Default::default();
    for repeat in 1..=session.repeats {
        session.tell(&format!("lateness, {repeat} of {}", session.repeats));
        let errors: Vec<f64> = idle_timer_errors(SLEEPS).into_iter().map(|nanos| nanos as f64).collect();
        for ((_, share), samples) in QUANTILES.iter().zip(&mut sleeps) {
            samples.push(crate::stats::quantile(&errors, *share) / 1e3);
        }
        for case in &mut cases {
            session.check()?;
            let (lateness, sent) = run(session, case)?;
            let asked = f64::from(case.rate) * case.time.as_secs_f64();
            case.sent.push(100.0 * sent as f64 / asked);
            for ((_, share), samples) in QUANTILES.iter().zip(&mut case.samples) {
                samples.push(lateness.value_at_quantile(*share) as f64 / 1e3);
            }
        }
    }
    let mut figures: Vec<Figure> = QUANTILES
        .iter()
        .zip(sleeps)
        .map(|((quantile, _), samples)| Figure::new(SUITE, idle(quantile), "us", samples))
        .collect();
    for Case { busy_poll, rate, samples, sent, .. } in cases {
        let mode = if busy_poll { "busy-poll" } else { "sleeping" };
        for ((quantile, _), samples) in QUANTILES.iter().zip(samples) {
            let figure =
                Figure::new(SUITE, format!("{mode}, {rate}/s, {quantile}"), "us", samples).against(idle(quantile));
            figures.push(match (busy_poll, rate, *quantile) {
                (true, 10_000, "p50") => figure.aim(Aim::Below(10.0)),
                (true, 10_000, "p99") => figure.aim(Aim::BelowBaseline),
                _ => figure,
            });
        }
        figures.push(Figure::new(SUITE, format!("{mode}, {rate}/s, sent in time"), "%", sent));
    }
    Ok(figures)
}

/// One engine from start to stop: the lateness, and how many packets were sent.
fn run(session: &Session, case: &Case) -> Result<(Histogram<u64>, u64)> {
    let mut bed = Bed::up(session, Middle::Polled { params: delayed(), busy_poll: case.busy_poll })?;
    let to = bed.lab().host("b")?.ipv4;
    // Bound and never read: datagrams that nobody expects would be answered.
    let _sink = bed.lab().netns("b")?.run(|| UdpSocket::bind((to, PORT)))??;
    let sent = bed.lab().netns("a")?.run(|| send(to, case.rate, case.time))??;
    let outcome = bed.stop()?.context("the bed has an engine")?;
    let forward = outcome.directions.into_iter().next().context("a link has two directions")?;
    bed.down()?;
    Ok((forward.lateness, sent))
}

/// Sends datagrams at their times, as far as sleeps allow: a source that spun would take a processor from what is
/// measured. How many were sent.
fn send(to: Ipv4Addr, rate: u32, time: Duration) -> Result<u64> {
    nix::sys::prctl::set_timerslack(1)?;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((to, PORT))?;
    let gap = 1_000_000_000 / u64::from(rate);
    let start = monotonic();
    let end = start + time.as_nanos() as u64;
    let (mut due, mut sent) = (start, 0);
    while due < end {
        let now = monotonic();
        if now >= end {
            break;
        }
        if now < due {
            std::thread::sleep(Duration::from_nanos(due - now));
            continue;
        }
        socket.send(&[0x5a; SIZE])?;
        sent += 1;
        due += gap;
    }
    Ok(sent)
}
