//! Whole runs: what must hold for every peer under loss, delay, outages and company.

use super::*;
use crate::burst::BurstConfig;
use crate::config::LateCommands;
use crate::log::ForeignReason;
use crate::plan;
use crate::score::{
    Asymmetry, CommandTimes, Grade, OutageWindow, PeerScore, Score, ScoreConfig, SyncGrade, command_times, score,
};
use crate::script::Interleaved;
use crate::units::{Micros, Ppm};
use crate::wire::{ChecksumMode, Command, FLAG_BURST, Header, MessageType, PlayState, encode, session_id};

const SPACING: Nanos = Nanos::from_millis(500);
const START: Nanos = Nanos::from_secs(2);

fn desk(commands: u64) -> ControllerConfig {
    let mut config = ControllerConfig::new(node("desk"), START, plan::minimum_duration(commands, SPACING));
    config.script.spacing = SPACING;
    config
}

fn end_of(config: &ControllerConfig) -> Nanos {
    config.start_at + config.duration + config.drain
}

fn asked(delay: Nanos, peers: &[&str]) -> ScoreConfig {
    ScoreConfig::new(delay, BurstConfig::STANDARD.longest(), peers.iter().map(|&p| p.to_owned()).collect())
}

fn run_with(link: Link, desk: ControllerConfig, peers: &[&str]) -> Vec<Log> {
    let end = end_of(&desk);
    let mut simulation = Simulation::new(link);
    simulation.controller(desk);
    for peer in peers {
        simulation.peer(PeerConfig::new(node(peer)));
    }
    simulation.run(end)
}

fn peer<'a>(score: &'a Score, name: &str) -> &'a PeerScore {
    score.peers.iter().find(|p| p.peer == name).unwrap()
}

/// Sync failures of the first peer by what it received alone, where nothing is late: each command
/// delivered sets tempo and, but for BPM and POSITION, state.
fn failures_of(commands: &[CommandTimes]) -> u64 {
    let (mut state, mut bpm, mut failures) = (PlayState::Stopped, f64::NAN, 0);
    for command in commands {
        let delivered = command.receivers[0].received.is_some();
        if delivered {
            bpm = command.after.bpm;
            if !matches!(command.command, Command::Bpm | Command::Position) {
                state = command.after.state;
            }
        }
        let jumped = delivered || command.command != Command::Position;
        if state != command.after.state || bpm != command.after.bpm || !jumped {
            failures += 1;
        }
    }
    failures
}

#[test]
fn over_a_sound_link_all_is_applied_once_and_at_the_links_delay() {
    let delay = Nanos::from_millis(20);
    let logs = run_with(lossy(delay, 0.0, 1), desk(120), &["a", "b"]);
    let score = score(&logs, &asked(delay, &["a", "b"]));
    for peer in &score.peers {
        assert_eq!((peer.intended, peer.applied_once), (120, 120));
        assert_eq!((peer.copies_repeated, peer.repeated), (240, 0));
        assert_eq!(peer.time_to_state.min, Some(delay));
        assert_eq!(peer.time_to_state.max, Some(delay));
        assert_eq!(peer.response.p99, Some(delay + delay));
        assert_eq!((peer.sync.judged, peer.sync.failures), (120, 0));
    }
    assert_eq!(score.spread.times.max, Some(Nanos::ZERO));
    assert_eq!(score.grades.overall, Some(Grade::Excellent));
    assert_eq!(score.grades.sync, Some(SyncGrade::High));
    assert_eq!(score.schedule.slip.max, Some(Nanos::ZERO));
    assert_eq!(score.warnings, Vec::<String>::new());
}

#[test]
fn nobody_there_is_delivered_to_nobody() {
    let logs = run_with(lossy(Nanos::ZERO, 0.0, 1), desk(120), &[]);
    let unnamed = score(&logs, &asked(Nanos::ZERO, &[]));
    assert_eq!((unnamed.delivery.count, unnamed.delivery.of), (0, 120));
    assert!(unnamed.controller_self_heard >= 360);
    assert_eq!(unnamed.grades.overall, None);
    let named = score(&logs, &asked(Nanos::ZERO, &["a", "b"]));
    assert_eq!((named.delivery.count, named.delivery.of), (0, 240));
    assert_eq!(named.grades.overall, Some(Grade::Poor));
    assert_eq!(peer(&named, "a").sync.failures, 120);
    assert!(!peer(&named, "a").has_log);
}

#[test]
fn bursts_of_three_leave_the_cube_of_independent_loss() {
    let loss = 0.4;
    let logs = run_with(lossy(Nanos::from_millis(5), loss, 3), desk(2_000), &["a"]);
    let score = score(&logs, &asked(Nanos::from_millis(5), &["a"]));
    let a = peer(&score, "a");
    // 0.064 of 2000; four standard deviations of a binomial are 44.
    let expected = 2_000.0 * loss * loss * loss;
    assert!((a.missed as f64 - expected).abs() < 44.0, "{}", a.missed);
    assert_eq!(a.delivered, a.applied_once);
    assert_eq!(a.delivered + a.missed, 2_000);
    // Four standard deviations of 6000 copies are 0.025 of loss, so 12 % of its cube.
    assert!((a.copies.share - (1.0 - loss)).abs() < 0.025, "{a:?}");
    assert!((a.missed_if_independent - expected).abs() < 24.0, "{a:?}");
    assert_eq!(a.sync.failures, failures_of(&command_times(&logs, &[])));
    assert_eq!(a.time_to_state.missing, a.missed);
    assert_eq!(score.grades.delivery, Some(Grade::Good));
    assert_eq!(score.grades.sync, Some(SyncGrade::Low));
}

#[test]
fn losses_that_come_together_defeat_the_burst_and_it_shows() {
    // 20 ms of every 100 ms are lost: a burst of 1 ms lives or dies as a whole. The spacing is no
    // multiple of that, so the commands fall anywhere in it.
    let link: Link = Box::new(|way| {
        let lost = way.from != way.to && way.at.0 % 100_000_000 < 20_000_000;
        (!lost).then_some(Nanos::from_millis(1))
    });
    let mut desk = desk(1_000);
    desk.script.spacing = Nanos(500_300_007);
    desk.duration = plan::minimum_duration(1_000, desk.script.spacing);
    let score = score(&run_with(link, desk, &["a"]), &asked(Nanos::from_millis(1), &["a"]));
    let a = peer(&score, "a");
    // 20 % were missed where independent losses would leave 0.8 %.
    assert!((180..=220).contains(&a.missed), "{a:?}");
    assert!(a.missed_if_independent < 12.0, "{a:?}");
}

#[test]
fn spread_is_first_to_last_peer_and_a_fraction_of_a_beat() {
    let link: Link = Box::new(|way| {
        Some(Nanos::from_millis(match way.to {
            "a" => 5,
            "b" => 30,
            _ => 1,
        }))
    });
    let logs = run_with(link, desk(120), &["a", "b"]);
    let score = score(&logs, &asked(Nanos::from_millis(30), &["a", "b"]));
    assert_eq!(score.spread.times.p50, Some(Nanos::from_millis(25)));
    // 25 ms of the 500 ms that a beat takes at 120.
    assert!((score.spread.beats_p50.unwrap() - 0.05).abs() < 1e-9);
    assert_eq!(score.grades.spread, Some(Grade::Fair));
    assert_eq!(score.grades.overall, Some(Grade::Fair));
}

#[test]
fn fewer_than_a_hundred_commands_give_no_grade_and_the_reason() {
    let logs = run_with(lossy(Nanos::ZERO, 0.0, 1), desk(99), &["a"]);
    let grades = score(&logs, &asked(Nanos::ZERO, &["a"])).grades;
    assert_eq!(grades.overall, None);
    let reason = grades.withheld.unwrap();
    assert!(reason.contains("99 commands") && reason.contains("100"), "{reason}");
}

#[test]
fn an_outage_excuses_its_commands_and_convergence_waits_for_the_next() {
    let delay = Nanos::from_millis(10);
    // From 100 ms before one command to 100 ms after it.
    let command = START + SPACING.times(50);
    let hundred = Nanos::from_millis(100);
    let (from, to) = (command - hundred, command + hundred);
    let link: Link = Box::new(move |way| {
        let out = way.to == "a" && (from..to).contains(&way.at);
        (!out).then_some(delay)
    });
    let logs = run_with(link, desk(120), &["a", "b"]);
    let mut config = asked(delay, &["a", "b"]);
    let blind = score(&logs, &config);
    assert_eq!(peer(&blind, "a").sync.failures, 1);
    config.outages = vec![OutageWindow { peer: Some("a".to_owned()), from, to }];
    let told = score(&logs, &config);
    let a = peer(&told, "a");
    assert_eq!((a.missed, a.sync.failures, a.sync.in_outage), (1, 0, 1));
    assert_eq!(peer(&told, "b").sync.in_outage, 0);
    let convergence = &told.convergence[0];
    // The next command is 400 ms after the outage, and takes 10 ms.
    assert_eq!(convergence.took, Some(Nanos::from_millis(410)));
    assert_eq!(convergence.beat, Nanos::from_millis(500));
    assert!(convergence.within_a_beat);
    assert_eq!(told.grades.convergence, Some(Grade::Excellent));
}

#[test]
fn an_outage_in_which_nothing_was_said_is_over_at_once() {
    let command = START + SPACING.times(50);
    let logs = run_with(lossy(Nanos::from_millis(1), 0.0, 1), desk(120), &["a"]);
    let mut config = asked(Nanos::from_millis(1), &["a"]);
    config.outages = vec![OutageWindow {
        peer: None,
        from: command + Nanos::from_millis(200),
        to: command + Nanos::from_millis(300),
    }];
    let convergence = &score(&logs, &config).convergence[0];
    assert_eq!(convergence.took, Some(Nanos::ZERO));
}

#[test]
fn a_late_joiner_is_right_at_the_next_command() {
    let delay = Nanos::from_millis(10);
    let mut simulation = Simulation::new(lossy(delay, 0.0, 1));
    let desk = desk(120);
    let end = end_of(&desk);
    simulation.controller(desk);
    let mut late = PeerConfig::new(node("late"));
    let join_at = START + SPACING.times(10) + Nanos::from_millis(200);
    late.join_at = Some(join_at);
    simulation.peer(late);
    let score = score(&simulation.run(end), &asked(delay, &["late"]));
    let late = peer(&score, "late");
    let join = late.late_join.unwrap();
    assert_eq!(join.joined, join_at);
    assert_eq!(join.first_right_after, Some(Nanos::from_millis(310)));
    // Only what was sent while it was there was meant for it.
    assert_eq!((late.intended, late.applied_once), (109, 109));
}

#[test]
fn after_an_igmp_leave_nothing_is_meant_applied_or_answered() {
    // The virtual group goes on delivering, as a switch without snooping does.
    let mut simulation = Simulation::new(lossy(Nanos::from_millis(1), 0.0, 1));
    let desk = desk(120);
    let end = end_of(&desk);
    simulation.controller(desk);
    let mut leaver = PeerConfig::new(node("leaver"));
    leaver.leave_at = Some(START + SPACING.times(100) - Nanos::from_millis(1));
    simulation.peer(leaver);
    let score = score(&simulation.run(end), &asked(Nanos::from_millis(1), &["leaver"]));
    let leaver = peer(&score, "leaver");
    assert_eq!((leaver.intended, leaver.applied_once), (100, 100));
    assert_eq!(leaver.heard_after_leave, Some(20 * 3));
    assert_eq!(leaver.response.n, 100);
    // The last command before the leave is judged only as far as the peer was there.
    assert_eq!(leaver.sync.failures, 0);
}

#[test]
fn two_controllers_interleave_and_peers_at_one_distance_end_equal() {
    let mut simulation = Simulation::new(lossy(Nanos::from_millis(3), 0.0, 1));
    let first = desk(120);
    let end = end_of(&first) + SPACING;
    let mut second = desk(120);
    second.node = node("second");
    second.start_at = START + Nanos::from_millis(250);
    simulation.controller(first);
    simulation.controller(second);
    for name in ["a", "b"] {
        simulation.peer(PeerConfig::new(node(name)));
    }
    let score = score(&simulation.run(end), &asked(Nanos::from_millis(3), &["a", "b"]));
    let contention = score.contention.unwrap();
    assert_eq!(contention.controllers, ["desk", "second"]);
    assert_eq!(contention.interleaved, 239);
    assert!(contention.same_order && contention.same_final_state);
    for peer in &score.peers {
        assert_eq!((peer.intended, peer.applied_once, peer.out_of_order), (240, 240, 0));
        assert_eq!(peer.sync.failures, 0);
        assert_eq!(peer.clocks.len(), 2);
    }
}

#[test]
fn two_controllers_at_unlike_distances_leave_the_peers_apart() {
    // The commands of the two are 2 ms apart and reach a and b in opposite order.
    let link: Link = Box::new(|way| {
        Some(Nanos::from_millis(match (way.from, way.to) {
            ("desk", "b") | ("second", "a") => 20,
            _ => 1,
        }))
    });
    let mut simulation = Simulation::new(link);
    let first = desk(120);
    let end = end_of(&first) + SPACING;
    let mut second = desk(119);
    second.node = node("second");
    second.start_at = START + SPACING + Nanos::from_millis(2);
    simulation.controller(first);
    simulation.controller(second);
    for name in ["a", "b"] {
        simulation.peer(PeerConfig::new(node(name)));
    }
    let score = score(&simulation.run(end), &asked(Nanos::from_millis(20), &["a", "b"]));
    let contention = score.contention.unwrap();
    assert!(!contention.same_order && !contention.same_final_state);
}

#[test]
fn an_overtaken_command_is_out_of_order_and_does_not_undo_the_newer() {
    // The first copies of one command are held for longer than the spacing.
    let held = START + SPACING.times(20);
    let link = move || -> Link {
        Box::new(move |way| {
            let late = way.to == "a" && way.from == "desk" && (held..held + Nanos::from_millis(2)).contains(&way.at);
            Some(Nanos::from_millis(if late { 600 } else { 1 }))
        })
    };
    let run = |late_commands| {
        let desk = desk(120);
        let end = end_of(&desk);
        let mut simulation = Simulation::new(link());
        simulation.controller(desk);
        let mut config = PeerConfig::new(node("a"));
        config.late_commands = late_commands;
        simulation.peer(config);
        let score = score(&simulation.run(end), &asked(Nanos::from_millis(1), &["a"]));
        let a = peer(&score, "a");
        (a.delivered, a.applied_once, a.out_of_order, a.sync.failures)
    };
    // Missed in time: one failure. The newer state then stands.
    assert_eq!(run(LateCommands::Superseded), (120, 119, 1, 1));
    // Applied on arrival it spoils the next command's state as well.
    assert_eq!(run(LateCommands::Applied), (120, 120, 1, 2));
}

#[test]
fn tempo_changes_and_jumps_hold_under_loss() {
    let mut desk = desk(600);
    desk.script.tempo = Some(Interleaved { every: 5, values: vec![90.0, 128.0, 174.0] });
    desk.script.positions = Some(Interleaved { every: 7, values: vec![16.0, 64.0] });
    let logs = run_with(lossy(Nanos::from_millis(10), 0.3, 5), desk, &["a"]);
    let score = score(&logs, &asked(Nanos::from_millis(10), &["a"]));
    let a = peer(&score, "a");
    assert_eq!(a.delivered, a.applied_once);
    let times = command_times(&logs, &[]);
    assert!(a.missed > 0 && a.sync.failures > 0, "{a:?}");
    assert_eq!(a.sync.failures, failures_of(&times));
    let tempos: Vec<f64> = times.iter().map(|c| c.after.bpm).collect();
    assert!(tempos.contains(&90.0) && tempos.contains(&174.0));
}

#[test]
fn clocks_are_found_with_half_the_asymmetry_as_error() {
    let link: Link = Box::new(|way| {
        Some(Nanos::from_micros(match (way.from, way.to) {
            ("a", "desk") => 30_000,
            _ => 10_000,
        }))
    });
    let desk = desk(240);
    let end = end_of(&desk);
    let mut simulation = Simulation::new(link);
    simulation.controller(desk);
    let mut a = PeerConfig::new(node("a"));
    a.node.clock.offset = Micros(3_000_000);
    a.node.clock.skew = Ppm(-50.0);
    simulation.peer(a);
    let logs = simulation.run(end);
    let mut config = asked(Nanos::from_millis(30), &["a"]);
    config.asymmetries = vec![Asymmetry { peer: "a".to_owned(), forward_minus_backward: 20_000_000 }];
    let score = score(&logs, &config);
    let a = peer(&score, "a");
    let clock = &a.clocks[0];
    assert_eq!(clock.asymmetry_error, Some(10_000.0));
    // Stamps are whole microseconds, and 50 ppm move 2 us while the exchange is under way.
    assert!((clock.error - 10_000.0).abs() < 3.0, "{clock:?}");
    assert!(clock.error.abs() <= clock.bound + 1.0, "{clock:?}");
    assert!((clock.injected_skew.0 - 50.0).abs() < 0.01);
    // Stamps are whole microseconds over two minutes.
    assert!((clock.estimated_skew.unwrap().0 - 50.0).abs() < 0.5, "{clock:?}");
    let drift = a.drift.unwrap();
    assert!((drift.drift.0 + 50.0).abs() < 5.0 * drift.resolution.0, "{drift:?}");
}

#[test]
fn a_peer_that_follows_the_clock_lands_on_the_controllers_position() {
    let delay = Nanos::from_millis(40);
    let desk = desk(120);
    let end = end_of(&desk);
    let mut simulation = Simulation::new(lossy(delay, 0.0, 1));
    simulation.controller(desk);
    for (name, follow_clock) in [("follows", true), ("does-not", false)] {
        let mut config = PeerConfig::new(node(name));
        config.node.clock.offset = Micros(-700_000);
        config.follow_clock = follow_clock;
        simulation.peer(config);
    }
    let logs = simulation.run(end);
    let behind = |name: &str| {
        let log = logs.iter().find(|l| l.peer_id == name).unwrap();
        let last = log.events.iter().rev().find_map(|e| match e {
            Event::Applied { after, .. } if after.state == PlayState::Playing => Some(after.position),
            _ => None,
        });
        // The last PLAY follows a STOP or PAUSE of known position.
        last.unwrap()
    };
    let lead = behind("follows") - behind("does-not");
    assert!((lead - 0.040).abs() < 1e-5, "{lead}");
}

#[test]
fn strangers_are_told_apart_and_never_delivered() {
    let mut simulation = Simulation::new(lossy(Nanos::from_millis(1), 0.0, 1));
    let desk = desk(120);
    let end = end_of(&desk);
    simulation.controller(desk);
    simulation.peer(PeerConfig::new(node("a")));
    let stranger = SocketAddrV4::new([10, 0, 9, 9].into(), 7_777);
    let header = |session: &str| Header {
        message_type: MessageType::Transport,
        flags: FLAG_BURST,
        sequence: 0,
        timestamp: 0,
        burst_id: 5,
        burst_index: 0,
        burst_total: 3,
        session: session_id(session),
    };
    let command = br#"{"type":"transport","command":"PLAY","timestamp":1,"position":0,"bpm":120,"peer_id":"x"}"#;
    let mut buffer = [0u8; 512];
    let crc = ChecksumMode::Crc16;
    let mut send = |session: &str, payload: &[u8], spoil: fn(&mut [u8])| {
        let len = encode(&header(session), payload, crc, &mut buffer).unwrap();
        spoil(&mut buffer[..len]);
        simulation.inject(Nanos::from_secs(1), stranger, &buffer[..len]);
    };
    send("elsewhere", command, |_| {});
    send("stage", command, |b| b[40] ^= 1);
    send("stage", command, |b| b[16..20].fill(0));
    send("stage", b"[]", |_| {});
    send("stage", command, |b| b[..4].copy_from_slice(b"SAOT"));
    send("stage", command, |b| b[4] = 1);
    let score = score(&simulation.run(end), &asked(Nanos::from_millis(1), &["a"]));
    let a = peer(&score, "a");
    let expected: Vec<(ForeignReason, u64)> = [
        ForeignReason::OtherSession,
        ForeignReason::OtherToast,
        ForeignReason::NotToast,
        ForeignReason::BadChecksum,
        ForeignReason::UndeclaredPayload,
        ForeignReason::BadPayload,
    ]
    .map(|r| (r, 1))
    .into();
    assert_eq!(a.foreign_by_reason.clone().into_iter().collect::<Vec<_>>(), expected);
    assert_eq!((a.foreign, a.delivered), (6, 120));
}

#[test]
fn two_processes_under_one_peer_id_are_warned_of() {
    let logs = run_with(lossy(Nanos::from_millis(1), 0.0, 1), desk(120), &["a", "a"]);
    let score = score(&logs, &asked(Nanos::from_millis(1), &["a"]));
    assert!(score.warnings.iter().any(|w| w.contains("same peer id")), "{:?}", score.warnings);
}

#[test]
fn a_late_sender_is_told_and_gets_no_grade() {
    let mut logs = run_with(lossy(Nanos::from_millis(1), 0.0, 1), desk(120), &["a"]);
    // As if the first five had been due 6 ms earlier than they left.
    for event in logs[0].events.iter_mut() {
        if let Event::Commanded { due, seq, .. } = event
            && *due < START + SPACING.times(5)
        {
            assert!(*seq < 100);
            *due = *due - Nanos::from_millis(6);
        }
    }
    let score = score(&logs, &asked(Nanos::from_millis(1), &["a"]));
    assert_eq!((score.schedule.over_limit, score.schedule.kept), (5, false));
    assert_eq!(score.grades.overall, None);
    let reason = score.grades.withheld.unwrap();
    assert!(reason.contains("could not keep its own schedule"), "{reason}");
}

#[test]
fn the_burst_tools_copies_and_the_legacy_checksum_work_alike() {
    let mut desk = desk(120);
    desk.burst = BurstConfig::TOOL;
    desk.command_type = MessageType::BurstTransport;
    desk.node.checksum = ChecksumMode::Sum16;
    let end = end_of(&desk);
    let mut simulation = Simulation::new(lossy(Nanos::from_millis(1), 0.0, 1));
    simulation.controller(desk);
    let mut a = PeerConfig::new(node("a"));
    a.node.checksum = ChecksumMode::Sum16;
    simulation.peer(a);
    let logs = simulation.run(end);
    let score = score(&logs, &asked(Nanos::from_millis(1), &["a"]));
    let a = peer(&score, "a");
    assert_eq!((a.applied_once, a.copies_repeated), (120, 120 * 7));
}

#[test]
fn a_score_goes_through_json_unchanged() {
    let logs = run_with(lossy(Nanos::from_millis(2), 0.2, 9), desk(120), &["a", "b"]);
    let score = score(&logs, &asked(Nanos::from_millis(2), &["a", "b"]));
    let json = serde_json::to_value(&score).unwrap();
    let text = serde_json::to_string(&score).unwrap();
    let back: Score = serde_json::from_str(&text).unwrap();
    assert!(alike(&json, &serde_json::to_value(&back).unwrap()), "{json}");
}

/// Equal but for the last bit of a double, which the JSON reader does not keep.
fn alike(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object};
    match (a, b) {
        (Number(x), Number(y)) => {
            let (x, y) = (x.as_f64().unwrap(), y.as_f64().unwrap());
            (x - y).abs() <= x.abs() * 4.0 * f64::EPSILON
        }
        (Array(x), Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| alike(x, y)),
        (Object(x), Object(y)) => {
            x.len() == y.len() && x.iter().all(|(key, x)| y.get(key).is_some_and(|y| alike(x, y)))
        }
        _ => a == b,
    }
}
