//! `shaper webrtc path`: where the milliseconds went, from logs and captures alone.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use shaper_webrtc::load::results::{SUMMARY_FILE, Summary};
use shaper_webrtc::packet_log::read_packet_log;
use shaper_webrtc::path::{Inputs, MapLog, PacketLog, Point, analyse, ssrcs_of};
use shaper_webrtc::serve::read_map_log;

use super::super::Outcome;

/// What `shaper run webrtc` calls its files.
const MAP_LOG: &str = "server.map";
const SECOND_MAP_LOG: &str = "server-2.map";
const PACKET_LOG: &str = "tester.packets";
const SERVER: &str = "server.pcapng";

#[derive(Debug, Args)]
pub(super) struct PathArgs {
    /// The directory of a WebRTC run, which has all of these
    #[arg(value_name = "RUN", conflicts_with_all = ["map_log", "packet_log", "server", "client"])]
    run: Option<PathBuf>,
    /// The server's mapping log; without it each leg is told by itself. Again for a server that came in its place
    #[arg(long, value_name = "FILE")]
    map_log: Vec<PathBuf>,
    /// The tester's packet log
    #[arg(long, value_name = "FILE")]
    packet_log: Option<PathBuf>,
    /// The capture at the server's host
    #[arg(long, value_name = "CAPTURE")]
    server: Option<PathBuf>,
    /// The capture at a clients' host; for each host one
    #[arg(long, value_name = "CAPTURE")]
    client: Vec<PathBuf>,
    /// Write a row for each packet and receiver; a file that exists is replaced
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is read.
#[derive(Default)]
struct Files {
    map_logs: Vec<PathBuf>,
    packet_log: Option<PathBuf>,
    server: Option<PathBuf>,
    clients: Vec<PathBuf>,
    /// What the tester says of itself.
    summary: Option<PathBuf>,
}

impl Files {
    /// Those that are named.
    fn named(args: &PathArgs) -> anyhow::Result<Self> {
        if args.map_log.is_empty() && args.packet_log.is_none() {
            bail!("which streams are looked for is in the logs: name a run, or --packet-log, --map-log or both");
        }
        let (map_logs, packet_log) = (args.map_log.clone(), args.packet_log.clone());
        Ok(Self { map_logs, packet_log, server: args.server.clone(), clients: args.client.clone(), summary: None })
    }

    /// Those that a run has left.
    fn of_run(run: &Path) -> anyhow::Result<Self> {
        let file = |name| Some(run.join(name)).filter(|path: &PathBuf| path.exists());
        let files = Self {
            map_logs: [MAP_LOG, SECOND_MAP_LOG].into_iter().filter_map(file).collect(),
            packet_log: file(PACKET_LOG),
            server: file(SERVER),
            clients: fs::read_dir(run)
                .with_context(|| format!("cannot read {}", run.display()))?
                .filter_map(|entry| Some(entry.ok()?.path()).filter(|path| is_client(path)))
                .collect(),
            summary: file(SUMMARY_FILE),
        };
        if files.map_logs.is_empty() && files.packet_log.is_none() {
            bail!("{} is no directory of a WebRTC run: it has neither {MAP_LOG} nor {PACKET_LOG}", run.display());
        }
        Ok(files)
    }
}

/// Whether a file is the capture of a clients' host: `c1.pcapng`.
fn is_client(path: &Path) -> bool {
    let number =
        path.file_name().and_then(OsStr::to_str).and_then(|name| name.strip_prefix('c')?.strip_suffix(".pcapng"));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// How late the tester's frames were, at the 99th percentile.
fn slip_p99_ns(summary: &Path) -> anyhow::Result<Option<u64>> {
    let text = fs::read_to_string(summary).with_context(|| format!("cannot read {}", summary.display()))?;
    let summary: Summary =
        serde_json::from_str(&text).with_context(|| format!("{} is not what the tester writes", summary.display()))?;
    Ok(summary.schedule_slip.map(|slip| (slip.p99_ms * 1e6) as u64))
}

pub(super) fn path(args: &PathArgs) -> anyhow::Result<Outcome> {
    let mut files = match &args.run {
        Some(run) => Files::of_run(run)?,
        None => Files::named(args)?,
    };
    files.clients.sort();
    let map = MapLog::in_turn(files.map_logs.iter().map(|path| MapLog::collect(read_map_log(path)?)))?;
    let packets = files.packet_log.as_deref().map(|path| PacketLog::collect(read_packet_log(path)?)).transpose()?;
    let ssrcs = ssrcs_of(map.as_ref(), packets.as_ref());
    let open = |path: &Path| {
        let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy();
        Point::open(&name, path, &ssrcs)
    };
    let server = files.server.as_deref().map(open).transpose()?;
    let clients = files.clients.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
    let slip_p99_ns = files.summary.as_deref().map(slip_p99_ns).transpose()?.flatten();
    let inputs = Inputs { map, packets, server, clients, slip_p99_ns, ..Inputs::default() };
    let report = match &args.csv {
        Some(path) => {
            let written = || format!("cannot write {}", path.display());
            let mut csv = BufWriter::new(File::create(path).with_context(written)?);
            let report = analyse(&inputs, Some(&mut csv)).with_context(written)?;
            csv.flush().with_context(written)?;
            report
        }
        None => analyse(&inputs, None)?,
    };
    let mut out = BufWriter::new(io::stdout().lock());
    if args.json {
        serde_json::to_writer_pretty(&mut out, &report).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        write!(out, "{report}")?;
    }
    out.flush()?;
    Ok(Outcome::Held)
}
