use super::world::{FORWARDING, MS, RECEIVER, REPAIR, SENDER, SERVER_IN, SERVER_OUT, World};
use crate::path::analyse;

const WAY: i64 = SENDER + 10 * MS + SERVER_IN + FORWARDING + SERVER_OUT + 25 * MS + RECEIVER;

#[test]
fn each_piece_has_its_time_and_they_add_up_to_that_end_to_end() {
    let (inputs, truth) = World::new(3, 200).run();
    let report = analyse(&inputs, None).unwrap();
    assert_eq!(report.fates.delivered, truth.delivered);
    assert_eq!(report.fates.packets, 3 * 2 * 2 * 200);
    assert_eq!(report.pairs.len(), 6);
    for latency in report.pairs.iter().map(|pair| pair.latency).chain([report.latency]) {
        let exactly = |piece: Option<crate::path::Summary>, ns: i64| {
            let piece = piece.unwrap();
            assert_eq!((piece.min, piece.p50, piece.max), (ns, ns, ns));
        };
        exactly(latency.sender, SENDER);
        exactly(latency.uplink, 10 * MS);
        exactly(latency.server, SERVER_IN + FORWARDING + SERVER_OUT);
        exactly(latency.server_forwarding, FORWARDING);
        exactly(latency.downlink, 25 * MS);
        exactly(latency.receiver, RECEIVER);
        exactly(latency.end_to_end, WAY);
        assert_eq!(latency.repaired_end_to_end, None);
    }
    assert_eq!((report.largest_residue_ns, report.negative), (0, 0));
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert!(report.legs.iter().all(|leg| leg.checks.iter().all(|check| check.holds)), "{:#?}", report.legs);
    assert_eq!(report.legs.len(), 6 + 12);
    assert_eq!(report.playout.len(), 12);
    assert!(report.playout.iter().all(|model| model.modelled && model.late == 0));
}

#[test]
fn what_was_repaired_is_a_class_of_its_own_and_waited() {
    let mut world = World::new(2, 300);
    world.down.loses = Box::new(|ssrc, index| ssrc % 10 == 1 && index % 50 == 20);
    let (inputs, truth) = world.run();
    assert_eq!(truth.repaired, 2 * 6);
    let report = analyse(&inputs, None).unwrap();
    assert_eq!((report.fates.repaired, report.fates.delivered), (truth.repaired, truth.delivered));
    assert_eq!(report.latency.end_to_end.unwrap().max, WAY);
    let repaired = report.latency.repaired_end_to_end.unwrap();
    assert_eq!((repaired.count, repaired.p50), (12, WAY - 25 * MS + REPAIR));
    assert_eq!(report.latency.repair_wait.unwrap().p50, REPAIR - 25 * MS);
}

#[test]
fn rows_have_every_packet_of_every_receiver() {
    let mut world = World::new(2, 50);
    world.up.loses = Box::new(|ssrc, index| ssrc == super::world::ssrc_in(0, false) && index == 10);
    let (inputs, _) = world.run();
    let mut csv = Vec::new();
    let report = analyse(&inputs, Some(&mut csv)).unwrap();
    let text = String::from_utf8(csv).unwrap();
    let mut lines = text.lines();
    let columns = lines.next().unwrap().split(',').count();
    let rows: Vec<&str> = lines.collect();
    assert_eq!(rows.len() as u64, report.fates.packets);
    assert!(rows.iter().all(|row| row.split(',').count() == columns), "{text}");
    let lost: Vec<&&str> = rows.iter().filter(|row| row.contains(",lost_uplink,")).collect();
    assert_eq!(lost.len(), 1);
    assert!(lost[0].starts_with("client 0,client 1,false,10,1000,110,101000,,lost_uplink,"), "{}", lost[0]);
}
