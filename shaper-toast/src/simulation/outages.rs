//! Whole runs: outages, and who comes late or leaves early.

use super::*;
use crate::score::{Grade, OutageWindow};

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
    assert_eq!(convergence.peers.clone().into_iter().collect::<Vec<_>>(), [("a".to_owned(), convergence.took)]);
    assert_eq!(convergence.took, Some(Nanos::from_millis(410)));
    assert_eq!(convergence.beat, Nanos::from_millis(500));
    assert!(convergence.within_a_beat);
    assert_eq!(told.grades.convergence, Some(Grade::Excellent));
}

#[test]
fn an_outage_that_hid_nothing_tests_nothing() {
    let command = START + SPACING.times(50);
    let logs = run_with(lossy(Nanos::from_millis(1), 0.0, 1), desk(120), &["a"]);
    let mut config = asked(Nanos::from_millis(1), &["a"]);
    config.outages = vec![OutageWindow {
        peer: None,
        from: command + Nanos::from_millis(200),
        to: command + Nanos::from_millis(300),
    }];
    let score = score(&logs, &config);
    let convergence = &score.convergence[0];
    assert_eq!((convergence.tested, convergence.took, convergence.within_a_beat), (false, None, false));
    assert_eq!((convergence.peers.len(), convergence.untested.as_slice()), (0, ["a".to_owned()].as_slice()));
    assert_eq!(score.grades.convergence, None);
    assert!(score.grades.convergence_reason.unwrap().contains("not tested"));
    assert_eq!(score.grades.overall, Some(Grade::Excellent));
}

#[test]
fn a_command_missed_after_an_outage_was_not_hidden_by_it() {
    let ms = Nanos::from_millis;
    let command = START + SPACING.times(50);
    // Nothing is sent within the outage; the next command is lost for another reason.
    let outage = window(None, command + ms(200), command + ms(300));
    let other = window(None, command + ms(490), command + ms(510));
    let logs = run_with(cut(ms(1), vec![outage.clone(), other]), desk(120), &["a"]);
    let mut config = asked(ms(1), &["a"]);
    config.outages = vec![outage];
    let score = score(&logs, &config);
    assert_eq!(peer(&score, "a").missed, 1);
    assert!(!score.convergence[0].tested, "{:?}", score.convergence);
}

/// Nothing reaches a peer during its windows.
fn cut(delay: Nanos, windows: Vec<OutageWindow>) -> Link {
    Box::new(move |way| {
        let out = |w: &OutageWindow| w.peer.as_deref().is_none_or(|p| p == way.to) && (w.from..w.to).contains(&way.at);
        (way.from == way.to || !windows.iter().any(out)).then_some(delay)
    })
}

fn window(peer: Option<&str>, from: Nanos, to: Nanos) -> OutageWindow {
    OutageWindow { peer: peer.map(str::to_owned), from, to }
}

#[test]
fn hidden_commands_that_add_up_to_no_change_are_missed_all_the_same() {
    let ms = Nanos::from_millis;
    // PAUSE and PLAY after a PLAY: the state is right all along, the commands are not there.
    let (from, to) = (START + SPACING.times(51) - ms(100), START + SPACING.times(52) + ms(100));
    let windows = vec![window(None, from, to)];
    let logs = run_with(cut(ms(10), windows.clone()), desk(120), &["a"]);
    let mut config = asked(ms(10), &["a"]);
    config.outages = windows;
    let score = score(&logs, &config);
    assert_eq!(peer(&score, "a").missed, 2);
    let convergence = &score.convergence[0];
    assert_eq!((convergence.tested, convergence.took), (true, Some(ms(410))));
}

#[test]
fn each_peer_has_its_own_time_and_who_left_or_had_not_come_has_none() {
    let ms = Nanos::from_millis;
    let delay = ms(10);
    let command = START + SPACING.times(50);
    let outage = window(None, command - ms(100), command + ms(100));
    // The slow one misses the next command too, and is beyond a beat.
    let slow = window(Some("slow"), command + ms(300), command + ms(700));
    let mut simulation = Simulation::new(cut(delay, vec![outage.clone(), slow]));
    let desk = desk(120);
    let end = end_of(&desk);
    simulation.controller(desk);
    for name in ["left", "late", "quick", "slow"] {
        let mut config = PeerConfig::new(node(name));
        config.leave_at = (name == "left").then_some(command + ms(50));
        config.join_at = (name == "late").then_some(command + ms(200));
        simulation.peer(config);
    }
    let logs = simulation.run(end);
    let mut config = asked(delay, &["left", "late", "quick", "slow"]);
    config.outages = vec![outage];
    let convergence = &score(&logs, &config).convergence[0];
    let times: Vec<(&str, Option<Nanos>)> = convergence.peers.iter().map(|(p, &t)| (p.as_str(), t)).collect();
    assert_eq!(times, [("quick", Some(ms(410))), ("slow", Some(ms(910)))]);
    assert_eq!((convergence.untested.len(), convergence.took), (0, Some(ms(910))));
    assert!(!convergence.within_a_beat);
}

#[test]
fn a_peer_that_never_is_right_again_is_none_and_one_not_watched_for_a_beat_is_untested() {
    let ms = Nanos::from_millis;
    let command = START + SPACING.times(50);
    let outage = window(None, command - ms(100), command + ms(100));
    let lasting = window(Some("lost"), outage.from, Nanos(u64::MAX));
    let mut simulation = Simulation::new(cut(ms(10), vec![outage.clone(), lasting]));
    let desk = desk(120);
    let end = end_of(&desk);
    simulation.controller(desk);
    for name in ["goes", "lost"] {
        let mut config = PeerConfig::new(node(name));
        config.leave_at = (name == "goes").then_some(outage.to + ms(300));
        simulation.peer(config);
    }
    let logs = simulation.run(end);
    let mut config = asked(ms(10), &["goes", "lost"]);
    config.outages = vec![outage];
    let convergence = &score(&logs, &config).convergence[0];
    assert_eq!(convergence.peers.clone().into_iter().collect::<Vec<_>>(), [("lost".to_owned(), None)]);
    assert_eq!(convergence.untested, ["goes"]);
    assert_eq!((convergence.tested, convergence.took, convergence.within_a_beat), (true, None, false));
}

#[test]
fn outages_that_run_into_one_another_are_over_when_the_last_one_is() {
    let ms = Nanos::from_millis;
    let command = START + SPACING.times(50);
    // The first hides the command, the second lasts on and hides none itself.
    let windows = vec![
        window(None, command - ms(100), command + ms(100)),
        window(Some("a"), command + ms(50), command + ms(200)),
    ];
    let logs = run_with(cut(ms(10), windows.clone()), desk(120), &["a", "b"]);
    let mut config = asked(ms(10), &["a", "b"]);
    config.outages = windows;
    let score = score(&logs, &config);
    let [first, second] = &score.convergence[..] else { panic!("two outages: {score:?}") };
    assert_eq!((first.peers.get("a"), first.peers.get("b")), (None, Some(&Some(ms(410)))));
    assert_eq!(first.untested, ["a"]);
    assert_eq!(second.peers.get("a"), Some(&Some(ms(310))));
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
