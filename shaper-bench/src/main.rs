//! Benchmarks: each suite measures one part of shaper, interleaved with what it is compared with.
//!
//! `decision` times the XDP programs, `core` the timing wheel, `link` whole links between namespaces, `lateness`
//! what the delay line misses its times by, `toast` the workload's messages, `peers` how fast captures are read beside what
//! others read them with, `webrtc` what packets, handshakes and clients cost. `cargo xtask bench` builds and runs it.

mod alloc;
mod clock;
mod decision;
mod drivers;
mod frame;
mod host;
mod lateness;
mod link;
mod netem;
mod peers;
mod report;
mod stats;
mod toast;
mod webrtc;
mod wheel;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use shaper_net::guard::{self, Guard};
use shaper_net::journal::{self, Journal, Owners};
use shaper_net::signals::Signals;

use crate::host::Host;
use crate::report::Report;

#[derive(Parser)]
#[command(
    name = "shaper-bench",
    about = "Figures of shaper beside what they are compared with",
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    #[command(subcommand)]
    other: Option<Other>,
    /// Write JSON to standard output, and the table to standard error.
    #[arg(long)]
    json: bool,
    /// Run these suites only.
    #[arg(long, value_enum)]
    only: Vec<Suite>,
    /// How often each figure is taken; medians are of these.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// The `shaper` of the suites peers and webrtc [default: the one beside this program]
    #[arg(long, value_name = "PROGRAM")]
    shaper: Option<PathBuf>,
}

/// What is measured by itself, without the suites.
#[derive(Debug, Subcommand)]
enum Other {
    /// netem and our engines beside each other, each result a line of JSON.
    Netem(netem::Arguments),
    /// What drivers of this kernel can do, and what our engines do on them, each result a line of JSON. Devices are given
    /// addresses and taken into use: it is for guests.
    Drivers(drivers::Arguments),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// The XDP decision, by test runs.
    Decision,
    /// The delay line's timing wheel, without sockets.
    Core,
    /// Encoding, decoding and sending TOAST messages.
    Toast,
    /// Frames through a link between two namespaces.
    Link,
    /// What the delay line misses its release times by.
    Lateness,
    /// Captures read by `shaper analyze` and by tshark, tcpdump and capinfos.
    Peers,
    /// `shaper webrtc serve` and `load` at 10, 100 and 1,000 clients, and Chromium.
    Webrtc,
}

impl Suite {
    const fn needs_root(self) -> bool {
        matches!(self, Self::Decision | Self::Link | Self::Lateness)
    }
}

/// What every suite is given.
struct Session {
    journal: Journal,
    signals: Signals,
    repeats: u32,
}

impl Session {
    /// An error once somebody asked to stop.
    fn check(&self) -> Result<()> {
        if self.signals.requested().is_some() { bail!("stopped") } else { Ok(()) }
    }

    /// Says what is being measured, to somebody who waits.
    fn tell(&self, what: &str) {
        eprintln!("bench: {what}");
    }
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if let Some((first, rest)) = arguments.split_first()
        && first == guard::ARGUMENT
    {
        return guard::main(rest.to_vec());
    }
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shaper-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.other {
        Some(Other::Netem(arguments)) => guarded(true, 1, |session| netem::run(session, arguments)),
        Some(Other::Drivers(arguments)) => guarded(true, 1, |session| drivers::run(session, arguments)),
        None => suites(arguments),
    }
}

/// Does something in a session whose changes on the host are undone whatever comes.
fn guarded<T>(root: bool, repeats: u32, work: impl FnOnce(&Session) -> Result<T>) -> Result<T> {
    if root && !nix::unistd::Uid::effective().is_root() {
        bail!(
            "namespaces and BPF programs need root: run it as root, or only what needs none: --only core --only toast --only \
             peers --only webrtc"
        );
    }
    let signals = Signals::install()?;
    let folder = std::env::temp_dir();
    let journal = if root {
        journal::recover(Owners::Dead)?;
        Journal::create("bench")?
    } else {
        Journal::create_in(&folder, "bench")?
    };
    let guard = if root { Some(Guard::start(&journal)?) } else { None };
    let session = Session { journal, signals, repeats };
    let done = work(&session);
    session.journal.undo()?;
    drop(guard);
    done
}

fn suites(arguments: &Arguments) -> Result<()> {
    let suites = if arguments.only.is_empty() { Suite::value_variants() } else { &arguments.only };
    let root = suites.iter().any(|suite| suite.needs_root());
    let mut report = Report::new(Host::read());
    let mut failed = Vec::new();
    guarded(root, arguments.repeats, |session| {
        for suite in suites {
            let measured = match suite {
                Suite::Decision => decision::measure(session),
                Suite::Core => wheel::measure(session),
                Suite::Toast => toast::measure(session),
                Suite::Link => link::measure(session),
                Suite::Lateness => lateness::measure(session),
                Suite::Peers => peers::measure(session, arguments.shaper.as_deref()),
                Suite::Webrtc => webrtc::measure(session, arguments.shaper.as_deref()),
            };
            // What the others measured stands.
            match measured.with_context(|| format!("suite {suite:?}").to_lowercase()) {
                Ok(figures) => report.add(figures),
                Err(error) => failed.push(format!("{error:#}")),
            }
            session.check()?;
        }
        Ok(())
    })?;
    report.finish();
    if arguments.json {
        eprint!("{}", report.table());
        let mut out = std::io::stdout().lock();
        serde_json::to_writer_pretty(&mut out, &report.json())?;
        writeln!(out)?;
    } else {
        print!("{}", report.table());
    }
    ensure!(failed.is_empty(), "{}", failed.join("; "));
    Ok(())
}
