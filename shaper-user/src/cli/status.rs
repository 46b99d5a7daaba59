//! `shaper status`: the interfaces that are impaired.

use std::io::{self, Write};

use anyhow::bail;
use clap::Args as ClapArgs;

use super::Outcome;
use crate::apply::{All, DirectionStatus, Found, Status, all};

/// `shaper status`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// This interface only
    #[arg(value_name = "IFACE")]
    interface: Option<String>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Says how they stand.
pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let All { found, untold } = all()?;
    let wanted = |status: &Status| args.interface.as_ref().is_none_or(|name| status.is_of(name));
    let shown: Vec<Status> = found.into_iter().map(|Found { status, .. }| status).filter(wanted).collect();
    if shown.is_empty()
        && untold.is_empty()
        && let Some(interface) = &args.interface
    {
        bail!("{interface} is not impaired by any shaper of this host");
    }
    if shown.is_empty() && !untold.is_empty() {
        bail!(untold.join("; "));
    }
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&shown)?)?;
    } else {
        for status in &shown {
            tell(&mut out, status)?;
        }
        if shown.is_empty() {
            writeln!(out, "no interface is impaired: shaper apply IFACE --delay 20ms")?;
        }
    }
    for words in untold {
        writeln!(io::stderr(), "shaper: {words}")?;
    }
    Ok(Outcome::Held)
}

fn tell(out: &mut impl Write, status: &Status) -> io::Result<()> {
    let within = status.netns.as_ref().map(|name| format!(" in {name}")).unwrap_or_default();
    let ends = status.ends_in_s.map(|left| format!(", {left:.0} s to go")).unwrap_or_default();
    writeln!(
        out,
        "{}{within}: impaired for {:.0} s{ends} by process {} ({})",
        status.interface, status.running_s, status.pid, status.id
    )?;
    writeln!(
        out,
        "  engine {} ({}), XDP mode {}, packets led to it by {}, seed {}, {}, records {}",
        status.engine, status.engine_why, status.xdp_mode, status.hook, status.seed, status.room, status.records
    )?;
    if let Some(queues) = status.queues {
        writeln!(out, "  {queues} queues of each, with a thread a queue")?;
    }
    for DirectionStatus { direction, settings, packets_per_s, figures } in &status.directions {
        match settings {
            Some(settings) => writeln!(out, "  {direction:7}  {settings}")?,
            None => {
                writeln!(out, "  {direction:7}  left alone")?;
                continue;
            }
        }
        writeln!(out, "           {}  {packets_per_s:.0} packets/s", figures.line())?;
        for line in figures.more() {
            writeln!(out, "           {line}")?;
        }
    }
    for change in &status.changed {
        writeln!(out, "  changed: {change}")?;
    }
    Ok(())
}
