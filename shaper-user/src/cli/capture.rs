//! `shaper capture`: several interfaces into one pcapng file.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args as ClapArgs;
use indicatif::{ProgressBar, ProgressStyle};
use shaper_net::netns::NetNs;
use shaper_net::signals::Signals;
use shaper_profile::quantity::{Duration, Size};

use super::Outcome;
use crate::apply::Target;
use crate::capabilities::Task;
use crate::capture::live::{Counted, Plan, Ring, capture, check_interfaces};

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
    /// The network namespace that the interfaces are in, by its name
    #[arg(long, value_name = "NAME", conflicts_with = "pid")]
    netns: Option<String>,
    /// The process, such as a container's, in whose network namespace they are
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
}

/// The longest packet that Wireshark reads.
const LONGEST: u64 = 256 << 10;

fn snaplen(text: &str) -> anyhow::Result<u32> {
    size(text, 16, LONGEST).context("bytes of a packet, from 16 to 256KiB, such as 128B")
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
        interfaces: args.interfaces,
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
    let signals = Signals::install()?;
    let line = io::stderr().is_terminal().then(|| {
        // Without a style of its own a line is as good.
        let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new_spinner().with_style(style)
    });
    let mut dropped = 0;
    let counted = capture(
        &plan,
        signals,
        |interfaces| {
            let ends = args.duration.map_or_else(String::new, |duration| format!("for {duration:#}, or "));
            // Where standard error is closed there is nobody to tell.
            let _ = writeln!(io::stderr(), "capturing {} {ends}until Ctrl-C", interfaces.join(", "));
        },
        |counted| match &line {
            Some(line) => {
                line.set_message(one_line(counted));
                line.tick();
            }
            None if counted.dropped() > dropped => {
                dropped = counted.dropped();
                let _ = writeln!(io::stderr(), "{}", one_line(counted));
            }
            None => {}
        },
    );
    if let Some(line) = line {
        line.finish_and_clear();
    }
    // Standard output may be the capture itself.
    write!(io::stderr(), "{}", last_lines(&counted?))?;
    Ok(Outcome::Held)
}

/// How it stands.
fn one_line(counted: &Counted) -> String {
    let bytes = Size(counted.bytes);
    format!("{} packets, {bytes} written, {} dropped by the capture", counted.written(), counted.dropped())
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
