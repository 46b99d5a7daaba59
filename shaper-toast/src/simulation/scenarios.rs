//! Whole runs: what must hold for every peer under loss, delay and strangers.

use super::*;
use crate::burst::BurstConfig;
use crate::config::LateCommands;
use crate::log::ForeignReason;
use crate::score::{CommandTimes, Grade, SyncGrade, command_times};
use crate::script::Interleaved;
use crate::wire::{ChecksumMode, Command, FLAG_BURST, Header, MessageType, PlayState, encode, session_id};

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
        assert_eq!(a.applied_once + a.repeated + a.superseded + a.missed, a.intended, "{a:?}");
        (a.delivered, a.applied_once, a.superseded, a.out_of_order, a.sync.failures)
    };
    // Missed in time: one failure. The newer state then stands.
    assert_eq!(run(LateCommands::Superseded), (120, 119, 1, 1, 1));
    // Applied on arrival it spoils the next command's state as well.
    assert_eq!(run(LateCommands::Applied), (120, 120, 0, 1, 2));
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
