//! The captures that are read: made packet by packet from numbers alone, so that each run and each machine has the same.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use crate::frame::{FROM, TO, udp};

/// Flows of a capture, and streams of RTP.
pub(super) const FLOWS: u64 = 10;
/// Bytes before a UDP payload.
pub(super) const HEADERS: usize = 42;
/// Bytes before what RTP carries.
const RTP_HEADER: usize = 12;
/// Where the UDP checksum stands.
const UDP_CHECKSUM: usize = 40;
/// The first source port; the others have even distances, as RTP has them.
const PORT: u16 = 40_000;
/// The stamp of the first packet.
const START: u64 = 1_700_000_000_000_000_000;
/// From a packet of a stream to its next: 20 ms of G.711, 160 bytes and as many ticks.
const RTP_INTERVAL: u64 = 20_000_000;
const RTP_TICKS: u64 = 160;
/// From a datagram to the next.
const UDP_INTERVAL: u64 = 10_000;
/// What payloads are cut out of.
const POOL: usize = 1 << 16;
/// The pcap file header (draft-ietf-opsawg-pcap): nanoseconds, version 2.4, a snapshot length of 65535, Ethernet.
const HEADER: [u32; 6] = [0xa1b2_3c4d, 0x0004_0002, 0, 0, 65_535, 1];

/// A draw that hangs on a number alone (SplitMix64; Steele, Lea and Flood, OOPSLA 2014).
fn draw(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What datagrams hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number, and bytes.
    Udp,
    /// RTP, payload type 0.
    Rtp,
}

/// Packets of a kind and a length, one after the other.
pub(super) struct Traffic {
    kind: Kind,
    frame: Vec<u8>,
    pool: Vec<u8>,
}

impl Traffic {
    /// Frames of so many bytes.
    pub(super) fn new(kind: Kind, length: usize) -> Self {
        let mut frame = udp(FROM, TO, length.max(HEADERS + RTP_HEADER));
        // No checksum: it would have to be made anew for each packet.
        put(&mut frame, UDP_CHECKSUM, &[0, 0]);
        // As compressed audio it is no text, as audio no noise: half the bits of each byte are drawn.
        let pool = (0..POOL as u64).map(|at| 0x50 | (draw(at) & 0x0f) as u8).collect();
        Self { kind, frame, pool }
    }

    /// When a packet passes.
    fn stamp(&self, number: u64) -> u64 {
        match self.kind {
            Kind::Udp => START + number * UDP_INTERVAL,
            Kind::Rtp => {
                let (turn, flow) = (number / FLOWS, number % FLOWS);
                let jitter = draw(number ^ 0x6a69) % (RTP_INTERVAL / FLOWS);
                START + turn * RTP_INTERVAL + flow * (RTP_INTERVAL / FLOWS) + jitter
            }
        }
    }

    /// The packet of a number.
    fn frame(&mut self, number: u64) -> &[u8] {
        let (turn, flow) = (number / FLOWS, number % FLOWS);
        put(&mut self.frame, 34, &(PORT + 2 * flow as u16).to_be_bytes());
        let filled = match self.kind {
            Kind::Udp => {
                put(&mut self.frame, HEADERS, &number.to_be_bytes());
                HEADERS + 8
            }
            Kind::Rtp => {
                put(&mut self.frame, HEADERS, &[0x80, 0]);
                put(&mut self.frame, HEADERS + 2, &(turn as u16).to_be_bytes());
                put(&mut self.frame, HEADERS + 4, &((turn * RTP_TICKS) as u32).to_be_bytes());
                put(&mut self.frame, HEADERS + 8, &(0x5a00_0000 + flow as u32).to_be_bytes());
                HEADERS + RTP_HEADER
            }
        };
        let length = self.frame.len().saturating_sub(filled).min(POOL);
        let from = (number as usize).wrapping_mul(61) % (POOL - length + 1);
        if let Some(bytes) = self.pool.get(from..from + length) {
            put(&mut self.frame, filled, bytes);
        }
        &self.frame
    }
}

fn put(frame: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = frame.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// A file being written, and what is in it.
struct Pcap {
    out: BufWriter<File>,
    written: Written,
}

/// What a file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) packets: u64,
    /// Of the file, headers included.
    pub(super) bytes: u64,
}

impl Pcap {
    fn create(path: &Path) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
        for field in HEADER {
            out.write_all(&field.to_le_bytes())?;
        }
        Ok(Self { out, written: Written { packets: 0, bytes: 4 * HEADER.len() as u64 } })
    }

    fn packet(&mut self, stamp: u64, frame: &[u8]) -> io::Result<()> {
        let length = frame.len() as u32;
        for field in [(stamp / 1_000_000_000) as u32, (stamp % 1_000_000_000) as u32, length, length] {
            self.out.write_all(&field.to_le_bytes())?;
        }
        self.out.write_all(frame)?;
        self.written.packets += 1;
        self.written.bytes += 16 + u64::from(length);
        Ok(())
    }

    fn finish(mut self) -> io::Result<Written> {
        self.out.flush()?;
        Ok(self.written)
    }
}

/// A number of packets in a thousand draws.
fn chance(number: u64, what: u64, of_thousand: u64) -> bool {
    draw(number ^ (what << 48)) % 1_000 < of_thousand
}

/// A capture of one point until it has so many packets, or so many bytes; of RTP 5 in 1000 are lost before it.
pub(super) fn one_point(path: &Path, mut traffic: Traffic, until: Written) -> io::Result<Written> {
    let mut pcap = Pcap::create(path)?;
    let mut number = 0;
    while pcap.written.packets < until.packets || pcap.written.bytes < until.bytes {
        if traffic.kind == Kind::Udp || !chance(number, 1, 5) {
            pcap.packet(traffic.stamp(number), traffic.frame(number))?;
        }
        number += 1;
    }
    pcap.finish()
}

/// The captures of two points with a link between them: 1 in 100 packets is lost, 1 in 1000 comes twice, and the delay of
/// 20 ms with 3 intervals of jitter lets packets overtake each other. What the files hold, and how many packets came.
pub(super) fn two_points(paths: [&Path; 2], mut traffic: Traffic, packets: u64) -> io::Result<([Written; 2], u64)> {
    const DELAY: u64 = 20_000_000;
    let jitter = match traffic.kind {
        Kind::Udp => 3 * UDP_INTERVAL,
        Kind::Rtp => 3 * RTP_INTERVAL / FLOWS,
    };
    let [mut a, mut b] = [Pcap::create(paths[0])?, Pcap::create(paths[1])?];
    // Those on their way, by when they come.
    let mut way: BinaryHeap<Reverse<(u64, u64)>> = BinaryHeap::new();
    let mut came = 0;
    for number in 0..=packets {
        // Nothing that is still to be sent comes before it; in the end all comes.
        let now = if number < packets { traffic.stamp(number) } else { u64::MAX };
        while let Some(Reverse((arrival, sent))) = way.peek().copied().filter(|next| next.0.0 <= now) {
            way.pop();
            b.packet(arrival, traffic.frame(sent))?;
        }
        if number == packets {
            break;
        }
        a.packet(now, traffic.frame(number))?;
        if chance(number, 2, 10) {
            continue;
        }
        came += 1;
        let arrival = now + DELAY + draw(number ^ 0x6465) % jitter;
        way.push(Reverse((arrival, number)));
        if chance(number, 3, 1) {
            way.push(Reverse((arrival + 1_000, number)));
        }
    }
    Ok(([a.finish()?, b.finish()?], came))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn records(bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut rest = &bytes[24..];
        let mut records = Vec::new();
        while !rest.is_empty() {
            let field = |at: usize| u64::from(u32::from_le_bytes(rest[at..at + 4].try_into().unwrap()));
            let length = field(8) as usize;
            assert_eq!(field(8), field(12));
            records.push((field(0) * 1_000_000_000 + field(4), rest[16..16 + length].to_vec()));
            rest = &rest[16 + length..];
        }
        records
    }

    #[test]
    fn a_capture_has_what_was_asked_for_and_is_the_same_again() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one.pcap", "two.pcap"].map(|name| folder.path().join(name));
        let until = Written { packets: 2_000, bytes: 0 };
        let written = one_point(&one, Traffic::new(Kind::Rtp, 214), until).unwrap();
        assert_eq!(one_point(&two, Traffic::new(Kind::Rtp, 214), until).unwrap(), written);
        let bytes = fs::read(&one).unwrap();
        assert!(bytes == fs::read(&two).unwrap());
        assert_eq!(written, Written { packets: 2_000, bytes: bytes.len() as u64 });
        let records = records(&bytes);
        assert!(records.is_sorted_by_key(|(stamp, _)| *stamp));
        let mut streams = std::collections::BTreeMap::<Vec<u8>, Vec<u16>>::new();
        for (_, frame) in &records {
            assert_eq!((frame.len(), &frame[42..44]), (214, &[0x80, 0][..]));
            streams.entry(frame[50..54].to_vec()).or_default().push(u16::from_be_bytes([frame[44], frame[45]]));
        }
        assert_eq!(streams.len() as u64, FLOWS);
        let missing: usize = streams.values().map(|seen| usize::from(seen[seen.len() - 1]) + 1 - seen.len()).sum();
        assert!(missing > 0 && missing < 30, "{missing}");
        assert!(streams.values().all(|seen| seen.is_sorted()));
    }

    #[test]
    fn a_capture_ends_behind_so_many_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pcap");
        let written = one_point(&path, Traffic::new(Kind::Udp, 64), Written { packets: 0, bytes: 10_000 }).unwrap();
        assert_eq!(written, Written { packets: 125, bytes: 24 + 125 * 80 });
    }

    #[test]
    fn behind_the_link_packets_are_lost_doubled_and_in_another_order() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a.pcap", "b.pcap"].map(|name| folder.path().join(name));
        let ([at_a, at_b], came) = two_points([&a, &b], Traffic::new(Kind::Udp, 64), 20_000).unwrap();
        assert_eq!(at_a.packets, 20_000);
        assert!((19_700..19_900).contains(&came) && at_b.packets > came && at_b.packets < came + 50);
        let behind = records(&fs::read(&b).unwrap());
        assert_eq!(behind.len() as u64, at_b.packets);
        assert!(behind.is_sorted_by_key(|(stamp, _)| *stamp));
        let numbers: Vec<u64> =
            behind.iter().map(|(_, frame)| u64::from_be_bytes(frame[42..50].try_into().unwrap())).collect();
        assert!(!numbers.is_sorted());
        let distinct: std::collections::BTreeSet<_> = numbers.iter().collect();
        assert_eq!(distinct.len() as u64, came);
    }
}
