//! A real server's mapping log, real SRTP on loopback, and what the path is found to be. What the ends
//! hand to their sockets and get from them stands for captures: loopback loses nothing.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use super::media::{AUDIO, Pair, VIDEO, VIDEO_RTX};
use super::peer::{Loss, pump_until, vp8};
use super::serve;
use crate::clock::{Clock, pair};
use crate::packet_log::{self, Received, Sent, Stream};
use crate::path::{Inputs, MapLog, PacketLog, Point, Severity, analyse};
use crate::rtp_header::rtp_numbers;
use crate::serve::{Record, ServeConfig, read_map_log};

const COUNT: u32 = 100;

/// What passed a place: SSRC, wall time and number.
type Seen = Rc<RefCell<HashMap<u32, Vec<(i64, u16)>>>>;

/// Loses the nth datagram of some SSRCs, and writes down what is before and behind it.
fn link(before: &Seen, behind: &Seen, lost: &[(u32, usize)]) -> Loss {
    let (before, behind, lost) = (Rc::clone(before), Rc::clone(behind), lost.to_vec());
    let mut counts = HashMap::<u32, usize>::new();
    Box::new(move |datagram| {
        let Some((ssrc, sequence)) = rtp_numbers(datagram) else { return false };
        let seen = (pair().1 as i64, sequence);
        before.borrow_mut().entry(ssrc).or_default().push(seen);
        let count = counts.entry(ssrc).or_default();
        *count += 1;
        let is_lost = lost.contains(&(ssrc, *count));
        if !is_lost {
            behind.borrow_mut().entry(ssrc).or_default().push(seen);
        }
        is_lost
    })
}

fn clock_record() -> packet_log::Record {
    let (monotonic_ns, realtime_ns) = pair();
    packet_log::Record::Clock { monotonic_ns, realtime_ns }
}

#[test]
fn the_path_of_every_packet_through_a_real_server_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map");
    let server = serve(ServeConfig { map_log: Some(path.clone()), ..ServeConfig::default() });
    let mut ends = Pair::connect(&server);
    let clock = Clock::start();
    let mut log = vec![clock_record()];
    let (sender, server_in, server_out, receiver) =
        (Seen::default(), Seen::default(), Seen::default(), Seen::default());
    ends.out.lost_out = link(&sender, &server_in, &[(AUDIO, 20), (VIDEO, 30)]);
    ends.input.lost_in = link(&server_out, &receiver, &[(*ends.audio, 40), (*ends.video, 50)]);
    for number in 0..COUNT {
        for (ssrc, video) in [(AUDIO, false), (VIDEO, true)] {
            let sequence = number as u16 + if video { 200 } else { 100 };
            let sent = Sent { client: 0, track: u32::from(video), video, ssrc, sequence, number, ..Sent::default() };
            log.push(packet_log::Record::Sent(Sent { time_ns: clock.monotonic(Instant::now()), ..sent }));
            let payload = match video {
                true => vp8(number as u16, number == 0, number),
                false => number.to_be_bytes().to_vec(),
            };
            let (payload_type, ticks) = if video { (96, 3000) } else { (111, 960) };
            ends.out.write(ssrc, payload_type, sequence.into(), number * ticks, payload);
        }
        ends.out.pump();
        ends.input.pump();
    }
    // Two of audio are lost for good; all of video comes in the end.
    let (audio, video) = (COUNT as usize - 2, COUNT as usize);
    ends.pump_until_received(audio, video);
    let video_out = *ends.video;
    let of_video = |record| matches!(record, Ok(Record::Reported(said)) if said.ssrc_out == video_out);
    let reported = || read_map_log(&path).unwrap().any(of_video);
    pump_until("what the receiver reports of video", [&mut ends.out, &mut ends.input], |_| reported());
    let end = pair().1 as i64;
    server.stop().unwrap();

    log.push(clock_record());
    let stream = |client, out, ssrc, video, rtx_ssrc| {
        packet_log::Record::Stream(Stream { client, out, video, ssrc, rtx_ssrc, ..Stream::default() })
    };
    log.extend([stream(0, true, AUDIO, false, 0), stream(0, true, VIDEO, true, VIDEO_RTX)]);
    log.extend([stream(1, false, *ends.audio, false, 0), stream(1, false, *ends.video, true, 0)]);
    let known = receiver.borrow().clone();
    for packet in &ends.input.received {
        let (ssrc, sequence) = (*packet.header.ssrc, packet.header.sequence_number);
        let video = ssrc == *ends.video;
        log.push(packet_log::Record::Received(Received {
            client: 1,
            from: 0,
            track: u32::from(video),
            video,
            ssrc,
            sequence,
            rtp_timestamp: packet.header.timestamp,
            time_ns: clock.monotonic(packet.timestamp),
            repaired: known[&ssrc].iter().all(|(_, seen)| *seen != sequence),
            ..Received::default()
        }));
    }
    let point = |name: &str, seen: &[&Seen]| {
        let streams = seen.iter().flat_map(|seen| seen.borrow().clone()).collect();
        Point::made(name, streams, (0, end))
    };
    let inputs = Inputs {
        map: Some(MapLog::collect(read_map_log(&path).unwrap()).unwrap()),
        packets: Some(PacketLog::collect(log.into_iter().map(Ok::<_, ()>)).unwrap()),
        server: Some(point("server", &[&server_in, &server_out])),
        clients: vec![point("c1", &[&sender]), point("c2", &[&receiver])],
        ..Inputs::default()
    };
    let report = analyse(&inputs, None).unwrap();
    let fates = report.fates;
    assert_eq!((fates.packets, fates.delivered, fates.repaired), (200, 196, 2), "{report}");
    assert_eq!((fates.lost_uplink, fates.lost_downlink, fates.lost_server), (1, 1, 0), "{report}");
    assert_eq!(report.legs.len(), 4);
    for leg in &report.legs {
        assert_eq!(leg.captures.unwrap().lost, 1, "{leg:#?}");
        assert!(leg.checks.len() >= 2 && leg.checks.iter().all(|check| check.holds), "{leg:#?}");
    }
    let down: Vec<_> = report.legs.iter().filter(|leg| leg.client == "client 1").collect();
    assert!(down.iter().any(|leg| leg.video && leg.rtcp.is_some()), "{down:#?}");
    let latency = report.latency;
    assert!([latency.uplink, latency.server, latency.end_to_end].iter().all(|piece| piece.unwrap().count == 196));
    assert!(
        report.findings.iter().all(|finding| finding.severity == Severity::Info || finding.kind == "clocks"),
        "{report}"
    );
}
