//! Rules and flows: each packet by its own settings, and each rule with counts of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use shaper_common::fate::Cause;
use shaper_engine::DirectionOutcome;

use crate::bed::{Bed, GRACE};
use crate::check::{self, count, share};
use crate::frame::{self, Stream};

const GAP: Duration = Duration::from_micros(200);
const SENT: u64 = 4_500;

/// What a rule's own counts must be by the records.
fn counted(forward: &DirectionOutcome) {
    let mut by_rules = 0;
    for (number, (packets, counts)) in (1..).zip(&forward.by_rule) {
        let of = |cause| count(forward, |record| record.rule == number && record.cause() == Some(cause));
        assert_eq!(*packets, count(forward, |record| record.rule == number), "rule {number}");
        assert_eq!((counts.forwarded, counts.loss), (of(Cause::None), of(Cause::Loss)), "rule {number}");
        assert_eq!((counts.queue, counts.outage), (of(Cause::Queue), of(Cause::Outage)), "rule {number}");
        let copies = forward.records.iter().filter(|record| record.rule == number).map(|record| record.fate.copies);
        assert_eq!(counts.copies, copies.map(u64::from).sum::<u64>(), "rule {number}");
        by_rules += packets;
    }
    let of_none = count(forward, |record| record.rule == 0);
    assert_eq!(by_rules + of_none, forward.account.arrived, "every packet goes by one rule or by none");
}

/// Frames by the port that they went to.
fn by_port(frames: &[Vec<u8>]) -> BTreeMap<u16, u64> {
    let mut all = BTreeMap::new();
    for frame in frames.iter().filter(|frame| frame::ethertype(frame) != frame::ARP) {
        *all.entry(frame::ports(frame).1).or_insert(0) += 1;
    }
    all
}

#[test]
fn each_port_goes_by_its_own_rule_and_control_packets_by_none() {
    const REQUESTS: u64 = 50;
    let bed = Bed::new();
    let engine = bed.start(
        r#"
        delay = "3ms"
        [[rule]]
        match = "udp port 9001"
        loss = "20%"
        delay = "1ms"
        [[rule]]
        match = "udp dst port 9002"
        duplicate = "20%"
        [[rule]]
        match = "tcp"
        loss = "100%"
    "#,
    );
    let tap = bed.tap();
    let third = SENT / 3;
    let to = |number: u64| 9_000 + (number % 3) as u16;
    let stream = |number| match number % 2 {
        0 => Stream { to_port: to(number), ..Stream::default() },
        _ => Stream { to_port: to(number), ..Stream::IPV6 },
    };
    bed.send(0..SENT, GAP, |number| stream(number).frame(&bed, number));
    bed.send(0..REQUESTS, GAP, |_| frame::arp(&bed));
    let outcome = engine.stop(GRACE).unwrap();
    let forward = check::forward(&outcome, SENT);
    counted(forward);
    let [(first, lossy), (second, doubling), (tcp, _)] = forward.by_rule[..] else { unreachable!("three rules") };
    assert_eq!((first, second, tcp), (third, third, 0));
    share(lossy.loss, third, 0.2, 1.0);
    share(doubling.copies, third, 0.2, 1.0);
    let delays = [3_000_000, 1_000_000, 0];
    for record in forward.records.iter().filter(|record| record.cause() == Some(Cause::None)) {
        assert_eq!(record.release().0 - record.arrival().0, delays[record.rule as usize], "rule {}", record.rule);
    }
    let account = &forward.account;
    assert_eq!((account.dropped_by(Cause::Loss), account.copies), (lossy.loss, doubling.copies));
    assert!(account.bypassed >= REQUESTS, "{account:?}");
    let frames = tap.frames(account.out + REQUESTS);
    let expected = [(9_000, third), (9_001, third - lossy.loss), (9_002, third + doubling.copies)];
    assert_eq!(by_port(&frames), BTreeMap::from(expected));
    let requests = frames.iter().filter(|frame| frame::ethertype(frame) == frame::ARP).count() as u64;
    assert_eq!((requests, frames.len() as u64), (REQUESTS, account.out + REQUESTS));
    bed.done();
}

#[test]
fn control_packets_are_impaired_by_the_rule_that_names_them_alone() {
    const REQUESTS: u64 = 400;
    for (rule, is_named) in [("arp", true), ("not udp", false)] {
        let bed = Bed::new();
        let engine = bed.start(&format!("[[rule]]\nmatch = \"{rule}\"\nloss = \"50%\""));
        let tap = bed.tap();
        let udp = |number| Stream::default().frame(&bed, number);
        bed.send(0..2 * REQUESTS, GAP, |number| if number % 2 == 0 { frame::arp(&bed) } else { udp(number) });
        let outcome = engine.stop(GRACE).unwrap();
        let direction = &outcome.directions[0];
        // The host may ask for an address by itself, and by the rule that is impaired as well.
        let [(matched, counts)] = direction.by_rule[..] else { unreachable!("one rule") };
        let forward = check::forward(&outcome, REQUESTS + matched);
        counted(forward);
        let frames = tap.frames(0);
        let arrived = frames.iter().filter(|frame| frame::ethertype(frame) == frame::ARP).count() as u64;
        assert_eq!(by_port(&frames), BTreeMap::from([(9_000, REQUESTS)]), "{rule}: UDP is not its business");
        if is_named {
            let long = |record: &shaper_common::layout::Record| record.rule == 1 && record.packet.len == 200;
            let lost = count(forward, |record| long(record) && record.cause() == Some(Cause::Loss));
            assert_eq!(count(forward, long), REQUESTS, "{rule}");
            assert_eq!(arrived, REQUESTS - lost, "{rule}");
            share(counts.loss, matched, 0.5, 1.0);
        } else {
            assert_eq!((matched, arrived), (0, REQUESTS), "{rule}");
            assert!(forward.account.bypassed >= REQUESTS, "{rule}: {:?}", forward.account);
        }
        bed.done();
    }
}

#[test]
fn each_flow_has_losses_of_its_own() {
    const FLOWS: u64 = 6;
    let bed = Bed::new();
    let engine = bed.start("scope = \"flow 64\"\nloss = \"every 10\"\ndelay = \"1ms\"");
    let tap = bed.tap();
    // Flow 0 has half of the packets, flow 1 half of what is left, and so on: so that no count of all packets would
    // lose the tenth of each.
    let flow = |number: u64| u64::from((number + 1).trailing_zeros()).min(FLOWS - 1);
    let stream = |number: u64| Stream { from_port: 5_000 + flow(number) as u16, ..Stream::default() };
    bed.send(0..SENT, GAP, |number| stream(number).frame(&bed, number));
    let outcome = engine.stop(GRACE).unwrap();
    let forward = check::forward(&outcome, SENT);
    let mut sent = BTreeMap::new();
    let mut arrive = Vec::new();
    for number in 0..SENT {
        let index = sent.entry(flow(number)).or_insert(0u64);
        *index += 1;
        if *index % 10 != 0 {
            arrive.push(number);
        }
    }
    assert_eq!(sent.len() as u64, FLOWS);
    assert_eq!(forward.account.dropped_by(Cause::Loss), sent.values().map(|packets| packets / 10).sum::<u64>());
    let numbers: Vec<u64> = tap.frames(forward.account.out).iter().map(|frame| frame::number(frame)).collect();
    assert_eq!(numbers, arrive);
    bed.done();
}
