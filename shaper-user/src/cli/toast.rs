//! `shaper toast`: one end of the multicast sync workload by itself, on any interface, and the score of
//! what all ends wrote down.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddrV4;
use std::path::PathBuf;

use anyhow::Context;
use clap::{ArgAction, Args as ClapArgs, Subcommand, ValueEnum};
use shaper_common::units::Nanos as LinkNanos;
use shaper_engine::clock::monotonic;
use shaper_profile::quantity::Duration;
use shaper_toast::burst::BurstConfig;
use shaper_toast::clock::{ClockBase, ClockConfig};
use shaper_toast::config::{ControllerConfig, NodeConfig, PeerConfig};
use shaper_toast::log::{Event, Log, read_log};
use shaper_toast::score::{PeerScore, Score, ScoreConfig, Times, score};
use shaper_toast::script::ScriptConfig;
use shaper_toast::units::Nanos;
use shaper_toast::wire::{ChecksumMode, DEFAULT_GROUP};
use shaper_toast::{RunSummary, StopFlag};

use super::Outcome;

/// `shaper toast`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Send scripted commands; exit code 1 when nobody answers
    Controller(Controller),
    /// Follow a controller until stopped; exit code 1 when no command was heard
    Peer(Peer),
    /// Score a session from the logs of its controllers and peers; exit code 1 when nothing was delivered
    Score(ScoreArgs),
}

/// What both ends take.
#[derive(Debug, ClapArgs)]
struct Node {
    /// The interface that multicast is sent and joined on; it needs an IPv4 address
    #[arg(long, value_name = "IF")]
    interface: String,
    /// Name in the session, unique there [default: the role and this host's name]
    #[arg(long, value_name = "ID")]
    name: Option<String>,
    /// Only frames of the same session are heard
    #[arg(long, value_name = "NAME", default_value = "shaper")]
    session: String,
    /// Where the log goes; one that exists is replaced [default: toast-<name>.jsonl]
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Multicast group and port
    #[arg(long, value_name = "ADDR:PORT", default_value_t = DEFAULT_GROUP)]
    group: SocketAddrV4,
    /// IP time to live
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    ttl: u8,
    /// The checksum of each frame
    #[arg(long, value_enum, default_value_t = Checksum::Crc16)]
    checksum: Checksum,
    /// Whether this host hears what it sends: on where another end runs on this host too
    #[arg(long, value_name = "on|off", default_value = "on", action = ArgAction::Set, value_parser = on_or_off)]
    multicast_loop: bool,
    /// Seed of burst gaps and phases
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Checksum {
    /// CRC-16/MODBUS over header and payload
    Crc16,
    /// The legacy sum of the payload's bytes
    Sum16,
}

#[derive(Debug, ClapArgs)]
struct Controller {
    #[command(flatten)]
    node: Node,
    /// How long commands are sent
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = Duration::parse_nonzero)]
    duration: Duration,
    /// From one command to the next: more than twice the longest one-way delay, or commands overtake
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = Duration::parse_nonzero)]
    spacing: Duration,
    /// How long peers have to come up before the first command
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = Duration::parse_nonzero)]
    lead: Duration,
}

#[derive(Debug, ClapArgs)]
struct Peer {
    #[command(flatten)]
    node: Node,
    /// How long to follow [default: until Ctrl-C or SIGTERM]
    #[arg(long, value_name = "TIME", value_parser = Duration::parse_nonzero)]
    duration: Option<Duration>,
}

#[derive(Debug, ClapArgs)]
struct ScoreArgs {
    /// Logs of controllers and peers that were written on one host
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
    /// The longest one-way delay of the link between them
    #[arg(long, value_name = "TIME", default_value = "0")]
    largest_delay: Duration,
    /// A peer that counts even if it left no log
    #[arg(long, value_name = "ID")]
    expect_peer: Vec<String>,
    /// Print the score as JSON
    #[arg(long)]
    json: bool,
}

/// Runs one end, or scores.
pub(super) fn run(args: Args) -> anyhow::Result<Outcome> {
    match args.action {
        Action::Controller(args) => controller(args),
        Action::Peer(args) => peer(args),
        Action::Score(args) => show_score(&args),
    }
}

fn controller(args: Controller) -> anyhow::Result<Outcome> {
    let node = args.node.config("controller")?;
    let log = node.log.clone();
    let start = monotonic().saturating_add(args.lead.0.0);
    let mut config = ControllerConfig::new(node, Nanos(start), Nanos(args.duration.0.0));
    config.script = ScriptConfig { spacing: Nanos(args.spacing.0.0), ..ScriptConfig::default() };
    config.check()?;
    let stop = StopFlag::on_signals().context("cannot take over signals")?;
    let ended = shaper_toast::controller::run(config, &stop)?;
    let written = read_log(&log)?;
    let mut out = io::stdout().lock();
    let count = |what: fn(&Event) -> bool| written.events.iter().filter(|event| what(event)).count();
    let commands = count(|event| matches!(event, Event::Commanded { .. }));
    let answers: BTreeSet<(&str, u32)> = written.events.iter().filter_map(answer).collect();
    let peers: BTreeSet<&str> = answers.iter().map(|(peer, _)| *peer).collect();
    writeln!(out, "commands  {commands} sent{}", if ended.stopped { ", then stopped" } else { "" })?;
    if peers.is_empty() {
        writeln!(out, "answers   none: no peer of this session heard a command, or its answers were lost")?;
    }
    for peer in &peers {
        let answered = answers.iter().filter(|(from, _)| from == peer).count();
        writeln!(out, "answers   {answered} of {commands} from {peer}")?;
    }
    tell_counts(&mut out, &ended)?;
    writeln!(out, "log       {}", log.display())?;
    writeln!(
        out,
        "\nWhat was delivered is in the peers' logs alone: shaper toast score {} PEER.jsonl …",
        log.display()
    )?;
    Ok(if peers.is_empty() { Outcome::Failed } else { Outcome::Held })
}

fn answer(event: &Event) -> Option<(&str, u32)> {
    match event {
        Event::AnswerReceived { from, ack_seq, .. } => Some((from, *ack_seq)),
        _ => None,
    }
}

fn peer(args: Peer) -> anyhow::Result<Outcome> {
    let node = args.node.config("peer")?;
    let log = node.log.clone();
    let mut config = PeerConfig::new(node);
    config.end_at = args.duration.map(|duration| Nanos(monotonic().saturating_add(duration.0.0)));
    config.check()?;
    let stop = StopFlag::on_signals().context("cannot take over signals")?;
    let ended = shaper_toast::peer::run(config, &stop)?;
    let written = read_log(&log)?;
    let mut out = io::stdout().lock();
    let heard: BTreeSet<(&str, u32)> = written.events.iter().filter_map(received).collect();
    let count = |what: fn(&Event) -> bool| written.events.iter().filter(|event| what(event)).count();
    if heard.is_empty() {
        writeln!(out, "commands  none heard: is a controller of this session sending on this network?")?;
    } else {
        writeln!(
            out,
            "commands  {} heard in {} copies, {} applied, {} out of order",
            heard.len(),
            ended.counts.commands,
            count(|event| matches!(event, Event::Applied { .. })),
            count(|event| matches!(event, Event::OutOfOrder { .. })),
        )?;
        writeln!(out, "          how many were sent is in the controller's log alone")?;
    }
    tell_counts(&mut out, &ended)?;
    let heard_any = !heard.is_empty();
    tell_clock(&mut out, &written)?;
    writeln!(out, "log       {}", log.display())?;
    Ok(if heard_any { Outcome::Held } else { Outcome::Failed })
}

fn received(event: &Event) -> Option<(&str, u32)> {
    match event {
        Event::Received { from, seq, .. } => Some((from, *seq)),
        _ => None,
    }
}

fn tell_counts(out: &mut impl Write, ended: &RunSummary) -> io::Result<()> {
    let counts = &ended.counts;
    writeln!(
        out,
        "datagrams {} sent, {} received, of these {} own and {} foreign",
        counts.sent, counts.received, counts.self_heard, counts.foreign
    )?;
    if counts.send_failed > 0 {
        writeln!(out, "          {} could not be sent: the log says why", counts.send_failed)?;
    }
    if counts.receive_buffer_drops > 0 {
        writeln!(
            out,
            "          {} dropped by the kernel at a full socket: no loss of the network's",
            counts.receive_buffer_drops
        )?;
    }
    Ok(())
}

fn tell_clock(out: &mut impl Write, log: &Log) -> io::Result<()> {
    let last = log.events.iter().rev().find_map(|event| match event {
        Event::ClockEstimate { with, estimate, .. } => Some((with, estimate)),
        _ => None,
    });
    match last {
        Some((with, estimate)) => writeln!(out, "clock     {with} is {:+.0} us from ours", estimate.offset),
        None => Ok(()),
    }
}

fn show_score(args: &ScoreArgs) -> anyhow::Result<Outcome> {
    let logs = args.logs.iter().map(|path| read_log(path)).collect::<Result<Vec<_>, _>>()?;
    let LinkNanos(largest) = args.largest_delay.0;
    let config = ScoreConfig::new(Nanos(largest), BurstConfig::default().longest(), args.expect_peer.clone());
    let score = score(&logs, &config);
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&score)?)?;
    } else {
        tell_score(&mut out, &score)?;
    }
    Ok(if score.delivery.count == 0 { Outcome::Failed } else { Outcome::Held })
}

fn tell_score(out: &mut impl Write, score: &Score) -> io::Result<()> {
    let share = score.delivery;
    writeln!(out, "commands   {}", score.commands)?;
    writeln!(
        out,
        "delivered  {} of {} ({:.1} %, 95 % interval {:.1} to {:.1} %)",
        share.count,
        share.of,
        share.share * 100.0,
        share.low * 100.0,
        share.high * 100.0
    )?;
    let width = score.peers.iter().map(|peer| peer.peer.len()).max().unwrap_or(0).max("peer".len());
    if !score.peers.is_empty() {
        writeln!(
            out,
            "\n{:width$}  intended  delivered  once  repeated  superseded  missed  response p50 / p95 / p99 / max, ms",
            "peer"
        )?;
    }
    for peer in &score.peers {
        tell_peer(out, peer, width)?;
    }
    let missing: u64 = score.peers.iter().map(|peer| peer.response.missing).sum();
    if missing > 0 {
        writeln!(out, "{:width$}  {missing} commands without a response are in no percentile", "")?;
    }
    writeln!(out)?;
    if score.spread.times.n > 0 {
        writeln!(out, "spread     first to last peer {} ms", percentiles(&score.spread.times))?;
    }
    writeln!(out, "schedule   {}", score.schedule.statement())?;
    match (&score.grades.overall, &score.grades.withheld) {
        (Some(grade), _) => writeln!(out, "grade      {}", word(grade))?,
        (None, Some(why)) => writeln!(out, "grade      none: {why}")?,
        (None, None) => writeln!(out, "grade      none")?,
    }
    for warning in &score.warnings {
        writeln!(out, "warning    {warning}")?;
    }
    writeln!(out, "\nTimes between logs hold where all of them were written on one host.")
}

fn tell_peer(out: &mut impl Write, peer: &PeerScore, width: usize) -> io::Result<()> {
    writeln!(
        out,
        "{:width$}  {:8}  {:9}  {:4}  {:8}  {:10}  {:6}  {}",
        peer.peer,
        peer.intended,
        peer.delivered,
        peer.applied_once,
        peer.repeated,
        peer.superseded,
        peer.missed,
        percentiles(&peer.response),
    )
}

fn percentiles(times: &Times) -> String {
    let ms = |time: Option<Nanos>| time.map_or_else(|| "-".into(), |time| format!("{:.2}", time.as_millis_f64()));
    [times.p50, times.p95, times.p99, times.max].map(ms).join(" / ")
}

/// A grade as the JSON output spells it.
fn word(grade: &impl serde::Serialize) -> String {
    serde_json::to_value(grade).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

impl Node {
    fn config(&self, role: &str) -> anyhow::Result<NodeConfig> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => {
                let path = "/proc/sys/kernel/hostname";
                let host = fs::read_to_string(path).with_context(|| format!("{path}: cannot read: give --name"))?;
                format!("{role}-{}", host.trim())
            }
        };
        let log = self.log.clone().unwrap_or_else(|| PathBuf::from(format!("toast-{}.jsonl", file_name(&name))));
        let mut node = NodeConfig::new(&name, &self.session, &self.interface, log);
        node.group = self.group;
        node.ttl = self.ttl;
        node.multicast_loop = self.multicast_loop;
        node.seed = self.seed;
        node.checksum = match self.checksum {
            Checksum::Crc16 => ChecksumMode::Crc16,
            Checksum::Sum16 => ChecksumMode::Sum16,
        };
        // Hosts count CLOCK_MONOTONIC from their own boots; the wall clock is what they may share.
        node.clock = ClockConfig { base: ClockBase::Realtime, ..ClockConfig::default() };
        Ok(node)
    }
}

/// A name as part of a file's name.
fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect()
}

fn on_or_off(text: &str) -> Result<bool, &'static str> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("write on or off"),
    }
}
