//! Ways to fail: each is told apart, has its name, and ends.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio_tungstenite::tungstenite;

use super::{config, load, serve};
use crate::load::results::Level;
use crate::load::{Faults, LoadConfig, Outcome, Stage, Stop, Target, run};
use crate::serve::{Limits, ServeConfig, Server};

/// Longer than any of these takes on a busy machine.
const LONG: Duration = Duration::from_secs(120);

fn finding<'s>(findings: &'s [String], begin: &str) -> Option<&'s String> {
    findings.iter().find(|finding| finding.starts_with(begin))
}

#[test]
fn a_publisher_whose_packets_never_arrive_is_one_way_and_not_no_media() {
    let server = serve(ServeConfig::default());
    let faults = Faults { mute: vec![1], ..Faults::default() };
    let outcome = load(LoadConfig { clients: 3, duration: Duration::from_secs(4), faults, ..config(&server) });
    let summary = &outcome.summary;
    assert!(summary.media_flowed);
    let told = finding(&summary.findings, "one-way").unwrap();
    assert!(told.contains("client-1 sent") && !told.contains("client-0"), "{told}");
    assert_eq!(
        outcome.clients.iter().map(|client| client.acknowledged).collect::<Vec<_>>(),
        [Some(true), Some(false), Some(true)]
    );
    assert!(summary.packets_lost > 0 && finding(&summary.findings, "no media").is_none(), "{summary:#?}");
}

#[test]
fn a_tester_without_its_cpu_says_so_and_its_verdict_is_not_good() {
    let server = serve(ServeConfig::default());
    let stall = Some((Duration::from_millis(150), Duration::from_millis(20)));
    let faults = Faults { stall, ..Faults::default() };
    let outcome = load(LoadConfig { clients: 2, faults, ..config(&server) });
    let summary = &outcome.summary;
    assert!(finding(&summary.findings, "this host cannot carry 2 clients").is_some(), "{summary:#?}");
    assert!(summary.schedule_slip.unwrap().p99_ms > 20.0);
    assert_ne!(summary.verdict, Level::Good);
    // What is late has come all the same.
    assert!(summary.media_flowed);
}

#[test]
fn a_server_that_ends_in_the_middle_is_named_and_the_counts_are_complete() {
    let server = serve(ServeConfig::default());
    let config = LoadConfig { timeout: Duration::from_secs(1), ..config(&server) };
    let began = Instant::now();
    let running = std::thread::spawn(move || load(config));
    std::thread::sleep(Duration::from_millis(1500));
    server.stop().unwrap();
    let outcome = running.join().unwrap();
    assert!(began.elapsed() < LONG);
    assert_eq!(outcome.clients.len(), 5);
    for client in &outcome.clients {
        assert!(client.failed_stage.is_some() && !client.errors.is_empty(), "{client:#?}");
    }
    assert_eq!(outcome.summary.failed_stages.values().sum::<u64>(), 5);
    assert!(
        finding(&outcome.summary.findings, "5 clients failed at").is_some() || outcome.summary.failed_stages.len() > 1
    );
}

#[test]
fn a_server_that_comes_back_has_its_clients_again_and_how_long_they_were_away_is_told() {
    let server = serve(ServeConfig::default());
    let listen = server.listening();
    let config = LoadConfig { clients: 3, duration: Duration::from_secs(15), video: false, ..config(&server) };
    let running = std::thread::spawn(move || load(config));
    std::thread::sleep(Duration::from_secs(3));
    server.stop().unwrap();
    // Longer than the tester's own slack: what is sent meanwhile is expected of nobody.
    std::thread::sleep(Duration::from_secs(4));
    let again = Server::start(ServeConfig { listen, pin: false, ..ServeConfig::default() }).unwrap();
    let outcome = running.join().unwrap();
    again.stop().unwrap();
    for client in &outcome.clients {
        let [outage] = &client.outages[..] else { panic!("{client:#?}") };
        assert!(outage.seconds.is_some_and(|seconds| seconds >= 4.0), "{outage:?}");
        assert_eq!((client.failed_stage, client.rejoins), (None, 1), "{client:#?}");
        // Two of audio of each of the others, before and after.
        assert_eq!(client.subscriptions.len(), 4, "{client:#?}");
        assert!(client.subscriptions.iter().all(|subscription| subscription.received > 0), "{client:#?}");
    }
    let summary = &outcome.summary;
    assert_eq!((summary.packets_lost, summary.total_errors), (0, 3), "{summary:#?}");
    let told = finding(&summary.findings, "client-0, client-1, client-2 lost media that had flowed").unwrap();
    assert!(told.contains("3 times in all, and had it again 3 times"), "{told}");
}

#[test]
fn a_client_that_is_killed_is_named_and_the_others_lose_nothing() {
    let server = serve(ServeConfig::default());
    let faults = Faults { kills: vec![(1, Duration::from_secs(3))], ..Faults::default() };
    let outcome = load(LoadConfig { clients: 3, duration: Duration::from_secs(5), faults, ..config(&server) });
    let [one, killed, other] = &outcome.clients[..] else { panic!("{outcome:#?}") };
    assert!(killed.killed_after_seconds.is_some_and(|at| at >= 3.0) && killed.errors.is_empty(), "{killed:#?}");
    for client in [one, other] {
        assert!(client.killed_after_seconds.is_none() && client.outages.is_empty() && client.errors.is_empty());
        assert_eq!((client.packets_lost, client.subscriptions.len()), (0, 4), "{client:#?}");
        assert!(client.total_packets_sent > killed.total_packets_sent, "{client:#?}");
    }
    assert!(finding(&outcome.summary.findings, "client-1 was killed, as asked").is_some(), "{:?}", outcome.summary);
    for (kill, told) in [((3, Duration::ZERO), "clients are 0 to 2"), ((0, Duration::from_secs(9)), "over by then")] {
        let faults = Faults { kills: vec![kill], ..Faults::default() };
        let wrong = LoadConfig { clients: 3, faults, ..config(&server) };
        assert!(run(wrong, &Stop::new(), |_| {}).unwrap_err().to_string().contains(told), "{told}");
    }
}

#[test]
fn who_is_not_let_in_is_told_why_and_the_others_go_on() {
    let limits = Limits { clients: 2, ..Limits::default() };
    let server = serve(ServeConfig { limits, ..ServeConfig::default() });
    let outcome = load(LoadConfig { clients: 3, ..config(&server) });
    let refused: Vec<_> = outcome.clients.iter().filter(|client| client.failed_stage == Some(Stage::Join)).collect();
    assert_eq!(refused.len(), 1, "{:#?}", outcome.clients);
    assert!(refused[0].errors[0].contains("2 clients"), "{:?}", refused[0].errors);
    assert_eq!(outcome.summary.successful_connections, 2);
}

#[test]
fn nobody_there_is_told_as_the_stage_of_connecting_or_resolving() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("ws://{}/ws", free.local_addr().unwrap());
    drop(free);
    let quick = LoadConfig {
        clients: 1,
        duration: Duration::from_secs(1),
        ramp_up: Some(Duration::ZERO),
        ..LoadConfig::default()
    };
    let outcome = load(LoadConfig { server, ..quick.clone() });
    assert_eq!(outcome.clients[0].failed_stage, Some(Stage::Connect));
    assert_eq!(outcome.summary.verdict, Level::Critical);
    let outcome = load(LoadConfig { server: "ws://nowhere.invalid/ws".to_owned(), ..quick.clone() });
    assert_eq!(outcome.clients[0].failed_stage, Some(Stage::Resolve));
    for bad in ["http://127.0.0.1/ws", "ws://", "nonsense", "ws://127.0.0.1:99999/ws", "ws://[::1]:99999/ws"] {
        assert!(run(LoadConfig { server: bad.to_owned(), ..quick.clone() }, &Stop::new(), |_| {}).is_err(), "{bad}");
    }
    let server = "http://127.0.0.1:1".to_owned();
    let layers = LoadConfig { server, target: Target::Whip, simulcast: true, ..quick };
    assert!(run(layers, &Stop::new(), |_| {}).unwrap_err().to_string().contains("only with SimplestChat"));
}

/// A load that somebody stops after four seconds: it says so, and has what came.
fn stopped(config: LoadConfig) -> Outcome {
    let stop = Stop::new();
    let asked = stop.clone();
    let stopping = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(4));
        asked.stop();
    });
    let outcome = run(config, &stop, |_| {}).unwrap();
    stopping.join().unwrap();
    assert!(outcome.summary.interrupted && outcome.summary.total_packets_received > 0, "{:#?}", outcome.summary);
    outcome
}

#[test]
fn a_run_that_is_stopped_has_what_it_measured() {
    let server = serve(ServeConfig::default());
    let outcome = stopped(LoadConfig { clients: 2, duration: Duration::from_secs(3600), ..config(&server) });
    assert_eq!(outcome.summary.total_errors, 0, "{:#?}", outcome.clients);
}

#[test]
fn a_run_that_is_stopped_does_not_wait_for_its_drain() {
    let server = serve(ServeConfig::default());
    let drain = Duration::from_secs(3600);
    // Before sending ends, and behind that.
    for duration in [Duration::from_secs(3600), Duration::from_secs(1)] {
        stopped(LoadConfig { clients: 2, video: false, duration, drain, ..config(&server) });
    }
}

#[test]
fn a_packet_log_that_cannot_be_written_to_its_end_takes_no_results_along() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packets");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let reader = path.clone();
    let reading = std::thread::spawn(move || {
        let mut header = [0; 48];
        std::fs::File::open(reader).unwrap().read_exact(&mut header).unwrap();
    });
    let server = serve(ServeConfig::default());
    let outcome = load(LoadConfig { clients: 2, video: false, packet_log: Some(path), ..config(&server) });
    reading.join().unwrap();
    assert!(outcome.summary.total_packets_received > 0, "{:#?}", outcome.summary);
    let told = |finding: &String| finding.starts_with("cannot write the packet log") && finding.contains("not whole");
    assert!(outcome.summary.findings.iter().any(told), "{:?}", outcome.summary.findings);
}

#[test]
fn clients_that_want_nothing_are_connected_by_what_they_send() {
    let server = serve(ServeConfig::default());
    let outcome = load(LoadConfig { clients: 2, max_audio: 0, max_video: 0, ..config(&server) });
    let summary = &outcome.summary;
    assert_eq!((summary.successful_connections, summary.total_consumers_created), (2, 0), "{summary:#?}");
    assert!(summary.total_packets_sent > 0 && !summary.media_flowed, "{summary:#?}");
}

/// A server that answers each message of a client by the next of some texts.
fn answer_with(texts: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let Ok((stream, _)) = listener.accept() else { return };
        let _ = stream.set_read_timeout(Some(LONG));
        let Ok(mut socket) = tungstenite::accept(stream) else { return };
        for text in texts {
            if socket.read().is_err() || socket.send(tungstenite::Message::text(text)).is_err() {
                return;
            }
        }
        while socket.read().is_ok() {}
    });
    url
}

#[test]
fn whatever_a_server_says_a_client_ends_with_a_named_reason() {
    let joined = r#"{"type":"roomJoined","participantId":"a","participants":[{"id":"b","name":"b","producers":[{"id":"p","kind":"audio"}],"role":""}],"reconnectToken":"t","yourRole":""}"#;
    let capabilities = r#"{"type":"routerRtpCapabilities","rtpCapabilities":{"codecs":[],"headerExtensions":[]}}"#;
    let transport = |candidates: &str, fingerprint: &str| {
        format!(
            r#"{{"type":"transportCreated","transportId":"t","iceParameters":{{"usernameFragment":"u","password":"p"}},"iceCandidates":[{candidates}],"dtlsParameters":{{"fingerprints":[{{"algorithm":"sha-256","value":"{fingerprint}"}}]}}}}"#
        )
    };
    let candidate = r#"{"foundation":"1","priority":1,"ip":"127.0.0.1","protocol":"udp","port":9,"type":"host"}"#;
    let known = [joined, capabilities].map(str::to_owned);
    let words = prop::sample::select(vec![
        joined.to_owned(),
        capabilities.to_owned(),
        transport(candidate, "00:01"),
        transport("", "00"),
        transport(candidate, &["AA"; 32].join(":")),
        r#"{"type":"consumerCreated","consumerId":"c","producerId":"p","kind":"audio","rtpParameters":{"codecs":[]}}"#
            .to_owned(),
        r#"{"type":"error","message":"no"}"#.to_owned(),
        r#"{"type":"other"}"#.to_owned(),
        "{".to_owned(),
    ]);
    let texts = prop_oneof![
        prop::collection::vec(prop_oneof![words.clone(), ".{0,80}"], 0..6),
        prop::collection::vec(words, 0..4).prop_map(move |rest| known.iter().cloned().chain(rest).collect()),
    ];
    let mut runner = TestRunner::new(Config { cases: 24, ..Config::default() });
    runner
        .run(&texts, |texts| {
            let began = Instant::now();
            let outcome = load(LoadConfig {
                server: answer_with(texts),
                clients: 1,
                duration: Duration::from_millis(300),
                ramp_up: Some(Duration::ZERO),
                timeout: Duration::from_millis(200),
                ..LoadConfig::default()
            });
            prop_assert!(began.elapsed() < LONG);
            prop_assert!(!outcome.clients[0].connection_successful);
            prop_assert!(outcome.clients[0].failed_stage.is_some(), "{:?}", outcome.clients[0]);
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_server_that_speaks_no_http_is_no_websocket() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("ws://{}/ws", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let mut request = [0; 100];
        let _ = stream.read(&mut request);
        let _ = stream.write_all(&[0xff; 4096]);
    });
    let outcome = load(LoadConfig {
        server,
        clients: 1,
        duration: Duration::from_secs(1),
        ramp_up: Some(Duration::ZERO),
        ..LoadConfig::default()
    });
    assert_eq!(outcome.clients[0].failed_stage, Some(Stage::Connect), "{:?}", outcome.clients[0]);
}
