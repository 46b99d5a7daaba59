//! Programs that are measured as their user starts them: whole processes, start-up included, on one processor.

use std::ffi::OsString;
use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::Pid;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Peer {
    Shaper,
    Tshark,
    Tcpdump,
    Capinfos,
}

impl Peer {
    pub(super) const ALL: [Self; 4] = [Self::Shaper, Self::Tshark, Self::Tcpdump, Self::Capinfos];

    const fn program(self) -> &'static str {
        match self {
            Self::Shaper => "shaper",
            Self::Tshark => "tshark",
            Self::Tcpdump => "tcpdump",
            Self::Capinfos => "capinfos",
        }
    }

    /// Where it comes from.
    const fn source(self) -> &'static str {
        match self {
            Self::Shaper => "built by `cargo xtask bench`, or named with --shaper",
            Self::Tshark => "Debian's package tshark",
            Self::Tcpdump => "Debian's package tcpdump",
            Self::Capinfos => "Debian's package wireshark-common",
        }
    }

    /// Where it is.
    ///
    /// # Errors
    ///
    /// That it is not there, and where to get it.
    pub(super) fn find(self, shaper: Option<&Path>) -> Result<PathBuf, String> {
        let missing = |at: String| format!("missing: {at} ({})", self.source());
        if self == Self::Shaper {
            let beside = std::env::current_exe().ok().map(|path| path.with_file_name(self.program()));
            let path = shaper.map(Path::to_owned).or(beside).unwrap_or_default();
            return if path.is_file() { Ok(path) } else { Err(missing(path.display().to_string())) };
        }
        on_path(self.program()).ok_or_else(|| missing(format!("{} is not on the path", self.program())))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program())
    }
}

/// Where a program of others is.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// The first line of what a program says of its version.
pub(crate) fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    // tcpdump of some versions says it on standard error.
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let is_version = |line: &&str| line.chars().any(|c| c.is_ascii_digit());
    text.lines().find(is_version).map(|line| line.trim().to_owned())
}

/// What shows that a program did read all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// These words, wherever they stand, blanks in a row being one.
    Words(String),
    /// Rows of `rtp,streams`: how many, and the sum of their packets.
    Streams { streams: u64, packets: u64 },
}

impl Proof {
    /// Whether it is in what a program said.
    fn holds(&self, said: &str) -> bool {
        match self {
            Self::Words(words) => said.split_whitespace().collect::<Vec<_>>().join(" ").contains(words.as_str()),
            Self::Streams { streams, packets } => {
                // Start and end, addresses and ports, SSRC, payload, packets.
                let counts = said.lines().filter(|line| line.contains(" 0x")).map(|line| {
                    let cells = line.split_whitespace();
                    let behind = cells.skip_while(|cell| !cell.starts_with("0x")).skip(2);
                    behind.take(1).find_map(|cell| cell.parse::<u64>().ok())
                });
                let counts: Option<Vec<u64>> = counts.collect();
                counts.is_some_and(|counts| counts.len() as u64 == *streams && counts.iter().sum::<u64>() == *packets)
            }
        }
    }
}

/// A program with its arguments.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    pub(super) proof: Proof,
}

/// What a call took, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Took {
    /// Of the processor, in the program and in the kernel for it.
    pub(super) processor: f64,
    /// By the clock, from its start until it had ended.
    pub(super) elapsed: f64,
    /// By the clock, until the first line of what it says.
    pub(super) first_line: f64,
}

impl Call {
    /// Starts the program and waits for its end.
    ///
    /// # Errors
    ///
    /// When it cannot be started, fails, or did not read all.
    pub(super) fn take(&self) -> Result<Took> {
        let name = self.program.display();
        let before = children()?;
        let start = Instant::now();
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let out = child.stdout.take().with_context(|| format!("{name} has no standard output"))?;
        let mut out = BufReader::new(out);
        let mut said = Vec::new();
        let read = out.read_until(b'\n', &mut said).and_then(|_| {
            let first_line = start.elapsed();
            out.read_to_end(&mut said).map(|_| first_line)
        });
        let status = child.wait().with_context(|| format!("{name}: cannot wait for its end"))?;
        let elapsed = start.elapsed().as_secs_f64();
        let first_line = read.with_context(|| format!("{name}: cannot read what it says"))?.as_secs_f64();
        let processor = children()? - before;
        ensure!(status.success(), "{name} failed: {status}");
        let said = String::from_utf8_lossy(&said);
        ensure!(self.proof.holds(&said), "{name} did not read all: its output has no {:?}", self.proof);
        Ok(Took { processor, elapsed, first_line })
    }
}

/// Processor time of all children that have been waited for, in seconds.
fn children() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("cannot read the processor time of children")?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// This thread, and what it starts, on one processor, until it is dropped.
pub(super) struct Pinned {
    before: CpuSet,
    pub(super) processor: usize,
}

impl Pinned {
    /// The last processor that this thread may run on: the first ones have most of the interrupts.
    pub(super) fn to_last() -> Result<Self> {
        let this = Pid::from_raw(0);
        let before = sched_getaffinity(this).context("cannot read which processors are to be had")?;
        let is_set = |processor: &usize| before.is_set(*processor).unwrap_or(false);
        let processor =
            (0..CpuSet::count()).rev().find(is_set).ok_or_else(|| anyhow!("there is no processor to run on"))?;
        let mut one = CpuSet::new();
        one.set(processor).context("no such processor")?;
        sched_setaffinity(this, &one).with_context(|| format!("cannot stay on processor {processor}"))?;
        Ok(Self { before, processor })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Err(error) = sched_setaffinity(Pid::from_raw(0), &self.before) {
            eprintln!("bench: cannot leave processor {}: {error}", self.processor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(script: &str, words: &str) -> Call {
        Call {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            proof: Proof::Words(words.to_owned()),
        }
    }

    #[test]
    fn what_a_program_takes_is_known_once_it_has_read_all() {
        let took =
            call("echo first; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo '7   packets'", "7 packets")
                .take()
                .unwrap();
        assert!(took.processor > 0.0 && took.first_line <= took.elapsed, "{took:?}");
    }

    #[test]
    fn a_program_that_fails_or_reads_less_has_no_figure() {
        let failed = call("echo 7 packets; exit 3", "7 packets").take().unwrap_err();
        assert!(failed.to_string().contains("failed: exit status: 3"), "{failed}");
        let less = call("echo 6 packets", "7 packets").take().unwrap_err();
        assert!(less.to_string().contains("did not read all"), "{less}");
    }

    #[test]
    fn a_missing_program_is_named_with_where_it_comes_from() {
        let missing = Peer::Shaper.find(Some(Path::new("/nowhere/shaper"))).unwrap_err();
        assert!(missing.contains("/nowhere/shaper") && missing.contains("--shaper"), "{missing}");
    }

    #[test]
    fn streams_are_proof_when_all_are_there_with_all_packets() {
        let said = "========================= RTP Streams ========================\n   \
                    Start time      End time     Src IP addr  Port    Dest IP addr  Port       SSRC          Payload  Pkts\n \
                    0.000000     0.5     10.77.0.1 40000       10.77.0.2  7001 0x5A000000 g711U     20     1 (4.7%)\n \
                    0.000000     0.5     10.77.0.1 40002       10.77.0.2  7001 0x5A000001 g711U     22     0 (0.0%)\n";
        let proof = |streams, packets| Proof::Streams { streams, packets }.holds(said);
        assert!(proof(2, 42));
        assert!(!proof(2, 43) && !proof(1, 42));
    }
}
