//! The delay line between two namespaces, as root: lateness at several rates with busy-poll off and on beside this
//! host's own timer error, and how much TCP gets through. `cargo bench -p shaper-delayline --bench forward`

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has no result")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use shaper_common::units::Nanos;
use shaper_delayline::monotonic;
use support::{ADDRESSES, Lab, Running, Shape};

const DELAY: Nanos = Nanos(20_000_000);
const RUN: Duration = Duration::from_secs(3);

/// How the delay line's thread runs.
#[derive(Clone, Copy)]
struct Mode {
    name: &'static str,
    busy_poll: bool,
    realtime_priority: Option<u8>,
    spin: Nanos,
}

const MODES: [Mode; 5] = [
    Mode { name: "ppoll", busy_poll: false, realtime_priority: None, spin: Nanos(10_000) },
    Mode { name: "busy-poll", busy_poll: true, realtime_priority: None, spin: Nanos(10_000) },
    Mode { name: "ppoll, fifo", busy_poll: false, realtime_priority: Some(10), spin: Nanos(10_000) },
    Mode { name: "ppoll early, fifo", busy_poll: false, realtime_priority: Some(10), spin: Nanos(60_000) },
    Mode { name: "busy-poll, fifo", busy_poll: true, realtime_priority: Some(10), spin: Nanos(10_000) },
];

impl Mode {
    fn shape(self, delay: Nanos) -> Shape {
        let Mode { busy_poll, realtime_priority, spin, .. } = self;
        Shape { busy_poll, realtime_priority, spin, stamp: support::delay(delay.0), frames: 65_536, ring: 4096 }
    }
}

fn percentiles(histogram: &Histogram<u64>) -> String {
    let micros = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
    format!("{:>9.1} {:>9.1} {:>9.1}", micros(0.5), micros(0.99), micros(0.999))
}

/// How late sleeps of a millisecond end on this host, timer slack off.
fn timer_error() -> Histogram<u64> {
    let mut errors = Histogram::new_with_max(1_000_000_000, 3).unwrap();
    nix::sys::prctl::set_timerslack(1).unwrap();
    for _ in 0..2_000 {
        let end = monotonic().0 + 1_000_000;
        std::thread::sleep(Duration::from_millis(1));
        errors.saturating_record(monotonic().0.saturating_sub(end));
    }
    errors
}

/// Sends datagrams at even distances, without catching up in bursts larger than a millisecond's worth.
fn send_paced(socket: &UdpSocket, rate: u64) -> u64 {
    let gap = 1_000_000_000 / rate;
    let start = monotonic().0;
    let (mut next, mut sent) = (start, 0);
    while next < start + RUN.as_nanos() as u64 {
        let now = monotonic().0;
        if now < next {
            if next - now > 60_000 {
                std::thread::sleep(Duration::from_nanos(next - now - 50_000));
            }
            continue;
        }
        next = next.max(now.saturating_sub(1_000_000)) + gap;
        if socket.send_to(&[7; 64], (ADDRESSES[1], 9)).is_ok() {
            sent += 1;
        }
    }
    sent
}

fn lateness(mode: Mode, rate: u64) {
    let lab = Lab::new();
    let line = Running::start(&lab, mode.shape(DELAY));
    let socket = lab.on_host(0, || UdpSocket::bind((ADDRESSES[0], 0)).unwrap());
    // Answered, if only with a refusal: then the hardware address is known.
    let _sink = lab.on_host(1, || UdpSocket::bind((ADDRESSES[1], 9)).unwrap());
    socket.send_to(&[0], (ADDRESSES[1], 9)).unwrap();
    let monitor = line.monitor.clone();
    while monitor.counts(0).released < 2 {
        std::thread::yield_now();
    }
    let before = monitor.lateness(0).unwrap();
    let sent = send_paced(&socket, rate);
    let (outcome, _) = line.drain(Nanos(2_000_000_000));
    let mut histogram = monitor.lateness(0).unwrap();
    histogram.subtract(before).unwrap();
    let counts = monitor.counts(0);
    println!(
        "{:<17} {rate:>7} {} {:>9} {:>9} {:>6}",
        mode.name,
        percentiles(&histogram),
        sent,
        counts.released,
        outcome.held + u64::from(outcome.leaked)
    );
}

fn tcp(mode: Mode, delay: Nanos) {
    let lab = Lab::new();
    let line = Running::start(&lab, mode.shape(delay));
    let listener = lab.on_host(1, || TcpListener::bind((ADDRESSES[1], 7001)).unwrap());
    let (bytes, elapsed) = std::thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut buffer, mut bytes) = (vec![0; 1 << 20], 0);
            // The first second is slow start.
            let (mut start, mut begun) = (Instant::now() + Duration::from_secs(1), false);
            loop {
                let count = stream.read(&mut buffer).unwrap();
                if count == 0 {
                    return (bytes, start.elapsed());
                }
                if begun {
                    bytes += count;
                } else if Instant::now() >= start {
                    (start, begun) = (Instant::now(), true);
                }
            }
        });
        let mut stream = lab.on_host(0, || TcpStream::connect((ADDRESSES[1], 7001)).unwrap());
        let (start, chunk) = (Instant::now(), vec![0; 1 << 18]);
        while start.elapsed() < RUN + Duration::from_secs(1) {
            stream.write_all(&chunk).unwrap();
        }
        drop(stream);
        receiver.join().unwrap()
    });
    let monitor = line.monitor.clone();
    line.drain(Nanos(2_000_000_000));
    let lost: u64 = (0..2).map(|port| monitor.statistics(port).unwrap().map_or(0, |it| it.lost())).sum();
    let rate = bytes as f64 * 8.0 / 1e6 / elapsed.as_secs_f64();
    println!(
        "{:<17} TCP, {:>5.1} ms each way: {rate:>7.0} Mbit/s, {lost} lost at full rings, {} transmit errors",
        mode.name,
        delay.0 as f64 / 1e6,
        monitor.counts(0).transmit_errors
    );
}

fn main() {
    println!(
        "{:<17} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9} {:>6}",
        "lateness", "pps", "p50 us", "p99 us", "p99.9 us", "sent", "released", "held"
    );
    println!("{:<17} {:>7} {}", "host timer", "", percentiles(&timer_error()));
    for rate in [1_000, 10_000, 100_000] {
        for mode in MODES {
            lateness(mode, rate);
        }
    }
    for mode in &MODES[..2] {
        tcp(*mode, Nanos(0));
        tcp(*mode, DELAY);
    }
}
