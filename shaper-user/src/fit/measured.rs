//! What a fit is made from: both directions, and how they came about.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use shaper_offline::fit::{Fate, Observed, Series};
use shaper_offline::pcapfile::{Error, Fault, Reader, STDIN};

use super::{captures, delays, irtt, records};
use crate::cut::Cut;

/// Packets of a direction that are held: 96 MiB.
pub(super) const MOST: usize = 1 << 22;

/// What the user says beside the files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given {
    /// One clock stamped both ends, or two that are synchronised.
    pub(crate) same_clock: bool,
    /// From one packet to the next, where a series has no times.
    pub(crate) interval_ns: Option<i64>,
}

impl Given {
    fn without_interval(self, has_times: &str) -> anyhow::Result<()> {
        if self.interval_ns.is_some() {
            bail!("--interval is for delays without times, and {has_times} has them: leave it out");
        }
        Ok(())
    }

    fn without_same_clock(self, as_they_are: &str) -> anyhow::Result<()> {
        if self.same_clock {
            bail!(
                "--same-clock is for captures and for irtt's output, and delays of {as_they_are} are taken as they are: \
                 leave it out"
            );
        }
        Ok(())
    }
}

/// Series of both directions; empty where nothing was measured.
#[derive(Debug)]
pub(crate) struct Measured {
    /// What it is made from, in words.
    pub(crate) from: String,
    /// From the first end to the second, and back.
    pub(crate) series: [Series; 2],
    /// When the first packet was sent, in nanoseconds since 1970, where that is known.
    pub(crate) first_ns: Option<i64>,
    /// What is to be known of it.
    pub(crate) notes: Vec<String>,
    /// Captures that are cut off or damaged: what stands before was fitted.
    pub(crate) cuts: Vec<Cut>,
}

/// A direction's packets as they are read, no more than are held.
#[derive(Debug, Default)]
pub(super) struct Packets {
    pub(super) all: Vec<Observed>,
    left_out: u64,
}

impl Packets {
    pub(super) fn push(&mut self, sent_ns: i64, fate: Fate, bytes: Option<u32>) {
        if self.has_room() {
            self.all.push(Observed { sent_ns, fate, bytes });
        }
    }

    /// Whether one more is held; else it is counted as left out.
    pub(super) fn has_room(&mut self) -> bool {
        let has_room = self.all.len() < MOST;
        self.left_out += u64::from(!has_room);
        has_room
    }

    /// What is to be said of those that were not held.
    pub(super) fn left_out(&self) -> Option<String> {
        (self.left_out > 0)
            .then(|| format!("{} packets behind the first {MOST} of a direction were left out", self.left_out))
    }
}

/// What a file is.
enum Kind {
    Capture,
    Json,
    Text,
}

impl Measured {
    /// Reads a run's directory, a series, irtt's JSON, or the captures of two points.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or is none of these, a second one where none belongs, and a flag that says nothing of it.
    pub(crate) fn read(a: &Path, b: Option<&Path>, given: Given) -> anyhow::Result<Self> {
        if a.is_dir() {
            if let Some(b) = b {
                bail!("{}: {} is a run's directory, and has both ends: name it alone", b.display(), a.display());
            }
            return Self::of_run(a, given);
        }
        match (kind(a)?, b) {
            (Kind::Capture, Some(b)) => {
                given.without_interval("a capture")?;
                captures::read(a, b, given.same_clock, false)
            }
            (Kind::Capture, None) => bail!(
                "{}: a capture of one point says nothing of the link: name the capture at the other end too",
                a.display()
            ),
            (_, Some(b)) => bail!("{}: {} is no capture, and is fitted alone", b.display(), a.display()),
            (Kind::Json, None) => {
                given.without_interval("irtt's output")?;
                irtt::read(a, given.same_clock)
            }
            (Kind::Text, None) => {
                given.without_same_clock("a table or list")?;
                delays::read(a, given.interval_ns)
            }
        }
    }

    /// A run has the captures of both ends of a link, or else a table of what was decided.
    fn of_run(directory: &Path, given: Given) -> anyhow::Result<Self> {
        given.without_interval("a run")?;
        let [a, b] = ["a.pcapng", "b.pcapng"].map(|name| directory.join(name));
        if a.is_file() && b.is_file() {
            return captures::read(&a, &b, given.same_clock, true);
        }
        let table: PathBuf = directory.join(records::FILE);
        if !table.is_file() {
            bail!(
                "{}: neither a.pcapng and b.pcapng nor {} is there: name the directory of a run, or two captures",
                directory.display(),
                records::FILE
            );
        }
        given.without_same_clock("a run's records")?;
        records::read(&table)
    }
}

/// What a file is. Whether it is a capture the reader of captures says.
fn kind(path: &Path) -> anyhow::Result<Kind> {
    let name = path.display();
    let failed = || format!("{name}: cannot be read");
    // Files are read more than once; and - is a name for the reader of captures.
    if !fs::metadata(path).with_context(failed)?.is_file() || path == Path::new(STDIN) {
        bail!("{name}: is no file, and cannot be read twice: write what it gives to one");
    }
    match Reader::open(path) {
        Ok(_) => return Ok(Kind::Capture),
        Err(Error::Damaged { fault: Fault::NotACapture(_) | Fault::TooShort(_), decompressed: true, .. }) => {
            bail!("{name}: compressed, and no capture: unpack it first, with gunzip or unzstd");
        }
        Err(Error::Damaged { fault: Fault::NotACapture(_) | Fault::TooShort(_), .. }) => {}
        Err(Error::Io { source, .. }) => return Err(source).with_context(failed),
        Err(error) => return Err(error.into()),
    }
    let mut head = Vec::new();
    File::open(path).with_context(failed)?.take(64).read_to_end(&mut head).with_context(failed)?;
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head).trim_ascii_start();
    Ok(if text.starts_with(b"{") { Kind::Json } else { Kind::Text })
}
