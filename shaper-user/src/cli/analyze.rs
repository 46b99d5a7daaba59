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
    let (text, cuts) = match &args.b {
        Some(b) => {
            let analysis = analyze::two_points(&args.a, b, &options)?;
            let text = if args.json { json(&analysis)? } else { analysis.to_string() };
            let [a, b] = &analysis.files;
            (text, vec![(a.path.clone(), a.cut_at), (b.path.clone(), b.cut_at)])
        }
        None => {
            let description = analyze::one_point(&args.a, &options)?;
            let text = if args.json { json(&description)? } else { description.to_string() };
            (text, vec![(description.path, description.cut_at)])
        }
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        writeln!(out)?;
    }
    out.flush()?;
    let cuts: Vec<_> = cuts.into_iter().filter_map(|(path, at)| Some(cut_off(&path, at?))).collect();
    // What stands before a cut was printed; that it is not all is an error nevertheless.
    if cuts.is_empty() { Ok(Outcome::Held) } else { Err(anyhow::anyhow!(cuts.join("; "))) }
}

fn cut_off(path: &str, at: u64) -> String {
    format!(
        "{path}: cut off at byte {at}, in the middle of a packet or block: the analysis ends there; copy the file whole, \
         or stop the capture before copying it"
    )
}

fn json<T: serde::Serialize>(value: &T) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)?)
}
