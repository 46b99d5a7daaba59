//! A run cannot fool itself, leaves nothing behind, and its evidence opens elsewhere.

#![cfg(feature = "live")]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests panic with their context")]

#[path = "support/children.rs"]
mod children;
#[path = "support/evidence.rs"]
mod evidence;
#[path = "support/outcome.rs"]
mod outcome;
#[path = "support/runs.rs"]
mod runs;
mod support;
#[path = "../../shaper-offline/tests/captures/truth.rs"]
mod truth;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use children::child;
use evidence::{accounts_close, opens_without_a_warning, told};
use nix::libc;
use runs::{Ended, Started};
use serde_json::Value;
use shaper_net::process::ProcessId;
use shaper_offline::packet;
use shaper_offline::pcapfile::Reader;
use shaper_offline::toast::{Checksum, Recognised, recognise, verify};
use shaper_report::agreement::Agreement;
use shaper_report::summary::{GradeLevel, Severity, Summary, Window};
use support::{SHAPER, on_own_host, until};

/// Told, and not as a note.
fn grave(summary: &Summary, words: &[&str]) -> bool {
    told(summary, Severity::Error, words) || told(summary, Severity::Warning, words)
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
fn who_was_not_started_is_told_from_who_is_deaf() {
    on_own_host(|host| {
        let flags = "--peers 2 --duration 2s --profile clean --loss 100% --absent b --seed 13";
        let summary = host.run(&format!("toast {flags}")).summary();
        assert_eq!(summary.exit_code, 1);
        let words = ["nobody listens at b (not started, as asked), c: delivered 0 of "];
        assert!(told(&summary, Severity::Error, &words), "{:?}", summary.findings);
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
        assert_eq!((join.contradictions, join.unrecorded), (0, 0), "{join:?}");
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
        let made = host.folder.path().join("made");
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
fn what_became_of_each_packet_is_found_by_the_captures_alone() {
    on_own_host(|host| {
        let profile = host.folder.path().join("everything.toml");
        let settings = "name = \"everything\"\ndelay = \"8ms\"\njitter = \"6ms\"\nloss = \"5% burst 3\"\n\
                        duplicate = \"10% copies 2 delay 2ms\"\ncorrupt = \"10% bytes 2 in payload\"\nreorder = \"5%\"\n";
        fs::write(&profile, settings).unwrap();
        let run =
            host.run(&format!("probe --profile {} --packets 1500 --interval 500us --seed 848", profile.display()));
        let summary = run.summary();
        assert!(summary.captures.values().all(|capture| capture.dropped == 0), "{:?}", summary.captures);
        let [a, b] = ["a.pcapng", "b.pcapng"].map(|name| run.out.join(name));
        let (seen, _) = truth::holds([&a, &b], Some(&run.out.join("records.csv")), &|ns| ns, 0);
        assert_eq!(seen.lost as u64, summary.directions["a_to_b"].measured.loss.count);
        assert!(seen.lost > 30 && seen.duplicated > 150 && seen.corrupted > 80 && seen.reordered > 300, "{seen:?}");
    });
}

#[test]
fn a_session_s_captures_open_elsewhere_and_verify() {
    on_own_host(|host| {
        let run = host.run("toast --profile wifi --duration 6s --seed 7 --outage-at 2s --outage-length 500ms");
        let summary = run.summary();
        assert_eq!(summary.captures.keys().collect::<Vec<_>>(), ["a", "b"]);
        let [convergence] = &summary.convergence[..] else { panic!("one outage: {:?}", summary.convergence) };
        assert_eq!(convergence.outage, Window { start_ms: 2_000.0, end_ms: 2_500.0 });
        assert!(convergence.tested, "{convergence:?}");
        // Right again with the first command after it that arrives: the next comes within a spacing, 91 ms, and takes
        // 45 at most; all its copies are lost once in 8,000 times.
        let back = convergence.peers_ms["b"].unwrap();
        assert!(back > 0.0 && back < 91.0 + 45.0 + 100.0, "{back} ms");
        assert!(convergence.within_beat, "{convergence:?}");
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

#[test]
fn the_time_of_a_command_is_split_where_it_was_spent() {
    const LATENCY: f64 = 20.0;
    on_own_host(|host| {
        let summary = host.run("toast --duration 6s --profile clean --latency 20ms --seed 14").summary();
        let split = summary.latency_split.as_ref().unwrap();
        let total = &summary.commands.as_ref().unwrap().total;
        assert_eq!((split.unjoined, split.unanswered), (0, 0), "{split:?}");
        assert_eq!((split.total.n, total.missed), (total.intended, 0), "{split:?} {total:?}");
        for stage in &split.stages {
            // Taps and applications read two clocks, put on one to within some microseconds.
            assert!(stage.min_ms.unwrap() > -0.05, "{stage:?}");
        }
        for (name, direction) in [("link", "a_to_b"), ("answer_link", "b_to_a")] {
            let stage = split.stages.iter().find(|stage| stage.stage == name).unwrap();
            // The taps are outside the link: two crossings of veth, and however late the delay line was.
            let late = summary.directions[direction].measured.lateness_us.p99.unwrap() / 1e3;
            let p50 = stage.p50_ms.unwrap();
            assert!((LATENCY..=LATENCY + late + 2.0).contains(&p50), "{stage:?}, late by {late} ms");
        }
        let sum: f64 = split.stages.iter().map(|stage| stage.min_ms.unwrap()).sum();
        assert!(sum <= split.total.min_ms.unwrap() + 1e-6, "{split:?}");
    });
}

#[test]
fn the_run_of_the_demo_is_graded_where_its_sender_kept_the_schedule() {
    on_own_host(|host| {
        let demo = "toast --profile wifi --duration 20s --seed 7 --outage-at 10s --outage-length 500ms";
        let run = host.run(demo);
        let summary = run.summary();
        let total = &summary.commands.as_ref().unwrap().total;
        assert!(total.intended >= 100, "{total:?}");
        assert_eq!(total.applied_once + total.repeated + total.superseded + total.missed, total.intended, "{total:?}");
        let kept = summary.schedule.as_ref().unwrap().kept;
        assert_eq!(summary.exit_code, u8::from(!kept), "{:?}", summary.findings);
        assert_eq!(told(&summary, Severity::Error, &["schedule"]), !kept, "{:?}", summary.findings);
        let grade = summary.grade.as_ref().unwrap();
        assert_eq!(grade.result.is_some(), kept, "{grade:?}");
        accounts_close(&summary);
        opens_without_a_warning(&run, &summary);
    });
}

#[test]
fn a_person_reads_the_grade_and_where_the_evidence_is() {
    on_own_host(|host| {
        let out = host.folder.path().join("told");
        let arguments = "run toast --profile clean --duration 2s --seed 15 --out";
        let output = Command::new(SHAPER).args(arguments.split_whitespace()).arg(&out).output().unwrap();
        let table = String::from_utf8(output.stdout).unwrap();
        let summary = Summary::from_json(&fs::read_to_string(out.join("summary.json")).unwrap()).unwrap();
        assert_eq!(output.status.code(), Some(i32::from(summary.exit_code)), "{table}");
        let line = |label: &str| table.lines().find(|line| line.starts_with(label));
        assert!(line("grade ").is_some_and(|grade| grade.contains("none: ")), "{table}");
        let evidence = format!("evidence  {}/  (report.html, summary.json, *.pcapng)", out.display());
        assert_eq!(table.lines().last(), Some(evidence.as_str()), "{table}");
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

#[test]
fn of_what_is_not_to_be_recorded_nothing_is_judged_and_nothing_is_amiss() {
    on_own_host(|host| {
        for (mode, delays) in [("drops", 0), ("1/4", 1)] {
            let flags = "--packets 1200 --interval 1ms --profile clean --loss 25% --delay 5ms --jitter 2ms --seed 4";
            let run = host.run(&format!("probe {flags} --records {mode}"));
            let summary = run.summary();
            let oracle = &summary.oracle;
            assert_eq!((oracle.mismatches, oracle.unchecked), (0, 0), "{oracle:?}");
            assert_eq!(oracle.checked + oracle.left_out, summary.conservation.total.arrived, "{oracle:?}");
            assert!(told(&summary, Severity::Note, &["decisions were not to be recorded"]), "{:?}", summary.findings);
            if let Err(why) = outcome::held(&summary) {
                panic!("--records {mode}: {why}");
            }
            let forward = &summary.directions["a_to_b"];
            let dropped = summary.conservation.by_direction["a_to_b"].dropped_by_cause["loss"];
            assert_eq!(forward.measured.loss.count, dropped, "the account has it whatever is recorded");
            assert_eq!(forward.measured.intended_delay_ms.n > 0, delays > 0, "{:?}", forward.measured);
            assert_eq!((&forward.measured.offered_bps, &forward.measured.reordered), (&None, &None));
            let manifest = fs::read_to_string(run.out.join("manifest.json")).unwrap();
            let manifest: Value = serde_json::from_str(&manifest).unwrap();
            assert_eq!(manifest["engine"]["records"], mode);
        }
    });
}
