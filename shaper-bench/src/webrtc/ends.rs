//! The two ends, as their user starts them: `shaper webrtc serve` and `shaper webrtc load`.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::sched::CpuSet;
use serde::Deserialize;
use tempfile::TempDir;

use super::process::{Running, pause};
use crate::Session;

/// How long the server may take to answer: it may have more to do than it can.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a load lasts at most: it is ended when it has been measured.
const LONGEST: u64 = 120;

/// What the server has counted, by the names of its metrics.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts(HashMap<String, u64>);

impl Counts {
    /// Reads Prometheus's text form.
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.filter_map(|line| line.split_once(' '));
        Self(pairs.filter_map(|(name, value)| Some((name.to_owned(), value.trim().parse().ok()?))).collect())
    }

    /// One of them, by what follows `shaper_webrtc_`.
    pub(super) fn of(&self, name: &str) -> Result<u64> {
        let full = format!("shaper_webrtc_{name}");
        self.0.get(&full).copied().ok_or_else(|| anyhow!("the server does not count {full}"))
    }
}

/// `shaper webrtc serve` with one thread that forwards.
pub(super) struct Server {
    pub(super) running: Running,
    pub(super) http: SocketAddr,
}

#[derive(Deserialize)]
struct Listening {
    http: SocketAddr,
}

impl Server {
    pub(super) fn start(shaper: &Path, on: &CpuSet) -> Result<Self> {
        let arguments = ["webrtc", "serve", "--json", "--page", "--listen", "127.0.0.1:0", "--threads", "1"];
        let mut running = Running::start("the server", shaper, &arguments.map(String::from), on)?;
        let line = running.says()?;
        let Listening { http } =
            serde_json::from_str(&line).with_context(|| format!("the server does not say where it listens: {line}"))?;
        Ok(Self { running, http })
    }

    pub(super) fn counts(&self) -> Result<Counts> {
        let asked = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect_timeout(&self.http, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            write!(stream, "GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.http)?;
            let mut reply = String::new();
            stream.read_to_string(&mut reply)?;
            Ok(reply)
        };
        let reply = asked().context("the server does not say what it counted")?;
        Ok(Counts::parse(reply.split_once("\r\n\r\n").map_or("", |(_, body)| body)))
    }

    /// Waits until it has counted so much of everything, or for as long as that may take: whether it has.
    pub(super) fn wait_for(&self, session: &Session, limit: Duration, wanted: &[(&str, u64)]) -> Result<bool> {
        let until = std::time::Instant::now() + limit;
        loop {
            let counts = self.counts()?;
            let there =
                wanted.iter().map(|(name, count)| Ok(counts.of(name)? >= *count)).collect::<Result<Vec<_>>>()?;
            if !there.contains(&false) {
                return Ok(true);
            }
            if std::time::Instant::now() > until {
                return Ok(false);
            }
            pause(session, Duration::from_millis(100))?;
        }
    }

    /// Ends it; an error where it did not end well.
    pub(super) fn end(self, session: &Session) -> Result<()> {
        let (_, was_well) = self.running.end(session)?;
        ensure!(was_well, "the server ended with an error");
        Ok(())
    }
}

/// `shaper webrtc load`.
pub(super) struct Tester {
    pub(super) running: Running,
    // Its files of results.
    _folder: TempDir,
}

/// What the tester says at its end, as far as it is needed.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    pub(super) total_clients: u64,
    pub(super) successful_connections: u64,
    pub(super) packets_expected: u64,
    /// From 0 to 1; none where nothing was expected.
    pub(super) received_of_expected: Option<f64>,
    pub(super) connection_time: Option<Times>,
    pub(super) schedule_slip: Option<Times>,
    pub(super) frames_skipped: u64,
    pub(super) findings: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Times {
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

impl Tester {
    /// Starts one, and waits until its first client begins.
    pub(super) fn start(shaper: &Path, server: SocketAddr, media: &[String], on: &CpuSet) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let mut arguments: Vec<String> = ["webrtc", "load", "--json", "--server"].map(String::from).into();
        arguments.push(format!("ws://{server}/ws"));
        arguments.extend([format!("--duration={LONGEST}"), format!("--out={}", folder.path().display())]);
        arguments.extend_from_slice(media);
        let mut running = Running::start("the tester", shaper, &arguments, on)?;
        while !running.warns()?.contains("\"started\"") {}
        Ok(Self { running, _folder: folder })
    }

    /// Lets its clients leave; what it measured.
    pub(super) fn end(self, session: &Session) -> Result<Summary> {
        let (said, _) = self.running.end(session)?;
        serde_json::from_str(&said).with_context(|| format!("the tester says no summary: {said}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_by_name() {
        let text = "# HELP shaper_webrtc_rtp_forwarded_total RTP packets sent on.\n# TYPE shaper_webrtc_rtp_forwarded_total \
                    counter\nshaper_webrtc_rtp_forwarded_total 1234\nshaper_webrtc_rooms 2\n";
        let counts = Counts::parse(text);
        assert_eq!(counts.of("rtp_forwarded_total").unwrap(), 1234);
        assert_eq!(counts.of("rooms").unwrap(), 2);
        let missing = counts.of("rtp_received_total").unwrap_err().to_string();
        assert!(missing.contains("shaper_webrtc_rtp_received_total"), "{missing}");
    }

    #[test]
    fn a_summary_is_read_with_and_without_media() {
        let text = r#"{"totalClients":9,"successfulConnections":8,"packetsExpected":100,"receivedOfExpected":0.99,
            "connectionTime":{"count":8,"p50Ms":3.5,"p99Ms":9},"scheduleSlip":null,"framesSkipped":0,"findings":["x"],
            "verdict":"warning"}"#;
        let summary: Summary = serde_json::from_str(text).unwrap();
        assert_eq!((summary.total_clients, summary.successful_connections), (9, 8));
        assert_eq!(summary.received_of_expected, Some(0.99));
        assert_eq!(summary.connection_time.map(|times| times.p50_ms), Some(3.5));
        assert!(summary.schedule_slip.is_none());
        let without = text.replace("0.99", "null");
        assert_eq!(serde_json::from_str::<Summary>(&without).unwrap().received_of_expected, None);
    }
}
