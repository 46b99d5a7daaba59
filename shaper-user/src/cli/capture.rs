//! `shaper capture`: several interfaces into one pcapng file.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args as ClapArgs;
use indicatif::{ProgressBar, ProgressStyle};
use shaper_common::fate::Cause;
use shaper_common::layout::Recording;
use shaper_net::netns::NetNs;
use shaper_net::signals::Signals;
use shaper_profile::quantity::{Duration, Size};

use super::Outcome;
use crate::apply::Target;
use crate::capabilities::Task;
use crate::capture::live::{Counted, Device, Fated, Plan, Ring, capture, capture_with_fates, check_interfaces};

/// `shaper capture`.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "The kernel stamps each packet, in nanoseconds. Packets of all interfaces stand in order of time. What the \
                        capture itself drops is told while it goes on, at the end of the file, and when it is over."
)]
pub(crate) struct Args {
    /// Interfaces, such as eth0, or `any` for all of them
    #[arg(value_name = "IFACE", required = true)]
    interfaces: Vec<String>,
    /// The pcapng file; - for standard output, such as to `wireshark -k -i -`
    #[arg(short, long, value_name = "FILE")]
    write: PathBuf,
    /// Which packets, in libpcap's words, such as 'udp port 5004': the kernel takes no others
    #[arg(long, value_name = "EXPR", default_value = "", hide_default_value = true)]
    filter: String,
    /// Bytes of each packet that are kept
    #[arg(long, value_name = "SIZE", default_value = "256KiB", value_parser = snaplen)]
    snaplen: u32,
    /// Instead of one file that grows: files of this size, of which so many are kept, such as 100MBx10
    #[arg(long, value_name = "SIZExN")]
    ring: Option<Ring>,
    /// The kernel's buffer for each interface
    #[arg(long, value_name = "SIZE", default_value = "16MiB", value_parser = buffer)]
    buffer: u32,
    /// Take packets for other hosts too, where the device is handed such
    #[arg(long)]
    promiscuous: bool,
    /// End by itself after this time
    #[arg(long = "for", value_name = "TIME")]
    duration: Option<Duration>,
    /// End by itself after so many packets
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// With the fate of each packet, those dropped included, of an interface that `shaper apply` or `shaper bridge`
    /// impairs: both sides of the link, what was decided in a comment on each packet. The file is written in the end
    #[arg(long, conflicts_with = "ring")]
    fates: bool,
    /// The network namespace that the interfaces are in, by its name
    #[arg(long, value_name = "NAME", conflicts_with = "pid")]
    netns: Option<String>,
    /// The process, such as a container's, in whose network namespace they are
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
}

/// The longest packet that Wireshark reads.
const LONGEST: u64 = 256 << 10;

/// Bytes also without a unit, as tcpdump's `-s` has them.
fn snaplen(text: &str) -> anyhow::Result<u32> {
    let bytes = text.parse::<u32>().map(|bytes| format!("{bytes}B"));
    size(bytes.as_deref().unwrap_or(text), 16, LONGEST).context("bytes of a packet, from 16 to 256KiB, such as 128B")
}

fn buffer(text: &str) -> anyhow::Result<u32> {
    size(text, 1 << 20, 1 << 30).context("a buffer is from 1MiB to 1GiB, such as 64MiB")
}

fn size(text: &str, least: u64, most: u64) -> anyhow::Result<u32> {
    let Size(size) = text.parse()?;
    anyhow::ensure!(
        (least..=most).contains(&size),
        "{size} bytes are too {}",
        if size < least { "few" } else { "many" }
    );
    Ok(u32::try_from(size)?)
}

/// Captures until Ctrl-C, or until what was said is reached.
pub(super) fn run(args: Args) -> anyhow::Result<Outcome> {
    check_interfaces(&args.interfaces)?;
    Task::Capture.demand()?;
    let target = Target::of(args.netns.as_deref(), args.pid);
    let netns = match target {
        Target::Own => None,
        _ => Some(NetNs::by_inode(target.inode()?)?),
    };
    let plan = Plan {
        interfaces: args.interfaces.into_iter().map(Device::from).collect(),
        netns,
        path: args.write,
        ring: args.ring,
        filter: args.filter,
        snaplen: args.snaplen,
        buffer: args.buffer,
        promiscuous: args.promiscuous,
        duration: args.duration.map(Into::into),
        count: args.count,
    };
    if args.fates && plan.path == Path::new("-") {
        bail!("-: what is captured with --fates is written when it is over: name a file");
    }
    let signals = Signals::install()?;
    let mut shown = Shown::new();
    let began = |plan: &Plan| {
        let ends = args.duration.map_or_else(String::new, |duration| format!("for {duration:#}, or "));
        let names: Vec<&str> = plan.interfaces.iter().map(|device| device.name.as_str()).collect();
        // Where standard error is closed there is nobody to tell.
        let _ = writeln!(io::stderr(), "capturing {} {ends}until Ctrl-C", names.join(", "));
    };
    let (text, failed) = if args.fates {
        let path = plan.path.clone();
        let fated = capture_with_fates(plan, &target, signals, began, |counted| shown.show(counted));
        shown.clear();
        let (fated, failed) = fated?;
        (fate_lines(&fated, &path), failed)
    } else {
        let counted = capture(&plan, signals, began, |counted| shown.show(counted));
        shown.clear();
        let (counted, failed) = counted?;
        (last_lines(&counted), failed)
    };
    // Standard output may be the capture itself.
    write!(io::stderr(), "{text}")?;
    failed.map_or(Ok(Outcome::Held), Err)
}

/// How it stands, while it goes on: a line that changes on a terminal, else a line for each time that something was
/// dropped.
struct Shown {
    line: Option<ProgressBar>,
    dropped: u64,
}

impl Shown {
    fn new() -> Self {
        let line = io::stderr().is_terminal().then(|| {
            // Without a style of its own a line is as good.
            let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new_spinner().with_style(style)
        });
        Self { line, dropped: 0 }
    }

    fn show(&mut self, counted: &Counted) {
        match &self.line {
            Some(line) => {
                line.set_message(one_line(counted));
                line.tick();
            }
            None if counted.dropped() > self.dropped => {
                self.dropped = counted.dropped();
                let _ = writeln!(io::stderr(), "{}", one_line(counted));
            }
            None => {}
        }
    }

    fn clear(&self) {
        if let Some(line) = &self.line {
            line.finish_and_clear();
        }
    }
}

/// How it stands.
fn one_line(counted: &Counted) -> String {
    let bytes = Size(counted.bytes);
    format!("{} packets, {bytes} written, {} dropped by the capture", counted.written(), counted.dropped())
}

/// How it went with fates.
fn fate_lines(fated: &Fated, path: &Path) -> String {
    let mut text = String::new();
    for (side, received, dropped) in &fated.sides {
        let _ = writeln!(text, "{side}: {received} packets, {dropped} dropped by the capture");
    }
    let (passed, dropped): (Vec<_>, Vec<_>) =
        fated.decided.iter().partition(|(cause, _)| **cause == Cause::None.name());
    let passed: u64 = passed.into_iter().map(|(_, count)| count).sum();
    let causes: String = dropped.into_iter().map(|(cause, count)| format!(", {count} dropped by {cause}")).collect();
    let _ = writeln!(text, "decided meanwhile: {passed} let through{causes}");
    let (packets, with_fate) = fated.packets;
    let _ = write!(text, "{with_fate} of {packets} packets have a fate");
    if fated.recording != Recording::All.to_string() {
        let _ = write!(text, "; --records {} of the impairment leaves others out", fated.recording);
    }
    text.push('\n');
    if fated.ambiguous > 0 {
        let _ = writeln!(
            text,
            "{} have length and checksum of others of their flow: they have the fates of these, in order",
            fated.ambiguous
        );
    }
    if fated.lost > 0 {
        let _ = writeln!(text, "{} fates were lost on their way or are beyond what is kept", fated.lost);
    }
    if let Some(why) = &fated.ended {
        let _ = writeln!(text, "fates ended early: {why}");
    }
    let _ = writeln!(text, "{}: {} bytes", path.display(), fated.bytes);
    text
}

/// How it went.
fn last_lines(counted: &Counted) -> String {
    let mut text = String::new();
    for one in &counted.interfaces {
        let _ = writeln!(
            text,
            "{}: {} packets written, {} received, {} dropped by the capture",
            one.interface, one.written, one.received, one.dropped
        );
    }
    if counted.dropped() > 0 {
        text += "What was dropped is in no file, and says nothing of the network: a larger --buffer, a smaller --snaplen or \
                 a --filter spares packets.\n";
    }
    if counted.out_of_order > 0 {
        let _ = writeln!(text, "{} packets stand behind one that was stamped later", counted.out_of_order);
    }
    let files = if counted.files > 1 { format!(", the last of {} files", counted.files) } else { String::new() };
    let _ = writeln!(text, "{}: {} bytes{files}", counted.last.display(), counted.bytes);
    text
}
