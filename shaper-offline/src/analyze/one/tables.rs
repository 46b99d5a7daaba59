//! Tables of conversations, TCP and TOAST, for people, within 100 columns.

use std::{
    fmt::{self, Formatter},
    net::SocketAddr,
};

use super::{
    super::{
        flow::FlowKey,
        text::{duration, percent},
    },
    Conversation, ToastSession,
    flows::ProtocolPackets,
};
use crate::{recognise::Protocol, stats::Summary, tcp::WayFigures};

/// Rows shown before the rest is only counted.
pub(super) const SHOWN: usize = 20;

pub(super) fn conversations(f: &mut Formatter<'_>, all: &[Conversation], left_out: u64) -> fmt::Result {
    if all.is_empty() {
        return Ok(());
    }
    writeln!(f, "\nConversations, a > b; \"->\" is from a to b, \"<-\" from b to a:")?;
    writeln!(
        f,
        "{:>8} {:>8} {:>8} {:>8} {:>9}  {:<11} a > b",
        "pkts ->", "<- pkts", "bit/s ->", "<- bit/s", "lasted", "protocol"
    )?;
    for one in all.iter().take(SHOWN) {
        writeln!(
            f,
            "{:>8} {:>8} {:>8} {:>8} {:>9}  {:<11} {}",
            one.a_to_b.packets,
            one.b_to_a.packets,
            rate(one.a_to_b.mean_rate_bps),
            rate(one.b_to_a.mean_rate_bps),
            one.duration_ns.map_or("-".to_owned(), duration),
            named(&one.protocols),
            one.flow
        )?;
    }
    let more = all.len().saturating_sub(SHOWN) as u64 + left_out;
    if more > 0 {
        writeln!(f, "and {more} conversations more (--json lists them)")?;
    }
    Ok(())
}

/// The first protocol, and how many more.
fn named(protocols: &[ProtocolPackets]) -> String {
    match protocols {
        [] => "-".to_owned(),
        [one] => one.protocol.name().to_owned(),
        [one, more @ ..] => format!("{} +{}", one.protocol.name(), more.len()),
    }
}

/// A rate with a factor that suits it.
fn rate(bps: Option<f64>) -> String {
    let Some(bps) = bps else { return "-".to_owned() };
    let (unit, name) = match bps {
        v if v >= 1e9 => (1e9, " G"),
        v if v >= 1e6 => (1e6, " M"),
        v if v >= 1e3 => (1e3, " k"),
        _ => (1.0, ""),
    };
    let value = bps / unit;
    let digits = if value >= 100.0 || unit == 1.0 { 0 } else { 2 };
    format!("{value:.digits$}{name}")
}

pub(super) fn tcp(f: &mut Formatter<'_>, all: &[Conversation]) -> fmt::Result {
    let with: Vec<_> = all.iter().filter_map(|one| Some((one, one.tcp.as_ref()?))).take(SHOWN).collect();
    if with.is_empty() {
        return Ok(());
    }
    writeln!(f, "\nTCP, a row each direction; RTT is from this point over its receiver and back:")?;
    writeln!(
        f,
        "   {:>9} {:>9} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7} {:>5}",
        "RTT min", "RTT p50", "RTT p99", "data", "retrans", "repeated", "before", "dup acks", "0 wind.", "RST"
    )?;
    for (one, figures) in with {
        write!(f, "{}", one.flow)?;
        match figures.handshake.and_then(|handshake| handshake.whole_ns) {
            Some(whole) => writeln!(f, ", handshake {}", duration(whole))?,
            None => writeln!(f)?,
        }
        for (way, arrow) in [(&figures.a_to_b, "->"), (&figures.b_to_a, "<-")] {
            if way.counts.segments > 0 {
                row(f, way, arrow)?;
            }
        }
    }
    Ok(())
}

fn row(f: &mut Formatter<'_>, way: &WayFigures, arrow: &str) -> fmt::Result {
    let counts = &way.counts;
    let times = way.round_trip();
    let time = |pick: fn(&Summary) -> i64| times.as_ref().map_or("-".to_owned(), |times| duration(pick(times)));
    let share = match counts.data_segments {
        0 => "-".to_owned(),
        all => percent(counts.data_retransmissions as f64 / all as f64),
    };
    writeln!(
        f,
        "{arrow} {:>9} {:>9} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7} {:>5}",
        time(|times| times.min),
        time(|times| times.p50),
        time(|times| times.p99),
        counts.data_segments,
        share,
        counts.repeated,
        counts.lost_before,
        counts.duplicate_acks,
        counts.zero_windows,
        counts.resets
    )
}

pub(super) fn toast(f: &mut Formatter<'_>, all: &[ToastSession]) -> fmt::Result {
    if all.is_empty() {
        return Ok(());
    }
    writeln!(f, "\nTOAST as an application at this point could have seen it:")?;
    for group in all.chunk_by(|one, other| one.session == other.session) {
        let Some(first) = group.first() else { continue };
        let names = |count: usize| if count == 1 { "sender" } else { "senders" };
        writeln!(f, "TOAST session {:#010x}: {} {}", first.session, group.len(), names(group.len()))?;
        writeln!(
            f,
            "{:>7} {:>8} {:>7} {:>7} {:>7} {:>13} {:>9} {:>5}  sender",
            "frames", "messages", "missing", "seen", "longest", "copies", "heartbeat", "wrong"
        )?;
        for one in group.iter().take(SHOWN) {
            let copies = match one.copies_expected {
                0 => "-".to_owned(),
                expected => format!("{}/{expected}", one.copies_seen),
            };
            writeln!(
                f,
                "{:>7} {:>8} {:>7} {:>7} {:>7} {:>13} {:>9} {:>5}  {}",
                one.frames,
                one.messages,
                one.missing,
                one.seen_ratio.map_or("-".to_owned(), percent),
                one.longest_missing_run,
                copies,
                one.heartbeat_gap_max_ns.map_or("-".to_owned(), duration),
                one.wrong_checksums,
                source(&one.sender)
            )?;
        }
        if group.len() > SHOWN {
            writeln!(f, "and {} senders more (--json lists them)", group.len() - SHOWN)?;
        }
    }
    Ok(())
}

/// The sending end alone: the other one is the session's group.
fn source(flow: &FlowKey) -> String {
    match flow.addresses {
        Some((address, _)) => SocketAddr::new(address, flow.source_port).to_string(),
        None => flow.to_string(),
    }
}

/// Protocols and their packets, in one sentence.
pub(super) fn protocols(all: &[(Protocol, u64)]) -> String {
    let words: Vec<_> = all.iter().map(|(protocol, packets)| format!("{} {packets}", protocol.name())).collect();
    format!("Packets recognised: {}.", words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn rates_carry_a_factor() {
        assert_eq!(rate(None), "-");
        assert_eq!(rate(Some(950.0)), "950");
        assert_eq!(rate(Some(64_000.0)), "64.00 k");
        assert_eq!(rate(Some(123_456_789.0)), "123 M");
        assert_eq!(rate(Some(9.87e9)), "9.87 G");
    }
}
