//! What a run decided of each packet, held against what the analysis of its two captures says of it.
//!
//! The truth is in the captures themselves, which the analysis does not ask for it: each packet has the number of its
//! decision, its cause and which copy it is, in a comment; and in `records.csv`, which tells what was damaged. What of it
//! is to be found is what can be seen at the two points (docs/analyze.md, "What can be seen from two points"):
//!
//! - a packet that was dropped is lost;
//! - one that was let through is matched with the first of its copies to arrive, and the others are duplicates of it;
//! - one whose payload was damaged is corrupted, at the same arrival;
//! - one with damage in what routers may change, in a checksum, or in a length that is then beyond the frame, is matched;
//! - one with damage in what it is found by (addresses, ports, protocol, lengths, fragmentation) cannot be found: it
//!   counts as lost, or as unmatched where the remains leave that in doubt, and the remains as sent by nobody;
//! - what would have arrived before the other capture began, or after it ended, is an edge;
//! - reordered is what arrives intact behind a packet of its flow that was sent later, copies left out.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests panic with their context")]

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::Path,
};

use shaper_offline::{
    analyze::{Analysis, Fate, FlowKey, Options, PacketRecord, Sink, Way, two_points_into},
    packet,
    pcapfile::Reader,
    writer::Comment,
};

/// How many of each kind the truth holds, and the analysis found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) matched: usize,
    pub(crate) lost: usize,
    /// Dropped while the other capture did not run.
    pub(crate) edge: usize,
    pub(crate) duplicated: usize,
    pub(crate) corrupted: usize,
    pub(crate) reordered: usize,
    /// Damaged in what a packet is found by.
    pub(crate) disguised: usize,
    /// Damaged in what may change on the way.
    pub(crate) touched: usize,
}

/// A packet with its fate as the file has it.
#[derive(Clone, Debug)]
struct Captured {
    frame: u64,
    ts_ns: i64,
    comment: Comment,
    flow: Option<FlowKey>,
}

/// Packets that the run decided on, by whether they entered the link here.
#[derive(Default)]
struct Point {
    sent: Vec<Captured>,
    /// By number of the decision, in the order of the file.
    arrived: HashMap<u64, Vec<Captured>>,
    /// Frames without a decision: what the run did not impair.
    bypassed: HashSet<u64>,
    /// When the capture began and ended.
    span: [i64; 2],
}

fn point(path: &Path, sending: u16) -> Point {
    let mut reader = Reader::open(path).unwrap();
    let mut point = Point::default();
    while let Some(packet) = reader.next_packet().unwrap() {
        let frame = packet.index + 1;
        let Some(comment) = packet.comments().find_map(|text| Comment::parse(text).unwrap()) else {
            point.bypassed.insert(frame);
            continue;
        };
        let flow = packet::parse(packet.linktype, packet.data, packet.origlen).map(|layers| FlowKey::of(&layers));
        let captured = Captured { frame, ts_ns: packet.ts_ns.unwrap(), comment, flow };
        if captured.comment.dir == Some(sending) {
            point.sent.push(captured);
        } else {
            point.arrived.entry(captured.comment.id.unwrap()).or_default().push(captured);
        }
    }
    let told = reader.interfaces()[0].statistics.unwrap();
    point.span = [told.start.unwrap(), told.end.unwrap()];
    point
}

/// Where a packet was damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Damage {
    /// In what routers may change, in a checksum, or in a length that another one puts right.
    Changeable,
    /// In its payload.
    Content,
    /// In what it is found by.
    Identity,
}

/// What was damaged, by number of the decision; `records.csv` as docs/captures.md has it.
fn damages(path: &Path) -> HashMap<u64, Damage> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines().skip(1);
    let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
    let mut damages = HashMap::new();
    for line in lines {
        let row: Vec<&str> = line.split(',').collect();
        let value = |name: &str| -> u64 {
            let at = columns.iter().position(|column| *column == name).unwrap();
            row[at].parse().unwrap_or_else(|error| panic!("{name} of {line}: {error}"))
        };
        assert_eq!(value("rule"), 0, "{line}: channels of rules have other numbers");
        let id = value("direction") << 46 | value("sequence");
        let bytes = (value("flips") as u32).to_be_bytes();
        let flipped = (0..).zip(bytes).filter(|(_, byte)| *byte != 0).map(|(at, byte)| (value("damage_at") + at, byte));
        let places = ["network", "transport", "payload", "len"].map(value);
        if let Some(worst) = flipped.map(|(at, byte)| damage(at, byte, places)).max() {
            damages.insert(id, worst);
        }
    }
    damages
}

/// What flipped bits of the byte `at` mean, in a datagram of UDP over IPv4 without options.
fn damage(at: u64, flipped: u8, [network, transport, payload, length]: [u64; 4]) -> Damage {
    assert_eq!((transport - network, payload - transport), (20, 8), "UDP over IPv4");
    if at >= payload {
        return Damage::Content;
    }
    let longer = |of: u64, at: u64| {
        let was = (of as u16).to_be_bytes()[at as usize];
        was ^ flipped > was
    };
    let changeable = match at - network {
        // DSCP and ECN, identification, TTL, both checksums.
        1 | 4 | 5 | 8 | 10 | 11 | 26 | 27 => true,
        // A length beyond what there is: where the datagram ends, the other length says, or the frame.
        at @ (2 | 3) => longer(length - network, at - 2),
        at @ (24 | 25) => longer(length - transport, at - 24),
        // "Don't fragment" and the bit in front of it.
        6 => flipped & 0x3f == 0,
        // Version, header length, protocol, addresses, ports, length; fragments.
        _ => false,
    };
    if changeable { Damage::Changeable } else { Damage::Identity }
}

/// What the analysis said of one packet, without what it borrows.
#[derive(Clone, Debug)]
struct Said {
    fate: Fate,
    arrived: Option<u64>,
    delay_ns: Option<i64>,
    reordered: Option<(i64, i64)>,
}

/// What the analysis said, by frames.
#[derive(Default)]
struct Told {
    sent: BTreeMap<(bool, u64), Said>,
    /// Copies: way, frame of the original, frame of the copy.
    duplicates: HashSet<(bool, u64, u64)>,
    /// What nobody was seen to send, or went no way that is known: at A?, frame.
    astray: HashSet<(bool, u64)>,
}

impl Sink for Told {
    fn packet(&mut self, packet: &PacketRecord<'_>) {
        let frame = |seen: Option<shaper_offline::analyze::Sighting>| seen.and_then(|seen| seen.frame);
        let forward = packet.way == Some(Way::AToB);
        let (sent, arrived) = (frame(packet.sent()), frame(packet.arrived()));
        match packet.fate {
            Fate::Duplicate => {
                assert!(self.duplicates.insert((forward, sent.unwrap(), arrived.unwrap())), "{packet:?} twice");
            }
            _ if sent.is_some() => {
                let said = Said {
                    fate: packet.fate,
                    arrived,
                    delay_ns: packet.delay_ns,
                    reordered: packet.reordered.map(|displaced| (displaced.extent, displaced.late_ns)),
                };
                assert!(self.sent.insert((forward, sent.unwrap()), said).is_none(), "{packet:?} twice");
            }
            _ => {
                for (at_a, seen) in [(true, packet.a), (false, packet.b)] {
                    let Some(seen) = frame(seen) else { continue };
                    assert!(self.astray.insert((at_a, seen)), "{packet:?} twice");
                }
            }
        }
    }
}

/// Extent and late time of what arrived out of order, by frame: RFC 4737, sections 3.3 and 4.2, read literally.
fn reordered(intact: &[(usize, &Captured, &Captured)]) -> HashMap<u64, (i64, i64)> {
    let mut flows: HashMap<String, Vec<(usize, &Captured)>> = HashMap::new();
    for (number, sent, arrived) in intact {
        flows.entry(sent.flow.as_ref().unwrap().to_string()).or_default().push((*number, arrived));
    }
    let mut displaced = HashMap::new();
    for arrivals in flows.values_mut() {
        arrivals.sort_by_key(|(_, arrived)| (arrived.ts_ns, arrived.frame));
        for (position, (number, arrived)) in arrivals.iter().enumerate() {
            let earliest = arrivals.iter().take(position).position(|(earlier, _)| earlier > number);
            if let Some(earliest) = earliest {
                let late = arrived.ts_ns - arrivals[earliest].1.ts_ns;
                displaced.insert(arrived.frame, ((position - earliest) as i64, late));
            }
        }
    }
    displaced
}

/// Compares the captures of a run at A and B, and holds every packet against what the run decided. `by_clock` takes the
/// clock of B off a time at B, where that is another one; `tolerance_ns` is how well the analysis must know it.
pub(crate) fn holds(
    [a, b]: [&Path; 2],
    records: Option<&Path>,
    by_clock: &dyn Fn(i64) -> i64,
    tolerance_ns: i64,
) -> (Seen, Analysis) {
    let name = a.display();
    let mut told = Told::default();
    let analysis = two_points_into(a, b, &Options::default(), &mut told).unwrap();
    let damages = records.map(damages).unwrap_or_default();
    let mut at_b = point(b, 1);
    for captured in at_b.sent.iter_mut().chain(at_b.arrived.values_mut().flatten()) {
        captured.ts_ns = by_clock(captured.ts_ns);
    }
    at_b.span = at_b.span.map(by_clock);
    let at_a = point(a, 0);
    let mut seen = Seen::default();
    for (forward, sender, receiver) in [(true, &at_a, &at_b), (false, &at_b, &at_a)] {
        let mut intact = Vec::new();
        let mut order: Vec<&Captured> = sender.sent.iter().collect();
        order.sort_by_key(|sent| (sent.ts_ns, sent.frame));
        let delays = order.iter().filter_map(|sent| {
            let copies = receiver.arrived.get(&sent.comment.id.unwrap())?;
            copies.iter().map(|copy| copy.ts_ns - sent.ts_ns).min()
        });
        let slowest = delays.max().unwrap_or(0);
        for (number, sent) in order.into_iter().enumerate() {
            let context = || format!("{name}: frame {} {}", sent.frame, sent.comment);
            let said = told.sent.remove(&(forward, sent.frame)).unwrap_or_else(|| panic!("{}: not told", context()));
            let copies = receiver.arrived.get(&sent.comment.id.unwrap());
            if sent.comment.cause.as_deref() != Some("none") {
                assert!(copies.is_none(), "{}: dropped, and arrived", context());
                let [began, ended] = receiver.span;
                if said.fate == Fate::Edge && !(began..=ended - slowest).contains(&sent.ts_ns) {
                    seen.edge += 1;
                    continue;
                }
                assert_eq!((said.fate, said.arrived), (Fate::Lost, None), "{}", context());
                seen.lost += 1;
                continue;
            }
            let mut copies: Vec<&Captured> =
                copies.unwrap_or_else(|| panic!("{}: let through", context())).iter().collect();
            copies.sort_by_key(|copy| (copy.ts_ns, copy.frame));
            let damage = damages.get(&sent.comment.id.unwrap());
            if damage == Some(&Damage::Identity) {
                assert!(matches!(said.fate, Fate::Lost | Fate::Unmatched), "{}: {said:?}", context());
                for copy in copies {
                    assert!(told.astray.remove(&(!forward, copy.frame)), "{}: remains {}", context(), copy.frame);
                }
                seen.disguised += 1;
                continue;
            }
            let (first, further) = copies.split_first().unwrap();
            let corrupted = damage == Some(&Damage::Content);
            let fate = if corrupted { Fate::Corrupted } else { Fate::Matched };
            assert_eq!((said.fate, said.arrived), (fate, Some(first.frame)), "{}", context());
            for copy in further {
                let found = told.duplicates.remove(&(forward, sent.frame, copy.frame));
                assert!(found, "{}: copy {}", context(), copy.frame);
                seen.duplicated += 1;
            }
            if corrupted {
                seen.corrupted += 1;
                continue;
            }
            seen.matched += 1;
            seen.touched += usize::from(damage.is_some());
            let delay = first.ts_ns - sent.ts_ns;
            assert!((said.delay_ns.unwrap() - delay).abs() <= tolerance_ns, "{}: {said:?}, not {delay} ns", context());
            intact.push((number, sent, *first, said));
        }
        let pairs: Vec<_> = intact.iter().map(|(number, sent, first, _)| (*number, *sent, *first)).collect();
        let displaced = reordered(&pairs);
        for (_, sent, first, said) in &intact {
            let context = || format!("{name}: frame {} {}", sent.frame, sent.comment);
            let expected = displaced.get(&first.frame);
            assert_eq!(said.reordered.map(|found| found.0), expected.map(|found| found.0), "{}", context());
            let late = [said.reordered, expected.copied()].map(|found| found.map_or(0, |found| found.1));
            assert!((late[0] - late[1]).abs() <= tolerance_ns, "{}: late {late:?}", context());
        }
        seen.reordered += displaced.len();
        let known: usize = receiver.arrived.values().map(Vec::len).sum();
        assert!(known > 0 || sender.sent.is_empty() || seen.lost > 0, "{name}: nothing arrived");
    }
    // Captures of two clocks are not known to be of one run, so what it did not impair is compared as well.
    let apart = analysis.files.iter().all(|file| file.bypassed == 0);
    if apart {
        told.sent.retain(|(forward, frame), _| !if *forward { &at_a } else { &at_b }.bypassed.contains(frame));
        told.astray.retain(|(at_a_, frame)| !if *at_a_ { &at_a } else { &at_b }.bypassed.contains(frame));
    }
    // None invented.
    assert!(told.sent.is_empty(), "{name}: nobody sent {:?}", told.sent);
    assert!(told.duplicates.is_empty(), "{name}: no copies: {:?}", told.duplicates);
    assert!(told.astray.is_empty(), "{name}: not astray: {:?}", told.astray);
    if !apart {
        for (file, point) in analysis.files.iter().zip([&at_a, &at_b]) {
            assert_eq!(file.bypassed as usize, point.bypassed.len(), "{name}");
        }
        let total = &analysis.total;
        let counted = [total.matched, total.corrupted, total.duplicated, total.reordered, total.edge];
        let known = [seen.matched, seen.corrupted, seen.duplicated, seen.reordered, seen.edge];
        assert_eq!(counted.map(|count| count as usize), known, "{name}");
    }
    (seen, analysis)
}
