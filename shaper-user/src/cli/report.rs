//! `shaper report`: the page of a run, written again from its directory, without root.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args as ClapArgs;

use super::Outcome;
use crate::stored::Stored;

/// The page's name in a run's directory.
const FILE: &str = "report.html";

/// `shaper report`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The directory of a run
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Where to write the page; - for standard output. Without it report.html in the run's directory, unless there is one
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write over the page that the run itself left in its directory
    #[arg(long, conflicts_with = "output")]
    force: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let stored = Stored::open(&args.run)?;
    let path = args.output.clone().unwrap_or_else(|| args.run.join(FILE));
    let name = path.display();
    if args.output.is_none() && !args.force && path.exists() {
        bail!("{name}: is there already: name another file with -o FILE, or write over it with --force");
    }
    let is_of_run = |path: &Path| {
        let folder = path.canonicalize().ok().and_then(|path| path.parent().map(Path::to_owned));
        folder.is_some_and(|folder| args.run.canonicalize().is_ok_and(|run| run == folder))
    };
    if is_of_run(&path) && path.file_name().is_some_and(|name| name != FILE) {
        bail!("{name}: is of the run itself: name another file with -o FILE");
    }
    let plots = stored.plots()?;
    let page = shaper_report::html::report(&stored.summary, &plots)?;
    if args.output.as_ref().is_some_and(|output| output.as_os_str() == "-") {
        let mut out = io::stdout().lock();
        out.write_all(page.as_bytes())?;
        out.flush()?;
    } else {
        // Who has only half of a page has none: nothing stays where writing fails in the middle.
        let stood = path.exists();
        let unwritten = || format!("{name}: cannot be written: name another file with -o FILE");
        let mut file = File::create(&path).with_context(unwritten)?;
        if let Err(error) = file.write_all(page.as_bytes()).and_then(|()| file.flush()) {
            if !stood {
                let _ = fs::remove_file(&path);
            }
            return Err(error).with_context(unwritten);
        }
    }
    let mut told = io::stderr().lock();
    for note in &plots.notes {
        writeln!(told, "note: {note}")?;
    }
    Ok(Outcome::Held)
}
