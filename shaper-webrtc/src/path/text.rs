//! The report for people.

use std::fmt::{self, Write};

use super::findings::{leg_name, percent};
use super::result::{JoinedBy, Latency, PathReport, Severity, Summary};

impl fmt::Display for PathReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            let severity = match finding.severity {
                Severity::Error => "ERROR",
                Severity::Warning => "warning",
                Severity::Info => "note",
            };
            writeln!(f, "{severity:<8} {}", finding.text)?;
        }
        if self.joined_by == JoinedBy::MappingLog {
            self.write_fates(f)?;
            self.write_latency(f)?;
        }
        self.write_legs(f)?;
        self.write_playout(f)
    }
}

impl PathReport {
    fn write_fates(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fates = &self.fates;
        writeln!(f, "\nPackets, each once for each receiver")?;
        let lines = [
            ("packets", fates.packets),
            ("delivered", fates.delivered),
            ("repaired", fates.repaired),
            ("lost in the sender's host", fates.lost_sender),
            ("lost on an uplink", fates.lost_uplink),
            ("lost by the server", fates.lost_server),
            ("lost on a downlink", fates.lost_downlink),
            ("lost in the receiver's host", fates.lost_receiver),
            ("lost, not known where", fates.lost_somewhere),
            ("out of order at a change", fates.at_change),
            ("in flight, or nobody looked", fates.in_flight),
        ];
        for (index, (name, count)) in lines.into_iter().enumerate() {
            // The first three are always of interest.
            if count > 0 || index < 3 {
                writeln!(f, "  {name:<28} {count:>10}  {:>8}", percent(count, fates.packets))?;
            }
        }
        if fates.not_forwarded > 0 {
            writeln!(f, "  {:<28} {:>10}", "beside them not forwarded", fates.not_forwarded)?;
        }
        Ok(())
    }

    fn write_latency(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.latency.end_to_end.or(self.latency.repaired_end_to_end).is_none() {
            // Without captures.
            return Ok(());
        }
        writeln!(f, "\nWhere the milliseconds went")?;
        heads(f, 36, &["n", "mean", "p50", "p90", "p95", "p99", "max"])?;
        write_latency(f, &self.latency)?;
        if self.pairs.len() > 1 {
            writeln!(f, "\nFrom and to, mean milliseconds")?;
            let names = ["n", "sender", "uplink", "server", "downlink", "receiver", "in all"];
            heads(f, 36, &names)?;
            for pair in &self.pairs {
                let latency = &pair.latency;
                let Some(all) = latency.end_to_end else { continue };
                let pieces = [latency.sender, latency.uplink, latency.server, latency.downlink, latency.receiver];
                let mut line = format!("  {:<34}{:>9}", format!("{} -> {}", pair.from, pair.to), all.count);
                for piece in pieces.into_iter().chain([Some(all)]) {
                    let mean = piece.map_or(0.0, |piece| piece.mean);
                    write!(line, "{:>9.3}", mean / 1e6)?;
                }
                writeln!(f, "{line}")?;
            }
        }
        Ok(())
    }

    fn write_legs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.legs.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nLoss on each link")?;
        let names = ["left", "lost", "again", "repaired", "for good", "receiver", "RTCP", "server"];
        heads(f, 42, &names)?;
        for leg in &self.legs {
            let captures = leg.captures.as_ref();
            let columns = [
                captures.map(|column| column.left.to_string()),
                captures.map(|column| column.lost.to_string()),
                captures.map(|column| column.retransmissions_left.to_string()),
                leg.joined.map(|joined| joined.repaired.to_string()),
                leg.joined.map(|joined| joined.lost_for_good.to_string()),
                leg.receiver.map(|column| column.missing.to_string()),
                leg.rtcp.map(|column| column.lost.to_string()),
                leg.server.map(|server| server.lost.to_string()),
            ];
            write!(f, "  {:<40}", leg_name(leg))?;
            for column in columns {
                write!(f, "{:>9}", column.as_deref().unwrap_or("-"))?;
            }
            let sum = match (leg.checks.is_empty(), leg.checks.iter().all(|check| check.holds)) {
                (true, _) => "",
                (false, true) => "  adds up",
                (false, false) => "  DOES NOT ADD UP",
            };
            writeln!(f, "{sum}{}", if leg.incomplete { ", captures incomplete" } else { "" })?;
            for (cause, count) in &leg.causes {
                writeln!(f, "      {count} {cause}")?;
            }
        }
        writeln!(f, "  left, lost, again: by captures; receiver: what it misses; RTCP: what it said last")
    }

    fn write_playout(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.playout.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nJitter buffer, modelled")?;
        heads(f, 42, &["packets", "late", "share", "target", "waited"])?;
        for model in &self.playout {
            let kind = if model.video { "video" } else { "audio" };
            let name = format!("{kind} to {} (SSRC {})", model.client, model.ssrc);
            let mean = |of: Option<Summary>| of.map_or_else(|| "-".to_owned(), |of| format!("{:.3}", of.mean / 1e6));
            let (target, delay, late) = (mean(model.target), mean(model.delay), percent(model.late, model.packets));
            writeln!(f, "  {name:<40}{:>9}{:>9}{late:>9}{target:>9}{delay:>9}", model.packets, model.late)?;
        }
        Ok(())
    }
}

fn heads(f: &mut fmt::Formatter<'_>, width: usize, names: &[&str]) -> fmt::Result {
    write!(f, "{:width$}", "")?;
    for name in names {
        write!(f, "{name:>9}")?;
    }
    writeln!(f)
}

fn write_latency(f: &mut fmt::Formatter<'_>, latency: &Latency) -> fmt::Result {
    let lines = [
        ("sender", latency.sender),
        ("uplink", latency.uplink),
        ("server", latency.server),
        ("  by its own log", latency.server_forwarding),
        ("downlink", latency.downlink),
        ("receiver", latency.receiver),
        ("end to end", latency.end_to_end),
        ("end to end, repaired", latency.repaired_end_to_end),
        ("  later than the others' median by", latency.repair_wait),
    ];
    for (name, of) in lines {
        let Some(of) = of else { continue };
        write!(f, "  {name:<34}{:>9}{:>9.3}", of.count, of.mean / 1e6)?;
        for value in [of.p50, of.p90, of.p95, of.p99, of.max] {
            write!(f, "{:>9.3}", value as f64 / 1e6)?;
        }
        writeln!(f)?;
    }
    Ok(())
}
