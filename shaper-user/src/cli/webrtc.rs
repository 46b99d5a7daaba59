//! `shaper webrtc`: the ends of the WebRTC workload by themselves, on any interface.

mod load;
pub(super) mod media_flags;
mod path;
#[cfg(feature = "live")]
mod shape;

use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args as ClapArgs, Subcommand};
use shaper_common::units::{BitsPerSec, Nanos};
use shaper_profile::quantity::{Duration, Rate};
use shaper_webrtc::serve::{Limits, ServeConfig, Server, read_map_log, run_until_signal};

use super::Outcome;
#[cfg(feature = "live")]
use crate::capabilities::Task;

/// `shaper webrtc`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Forward media between the clients of rooms, until Ctrl-C or SIGTERM: SimplestChat, WHIP and WHEP
    Serve(Box<Serve>),
    /// Load a server with clients that send and receive; exit code 1 when no media flowed
    Load(Box<load::Load>),
    /// Print a server's mapping log, a line of JSON for each record
    MapLog(MapLog),
    /// Tell where the milliseconds went, and loss by three sources, from logs and captures
    Path(path::PathArgs),
}

#[derive(Debug, ClapArgs)]
struct Serve {
    /// Where HTTP and WebSockets are served: with --page the page, /ws, /whip/ROOM, /whep/ROOM, /health, /metrics
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// The address that media is received at [default: that of --listen]
    #[arg(long, value_name = "ADDR")]
    media_address: Option<IpAddr>,
    /// The UDP port of the first thread, the others have those that follow; 0 takes any that are free
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    media_port: u16,
    /// The address that clients are told to send media to [default: --media-address]
    #[arg(long, value_name = "ADDR")]
    advertise: Option<IpAddr>,
    /// Threads that forward media, each with a port and a CPU of its own; a room lives in one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Let the threads run on any CPU
    #[arg(long)]
    no_pin: bool,
    /// Write down which packet of one client became which of another; one that exists is replaced
    #[arg(long, value_name = "FILE")]
    map_log: Option<PathBuf>,
    /// A file with bearer tokens, one a line: WHIP and WHEP requests must bear one of them
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Serve a page at /: a client for browsers, to see and hear a link by
    #[arg(long)]
    page: bool,
    /// Let the page change what impairs this interface, by shaper apply: whoever can open the page may
    #[cfg(feature = "live")]
    #[arg(long, value_name = "IFACE", requires = "page")]
    shape: Option<String>,
    /// What the estimate of the bandwidth towards a client begins with
    #[arg(long, value_name = "RATE", default_value = "2.5mbit")]
    initial_bitrate: Rate,
    /// The most rooms
    #[arg(long, value_name = "N", default_value_t = Limits::default().rooms)]
    max_rooms: usize,
    /// The most clients
    #[arg(long, value_name = "N", default_value_t = Limits::default().clients)]
    max_clients: usize,
    /// Messages a second, and at once, that a client may send
    #[arg(long, value_name = "N", default_value_t = Limits::default().messages_per_second)]
    max_messages: u32,
    /// A WebSocket on which nothing comes for so long is closed
    #[arg(long, value_name = "TIME", default_value = "300s", value_parser = Duration::parse_nonzero)]
    idle: Duration,
    /// Print one line of JSON when it listens, and one at the end
    #[arg(long)]
    json: bool,
}

#[derive(Debug, ClapArgs)]
struct MapLog {
    /// What `serve --map-log` has written
    #[arg(value_name = "FILE")]
    log: PathBuf,
}

#[cfg(feature = "live")]
impl Args {
    /// What it is for, as far as its capabilities go.
    pub(super) const fn task(&self) -> Task {
        match &self.action {
            Action::Load(args) if args.is_inside() => Task::WorkloadInside,
            _ => Task::Workload,
        }
    }
}

/// Runs one end, or prints what one has written.
pub(super) fn run(args: Args) -> anyhow::Result<Outcome> {
    match args.action {
        Action::Serve(args) => serve(&args),
        Action::Load(args) => load::run(&args),
        Action::MapLog(args) => map_log(&args.log),
        Action::Path(args) => path::path(&args),
    }
}

fn serve(args: &Serve) -> anyhow::Result<Outcome> {
    let Duration(Nanos(idle)) = args.idle;
    let Rate(BitsPerSec(initial_bitrate)) = args.initial_bitrate;
    if args.initial_bitrate.is_unlimited() {
        bail!("--initial-bitrate unlimited: an estimate begins with a rate, such as 2.5mbit");
    }
    let defaults = Limits::default();
    let limits = Limits {
        rooms: args.max_rooms,
        clients: args.max_clients,
        connections: args.max_clients.saturating_add(defaults.connections - defaults.clients),
        messages_per_second: args.max_messages,
        message_burst: args.max_messages,
        idle: std::time::Duration::from_nanos(idle),
        ..defaults
    };
    let config = ServeConfig {
        listen: args.listen,
        media_address: args.media_address.unwrap_or(args.listen.ip()),
        media_port: args.media_port,
        advertise: args.advertise,
        threads: usize::from(args.threads),
        pin: !args.no_pin,
        map_log: args.map_log.clone(),
        bearer_tokens: args.token_file.as_deref().map(tokens).transpose()?.unwrap_or_default(),
        initial_bitrate,
        page: args.page,
        #[cfg(feature = "live")]
        shape: args.shape.as_deref().map(shape::of_interface),
        limits,
        ..ServeConfig::default()
    };
    let mut told = Ok(());
    let ended = run_until_signal(config, |server| told = tell_started(server, args))?;
    told?;
    tell_ended(&ended, args.json)?;
    if let Some(path) = &args.map_log
        && !args.json
    {
        writeln!(io::stdout(), "map log    {}", path.display())?;
    }
    Ok(Outcome::Held)
}

/// Reads tokens, one a line. A file without any would let everybody in.
fn tokens(path: &Path) -> anyhow::Result<Vec<String>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read the tokens in {}", path.display()))?;
    let tokens: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if tokens.is_empty() {
        bail!("{} has no token: one a line is expected", path.display());
    }
    Ok(tokens)
}

fn tell_started(server: &Server, args: &Serve) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if args.json {
        let media: Vec<String> = server.media().iter().map(ToString::to_string).collect();
        let line = serde_json::json!({
            "event": "listening",
            "http": server.listening().to_string(),
            "media": media,
        });
        writeln!(out, "{line}")?;
    } else {
        let http = server.listening();
        if args.page {
            writeln!(out, "page       http://{http}/")?;
        }
        writeln!(out, "listening  http://{http}  WebSocket /ws, WHIP /whip/ROOM, WHEP /whep/ROOM, /health, /metrics")?;
        for media in server.media() {
            writeln!(out, "media      {media}/udp")?;
        }
    }
    out.flush()
}

/// What is told at the end: names of metrics, and what they stand for in a sentence.
const TOLD: [(&str, &str); 6] = [
    ("shaper_webrtc_rtp_received_total", "RTP packets received"),
    ("shaper_webrtc_rtp_forwarded_total", "RTP packets sent on, each consumer counted"),
    ("shaper_webrtc_rtp_retransmitted_total", "RTP packets sent again"),
    ("shaper_webrtc_datagrams_send_failed_total", "datagrams that the socket did not take: losses of the server's own"),
    ("shaper_webrtc_map_log_lost_total", "records that the mapping log lost"),
    ("shaper_webrtc_transport_errors_total", "transports that failed"),
];

fn tell_ended(metrics: &str, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let value = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse::<u64>().ok())
    };
    if json {
        let mut counts = serde_json::Map::new();
        for line in metrics.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, _)) = line.split_once(' ') {
                counts.insert(name.to_owned(), value(name).into());
            }
        }
        writeln!(out, "{}", serde_json::json!({"event": "stopped", "metrics": counts}))?;
        return Ok(());
    }
    for (index, (name, sentence)) in TOLD.iter().enumerate() {
        // The first three are always of interest, the others where something went wrong.
        match value(name) {
            Some(count) if index < 3 || count > 0 => writeln!(out, "{count:>10} {sentence}")?,
            _ => {}
        }
    }
    Ok(())
}

fn map_log(path: &Path) -> anyhow::Result<Outcome> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for record in read_map_log(path)? {
        serde_json::to_writer(&mut out, &record?).map_err(io::Error::from)?;
        writeln!(out)?;
    }
    out.flush()?;
    Ok(Outcome::Held)
}
