//! What is an engine's own to get wrong: order, copies, room, and packets that are changed. Both engines are asked the same.

use std::io::IoSliceMut;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::cmsg_space;
use nix::libc;
use nix::sys::socket::sockopt::{ReceiveTimestampns, SndBuf};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt};

use shaper_common::chance::Chance;
use shaper_common::delay::Jitter;
use shaper_common::duplicate::Duplicate;
use shaper_common::fate::Cause;
use shaper_common::layout::Params;
use shaper_common::order::Order;
use shaper_common::units::{Nanos, Probability};
use shaper_engine::{DirectionOutcome, DirectionSpec, EngineKind};
use shaper_profile::Compile;

use crate::bed::{A, B, Bed, DEVICE, GRACE, PORT};
use crate::check;

const MS: u64 = 1_000_000;
/// Apart by so much, packets with 15 ms of jitter overtake each other all the time.
const GAP: Duration = Duration::from_millis(1);

fn jitter(order: Order) -> Params {
    Params {
        seed: 11,
        delay: Nanos(20 * MS),
        jitter: Nanos(15 * MS),
        jitter_kind: Jitter::Uniform as u32,
        order: order as u32,
        ..Params::default()
    }
}

/// Impairs what leaves `a`, sends a stream, and gives what came and what is known of it.
fn streamed(
    bed: &Bed,
    engine: EngineKind,
    egress: Params,
    count: u32,
    bytes: usize,
    gap: Duration,
) -> (Vec<u32>, DirectionOutcome) {
    let running = bed.shape(engine, Some(egress), None);
    let came = bed.stream(count, bytes, gap);
    let mut outcome = running.stop(GRACE).unwrap();
    check(&outcome);
    (came, outcome.directions.swap_remove(0))
}

/// Packets behind one that was sent later.
fn overtaken(came: &[u32]) -> usize {
    let mut highest = 0;
    came.iter()
        .filter(|number| {
            let is_late = **number < highest;
            highest = highest.max(**number);
            is_late
        })
        .count()
}

#[test]
fn free_order_has_the_configured_delays_and_kept_order_reorders_nothing() {
    let bed = Bed::new();
    for engine in bed.engines() {
        let (came, out) = streamed(&bed, engine, jitter(Order::Free), 400, 64, GAP);
        let late = |rank: f64| out.lateness.value_at_quantile(rank);
        println!(
            "{}: {} of {} overtaken; late by {} ns in the median, {} at 99 %",
            engine.name(),
            overtaken(&came),
            came.len(),
            late(0.5),
            late(0.99)
        );
        // Each by its own time, whatever waits in front of it: an engine that keeps flows in order holds back half of the
        // packets, by 10 ms and more.
        assert!(overtaken(&came) > 250, "{}", overtaken(&came));
        assert!(late(0.5) < 5 * MS, "{} ns", late(0.5));
        // What was sent last of all comes in between.
        assert_eq!(came.len(), 400);

        let (came, out) = streamed(&bed, engine, jitter(Order::Keep), 400, 64, GAP);
        assert_eq!((overtaken(&came), came.len()), (0, 400), "{}", engine.name());
        assert!(out.releases.is_sorted_by_key(|release| release.intended), "{}", engine.name());
        assert!(out.lateness.value_at_quantile(0.5) < 5 * MS);
    }
    bed.done();
}

#[test]
fn a_socket_that_is_connected_is_neither_kept_in_order_nor_slowed_down() {
    let bed = Bed::new();
    for engine in bed.engines() {
        let running = bed.shape(engine, Some(jitter(Order::Free)), None);
        let sender = bed.a.run(|| UdpSocket::bind((A, 0)).unwrap()).unwrap();
        sender.connect((B, PORT)).unwrap();
        // Of what is held nothing may stand in its way: this is room for a few packets.
        setsockopt(&sender, SndBuf, &4096).unwrap();
        let came = bed.stream_from(&sender, 400, 64, GAP);
        let outcome = running.stop(GRACE).unwrap();
        check(&outcome);
        let out = &outcome.directions[0];
        println!("{}: {} of {} overtaken", engine.name(), overtaken(&came), came.len());
        assert!(overtaken(&came) > 250, "{}: {}", engine.name(), overtaken(&came));
        assert!(out.lateness.value_at_quantile(0.5) < 5 * MS, "{}", engine.name());
    }
    bed.done();
}

#[test]
fn rules_keep_out_of_each_other_s_way_and_tags_are_seen() {
    const RULES: &str = "[[rule]]\nmatch = \"udp port 7009\"\ndelay = \"300ms\"\njitter = \"2ms\"\n\
                         [[rule]]\nmatch = \"udp port 7008\"\ndelay = \"10ms\"\njitter = \"2ms\"\n\
                         [[rule]]\nmatch = \"vlan 5\"\nloss = \"100%\"\n";
    let bed = Bed::new();
    let profile = shaper_profile::presets::parse("rules", "rules", RULES).unwrap();
    let horizon = shaper_profile::quantity::Duration::from_millis(60_000);
    let compiled = profile.link.compile(&Compile { seed: 1, link: 0, horizon }).unwrap().a_to_b;
    for engine in bed.engines() {
        let (channel, rules) = (compiled.channel.clone(), compiled.rules.clone());
        let running = bed.shape_by_rules(engine, DirectionSpec { channel, rules, ..DirectionSpec::default() });
        let far = bed.a.run(|| UdpSocket::bind((A, 0)).unwrap()).unwrap();
        let tagged = bed.a.run(|| pcap::Capture::from_device(DEVICE).unwrap().open().unwrap()).unwrap();
        let mut tagged = tagged;
        // An IPv4 header behind a tag: 802.1Q, VLAN 5.
        let mut frame =
            vec![2, 0, 0, 0, 0, 7, 2, 0, 0, 0, 0, 6, 0x81, 0, 0, 5, 8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 9, 253];
        frame.resize(64, 0);
        for _ in 0..7 {
            tagged.sendpacket(frame.as_slice()).unwrap();
        }
        let sender = bed.a.run(|| UdpSocket::bind((A, 0)).unwrap()).unwrap();
        // Side by side, with the same numbers in their rules.
        let came = std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..200 {
                    far.send_to(&[0; 64], (B, 7009)).unwrap();
                    std::thread::sleep(GAP);
                }
            });
            bed.stream_from(&sender, 200, 64, GAP)
        });
        let outcome = running.stop(GRACE).unwrap();
        check(&outcome);
        let out = &outcome.directions[0];
        let matched: Vec<u64> = out.by_rule.iter().map(|(matched, _)| *matched).collect();
        println!("{}: {matched:?} matched, late by {} ns at 90 %", engine.name(), out.lateness.value_at_quantile(0.9));
        assert_eq!(came.len(), 200);
        assert_eq!((matched[0], matched[2]), (200, 7), "{}", engine.name());
        assert!(out.lateness.value_at_quantile(0.9) < 50 * MS, "{}", engine.name());
    }
    bed.done();
}

#[test]
fn what_arrives_is_stamped_when_it_does() {
    let bed = Bed::new();
    for engine in bed.engines() {
        let running = bed.shape(engine, None, Some(Params { seed: 1, delay: Nanos(5 * MS), ..Params::default() }));
        let receiver = bed.a.run(|| UdpSocket::bind((A, PORT)).unwrap()).unwrap();
        setsockopt(&receiver, ReceiveTimestampns, &true).unwrap();
        bed.b.run(|| UdpSocket::bind((B, 0)).unwrap().send_to(&[1], (A, PORT)).unwrap()).unwrap();
        let (mut buffer, mut space) = ([0; 16], cmsg_space!(libc::timespec));
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let got = recvmsg::<()>(receiver.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty()).unwrap();
        let stamps: Vec<i64> = got
            .cmsgs()
            .unwrap()
            .filter_map(|one| match one {
                ControlMessageOwned::ScmTimestampns(stamp) => Some(stamp.tv_sec()),
                _ => None,
            })
            .collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
        assert!(matches!(stamps[..], [stamp] if (now - stamp).abs() < 10), "{}: {stamps:?} at {now}", engine.name());
        check(&running.stop(GRACE).unwrap());
    }
    bed.done();
}

#[test]
fn a_copy_holds_nothing_back_that_comes_before_it() {
    let bed = Bed::new();
    for engine in bed.engines() {
        let chance = Chance::independent(Probability::ALWAYS);
        let duplicate = Duplicate { chance, copies: 1, spacing: Nanos(50 * MS), ..Duplicate::default() };
        let order = Order::Keep as u32;
        let egress = Params { seed: 3, delay: Nanos(5 * MS), duplicate, order, ..Params::default() };
        let (came, out) = streamed(&bed, engine, egress, 10, 64, Duration::from_millis(100));
        assert_eq!(came.len(), 20);
        assert!(out.lateness.value_at_quantile(0.5) < 20 * MS, "{}", engine.name());
    }
    bed.done();
}

#[test]
fn copies_come_and_are_counted() {
    let bed = Bed::new();
    for engine in bed.engines() {
        let duplicate = Duplicate {
            chance: Chance::independent(Probability(1 << 30)),
            copies: 3,
            spacing: Nanos(2 * MS),
            ..Duplicate::default()
        };
        let egress = Params { seed: 3, delay: Nanos(5 * MS), duplicate, ..Params::default() };
        let (came, out) = streamed(&bed, engine, egress, 200, 64, GAP);
        assert!(out.account.copies > 60, "{:?}", out.account);
        // Those of what is sent last are not in the stream.
        let twice = came.len() as u64 - 200;
        assert!(twice > 60 && out.account.copies - twice <= 9, "{twice} of {:?}", out.account);
        assert_eq!(out.copies.len() as u64, out.account.copies);
        for copy in 1..=3 {
            assert_eq!(out.copies.iter().filter(|release| release.copy == copy).count() as u64, out.account.copies / 3);
        }
    }
    bed.done();
}

#[test]
fn what_a_fast_sender_has_on_its_way_is_held_and_what_has_no_room_is_ours() {
    let bed = Bed::new();
    for engine in bed.engines() {
        // 100 Mbit/s in packets of 1400 bytes, for 100 ms: 900 of them are on their way.
        let egress = Params { seed: 5, delay: Nanos(100 * MS), ..Params::default() };
        let (_, out) = streamed(&bed, engine, egress, 4000, 1400, Duration::from_micros(112));
        // Behind the interface there is a cable, whose end takes packets in by a queue a processor: what comes out is no measure.
        assert!(out.account.dropped.is_empty() && out.account.out >= 4000, "{}: {:?}", engine.name(), out.account);
    }
    bed.done();
}

#[test]
fn where_packets_are_lost_both_engines_lose_the_same() {
    let bed = Bed::new();
    let egress = Params { seed: 21, loss: Probability(1 << 30), delay: Nanos(MS), ..Params::default() };
    let mut all = Vec::new();
    for engine in bed.engines() {
        let (_, out) = streamed(&bed, engine, egress, 500, 64, Duration::ZERO);
        let lost = out.records.iter().filter(|record| record.fate.cause == Cause::Loss as u32 && record.sequence < 500);
        all.push(lost.map(|record| record.sequence).collect::<Vec<_>>());
    }
    assert!(all.iter().all(|lost| lost.len() > 90 && *lost == all[0]), "{all:?}");
    bed.done();
}
