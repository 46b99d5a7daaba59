//! CoDel against RFC 8289 section 5, run on a real queue as it is emptied.

use std::collections::VecDeque;

use proptest::prelude::*;
use shaper_common::aqm::codel::{AWAITING, Codel, CodelSettings, acts, control_law};
use shaper_common::units::Nanos;

use crate::load::{Arrival, FULL, MILLI, SECOND, differences, on_off, poisson, share};

/// Which packets are exempt because the queue is short.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Short {
    /// As in the RFC: those that leave no more than one full packet behind.
    Behind,
    /// As here: those that waited for no more than one full packet.
    Ahead,
}

/// When the next drop follows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Law {
    /// By floating point, on a clock of whole nanoseconds.
    Float,
    /// By the function under test.
    Integer,
}

/// The RFC's `codel_queue_t` and the link that empties it. Times are nanoseconds.
struct Reference {
    short: Short,
    law: Law,
    settings: CodelSettings,
    per_byte: f64,
    target: f64,
    interval: f64,
    queue: VecDeque<(usize, f64, u32)>,
    bytes: u32,
    link_free: f64,
    dropped: Vec<bool>,
    first_above_time: f64,
    drop_next: f64,
    count: u32,
    lastcount: u32,
    dropping: bool,
    resumed: u32,
}

impl Reference {
    fn do_dequeue(&mut self, now: f64) -> (Option<(usize, f64, u32)>, bool) {
        let Some(packet) = self.queue.pop_front() else {
            self.first_above_time = 0.0;
            return (None, false);
        };
        self.bytes -= packet.2;
        let sojourn_time = now - packet.1;
        let is_short = match self.short {
            Short::Behind => self.bytes <= FULL,
            Short::Ahead => sojourn_time <= f64::from(FULL) * self.per_byte,
        };
        let mut ok_to_drop = false;
        if sojourn_time < self.target || is_short {
            self.first_above_time = 0.0;
        } else if self.first_above_time == 0.0 {
            self.first_above_time = now + self.interval;
        } else if now >= self.first_above_time {
            ok_to_drop = true;
        }
        (Some(packet), ok_to_drop)
    }

    fn control_law(&self, t: f64, count: u32) -> f64 {
        match self.law {
            Law::Float => (t + self.interval / f64::from(count).sqrt()).round(),
            Law::Integer => control_law(&self.settings, Nanos(t as u64), count).0 as f64,
        }
    }

    fn drop_packet(&mut self, packet: Option<(usize, f64, u32)>) {
        self.dropped[packet.unwrap().0] = true;
    }

    fn dequeue(&mut self, now: f64) -> Option<(usize, f64, u32)> {
        let (mut packet, mut ok_to_drop) = self.do_dequeue(now);
        if self.dropping {
            if !ok_to_drop {
                self.dropping = false;
            }
            while now >= self.drop_next && self.dropping {
                self.drop_packet(packet);
                self.count += 1;
                (packet, ok_to_drop) = self.do_dequeue(now);
                if ok_to_drop {
                    self.drop_next = self.control_law(self.drop_next, self.count);
                } else {
                    self.dropping = false;
                }
            }
        } else if ok_to_drop {
            self.drop_packet(packet);
            packet = self.do_dequeue(now).0;
            self.dropping = true;
            let delta = i64::from(self.count) - i64::from(self.lastcount);
            self.count = 1;
            if delta > 1 && now - self.drop_next < 16.0 * self.interval {
                self.count = delta as u32;
                self.resumed += 1;
            }
            self.drop_next = self.control_law(now, self.count);
            self.lastcount = self.count;
        }
        packet
    }

    /// Lets the link work until a moment.
    fn run_until(&mut self, now: f64) {
        while self.link_free <= now {
            match self.dequeue(self.link_free) {
                Some((_, _, len)) => self.link_free += f64::from(len) * self.per_byte,
                None => return,
            }
        }
    }

    fn run(settings: &CodelSettings, short: Short, law: Law, per_byte: u64, arrivals: &[Arrival]) -> Self {
        let mut reference = Self {
            short,
            law,
            settings: *settings,
            per_byte: per_byte as f64,
            target: settings.target.0 as f64,
            interval: settings.interval.0 as f64,
            queue: VecDeque::new(),
            bytes: 0,
            link_free: 0.0,
            dropped: vec![false; arrivals.len()],
            first_above_time: 0.0,
            drop_next: 0.0,
            count: 0,
            lastcount: 0,
            dropping: false,
            resumed: 0,
        };
        for (index, arrival) in arrivals.iter().enumerate() {
            let now = arrival.at as f64;
            reference.run_until(now);
            reference.queue.push_back((index, now, arrival.len));
            reference.bytes += arrival.len;
            if reference.link_free <= now {
                reference.link_free = now;
                reference.run_until(now);
            }
        }
        reference.run_until(f64::INFINITY);
        reference
    }
}

/// Which packets the function drops, asked at each arrival.
fn decided(settings: &CodelSettings, per_byte: u64, arrivals: &[Arrival]) -> Vec<bool> {
    let mut state = Codel::default();
    let mut free_at = 0;
    arrivals
        .iter()
        .map(|arrival| {
            let dequeue = free_at.max(arrival.at);
            let sojourn = dequeue - arrival.at;
            let is_short = sojourn <= u64::from(FULL) * per_byte;
            let drops = acts(settings, &mut state, Nanos(dequeue), Nanos(sojourn), is_short);
            free_at = if drops { free_at } else { dequeue + u64::from(arrival.len) * per_byte };
            drops
        })
        .collect()
}

/// What is offered, to links of 1 Mbit/s (where a full packet takes longer than the target), 8 and 100 Mbit/s.
fn loads() -> impl Iterator<Item = (String, u64, Vec<Arrival>)> {
    [8_000, 1_000, 80].into_iter().flat_map(|per_byte| {
        let steady = [1.05, 2.0, 10.0].map(move |load| {
            (format!("{load} times the rate, {per_byte} ns a byte"), per_byte, poisson(7, load, per_byte, 200_000))
        });
        let pauses = [(2.0, 400, 50), (3.0, 300, 400), (1.2, 1_000, 1_000)].map(move |(load, on, off)| {
            let arrivals = on_off(11, load, per_byte, 200_000, on * MILLI, off * MILLI);
            (format!("{load} times for {on} ms, {off} ms off, {per_byte} ns a byte"), per_byte, arrivals)
        });
        steady.into_iter().chain(pauses)
    })
}

#[test]
fn packets_are_dropped_as_by_the_rfc_on_a_real_queue() {
    let settings = CodelSettings::default();
    let mut resumed = 0;
    for (what, per_byte, arrivals) in loads() {
        let reference = Reference::run(&settings, Short::Ahead, Law::Integer, per_byte, &arrivals);
        let decided = decided(&settings, per_byte, &arrivals);
        assert!(share(&decided) > 0.0005, "{what}: {} dropped", share(&decided));
        let first = decided.iter().zip(&reference.dropped).position(|(left, right)| left != right);
        assert_eq!(first, None, "{what}: {} differ", differences(&decided, &reference.dropped));
        resumed += reference.resumed;
    }
    assert!(resumed > 100, "drop states entered again shortly after: {resumed}");
}

#[test]
fn rounding_the_control_law_decides_next_to_nothing() {
    // A nanosecond of rounding in a hundred drops now and then makes it the next packet's turn.
    let settings = CodelSettings::default();
    let mut identical = 0;
    for (what, per_byte, arrivals) in loads() {
        let reference = Reference::run(&settings, Short::Ahead, Law::Float, per_byte, &arrivals);
        let decided = decided(&settings, per_byte, &arrivals);
        let (ours, theirs) = (share(&decided), share(&reference.dropped));
        assert!((ours - theirs).abs() < 0.001, "{what}: {ours} and {theirs} dropped");
        identical += usize::from(decided == reference.dropped);
    }
    assert!(identical >= 15, "{identical} of 18 loads to the packet");
}

#[test]
fn what_is_exempt_as_a_short_queue_changes_drops_by_less_than_a_hundredth() {
    let settings = CodelSettings::default();
    let mut identical = 0;
    for (what, per_byte, arrivals) in loads() {
        let reference = Reference::run(&settings, Short::Behind, Law::Integer, per_byte, &arrivals);
        let decided = decided(&settings, per_byte, &arrivals);
        let (ours, theirs) = (share(&decided), share(&reference.dropped));
        assert!((ours - theirs).abs() < 0.01, "{what}: {ours} and {theirs} dropped");
        // Where the queue stands for long and a full packet takes less than the target it decides nothing.
        identical += usize::from(decided == reference.dropped);
    }
    assert!(identical >= 5, "{identical} loads to the packet");
}

#[test]
fn marks_of_a_standing_queue_follow_the_control_law() {
    let settings = CodelSettings::default();
    let mut state = Codel::default();
    // One packet is served each millisecond, each having waited for 50 ms.
    let marks: Vec<u64> = (0..200_000)
        .map(|number| SECOND + number * MILLI)
        .filter(|dequeue| acts(&settings, &mut state, Nanos(*dequeue), Nanos(50 * MILLI), false))
        .collect();
    let mut due = (SECOND + 100 * MILLI) as f64;
    let mut expected = vec![due as u64];
    let mut count = 1;
    let mut earliest = due;
    loop {
        due += 1e8 / f64::from(count).sqrt();
        // Each mark takes a packet of its own.
        earliest = ((due / 1e6).ceil() * 1e6).max(earliest + 1e6);
        if earliest >= (SECOND + 200_000 * MILLI) as f64 {
            break;
        }
        expected.push(earliest as u64);
        count += 1;
    }
    assert!(marks.len() > 10_000, "{} marks", marks.len());
    assert_eq!(marks, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_settings_state_and_times_give_an_answer(
        (target, interval) in any::<(u64, u64)>(),
        (first_above, drop_next, count, last_count) in any::<(u64, u64, u32, u32)>(),
        dropping in 0..=AWAITING,
        packets in prop::collection::vec((any::<u64>(), any::<u64>(), any::<bool>()), 1..50),
    ) {
        let settings = CodelSettings { target: Nanos(target), interval: Nanos(interval) };
        let mut state = Codel {
            first_above: Nanos(first_above),
            drop_next: Nanos(drop_next),
            count,
            last_count,
            dropping,
            _reserved: 0,
        };
        for (dequeue, sojourn, is_short) in packets {
            let drops = acts(&settings, &mut state, Nanos(dequeue), Nanos(sojourn), is_short);
            prop_assert!(state.dropping <= AWAITING);
            prop_assert!(!drops || (sojourn >= target && !is_short));
            prop_assert!(control_law(&settings, Nanos(dequeue), state.count) >= Nanos(dequeue));
        }
    }
}
