//! The packets of a run: from the records, with the actual releases that the captures know; where there is no record of
//! them, from the capture where they entered the link.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use shaper_common::duplicate::MOST_COPIES;
use shaper_common::fate::Cause;
use shaper_common::units::Nanos;
use shaper_report::html::Treatment;

use super::Stored;
use super::captures::{self, Captured, Place};
use super::records::{FILE, Row, Table};

/// What is known of when a packet left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Actual {
    /// Nothing.
    #[default]
    Unknown,
    /// It did not, though it was let through: the harness lost it.
    Never,
    /// So many nanoseconds after it was to.
    Late(i64),
}

/// A packet and its fate.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    /// Its arrival, in nanoseconds since the start.
    pub(super) at_ns: i64,
    /// Whether no rule matched it.
    pub(super) is_own: bool,
    /// What dropped it; none for a packet let through.
    pub(super) cause: Option<Cow<'static, str>>,
    /// From arrival to intended release, in nanoseconds.
    pub(super) intended_ns: u64,
    pub(super) actual: Actual,
    /// What was done to it, and its copies: when those were to leave after it arrived, and when they did.
    pub(super) treated: Vec<(Treatment, u64, Actual)>,
}

impl Packet {
    /// From arrival to actual release, in nanoseconds.
    pub(super) fn delay_ns(&self) -> Option<u64> {
        match self.actual {
            Actual::Late(late) if self.cause.is_none() => Some(self.intended_ns.saturating_add_signed(late)),
            _ => None,
        }
    }
}

/// Where the packets of a direction stand.
enum Source {
    /// In the table of records, in these rows.
    Records(Vec<Row>),
    /// In the capture where they enter.
    Capture(PathBuf),
}

/// The key of a packet in a table: direction, rule, number, and copy.
type Key = (u32, u32, u64, u32);

/// The packets of a run, by direction.
pub(super) struct Packets {
    sources: BTreeMap<String, (u32, Source)>,
    actual: HashMap<Key, Actual>,
    /// The run's start on the clock of the records.
    began: Nanos,
    /// The run's start on the clock of the captures, in nanoseconds since the epoch.
    start: Option<i64>,
    /// What is missing, a sentence each.
    pub(super) notes: Vec<String>,
}

/// A capture at hand.
struct Known<'a> {
    path: PathBuf,
    place: Place<'a>,
}

impl Packets {
    /// Finds out where the packets are, and reads when they left.
    ///
    /// # Errors
    ///
    /// When the records or a capture are there and cannot be read.
    pub(super) fn of(run: &Stored) -> anyhow::Result<Self> {
        let mut notes = Vec::new();
        let captures = known_captures(run, &mut notes)?;
        let table = records(run, &mut notes)?;
        let mut by_direction: BTreeMap<u32, Vec<Row>> = BTreeMap::new();
        for row in table.iter().flat_map(|table| &table.rows) {
            by_direction.entry(row.direction).or_default().push(*row);
        }
        let names = names(run, &captures);
        let began = table.as_ref().map_or(Nanos::ZERO, |table| table.start);
        let mut packets = Self { sources: BTreeMap::new(), actual: HashMap::new(), began, start: None, notes };
        for (number, name) in &names {
            let wanted = run.summary.directions.get(name).map_or(0, |direction| direction.measured.packets);
            let rows = by_direction.remove(number).unwrap_or_default();
            let (link, way) = (number / 2, number % 2);
            let enters = captures.iter().find(|known| known.place.link == link && known.place.is_a == (way == 0));
            let source = match enters {
                Some(known) if (rows.len() as u64) < wanted => Source::Capture(known.path.clone()),
                _ if rows.is_empty() => {
                    if wanted > 0 {
                        packets.notes.push(format!(
                            "{name}: neither {FILE} nor the capture where its packets enter has them: delay, fates, \
                             losses in a row, reordering, backlog and lateness over its packets are not known"
                        ));
                    }
                    continue;
                }
                _ => {
                    if (rows.len() as u64) < wanted {
                        packets.notes.push(format!("{name}: {} of {wanted} packets have a record", rows.len()));
                    }
                    Source::Records(rows)
                }
            };
            packets.sources.insert(name.clone(), (*number, source));
        }
        for name in run.summary.directions.keys().filter(|name| !names.values().any(|known| known == *name)) {
            packets.notes.push(format!("{name}: no capture and no record says which packets are of it"));
        }
        packets.match_up(&captures)?;
        Ok(packets)
    }

    /// The names of directions whose packets are known, with their numbers.
    pub(super) fn directions(&self) -> impl Iterator<Item = (&str, u32)> {
        self.sources.iter().map(|(name, (number, _))| (name.as_str(), *number))
    }

    /// Reads from the captures when packets left that have a record, and when the run began.
    fn match_up(&mut self, captures: &[Known<'_>]) -> anyhow::Result<()> {
        let mut wanted: HashMap<Key, Nanos> = HashMap::new();
        for (_, source) in self.sources.values() {
            let Source::Records(rows) = source else { continue };
            for row in rows.iter().filter(|row| row.fate.cause == Cause::None) {
                for copy in 0..=copies(row) {
                    wanted.insert((row.direction, row.rule, row.sequence, copy), row.fate.release);
                }
            }
        }
        for Known { path, place } in captures {
            let cut = captures::read(path, |packet| {
                let direction = 2 * place.link + u32::from(packet.dir);
                let key = (direction, packet.rule, packet.seq, packet.comment.copy.unwrap_or(0));
                let Some(release) = wanted.get(&key) else { return true };
                let actual = actual_of(packet);
                // Where it entered and where it left the same is written; a copy of which nothing is known has neither.
                self.actual.insert(key, actual);
                if let (None, Some(intended), 0) = (self.start, packet.comment.intended, key.3) {
                    let since = release.0.wrapping_sub(self.began.0).cast_signed();
                    self.start = Some(intended.saturating_sub(since));
                }
                true
            });
            if cut? {
                self.notes.push(format!("{}: is cut off: what stood behind the cut is not known", path.display()));
            }
        }
        Ok(())
    }

    /// Hands over the packets of a direction, in the order of arrival; what is missing of them is noted.
    ///
    /// # Errors
    ///
    /// When a capture cannot be read.
    pub(super) fn each(&mut self, name: &str, mut each: impl FnMut(&Packet)) -> anyhow::Result<()> {
        let Some((_, source)) = self.sources.remove(name) else { return Ok(()) };
        match source {
            Source::Records(mut rows) => {
                rows.sort_by_key(|row| row.packet.now);
                let mut unknown = 0u64;
                for row in &rows {
                    let packet = self.of_row(row);
                    unknown += u64::from(packet.cause.is_none() && packet.actual == Actual::Unknown);
                    each(&packet);
                }
                if unknown > 0 {
                    self.notes.push(format!(
                        "{name}: no capture tells when {unknown} of {} packets left: they have a fate and no delay",
                        rows.len()
                    ));
                }
            }
            Source::Capture(path) => {
                let mut start = self.start;
                if start.is_none() {
                    self.notes
                        .push(format!("{name}: nothing tells when the run began: times count from its first packet"));
                }
                captures::read(&path, |packet| {
                    if packet.entered {
                        let start = *start.get_or_insert(packet.ts_ns);
                        each(&of_capture(packet, start));
                    }
                    true
                })?;
                self.notes.push(format!(
                    "{name}: {FILE} does not hold all of its packets: delays count from the capture where they enter, and \
                     copies, changes and marks are not known"
                ));
            }
        }
        Ok(())
    }

    fn of_row(&self, row: &Row) -> Packet {
        let fate = &row.fate;
        let at_ns = row.packet.now.0.wrapping_sub(self.began.0).cast_signed();
        let key = |copy: u32| (row.direction, row.rule, row.sequence, copy);
        let actual = |copy: u32| self.actual.get(&key(copy)).copied().unwrap_or_default();
        let passed = fate.cause == Cause::None;
        let intended_ns = if passed { fate.release.saturating_sub(row.packet.now).0 } else { 0 };
        let mut treated = Vec::new();
        if passed {
            let done =
                [(!fate.damage.is_none()).then_some(Treatment::Changed), fate.marked.then_some(Treatment::Marked)];
            treated.extend(done.into_iter().flatten().map(|how| (how, intended_ns, actual(0))));
            for copy in 1..=copies(row) {
                let later = fate.spacing.0.saturating_mul(copy.into());
                treated.push((Treatment::Copied, intended_ns.saturating_add(later), actual(copy)));
            }
        }
        Packet {
            at_ns,
            is_own: row.rule == 0,
            cause: (!passed).then(|| fate.cause.name().into()),
            intended_ns,
            actual: actual(0),
            treated,
        }
    }
}

/// Copies of a packet; a table that claims more than there can be is not believed.
fn copies(row: &Row) -> u32 {
    row.fate.copies.min(MOST_COPIES)
}

fn actual_of(packet: &Captured) -> Actual {
    match (packet.comment.intended, packet.comment.actual) {
        (Some(intended), Some(actual)) => Actual::Late(actual.saturating_sub(intended)),
        (Some(_), None) => Actual::Never,
        (None, _) => Actual::Unknown,
    }
}

/// A packet as the capture tells of it where it entered. It was stamped before the decision: delays are longer than those
/// by records by the way from the tap to the link.
fn of_capture(packet: &Captured, start: i64) -> Packet {
    let cause = packet.comment.cause.as_deref().filter(|cause| *cause != "none");
    let intended = packet.comment.intended.map(|intended| intended.saturating_sub(packet.ts_ns));
    Packet {
        at_ns: packet.ts_ns.saturating_sub(start),
        is_own: packet.rule == 0,
        cause: cause.map(|cause| cause.to_owned().into()),
        intended_ns: intended.and_then(|ns| u64::try_from(ns).ok()).unwrap_or(0),
        actual: actual_of(packet),
        treated: Vec::new(),
    }
}

fn records(run: &Stored, notes: &mut Vec<String>) -> anyhow::Result<Option<Table>> {
    let path = run.path.join(FILE);
    if path.exists() {
        return Table::read(&path).map(Some);
    }
    notes.push(format!("{}: is not there: arrivals and fates are taken from the captures alone", path.display()));
    Ok(None)
}

fn known_captures<'a>(run: &'a Stored, notes: &mut Vec<String>) -> anyhow::Result<Vec<Known<'a>>> {
    let mut all = Vec::new();
    for host in run.summary.captures.keys() {
        // A name with a path in it is none that a run gives.
        let path = run.path.join(format!("{host}.pcapng"));
        if host.contains(['/', '\\']) || !path.is_file() {
            notes.push(format!("{}: is not there: when packets left is not known from it", path.display()));
            continue;
        }
        match captures::place(&path, host)? {
            Some(place) => all.push(Known { path, place }),
            None => notes.push(format!("{}: no packet in it carries a fate", path.display())),
        }
    }
    if run.summary.captures.is_empty() {
        notes.push("the run captured nothing: when packets left is not known".to_owned());
    }
    Ok(all)
}

/// The name of each direction by its number: link number times two, plus one for the way back.
fn names(run: &Stored, captures: &[Known<'_>]) -> BTreeMap<u32, String> {
    let mut names = BTreeMap::new();
    for known in captures {
        for dir in [0, 1] {
            if let Some(name) = run.name_of(known.place, dir) {
                names.insert(2 * known.place.link + u32::from(dir), name.to_owned());
            }
        }
    }
    if names.is_empty() && run.summary.directions.len() == 2 {
        names = (0..).zip(run.summary.directions.keys().cloned()).collect();
    }
    names
}
