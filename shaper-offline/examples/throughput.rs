//! Packets per second of the reader, the header walk, one point and the two-file match, on synthetic
//! files in the temporary folder, removed afterwards:
//!
//! ```text
//! cargo run --release -p shaper-offline --example throughput -- [PACKETS [WORK [KIND [REPEATS]]]]
//! ```
//!
//! `WORK` and `KIND` choose by a part of their names ("" for all); rates are medians. Instructions a
//! packet, by function, of the work alone:
//!
//! ```text
//! valgrind --tool=callgrind --toggle-collect='throughput::measured*' target/release/examples/throughput 300000 "two points" RTP 1
//! ```

use std::{
    error::Error,
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    time::Instant,
};

use shaper_offline::{
    analyze::{Clock, Options, one_point, two_points},
    packet,
    pcapfile::Reader,
};

type Outcome = Result<u64, Box<dyn Error>>;

/// Flows of a file.
const FLOWS: u64 = 64;
/// Nanoseconds from packet to packet.
const GAP: u64 = 1_000;
/// The same of RTP: a packet of each flow every millisecond, by a clock of 90 kHz.
const GAP_RTP: u64 = 1_000_000 / FLOWS;

#[derive(Clone, Copy)]
enum Traffic {
    Udp,
    Rtp,
    /// Data one way, an acknowledgement back for every second segment.
    Tcp,
}

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Pcap,
    PcapNg,
}

const KINDS: [(&str, Traffic, usize, Format); 5] = [
    ("60-byte UDP", Traffic::Udp, 18, Format::Pcap),
    ("200-byte RTP", Traffic::Rtp, 158, Format::Pcap),
    ("200 bytes of RTP, pcapng", Traffic::Rtp, 158, Format::PcapNg),
    ("1 kB UDP", Traffic::Udp, 958, Format::Pcap),
    ("1 kB TCP", Traffic::Tcp, 934, Format::Pcap),
];

fn main() -> Result<(), Box<dyn Error>> {
    let argument = |at: usize| std::env::args().nth(at);
    let packets: u64 = argument(1).map_or(Ok(2_000_000), |text| text.parse())?;
    let (work, kind) = (argument(2).unwrap_or_default(), argument(3).unwrap_or_default());
    let repeats: usize = argument(4).map_or(Ok(5), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let (a, b) = (folder.path().join("a.pcap"), folder.path().join("b.pcap"));
    for (name, traffic, payload, format) in KINDS.into_iter().filter(|(name, ..)| name.contains(&kind)) {
        write(&a, packets, payload, traffic, format, false)?;
        let arrived = write(&b, packets, payload, traffic, format, true)?;
        println!("{name}, {packets} packets, {arrived} in the second file");
        let known = Options { clock: Clock::Same, ..Options::default() };
        let estimated = Options::default();
        let works: [(&str, u64, &dyn Fn() -> Outcome); 5] = [
            ("reader", packets, &|| read(&a)),
            ("reader and headers", packets, &|| headers(&a)),
            ("one point", packets, &|| Ok(one_point(&a, &Options::default())?.packets)),
            ("two points", packets + arrived, &|| Ok(two_points(&a, &b, &known)?.total.matched)),
            ("clocks unknown", packets + arrived, &|| Ok(two_points(&a, &b, &estimated)?.total.matched)),
        ];
        for (name, packets, run) in works.into_iter().filter(|(name, ..)| name.contains(&work)) {
            rate(name, packets, repeats, run)?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Outcome {
    let mut reader = Reader::open(path)?;
    while reader.next_packet()?.is_some() {}
    Ok(reader.packets())
}

fn headers(path: &Path) -> Outcome {
    let mut reader = Reader::open(path)?;
    let mut bytes = 0;
    while let Some(packet) = reader.next_packet()? {
        let layers = packet::parse(packet.linktype, packet.data, packet.origlen);
        bytes += layers.map_or(0, |layers| u64::from(layers.payload_length));
    }
    Ok(bytes)
}

/// What profilers are pointed at.
#[inline(never)]
fn measured(work: &dyn Fn() -> Outcome) -> Outcome {
    work()
}

/// Nanoseconds this thread was on a processor, so that a busy host does not count; wall time
/// where the system does not tell.
fn on_processor(start: Instant) -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let first = told.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    first.map_or_else(|| start.elapsed().as_secs_f64(), |ns| ns / 1e9)
}

/// Prints the median of the repeats, and the best.
fn rate(name: &str, packets: u64, repeats: usize, work: &dyn Fn() -> Outcome) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let mut times = Vec::new();
    let mut result = 0;
    for _ in 0..repeats.max(1) {
        let before = on_processor(start);
        result = measured(work)?;
        times.push(on_processor(start) - before);
    }
    times.sort_by(f64::total_cmp);
    let rate = |at: usize| times.get(at).map_or(0.0, |time| packets as f64 / time / 1e6);
    println!("  {name:<28} {:6.2} Mpps, best {:6.2}  (result {result})", rate(times.len() / 2), rate(0));
    Ok(())
}

/// Nanosecond stamps, as a sender sees it. At the receiver every 100th packet is missing, and stamps
/// are 20 ms later for what goes there and 10 ms earlier for what comes from there. Returns how many it holds.
fn write(
    path: &Path,
    packets: u64,
    payload: usize,
    traffic: Traffic,
    format: Format,
    receiver: bool,
) -> std::io::Result<u64> {
    let mut out = BufWriter::new(File::create(path)?);
    let start: &[u32] = match format {
        Format::Pcap => &[0xa1b2_3c4d, 0x0004_0002, 0, 0, 65_535, 1],
        // A section, and an interface of Ethernet whose stamps are in nanoseconds.
        Format::PcapNg => {
            &[0x0a0d_0d0a, 28, 0x1a2b_3c4d, 1, u32::MAX, u32::MAX, 28, 1, 32, 1, 65_535, 0x0001_0009, 9, 0, 32]
        }
    };
    for field in start {
        out.write_all(&field.to_le_bytes())?;
    }
    let header = if matches!(traffic, Traffic::Tcp) { 32 } else { 8 };
    let protocol = if matches!(traffic, Traffic::Tcp) { 6 } else { 17 };
    let mut frame = vec![0x5a_u8; 34 + header + payload];
    frame[12..16].copy_from_slice(&[8, 0, 0x45, 0]);
    frame[18..26].copy_from_slice(&[0, 0, 0, 0, 64, protocol, 0, 0]);
    let mut written = 0;
    // Stamps of the receiver are in two orders, which are merged.
    let mut back: std::collections::VecDeque<(u64, Vec<u8>)> = std::collections::VecDeque::new();
    let mut ahead: std::collections::VecDeque<(u64, Vec<u8>)> = std::collections::VecDeque::new();
    let mut put = |ts: u64, frame: &[u8]| -> std::io::Result<()> {
        written += 1;
        let length = frame.len() as u32;
        let block = 32 + length.next_multiple_of(4);
        let before: &[u32] = match format {
            Format::Pcap => &[(ts / 1_000_000_000) as u32, (ts % 1_000_000_000) as u32, length, length],
            Format::PcapNg => &[6, block, 0, (ts >> 32) as u32, ts as u32, length, length],
        };
        for field in before {
            out.write_all(&field.to_le_bytes())?;
        }
        out.write_all(frame)?;
        if format == Format::PcapNg {
            out.write_all(&[0; 3][..(block - 32 - length) as usize])?;
            out.write_all(&block.to_le_bytes())?;
        }
        Ok(())
    };
    for number in 0..packets {
        let (flow, round) = (number % FLOWS, number / FLOWS);
        let answer = matches!(traffic, Traffic::Tcp) && round % 3 == 2;
        let length = if answer { 34 + header } else { frame.len() };
        let (ports, addresses) = ([40_000 + flow as u16, 50_002], [[10, 0, 0, 1], [10, 0, 0, 2]]);
        let (from, to) = if answer { (1, 0) } else { (0, 1) };
        frame[16..18].copy_from_slice(&((length - 14) as u16).to_be_bytes());
        frame[26..30].copy_from_slice(&addresses[from]);
        frame[30..34].copy_from_slice(&addresses[to]);
        frame[34..36].copy_from_slice(&ports[from].to_be_bytes());
        frame[36..38].copy_from_slice(&ports[to].to_be_bytes());
        match traffic {
            Traffic::Tcp => {
                let data = (round - round / 3) * payload as u64;
                let (sequence, acknowledged) = if answer { (1, data as u32) } else { (data as u32, 1) };
                frame[38..42].copy_from_slice(&sequence.to_be_bytes());
                frame[42..46].copy_from_slice(&acknowledged.to_be_bytes());
                frame[46..54].copy_from_slice(&[0x80, 16, 0xff, 0xff, 0, 0, 0, 0]);
                frame[54..58].copy_from_slice(&[1, 1, 8, 10]);
                frame[58..62].copy_from_slice(&((round / 100) as u32).to_be_bytes());
                frame[62..66].copy_from_slice(&((round / 100) as u32).to_be_bytes());
            }
            Traffic::Udp | Traffic::Rtp => {
                frame[38..40].copy_from_slice(&((8 + payload) as u16).to_be_bytes());
                if matches!(traffic, Traffic::Rtp) {
                    frame[42..44].copy_from_slice(&[0x80, 96]);
                    frame[44..46].copy_from_slice(&(round as u16).to_be_bytes());
                    frame[46..50].copy_from_slice(&((round * 90) as u32).to_be_bytes());
                    frame[50..54].copy_from_slice(&(flow as u32).to_be_bytes());
                }
                frame[54..60].copy_from_slice(&number.to_be_bytes()[2..]);
            }
        }
        let gap = if matches!(traffic, Traffic::Rtp) { GAP_RTP } else { GAP };
        let ts = 1_700_000_000_000_000_000 + number * gap;
        let bytes = &frame[..length];
        if !receiver {
            put(ts, bytes)?;
            continue;
        }
        if number % 100 == 99 {
            continue;
        }
        if !matches!(traffic, Traffic::Tcp) {
            put(ts + 20_000_000, bytes)?;
            continue;
        }
        if answer {
            back.push_back((ts - 10_000_000, bytes.to_vec()));
        } else {
            ahead.push_back((ts + 20_000_000, bytes.to_vec()));
        }
        while let (Some(one), Some(other)) = (back.front(), ahead.front()) {
            let first = if one.0 <= other.0 { back.pop_front() } else { ahead.pop_front() };
            if let Some((ts, bytes)) = first {
                put(ts, &bytes)?;
            }
        }
    }
    for (ts, bytes) in back.into_iter().chain(ahead) {
        put(ts, &bytes)?;
    }
    out.flush()?;
    Ok(written)
}
