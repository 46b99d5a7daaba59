//! `shaper webrtc path`: where the milliseconds went, from logs and captures alone.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use shaper_webrtc::packet_log::read_packet_log;
use shaper_webrtc::path::{Inputs, MapLog, PacketLog, Point, analyse, ssrcs_of};
use shaper_webrtc::serve::read_map_log;

use super::super::Outcome;

#[derive(Debug, Args)]
pub(super) struct PathArgs {
    /// The server's mapping log; without it each leg is told by itself
    #[arg(long, value_name = "FILE")]
    map_log: Option<PathBuf>,
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

pub(super) fn path(args: &PathArgs) -> anyhow::Result<Outcome> {
    if args.map_log.is_none() && args.packet_log.is_none() {
        bail!("which streams are looked for is in the logs: --packet-log, --map-log or both are needed");
    }
    let map = args.map_log.as_deref().map(|path| MapLog::collect(read_map_log(path)?)).transpose()?;
    let packets = args.packet_log.as_deref().map(|path| PacketLog::collect(read_packet_log(path)?)).transpose()?;
    let ssrcs = ssrcs_of(map.as_ref(), packets.as_ref());
    let open = |path: &Path| {
        let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy();
        Point::open(&name, path, &ssrcs)
    };
    let server = args.server.as_deref().map(open).transpose()?;
    let clients = args.client.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
    let inputs = Inputs { map, packets, server, clients, ..Inputs::default() };
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
