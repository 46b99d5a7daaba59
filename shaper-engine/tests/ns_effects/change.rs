//! What changes packets, loses them, or sends them more than once.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use shaper_common::fate::Cause;
use shaper_common::layout::split_id;
use shaper_engine::{Engine, Exclusion, Options};

use crate::bed::{Bed, GRACE, datagrams};
use crate::check::{self, count, passed, share};
use crate::frame::{self, Stream};

const GAP: Duration = Duration::from_micros(200);
const SENT: u64 = 3_000;

#[test]
fn copies_arrive_beside_their_packets_and_as_far_apart_as_asked_for() {
    let bed = Bed::new();
    let engine = bed.start(
        r#"delay = "2ms"
        duplicate = "10% copies 2 delay 1ms""#,
    );
    let (tap, socket) = (bed.tap(), bed.socket(None));
    bed.send(0..SENT, GAP, |number| Stream::default().frame(&bed, number));
    let outcome = engine.stop(GRACE).unwrap();
    let forward = check::forward(&outcome, SENT);
    let copied = count(forward, |record| record.fate.copies == 2);
    share(copied, SENT, 0.1, 1.0);
    assert_eq!((forward.account.copies, forward.account.out), (2 * copied, SENT + 2 * copied));
    let frames = tap.frames(forward.account.out);
    let mut seen = vec![0; SENT as usize];
    for bytes in &frames {
        assert_eq!(*bytes, Stream::default().frame(&bed, frame::number(bytes)));
        seen[frame::number(bytes) as usize] += 1;
    }
    assert!(seen.iter().zip(&forward.records).all(|(seen, record)| *seen == 1 + record.fate.copies));
    assert_eq!(datagrams(&socket, forward.account.out).len() as u64, forward.account.out);
    for copy in &forward.copies {
        let (_, sequence) = split_id(copy.id);
        let release = forward.records[sequence as usize].release().0;
        assert_eq!(copy.intended.0, release + u64::from(copy.copy) * 1_000_000);
        assert!(copy.actual >= copy.intended);
    }
    bed.done();
}

/// Sends so much through a link that damages a tenth of it, and compares each frame at the tap with the one that was
/// sent. Returns the damaged ones, and how many datagrams a socket got.
fn damaged(stream: Stream, corrupt: &str) -> (Vec<Vec<u8>>, u64) {
    let bed = Bed::new();
    let engine = bed.start(&format!("delay = \"1ms\"\ncorrupt = \"{corrupt}\""));
    let (tap, socket) = (bed.tap(), bed.socket(None));
    bed.send(0..SENT, GAP, |number| stream.frame(&bed, number));
    let outcome = engine.stop(GRACE).unwrap();
    let forward = check::forward(&outcome, SENT);
    let hit = count(forward, |record| record.fate.damage.flips != 0);
    share(hit, SENT, 0.1, 1.0);
    let frames = tap.frames(SENT);
    assert_eq!(frames.len() as u64, SENT);
    let mut damaged = Vec::new();
    for (record, got) in forward.records.iter().zip(frames) {
        let sent = stream.frame(&bed, record.sequence);
        let mut flipped = sent.clone();
        let damage = record.fate.damage;
        for (place, flips) in damage.flips.to_be_bytes().into_iter().enumerate().filter(|(_, flips)| *flips != 0) {
            flipped[usize::from(damage.at) + place] ^= flips;
        }
        assert_eq!(sent != got, damage.flips != 0, "number {}", record.sequence);
        assert!(damage.repair != 0 || flipped == got, "number {}: {damage:?}", record.sequence);
        if sent != got {
            damaged.push(got);
        }
    }
    let received = datagrams(&socket, SENT - hit).len() as u64;
    bed.done();
    (damaged, received)
}

#[test]
fn what_is_damaged_and_not_repaired_reaches_the_tap_and_no_socket() {
    for stream in [Stream::default(), Stream::IPV6] {
        let (damaged, received) = damaged(stream, "10% in payload");
        assert!(damaged.iter().all(|frame| !frame::datagram_is_sound(frame)), "one flipped bit is always seen");
        assert_eq!(received, SENT - damaged.len() as u64);
    }
}

#[test]
fn what_is_damaged_and_repaired_reaches_the_socket_as_well() {
    for stream in [Stream::default(), Stream::IPV6] {
        for corrupt in ["10% bytes 3 in payload repaired", "10% bits 5 in l4 at 0 repaired"] {
            let (damaged, received) = damaged(stream, corrupt);
            assert!(damaged.iter().all(|frame| frame::datagram_is_sound(frame)), "{corrupt}");
            assert_eq!(received, SENT, "{corrupt}");
        }
    }
    // The time to live, of which nothing is left in one of 256: a bit of 64 that is flipped leaves some but for one.
    let (damaged, _) = damaged(Stream::default(), "10% in l3 at 8 repaired");
    assert!(damaged.iter().all(|frame| frame::header_is_sound(frame) && frame::datagram_is_sound(frame)));
}

/// A third of the frames each: two streams that can be marked, and one that cannot.
fn marks(streams: [Stream; 3]) {
    let bed = Bed::new();
    let engine = bed.start("delay = \"1ms\"\nloss = \"20%\"\necn = true");
    let tap = bed.tap();
    let of = |number: u64| streams[(number % 3) as usize];
    bed.send(0..SENT, GAP, |number| of(number).frame(&bed, number));
    let outcome = engine.stop(GRACE).unwrap();
    let forward = check::forward(&outcome, SENT);
    let marked = count(forward, |record| record.fate.marked != 0);
    let lost = forward.account.dropped_by(Cause::Loss);
    share(marked, 2 * SENT / 3, 0.2, 1.0);
    share(lost, SENT / 3, 0.2, 1.0);
    let frames = tap.frames(forward.account.out);
    assert_eq!(frames.len() as u64, SENT - lost);
    let mut seen = 0;
    for (record, got) in passed(forward).into_iter().zip(frames) {
        let stream = of(record.sequence);
        let ecn = if record.fate.marked != 0 { frame::CE } else { stream.ecn };
        assert_eq!(got, Stream { ecn, ..stream }.frame(&bed, record.sequence), "with a checksum that is right");
        assert!(frame::ecn(&got) == ecn && frame::header_is_sound(&got) && frame::datagram_is_sound(&got));
        seen += u64::from(frame::ecn(&got) == frame::CE);
    }
    assert_eq!(seen, marked);
    bed.done();
}

#[test]
fn what_can_be_marked_is_marked_instead_of_lost() {
    let capable = Stream { ecn: frame::ECT_0, ..Stream::default() };
    marks([capable, Stream { ecn: frame::ECT_1, ..Stream::IPV6 }, Stream::default()]);
    let tagged = |stream| Stream { vlan: Some(5), ..stream };
    marks([tagged(capable), tagged(Stream { ecn: frame::ECT_1, ..Stream::IPV6 }), tagged(Stream::default())]);
}

#[test]
fn what_overtakes_arrives_before_those_that_wait() {
    let bed = Bed::new();
    let engine = bed.start("delay = \"10ms\"\nreorder = \"20%\"");
    let tap = bed.tap();
    bed.send(0..SENT, GAP, |number| Stream::default().frame(&bed, number));
    let outcome = engine.stop(GRACE).unwrap();
    let forward = check::forward(&outcome, SENT);
    let is_ahead = |at: usize| forward.records[at].release() == forward.records[at].arrival();
    let ahead = (0..SENT as usize).filter(|at| is_ahead(*at)).count() as u64;
    share(ahead, SENT, 0.2, 1.0);
    let numbers: Vec<u64> = tap.frames(SENT).iter().map(|frame| frame::number(frame)).collect();
    let released: Vec<u64> = forward.releases.iter().map(|release| split_id(release.id).1).collect();
    assert_eq!(numbers, released, "in the order in which they were released");
    // Reordered as RFC 4737 has it: none that overtakes, and of the others all that one passed by. With a fifth ahead and
    // fifty on their way hardly any escapes.
    let mut largest = None;
    let mut reordered = 0;
    for number in numbers {
        if largest.is_some_and(|largest| number < largest) {
            assert!(!is_ahead(number as usize), "{number}");
            reordered += 1;
        }
        largest = largest.max(Some(number));
    }
    assert!(reordered > (SENT - ahead) * 9 / 10, "{reordered} of {}", SENT - ahead);
    bed.done();
}

#[test]
fn bursts_are_lost_as_long_and_as_often_as_asked_for() {
    const SENT: u64 = 8_000;
    let bed = Bed::new();
    let engine = bed.start("loss = \"5% burst 3\"");
    let tap = bed.tap();
    bed.send(0..SENT, GAP, |number| Stream::default().frame(&bed, number));
    let outcome = engine.stop(GRACE).unwrap();
    let forward = check::forward(&outcome, SENT);
    let is_lost: Vec<bool> = forward.records.iter().map(|record| record.cause() == Some(Cause::Loss)).collect();
    let lost = forward.account.dropped_by(Cause::Loss);
    // The correlation of neighbours is 1 - r - p, and falls off geometrically.
    let (leaves, enters) = (1.0 / 3.0, 0.05 / (0.95 * 3.0));
    let correlation = 1.0 - leaves - enters;
    share(lost, SENT, 0.05, (1.0 + correlation) / (1.0 - correlation));
    let bursts = (0..is_lost.len()).filter(|at| is_lost[*at] && (*at == 0 || !is_lost[at - 1])).count() as f64;
    let sigma = (1.0 - leaves).sqrt() / leaves;
    check::mean(lost as f64 / bursts, 3.0, sigma / bursts.sqrt());
    let numbers: Vec<u64> = tap.frames(forward.account.out).iter().map(|frame| frame::number(frame)).collect();
    let kept: Vec<u64> = (0..SENT).filter(|number| !is_lost[*number as usize]).collect();
    assert_eq!(numbers, kept);
    bed.done();
}

#[test]
fn a_group_is_impaired_like_any_other_receiver() {
    let bed = Bed::new();
    let engine = bed.start("loss = \"10%\"\nduplicate = \"10%\"");
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let (tap, socket) = (bed.tap(), bed.socket(Some(group)));
    let stream = Stream { group: Some(group.octets()), ..Stream::default() };
    bed.send(0..SENT, GAP, |number| stream.frame(&bed, number));
    let outcome = engine.stop(GRACE).unwrap();
    let forward = check::forward(&outcome, SENT);
    let account = &forward.account;
    share(account.dropped_by(Cause::Loss), SENT, 0.1, 1.0);
    share(account.copies, SENT - account.dropped_by(Cause::Loss), 0.1, 1.0);
    assert_eq!(tap.frames(account.out).len() as u64, account.out);
    assert_eq!(datagrams(&socket, account.out).len() as u64, account.out);
    bed.done();
}

#[test]
fn two_senders_at_once_lose_no_update_whatever_keeps_decisions_apart() {
    for exclusion in [Exclusion::Lock, Exclusion::Device] {
        let bed = Bed::new();
        let profile = r#"
            delay = "3ms"
            jitter = "4ms"
            order = "keep"
            loss = "5% burst 2"
            duplicate = "5%"
            corrupt = "5% in payload repaired"
            rate = "3mbit"
            queue = "20ms"
        "#;
        let engine: Engine = bed.start_with(profile, Options { exclusion: Some(exclusion), ..Options::default() });
        assert_eq!(engine.exclusion(), exclusion);
        let tap = bed.tap();
        let stream = |number| if number % 2 == 0 { Stream::default() } else { Stream::IPV6 };
        bed.send_from_two(2 * SENT, GAP, |number| stream(number).frame(&bed, number));
        let outcome = engine.stop(GRACE).unwrap();
        let forward = check::forward(&outcome, 2 * SENT);
        let account = &forward.account;
        assert!(account.dropped_by(Cause::Queue) > 0 && account.dropped_by(Cause::Loss) > 0, "{account:?}");
        let releases: Vec<u64> = passed(forward).iter().map(|record| record.release().0).collect();
        assert!(releases.is_sorted(), "order was to be kept");
        let indices: BTreeSet<u64> = forward.records.iter().map(|record| record.sequence).collect();
        assert!(indices.into_iter().eq(0..2 * SENT), "each index is taken once");
        let hit = count(forward, |record| record.fate.damage.flips != 0);
        share(hit, passed(forward).len() as u64, 0.05, 1.0);
        let frames = tap.frames(account.out);
        assert_eq!(frames.len() as u64, account.out);
        assert!(frames.iter().all(|frame| frame::header_is_sound(frame) && frame::datagram_is_sound(frame)));
        bed.done();
    }
}
