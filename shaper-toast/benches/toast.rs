//! What a message costs: time and allocations to encode and decode, and messages a second through
//! real sockets. Run it with `cargo bench -p shaper-toast`; a plain program, so that the median of
//! repeats and the allocations stand side by side.

use std::alloc::{GlobalAlloc, Layout, System};
use std::borrow::Cow;
use std::hint::black_box;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use shaper_toast::wire::{
    ChecksumMode, Command, Datagram, FLAG_BURST, Header, MessageType, TransportCommand, TransportPayload, decode,
    decode_transport, encode, encode_transport, session_id,
};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on unchanged to the system allocator, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's obligations are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's obligations are passed on.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MESSAGES: u32 = 100_000;
const REPEATS: usize = 15;

/// This thread's own processor time, which other load on the machine does not lengthen as much as
/// it does the clock's.
fn processor_time() -> u64 {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID)
        .map_or(0, |t| (t.tv_sec() * 1_000_000_000 + t.tv_nsec()).unsigned_abs())
}

/// Median nanoseconds and allocations a message.
fn measure(name: &str, mut one: impl FnMut(u32)) {
    let mut runs: Vec<f64> = Vec::with_capacity(REPEATS);
    let mut allocations = 0;
    for _ in 0..REPEATS {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        let begun = processor_time();
        for i in 0..MESSAGES {
            one(i);
        }
        let took = processor_time() - begun;
        allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
        runs.push(took as f64 / f64::from(MESSAGES));
    }
    runs.sort_unstable_by(f64::total_cmp);
    println!(
        "{name:<44} {:>8.1} ns/message   {:>5.2} allocations/message   (median of {REPEATS}, {:.1} to {:.1})",
        runs[REPEATS / 2],
        allocations as f64 / f64::from(MESSAGES),
        runs[0],
        runs[REPEATS - 1],
    );
}

fn header(sequence: u32) -> Header {
    Header {
        message_type: MessageType::Transport,
        flags: FLAG_BURST,
        sequence,
        timestamp: 123_456_789,
        burst_id: 0xDEAD_BEEF,
        burst_index: 1,
        burst_total: 3,
        session: session_id("bench"),
    }
}

fn command(i: u32) -> TransportPayload<'static> {
    TransportPayload::Command(TransportCommand {
        command: Command::Play,
        timestamp: 1_700_000_000_000_000 + u64::from(i),
        position: 12.345_678,
        bpm: 120.0,
        peer_id: Cow::Borrowed("front-of-house"),
    })
}

fn main() -> std::io::Result<()> {
    let mode = ChecksumMode::Crc16;
    let mut json = [0u8; 512];
    let json_len = encode_transport(&command(0), &mut json).unwrap_or(0);
    let mut out = [0u8; 1_024];
    let frame_len = encode(&header(0), &json[..json_len], mode, &mut out).unwrap_or(0);
    let frame = out;
    println!("transport command: {json_len} bytes of JSON, {frame_len} bytes in all");

    measure("encode frame", |i| {
        let _ = black_box(encode(&header(i), &json[..json_len], mode, &mut out));
    });
    measure("decode frame", |_| {
        let _ = black_box(decode(black_box(&frame[..frame_len]), mode));
    });
    measure("encode + decode frame", |i| {
        let len = encode(&header(i), &json[..json_len], mode, &mut out).unwrap_or(0);
        let _ = black_box(decode(black_box(&out[..len]), mode));
    });
    measure("encode + decode frame and transport JSON", |i| {
        let len = encode_transport(&command(i), &mut json).unwrap_or(0);
        let len = encode(&header(i), &json[..len], mode, &mut out).unwrap_or(0);
        if let Ok(Datagram::Frame { payload, .. }) = decode(black_box(&out[..len]), mode) {
            let _ = black_box(decode_transport(payload));
        }
    });
    through_sockets(&json[..json_len])
}

/// Ping-pong on loopback from one thread to another: a message is encoded, sent, received,
/// decoded and sent back.
fn through_sockets(json: &[u8]) -> std::io::Result<()> {
    const ROUND_TRIPS: u32 = 20_000;
    let mode = ChecksumMode::Crc16;
    let here = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let there = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    here.connect(there.local_addr()?)?;
    there.connect(here.local_addr()?)?;
    let timeout = Some(Duration::from_secs(1));
    here.set_read_timeout(timeout)?;
    there.set_read_timeout(timeout)?;

    // One way, one thread: send a batch that fits the receive buffer, then take it in.
    const BATCH: u32 = 64;
    let mut buffer = [0u8; 2_048];
    let mut rates: Vec<f64> = Vec::with_capacity(REPEATS);
    for _ in 0..REPEATS {
        let begun = Instant::now();
        for _ in 0..MESSAGES / BATCH {
            for i in 0..BATCH {
                let len = encode(&header(i), json, mode, &mut buffer).unwrap_or(0);
                here.send(&buffer[..len])?;
            }
            for _ in 0..BATCH {
                let len = there.recv(&mut buffer)?;
                let _ = black_box(decode(&buffer[..len], mode));
            }
        }
        let sent = f64::from(MESSAGES / BATCH * BATCH);
        rates.push(sent / begun.elapsed().as_secs_f64());
    }
    rates.sort_unstable_by(f64::total_cmp);
    println!(
        "loopback, sent and received by one thread:    {:>8.0} messages/s   (median of {REPEATS}, {:.0} to {:.0})",
        rates[REPEATS / 2],
        rates[0],
        rates[REPEATS - 1],
    );

    let echo = std::thread::spawn(move || -> std::io::Result<()> {
        let mut buffer = [0u8; 2_048];
        for _ in 0..ROUND_TRIPS {
            let len = there.recv(&mut buffer)?;
            if let Ok(Datagram::Frame { header, payload }) = decode(&buffer[..len], mode) {
                let mut answer = [0u8; 2_048];
                let len = encode(&header, payload, mode, &mut answer).unwrap_or(0);
                there.send(&answer[..len])?;
            }
        }
        Ok(())
    });
    let mut trips: Vec<u128> = Vec::with_capacity(ROUND_TRIPS as usize);
    for i in 0..ROUND_TRIPS {
        let begun = Instant::now();
        let len = encode(&header(i), json, mode, &mut buffer).unwrap_or(0);
        here.send(&buffer[..len])?;
        let len = here.recv(&mut buffer)?;
        let _ = black_box(decode(&buffer[..len], mode));
        trips.push(begun.elapsed().as_nanos());
    }
    let echoed = echo.join().map_err(|_| std::io::Error::other("the echo thread panicked"))?;
    echoed?;
    trips.sort_unstable();
    println!(
        "loopback round trip between two threads:      p50 {:.1} us   p99 {:.1} us   (n {ROUND_TRIPS})",
        trips[trips.len() / 2] as f64 / 1e3,
        trips[trips.len() * 99 / 100] as f64 / 1e3,
    );
    Ok(())
}
