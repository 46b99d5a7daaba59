//! `records.csv` of a run: what was decided for each packet, where there are no captures of both ends.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, bail};
use shaper_common::layout::DIRECTIONS;
use shaper_offline::fit::{Fate, Series};

use super::captures::missing;
use super::due::not_arrived;
use super::measured::{Measured, Packets};
use crate::stored::records::cause;

/// Its name in a run's directory.
pub(super) const FILE: &str = "records.csv";
/// The columns that a fit takes.
const COLUMNS: [&str; 4] = ["direction", "arrival_ns", "cause", "release_ns"];
/// A column that is taken if it is there: bytes of the frame.
const LENGTH: &str = "len";

/// What a row says.
struct Row {
    link: u32,
    is_forward: bool,
    /// In nanoseconds since the run's start.
    arrival: i64,
    fate: Fate,
    bytes: Option<u32>,
}

/// What there is of a link.
#[derive(Default)]
struct Link {
    packets: u64,
    /// Whether a packet was delayed, or lost by the link.
    impairs: bool,
}

/// Reads twice: of all links first, and then the packets of the one that is fitted, so that no others are held.
pub(super) fn read(path: &Path) -> anyhow::Result<Measured> {
    let mut links: BTreeMap<u32, Link> = BTreeMap::new();
    each(path, |row| {
        let link = links.entry(row.link).or_default();
        link.packets += 1;
        link.impairs |=
            matches!(row.fate, Fate::Lost | Fate::Down) || row.fate.delay_ns().is_some_and(|delay| delay > 0);
    })?;
    let first = links.iter().find(|(_, link)| link.impairs).or_else(|| links.iter().next());
    let number = first.map_or(0, |(number, _)| *number);
    let mut ways = <[Packets; 2]>::default();
    let (mut down, mut ours) = (0, 0);
    each(path, |row| {
        let [forward, back] = &mut ways;
        let packets = if row.is_forward { forward } else { back };
        if row.link == number && packets.has_room() {
            down += u64::from(row.fate == Fate::Down);
            ours += u64::from(row.fate == Fate::Unknown);
            packets.push(row.arrival, row.fate, row.bytes);
        }
    })?;
    let mut notes = vec![
        "delays are those that the link decided, from the records of the run; the host's own are not in them"
            .to_owned(),
    ];
    notes.extend(ways.iter().filter_map(Packets::left_out));
    notes.extend(missing(down, ours));
    if links.len() > 1 {
        let others = links.iter().filter(|(other, _)| **other != number).map(|(_, link)| link.packets).sum::<u64>();
        notes.push(format!(
            "the run has several links: link {number}, the first that delays or loses packets, was fitted, and {others} \
             packets of others left out"
        ));
    }
    let series = ways.map(|packets| Series::sorted(packets.all, true, true));
    let from = format!("the records of a run, {}", path.display());
    Ok(Measured { from, series, first_ns: None, notes, cuts: Vec::new() })
}

/// Reads all rows.
fn each(path: &Path, mut row: impl FnMut(Row)) -> anyhow::Result<()> {
    let name = path.display();
    let failed = || format!("{name}: cannot be read");
    let mut places = None;
    for (number, line) in (1..).zip(BufReader::new(File::open(path).with_context(failed)?).lines()) {
        let line = line.with_context(failed)?;
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let Some((found, length)) = places else {
            let place = |column: &str| cells.iter().position(|cell| *cell == column);
            let [Some(direction), Some(arrival), Some(cause), Some(release)] = COLUMNS.map(place) else {
                bail!("{name}:{number}: no table of records: want columns {}", COLUMNS.join(", "));
            };
            places = Some(([direction, arrival, cause, release], place(LENGTH)));
            continue;
        };
        row(Row::parse(&cells, found, length).with_context(|| format!("{name}:{number}: no record: {line}"))?);
    }
    Ok(())
}

impl Row {
    fn parse(cells: &[&str], places: [usize; 4], length: Option<usize>) -> Option<Self> {
        let [direction, arrival, why, release] = places.map(|place| cells.get(place).copied().unwrap_or_default());
        let direction = direction.parse::<u32>().ok().filter(|direction| *direction < DIRECTIONS)?;
        let arrival: i64 = arrival.parse().ok()?;
        let fate = match release {
            "" => not_arrived(cause(why)),
            release => Fate::Arrived(release.parse::<i64>().ok()?.saturating_sub(arrival)),
        };
        let bytes = length.and_then(|place| cells.get(place)?.parse().ok());
        Some(Self { link: direction / 2, is_forward: direction.is_multiple_of(2), arrival, fate, bytes })
    }
}
