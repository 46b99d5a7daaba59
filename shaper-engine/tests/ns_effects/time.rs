//! When packets leave: distributions, correlation, outages, and settings that change.

use std::collections::BTreeMap;
use std::time::Duration;

use shaper_common::fate::Cause;
use shaper_common::layout::Record;
use shaper_engine::DirectionOutcome;

use crate::bed::{Bed, GRACE, begin};
use crate::check::{self, count, mean, passed, share};
use crate::frame::{self, Stream};

const GAP: Duration = Duration::from_micros(250);
const SENT: u64 = 4_000;
const MS: u64 = 1_000_000;

/// Sends through such a link from its start on, and sees that all that went on arrives. Returns the start with what
/// `look` makes of the direction.
fn through<T>(profile: &str, sent: u64, look: impl FnOnce(&DirectionOutcome, u64) -> T) -> T {
    let bed = Bed::new();
    let mut engine = bed.start(profile);
    let tap = bed.tap();
    let start = begin(&mut engine);
    bed.send(0..sent, GAP, |number| Stream::default().frame(&bed, number));
    let outcome = engine.stop(GRACE).unwrap();
    let forward = check::forward(&outcome, sent);
    let mut numbers: Vec<u64> = tap.frames(forward.account.out).iter().map(|frame| frame::number(frame)).collect();
    numbers.sort_unstable();
    let went_on: Vec<u64> = passed(forward).iter().map(|record| record.sequence).collect();
    assert_eq!(numbers, went_on, "each once");
    let looked = look(forward, start.0);
    bed.done();
    looked
}

/// In nanoseconds.
fn delay(record: &Record) -> f64 {
    (record.release().0 - record.arrival().0) as f64
}

#[test]
fn delays_follow_a_table() {
    let profile = "delay = \"20ms\"\njitter = \"4ms\"\ndistribution = \"pareto\"";
    through(profile, SENT, |forward, _| {
        for p in [0.05f64, 0.25, 0.5, 0.75, 0.95, 0.99] {
            // Shape 3, moved to mean 0 and a standard deviation of 1.
            let quantile = ((1.0 - p).powf(-1.0 / 3.0) - 1.5) / 0.75f64.sqrt();
            let below = count(forward, |record| delay(record) <= 20e6 + 4e6 * quantile);
            share(below, SENT, p, 1.0);
        }
    });
}

#[test]
fn jitter_is_correlated_over_the_time_that_was_asked_for() {
    const SIGMA: f64 = 4e6;
    const TIME: f64 = 10e6;
    let profile = "delay = \"40ms\"\njitter = \"4ms\"\ndistribution = \"normal\"\ncorrelation_time = \"10ms\"";
    through(profile, SENT, |forward, _| {
        // What is new in each packet of an Ornstein-Uhlenbeck process is independent and as wide as what the time since
        // the last one has left over.
        let mut squares = 0.0;
        for pair in forward.records.windows(2) {
            let [old, new] = [0, 1].map(|at| (delay(&pair[at]) - 40e6) / SIGMA);
            let kept = (-((pair[1].arrival().0 - pair[0].arrival().0) as f64) / TIME).exp();
            squares += (new - kept * old).powi(2) / (1.0 - kept * kept);
        }
        // A sum of n squares has the variance 2n.
        let n = (SENT - 1) as f64;
        mean(squares / n, 1.0, (2.0 / n).sqrt());
    });
}

#[test]
fn an_outage_takes_what_arrives_in_it_and_what_is_on_its_way() {
    let profile = r#"
        delay = "30ms"
        [outages]
        held = "lost"
        scheduled = [{ at = "300ms", length = "100ms" }]
    "#;
    through(profile, SENT, |forward, start| {
        let (from, to) = (start + 300 * MS, start + 400 * MS);
        for record in &forward.records {
            let arrival = record.arrival().0;
            let expected = if (from..to).contains(&arrival) {
                Cause::Outage
            } else if arrival < from && arrival + 30 * MS >= from {
                Cause::InFlight
            } else {
                Cause::None
            };
            assert_eq!(record.cause(), Some(expected), "{} us after the start", (arrival - start) / 1_000);
        }
        let account = &forward.account;
        assert!(account.dropped_by(Cause::Outage) > 0 && account.dropped_by(Cause::InFlight) > 0, "{account:?}");
    });
}

#[test]
fn settings_change_at_their_time_and_queue_and_indices_go_on() {
    const RATE: u64 = 5_000_000;
    let profile = r#"
        delay = "5ms"
        rate = "5mbit"
        queue = "2s"
        [[change]]
        at = "200ms"
        delay = "25ms"
        [[change]]
        at = "500ms"
        delay = "15ms"
    "#;
    through(profile, SENT, |forward, start| {
        let mut free = 0;
        let mut by_delay = [0u64; 3];
        for (sequence, record) in (0..).zip(&forward.records) {
            assert_eq!(record.sequence, sequence);
            let arrival = record.arrival().0;
            // A packet begins no earlier than the last one is through, under whichever settings that came.
            let begins = arrival.max(free);
            let nanobits = u64::from(record.packet.len) * 8_000_000_000;
            let which = [200, 500].iter().filter(|at| arrival >= start + *at * MS).count();
            let delay = [5, 25, 15][which] * MS;
            let through = record.release().0 - delay;
            let service = nanobits / RATE;
            assert!((service..=service + 1).contains(&(through - begins)), "{sequence}: {}", through - begins);
            free = through;
            by_delay[which] += 1;
        }
        assert!(by_delay.iter().all(|packets| *packets > 100), "{by_delay:?}");
        let last = forward.records.last().unwrap();
        assert!(free > last.arrival().0 + 10 * MS, "the queue was never empty");
    });
}

#[test]
fn changes_with_a_loop_begin_anew_with_the_settings_at_the_top() {
    const ROUND: u64 = 250 * MS;
    let profile = r#"
        delay = "5ms"
        loop = "250ms"
        [[change]]
        at = "100ms"
        delay = "25ms"
        [[change]]
        at = "200ms"
        loss = "100%"
    "#;
    through(profile, SENT, |forward, start| {
        // Packets of each round by what held.
        let mut rounds = BTreeMap::new();
        for record in &forward.records {
            // What comes before the start goes by the settings at the top as well.
            let since = record.arrival().0.saturating_sub(start);
            let which = [100, 200].iter().filter(|at| since % ROUND >= *at * MS).count();
            let expected = match which {
                0 => (Cause::None, 5 * MS),
                1 => (Cause::None, 25 * MS),
                _ => (Cause::Loss, 0),
            };
            let got = (record.cause().unwrap(), record.release().0.saturating_sub(record.arrival().0));
            assert_eq!(got, expected, "{} us after the start", since / 1_000);
            rounds.entry(since / ROUND).or_insert([0u64; 3])[which] += 1;
        }
        // 4000 packets take a second at least, which is four rounds.
        let whole = rounds.values().filter(|packets| packets.iter().all(|packets| *packets > 0)).count();
        let of_each = [0, 1, 2].map(|which| rounds.values().map(|packets| packets[which]).sum::<u64>());
        assert!(whole >= 2 && of_each.iter().all(|packets| *packets > 100), "{rounds:?}");
    });
}
