//! Bottlenecks, what manages their queues, policers, and slots: each against a reference of its own over the recorded
//! arrivals.

use std::collections::VecDeque;
use std::time::Duration;

use shaper_common::fate::Cause;
use shaper_common::layout::Record;
use shaper_engine::DirectionOutcome;

use crate::bed::{Bed, GRACE};
use crate::check::{self, count, passed};
use crate::frame::{self, Stream};

const GAP: Duration = Duration::from_micros(200);
const SENT: u64 = 2_500;
const MS: u64 = 1_000_000;
/// Less than half of what is sent: 542 bytes every 200 us are 21.7 Mbit/s.
const RATE: u64 = 8_000_000;

/// Longer packets, for a link of more than a few packets a second.
const STREAM: Stream = Stream {
    is_ipv6: false,
    vlan: None,
    ecn: frame::NOT_ECT,
    from_port: 4000,
    to_port: crate::bed::PORT,
    group: None,
    payload: 500,
};

/// Sends through such a link, and sees that what went on arrives in its order.
fn through(profile: &str, stream: Stream, look: impl FnOnce(&DirectionOutcome, &[Vec<u8>])) {
    let bed = Bed::new();
    let engine = bed.start(profile);
    let tap = bed.tap();
    bed.send(0..SENT, GAP, |number| stream.frame(&bed, number));
    let outcome = engine.stop(GRACE).unwrap();
    let forward = check::forward(&outcome, SENT);
    let frames = tap.frames(forward.account.out);
    let numbers: Vec<u64> = frames.iter().map(|frame| frame::number(frame)).collect();
    let went_on: Vec<u64> = passed(forward).iter().map(|record| record.sequence).collect();
    assert_eq!(numbers, went_on);
    look(forward, &frames);
    bed.done();
}

/// The time of a packet's bits at [`RATE`]: a whole number of nanoseconds.
fn service(record: &Record) -> u64 {
    u64::from(record.packet.len) * 8_000_000_000 / RATE
}

#[test]
fn a_policer_lets_pass_what_its_bucket_holds() {
    through("policer = \"8mbit burst 20kB\"", STREAM, |forward, _| {
        // The bucket by its content, in nanoseconds of the rate.
        const DEPTH: u64 = 20 * MS;
        let (mut tokens, mut last) = (DEPTH, 0);
        for record in &forward.records {
            tokens = DEPTH.min(tokens.saturating_add(record.arrival().0 - last));
            last = record.arrival().0;
            let conforms = tokens >= service(record);
            let expected = if conforms { Cause::None } else { Cause::Policer };
            assert_eq!(record.cause(), Some(expected), "{}", record.sequence);
            if conforms {
                tokens -= service(record);
                assert_eq!(record.release(), record.arrival(), "nothing waits");
            }
        }
        let policed = forward.account.dropped_by(Cause::Policer);
        assert!(policed > SENT / 4, "{policed}");
    });
}

#[test]
fn a_queue_in_packets_holds_that_many() {
    through("rate = \"8mbit\"\nqueue = \"10p\"", STREAM, |forward, _| {
        let mut queue = VecDeque::new();
        for record in &forward.records {
            let arrival = record.arrival().0;
            while queue.front().is_some_and(|through| *through <= arrival) {
                queue.pop_front();
            }
            if queue.len() < 10 {
                let begins = queue.back().copied().unwrap_or(arrival);
                queue.push_back(begins + service(record));
                let release = queue.back().copied().unwrap();
                assert_eq!((record.cause(), record.release().0), (Some(Cause::None), release), "{}", record.sequence);
            } else {
                assert_eq!(record.cause(), Some(Cause::Queue), "{}", record.sequence);
            }
        }
        assert!(forward.account.dropped_by(Cause::Queue) > SENT / 4, "{:?}", forward.account);
    });
}

#[test]
fn a_link_of_cells_serves_whole_ones_with_their_headers() {
    // 480 bytes are ten cells, one byte more is eleven, and so on to thirteen.
    let stream = |number: u64| Stream { payload: 438 + (number % 100) as usize, ..STREAM };
    let bed = Bed::new();
    let engine = bed.start("rate = \"8mbit\"\nqueue = \"5s\"\ncell = \"48B 5B\"");
    let tap = bed.tap();
    bed.send(0..SENT, GAP, |number| stream(number).frame(&bed, number));
    let outcome = engine.stop(GRACE).unwrap();
    let forward = check::forward(&outcome, SENT);
    let lengths: Vec<u64> = tap.frames(SENT).iter().map(|frame| frame.len() as u64).collect();
    assert!(lengths.iter().copied().eq((0..SENT).map(|number| 480 + number % 100)), "all of them, in their order");
    let mut free = 0;
    let mut by_cells = [0u64; 4];
    for (record, length) in forward.records.iter().zip(lengths) {
        let cells = length.div_ceil(48);
        free = record.arrival().0.max(free) + cells * 53 * 8_000_000_000 / RATE;
        assert_eq!((record.cause(), record.release().0), (Some(Cause::None), free), "{length} bytes, {cells} cells");
        by_cells[cells as usize - 10] += 1;
    }
    assert!(by_cells.iter().all(|packets| *packets >= SENT / 100), "{by_cells:?}");
    // 2500 packets of about 12 cells take 1.5 s, and came in half a second.
    let last = forward.records.last().unwrap();
    assert!(free > last.arrival().0 + 500 * MS, "the queue was never empty");
    bed.done();
}

#[test]
fn codel_drops_or_marks_once_the_queue_has_stood_for_an_interval() {
    const PROFILE: &str = "rate = \"8mbit\"\nqueue = \"2s\"\naqm = \"codel\"\necn = true";
    // RFC 8289: nothing until the sojourn has been above 5 ms for 100 ms, and then more and more often.
    let first = |forward: &DirectionOutcome, acts: &dyn Fn(&Record) -> bool| {
        let since = forward.records[0].arrival().0;
        let acted: Vec<u64> =
            forward.records.iter().filter(|record| acts(record)).map(|record| record.arrival().0 - since).collect();
        assert!(acted.len() >= 5, "{acted:?}");
        // As its drops are decided when a packet comes, for the time when it will be served.
        let sojourn = |record: &Record| record.before.bottleneck.free_at.0.saturating_sub(record.arrival().0);
        let above = forward.records.iter().find(|record| sojourn(record) >= 5 * MS).unwrap();
        let at = forward.records.iter().find(|record| acts(record)).unwrap();
        let served = |record: &Record| record.arrival().0 + sojourn(record);
        assert!(served(at) >= served(above) + 100 * MS, "{} and {}", served(above), served(at));
    };
    through(PROFILE, STREAM, |forward, _| {
        first(forward, &|record| record.cause() == Some(Cause::Aqm));
        let account = &forward.account;
        assert_eq!(account.arrived, account.out + account.dropped_by(Cause::Aqm), "{account:?}");
    });
    through(PROFILE, Stream { ecn: frame::ECT_0, ..STREAM }, |forward, frames| {
        first(forward, &|record| record.fate.marked != 0);
        assert_eq!(forward.account.out, SENT, "what can be marked is not dropped");
        let marked = frames.iter().filter(|frame| frame::ecn(frame) == frame::CE).count() as u64;
        assert_eq!(marked, count(forward, |record| record.fate.marked != 0));
        assert!(frames.iter().all(|frame| frame::header_is_sound(frame) && frame::datagram_is_sound(frame)));
    });
}

#[test]
fn packets_leave_in_slots_and_no_more_in_one_than_it_takes() {
    through("slot = \"8ms packets 50\"", STREAM, |forward, _| {
        let mut slots: Vec<(u64, u64)> = Vec::new();
        for release in passed(forward).iter().map(|record| record.release().0) {
            match slots.last_mut() {
                Some((opens, packets)) if *opens == release => *packets += 1,
                _ => slots.push((release, 1)),
            }
        }
        assert!(slots.windows(2).all(|pair| pair[1].0 >= pair[0].0 + 8 * MS), "{slots:?}");
        assert!(slots.iter().all(|(_, packets)| *packets <= 50), "{slots:?}");
        // 40 packets come from one slot to the next.
        assert!(slots.len() as u64 >= SENT / 50 && slots.iter().any(|(_, packets)| *packets > 20), "{slots:?}");
        assert_eq!(forward.account.out, SENT);
    });
}
