//! A path between two capture points, simulated: what passed where and when is known exactly.

use std::{
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
};

use etherparse::PacketBuilder;
use shaper_offline::{
    pcapfile::Direction,
    writer::{Comment, NewInterface, NewPacket, Section, Statistics, Writer},
};

pub(crate) const EPOCH: i64 = 1_700_000_000_000_000_000;
pub(crate) const MS: i64 = 1_000_000;

pub(crate) const HOST_A: [u8; 4] = [10, 0, 0, 1];
pub(crate) const HOST_B: [u8; 4] = [10, 0, 0, 2];

/// Two captures under construction.
#[derive(Default)]
pub(crate) struct Points {
    pub(crate) a: Vec<(i64, Vec<u8>)>,
    pub(crate) b: Vec<(i64, Vec<u8>)>,
    /// Bytes kept per packet, where not all.
    pub(crate) snaplen: [Option<usize>; 2],
    /// Whether the files do not tell that length.
    pub(crate) silent: bool,
    /// Link type of each file, where it is not Ethernet: then packets begin with that header.
    pub(crate) linktypes: [Option<u16>; 2],
    /// Drops the captures tell in their statistics.
    pub(crate) drops: [u64; 2],
    /// Drops told at the packet of that index of the second capture.
    pub(crate) gap_at: Option<(usize, u64)>,
    /// When both captures ran, where their statistics tell.
    pub(crate) ran: Option<(i64, i64)>,
    /// Whether packets carry direction flags, as a host's own interface tells them.
    pub(crate) flags: bool,
    /// Whether packets stand in the files in the order given, whatever their stamps.
    pub(crate) as_given: bool,
    /// Clocks named on the sections; then datagrams carry ids, and nothing else does.
    pub(crate) clocks: Option<[&'static str; 2]>,
}

impl Points {
    /// Writes both files in order of time.
    pub(crate) fn write(mut self, folder: &Path) -> (PathBuf, PathBuf) {
        if !self.as_given {
            self.a.sort_by_key(|packet| packet.0);
            self.b.sort_by_key(|packet| packet.0);
        }
        let paths = (folder.join("a.pcapng"), folder.join("b.pcapng"));
        let sides = [(&paths.0, &self.a), (&paths.1, &self.b)];
        for (side, (path, packets)) in sides.into_iter().enumerate() {
            let out = BufWriter::new(File::create(path).unwrap());
            let clock = self.clocks.map(|clocks| Comment::default().clock(clocks[side]).to_string());
            let section = Section { comment: clock.as_deref(), ..Section::default() };
            let mut writer = Writer::new(out, &section).unwrap();
            let snaplen = self.snaplen[side];
            let interface = NewInterface {
                name: "point",
                description: None,
                filter: None,
                linktype: self.linktypes[side].unwrap_or(1),
                snaplen: snaplen.filter(|_| !self.silent).unwrap_or(0) as u32,
            };
            let id = writer.add_interface(&interface).unwrap();
            for (index, (ts, data)) in packets.iter().enumerate() {
                let gap = self.gap_at.filter(|gap| side == 1 && gap.0 == index);
                let host = [HOST_A, HOST_B][side];
                let ethernet = self.linktypes[side].is_none();
                let way = if ethernet && data[26..30] == host { Direction::Outbound } else { Direction::Inbound };
                let datagram = ethernet && data[23] == 17;
                let packet = NewPacket {
                    ts_ns: EPOCH + ts,
                    origlen: data.len() as u32,
                    data: &data[..snaplen.unwrap_or(data.len()).min(data.len())],
                    dropcount: gap.map(|gap| gap.1),
                    direction: self.flags.then_some(way),
                    packetid: (self.clocks.is_some() && datagram).then_some(index as u64),
                    ..NewPacket::default()
                };
                writer.packet(id, &packet).unwrap();
            }
            let told = Statistics {
                dropped: Some(self.drops[side]),
                start: self.ran.map(|ran| EPOCH + ran.0),
                end: self.ran.map(|ran| EPOCH + ran.1),
                ..Statistics::default()
            };
            writer.statistics(id, &told).unwrap();
            writer.finish().unwrap();
        }
        paths
    }
}

/// A datagram from one host to the other.
pub(crate) fn udp(from: [u8; 4], to: [u8; 4], ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4(from, to, 64)
        .udp(ports.0, ports.1)
        .write(&mut bytes, payload)
        .unwrap();
    bytes
}

/// Numbered datagram from one of the hosts to a group.
pub(crate) fn multicast(from: [u8; 4], number: u64) -> Vec<u8> {
    udp(from, [239, 255, 77, 77], (50_003, 7777), &numbered(number))
}

/// TCP data from A to B.
pub(crate) fn tcp(sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4(HOST_A, HOST_B, 64)
        .tcp(50_001, 50_002, sequence, 1024)
        .ack(77)
        .write(&mut bytes, payload)
        .unwrap();
    bytes
}

/// Numbered datagram from A to B.
pub(crate) fn forward(number: u64) -> Vec<u8> {
    udp(HOST_A, HOST_B, (50_001, 50_002), &numbered(number))
}

/// Numbered datagram from B to A.
pub(crate) fn backward(number: u64) -> Vec<u8> {
    udp(HOST_B, HOST_A, (50_002, 50_001), &numbered(number))
}

fn numbered(number: u64) -> Vec<u8> {
    [&number.to_be_bytes()[..], &[0x11; 92]].concat()
}

/// A small generator with a fixed seed, for delays.
pub(crate) struct Draws(pub(crate) u64);

impl Draws {
    /// Uniform below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}
