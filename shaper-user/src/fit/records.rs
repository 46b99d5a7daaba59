//! `records.csv` of a run: what was decided for each packet, where there are no captures of both ends.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, bail};
use shaper_offline::fit::{Fate, Series};

use super::measured::{Measured, Packets};

/// Its name in a run's directory.
pub(super) const FILE: &str = "records.csv";
/// The columns that a fit takes.
const COLUMNS: [&str; 4] = ["direction", "arrival_ns", "cause", "release_ns"];
/// A column that is taken if it is there: bytes of the frame.
const LENGTH: &str = "len";

/// The packets of a link, in both directions.
#[derive(Default)]
struct Link {
    ways: [Packets; 2],
    packets: u64,
    outages: u64,
    /// Whether a packet was delayed or lost.
    impairs: bool,
}

pub(super) fn read(path: &Path) -> anyhow::Result<Measured> {
    let name = path.display();
    let failed = || format!("{name}: cannot be read");
    let mut lines = (1..).zip(BufReader::new(File::open(path).with_context(failed)?).lines());
    let mut places = None;
    let mut links: BTreeMap<usize, Link> = BTreeMap::new();
    for (number, line) in &mut lines {
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
        let wrong = || format!("{name}:{number}: no record: {line}");
        let [direction, arrival, cause, release] = found.map(|place| cells.get(place).copied().unwrap_or_default());
        let direction: usize = direction.parse().ok().with_context(wrong)?;
        let arrival: i64 = arrival.parse().ok().with_context(wrong)?;
        let fate = match (cause, release) {
            // Outages are of the link, and no loss that comes packet by packet.
            ("outage", _) => Fate::Unknown,
            (_, "") => Fate::Lost,
            (_, release) => Fate::Arrived(release.parse::<i64>().ok().with_context(wrong)?.saturating_sub(arrival)),
        };
        let link = links.entry(direction / 2).or_default();
        link.packets += 1;
        link.outages += u64::from(fate == Fate::Unknown);
        link.impairs |= fate == Fate::Lost || fate.delay_ns().is_some_and(|delay| delay > 0);
        let [forward, back] = &mut link.ways;
        let bytes = length.and_then(|place| cells.get(place)?.parse().ok());
        if direction.is_multiple_of(2) { forward } else { back }.push(arrival, fate, bytes);
    }
    let several = links.len() > 1;
    let of_all: u64 = links.values().map(|link| link.packets).sum();
    let first = links.iter().find(|(_, link)| link.impairs).or_else(|| links.iter().next()).map(|(number, _)| *number);
    let number = first.unwrap_or(0);
    let Link { ways, packets, outages, .. } = links.remove(&number).unwrap_or_default();
    let mut notes = vec![
        "delays are those that the link decided, from the records of the run; the host's own are not in them"
            .to_owned(),
    ];
    notes.extend(ways.iter().filter_map(Packets::left_out));
    if outages > 0 {
        notes.push(format!("{outages} packets met an outage and were left out: outages are not fitted"));
    }
    if several {
        notes.push(format!(
            "the run has several links: link {number}, the first that delays or loses packets, was fitted, and {} packets of \
             others left out",
            of_all - packets
        ));
    }
    let series = ways.map(|packets| Series::sorted(packets.all, true, true));
    Ok(Measured { from: format!("the records of a run, {name}"), series, first_ns: None, notes, cuts: Vec::new() })
}
