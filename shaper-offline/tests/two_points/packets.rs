//! What a sink hears of each packet.

use std::collections::HashMap;

use shaper_offline::analyze::{
    Analysis, Clock, Displaced, Ending, Fate, Figures, FlowKey, Options, PacketRecord, Sighting, Sink, Way,
    two_points_into,
};

use super::path::{EPOCH, MS, Points, backward, forward};

/// A packet as it was told: way, fate, frames in both files, stamps, delay, displacement.
#[derive(Clone, Debug, PartialEq)]
struct Heard {
    way: Option<Way>,
    fate: Fate,
    flow: String,
    a: Option<Sighting>,
    b: Option<Sighting>,
    delay: Option<i64>,
    reordered: Option<Displaced>,
    bytes: u32,
}

#[derive(Default)]
struct Listener {
    flows: Vec<FlowKey>,
    packets: Vec<Heard>,
    ending: Option<Ending>,
}

impl Sink for Listener {
    fn flow(&mut self, index: u32, key: &FlowKey) {
        assert_eq!(index as usize, self.flows.len());
        self.flows.push(*key);
    }

    fn packet(&mut self, packet: &PacketRecord<'_>) {
        let (index, key) = packet.flow.unwrap();
        assert_eq!(self.flows[index as usize], *key);
        self.packets.push(Heard {
            way: packet.way,
            fate: packet.fate,
            flow: key.to_string(),
            a: packet.a,
            b: packet.b,
            delay: packet.delay_ns,
            reordered: packet.reordered,
            bytes: packet.bytes,
        });
    }

    fn finish(&mut self, _: &Analysis, ending: &Ending) {
        self.ending = Some(*ending);
    }
}

fn listen(points: Points, clock: Clock) -> (Analysis, Listener) {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = points.write(folder.path());
    let mut listener = Listener::default();
    let analysis = two_points_into(&a, &b, &Options { clock, ..Options::default() }, &mut listener).unwrap();
    (analysis, listener)
}

/// What was told adds up to the figures.
fn agrees(figures: &Figures, way: Way, heard: &[Heard]) {
    let of = |fate| heard.iter().filter(|one| one.way == Some(way) && one.fate == fate).count() as u64;
    let told = [Fate::Matched, Fate::Corrupted, Fate::Lost, Fate::Unmatched, Fate::Edge, Fate::Duplicate].map(of);
    let f = figures;
    assert_eq!(told, [f.matched, f.corrupted, f.lost, f.unmatched, f.edge, f.duplicated]);
    assert_eq!(of(Fate::ArrivalOnly), figures.arrivals_only);
    let reordered = heard.iter().filter(|one| one.way == Some(way) && one.reordered.is_some()).count();
    assert_eq!(reordered as u64, figures.reordered);
}

#[test]
fn every_packet_comes_with_its_frames_stamps_and_fate() {
    let mut points = Points::default();
    // 100 packets, 1 ms apart, 10 ms on the way. Number 20 is lost, 30 damaged, 40 comes twice, 50 is
    // 2.5 ms late, and an unknown one arrives behind 60.
    for number in 0..100_i64 {
        let (sent, packet) = (number * MS, forward(number as u64));
        points.a.push((sent, packet.clone()));
        let mut arrived = packet.clone();
        arrived[90] ^= u8::from(number == 30);
        let late = if number == 50 { 2 * MS + MS / 2 } else { 0 };
        if number != 20 {
            points.b.push((sent + 10 * MS + late, arrived));
        }
        if number == 40 {
            points.b.push((sent + 10 * MS + 1000, packet));
        }
        if number == 60 {
            points.b.push((sent + 10 * MS + 1000, forward(5000)));
        }
    }
    let (analysis, listener) = listen(points, Clock::Same);
    agrees(&analysis.a_to_b, Way::AToB, &listener.packets);
    let at = |fate| listener.packets.iter().filter(move |one| one.fate == fate);
    let frames = |one: &Heard| [one.a, one.b].map(|seen| seen.and_then(|seen| seen.frame));
    let lost: Vec<_> = at(Fate::Lost).collect();
    assert_eq!(lost.len(), 1);
    assert_eq!((frames(lost[0]), lost[0].delay), ([Some(21), None], None));
    // One is missing in front of it: frame 31 of A is frame 30 of B.
    let damaged: Vec<_> = at(Fate::Corrupted).map(|one| (frames(one), one.delay)).collect();
    assert_eq!(damaged, [([Some(31), Some(30)], Some(10 * MS))]);
    let copies: Vec<_> = at(Fate::Duplicate).map(|one| (frames(one), one.delay)).collect();
    assert_eq!(copies, [([Some(41), Some(41)], Some(10 * MS + 1000))]);
    let late: Vec<_> = listener.packets.iter().filter(|one| one.reordered.is_some()).collect();
    assert_eq!(late.len(), 1);
    // 51 and 52 came before it, 52 at 62 ms and it at 62.5.
    assert_eq!(
        (frames(late[0]), late[0].reordered),
        ([Some(51), Some(53)], Some(Displaced { extent: 2, late_ns: MS + MS / 2 }))
    );
    let stray: Vec<_> = at(Fate::ArrivalOnly).map(|one| (frames(one), one.delay)).collect();
    assert_eq!(stray, [([None, Some(62)], None)]);
    let first = &listener.packets[0];
    assert_eq!(
        first,
        &Heard {
            way: Some(Way::AToB),
            fate: Fate::Matched,
            flow: "UDP 10.0.0.1:50001 > 10.0.0.2:50002".to_owned(),
            a: Some(Sighting { frame: Some(1), interface: 0, ts_ns: EPOCH }),
            b: Some(Sighting { frame: Some(1), interface: 0, ts_ns: EPOCH + 10 * MS }),
            delay: Some(10 * MS),
            reordered: None,
            bytes: 142,
        }
    );
    // In the order of sending, the copy right behind its original.
    let order: Vec<_> = listener.packets.iter().filter_map(|one| one.a?.frame).collect();
    assert!(order.is_sorted(), "{order:?}");
    assert_eq!(listener.ending, Some(Ending::default()));
}

#[test]
fn the_shift_told_at_the_end_gives_the_delays_of_the_figures() {
    // Fast packets look alike, so that the estimate does not see them, and the end does.
    let mut points = Points::default();
    for number in 0..200_i64 {
        let sent = number * 20 * MS;
        let (id, delay) = if number % 2 == 0 { (number as u64, 10 * MS) } else { (9999, 6 * MS) };
        points.a.push((sent, forward(id)));
        points.b.push((sent + delay, forward(id)));
        points.b.push((sent, backward(number as u64)));
        points.a.push((sent + 10 * MS, backward(number as u64)));
    }
    let (analysis, listener) = listen(points, Clock::Estimate);
    let ending = listener.ending.unwrap();
    assert_eq!(ending.shift_ns, -2 * MS);
    for (figures, way, sign) in [(&analysis.a_to_b, Way::AToB, -1), (&analysis.b_to_a, Way::BToA, 1)] {
        agrees(figures, way, &listener.packets);
        let mut least: HashMap<Fate, i64> = HashMap::new();
        for one in listener.packets.iter().filter(|one| one.way == Some(way)) {
            let delay = one.delay.unwrap() + sign * ending.shift_ns;
            least.entry(one.fate).and_modify(|known| *known = delay.min(*known)).or_insert(delay);
        }
        assert_eq!(least[&Fate::Matched], figures.delay_ns.unwrap().min);
    }
}

#[test]
fn a_capture_that_lost_packets_nobody_knows_where_takes_back_what_was_told_as_lost() {
    let mut points = Points { drops: [0, 3], ..Points::default() };
    for number in 0..100_i64 {
        points.a.push((number * MS, forward(number as u64)));
        if number != 50 {
            points.b.push((number * MS + MS, forward(number as u64)));
        }
    }
    let (analysis, listener) = listen(points, Clock::Same);
    assert_eq!((analysis.a_to_b.lost, analysis.a_to_b.unmatched), (0, 1));
    assert_eq!(listener.packets.iter().filter(|one| one.fate == Fate::Lost).count(), 1);
    let ending = listener.ending.unwrap();
    assert!(ending.a_to_b_unproven && !ending.b_to_a_unproven);
}

/// How often each frame of both files was told of as the packet itself, where all have a match.
fn told_of(heard: &[Heard], frames: usize) -> [Vec<usize>; 2] {
    let mut told = [vec![0; frames], vec![0; frames]];
    for one in heard {
        for (seen, told) in [one.a, one.b].into_iter().zip(&mut told) {
            told[seen.unwrap().frame.unwrap() as usize - 1] += 1;
        }
    }
    told
}

#[test]
fn pairs_that_wait_while_their_path_turns_are_counted_once_each() {
    let mut points = Points::default();
    // Three stamps say that packets came from B, seventeen that they went there; three come 5 ms late.
    for number in 0..20_i64 {
        let late = if number % 8 == 1 { 5 * MS } else { 0 };
        points.a.push((number * 2 * MS, forward(number as u64)));
        points.b.push((number * 2 * MS + if number < 3 { -1_000 } else { MS + late }, forward(number as u64)));
    }
    let (analysis, listener) = listen(points, Clock::Same);
    let total = &analysis.total;
    assert_eq!((total.sent, total.matched, total.unplaced), (20, 20, 0), "{analysis}");
    assert_eq!(told_of(&listener.packets, 20), [vec![1; 20], vec![1; 20]]);
    for (figures, way) in [(&analysis.a_to_b, Way::AToB), (&analysis.b_to_a, Way::BToA)] {
        agrees(figures, way, &listener.packets);
        assert!(figures.reordered <= figures.matched, "{analysis}");
        assert_eq!(figures.tiers.payload, figures.matched, "what a pair counts as stays with it");
    }
}

#[test]
fn pairs_of_equal_stamps_are_counted_once_while_what_tells_their_way_changes() {
    // All at once, until the stamps of two packets tell one way, and those of four others the other one, while
    // the first still wait, and while their time comes.
    for gap in [MS, 400 * MS] {
        let mut points = Points::default();
        for number in 0..30_i64 {
            let apart = match number {
                10 | 20 => -1_000,
                12 | 14 | 22 | 24 => 1_000,
                _ => 0,
            };
            points.a.push((number * gap, forward(number as u64)));
            points.b.push((number * gap + apart, forward(number as u64)));
        }
        let (analysis, listener) = listen(points, Clock::Same);
        let total = &analysis.total;
        assert_eq!((total.sent, total.matched + total.unplaced_pairs), (30, 30), "{analysis}");
        assert_eq!(told_of(&listener.packets, 30), [vec![1; 30], vec![1; 30]]);
        for (figures, way) in [(&analysis.a_to_b, Way::AToB), (&analysis.b_to_a, Way::BToA)] {
            agrees(figures, way, &listener.packets);
        }
    }
}
