//! One capture: what is in it, how much passed, conversations, streams and round trips.

use std::path::Path;

use shaper_offline::analyze::{Conversation, Description, Predicate};
use shaper_offline::packet;
use shaper_offline::pcapfile::Reader;
use shaper_report::html::capture::{self, CapturePage, Cell, LoadPlot, Plotted, Section, Table};

use super::{FOOTER, ROWS, left_out, severity, short};

/// The page of a capture that was described, of those packets that `only` says.
pub(in super::super) fn one(path: &Path, only: Option<&Predicate<'_>>, found: &Description) -> anyhow::Result<String> {
    let load = load(path, only, found.first_ns.unwrap_or(0))?;
    Ok(capture::page(&page(found, load))?)
}

/// How much passed over time.
fn load(path: &Path, only: Option<&Predicate<'_>>, began: i64) -> anyhow::Result<LoadPlot> {
    let mut plot = LoadPlot::default();
    let mut reader = Reader::open(path)?;
    while let Some(packet) = reader.next_packet()? {
        let is_of = |only: &Predicate<'_>| {
            let layers = packet::parse(packet.linktype, packet.data, packet.origlen);
            layers.is_some_and(|layers| only(&packet, &layers))
        };
        let Some(ts) = packet.ts_ns.filter(|_| only.is_none_or(is_of)) else { continue };
        plot.push(u64::try_from(ts.saturating_sub(began)).unwrap_or(0), packet.origlen);
    }
    Ok(plot)
}

fn page(found: &Description, load: LoadPlot) -> CapturePage {
    let section = |heading: &str, tables, notes: Option<String>| Section {
        heading: heading.to_owned(),
        tables,
        notes: notes.into_iter().collect(),
        ..Section::default()
    };
    let conversations = found.conversations.len() as u64 + found.conversations_left_out;
    let mut over_time = section("Over time", Vec::new(), None);
    over_time.plots.push(Plotted::Load(Box::new(load)));
    CapturePage {
        title: short(&found.path),
        about: Some(found.path.clone()).filter(|path| *path != short(path)).into_iter().collect(),
        tiles: tiles(found, conversations),
        findings: found.findings.iter().map(|finding| (severity(finding.severity), finding.text.clone())).collect(),
        sections: vec![
            over_time,
            section("Conversations", vec![talk(found)], left_out(conversations, "conversations")),
            section("RTP", vec![streams(found)], rtp_note(found)),
            section("TCP", vec![round_trips(found)], tcp_note(found)),
            section("TOAST", vec![toast(found)], None),
            section("Protocols by content", vec![protocols(found)], None),
        ],
        footer: FOOTER.to_owned(),
    }
}

fn tiles(found: &Description, conversations: u64) -> Vec<(Cell, String)> {
    let rate = found.duration_ns.filter(|&span| span > 0).map(|span| found.bytes as f64 * 8e9 / span as f64);
    let mut tiles = vec![
        (Cell::Count(found.packets), "packets".to_owned()),
        (Cell::Span(found.duration_ns), "from the first to the last".to_owned()),
        (Cell::Rate(rate), "mean rate on the wire".to_owned()),
        (Cell::Count(conversations), "conversations".to_owned()),
    ];
    if !found.rtp.streams.is_empty() {
        let (missing, expected) =
            found.rtp.streams.iter().fold((0, 0), |(missing, of), one| (missing + one.missing, of + one.expected));
        tiles.push((Cell::Count(found.rtp.streams.len() as u64), "streams of RTP".to_owned()));
        let share = (expected > 0).then(|| missing as f64 / expected as f64);
        tiles.push((Cell::Share(share), "of their packets missing".to_owned()));
    }
    if let Some(tcp) = found.tcp.filter(|tcp| tcp.data_segments > 0) {
        let share = tcp.data_retransmissions as f64 / tcp.data_segments as f64;
        tiles.push((Cell::Share(Some(share)), "of TCP's data segments sent again".to_owned()));
    }
    tiles
}

fn talk(found: &Description) -> Table {
    const COLUMNS: [&str; 8] =
        ["a > b", "[protocol]", "packets a > b", "packets b > a", "rate a > b", "rate b > a", "lasted", "[began by]"];
    let mut table = Table::new("The largest first; a is who began", &COLUMNS);
    table.rows = found.conversations.iter().take(ROWS).map(conversation).collect();
    table
}

fn conversation(one: &Conversation) -> Vec<Cell> {
    let protocol = match one.protocols.as_slice() {
        [] => "-".to_owned(),
        [first] => first.protocol.name().to_owned(),
        [first, more @ ..] => format!("{} and {} more", first.protocol.name(), more.len()),
    };
    let began = match one.began_by {
        shaper_offline::analyze::BeganBy::Syn => "SYN",
        shaper_offline::analyze::BeganBy::FirstPacket => "first packet",
    };
    vec![
        Cell::Name(one.flow.to_string()),
        Cell::Text(protocol),
        Cell::Count(one.a_to_b.packets),
        Cell::Count(one.b_to_a.packets),
        Cell::Rate(one.a_to_b.mean_rate_bps),
        Cell::Rate(one.b_to_a.mean_rate_bps),
        Cell::Span(one.duration_ns),
        Cell::Text(began.to_owned()),
    ]
}

fn streams(found: &Description) -> Table {
    const COLUMNS: [&str; 13] = [
        "flow",
        "[SSRC]",
        "[type]",
        "expected",
        "missing",
        "loss",
        "est. MOS",
        "jitter mean",
        "jitter max",
        "longest loss",
        "duplicated",
        "reordered",
        "rate",
    ];
    let mut table = Table::new("Streams, the longest first", &COLUMNS);
    let mut streams: Vec<_> = found.rtp.streams.iter().collect();
    streams.sort_by_key(|stream| std::cmp::Reverse(stream.expected));
    table.rows = streams
        .into_iter()
        .take(ROWS)
        .map(|stream| {
            let kind = stream.encoding.map_or_else(|| stream.payload_type.to_string(), str::to_owned);
            let ms = |value: f64| (value * 1e6) as i64;
            vec![
                Cell::Name(stream.flow.to_string()),
                Cell::Text(format!("{:#010x}", stream.ssrc)),
                Cell::Text(kind),
                Cell::Count(stream.expected),
                Cell::Count(stream.missing),
                Cell::Share(Some(stream.loss_ratio)),
                Cell::Figure(stream.quality.map(|quality| quality.mos)),
                Cell::Span(stream.jitter_ms.map(|jitter| ms(jitter.mean))),
                Cell::Span(stream.jitter_ms.map(|jitter| ms(jitter.max))),
                Cell::Count(stream.bursts.longest_loss_run),
                Cell::Count(stream.duplicated),
                Cell::Count(stream.reordered),
                Cell::Rate(stream.bitrate_bps.map(|rate| rate.mean)),
            ]
        })
        .collect();
    table
}

fn rtp_note(found: &Description) -> Option<String> {
    let streams = &found.rtp.streams;
    if streams.is_empty() {
        return None;
    }
    let mut words = "Jitter by RFC 3550.".to_owned();
    if let Some(quality) = streams.iter().find_map(|stream| stream.quality) {
        words += &format!(
            " MOS is an estimate by the E-model (ITU-T G.107), from codec and loss alone; it takes for granted: {}.",
            quality.assumes
        );
    }
    if let Some(more) = left_out(streams.len() as u64, "streams") {
        words = format!("{words} {more}");
    }
    Some(words)
}

/// A row for each direction that has a round trip or was sent again.
fn round_trips(found: &Description) -> Table {
    const COLUMNS: [&str; 10] = [
        "from > over",
        "data segments",
        "sent again",
        "out of order",
        "RTT min",
        "RTT p50",
        "RTT p99",
        "RTT max",
        "samples",
        "handshake",
    ];
    let mut table = Table::new("Round trips from the point of the capture over the receiver and back", &COLUMNS);
    let ways = found.conversations.iter().filter_map(|one| Some((one, one.tcp.as_ref()?))).flat_map(|(one, tcp)| {
        let handshake =
            |pick: fn(&shaper_offline::tcp::Handshake) -> Option<i64>| tcp.handshake.as_ref().and_then(pick);
        [
            (one.flow, &tcp.a_to_b, handshake(|times| times.to_responder_ns)),
            (one.flow.turned(), &tcp.b_to_a, handshake(|times| times.to_initiator_ns)),
        ]
    });
    let told = ways.filter(|(_, way, handshake)| way.round_trip().is_some() || handshake.is_some());
    table.rows = told
        .take(ROWS)
        .map(|(flow, way, handshake)| {
            let times = way.round_trip();
            vec![
                Cell::Name(flow.to_string()),
                Cell::Count(way.counts.data_segments),
                Cell::Count(way.counts.retransmissions),
                Cell::Count(way.counts.out_of_order),
                Cell::Span(times.map(|times| times.min)),
                Cell::Span(times.map(|times| times.p50)),
                Cell::Span(times.map(|times| times.p99)),
                Cell::Span(times.map(|times| times.max)),
                Cell::Count(times.map_or(0, |times| times.count)),
                Cell::Span(handshake),
            ]
        })
        .collect();
    table
}

fn tcp_note(found: &Description) -> Option<String> {
    let tcp = found.tcp?;
    Some(format!(
        "Of {} connections, by timestamps where there are any, else by acknowledgement; both directions of one together \
         are the whole round trip. The first {ROWS} rows.",
        tcp.conversations
    ))
}

fn toast(found: &Description) -> Table {
    const COLUMNS: [&str; 8] = [
        "sender",
        "[session]",
        "frames",
        "messages expected",
        "seen",
        "longest missing run",
        "heartbeats",
        "longest heartbeat gap",
    ];
    let mut table = Table::new("What an application at this point could have seen", &COLUMNS);
    table.rows = found
        .toast
        .iter()
        .take(ROWS)
        .map(|sender| {
            vec![
                Cell::Name(sender.sender.to_string()),
                Cell::Text(format!("{:#010x}", sender.session)),
                Cell::Count(sender.frames),
                Cell::Count(sender.messages_expected),
                Cell::Share(sender.seen_ratio),
                Cell::Count(sender.longest_missing_run),
                Cell::Count(sender.heartbeats),
                Cell::Span(sender.heartbeat_gap_max_ns),
            ]
        })
        .collect();
    table
}

fn protocols(found: &Description) -> Table {
    let mut table = Table::new("Recognised in datagrams", &["protocol", "packets", "flows"]);
    let row = |seen: &shaper_offline::analyze::ProtocolSeen| {
        vec![Cell::Text(seen.protocol.name().to_owned()), Cell::Count(seen.packets), Cell::Count(seen.flows)]
    };
    table.rows = found.protocols.iter().map(row).collect();
    table
}
