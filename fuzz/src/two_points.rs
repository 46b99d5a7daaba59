//! The comparison of two captures: of a path that the bytes describe, and of any two captures.

use std::path::Path;
use std::time::Duration;

use shaper_offline::analyze::{
    Analysis, Clock, Comparison, Ending, Fate, Figures, FileFound, Options, PacketRecord, Sighting, Sink, Way,
    two_points_into,
};
use shaper_offline::merged::{Marks, Writing, write};
use shaper_offline::pcapfile::{Direction, Reader};
use shaper_offline::writer::{NewInterface, NewPacket, Section, Statistics, Writer};

use crate::draw::Draw;
use crate::frames::{End, tcp, udp, words};
use crate::unnamed::holding;

const EPOCH: i64 = 1_700_000_000_000_000_000;
const MS: i64 = 1_000_000;
const ENDS: [[u8; 4]; 2] = [[10, 0, 0, 1], [10, 0, 0, 2]];
/// Packets sent at most.
const MOST: usize = 256;
/// Findings that an analysis can have, with what there is of each direction and each file.
const FINDINGS: usize = 64;

/// What an input says beforehand, a bit each.
struct How(u8);

impl How {
    /// The rest are two captures, whatever they hold.
    fn any(&self) -> bool {
        self.0 & 1 != 0
    }

    fn clock(&self, offset: i64) -> Clock {
        match self.0 >> 1 & 3 {
            1 => Clock::Same,
            2 => Clock::Known(offset),
            _ => Clock::Estimate,
        }
    }

    fn waiting(&self) -> Duration {
        if self.0 & 8 == 0 { Options::default().waiting } else { Duration::from_millis(20) }
    }

    /// Packets of the second capture stand there as they were sent, whatever their stamps.
    fn as_given(&self) -> bool {
        self.0 & 16 != 0
    }

    /// The second capture holds the beginning of packets alone, and does not say so.
    fn cut(&self) -> bool {
        self.0 & 32 != 0
    }

    /// The second capture tells of drops at its end.
    fn drops(&self) -> u64 {
        u64::from(self.0 >> 6 & 1)
    }

    /// Packets carry the flags of a host's own interface.
    fn flags(&self) -> bool {
        self.0 & 128 != 0
    }
}

/// Compares: nothing panics, what was sent adds up, and each packet of both captures is told of, once.
pub fn compare(bytes: &[u8]) {
    let mut draw = Draw(bytes);
    let how = How(draw.byte());
    let offset = i64::from(draw.byte().cast_signed()) * 40 * MS;
    let [a, b] = if how.any() {
        let first = draw.take().map_or(0, u16::from_le_bytes);
        [draw.slice(first.into()).to_vec(), draw.0.to_vec()]
    } else {
        path(&how, offset, draw)
    };
    let options = Options { clock: how.clock(offset), waiting: how.waiting(), ..Options::default() };
    holding([&a, &b], |[a, b]| points(a, b, &options));
    holding([&a, &a], |[a, b]| {
        let options = Options { clock: Clock::Same, ..options };
        let Ok(analysis) = two_points_into(a, b, &options, &mut Marks::default()) else { return };
        assert_eq!([analysis.total.lost, analysis.total.corrupted], [0, 0], "a capture against itself: {analysis}");
    });
}

/// Both captures of a path: who sends what, and what becomes of it.
fn path(how: &How, offset: i64, mut draw: Draw<'_>) -> [Vec<u8>; 2] {
    let mut captures: [Vec<(i64, usize, Vec<u8>)>; 2] = [Vec::new(), Vec::new()];
    let mut now = 0_i64;
    let mut streams = [1_u32; 2];
    let mut sent = 0;
    while let Some([what, gap, fate, late]) = draw.take()
        && sent < MOST
    {
        sent += 1;
        now += i64::from(gap) * if what & 0x40 == 0 { 50_000 } else { 20 * MS };
        let sender = usize::from(what >> 3 & 1);
        let receiver = 1 - sender;
        // Few numbers, so that packets look alike.
        let number = if what & 0x80 == 0 { sent as u32 } else { u32::from(gap & 3) };
        let ends = |port: u16| [(ENDS[sender], port), (ENDS[receiver], port + 1)];
        let stream = &mut streams[sender];
        let make = |ttl, sequence: u32| frame(what, ttl, ends(5_000 + u16::from(what & 7)), number, sequence);
        let (out, arrived) = (make(64, *stream), make(63, *stream));
        if what & 7 == 2 {
            *stream = stream.wrapping_add(u32::from(what >> 4 & 3) * 8);
        }
        let delay = 2 * MS + i64::from(late) * 100_000;
        let mut moved = [0, offset];
        // The clock of the second point is set where an input says so.
        if fate & 0x80 != 0 {
            moved[1] += 2_000 * MS;
        }
        captures[sender].push((now + moved[sender], sent, out));
        let at = now + delay + moved[receiver];
        let mut arrives = |after: i64, frame: Vec<u8>| captures[receiver].push((at + after, sent, frame));
        match fate & 7 {
            1 => {}
            2 => {
                let mut damaged = arrived;
                let at = usize::from(fate >> 3) * 4 % damaged.len();
                damaged[at] ^= 1 << (late & 7);
                arrives(0, damaged);
            }
            3 => {
                arrives(0, arrived.clone());
                arrives(i64::from(fate >> 3) * MS, arrived);
            }
            4 if arrived.len() > 60 => {
                // The data in two segments: the second has its numbers moved on.
                let (head, mut tail) = (arrived[..54 + 4].to_vec(), arrived.clone());
                tail.drain(54..58);
                let numbers = u32::from_be_bytes([tail[38], tail[39], tail[40], tail[41]]).wrapping_add(4);
                tail[38..42].copy_from_slice(&numbers.to_be_bytes());
                for mut part in [head, tail] {
                    let length = (part.len() - 14) as u16;
                    part[16..18].copy_from_slice(&length.to_be_bytes());
                    arrives(0, part);
                }
            }
            _ => arrives(0, arrived),
        }
    }
    let [a, mut b] = captures;
    let mut a = a;
    a.sort_by_key(|packet| packet.0);
    if how.as_given() {
        b.sort_by_key(|packet| packet.1);
    } else {
        b.sort_by_key(|packet| packet.0);
    }
    [capture(&a, how, 0), capture(&b, how, 1)]
}

fn frame(what: u8, ttl: u8, ends: [End; 2], number: u32, sequence: u32) -> Vec<u8> {
    let size = usize::from(what >> 4 & 3) * 8;
    let numbered = |fixed: &[u32]| {
        let mut payload = words(fixed);
        payload.resize(payload.len() + size, 0x5a);
        payload
    };
    match what & 7 {
        0 => udp(ttl, ends, &numbered(&[number])),
        1 => udp(ttl, ends, &[]),
        2 => tcp(ttl, ends, [sequence, 1], [0x18, 64], None, &numbered(&[])),
        3 => tcp(ttl, ends, [number, sequence], [0x10, 64], Some([number, 7]), &numbered(&[])),
        4 => udp(ttl, ends, &numbered(&[0x8060_0000 | (number & 0xffff), number.wrapping_mul(160), 77])),
        5 => {
            let mut toast = b"TOST\x02\x01\0\0".to_vec();
            toast.extend([number, number * 1_000, 0, 0].into_iter().flat_map(u32::to_le_bytes));
            toast.extend([0, 1, 0, 0, 7, 0, 0, 0]);
            udp(ttl, ends, &toast)
        }
        6 => udp(ttl, [ends[0], ([239, 255, 77, 77], 7_777)], &numbered(&[number])),
        _ => crate::frames::ipv4(1, ttl, ends, &numbered(&[number])),
    }
}

/// The packets as pcapng.
fn capture(packets: &[(i64, usize, Vec<u8>)], how: &How, point: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Ok(mut writer) = Writer::new(&mut bytes, &Section::default()) else { return bytes };
    let interface = NewInterface { name: "eth0", description: None, filter: None, linktype: 1, snaplen: 0 };
    let Ok(interface) = writer.add_interface(&interface) else { return bytes };
    for (ts, _, data) in packets {
        let kept = if how.cut() && point == 1 { data.len().min(48) } else { data.len() };
        let way = if data.get(26..30) == Some(&ENDS[point]) { Direction::Outbound } else { Direction::Inbound };
        let packet = NewPacket {
            ts_ns: EPOCH + ts,
            origlen: data.len() as u32,
            data: &data[..kept],
            direction: how.flags().then_some(way),
            ..NewPacket::default()
        };
        let _ = writer.packet(interface, &packet);
    }
    if point == 1 {
        let told = Statistics { dropped: Some(how.drops()), ..Statistics::default() };
        let _ = writer.statistics(interface, &told);
    }
    let _ = writer.finish();
    bytes
}

/// Counts what it is told.
#[derive(Default)]
struct Told {
    /// Packets of each fate, from A to B, back, and without a direction.
    fates: [[u64; 8]; 3],
    /// Of each file, how often each frame was told of as the packet itself, and whether it was at all.
    own: [Vec<u8>; 2],
    seen: [Vec<bool>; 2],
    ending: Ending,
    /// A file each, for what writes them into one.
    marks: Marks,
}

impl Told {
    fn note(&mut self, point: usize, sighting: Option<Sighting>, own: bool) {
        let Some(frame) = sighting.and_then(|sighting| sighting.frame) else { return };
        let at = frame as usize - 1;
        let length = self.seen[point].len().max(at + 1);
        self.seen[point].resize(length, false);
        self.own[point].resize(length, 0);
        self.seen[point][at] = true;
        self.own[point][at] += u8::from(own);
        assert!(self.own[point][at] <= 1, "frame {frame} of file {point} is told of twice");
    }

    fn of(&self, way: usize, fate: Fate) -> u64 {
        self.fates[way][fate as usize]
    }
}

impl Sink for Told {
    fn packet(&mut self, packet: &PacketRecord<'_>) {
        self.marks.packet(packet);
        let way = match packet.way {
            Some(Way::AToB) => 0,
            Some(Way::BToA) => 1,
            None => 2,
        };
        self.fates[way][packet.fate as usize] += 1;
        let arrival = matches!(packet.fate, Fate::Duplicate | Fate::ArrivalOnly | Fate::Uncounted);
        // What stands for the other point was, or will be, told of by itself where it is no pair.
        let own_at = match packet.way {
            Some(Way::AToB) => [!arrival, arrival],
            Some(Way::BToA) => [arrival, !arrival],
            None => [true, true],
        };
        self.note(0, packet.a, own_at[0]);
        self.note(1, packet.b, own_at[1]);
    }

    fn finish(&mut self, analysis: &Analysis, ending: &Ending) {
        self.ending = *ending;
        self.marks.finish(analysis, ending);
    }
}

fn points(a: &Path, b: &Path, options: &Options) {
    let mut told = Told::default();
    let Ok(analysis) = two_points_into(a, b, options, &mut told) else { return };
    conserved(&analysis, &told);
    bounded(&analysis);
    // Nobody who listens changes what is found.
    let alone = Comparison {
        a: shaper_offline::analyze::Capture::whole(a),
        b: shaper_offline::analyze::Capture::whole(b),
        only: None,
        options: *options,
    };
    let [heard, alone] = [Ok(analysis.clone()), alone.run()].map(|one| one.ok().map(|one| one.to_string()));
    assert_eq!(heard, alone);
    merged([a, b], &analysis, &told);
}

fn conserved(analysis: &Analysis, told: &Told) {
    let Ending { a_to_b_unproven, b_to_a_unproven, .. } = told.ending;
    let ways = [(&analysis.a_to_b, a_to_b_unproven), (&analysis.b_to_a, b_to_a_unproven)];
    for (way, (figures, unproven)) in ways.into_iter().enumerate() {
        adds_up(figures);
        let lost = told.of(way, Fate::Lost);
        let (lost, missing) = if unproven { (0, lost) } else { (lost, 0) };
        let counted = [figures.matched, figures.corrupted, figures.lost, figures.unmatched, figures.edge];
        let heard = [
            told.of(way, Fate::Matched),
            told.of(way, Fate::Corrupted),
            lost,
            told.of(way, Fate::Unmatched) + missing,
            told.of(way, Fate::Edge),
        ];
        assert_eq!(counted, heard, "way {way}: {analysis}");
        assert_eq!(figures.duplicated, told.of(way, Fate::Duplicate), "way {way}: {analysis}");
        assert_eq!(figures.arrivals_only, told.of(way, Fate::ArrivalOnly), "way {way}: {analysis}");
    }
    assert_eq!(analysis.total.unplaced, told.of(2, Fate::Unmatched), "{analysis}");
    assert_eq!(analysis.total.sent, analysis.a_to_b.sent + analysis.b_to_a.sent + analysis.total.unplaced);
    analysis.flows.iter().for_each(|flow| adds_up(&flow.figures));
    for (file, seen) in analysis.files.iter().zip(&told.seen) {
        let FileFound { packets, bypassed, filtered, leapt, untimed, unparsed, seen_again, .. } = file;
        let taken = packets - bypassed - filtered - leapt - untimed - unparsed - seen_again;
        let told = seen.iter().filter(|seen| **seen).count() as u64;
        assert_eq!(told, taken, "{}: {analysis}", file.path);
    }
}

fn adds_up(figures: &Figures) {
    let Figures { sent, matched, corrupted, lost, unmatched, edge, .. } = *figures;
    assert_eq!(sent, matched + corrupted + lost + unmatched + edge, "{figures:?}");
    assert!(figures.loss_ratio.is_none_or(|ratio| (0.0..=1.0).contains(&ratio)));
    assert!(figures.delay_ns.is_none_or(|delay| delay.min <= delay.p50 && delay.p50 <= delay.max));
    assert!(figures.reordered <= matched);
}

fn bounded(analysis: &Analysis) {
    assert!(analysis.findings.len() <= FINDINGS, "{} findings", analysis.findings.len());
    for finding in &analysis.findings {
        assert!(finding.frames_a.len() <= 10 && finding.frames_b.len() <= 10, "{finding:?}");
    }
    assert!(serde_json::to_string(analysis).is_ok());
}

/// Both captures in one hold the packets of both.
fn merged(paths: [&Path; 2], analysis: &Analysis, told: &Told) {
    let mut file = Vec::new();
    let writing = Writing { application: "fuzz", anonymize: None };
    let Ok(merged) = write(paths, &told.marks, analysis, &writing, &mut file) else { return };
    let packets = paths.map(|path| Reader::open(path).map_or(0, |reader| count(reader.ending_at_damage())));
    assert_eq!(merged.packets, packets.iter().sum::<u64>());
    let again = Reader::from_bytes("merged.pcapng", file).map_or(0, count);
    assert_eq!(again, merged.packets);
}

fn count(mut reader: Reader) -> u64 {
    while let Ok(Some(_)) = reader.next_packet() {}
    reader.packets()
}
