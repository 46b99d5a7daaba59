//! What must not pass for loss on a link.

use super::world::{MS, World, never, ssrc_in, ssrc_out};
use crate::path::{Direction, Inputs, JoinedBy, PathReport, Severity, analyse};

fn kinds(report: &PathReport) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.kind.as_str()).collect()
}

fn link_lost(report: &PathReport) -> u64 {
    report.legs.iter().filter_map(|leg| leg.captures).map(|column| column.lost).sum()
}

fn texts(report: &PathReport) -> String {
    report.findings.iter().map(|finding| format!("{}\n", finding.text)).collect()
}

#[test]
fn no_media_is_said() {
    let mut world = World::new(3, 0);
    world.packets = 0;
    let (inputs, _) = world.run();
    let report = analyse(&inputs, None).unwrap();
    assert_eq!(kinds(&report), ["no_media"]);
    assert_eq!(report.findings[0].severity, Severity::Error);
    let nothing = analyse(&Inputs::default(), None).unwrap();
    assert_eq!(kinds(&nothing), ["foreign_server"]);
}

#[test]
fn media_that_nobody_gets_is_no_media() {
    let mut world = World::new(2, 50);
    world.up.loses = Box::new(|_, _| true);
    world.up.loses_again = Box::new(|_, _| true);
    let (inputs, truth) = world.run();
    let report = analyse(&inputs, None).unwrap();
    assert_eq!(kinds(&report)[0], "no_media", "{}", texts(&report));
    assert!(report.findings[0].text.contains("200 packets were sent, and nobody received any"));
    assert_eq!(link_lost(&report), truth.lost_up.values().sum::<u64>());
}

#[test]
fn one_way_is_said_with_the_link_that_does_it() {
    let mut world = World::new(3, 100);
    let to_two = |ssrc: u32| (102_000..103_000).contains(&ssrc);
    world.down.loses = Box::new(move |ssrc, _| to_two(ssrc));
    world.down.loses_again = Box::new(|_, _| true);
    let (inputs, _) = world.run();
    let report = analyse(&inputs, None).unwrap();
    assert_eq!(kinds(&report)[0], "one_way", "{}", texts(&report));
    let text = &report.findings[0].text;
    assert_eq!(
        text,
        "one-way: client 2 sends (200 packets) and gets nothing: 400 left the server's host, none arrived at its own: the link"
    );
    assert_eq!(kinds(&report).iter().filter(|kind| **kind == "one_way").count(), 1);
}

#[test]
fn one_way_is_said_of_the_way_up_and_one_that_is_alone_in_a_room_is_not_accused() {
    let mut world = World::new(3, 100);
    world.up.loses = Box::new(|ssrc, _| ssrc / 10 == 100);
    world.up.loses_again = Box::new(|_, _| true);
    let (inputs, _) = world.run();
    let report = analyse(&inputs, None).unwrap();
    let said = "one-way: nobody gets what client 0 sends (200 packets): 200 left its host, none arrived at the server's: \
                the link; the server sent none on";
    assert_eq!((report.findings[0].severity, report.findings[0].text.as_str()), (Severity::Error, said));
    assert_eq!(kinds(&report).iter().filter(|kind| **kind == "one_way").count(), 1);

    // Client 2 is elsewhere: nobody has a stream of it, and it has none.
    let (mut inputs, _) = World::new(3, 100).run();
    let strange = |ssrc: u32| (102_000..103_000).contains(&ssrc) || ssrc >= 100_000 && ssrc % 1000 / 10 == 2;
    let log = inputs.packets.as_mut().unwrap();
    log.streams.retain(|stream| !strange(stream.ssrc));
    log.received.retain(|packet| !strange(packet.ssrc));
    inputs.map.as_mut().unwrap().forwarded.retain(|packet| !strange(packet.ssrc_out));
    let report = analyse(&inputs, None).unwrap();
    assert!(report.findings.iter().all(|finding| finding.severity < Severity::Error), "{}", texts(&report));
}

#[test]
fn one_way_by_the_receiver_itself_is_not_the_link() {
    let mut world = World::new(2, 100);
    world.tester_drops = Box::new(|ssrc, _| (101_000..102_000).contains(&ssrc));
    let (inputs, _) = world.run();
    let report = analyse(&inputs, None).unwrap();
    let text = texts(&report);
    assert!(text.contains("one-way: client 1 sends (200 packets) and gets nothing: 200 arrived at its own"), "{text}");
    assert!(!kinds(&report).contains(&"tester_loss"), "it is said once: {text}");
    assert!(
        text.contains("one-way: nobody gets what client 0 sends (200 packets): 200 arrived at the server's"),
        "{text}"
    );
    assert_eq!(link_lost(&report), 0);
}

#[test]
fn a_server_that_drops_one_in_a_hundred_is_told_from_the_links() {
    let mut world = World::new(3, 1000);
    world.server_drops = Box::new(|_, index| index % 100 == 50);
    world.up.loses = Box::new(|_, index| index % 200 == 20);
    let (inputs, truth) = world.run();
    assert_eq!(truth.dropped_by_server, 12 * 10);
    let report = analyse(&inputs, None).unwrap();
    assert_eq!(report.fates.lost_server, truth.dropped_by_server);
    let own: u64 = report.legs.iter().filter_map(|leg| leg.server).map(|server| server.lost).sum();
    assert_eq!(own, truth.dropped_by_server);
    let down: u64 = report
        .legs
        .iter()
        .filter(|leg| leg.direction == Direction::Downlink)
        .map(|leg| leg.captures.unwrap().lost)
        .sum();
    assert_eq!(down, 0, "no link lost it, although receivers and RTCP miss it");
    let leg = report.legs.iter().find(|leg| leg.ssrc == ssrc_out(0, 1, false)).unwrap();
    assert_eq!((leg.receiver.unwrap().missing, leg.rtcp.unwrap().lost), (15, 15));
    assert!(report.legs.iter().all(|leg| leg.checks.iter().all(|check| check.holds)), "{:#?}", report.legs);
    let text = texts(&report);
    assert!(text.contains("the server lost 120 packets of its own (1.00 %)"), "{text}");
    assert!(text.contains("the link of client 0 lost 10 packets up (0.50 %); 5 were repaired"), "{text}");
}

#[test]
fn what_the_server_drops_between_a_pause_and_the_next_piece_is_its_own_too() {
    let mut world = World::new(2, 100);
    world.key_frame = 30;
    let (inputs, _) = world.run();
    let report = analyse(&inputs, None).unwrap();
    assert_eq!(report.fates.not_forwarded, 2 * 30, "before the key frame");
    assert_eq!(report.fates.lost_server, 0);
    assert!(report.findings.is_empty(), "{}", texts(&report));
}

#[test]
fn a_tester_whose_socket_overflows_is_told_from_the_link() {
    let mut world = World::new(2, 1000);
    world.tester_drops = Box::new(|_, index| index % 20 == 7);
    let (inputs, truth) = world.run();
    let report = analyse(&inputs, None).unwrap();
    assert_eq!(report.fates.lost_receiver, truth.dropped_by_tester);
    assert_eq!(link_lost(&report), 0);
    assert_eq!(kinds(&report)[0], "tester_loss", "{}", texts(&report));
    assert!(report.findings[0].text.starts_with("the tester lost 200 packets of its own (5.00 %)"));
    assert!(!kinds(&report).contains(&"does_not_add_up"), "{}", texts(&report));
}

#[test]
fn what_comes_when_the_client_has_left_is_in_flight() {
    let mut world = World::new(3, 100);
    let to_one = |ssrc: u32| (101_000..102_000).contains(&ssrc);
    world.tester_drops = Box::new(move |ssrc, index| to_one(ssrc) && index >= 80);
    let (mut inputs, truth) = world.run();
    let log = inputs.packets.as_mut().unwrap();
    let last_words = |ssrc: u32| {
        let received = log.received.iter().filter(|packet| packet.ssrc == ssrc);
        let time_ns = received.map(|packet| packet.time_ns).max().unwrap() + 1;
        crate::packet_log::Reported { client: 1, ssrc, time_ns, ..Default::default() }
    };
    let said: Vec<_> =
        [0, 2].into_iter().flat_map(|from| [false, true].map(|video| last_words(ssrc_out(from, 1, video)))).collect();
    log.reported.extend(said);
    let report = analyse(&inputs, None).unwrap();
    assert_eq!((report.fates.in_flight, report.fates.lost_receiver), (truth.dropped_by_tester, 0));
    assert!(!kinds(&report).contains(&"tester_loss"), "{}", texts(&report));
}

#[test]
fn a_tester_that_is_starved_of_cpu_shows_in_its_own_piece() {
    let mut world = World::new(2, 1000);
    world.starved = Box::new(|index| if index % 10 < 2 { 80 * MS } else { 0 });
    let (mut inputs, _) = world.run();
    inputs.slip_p99_ns = Some(35_000_000);
    let report = analyse(&inputs, None).unwrap();
    assert_eq!(kinds(&report), ["tester_late", "tester_slow"], "{}", texts(&report));
    assert_eq!(report.findings[0].text, "the tester was late: slip p99 35.000 ms: latencies are its own in part");
    assert_eq!(report.latency.downlink.unwrap().max, 25 * MS, "the link is not blamed");
    assert_eq!(report.latency.receiver.unwrap().p99, 80 * MS + super::world::RECEIVER);
}

#[test]
fn a_server_that_is_slow_is_not_a_slow_link() {
    let mut world = World::new(2, 100);
    world.forwarding = 50 * MS;
    let (inputs, _) = world.run();
    let report = analyse(&inputs, None).unwrap();
    assert_eq!(kinds(&report), ["server_slow"], "{}", texts(&report));
    let said = "the server was slow: p50 50.050 ms, p99 50.050 ms within its host, not on a link";
    assert_eq!(report.findings[0].text, said);
}

#[test]
fn a_capture_that_misses_packets_is_said_and_does_not_pass_for_a_link() {
    let mut world = World::new(2, 400);
    world.capture_misses = Box::new(|ssrc, index| ssrc == ssrc_out(0, 1, true) && index % 40 == 9);
    let (inputs, _) = world.run();
    let report = analyse(&inputs, None).unwrap();
    assert!(kinds(&report).contains(&"capture_incomplete"), "{}", texts(&report));
    assert_eq!(link_lost(&report), 0);
    assert!(
        texts(&report).contains("captures incomplete: the one at server has lost 10 packets"),
        "{}",
        texts(&report)
    );
    assert!(report.legs.iter().all(|leg| leg.incomplete));

    let mut world = World::new(2, 400);
    world.capture_misses = Box::new(|ssrc, index| ssrc == ssrc_in(0, false) && index % 40 == 9);
    let (inputs, _) = world.run();
    let report = analyse(&inputs, None).unwrap();
    let leg = report.legs.iter().find(|leg| leg.ssrc == ssrc_in(0, false)).unwrap();
    assert!(leg.checks.iter().any(|check| !check.holds), "repaired without a retransmission: {leg:#?}");
    assert!(kinds(&report).contains(&"does_not_add_up"));
}

#[test]
fn logs_that_lost_records_are_said() {
    let (mut inputs, _) = World::new(2, 50).run();
    inputs.map.as_mut().unwrap().lost = 12;
    inputs.packets.as_mut().unwrap().lost = 3;
    let report = analyse(&inputs, None).unwrap();
    assert_eq!(kinds(&report), ["map_log_incomplete", "packet_log_incomplete"]);
}

#[test]
fn what_a_mapping_log_lost_does_not_pass_for_a_loss_of_the_servers() {
    let (mut inputs, truth) = World::new(2, 200).run();
    let map = inputs.map.as_mut().unwrap();
    let before = map.forwarded.len();
    map.forwarded.retain(|packet| packet.sequence_in % 7 != 3);
    let lost = (before - map.forwarded.len()) as u64;
    map.lost = lost;
    let report = analyse(&inputs, None).unwrap();
    assert_eq!(kinds(&report), ["map_log_incomplete"], "{}", texts(&report));
    assert_eq!((report.fates.delivered, report.fates.lost_server), (truth.delivered, 0));
    let servers = || report.legs.iter().filter_map(|leg| leg.server);
    assert_eq!(servers().map(|server| server.unlogged).sum::<u64>(), lost);
    assert_eq!(servers().map(|server| server.lost + server.lost_before).sum::<u64>(), 0);
}

#[test]
fn what_comes_out_of_order_where_a_stream_begins_is_nobodys_loss() {
    // The first packet comes last of six: the server begins with it.
    let mut world = World::new(2, 100);
    world.up.delay = Box::new(|_, index| if index == 0 { 120 * MS } else { 10 * MS });
    let early = |packet: &crate::serve::Forwarded| (101..=105).contains(&packet.sequence_in);
    let (mut inputs, _) = world.run();
    inputs.map.as_mut().unwrap().forwarded.retain(|packet| !early(packet));
    let sent_on = |sequence: u16| !(108..=112).contains(&sequence);
    let points = inputs.clients.iter_mut().chain(inputs.server.as_mut());
    for (ssrc, seen) in points.flat_map(|point| point.streams.iter_mut()) {
        seen.retain(|(_, sequence)| *ssrc < 100_000 || sent_on(*sequence));
    }
    inputs.packets.as_mut().unwrap().received.retain(|packet| sent_on(packet.sequence));
    let report = analyse(&inputs, None).unwrap();
    assert_eq!((report.fates.at_change, report.fates.lost_server), (4 * 5, 0));
    let servers = || report.legs.iter().filter_map(|leg| leg.server);
    assert!(servers().all(|server| server.at_change == 5 && server.lost == 0));
    assert!(!kinds(&report).contains(&"server_loss"), "{}", texts(&report));

    // The packet before the last comes behind it: the server has gone over to something else.
    let mut world = World::new(2, 100);
    world.up.delay = Box::new(|_, index| if index == 98 { 120 * MS } else { 10 * MS });
    world.server_drops = Box::new(|_, index| index == 98);
    let (inputs, _) = world.run();
    let report = analyse(&inputs, None).unwrap();
    assert_eq!((report.fates.at_change, report.fates.lost_server), (4, 0));

    // The receiver gets the second packet first, and its stack begins there.
    let mut world = World::new(2, 100);
    world.down.delay = Box::new(|_, index| if index == 0 { 120 * MS } else { 25 * MS });
    world.tester_drops = Box::new(|_, index| index == 0);
    let (inputs, _) = world.run();
    let report = analyse(&inputs, None).unwrap();
    assert_eq!((report.fates.at_change, report.fates.lost_receiver), (4, 0));
    assert_eq!(kinds(&report), ["at_change"], "{}", texts(&report));
}

#[test]
fn a_foreign_server_is_reported_leg_by_leg() {
    let mut world = World::new(2, 200);
    world.up.loses = Box::new(|ssrc, index| ssrc == ssrc_in(0, true) && index % 20 == 3);
    world.down.loses = Box::new(|ssrc, index| ssrc == ssrc_out(0, 1, true) && index % 50 == 4);
    let (mut inputs, truth) = world.run();
    inputs.map = None;
    let report = analyse(&inputs, None).unwrap();
    assert_eq!(report.joined_by, JoinedBy::Nothing);
    assert!(kinds(&report).contains(&"foreign_server"));
    assert_eq!((report.fates.packets, report.latency.end_to_end), (0, None));
    let leg = |ssrc| report.legs.iter().find(|leg| leg.ssrc == ssrc).unwrap();
    assert_eq!(leg(ssrc_in(0, true)).captures.unwrap().lost, truth.lost_up[&ssrc_in(0, true)]);
    assert_eq!(leg(ssrc_in(0, true)).delay.unwrap().p50, 10 * MS);
    let down = leg(ssrc_out(0, 1, true));
    assert_eq!(down.captures.unwrap().lost, truth.lost_down[&ssrc_out(0, 1, true)]);
    assert_eq!((down.delay.unwrap().p50, down.server), (25 * MS, None));
    assert!(down.checks.iter().all(|check| check.holds), "{down:#?}");
}

#[test]
fn clocks_that_do_not_agree_are_said() {
    let (mut inputs, _) = World::new(2, 50).run();
    for seen in inputs.server.as_mut().unwrap().streams.values_mut().flatten() {
        seen.0 -= 20 * MS;
    }
    let report = analyse(&inputs, None).unwrap();
    assert_eq!(kinds(&report)[0], "clocks", "{}", texts(&report));
    assert_eq!(report.negative, report.fates.packets);
}

#[test]
fn an_ssrc_of_two_streams_is_left_out() {
    let (mut inputs, _) = World::new(2, 50).run();
    let log = inputs.packets.as_mut().unwrap();
    let first = log.streams.iter().find(|stream| stream.out).copied().unwrap();
    log.streams.push(crate::packet_log::Stream { client: 1, ..first });
    let report = analyse(&inputs, None).unwrap();
    assert!(kinds(&report).contains(&"ambiguous_ssrc"));
    assert!(report.legs.iter().all(|leg| leg.ssrc != first.ssrc));
}

#[test]
fn the_report_can_be_read_and_read_again() {
    let mut world = World::new(3, 300);
    world.down.loses = Box::new(|_, index| index % 30 == 4);
    world.up.loses_again = never();
    let (inputs, _) = world.run();
    let report = analyse(&inputs, None).unwrap();
    let json = serde_json::to_string(&report).unwrap();
    let again: PathReport = serde_json::from_str(&json).unwrap();
    assert_eq!((&again.legs, &again.pairs, again.fates), (&report.legs, &report.pairs, report.fates));
    assert_eq!((&again.findings, again.playout.len()), (&report.findings, report.playout.len()));
    let text = report.to_string();
    for part in ["Where the milliseconds went", "end to end, repaired", "Loss on each link", "modelled", "adds up"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
