//! A run cannot fool itself, leaves nothing behind, and its evidence opens elsewhere.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests panic with their context")]

#[path = "support/children.rs"]
mod children;
mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use children::child;
use nix::libc;
use serde_json::Value;
use shaper_net::process::ProcessId;
use shaper_offline::pcapfile::{Reader, Tail};
use shaper_offline::toast::{Checksum, Recognised, recognise, verify};
use shaper_offline::{packet, pcapfile};
use shaper_report::agreement::Agreement;
use shaper_report::summary::{CommandCounts, GradeLevel, Severity, Summary};
use support::{Ended, SHAPER, Started, on_own_host, until};

fn told(summary: &Summary, severity: Severity, words: &[&str]) -> bool {
    let says = |text: &str| words.iter().all(|word| text.contains(word));
    summary.findings.iter().any(|finding| finding.severity == severity && says(&finding.text))
}

/// Told, and not as a note.
fn grave(summary: &Summary, words: &[&str]) -> bool {
    told(summary, Severity::Error, words) || told(summary, Severity::Warning, words)
}

fn accounts_close(summary: &Summary) {
    let Summary { oracle, conservation, .. } = summary;
    assert_eq!((oracle.mismatches, oracle.unchecked), (0, 0), "{oracle:?}");
    assert_eq!(oracle.checked, conservation.total.arrived);
    for counts in conservation.by_direction.values() {
        assert_eq!((counts.difference, counts.held), (0, 0), "{conservation:?}");
    }
}

/// Waits until the controller has begun to send.
fn until_commands(run: &Started) {
    let log = run.out.join("a.jsonl");
    let sent = || fs::read_to_string(&log).is_ok_and(|text| text.lines().count() > 40);
    assert!(until(Duration::from_secs(30), sent), "{} stays short", log.display());
}

#[test]
fn with_nobody_there_nothing_is_delivered_whatever_is_heard() {
    on_own_host(|host| {
        let summary = host.run("toast --profile clean --duration 5s --absent b --seed 1").summary();
        assert_eq!(summary.exit_code, 1);
        let total = &summary.commands.as_ref().unwrap().total;
        assert!(total.intended > 0, "{total:?}");
        assert_eq!((total.delivered, total.applied_once, total.missed), (0, 0, total.intended), "{total:?}");
        assert!(total.self_heard > 0, "{total:?}");
        assert!(told(&summary, Severity::Error, &["nobody listens", "b"]), "{:?}", summary.findings);
        assert!(summary.expectations.iter().any(|expectation| !expectation.held), "{:?}", summary.expectations);
        assert_eq!(summary.response_time_ms.as_ref().unwrap().n, 0);
        accounts_close(&summary);
    });
}

#[test]
fn with_the_link_cut_half_way_half_is_missed_and_the_grade_shows_it() {
    on_own_host(|host| {
        let cut = "--outage-at 3s --outage-length 3s";
        let summary = host.run(&format!("toast --profile clean --duration 6s {cut} --seed 2")).summary();
        let total = &summary.commands.as_ref().unwrap().total;
        assert_eq!(total.intended, total.delivered + total.missed, "{total:?}");
        let missed = total.missed as f64 / total.intended as f64;
        assert!((0.45..=0.55).contains(&missed), "{total:?}");
        let grade = summary.grade.as_ref().unwrap();
        for level in [grade.result, grade.parts.delivery.result].into_iter().flatten() {
            assert_eq!(level, GradeLevel::Poor, "{total:?}");
        }
        let of_links = summary.directions.values().map(|direction| direction.measured.outage.count).sum::<u64>();
        assert!(of_links > 0);
        assert_eq!(summary.conservation.total.dropped_by_cause.get("outage"), Some(&of_links));
        assert!(summary.directions.values().all(|direction| direction.measured.loss.count == 0));
        accounts_close(&summary);
    });
}

#[test]
fn a_sync_grade_rests_on_commands_that_were_judged() {
    on_own_host(|host| {
        let summary = host.run("toast --profile clean --duration 6s --seed 3").summary();
        let sync = &summary.grade.as_ref().unwrap().parts.sync;
        let judged = summary.sync_failures.as_ref().unwrap().judged;
        assert!(sync.result.is_none() || judged > 0, "{judged} commands judged, {sync:?}");
    });
}

#[test]
fn what_a_capture_dropped_is_told_and_is_no_loss_of_the_link() {
    on_own_host(|host| {
        // Fewer than 2^16: the checksums of numbered datagrams then differ, and no join is ambiguous.
        let flood = "probe --profile clean --packets 60000 --interval 5us --seed 4";
        let run = host.run(&format!("{flood} --capture-buffer 16kB"));
        let summary = run.summary();
        let mut lossy = 0;
        for (point, capture) in &summary.captures {
            assert_eq!(capture.received, capture.written + capture.dropped, "{point} {capture:?}");
            if capture.dropped > 0 {
                lossy += 1;
                let words = [format!("capture at {point}"), format!("dropped {}", capture.dropped)];
                assert!(grave(&summary, &words.each_ref().map(String::as_str)), "{:?}", summary.findings);
            }
        }
        assert!(lossy > 0, "the captures kept up, which tells nothing: {:?}", summary.captures);

        let forward = &summary.directions["a_to_b"];
        let measured = &forward.measured;
        assert_eq!((measured.loss.count, measured.outage.count, measured.queue.count), (0, 0, 0));
        let loss = forward.agree.checks.iter().find(|check| check.name == "loss").unwrap();
        assert_eq!(loss.result, Agreement::Yes, "{loss:?}");
        accounts_close(&summary);
        let join = summary.join.as_ref().unwrap();
        assert_eq!(join.contradictions, 0, "{join:?}");
        for (missing, point) in [(join.not_in_a, "a"), (join.not_in_b, "b")] {
            assert!(missing <= summary.captures[point].dropped, "{join:?} {:?}", summary.captures);
        }
        // A tap sees what the harness let through, or says that it dropped it: nobody else is to blame.
        assert!(!grave(&summary, &["lost in the receiving host"]), "{:?}", summary.findings);
        // What neither link nor harness dropped, and the application never saw, was dropped at its own socket.
        let total = &summary.commands.as_ref().unwrap().total;
        let on_the_way = total.intended - summary.conservation.by_direction["a_to_b"].out;
        if total.missed > on_the_way {
            let findings = &summary.findings;
            assert!(grave(&summary, &["receiver"]), "{} of {} missed: {findings:?}", total.missed, total.intended);
        }

        let analysis = analyse(&run);
        let drops = |file: usize| analysis["files"][file]["capture_drops"].as_u64().unwrap();
        assert_eq!((drops(0), drops(1)), (summary.captures["a"].dropped, summary.captures["b"].dropped));
        let lost_on_the_way = measured.packets - summary.conservation.by_direction["a_to_b"].out;
        assert!(analysis["a_to_b"]["lost"].as_u64().unwrap() <= lost_on_the_way, "{}", analysis["findings"]);
        opens_without_a_warning(&run, &summary);
    });
}

#[test]
fn what_is_written_belongs_to_who_called_sudo() {
    const CALLER: (u32, u32) = (65_534, 65_533);
    on_own_host(|host| {
        let made = host.folder().join("made");
        let out = made.join("run");
        let run = host.start_with("toast --profile clean --duration 1s", &out, |command| {
            command.env("SUDO_UID", CALLER.0.to_string()).env("SUDO_GID", CALLER.1.to_string());
        });
        run.end().summary();
        let files = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
        for path in files.chain([made, out.clone()]) {
            let found = fs::metadata(&path).unwrap();
            assert_eq!((found.uid(), found.gid()), CALLER, "{}", path.display());
        }
    });
}

#[test]
fn a_sender_without_cpu_fails_the_run() {
    on_own_host(|host| {
        let run = host.start("toast --profile clean --duration 6s --seed 5");
        until_commands(&run);
        let controller = child(run.pid(), "toast-controller").expect("the controller runs").open().unwrap().unwrap();
        controller.signal(libc::SIGSTOP).unwrap();
        // Nothing is waited for: this is the time that the sender is kept from its work.
        std::thread::sleep(Duration::from_millis(400));
        controller.signal(libc::SIGCONT).unwrap();
        let summary = run.end().summary();
        let schedule = summary.schedule.as_ref().unwrap();
        assert_eq!(summary.exit_code, 1);
        assert!(!schedule.kept && schedule.late_count > 0, "{schedule:?}");
        assert!(schedule.slip_ms.max.unwrap() > 300.0, "{schedule:?}");
        assert!(told(&summary, Severity::Error, &["schedule"]), "{:?}", summary.findings);
        assert_eq!(summary.grade.as_ref().unwrap().result, None);
    });
}

#[test]
fn an_interrupted_run_ends_soon_and_says_so() {
    on_own_host(|host| {
        for signal in [libc::SIGINT, libc::SIGTERM] {
            let run = host.start("toast --profile wifi --duration 60s --seed 6");
            until_commands(&run);
            let ended = interrupt(run, signal);
            let summary = ended.summary();
            assert_eq!(summary.exit_code, 1);
            assert!(told(&summary, Severity::Error, &["interrupted"]), "{:?}", summary.findings);
            assert!(summary.commands.as_ref().unwrap().total.delivered > 0);
            accounts_close(&summary);
        }
        // While it is still building.
        let run = host.start("toast --profile wifi --duration 60s --seed 6");
        let building = || fs::read_dir("/run/shaper").is_ok_and(|mut entries| entries.next().is_some());
        assert!(until(Duration::from_secs(30), building));
        let ended = interrupt(run, libc::SIGINT);
        assert!(matches!(ended.code, Some(1 | 2)), "{:?}: {}", ended.code, ended.stderr);
    });
}

/// Sends the signal to the run alone, and sees that it ends soon.
fn interrupt(run: Started, signal: i32) -> Ended {
    let sent = Instant::now();
    ProcessId::of(run.pid()).unwrap().open().unwrap().expect("it runs").signal(signal).unwrap();
    let ended = run.end();
    let took = sent.elapsed();
    assert!(took < Duration::from_secs(15), "it took {took:?} from signal {signal} to the end");
    ended
}

#[test]
fn a_probe_s_captures_give_the_figures_of_its_run() {
    on_own_host(|host| {
        let run = host.run("probe --profile wifi --packets 4000 --interval 500us --seed 845");
        let summary = run.summary();
        opens_without_a_warning(&run, &summary);
        let measured = &summary.directions["a_to_b"].measured;
        assert!(measured.outage.count > 0 && measured.loss.count > 0, "{measured:?}");
        let analysis = analyse(&run);
        assert_eq!(analysis["clock"]["offset_ns"], 0);
        let stream = &analysis["flows"][0];
        assert_eq!(stream["way"], "a_to_b");
        assert_eq!(stream["sent"].as_u64(), Some(measured.packets));
        assert_eq!(stream["matched"].as_u64(), Some(measured.forwarded));
        assert_eq!(stream["lost"].as_u64(), Some(measured.packets - measured.forwarded));
        assert_eq!(stream["reordered"].as_u64(), measured.reordered.map(|reordered| reordered.count));
        let one_way = measured.one_way_delay_ms.as_ref().unwrap();
        let delay = &stream["delay_ns"];
        for (key, ms) in [("min", one_way.min), ("p50", one_way.p50), ("p99", one_way.p99), ("max", one_way.max)] {
            let found = delay[key].as_f64().unwrap() / 1e6;
            assert!((found - ms.unwrap()).abs() < 1e-3, "{key}: {found} ms by the captures alone, {ms:?} by the run");
        }
        // The taps are outside the link: what they see takes longer, by their stacks and the delay line's lateness.
        let intended = measured.intended_delay_ms.p50.unwrap();
        let late = measured.lateness_us.p99.unwrap() / 1e3;
        let seen = one_way.p50.unwrap();
        assert!(intended <= seen && seen <= intended + late + 5.0, "{seen} ms seen, {intended} ms intended");
    });
}

#[test]
fn a_session_s_captures_open_elsewhere_and_verify() {
    on_own_host(|host| {
        let run = host.run("toast --profile wifi --duration 6s --seed 7 --outage-at 2s --outage-length 500ms");
        let summary = run.summary();
        assert_eq!(summary.captures.keys().collect::<Vec<_>>(), ["a", "b"]);
        opens_without_a_warning(&run, &summary);
        for name in ["a.pcapng", "b.pcapng", "manifest.json", "summary.json", "report.html"] {
            assert!(fs::metadata(run.out.join(name)).is_ok_and(|file| file.len() > 0), "{name}");
        }
        assert!(toast_frames(&run.out.join("a.pcapng")) > 100);
        assert!(toast_frames(&run.out.join("b.pcapng")) > 100);

        let analysis = analyse(&run);
        let total = &analysis["total"];
        let counts = &summary.conservation.total;
        assert_eq!(total["lost"].as_u64(), Some(counts.dropped_by_cause.values().sum()), "{total}");
        let matched = total["matched"].as_u64().unwrap();
        assert!((counts.out..=counts.out + summary.bypassed).contains(&matched), "{total}");
        assert_eq!(total["unmatched"], 0);
        let findings = analysis["findings"].to_string();
        assert!(!findings.contains("other protocol"), "{findings}");
        let one_point = Command::new(SHAPER).arg("analyze").arg(run.out.join("a.pcapng")).output().unwrap();
        let text = String::from_utf8(one_point.stdout).unwrap();
        assert!(text.contains("TOAST session") && !text.contains("other protocol"), "{text}");
    });
}

/// Sees that all TOAST frames of a capture have a good CRC, and counts them.
fn toast_frames(path: &Path) -> usize {
    let mut reader = Reader::open(path).unwrap();
    let mut frames = 0;
    while let Some(captured) = reader.next_packet().unwrap() {
        let Some(layers) = packet::parse(captured.linktype, captured.data, captured.origlen) else { continue };
        if let Some(Recognised::Frame(frame)) = recognise(layers.payload) {
            let checksum = verify(layers.payload, layers.payload_length as usize);
            assert_eq!(checksum, Checksum::Crc, "{}: {frame:?}", path.display());
            frames += 1;
        }
    }
    frames
}

/// What `shaper analyze` makes of a run's captures.
fn analyse(run: &Ended) -> Value {
    let [a, b] = ["a", "b"].map(|point| run.out.join(format!("{point}.pcapng")));
    let output = Command::new(SHAPER).arg("analyze").args([a, b]).args(["--same-clock", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Sees that our reader, tshark and capinfos take every capture of a run, whole.
fn opens_without_a_warning(run: &Ended, summary: &Summary) {
    for (point, counts) in &summary.captures {
        let path = run.out.join(format!("{point}.pcapng"));
        let mut reader = Reader::open(&path).unwrap();
        while reader.next_packet().unwrap().is_some() {}
        assert_eq!((reader.format(), reader.tail()), (pcapfile::Format::PcapNg, Tail::Complete));
        assert_eq!(reader.packets(), counts.written);
        let lines = by_nobody("tshark", &["-n", "-r"], &path);
        assert_eq!(lines.lines().count() as u64, counts.written, "{}", path.display());
        let told = by_nobody("capinfos", &["-M", "-c"], &path);
        let number = told.lines().find_map(|line| line.strip_prefix("Number of packets:")).map(str::trim);
        assert_eq!(number, Some(counts.written.to_string().as_str()), "{told}");
    }
}

/// The output of a program on a file; it must not complain. tshark complains of running as root.
fn by_nobody(program: &str, arguments: &[&str], path: &Path) -> String {
    const NOBODY: u32 = 65_534;
    let mut command = Command::new(program);
    command.args(arguments).arg(path).uid(NOBODY).gid(NOBODY).env("HOME", "/nonexistent").current_dir("/");
    let output = command.output().unwrap_or_else(|e| panic!("{program}: {e}: `cargo xtask setup` installs it"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaint.is_empty(), "{program} {}: {complaint}", path.display());
    String::from_utf8(output.stdout).unwrap()
}

fn peers(summary: &Summary) -> Vec<(&str, &CommandCounts)> {
    summary.commands.as_ref().unwrap().peers.iter().map(|(peer, counts)| (peer.as_str(), counts)).collect()
}

/// Every peer of a star on a clean link did what it was told, at about the same time.
fn all_follow(summary: &Summary, expected: usize) {
    let peers = peers(summary);
    assert_eq!(peers.len(), expected);
    for (peer, counts) in &peers {
        assert!(counts.intended > 0, "{peer} {counts:?}");
        let done = (counts.delivered, counts.applied_once, counts.repeated, counts.missed);
        assert_eq!(done, (counts.intended, counts.intended, 0, 0), "{peer} {counts:?}");
    }
    let spread = summary.spread_ms.as_ref().unwrap();
    assert_eq!(spread.distribution.n, peers[0].1.intended, "{spread:?}");
    assert!(spread.distribution.p95.is_some() && spread.beat_fraction.is_some(), "{spread:?}");
    assert_eq!(summary.captures.len(), expected + 1);
    // Each host has a link of two directions.
    assert_eq!(summary.directions.len(), 2 * (expected + 1));
    accounts_close(summary);
    // A grade, unless the machine was too busy for one, which is said.
    let grade = summary.grade.as_ref().unwrap();
    let kept = summary.schedule.as_ref().unwrap().kept;
    let enough = peers.iter().all(|(_, counts)| counts.intended >= 100);
    assert_eq!(grade.result.is_some(), kept && enough, "{grade:?}");
    assert!(!grade.why.is_empty());
}

#[test]
fn all_peers_of_a_star_follow() {
    on_own_host(|host| {
        let run = host.run("toast --peers 3 --duration 8s --profile clean --seed 8");
        let summary = run.summary();
        all_follow(&summary, 3);
        opens_without_a_warning(&run, &summary);
    });
}

#[test]
fn twenty_peers_of_a_star_follow() {
    // Long enough for a grade where time is not short.
    let duration = if std::env::var_os("SHAPER_TEST_FULL").is_some() { "25s" } else { "4s" };
    on_own_host(|host| {
        let run = host.run(&format!("toast --peers 20 --duration {duration} --profile clean --seed 9"));
        all_follow(&run.summary(), 20);
    });
}

#[test]
fn a_late_joiner_a_leaver_and_a_wrong_clock_are_found() {
    on_own_host(|host| {
        let flags = "--late c@2s --leave d@5s --clock b@2500us,40ppm";
        let summary = host.run(&format!("toast --peers 3 --duration 8s --profile clean --seed 10 {flags}")).summary();
        let [(_, b), (_, c), (_, d)] = peers(&summary)[..] else { panic!("{:?}", peers(&summary)) };
        let share = |counts: &CommandCounts| counts.intended as f64 / b.intended as f64;
        // Meant for it are the commands of the time that it was there: 6 of 8 and 5 of 8 seconds.
        assert!((0.70..=0.80).contains(&share(c)), "{c:?} of {b:?}");
        assert!((0.58..=0.68).contains(&share(d)), "{d:?} of {b:?}");
        assert_eq!((b.missed, b.applied_once), (0, b.intended), "{b:?}");
        assert!(told(&summary, Severity::Note, &["c", "joined late"]), "{:?}", summary.findings);
        let left = [Severity::Note, Severity::Warning];
        assert!(left.iter().any(|s| told(&summary, *s, &["d", "after it left"])), "{:?}", summary.findings);

        let clock = &summary.clock["b"];
        // Offset and what the skew has added by the end of the run.
        let injected = clock.offset_injected_us.unwrap();
        assert!((2_500.0..2_500.0 + 40.0 * 20.0).contains(&injected), "{clock:?}");
        assert!((clock.skew_injected_ppm.unwrap() - 40.0).abs() < 0.1, "{clock:?}");
        // No exchange tells more than half its round trip; what the skew adds between exchanges is little.
        let error = clock.offset_error_us.unwrap();
        assert!(error.abs() <= clock.offset_bound_us.unwrap() + 50.0, "{clock:?}");
        assert!(clock.exchanges >= 4, "{clock:?}");
        let drift = summary.position_drift_ppm["b"].unwrap();
        assert!((drift - 40.0).abs() < 25.0, "{drift} ppm");
        let right = &summary.clock["c"];
        assert_eq!(right.offset_injected_us, Some(0.0));
        assert!(right.offset_error_us.unwrap().abs() <= right.offset_bound_us.unwrap() + 50.0, "{right:?}");
    });
}

#[test]
fn two_controllers_are_told_and_end_in_one_state() {
    on_own_host(|host| {
        let summary = host.run("toast --peers 2 --duration 5s --profile clean --seed 11 --second-controller").summary();
        let finding = summary.findings.iter().find(|finding| finding.text.contains("two controllers"));
        let text = &finding.expect("two controllers are told").text;
        assert!(text.contains("c-controller") && text.contains("the same state"), "{text}");
        // Both command b.
        let (_, b) = peers(&summary)[0];
        let sent = summary.schedule.as_ref().unwrap().slip_ms.n;
        assert_eq!((b.intended, b.delivered), (sent, sent), "{b:?}");
    });
}

#[test]
fn tempo_changes_arrive_under_loss() {
    on_own_host(|host| {
        let run = host.run("toast --duration 5s --profile clean --loss 10% --seed 12 --tempo 90,140");
        let summary = run.summary();
        let total = &summary.commands.as_ref().unwrap().total;
        // Three copies each: one in a thousand commands is lost.
        assert!(total.delivered as f64 >= 0.95 * total.intended as f64, "{total:?}");
        let peer = fs::read_to_string(run.out.join("b.jsonl")).unwrap();
        for tempo in ["120.0", "90.0", "140.0"] {
            assert!(peer.contains(&format!("\"bpm\":{tempo}")), "b was never at {tempo} beats per minute");
        }
    });
}
