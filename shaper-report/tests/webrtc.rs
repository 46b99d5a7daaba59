//! A WebRTC run in the table and on the page.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/browser.rs"]
mod browser;
mod common;

use browser::{fits, folder, is_drawn, there_is_a_browser};
use shaper_report::html::{Plots, report};
use shaper_report::stats::{Distribution, Proportion};
use shaper_report::summary::{
    Client, ClientSecond, LatencySplit, LegLosses, Second, Severity, Stage, Summary, Threshold, Used, WebRtc,
};
use shaper_report::text::{WIDTH, levels, table};

/// Six clients for 20 s; the link gives way in the middle of the run, and one client never got further than DTLS.
fn sample() -> Summary {
    let (mut summary, _) = common::sample(640).unwrap();
    summary.run.workload = "webrtc".to_owned();
    (summary.commands, summary.latency_split, summary.grade, summary.schedule) = (None, None, None, None);
    (summary.response_time_ms, summary.time_to_state_ms, summary.spread_ms) = (None, None, None);
    summary.convergence.clear();
    let stage = |name: &str, p50: f64| Stage {
        stage: name.to_owned(),
        n: 40_000,
        min_ms: Some(p50 / 2.0),
        p50_ms: Some(p50),
        p99_ms: Some(3.0 * p50),
    };
    let second = |at: u32| Second {
        at_s: f64::from(at),
        sent: 900,
        received: 4_400,
        target_bitrate: Some(if at < 10 { 12e6 } else { 4e6 }),
        sent_bitrate: if at < 10 { 9e6 } else { 3.5e6 },
        // Nothing arrived in one second.
        end_to_end_p50_ms: (at != 10).then_some(31.0),
        end_to_end_p95_ms: (at != 10).then_some(48.0),
        uplink_rate_bps: (at >= 10).then_some(6e6),
    };
    let of_client = |at: u32| ClientSecond {
        at_s: f64::from(at),
        sent: 150,
        received: if at == 10 { 0 } else { 600 },
        missed: u64::from(at == 11) * 600,
        target_bitrate: None,
        end_to_end_p50_ms: (at != 10).then_some(31.0),
        end_to_end_p95_ms: (at != 10).then_some(48.0),
    };
    let client = |number: u32| Client {
        name: format!("client-{number}"),
        host: format!("c{number}"),
        connected: number != 6,
        errors: if number == 6 { vec!["dtls: no answer in 15 s".to_owned()] } else { Vec::new() },
        sent: if number == 6 { 0 } else { 3_000 },
        received: if number == 6 { 0 } else { 12_000 - u64::from(number) },
        expected: 12_000,
        end_to_end_p50_ms: (number != 6).then_some(31.0),
        end_to_end_p95_ms: (number != 6).then_some(48.0),
        // Of two, those that fared worst, a page shows how it went.
        over_time: if number >= 5 { (0..20).map(of_client).collect() } else { Vec::new() },
        ..Client::default()
    };
    let threshold = |what: &str, value: &str, level: &str| Threshold {
        what: what.to_owned(),
        value: value.to_owned(),
        level: Some(level.to_owned()),
    };
    summary.webrtc = Some(WebRtc {
        connected: Some(Proportion::of(5, 6)),
        failed: [("dtls".to_owned(), 1)].into(),
        connection_time_ms: Distribution::of(vec![110.0, 120.0, 130.0, 140.0, 150.0]),
        sent: 15_000,
        received: 59_985,
        received_of_expected: Some(Proportion::of(59_985, 72_000)),
        received_but_for_link: Some(Proportion::of(59_985, 71_985)),
        end_to_end_ms: Distribution::of((0..1_000).map(|step| 30.0 + f64::from(step) / 50.0).collect()),
        split: Some(LatencySplit {
            stages: [("sender", 0.2), ("uplink", 15.0), ("server", 0.4), ("downlink", 15.1), ("receiver", 0.3)]
                .map(|(name, p50)| stage(name, p50))
                .into(),
            total: stage("end_to_end", 31.0),
            unjoined: 0,
            unanswered: 0,
        }),
        slip_ms: Distribution::of(vec![0.1, 0.2, 0.9]),
        jitter_buffer_modelled_ms: Some(42.0),
        server_outage: None,
        losses: vec![
            LegLosses {
                leg: "uplink".to_owned(),
                sent: 15_000,
                by_captures: Some(750),
                repaired: Some(740),
                not_witnessed: Some(0),
                by_receiver: Some(10),
                by_rtcp: Some(10),
                causes: [("loss".to_owned(), 700), ("outage".to_owned(), 50)].into(),
                adds_up: Some(true),
            },
            LegLosses {
                leg: "downlink".to_owned(),
                sent: 59_990,
                by_captures: Some(3_000),
                adds_up: Some(false),
                ..LegLosses::default()
            },
        ],
        lost_by_server: Some(0),
        thresholds: vec![threshold("connections", "83.3 %", "critical"), threshold("errors", "1", "warning")],
        used: [(
            "server".to_owned(),
            Used {
                cpu_percent: Some(31.0),
                cpu_percent_most: Some(44.0),
                memory_bytes_most: 41_000_000,
                descriptors_most: 27,
            },
        )]
        .into(),
        over_time: (0..20).map(second).collect(),
        clients: (1..=6).map(client).collect(),
    });
    summary
}

#[test]
fn the_table_has_each_figure_in_its_width() {
    let summary = sample();
    let text = table(&summary);
    for line in text.lines() {
        assert!(line.chars().count() <= WIDTH, "wider than {WIDTH} columns: {line}");
    }
    for told in [
        "connected     83.33 % (5 of 6); failed: 1 at dtls",
        "15,000 sent, 59,985 received; bare ratio 4.0",
        "83.31 % (59,985 of 72,000) of what was expected",
        "83.33 % (59,985 of 71,985) but for what the link dropped",
        "sender 0.20, uplink 15.0, server 0.40, downlink 15.1, receiver 0.30; together 31.0 ms",
        "a jitter buffer would add 42.0 ms (modelled)",
        "uplink, by the engine: 700 loss, 50 outage",
        "0 lost by the server itself",
        "connections 83.3 %: critical; errors 1: warning",
        "31 % of a CPU (most 44 % in a second), 41.0 MB of memory, 27 descriptors at most",
        "dtls: no answer in 15 s",
        "2 more fared no worse; all are in summary.json",
    ] {
        assert!(text.contains(told), "{told:?} is not in\n{text}");
    }
    let row = |leg: &str| text.lines().find(|line| line.trim_start().starts_with(leg)).unwrap().to_owned();
    assert!(row("uplink").ends_with("yes"), "{text}");
    assert!(row("downlink").ends_with("NO"), "{text}");
}

#[test]
fn losses_that_captures_alone_saw_are_said_beside_what_adds_up() {
    let mut summary = sample();
    let losses = &mut summary.webrtc.as_mut().unwrap().losses[0];
    (losses.repaired, losses.by_receiver, losses.by_rtcp, losses.not_witnessed) =
        (Some(0), Some(0), Some(0), Some(750));
    let (text, page) = (table(&summary), report(&summary, &Plots::default()).unwrap());
    for told in [&text, &page] {
        assert!(told.contains("yes, but for 750 not witnessed"), "{told}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
}

#[test]
fn levels_stand_one_below_the_other() {
    let mut none = sample();
    none.webrtc = Some(WebRtc::default());
    none.exit_code = 1;
    let text = levels(&[sample(), none]);
    let rows: Vec<Vec<&str>> = text.lines().skip(2).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["6", "5", "83.31", "40.0", "49.0", "31", "41.0", "MB", "0"], "{text}");
    assert_eq!(rows[1], ["0", "0", "-", "-", "-", "-", "0", "kB", "1"], "{text}");
}

#[test]
fn the_page_draws_rate_latency_and_where_it_went() {
    let summary = sample();
    let page = report(&summary, &Plots::default()).unwrap();
    assert_eq!(page.matches("<svg ").count(), 3 + 2 * 2);
    for title in ["Bit rate over time", "Latency from end to end over time", "Where the latency went"] {
        assert!(page.contains(&format!("<h3>{title}</h3>")), "{title}");
    }
    assert!(page.contains("Medians of 40,000 packets"), "{page}");
    assert!(page.contains("what their access links carry"), "{page}");
    let (worst, next) =
        (page.find("<summary>client-6: sent 0, received 0 of 12,000, not connected"), page.find("<summary>client-5"));
    assert!(worst.is_some() && worst < next, "{page}");
    assert!(page.contains("2 of 6 are drawn"), "{page}");
    for title in ["Packets, client-5", "Latency from end to end, client-5"] {
        assert!(page.contains(&format!("<h3>{title}</h3>")), "{title}");
    }
    // What WebRTC came to is said before each direction of each link is drawn.
    let (_, plots) = common::sample(640).unwrap();
    let page = report(&summary, &plots).unwrap();
    let place = |words: &str| page.find(words).unwrap();
    assert!(place("<h2>WebRTC</h2>") < place("The link, plotted"), "{page}");
    assert!(page.contains("in the server"));
}

#[test]
fn a_run_in_which_nothing_flowed_has_a_table_and_a_page() {
    let mut summary = sample();
    summary.webrtc = Some(WebRtc { connected: Some(Proportion::of(0, 6)), ..WebRtc::default() });
    summary.find(Severity::Error, "no media");
    assert!(table(&summary).contains("0.00 % (0 of 6)"), "{}", table(&summary));
    let page = report(&summary, &Plots::default()).unwrap();
    assert_eq!(page.matches("<svg ").count(), 0);
    assert_eq!(page.matches("NaN").count(), 0);
}

#[test]
fn it_is_written_and_read_again_and_older_summaries_have_none() {
    let summary = sample();
    let text = summary.to_json().unwrap();
    assert_eq!(Summary::from_json(&text).unwrap(), summary);
    let mut older: serde_json::Value = serde_json::from_str(&text).unwrap();
    older.as_object_mut().unwrap().remove("webrtc");
    assert_eq!(Summary::from_json(&older.to_string()).unwrap().webrtc, None);
}

#[test]
fn a_browser_draws_it_at_two_widths() {
    if !there_is_a_browser() {
        return;
    }
    let folder = folder("browser-webrtc");
    let page = folder.join("report.html");
    let text = report(&sample(), &Plots::default()).unwrap();
    std::fs::write(&page, &text).unwrap();
    for (width, height) in [(1200, 3000), (390, 5000)] {
        is_drawn(&folder, &page, (width, height));
        fits(&folder, &text, width);
    }
}
