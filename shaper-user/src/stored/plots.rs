//! What a run's page plots, from its directory.

use shaper_report::html::{DirectionPlot, Outcome, PacketPoint, Plots, Treated};

use super::packets::{Actual, Packet, Packets};
use super::{Stored, configured};

impl Stored {
    /// The plots, and what cannot be plotted and why.
    ///
    /// # Errors
    ///
    /// When a file of the directory is there and cannot be read.
    pub(crate) fn plots(&self) -> anyhow::Result<Plots> {
        let mut packets = Packets::of(self)?;
        let mut plots = Plots::default();
        let configured = configured::of_run(&self.path);
        if let Err(error) = &configured {
            plots.notes.push(format!("no configured distribution of delays: {error:#}"));
        }
        let mut configured = configured.unwrap_or_default();
        let known: Vec<(String, u32)> = packets.directions().map(|(name, number)| (name.to_owned(), number)).collect();
        for (name, number) in known {
            let mut plot = DirectionPlot::default();
            plot.configure(configured.remove(&number).unwrap_or_default());
            packets.each(&name, |packet| put(&mut plot, packet))?;
            plots.directions.insert(name, plot);
        }
        if self.summary.time_to_state_ms.as_ref().is_some_and(|times| times.n > 0) {
            plots.notes.push(
                "the time from command to state is plotted over the run only in the page that the run itself wrote"
                    .to_owned(),
            );
        }
        plots.notes.append(&mut packets.notes);
        Ok(plots)
    }
}

fn put(plot: &mut DirectionPlot, packet: &Packet) {
    let at_ns = u64::try_from(packet.at_ns).unwrap_or(0);
    let outcome = match (&packet.cause, packet.actual, packet.delay_ns()) {
        (Some(cause), ..) => Outcome::Dropped { cause: cause.clone() },
        (None, _, Some(delay_ns)) => Outcome::Delivered { delay_ns },
        (None, Actual::Never, _) => Outcome::Dropped { cause: "harness".into() },
        (None, ..) => Outcome::Unmeasured,
    };
    plot.push(&PacketPoint { at_ns, outcome });
    if packet.cause.is_none() && packet.is_own {
        plot.intend(packet.intended_ns);
    }
    // While hosts come up nobody measures.
    let is_due = |intended: u64| packet.at_ns.saturating_add_unsigned(intended) >= 0;
    if let Actual::Late(late) = packet.actual
        && packet.cause.is_none()
        && is_due(packet.intended_ns)
    {
        plot.late(late);
    }
    for (how, intended, actual) in &packet.treated {
        let Actual::Late(late) = *actual else { continue };
        plot.treat(&Treated { at_ns, delay_ns: intended.saturating_add_signed(late), how: *how });
        if *how == shaper_report::html::Treatment::Copied && is_due(*intended) {
            plot.late(late);
        }
    }
}
