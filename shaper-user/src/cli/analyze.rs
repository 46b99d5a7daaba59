//! `shaper analyze`: captures from one point or from two, without root.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args as ClapArgs;
use shaper_offline::analyze::{self, Clock, Options};

use super::Outcome;

/// `shaper analyze`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The capture at the first point: pcap or pcapng
    #[arg(value_name = "A.pcap")]
    a: PathBuf,
    /// The capture at the second point
    #[arg(value_name = "B.pcap")]
    b: Option<PathBuf>,
    /// Both captures were stamped by one clock; the captures of a run say so themselves
    #[arg(long)]
    same_clock: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let clock = if args.same_clock { Clock::Same } else { Clock::Estimate };
    let options = Options { clock, ..Options::default() };
    let text = match &args.b {
        Some(b) => {
            let analysis = analyze::two_points(&args.a, b, &options)?;
            if args.json { json(&analysis)? } else { analysis.to_string() }
        }
        None => {
            let description = analyze::one_point(&args.a, &options)?;
            if args.json { json(&description)? } else { description.to_string() }
        }
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        writeln!(out)?;
    }
    out.flush()?;
    Ok(Outcome::Held)
}

fn json<T: serde::Serialize>(value: &T) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)?)
}
