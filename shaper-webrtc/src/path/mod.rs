//! Where the milliseconds went: the packets of a run matched across each link, the legs joined by the
//! server's mapping log, and loss counted by three sources.
//!
//! Everything here takes logs and captures and gives a [`PathReport`]; nothing is measured. A packet of
//! a stream is known by SSRC and sequence number, which are in the clear under SRTP, on each leg by
//! others. Numbers are made whole ([`unwrap`]) at the point where they are given, which is where
//! nothing is lost yet, and elsewhere by what had been given at that time.
//!
//! - [`logs`], [`capture`]: what is read; [`streams`]: what is known of each stream.
//! - [`legs`]: loss on each link in three columns; [`rtcp`]: what its reports must have said.
//! - [`rows`]: a row for each packet and receiver; [`playout`]: modelled jitter buffers.
//! - [`findings`]: what that means in words; [`stops`]: what ends before its time; [`text`]: all of it for people.

mod capture;
mod clocks;
mod figures;
mod findings;
mod legs;
mod logs;
mod playout;
mod result;
mod rows;
mod rtcp;
mod series;
mod stops;
mod streams;
#[cfg(test)]
mod tests;
mod text;
mod unwrap;

use std::io::{self, Write};

pub use self::capture::Point;
pub use self::logs::{MapLog, PacketLog, ssrcs_of};
pub use self::result::{
    ByCaptures, ByReceiver, ByRtcp, ByServer, Check, Direction, Fates, Finding, Joined, JoinedBy, Latency, Leg, Pair,
    PathReport, Playout, Severity, Summary,
};
use self::streams::Streams;

/// A packet that the engine says it has dropped, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineDrop {
    /// On which way.
    pub direction: Direction,
    /// As on the wire.
    pub ssrc: u32,
    /// As on the wire.
    pub sequence: u16,
    /// When, nanoseconds of wall time.
    pub time_ns: i64,
    /// The engine's word for it.
    pub cause: String,
}

/// What a run has left.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The server's mapping log; a foreign server has none.
    pub map: Option<MapLog>,
    /// The tester's packet log.
    pub packets: Option<PacketLog>,
    /// The capture at the server's host.
    pub server: Option<Point>,
    /// The captures at the clients' hosts, each with all its clients.
    pub clients: Vec<Point>,
    /// What the engine has dropped, where that is known beside what comments in the clients' captures say.
    pub drops: Vec<EngineDrop>,
    /// How late the tester's worker woke: the 99th percentile, where the tester has told it.
    pub slip_p99_ns: Option<u64>,
}

/// Finds out everything. Each packet and receiver becomes a row of `csv`, if there is one.
///
/// # Errors
///
/// If a row cannot be written.
pub fn analyse(inputs: &Inputs, csv: Option<&mut dyn Write>) -> io::Result<PathReport> {
    let streams = Streams::new(inputs);
    let rows = rows::rows(inputs, &streams, csv)?;
    let mut report = PathReport {
        joined_by: if inputs.map.is_some() { JoinedBy::MappingLog } else { JoinedBy::Nothing },
        fates: rows.fates,
        latency: rows.latency,
        largest_residue_ns: rows.largest_residue,
        negative: rows.negative,
        pairs: rows.pairs,
        legs: legs::legs(inputs, &streams),
        playout: playout::playout(inputs, &streams),
        findings: Vec::new(),
    };
    report.findings = findings::findings(inputs, &streams, &report);
    Ok(report)
}
