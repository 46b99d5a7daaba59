//! The packets of a run: a row for each decision of the engine, with what the captures of both ends saw of the packet,
//! and one for each copy that the engine released.
//!
//! | column | |
//! | --- | --- |
//! | `run` | the run's start and name: the same in all rows, and another one in every run |
//! | `link` | number of the link, from 0 |
//! | `direction` | as the run calls it |
//! | `rule` | number of the rule that decided, from 1; nothing where none matched |
//! | `packet_id`, `sequence` | what captures know it by, and its index in its channel |
//! | `copy` | 0 for the packet that came in, else which copy of it |
//! | `flow` | as it is printed; nothing where no capture tells, or it tells of two |
//! | `flow_hash` | what the engine knows flows by |
//! | `bytes` | on the wire, with the link layer |
//! | `fate` | `delivered`, `dropped`, `not_released`, `not_seen`, `released` |
//! | `cause` | what dropped it; nothing where it was let through |
//! | `copies` | copies that were released, of packets that came in |
//! | `changed`, `marked` | whether it was let through with other bits, or with congestion experienced |
//! | `ambiguous` | whether another captured packet would have done as well |
//! | `frame_entered`, `frame_left` | number in the captures of the two ends, from 1 |
//! | `entered_ns`, `left_ns` | when the captures saw it, nanoseconds since the epoch |
//! | `decided_ns`, `intended_ns`, `released_ns` | when it was decided, was to be released, and was |
//! | `delay_ns` | `left_ns` less `entered_ns` |
//! | `lateness_ns` | `released_ns` less `intended_ns` |

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, Write};

use super::cell::{Cell, Column, Kind, Table};
use super::parquet::Parquet;
use crate::analyze::FlowKey;
use crate::join::{ClockMap, EngineCopy, EngineLog, EngineRecord, Joined, JoinedRecord, Point, Role};
use crate::packet;
use crate::pcapfile::{self, Reader};

const COLUMNS: [Column; 25] = [
    Column::new("run", Kind::Text),
    Column::new("link", Kind::Number),
    Column::new("direction", Kind::Text),
    Column::new("rule", Kind::Number),
    Column::new("packet_id", Kind::Number),
    Column::new("sequence", Kind::Number),
    Column::new("copy", Kind::Number),
    Column::new("flow", Kind::Text),
    Column::new("flow_hash", Kind::Number),
    Column::new("bytes", Kind::Number),
    Column::new("fate", Kind::Word),
    Column::new("cause", Kind::Word),
    Column::new("copies", Kind::Number),
    Column::new("changed", Kind::Flag),
    Column::new("marked", Kind::Flag),
    Column::new("ambiguous", Kind::Flag),
    Column::new("frame_entered", Kind::Number),
    Column::new("frame_left", Kind::Number),
    Column::new("entered_ns", Kind::Time),
    Column::new("decided_ns", Kind::Time),
    Column::new("intended_ns", Kind::Time),
    Column::new("released_ns", Kind::Time),
    Column::new("left_ns", Kind::Time),
    Column::new("delay_ns", Kind::Number),
    Column::new("lateness_ns", Kind::Number),
];

/// What the file says that it holds, and the version of its columns.
const SCHEMA: (&str, u32) = ("run", 1);
/// Flows that are told by name; packets of others have their hash.
const FLOWS: usize = 1 << 16;

/// A table of a run, to be filled link by link.
pub struct RunRows<W: Write + Send> {
    table: Parquet<W>,
    run: String,
    rows: u64,
}

/// A link and what is known of its packets.
#[derive(Clone, Copy)]
pub struct LinkRows<'a> {
    /// Its number, from 0.
    pub number: u32,
    /// What its directions are called.
    pub directions: [&'a str; 2],
    /// Whether there are captures of its ends.
    pub captured: [bool; 2],
    /// What was decided and left.
    pub log: &'a EngineLog<'a>,
    /// What the captures saw of that.
    pub joined: &'a Joined,
    /// What the engine's times are told by.
    pub clock: &'a ClockMap,
    /// Flows by their hash.
    pub flows: &'a Flows,
}

/// Flows of a link by the hash that the engine knows them by, as its captures tell.
#[derive(Debug, Default)]
pub struct Flows(HashMap<u32, Known>);

#[derive(Debug)]
struct Known {
    key: FlowKey,
    /// Nothing where flows share the hash.
    name: Option<String>,
}

impl Flows {
    /// Reads the flows of packets that a capture has, as they entered or as they left unchanged.
    ///
    /// # Errors
    /// When the capture cannot be read; a cut tail is no error.
    pub fn read(
        &mut self,
        reader: &mut Reader,
        point: Point,
        log: &EngineLog<'_>,
        joined: &Joined,
    ) -> Result<(), pcapfile::Error> {
        while let Some(packet) = reader.next_packet()? {
            let Some(link) = joined.link(point, packet.index) else { continue };
            let Some(record) = log.records.get(link.record as usize) else { continue };
            // A packet with a flipped bit may look like one of another flow.
            if link.role != Role::Entered && record.damaged {
                continue;
            }
            let Some(layers) = packet::parse(packet.linktype, packet.data, packet.origlen) else { continue };
            let key = FlowKey::of(&layers);
            let full = self.0.len() >= FLOWS;
            match self.0.entry(record.flow_hash) {
                Entry::Occupied(known) if known.get().key == key => {}
                Entry::Occupied(mut known) => known.get_mut().name = None,
                Entry::Vacant(_) if full => {}
                Entry::Vacant(place) => {
                    place.insert(Known { key, name: Some(key.to_string()) });
                }
            }
        }
        Ok(())
    }

    fn name(&self, hash: u32) -> Option<&str> {
        self.0.get(&hash)?.name.as_deref()
    }
}

/// A packet as a capture has it, if it does.
#[derive(Clone, Copy)]
struct Seen {
    /// In the capture, from 0.
    index: Option<u64>,
    /// Its stamp there.
    ts_ns: Option<i64>,
}

/// What differs between a packet that came in and its copies.
struct Departed {
    copy: u32,
    copies: Option<u64>,
    fate: &'static str,
    cause: Option<&'static str>,
    intended_ns: Option<u64>,
    released_ns: Option<u64>,
    left: Seen,
}

impl<W: Write + Send> RunRows<W> {
    /// Begins a table. `run` is unlike that of any other run; `about` stands in the metadata under keys with `shaper.` in
    /// front.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new<'k>(
        out: W,
        run: &str,
        creator: &str,
        about: impl Iterator<Item = (&'k str, String)>,
    ) -> io::Result<Self> {
        let about = [("run", run.to_owned())].into_iter().chain(about);
        Ok(Self { table: Parquet::new(out, &COLUMNS, SCHEMA, creator, about)?, run: run.to_owned(), rows: 0 })
    }

    /// Adds the packets of a link, in the order of its records, each followed by its copies.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn add(&mut self, link: &LinkRows<'_>) -> io::Result<()> {
        let mut copies = link.log.copies.iter().zip(&link.joined.copies).peekable();
        for (at, (record, found)) in (0_u32..).zip(link.log.records.iter().zip(&link.joined.records)) {
            // Copies stand in the order of their records.
            let mut own = Vec::new();
            while let Some(copy) = copies.next_if(|(copy, _)| copy.record <= at) {
                own.push(copy);
            }
            let [_, left] = ends(record, found);
            let watched = link.captured.get(usize::from(record.direction ^ 1)).copied().unwrap_or_default();
            let packet = Departed {
                copy: 0,
                copies: Some(own.len() as u64),
                fate: fate(record, left, watched),
                cause: record.cause.is_drop().then_some(record.cause.name),
                intended_ns: record.intended_ns,
                released_ns: record.actual_ns,
                left,
            };
            self.row(link, record, found, &packet)?;
            for (copy, found_copy) in own {
                let EngineCopy { number, intended_ns, actual_ns, .. } = *copy;
                let left = Seen { index: found_copy.packet, ts_ns: found_copy.ts_ns };
                let departed = Departed {
                    copy: number,
                    copies: None,
                    fate: behind(left, watched),
                    cause: None,
                    intended_ns: Some(intended_ns),
                    released_ns: Some(actual_ns),
                    left,
                };
                self.row(link, record, found, &departed)?;
            }
        }
        Ok(())
    }

    /// Ends the table; how many rows it has.
    ///
    /// # Errors
    /// When its end cannot be written.
    pub fn finish(self) -> io::Result<u64> {
        self.table.finish()?;
        Ok(self.rows)
    }

    fn row(
        &mut self,
        link: &LinkRows<'_>,
        record: &EngineRecord,
        found: &JoinedRecord,
        departed: &Departed,
    ) -> io::Result<()> {
        let ([entered, _], left) = (ends(record, found), departed.left);
        let frame = |seen: Seen| Cell::number(seen.index.map(|index| index.saturating_add(1)));
        let time = |time: Option<u64>| Cell::number(time.map(|time| link.clock.to_epoch(time)));
        // In wide integers: what left before its time was late by less than nothing.
        let times = departed.released_ns.zip(departed.intended_ns);
        let late = times.map(|(released, intended)| i128::from(released) - i128::from(intended));
        let delay = left.ts_ns.zip(entered.ts_ns).map(|(left, entered)| left.saturating_sub(entered));
        // What left though it was dropped is another packet, or an error of the run.
        let delay = delay.filter(|_| departed.cause.is_none());
        let cells: [Cell<'_>; COLUMNS.len()] = [
            Cell::Text(&self.run),
            Cell::Number(link.number.into()),
            Cell::text(link.directions.get(usize::from(record.direction)).copied()),
            Cell::number((record.rule != 0).then_some(record.rule)),
            Cell::number(Some(record.id)),
            Cell::number(Some(record.seq)),
            Cell::Number(departed.copy.into()),
            Cell::text(link.flows.name(record.flow_hash)),
            Cell::Number(record.flow_hash.into()),
            Cell::Number(record.len.into()),
            Cell::Text(departed.fate),
            Cell::text(departed.cause),
            Cell::number(departed.copies),
            Cell::Flag(record.damaged),
            Cell::Flag(record.marked),
            Cell::Flag(found.ambiguous),
            frame(entered),
            frame(left),
            Cell::number(entered.ts_ns),
            time(Some(record.arrival_ns)),
            time(departed.intended_ns),
            time(departed.released_ns),
            Cell::number(left.ts_ns),
            Cell::number(delay),
            Cell::number(late),
        ];
        self.table.row(&cells)?;
        self.rows += 1;
        Ok(())
    }
}

/// Where the packet entered and where it left.
fn ends(record: &EngineRecord, found: &JoinedRecord) -> [Seen; 2] {
    let a = Seen { index: found.a, ts_ns: found.a_ts_ns };
    let b = Seen { index: found.b, ts_ns: found.b_ts_ns };
    if record.direction == 0 { [a, b] } else { [b, a] }
}

/// What became of a packet that came in; `watched` is whether there is a capture where it was to leave.
fn fate(record: &EngineRecord, left: Seen, watched: bool) -> &'static str {
    if record.cause.is_drop() {
        return "dropped";
    }
    if left.ts_ns.is_none() && record.actual_ns.is_none() { "not_released" } else { behind(left, watched) }
}

/// What became of what was released.
fn behind(left: Seen, watched: bool) -> &'static str {
    match (left.ts_ns, watched) {
        (Some(_), _) => "delivered",
        (None, true) => "not_seen",
        (None, false) => "released",
    }
}
