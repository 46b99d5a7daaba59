//! WebRTC clients behind impaired links: what arrives, what is lost, who says so, and what becomes of a run whose server,
//! link or tester goes away.

#![cfg(all(feature = "live", feature = "webrtc"))]
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests panic with their context")]

#[path = "support/children.rs"]
mod children;
#[path = "support/runs.rs"]
mod runs;
mod support;

use std::fs;
use std::process::Command;
use std::time::Duration;

use children::child;
use nix::libc;
use runs::Ended;
use shaper_report::summary::{ClientSecond, LegLosses, Second, Severity, Summary, WebRtc};
use support::{Host, SHAPER, on_own_host, until};

/// Enough for a server, a tester and their first media to be up on a busy machine.
const UP: Duration = Duration::from_secs(30);

fn webrtc(summary: &Summary) -> &WebRtc {
    let Some(webrtc) = &summary.webrtc else { panic!("{:?}", summary.findings) };
    webrtc
}

fn errors(summary: &Summary) -> Vec<&str> {
    let errors = summary.findings.iter().filter(|finding| finding.severity == Severity::Error);
    // Whether a link was late, and a tester kept its schedule, depends on who else wants this machine's CPUs.
    let errors = errors.map(|finding| finding.text.as_str());
    errors.filter(|text| !text.contains("left too late") && !text.contains("ms late")).collect()
}

fn leg<'a>(webrtc: &'a WebRtc, name: &str) -> &'a LegLosses {
    webrtc.losses.iter().find(|losses| losses.leg == name).unwrap()
}

#[test]
fn on_a_clean_link_everything_arrives_and_all_columns_are_zero() {
    on_own_host(|host| {
        let summary =
            host.run("webrtc --clients 4 --ramp-up 1s --duration 5s --profile clean --quality 480p").summary();
        assert_eq!(errors(&summary), [""; 0]);
        let webrtc = webrtc(&summary);
        let connected = webrtc.connected.unwrap();
        assert_eq!((connected.count, connected.of), (4, 4), "{:?}", webrtc.failed);
        let received = webrtc.received_of_expected.unwrap();
        // 50 packets of audio a second, and more of video, from each of four to the three others.
        assert!(received.of > 4 * 3 * 5 * 50 && received.count == received.of, "{received:?}");
        for name in ["uplink", "downlink"] {
            let losses = leg(webrtc, name);
            assert!(losses.sent > 4 * 5 * 50, "{losses:?}");
            assert_eq!(
                (losses.by_captures, losses.by_receiver, losses.by_rtcp),
                (Some(0), Some(0), Some(0)),
                "{losses:?}"
            );
            assert_eq!(losses.adds_up, Some(true), "{losses:?}");
        }
        assert_eq!(webrtc.lost_by_server, Some(0));
        let split = webrtc.split.as_ref().unwrap();
        assert_eq!(split.stages.len(), 5);
        // Clocks of one host agree to some microseconds.
        assert!(split.stages.iter().all(|stage| stage.n == split.total.n && stage.min_ms > Some(-0.1)), "{split:?}");
        for client in &webrtc.clients {
            assert!(client.connected && client.sent > 0 && client.received == client.expected, "{client:?}");
        }
        for name in ["server", "tester"] {
            let used = webrtc.used[name];
            assert!(used.memory_bytes_most > 1 << 20 && used.descriptors_most > 3, "{name}: {used:?}");
            assert!(used.cpu_percent.unwrap() > 0.0, "{name}: {used:?}");
        }
        assert!(webrtc.over_time.len() >= 5, "{:?}", webrtc.over_time);
    });
}

#[test]
fn what_a_lossy_link_loses_three_sources_agree_on() {
    on_own_host(|host| {
        let ended = host.run("webrtc --clients 3 --ramp-up 1s --duration 6s --profile wifi --seed 3 --quality 480p");
        let summary = ended.summary();
        assert_eq!(errors(&summary), [""; 0]);
        let webrtc = webrtc(&summary);
        assert_eq!(webrtc.connected.unwrap().count, 3, "{:?}", webrtc.failed);
        for name in ["uplink", "downlink"] {
            let losses = leg(webrtc, name);
            // 5 % of them; 12 standard deviations are no matter of luck.
            let expected = 0.05 * losses.sent as f64;
            let lost = losses.by_captures.unwrap() as f64;
            assert!((lost - expected).abs() < 12.0 * expected.sqrt(), "{losses:?}");
            assert!(losses.repaired.unwrap() > 0, "{losses:?}");
            assert_eq!(losses.adds_up, Some(true), "{losses:?}");
        }
        // Of what was lost on the way up each packet has its cause.
        let up = leg(webrtc, "uplink");
        assert_eq!(up.causes.get("loss"), up.by_captures.as_ref(), "{up:?}");
        assert_eq!(webrtc.lost_by_server, Some(0));
        let split = webrtc.split.as_ref().unwrap();
        let of = |name: &str| split.stages.iter().find(|stage| stage.stage == name).unwrap().p50_ms.unwrap();
        // The preset's delay of 15 ms +- 30 ms has a median of 15.
        for link in ["uplink", "downlink"] {
            assert!((10.0..30.0).contains(&of(link)), "{split:?}");
        }
        let page = fs::read_to_string(ended.out.join("report.html")).unwrap();
        for title in ["Bit rate over time", "Latency from end to end over time", "Where the latency went"] {
            assert!(page.contains(title), "{title}");
        }
        let parsed: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(ended.out.join("webrtc_path.json")).unwrap()).unwrap();
        assert_eq!(parsed["joined_by"], "mapping_log");
    });
}

/// A client that sends and one that receives, each behind a link with a profile of the test's own.
fn one_sends_through(host: &Host, profile: &str, more: &str) -> Ended {
    let file = host.folder.path().join("own.toml");
    fs::write(&file, profile).unwrap();
    host.run(&format!("webrtc --clients 2 --publish-ratio 0.5 --profile {} {more}", file.display()))
}

#[test]
fn what_a_sender_sends_follows_what_its_link_carries() {
    const STEPS: &str = r#"
name = "steps"
delay = "20ms"
[up]
rate = "2mbit"
queue = "300ms"
[[change]]
at = "12s"
[change.up]
rate = "500kbit"
[[change]]
at = "26s"
[change.up]
rate = "2mbit"
"#;
    on_own_host(|host| {
        let ended = one_sends_through(host, STEPS, "--ramp-up 1s --duration 44s");
        let summary = ended.summary();
        assert_eq!(errors(&summary), [""; 0]);
        let seconds = &webrtc(&summary).over_time;
        let phases: Vec<&[Second]> =
            seconds.chunk_by(|one, other| one.uplink_rate_bps == other.uplink_rate_bps).collect();
        let rates: Vec<_> = phases.iter().map(|phase| phase[0].uplink_rate_bps).collect();
        assert_eq!(rates, [Some(2e6), Some(5e5), Some(2e6)], "{seconds:?}");
        let [before, narrow, after] = phases[..] else { panic!("{seconds:?}") };
        let most = |seconds: &[Second]| seconds.iter().map(|second| second.sent_bitrate).fold(0.0, f64::max);
        // What the estimate needs to see that the link carries less is let go by.
        let narrow = &narrow[5.min(narrow.len())..];
        let mean = narrow.iter().map(|second| second.sent_bitrate).sum::<f64>() / narrow.len() as f64;
        assert!(narrow.len() >= 5 && (1e5..6e5).contains(&mean), "{mean} bit/s: {seconds:?}");
        assert!(most(before) > 1.5 * mean, "it did not send more before: {seconds:?}");
        assert!(most(after) > 1.25 * mean, "it does not send more again: {seconds:?}");
        let page = fs::read_to_string(ended.out.join("report.html")).unwrap();
        assert!(page.contains("what their access links carry") && page.contains("Clients over time"));
    });
}

#[test]
fn who_is_behind_a_narrow_link_is_sent_a_smaller_layer() {
    const NARROW: &str = r#"
name = "narrow"
delay = "10ms"
[down]
rate = "4mbit"
queue = "200ms"
[[change]]
at = "10s"
[change.down]
rate = "400kbit"
"#;
    on_own_host(|host| {
        let summary = one_sends_through(host, NARROW, "--ramp-up 1s --duration 27s --simulcast").summary();
        assert_eq!(errors(&summary), [""; 0]);
        let client = webrtc(&summary).clients.iter().find(|client| client.expected > 0).unwrap();
        let seconds = &client.over_time;
        assert!(seconds.len() > 25, "{seconds:?}");
        let received = |seconds: &[ClientSecond]| seconds.iter().map(|second| second.received).sum::<u64>();
        let missed = |seconds: &[ClientSecond]| seconds.iter().map(|second| second.missed).sum::<u64>();
        // Beside 50 packets of sound each second: some 200 of the largest layer, and of the smallest 30, all of which
        // come. Of the largest a link of 400 kbit/s would drop four of five.
        let (before, after) = (&seconds[4..9], &seconds[18..23]);
        assert!(received(before) > 5 * 150, "{seconds:?}");
        assert!((5 * 60..5 * 130).contains(&received(after)), "{seconds:?}");
        assert!(missed(after) < received(after) / 10, "{seconds:?}");
    });
}

#[test]
fn a_server_that_is_killed_is_named_and_what_was_counted_stands() {
    on_own_host(|host| {
        let run = host.start("webrtc --clients 2 --ramp-up 1s --duration 20s --profile clean --audio-only");
        let log = run.out.join("tester.packets");
        assert!(until(UP, || log.metadata().is_ok_and(|found| found.len() > 100 * 48)), "no media within {UP:?}");
        let server = child(run.pid(), "serve").unwrap();
        server.open().unwrap().unwrap().signal(libc::SIGKILL).unwrap();
        let ended = run.end();
        let summary = ended.summary();
        assert_eq!(ended.code, Some(1));
        assert!(
            errors(&summary).iter().any(|error| error.contains("server ended with signal: 9")),
            "{:?}",
            summary.findings
        );
        let webrtc = webrtc(&summary);
        assert!(webrtc.sent > 0 && webrtc.received > 0, "{webrtc:?}");
        assert!(webrtc.clients.iter().all(|client| !client.errors.is_empty()), "{:?}", webrtc.clients);
    });
}

#[test]
fn a_server_that_is_killed_and_comes_back_has_its_clients_again() {
    on_own_host(|host| {
        let ended = host.run(
            "webrtc --clients 2 --ramp-up 1s --duration 24s --profile clean --audio-only --kill-server-at 5s \
             --server-back-after 2s",
        );
        let summary = ended.summary();
        assert_eq!(errors(&summary), [""; 0]);
        let webrtc = webrtc(&summary);
        let outage = webrtc.server_outage.as_ref().unwrap();
        let listened = outage.listened_s.unwrap();
        assert!(outage.killed_s > 4.0 && listened >= outage.killed_s + 2.0, "{outage:?}");
        assert_eq!((outage.recovered.count, outage.recovered.of), (2, 2), "{:?}", webrtc.clients);
        let shortest = outage.recovery_ms.min.unwrap();
        assert!(shortest >= 1e3 * (listened - outage.killed_s), "{outage:?}");
        for client in &webrtc.clients {
            let [away] = &client.outages[..] else { panic!("{client:?}") };
            assert!(away.reason.starts_with("signalling: ") && away.lasted_s > Some(1.0), "{away:?}");
            assert_eq!((client.connected, client.errors.len()), (true, 1), "{client:?}");
        }
        let again = (outage.killed_s + outage.recovery_ms.max.unwrap() / 1e3) as usize + 1;
        let after: u64 = webrtc.over_time[again..].iter().map(|second| second.received).sum();
        assert!(after > 50, "nothing came back: {:?}", webrtc.over_time);
        assert!(webrtc.over_time[6].received == 0, "the server was gone: {:?}", webrtc.over_time);
        let told = summary.findings.iter().find(|finding| finding.text.starts_with("the server was killed")).unwrap();
        assert!(told.text.contains("2 of 2 clients that had lost media had it again"), "{told:?}");
        // Of both servers the log says which packet became which.
        assert!(webrtc.losses.iter().all(|losses| losses.adds_up == Some(true)), "{:?}", webrtc.losses);
        assert!(webrtc.used.contains_key("server-2") && ended.out.join("server-2.map").exists());
    });
}

#[test]
fn a_client_that_is_killed_is_given_up_by_the_server_and_the_others_go_on() {
    on_own_host(|host| {
        // The server waits for 30 s until it gives somebody up whose WebSocket is lost.
        let ended =
            host.run("webrtc --clients 3 --ramp-up 1s --duration 40s --profile clean --audio-only --kill-client 1@4s");
        let summary = ended.summary();
        assert_eq!(errors(&summary), [""; 0]);
        let webrtc = webrtc(&summary);
        let [one, killed, other] = &webrtc.clients[..] else { panic!("{:?}", webrtc.clients) };
        assert!(killed.killed_s >= Some(4.0) && one.killed_s.is_none() && other.killed_s.is_none());
        for client in [one, other] {
            assert!(client.connected && client.errors.is_empty() && client.outages.is_empty(), "{client:?}");
            // 50 packets a second of the other, and what the killed one had sent.
            assert!(client.received == client.expected && client.received > 35 * 50, "{client:?}");
        }
        assert!(summary.findings.iter().any(|finding| finding.text.starts_with("client-1 was killed, as asked")));
        assert!(webrtc.losses.iter().all(|losses| losses.adds_up == Some(true)), "{:?}", webrtc.losses);
        let told = fs::read_to_string(ended.out.join("server.out")).unwrap();
        assert!(told.contains(r#""shaper_webrtc_participants_lost_total":1"#), "{told}");
    });
}

#[test]
fn a_tester_that_is_killed_is_named() {
    on_own_host(|host| {
        let run = host.start("webrtc --clients 2 --ramp-up 1s --duration 20s --profile clean --audio-only");
        let log = run.out.join("tester.packets");
        assert!(until(UP, || log.metadata().is_ok_and(|found| found.len() > 100 * 48)), "no media within {UP:?}");
        let tester = child(run.pid(), "load").unwrap();
        tester.open().unwrap().unwrap().signal(libc::SIGKILL).unwrap();
        let ended = run.end();
        let summary = ended.summary();
        assert_eq!(ended.code, Some(1));
        for told in ["tester ended with signal: 9", "the tester left no results"] {
            assert!(errors(&summary).iter().any(|error| error.contains(told)), "{told}: {:?}", summary.findings);
        }
    });
}

#[test]
fn a_link_that_is_out_for_seconds_comes_back_with_its_clients() {
    on_own_host(|host| {
        let summary = host
            .run(
                "webrtc --clients 2 --ramp-up 1s --duration 17s --profile clean --outage-at 5s --outage-length 5s \
                 --audio-only",
            )
            .summary();
        let webrtc = webrtc(&summary);
        assert_eq!(webrtc.connected.unwrap().count, 2, "{:?}", summary.findings);
        let received =
            |from: usize, to: usize| webrtc.over_time[from..to].iter().map(|second| second.received).sum::<u64>();
        assert!(received(2, 4) > 50, "{:?}", webrtc.over_time);
        assert_eq!(received(6, 9), 0, "the link was down: {:?}", webrtc.over_time);
        assert!(received(14, 17) > 50, "nothing came back: {:?}", webrtc.over_time);
        // All links were down at once: what is lost on the way up has nothing to lose on the way down.
        assert!(leg(webrtc, "uplink").by_captures.unwrap() > 300, "{:?}", webrtc.losses);
        for client in &webrtc.clients {
            assert!(client.outages.iter().all(|outage| outage.lasted_s.is_some()), "{client:?}");
        }
        assert!(webrtc.losses.iter().all(|losses| losses.adds_up == Some(true)), "{:?}", webrtc.losses);
    });
}

#[test]
fn on_a_congested_link_each_client_is_connected_or_says_why_and_three_sources_agree() {
    on_own_host(|host| {
        let summary = host
            .run("webrtc --clients 4 --ramp-up 2s --duration 10s --profile congested --quality 480p --drain 2s")
            .summary();
        assert_eq!(errors(&summary), [""; 0]);
        let webrtc = webrtc(&summary);
        assert!(webrtc.received > 0, "{:?}", summary.findings);
        for client in &webrtc.clients {
            assert!(client.connected || !client.errors.is_empty(), "{client:?}");
        }
        for name in ["uplink", "downlink"] {
            let losses = leg(webrtc, name);
            assert!(losses.by_captures.unwrap() > 0 && losses.adds_up == Some(true), "{losses:?}");
        }
    });
}

#[test]
fn a_scenario_has_the_load_its_timeline_and_what_is_expected() {
    on_own_host(|host| {
        let file = host.folder.path().join("call.toml");
        let text = r#"
            duration = "9s"
            [lab]
            [link]
            delay = "10ms"
            [[timeline]]
            at = "5s"
            delay = "60ms"
            [[workload]]
            webrtc = { clients = 2, ramp_up = "1s", audio_only = true }
            [[workload]]
            command = ["true"]
            on = "c2"
            [expect]
            connected = "== 100%"
            received = ">= 99%"
            e2e.p50 = ["> 19ms", "< 2s"]
            loss.c1_up = "== 0%"
        "#;
        fs::write(&file, text).unwrap();
        let summary = host.run(file.to_str().unwrap()).summary();
        assert_eq!(errors(&summary), [""; 0]);
        assert!(summary.expectations.iter().all(|expected| expected.held), "{:?}", summary.expectations);
        // The five above, and that the command ends well.
        assert_eq!(summary.expectations.len(), 6, "{:?}", summary.expectations);
        let webrtc = webrtc(&summary);
        let median = |second: usize| webrtc.over_time[second].end_to_end_p50_ms.unwrap();
        assert!(median(3) + 80.0 < median(7), "{:?}", webrtc.over_time);
        assert_eq!((summary.run.workload.as_str(), summary.programs.len()), ("webrtc", 1));
    });
}

#[test]
fn levels_follow_each_other_each_with_a_directory_and_a_row() {
    on_own_host(|host| {
        let out = host.folder.path().join("levels");
        let mut command = Command::new(SHAPER);
        command.args(["run", "webrtc", "--levels", "1,2", "--ramp-up", "0s", "--duration", "2s", "--profile", "clean"]);
        let output = command.arg("--out").arg(&out).arg("--audio-only").output().unwrap();
        let (told, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        for clients in [1, 2] {
            let text = fs::read_to_string(out.join(format!("clients-{clients}/summary.json")))
                .unwrap_or_else(|_| panic!("{said}"));
            let summary = Summary::from_json(&text).unwrap();
            assert_eq!(webrtc(&summary).connected.unwrap().of, clients);
        }
        let last: Vec<&str> = told.lines().rev().take(2).filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(last, ["2", "1"], "{told}");
    });
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_made() {
    for (arguments, told) in [
        (&["--clients", "0"][..], "--clients 0: want one or more"),
        (&["--clients", "3", "--links", "64"], "--links 64: want 1 to 63"),
        (&["--duration", "0s"], "--duration 0: a run needs time"),
        (&["--levels", "1,2", "--clients", "3"], "cannot be used with"),
        (&["--profile", "wfi"], "wfi"),
        (&["--kill-server-at", "1min"], "--kill-server-at 60s: the run is over by then"),
        (&["--server-back-after", "1s"], "--kill-server-at"),
        (
            &["--kill-server-at", "5s", "--server-back-after", "1min"],
            "--server-back-after 60s: the run is over by then",
        ),
        (&["--kill-client", "7"], "such as 3@5s"),
        (&["--kill-client", "5@5s"], "--kill-client 5@5s: want a client from 0 to 4"),
    ] {
        let output = Command::new(SHAPER).args(["run", "webrtc"]).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(told), "{arguments:?}: {said}");
    }
}
