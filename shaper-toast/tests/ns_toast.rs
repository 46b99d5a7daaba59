//! Real multicast over `lo` in a network namespace of the test's own. Needs root.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use shaper_toast::burst::BurstConfig;
use shaper_toast::config::{ControllerConfig, NodeConfig, PeerConfig};
use shaper_toast::log::{Log, read_log};
use shaper_toast::score::{Score, ScoreConfig, score};
use shaper_toast::units::{Micros, Nanos, Ppm};
use shaper_toast::{RunSummary, StopFlag, controller, peer};

/// A folder that goes with the test, also when it panics.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("shaper-toast-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn log(&self, who: &str) -> PathBuf {
        self.0.join(format!("{who}.jsonl"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn monotonic() -> Nanos {
    let t = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    Nanos((t.tv_sec() * 1_000_000_000 + t.tv_nsec()).try_into().unwrap())
}

/// Runs `test` on a thread in a namespace without a name, in which only `lo` exists and is up; it
/// goes with the thread and those started from it.
fn in_namespace<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    let inside = thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("this test needs root");
        let up =
            std::process::Command::new("ip").args(["link", "set", "lo", "up", "multicast", "on"]).status().unwrap();
        assert!(up.success(), "ip link set lo up");
        test()
    });
    match inside.join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

struct Bed {
    folder: Folder,
    start_at: Nanos,
    peers: Vec<(String, StopFlag, thread::JoinHandle<RunSummary>)>,
}

impl Bed {
    fn new(name: &str) -> Bed {
        Bed { folder: Folder::new(name), start_at: monotonic() + Nanos::from_millis(800), peers: Vec::new() }
    }

    fn node(&self, peer_id: &str) -> NodeConfig {
        let mut node = NodeConfig::new(peer_id, "bed", "lo", self.folder.log(peer_id));
        node.seed = 42;
        node
    }

    fn controller(&self, commands: u64, spacing: Nanos) -> ControllerConfig {
        let duration = shaper_toast::plan::minimum_duration(commands, spacing);
        let mut config = ControllerConfig::new(self.node("desk"), self.start_at, duration);
        config.script.spacing = spacing;
        config.drain = Nanos::from_millis(300);
        config
    }

    fn peer(&mut self, config: PeerConfig) {
        let stop = StopFlag::new();
        let flag = stop.clone();
        let name = config.node.peer_id.clone();
        let running = thread::spawn(move || peer::run(config, &flag).unwrap());
        self.peers.push((name, stop, running));
    }

    /// Ends the peers and scores what all of them wrote down.
    fn score(self, expected: &[&str]) -> (Score, Vec<Log>) {
        let mut logs = vec![read_log(&self.folder.log("desk")).unwrap()];
        for (name, stop, running) in self.peers {
            stop.stop();
            running.join().unwrap();
            logs.push(read_log(&self.folder.log(&name)).unwrap());
        }
        let mut config = ScoreConfig::new(
            Nanos::ZERO,
            BurstConfig::STANDARD.longest(),
            expected.iter().map(|&s| s.to_owned()).collect(),
        );
        // What is asserted here is delivery; how punctual the sender is, is up to how busy the
        // host is.
        config.slip_limit = Nanos::from_secs(10);
        (score(&logs, &config), logs)
    }
}

#[test]
fn nobody_listens_and_nothing_is_delivered() {
    in_namespace(|| {
        let bed = Bed::new("alone");
        let config = bed.controller(110, Nanos::from_millis(10));
        let summary = controller::run(config, &StopFlag::new()).unwrap();
        let sent = summary.counts.sent;
        let (score, _) = bed.score(&["peer-1"]);

        // The sender hears all its own packets, and not one of them is a delivery.
        assert_eq!(summary.counts.self_heard, sent);
        assert_eq!(score.controller_self_heard, sent);
        assert_eq!((score.delivery.count, score.delivery.of), (0, 110));
        assert_eq!(score.peers[0].missed, 110);
        assert_eq!(score.grades.overall, Some(shaper_toast::score::Grade::Poor), "{:?}", score.grades);
    });
}

#[test]
fn every_command_is_applied_once_and_answered() {
    in_namespace(|| {
        let mut bed = Bed::new("pair");
        let mut config = PeerConfig::new(bed.node("peer-1"));
        config.node.clock.offset = Micros(25_000);
        config.node.clock.skew = Ppm(30.0);
        config.node.clock.origin = bed.start_at;
        config.sync_period = Nanos::from_millis(50);
        bed.peer(config);
        let mut desk = bed.controller(120, Nanos::from_millis(20));
        // The sequence wraps within the run.
        desk.node.first_sequence = u32::MAX - 60;
        controller::run(desk, &StopFlag::new()).unwrap();
        let (score, logs) = bed.score(&["peer-1"]);

        let peer = &score.peers[0];
        assert_eq!((peer.intended, peer.delivered, peer.applied_once), (120, 120, 120), "{peer:?}");
        assert_eq!((peer.repeated, peer.missed, peer.out_of_order), (0, 0, 0));
        // Three copies each, two of them suppressed.
        assert_eq!(peer.copies_repeated, 240);
        assert!(peer.self_heard > 0 && peer.foreign == 0, "{peer:?}");
        assert_eq!((peer.response.n, peer.response.missing), (120, 0));
        assert_eq!(peer.sync.failures, 0);

        let clock = &peer.clocks[0];
        assert!(clock.error.abs() <= clock.bound + 1.0, "{clock:?}");
        assert!((clock.injected_offset + 25_000.0).abs() < 200.0, "{clock:?}");
        let drift = peer.drift.unwrap();
        // Five standard errors.
        assert!((drift.drift.0 - 30.0).abs() < 5.0 * drift.resolution.0, "{drift:?}");

        let times = shaper_toast::score::command_times(&logs, &[]);
        assert_eq!(times.len(), 120);
        for command in &times {
            assert_eq!(command.copies.len(), 3);
            let r = &command.receivers[0];
            let way = [Some(command.commanded), r.received, r.applied, r.answer_sent, r.answer_received];
            let way: Vec<Nanos> = way.into_iter().map(Option::unwrap).collect();
            assert!(way.is_sorted(), "{command:?}");
        }
    });
}

#[test]
fn a_leaver_falls_silent_while_its_neighbours_go_on_hearing() {
    in_namespace(|| {
        let mut bed = Bed::new("comers-and-goers");
        let spacing = Nanos::from_millis(20);
        let desk = bed.controller(120, spacing);
        let half_way = desk.start_at + spacing.times(60) - Nanos::from_millis(10);
        let mut leaver = PeerConfig::new(bed.node("leaver"));
        leaver.leave_at = Some(half_way);
        let mut late = PeerConfig::new(bed.node("late"));
        late.join_at = Some(half_way);
        let stays = PeerConfig::new(bed.node("stays"));
        for config in [leaver, late, stays] {
            bed.peer(config);
        }
        controller::run(desk, &StopFlag::new()).unwrap();
        let (score, _) = bed.score(&["leaver", "late", "stays"]);

        let [late, leaver, stays] = &score.peers[..] else {
            panic!("three peers: {score:?}");
        };
        assert_eq!((stays.intended, stays.applied_once), (120, 120));
        // The socket of the leaver hears nothing although others on this host are members.
        assert_eq!(leaver.heard_after_leave, Some(0));
        // A command that is being sent during the leave may be lost.
        assert!(leaver.missed <= 1, "{leaver:?}");
        assert!((50..=70).contains(&leaver.intended), "{leaver:?}");
        assert_eq!(late.delivered, late.intended);
        assert!((50..=70).contains(&late.intended), "{late:?}");
        assert!(late.late_join.unwrap().first_right_after.is_some(), "{late:?}");
    });
}

#[test]
fn on_lo_the_device_is_the_link_and_the_loop_has_no_say() {
    in_namespace(|| {
        let mut bed = Bed::new("lo-quiet");
        let mut config = PeerConfig::new(bed.node("peer-1"));
        config.node.multicast_loop = false;
        bed.peer(config);
        let mut desk = bed.controller(110, Nanos::from_millis(10));
        desk.node.multicast_loop = false;
        controller::run(desk, &StopFlag::new()).unwrap();
        let (score, _) = bed.score(&["peer-1"]);
        let peer = &score.peers[0];
        assert_eq!((peer.intended, peer.applied_once, peer.local_commands), (110, 110, 0), "{peer:?}");
    });
}

/// A controller and a peer in two namespaces, joined by a veth pair: the score, and how many of its
/// own datagrams the controller heard and sent.
fn over_a_wire(multicast_loop: bool) -> (Score, u64, u64) {
    in_namespace(move || {
        let ip = |line: &str| {
            let status = std::process::Command::new("ip").args(line.split_whitespace()).status().unwrap();
            assert!(status.success(), "ip {line}");
        };
        let (ready, is_ready) = mpsc::channel();
        let (wired, is_wired) = mpsc::channel::<()>();
        let mut bed = Bed::new(if multicast_loop { "wire" } else { "wire-quiet" });
        let mut config = PeerConfig::new(bed.node("far"));
        config.node.interface = "far0".to_owned();
        config.node.multicast_loop = multicast_loop;
        let stop = StopFlag::new();
        let flag = stop.clone();
        let far = thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            ready.send(nix::unistd::gettid()).unwrap();
            is_wired.recv().unwrap();
            ip("addr add 10.9.0.2/24 dev far0");
            ip("link set far0 up");
            peer::run(config, &flag).unwrap()
        });
        let tid = is_ready.recv().unwrap();
        ip("link add near0 type veth peer name far0");
        ip(&format!("link set far0 netns {tid}"));
        ip("addr add 10.9.0.1/24 dev near0");
        ip("link set near0 up");
        wired.send(()).unwrap();
        bed.peers.push(("far".to_owned(), stop, far));
        bed.start_at = monotonic() + Nanos::from_millis(1_000);
        let mut desk = bed.controller(110, Nanos::from_millis(10));
        desk.node.interface = "near0".to_owned();
        desk.node.multicast_loop = multicast_loop;
        let summary = controller::run(desk, &StopFlag::new()).unwrap();
        let (score, _) = bed.score(&["far"]);
        (score, summary.counts.self_heard, summary.counts.sent)
    })
}

#[test]
fn over_a_wire_everything_arrives_and_the_sender_hears_itself_through_the_loop() {
    let (score, self_heard, sent) = over_a_wire(true);
    assert_eq!(score.peers[0].applied_once, 110, "{score:?}");
    assert_eq!(self_heard, sent);
}

#[test]
fn with_the_loop_off_the_wire_is_heard_and_oneself_is_not() {
    let (score, self_heard, _) = over_a_wire(false);
    assert_eq!(score.peers[0].applied_once, 110, "{score:?}");
    assert_eq!(self_heard, 0);
    assert_eq!(score.peers[0].self_heard, 0);
}

#[test]
fn an_interface_that_is_not_there_or_has_no_address_is_told_by_name() {
    in_namespace(|| {
        let bed = Bed::new("bare");
        let mut config = PeerConfig::new(bed.node("p"));
        config.node.interface = "nowhere0".to_owned();
        let error = peer::run(config.clone(), &StopFlag::new()).unwrap_err();
        assert!(error.to_string().starts_with("nowhere0: no such interface"), "{error}");
        let made = std::process::Command::new("ip")
            .args(["link", "add", "bare0", "type", "veth", "peer", "name", "bare1"])
            .status()
            .unwrap();
        assert!(made.success());
        config.node.interface = "bare0".to_owned();
        let error = peer::run(config, &StopFlag::new()).unwrap_err();
        assert!(error.to_string().starts_with("bare0: has no IPv4 address"), "{error}");
    });
}
