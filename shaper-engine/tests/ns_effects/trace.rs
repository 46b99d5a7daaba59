//! Settings that follow a trace, on real packets.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use shaper_common::fate::Cause;
use shaper_engine::DirectionOutcome;

use crate::bed::{Bed, GRACE, begin};
use crate::check::{self, passed};
use crate::frame::{self, Stream};

const MS: u64 = 1_000_000;

/// Sends through a link that follows this trace, and sees that all that went on arrives. Returns the start with what `look`
/// makes of the direction.
fn through<T>(
    trace: &str,
    also: &str,
    (sent, gap): (u64, Duration),
    look: impl FnOnce(&DirectionOutcome, u64) -> T,
) -> T {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.csv");
    std::fs::write(&path, trace).unwrap();
    let bed = Bed::new();
    let mut engine = bed.start(&profile(&path, also));
    let tap = bed.tap();
    let start = begin(&mut engine);
    bed.send(0..sent, gap, |number| Stream::default().frame(&bed, number));
    assert!(!engine.has_ended());
    let outcome = engine.stop(GRACE).unwrap();
    let forward = check::forward(&outcome, sent);
    let mut numbers: Vec<u64> = tap.frames(forward.account.out).iter().map(|frame| frame::number(frame)).collect();
    numbers.sort_unstable();
    let went_on: Vec<u64> = passed(forward).iter().map(|record| record.sequence).collect();
    assert_eq!(numbers, went_on, "each once");
    assert_eq!(forward.account.dropped_by(Cause::Trace), 0);
    let looked = look(forward, start.0);
    bed.done();
    looked
}

fn profile(trace: &Path, also: &str) -> String {
    format!("trace = \"{} loop\"\n{also}", trace.display())
}

#[test]
fn packets_leave_with_the_opportunities_of_a_trace_of_milliseconds() {
    // Each tenth millisecond serves what the link carries of three packets.
    let bed = Bed::new();
    let frame = Stream::default().frame(&bed, 0).len() as u64;
    bed.done();
    let bits = 3 * 8 * frame * 1_000;
    let rows: String = (0..=50).map(|ms| format!("{ms},{}\n", if ms % 10 == 9 { bits } else { 0 })).collect();
    let sending = (3_000, Duration::from_micros(400));
    through(&format!("time_ms,rate_bit\n{rows}"), "overhead = \"0B\"\nqueue = \"1MB\"", sending, |forward, start| {
        let mut filled = std::collections::BTreeMap::new();
        for record in passed(forward) {
            let since = record.release().0.saturating_sub(start);
            if record.arrival().0 <= start + 20 * MS {
                continue;
            }
            // Through within a millisecond of service, or with its last bit at its end.
            assert!(since % (10 * MS) >= 9 * MS || since % (10 * MS) == 0, "leaves {since} ns behind the start");
            *filled.entry((since - 1) / (10 * MS)).or_insert(0u64) += 1;
        }
        // 25 packets come in ten milliseconds, and three leave: no opportunity is left.
        let whole: Vec<u64> = filled.values().copied().skip(2).take(filled.len() - 4).collect();
        assert!(whole.len() > 100 && whole.iter().all(|packets| *packets == 3), "{whole:?}");
    });
}

#[test]
fn a_trace_longer_than_its_ring_is_brought_on_while_packets_flow() {
    // 150,000 rows of 20 us: three seconds, each with a delay of its own.
    let mut trace = String::from("time_us,delay_us\n");
    for row in 0..=150_000u64 {
        writeln!(trace, "{},{}", row * 20, 1_000 + row % 5_000).unwrap();
    }
    let sending = (16_000, Duration::from_micros(250));
    let spanned = through(&trace, "", sending, |forward, start| {
        for record in &forward.records {
            let since = record.arrival().0.saturating_sub(start);
            let row = since / 20_000 % 150_000;
            assert_eq!(record.release().0 - record.arrival().0, (1_000 + row % 5_000) * 1_000, "at {since} ns");
        }
        forward.records.last().unwrap().arrival().0 - start
    });
    // All rows, and the first ones again.
    assert!(spanned > 3_500 * MS, "sent for {spanned} ns");
}

#[test]
fn each_packet_follows_its_row() {
    let row = |number: u64| (2_000 + 37 * (number % 101), u64::from(number % 13 == 5));
    let rows: String = (0..500).map(row).map(|(delay, lost)| format!("{delay},{lost}\n")).collect();
    let sending = (4_000, Duration::from_micros(250));
    through(&format!("delay_us,lost\n{rows}"), "", sending, |forward, _| {
        for record in &forward.records {
            let (delay, lost) = row(record.sequence % 500);
            if lost == 1 {
                assert_eq!(record.cause(), Some(Cause::Loss));
            } else {
                assert_eq!(record.release().0 - record.arrival().0, delay * 1_000);
            }
        }
        let lost = (0..4_000).filter(|number| row(number % 500).1 == 1).count() as u64;
        assert_eq!(forward.account.dropped_by(Cause::Loss), lost);
    });
}
