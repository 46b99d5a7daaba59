//! A real server's mapping log, real SRTP on loopback, and what the path is found to be. What the ends
//! hand to their sockets and get from them stands for captures: loopback loses nothing.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use shaper_offline::rtp::header::Header;

use super::media::{AUDIO, Pair, VIDEO, VIDEO_RTX};
use super::peer::{Loss, Peer, pump_until, vp8};
use super::{metric, serve};
use crate::clock::{Clock, pair};
use crate::packet_log::{self, Received, Sent, Stream};
use crate::path::{Inputs, MapLog, PacketLog, PathReport, Point, analyse};
use crate::serve::{Faults, Record, ServeConfig, read_map_log};

const COUNT: u32 = 100;

/// What passed a place: SSRC, wall time and number.
type Seen = Rc<RefCell<HashMap<u32, Vec<(i64, u16)>>>>;

/// Loses the nth datagram of some SSRCs, and writes down what is before and behind it.
fn link(before: &Seen, behind: &Seen, lost: &[(u32, usize)]) -> Loss {
    let (before, behind, lost) = (Rc::clone(before), Rc::clone(behind), lost.to_vec());
    let mut counts = HashMap::<u32, usize>::new();
    Box::new(move |datagram| {
        let Some(header) = Header::parse(datagram, datagram.len() as u32) else { return false };
        let (ssrc, seen) = (header.ssrc, (pair().1 as i64, header.sequence));
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

/// What a run came to: the report, and the server's count of what it sent on.
struct Ran {
    report: PathReport,
    forwarded: u64,
}

/// Sends packets of both kinds through a server. `lost` says which the links lose: the nth of audio and of
/// video up and down.
fn run(config: ServeConfig, lost: Option<[usize; 4]>) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map");
    let server = serve(ServeConfig { map_log: Some(path.clone()), ..config });
    let mut ends = Pair::connect(&server);
    let clock = Clock::start();
    let mut log = vec![clock_record()];
    let (sender, server_in, server_out, receiver) =
        (Seen::default(), Seen::default(), Seen::default(), Seen::default());
    // The 0th is never lost.
    let [audio_up, video_up, audio_down, video_down] = lost.unwrap_or_default();
    ends.out.lost_out = link(&sender, &server_in, &[(AUDIO, audio_up), (VIDEO, video_up)]);
    ends.input.lost_in = link(&server_out, &receiver, &[(*ends.audio, audio_down), (*ends.video, video_down)]);
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
    // Of audio two are lost for good; all of video comes in the end, unless the server drops it.
    let lost_for_good = if lost.is_some() { 2 } else { 0 };
    let came = |peer: &Peer| peer.received.len() as u64;
    pump_until("all that the server sends", [&mut ends.out, &mut ends.input], |[_, input]| {
        let received = metric(&server, "rtp_received_total");
        let all = u64::from(COUNT) * 2;
        // The link down loses one of audio; the server never had the other.
        received + lost_for_good / 2 == all && came(input) + lost_for_good / 2 == metric(&server, "rtp_forwarded_total")
    });
    let video_out = *ends.video;
    let of_video = |record| matches!(record, Ok(Record::Reported(said)) if said.ssrc_out == video_out);
    let reported = || read_map_log(&path).unwrap().any(of_video);
    pump_until("what the receiver reports of video", [&mut ends.out, &mut ends.input], |_| reported());
    let end = pair().1 as i64;
    let forwarded = metric(&server, "rtp_forwarded_total");
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
    Ran { report: analyse(&inputs, None).unwrap(), forwarded }
}

#[test]
fn the_path_of_every_packet_through_a_real_server_is_found() {
    let Ran { report, forwarded } = run(ServeConfig::default(), Some([20, 30, 40, 50]));
    assert_eq!(forwarded, 199);
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
    // A busy machine is slow, and loses nothing.
    let blamed = ["no_media", "one_way", "server_loss", "server_host_loss", "tester_loss", "does_not_add_up"];
    let mut kinds = report.findings.iter().map(|finding| finding.kind.as_str());
    assert!(kinds.all(|kind| !blamed.contains(&kind)), "{report}");
}

#[test]
fn what_a_real_server_drops_by_itself_is_told_from_what_links_lose() {
    let faults = Faults { drop_media_ppm: 50_000, seed: 3 };
    let Ran { report, forwarded } = run(ServeConfig { faults, ..ServeConfig::default() }, None);
    assert!((150..200).contains(&forwarded), "{forwarded} of 200 with a twentieth dropped");
    let fates = report.fates;
    // Of the first and the last of a stream nobody can tell that they were to be sent on.
    assert!((1..=200 - forwarded).contains(&fates.lost_server), "{report}");
    assert_eq!((fates.delivered, fates.packets), (forwarded, forwarded + fates.lost_server), "{report}");
    assert_eq!(report.legs.iter().map(|leg| leg.captures.unwrap().lost).sum::<u64>(), 0, "{report}");
    assert!(report.legs.iter().all(|leg| leg.checks.iter().all(|check| check.holds)), "{:#?}", report.legs);
    assert!(report.findings.iter().any(|finding| finding.kind == "server_loss"), "{report}");
}
