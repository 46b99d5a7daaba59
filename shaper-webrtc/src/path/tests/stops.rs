//! What ends before its time: streams, and logs.

use super::world::{MS, SPACING, World, never, ssrc_in, ssrc_out};
use crate::path::{Inputs, PathReport, Severity, analyse};

/// Packets of each stream; the second half is 4 s.
const PACKETS: u32 = 400;
const HALF: u32 = PACKETS / 2;

fn found<'r>(report: &'r PathReport, kind: &str) -> Vec<(Severity, &'r str)> {
    let of = report.findings.iter().filter(|finding| finding.kind == kind);
    of.map(|finding| (finding.severity, finding.text.as_str())).collect()
}

/// Takes from what was written down everything of some streams behind the half: by SSRC out.
fn stop_at_half(inputs: &mut Inputs, stops: impl Fn(u32) -> bool) {
    // Numbers out are 107 and up.
    let late = |sequence: u16| u32::from(sequence) >= 107 + HALF;
    inputs.map.as_mut().unwrap().forwarded.retain(|packet| !(stops(packet.ssrc_out) && late(packet.sequence_out)));
    for point in inputs.clients.iter_mut().chain(inputs.server.as_mut()) {
        for (ssrc, seen) in &mut point.streams {
            seen.retain(|(_, sequence)| !(stops(*ssrc) && late(*sequence)));
        }
    }
    inputs.packets.as_mut().unwrap().received.retain(|packet| !(stops(packet.ssrc) && late(packet.sequence)));
}

#[test]
fn a_server_that_stops_sending_a_stream_on_is_told_although_nothing_is_missing_between_two_packets() {
    let (mut inputs, _) = World::new(3, PACKETS).run();
    stop_at_half(&mut inputs, |ssrc| ssrc == ssrc_out(0, 1, false));
    let report = analyse(&inputs, None).unwrap();
    assert_eq!((report.fates.lost_server, report.fates.not_forwarded), (0, u64::from(HALF)));
    let [(severity, text)] = found(&report, "server_stopped")[..] else { panic!("{:#?}", report.findings) };
    assert_eq!(severity, Severity::Error);
    let said = "the server stopped sending on 1 stream while its packets went on arriving: audio from client 0 to \
                client 1: 200 packets in the last 4.0 s";
    assert_eq!(text, said);
    assert!(found(&report, "stopped").is_empty());
}

#[test]
fn a_receiver_whose_streams_all_stop_while_others_go_on_may_have_lost_its_transport() {
    let (mut inputs, _) = World::new(3, PACKETS).run();
    stop_at_half(&mut inputs, |ssrc| (101_000..102_000).contains(&ssrc));
    let report = analyse(&inputs, None).unwrap();
    let [(severity, text)] = found(&report, "server_stopped")[..] else { panic!("{:#?}", report.findings) };
    assert_eq!(severity, Severity::Warning);
    assert!(text.contains("4 streams") && text.contains("video from client 2 to client 1"), "{text}");
}

#[test]
fn an_uplink_that_goes_silent_is_told_once_and_not_as_the_servers() {
    let mut world = World::new(3, PACKETS);
    world.up.loses = Box::new(|ssrc, index| ssrc == ssrc_in(0, false) && index >= HALF);
    let (inputs, _) = world.run();
    let report = analyse(&inputs, None).unwrap();
    let [(severity, text)] = found(&report, "stopped")[..] else { panic!("{:#?}", report.findings) };
    assert_eq!(severity, Severity::Warning);
    assert!(text.contains("audio from client 0") && text.contains("4.0 s"), "{text}");
    assert!(found(&report, "server_stopped").is_empty());
    // For each of two receivers.
    assert_eq!((report.fates.lost_uplink, report.fates.not_forwarded), (2 * u64::from(HALF), 0));
}

#[test]
fn a_stream_that_ends_with_its_receiver_or_its_sender_has_not_stopped() {
    let (mut inputs, _) = World::new(3, PACKETS).run();
    let stops = |ssrc: u32| (101_000..102_000).contains(&ssrc);
    stop_at_half(&mut inputs, stops);
    let log = inputs.packets.as_mut().unwrap();
    let last = |ssrc: u32| log.received.iter().filter(|packet| packet.ssrc == ssrc).map(|packet| packet.time_ns).max();
    let gone: Vec<_> = [0, 2]
        .into_iter()
        .flat_map(|from| [false, true].map(|video| ssrc_out(from, 1, video)))
        .map(|ssrc| {
            let time_ns = last(ssrc).unwrap() + 1;
            crate::packet_log::Reported { client: 1, ssrc, time_ns, ..Default::default() }
        })
        .collect();
    log.reported.extend(gone);
    let report = analyse(&inputs, None).unwrap();
    assert!(found(&report, "server_stopped").is_empty() && found(&report, "stopped").is_empty());

    // A sender that ends is all there was.
    let (mut inputs, _) = World::new(3, PACKETS).run();
    let (own, late) = (ssrc_in(0, false), |sequence: u16| u32::from(sequence) >= 100 + HALF);
    inputs.packets.as_mut().unwrap().sent.retain(|packet| !(packet.ssrc == own && late(packet.sequence)));
    for point in inputs.clients.iter_mut().chain(inputs.server.as_mut()) {
        point.streams.entry(own).or_default().retain(|(_, sequence)| !late(*sequence));
    }
    stop_at_half(&mut inputs, |ssrc| ssrc >= 100_000 && ssrc % 1000 == 0);
    let report = analyse(&inputs, None).unwrap();
    assert!(found(&report, "server_stopped").is_empty() && found(&report, "stopped").is_empty());
}

#[test]
fn a_mapping_log_that_is_cut_off_is_told() {
    let (mut inputs, _) = World::new(2, PACKETS).run();
    let map = inputs.map.as_mut().unwrap();
    let half = (1_000 * MS + i64::from(HALF) * SPACING) as u64;
    map.forwarded.retain(|packet| packet.time_out_ns < half);
    let report = analyse(&inputs, None).unwrap();
    let [(severity, text)] = found(&report, "map_log_incomplete")[..] else { panic!("{:#?}", report.findings) };
    assert_eq!(severity, Severity::Error);
    assert!(text.starts_with("the mapping log ends 4.0 s before"), "{text}");
    assert!(found(&report, "server_stopped").is_empty(), "the server went on");
    // What receivers got tells it, too.
    (inputs.server, inputs.clients) = (None, Vec::new());
    let report = analyse(&inputs, None).unwrap();
    assert!(found(&report, "map_log_incomplete")[0].1.starts_with("the mapping log ends 4.0 s before"));
    assert!(found(&report, "stopped").is_empty(), "{:#?}", report.findings);
}

#[test]
fn a_packet_log_that_is_cut_off_is_told() {
    let (mut inputs, _) = World::new(2, PACKETS).run();
    let log = inputs.packets.as_mut().unwrap();
    let half = (1_000 * MS + i64::from(HALF) * SPACING) as u64;
    log.sent.retain(|packet| packet.time_ns < half);
    log.received.retain(|packet| packet.time_ns < half);
    let report = analyse(&inputs, None).unwrap();
    let [(severity, text)] = found(&report, "packet_log_incomplete")[..] else { panic!("{:#?}", report.findings) };
    assert_eq!(severity, Severity::Error);
    assert!(text.starts_with("the packet log ends 4.0 s before"), "{text}");
}

#[test]
fn losses_that_no_capture_saw_are_told() {
    let mut world = World::new(2, 100);
    world.down.loses = Box::new(|ssrc, index| ssrc == ssrc_out(0, 1, false) && index % 10 == 5);
    world.down.loses_again = never();
    let (mut inputs, _) = world.run();
    (inputs.server, inputs.clients) = (None, Vec::new());
    let report = analyse(&inputs, None).unwrap();
    let [(severity, text)] = found(&report, "loss")[..] else { panic!("{:#?}", report.findings) };
    assert_eq!(severity, Severity::Warning);
    assert_eq!(text, "10 packets (2.50 %) did not come, and no capture tells where they were lost");
}

#[test]
fn a_stranger_in_the_room_does_not_hide_that_nobody_gets_a_client() {
    let mut world = World::new(3, 100);
    world.up.loses = Box::new(|ssrc, _| ssrc / 10 == 100);
    world.up.loses_again = Box::new(|_, _| true);
    let (mut inputs, _) = world.run();
    let log = inputs.packets.as_mut().unwrap();
    let strange = crate::packet_log::Received { from: crate::packet_log::UNKNOWN, ssrc: 77, ..log.received[0] };
    log.received.push(strange);
    let report = analyse(&inputs, None).unwrap();
    assert!(found(&report, "one_way").iter().any(|(_, text)| text.contains("nobody gets what client 0 sends")));

    // A server that makes other payloads of all says of none whose they are.
    let log = inputs.packets.as_mut().unwrap();
    for packet in &mut log.received {
        packet.from = crate::packet_log::UNKNOWN;
    }
    let report = analyse(&inputs, None).unwrap();
    assert!(found(&report, "one_way").is_empty(), "{:#?}", report.findings);
}

#[test]
fn a_server_that_keeps_ssrcs_leaves_nothing_to_be_told() {
    let (mut inputs, _) = World::new(2, 50).run();
    inputs.map = None;
    for packet in &mut inputs.packets.as_mut().unwrap().received {
        packet.ssrc = ssrc_in(packet.from, packet.video);
    }
    inputs.packets.as_mut().unwrap().streams.retain(|stream| stream.out);
    let report = analyse(&inputs, None).unwrap();
    assert!(report.legs.is_empty());
    let [(severity, text)] = found(&report, "ambiguous_ssrc")[..] else { panic!("{:#?}", report.findings) };
    assert_eq!(
        (severity, text),
        (Severity::Error, "all 4 SSRCs stand for more than one stream: nothing is told of any")
    );
}

#[test]
fn what_is_sent_to_somebody_who_is_not_of_the_tester_is_not_lost() {
    let mut world = World::new(3, 100);
    world.down.loses = Box::new(|ssrc, index| ssrc == ssrc_out(0, 2, false) && index % 10 == 5);
    let (mut inputs, truth) = world.run();
    let log = inputs.packets.as_mut().unwrap();
    // Client 2 is a browser.
    log.streams.retain(|stream| stream.client != 2);
    log.sent.retain(|packet| packet.client != 2);
    log.received.retain(|packet| packet.client != 2);
    let report = analyse(&inputs, None).unwrap();
    assert_eq!((report.fates.lost_receiver, report.fates.lost_somewhere), (0, 0), "{:#?}", report.findings);
    assert_eq!(report.fates.lost_downlink, truth.lost_down.values().sum::<u64>());
    assert!(found(&report, "tester_loss").is_empty());
    let text = &found(&report, "link_loss")[0].1;
    assert!(text.ends_with("lost 10 packets down (2.50 %); whether they were repaired no log tells"), "{text}");
    // Without captures nobody looked.
    (inputs.server, inputs.clients) = (None, Vec::new());
    let report = analyse(&inputs, None).unwrap();
    assert_eq!((report.fates.in_flight, report.fates.lost_somewhere), (2 * 200, 0), "{:?}", report.fates);
}

#[test]
fn a_capture_of_another_run_is_told() {
    let (mut inputs, _) = World::new(2, 50).run();
    let server = inputs.server.as_mut().unwrap();
    server.streams.clear();
    server.range = server.range.map(|(first, last)| (first - 3600 * 1_000 * MS, last - 3600 * 1_000 * MS));
    let report = analyse(&inputs, None).unwrap();
    let [(severity, text)] = found(&report, "foreign_capture")[..] else { panic!("{:#?}", report.findings) };
    assert_eq!(severity, Severity::Error);
    assert!(text.starts_with("the capture at server was not running while the packet log was written"), "{text}");
}
