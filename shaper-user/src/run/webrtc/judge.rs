//! From a WebRTC run's logs and captures to its part of the summary.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::de::DeserializeOwned;
use shaper_common::units::Nanos;
use shaper_profile::Link;
use shaper_report::summary::{ServerOutage, Severity, Summary};
use shaper_webrtc::load::results::{ClientResult, RESULTS_FILE, SUMMARY_FILE, Summary as Loaded};
use shaper_webrtc::packet_log::read_packet_log;
use shaper_webrtc::path::{self, Inputs, MapLog, PacketLog, PathReport, Point, ssrcs_of};
use shaper_webrtc::serve::read_map_log;

use super::over_time::over_time;
use super::{MAP_LOG, PACKET_LOG, SECOND_MAP_LOG, convert};
use crate::run::directory::RunDirectory;
use crate::run::execute::{Evidence, capture_name};
use crate::run::programs::error_name;
use crate::run::workload::WebRtcPlan;

/// Where each packet's way is told whole.
const PATH_FILE: &str = "webrtc_path.json";

/// Fills in what clients sent each other, and says what must be said of it.
pub(in crate::run) fn judge(
    plan: &WebRtcPlan,
    link: &Link,
    evidence: &Evidence,
    directory: &RunDirectory,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let Some((loaded, clients)) = results(directory)? else {
        let told = fs::read_to_string(directory.file(&error_name("tester"))).unwrap_or_default();
        let last = told.lines().last().map_or_else(String::new, |line| format!(": {line}"));
        summary.find(Severity::Error, format!("the tester left no results, so nobody knows what arrived{last}"));
        return Ok(());
    };
    let mut webrtc = convert::by_tester(&loaded, &clients, plan);
    for usage in &evidence.usage {
        webrtc.used.insert(usage.name.clone(), convert::used(usage));
    }
    let targets = convert::target_bitrate(&clients);
    let log = directory.file(PACKET_LOG);
    if log.exists() {
        webrtc.over_time = over_time(read_packet_log(&log)?, loaded.started_monotonic_ns, &targets)?;
        let first_client = Nanos(loaded.started_monotonic_ns);
        convert::uplink_rates(link, plan, &clients, evidence.start, first_client, &mut webrtc.over_time);
    }
    let report = path_of(&loaded, evidence, directory)?;
    let mut json = serde_json::to_string_pretty(&report).context("cannot write the ways of packets as JSON")?;
    json.push('\n');
    directory.write(PATH_FILE, json.as_bytes())?;
    convert::by_path(&mut webrtc, &report);
    webrtc.thresholds = convert::thresholds(&webrtc, &loaded);
    if let Some(killed) = &evidence.server_outage {
        let outage = convert::server_outage(killed, loaded.started_monotonic_ns, &clients);
        tell_outage(&outage, summary);
        webrtc.server_outage = Some(outage);
    }
    // Of one in whose place another came the logs tell.
    let is_gone = evidence.server_outage.as_ref().is_some_and(|outage| outage.listened.is_none());
    tell(&loaded, &report, is_gone, summary);
    for losses in webrtc.losses.iter().filter(|losses| losses.adds_up == Some(false)) {
        let text = format!(
            "what captures, receivers and RTCP say of the {}s' losses does not add up: which of them, and by how much, \
             is in {PATH_FILE}",
            losses.leg
        );
        summary.find(Severity::Error, text);
    }
    summary.webrtc = Some(webrtc);
    Ok(())
}

/// Says that the server was killed, and what its clients made of it.
fn tell_outage(outage: &ServerOutage, summary: &mut Summary) {
    let killed = format!("the server was killed {:.1} s into the run, as asked", outage.killed_s);
    let ServerOutage { recovered, recovery_ms, .. } = outage;
    let again = match (outage.listened_s, recovery_ms.p50, recovery_ms.max) {
        (None, ..) => "no other listened in its place".to_owned(),
        (Some(listened), Some(p50), Some(max)) => format!(
            "another listened {:.1} s later; {} of {} clients that had lost media had it again, after {:.1} s in the \
             median and {:.1} s at most",
            listened - outage.killed_s,
            recovered.count,
            recovered.of,
            p50 / 1e3,
            max / 1e3,
        ),
        (Some(listened), ..) => format!(
            "another listened {:.1} s later; none of {} clients that had lost media had it again",
            listened - outage.killed_s,
            recovered.of
        ),
    };
    let is_whole = recovered.count == recovered.of && recovered.of > 0;
    summary.find(if is_whole { Severity::Note } else { Severity::Warning }, format!("{killed}: {again}"));
}

/// The tester's two files, if it has come to write them.
fn results(directory: &RunDirectory) -> anyhow::Result<Option<(Loaded, Vec<ClientResult>)>> {
    let [summary, clients] = [SUMMARY_FILE, RESULTS_FILE].map(|name| directory.file(name));
    if !summary.exists() || !clients.exists() {
        return Ok(None);
    }
    Ok(Some((json(&summary)?, json(&clients)?)))
}

fn json<T: DeserializeOwned>(file: &Path) -> anyhow::Result<T> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not what the tester writes", file.display()))
}

/// The ways of all packets, by logs and captures.
fn path_of(loaded: &Loaded, evidence: &Evidence, directory: &RunDirectory) -> anyhow::Result<PathReport> {
    let packets = directory.file(PACKET_LOG);
    let maps = [MAP_LOG, SECOND_MAP_LOG].map(|name| directory.file(name));
    let map =
        MapLog::in_turn(maps.iter().filter(|file| file.exists()).map(|file| MapLog::collect(read_map_log(file)?)))?;
    let packets = packets.exists().then(|| PacketLog::collect(read_packet_log(&packets)?)).transpose()?;
    let ssrcs = ssrcs_of(map.as_ref(), packets.as_ref());
    let (mut server, mut clients) = (None, Vec::new());
    for (host, captured) in &evidence.captured {
        let mut point = Point::open(host, &directory.file(&capture_name(host)), &ssrcs)?;
        point.add_dropped(captured.dropped);
        if host == WebRtcPlan::SERVER {
            server = Some(point);
        } else {
            clients.push(point);
        }
    }
    let slip = loaded.schedule_slip.map(|slip| (slip.p99_ms * 1e6) as u64);
    let inputs = Inputs { map, packets, server, clients, drops: Vec::new(), slip_p99_ns: slip };
    path::analyse(&inputs, None).context("cannot follow the packets")
}

/// Says what tester and path found; what both found once, in the words of the path, which sees more.
fn tell(loaded: &Loaded, report: &PathReport, is_gone: bool, summary: &mut Summary) {
    for finding in &report.findings {
        // A server that was killed for good has stopped, as asked.
        let severity = match finding.severity {
            path::Severity::Error if is_gone && finding.kind == "server_stopped" => Severity::Warning,
            severity => convert::severity(severity),
        };
        summary.find(severity, finding.text.clone());
    }
    for finding in loaded.findings.iter().filter(|finding| !is_said(finding, report)) {
        let is_grave = ["no media", "one-way", "this host cannot carry"].iter().any(|start| finding.starts_with(start));
        summary.find(if is_grave { Severity::Error } else { Severity::Warning }, finding.clone());
    }
}

/// Whether the path says it too: that nothing flowed, or that something flows one way, of each client that is named.
fn is_said(finding: &str, report: &PathReport) -> bool {
    let of_path = |start: &'static str| report.findings.iter().filter(move |other| other.text.starts_with(start));
    if finding.starts_with("no media") {
        return of_path("no media").next().is_some();
    }
    // The tester has client-1, the path client 1.
    let named = |text: &str, dash: char| -> BTreeSet<String> {
        let client = format!("client{dash}");
        let parts = text.split(client.as_str()).skip(1);
        parts.map(|part| part.chars().take_while(char::is_ascii_digit).collect()).collect()
    };
    let by_path: BTreeSet<String> = of_path("one-way").flat_map(|other| named(&other.text, ' ')).collect();
    let is_whole = !finding.contains(" more ");
    finding.starts_with("one-way") && is_whole && named(finding, '-').is_subset(&by_path)
}

#[cfg(test)]
mod tests {
    use shaper_webrtc::path::Finding;

    use super::*;

    #[test]
    fn one_client_that_the_path_names_does_not_hide_another() {
        let finding =
            |text: &str| Finding { severity: path::Severity::Error, kind: "one_way".to_owned(), text: text.to_owned() };
        let findings = vec![finding("one-way: client 3 sends (200 packets) and gets nothing")];
        let report = PathReport { findings, ..PathReport::default() };
        assert!(is_said("one-way: client-3 received nothing of what was sent to the room", &report));
        assert!(!is_said("one-way: client-3, client-4 received nothing of what was sent to the room", &report));
        assert!(!is_said("one-way: client-3 and 4 more received nothing of what was sent to the room", &report));
        assert!(!is_said("one-way: client-30 received nothing of what was sent to the room", &report));
        assert!(!is_said("no media: 5 packets were sent", &report));
        assert!(!is_said("the run was ended early by a signal", &report));
    }
}
