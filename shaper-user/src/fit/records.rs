//! `records.csv` of a run: what was decided for each packet, where there are no captures of both ends.

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

pub(super) fn read(path: &Path) -> anyhow::Result<Measured> {
    let name = path.display();
    let failed = || format!("{name}: cannot be read");
    let mut lines = (1..).zip(BufReader::new(File::open(path).with_context(failed)?).lines());
    let mut places = None;
    let mut ways = [Packets::default(), Packets::default()];
    let (mut outages, mut of_others) = (0u64, 0u64);
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
            ("outage", _) => {
                outages += 1;
                Fate::Unknown
            }
            (_, "") => Fate::Lost,
            (_, release) => Fate::Arrived(release.parse::<i64>().ok().with_context(wrong)?.saturating_sub(arrival)),
        };
        match ways.get_mut(direction) {
            Some(packets) => {
                let bytes = length.and_then(|place| cells.get(place)?.parse().ok());
                packets.push(arrival, fate, bytes);
            }
            None => of_others += 1,
        }
    }
    let mut notes = vec![
        "delays are those that the link decided, from the records of the run; the host's own are not in them"
            .to_owned(),
    ];
    notes.extend(ways.iter().filter_map(Packets::left_out));
    if outages > 0 {
        notes.push(format!("{outages} packets met an outage and were left out: outages are not fitted"));
    }
    if of_others > 0 {
        notes.push(format!(
            "the run has several links: the first was fitted, and {of_others} packets of others left out"
        ));
    }
    let series = ways.map(|packets| Series::sorted(packets.all, true, true));
    Ok(Measured { from: format!("the records of a run, {name}"), series, first_ns: None, notes, cuts: Vec::new() })
}
