//! Reading: whole files, and files whose writer was killed within a line.

use std::io;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

use super::{Counts, Event, Role, SCHEMA};
use crate::clock::AppClock;
use crate::units::Nanos;

/// A log that was read.
#[derive(Debug, Clone)]
pub struct Log {
    /// When the role began.
    pub began: Nanos,
    /// What wrote it.
    pub role: Role,
    /// Who wrote it.
    pub peer_id: String,
    /// Session as on the wire.
    pub session_id: u32,
    /// Address and port it sent from.
    pub source: SocketAddrV4,
    /// Its application's clock.
    pub clock: AppClock,
    /// The events after the header, in the order written.
    pub events: Vec<Event>,
    /// The last line was cut short: its writer was killed.
    pub truncated: bool,
}

/// A log that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file.
    #[error("{path}: cannot read the log: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line that is no event.
    #[error("{path}:{line}: not an event of this log's schema: {source}")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// The first line is not the header: the role died before it wrote anything, or this is
    /// another file.
    #[error("{path}:1: no header line: the role wrote nothing, or this is not a log of a role")]
    NoHeader {
        /// Which file.
        path: PathBuf,
    },
    /// Written under another schema.
    #[error("{path}:1: schema {found}, this reader knows {SCHEMA}: read it with the version that wrote it")]
    Schema {
        /// Which file.
        path: PathBuf,
        /// Its schema.
        found: u32,
    },
}

impl Log {
    /// The last totals written, at most a second before the end.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.events
            .iter()
            .rev()
            .find_map(|e| match e {
                Event::Counts { counts, .. } | Event::Summary { counts, .. } => Some(*counts),
                _ => None,
            })
            .unwrap_or_default()
    }

    /// Whether the role ended in order.
    #[must_use]
    pub fn complete(&self) -> bool {
        matches!(self.events.last(), Some(Event::Summary { .. }))
    }
}

/// Reads a log from its file. A last line that was cut short is left out and told.
///
/// # Errors
/// [`ReadError`], with the line.
pub fn read_log(path: &Path) -> Result<Log, ReadError> {
    let text = std::fs::read(path).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
    parse_log(&text, path)
}

/// Reads a log from memory; `path` names it in errors.
///
/// # Errors
/// [`ReadError`], with the line.
pub fn parse_log(text: &[u8], path: &Path) -> Result<Log, ReadError> {
    let (whole, cut) = match text.iter().rposition(|&b| b == b'\n') {
        Some(last) => (&text[..last], last + 1 < text.len()),
        None => (&[][..], !text.is_empty()),
    };
    let no_header = || ReadError::NoHeader { path: path.to_owned() };
    let mut events = Vec::new();
    let mut header = None;
    for (index, line) in whole.split(|&b| b == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let event = serde_json::from_slice(line).map_err(|source| {
            if header.is_none() {
                return no_header();
            }
            ReadError::Line { path: path.to_owned(), line: index + 1, source }
        })?;
        match (&header, event) {
            (None, Event::Header { schema, .. }) if schema != SCHEMA => {
                return Err(ReadError::Schema { path: path.to_owned(), found: schema });
            }
            (None, event @ Event::Header { .. }) => header = Some(event),
            (None, _) => return Err(no_header()),
            (Some(_), event) => events.push(event),
        }
    }
    let Some(Event::Header { t, role, peer_id, session_id, source, clock, .. }) = header else {
        return Err(no_header());
    };
    Ok(Log { began: t, role, peer_id, session_id, source, clock, events, truncated: cut })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ClockConfig;

    fn header() -> Event {
        Event::Header {
            schema: SCHEMA,
            t: Nanos(5),
            role: Role::Peer,
            peer_id: "p".to_owned(),
            session: "s".to_owned(),
            session_id: 9,
            source: SocketAddrV4::new([127, 0, 0, 1].into(), 4),
            clock: AppClock::new(ClockConfig::default(), 0),
        }
    }

    fn lines(events: &[Event]) -> Vec<u8> {
        let mut text = Vec::new();
        for event in events {
            serde_json::to_writer(&mut text, event).unwrap();
            text.push(b'\n');
        }
        text
    }

    #[test]
    fn a_killed_writers_last_line_is_left_out_and_told() {
        let mut text = lines(&[header(), Event::Joined { t: Nanos(7) }]);
        text.extend_from_slice(br#"{"event":"left","#);
        let log = parse_log(&text, Path::new("p.jsonl")).unwrap();
        assert_eq!(log.events, [Event::Joined { t: Nanos(7) }]);
        assert!(log.truncated && !log.complete());
    }

    #[test]
    fn a_broken_line_in_the_middle_is_an_error_with_its_number() {
        let mut text = lines(&[header()]);
        text.extend_from_slice(b"nonsense\n");
        text.extend(lines(&[Event::Joined { t: Nanos(7) }]));
        let error = parse_log(&text, Path::new("p.jsonl")).unwrap_err();
        assert!(error.to_string().starts_with("p.jsonl:2:"), "{error}");
    }

    #[test]
    fn a_file_without_header_is_no_log() {
        for text in [&b""[..], b"x", b"x\n", b"{\"event\":\"joined\",\"t\":1}\n"] {
            let error = parse_log(text, Path::new("p")).unwrap_err();
            assert!(matches!(error, ReadError::NoHeader { .. }), "{error}");
        }
    }

    #[test]
    fn another_schema_is_refused_by_number() {
        let text = String::from_utf8(lines(&[header()])).unwrap().replace("\"schema\":1", "\"schema\":99");
        let error = parse_log(text.as_bytes(), Path::new("p")).unwrap_err();
        assert!(matches!(error, ReadError::Schema { found: 99, .. }));
    }
}
