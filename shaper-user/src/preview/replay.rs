//! The recorded arrivals of a run, decided again from its manifest, and whether each fate is the one on record.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use shaper_channel::{Channel, ChannelSpec};
use shaper_common::fate::{Cause, Fate};
use shaper_common::units::Nanos;
use shaper_profile::quantity::Duration;
use shaper_profile::{Compile, CompiledLink, presets};

use super::records::{FILE, Row, Table};

/// What the manifest says that a decision hangs on.
#[derive(Deserialize)]
struct Manifest {
    seed: u64,
    duration_s: f64,
    profile_toml: String,
    links: Vec<serde::de::IgnoredAny>,
}

/// How far a run and its repetition agree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Agreed {
    /// Packets on record.
    pub(crate) packets: u64,
    /// Packets whose fate came out again.
    pub(crate) agreed: u64,
    /// Packets behind one whose record is missing: what they met is not known.
    pub(crate) unchecked: u64,
    /// The first packets whose fate did not, in words.
    pub(crate) differences: Vec<String>,
}

/// Differences that are told.
const TOLD: usize = 5;

impl Agreed {
    /// Whether every packet's fate came out again.
    pub(crate) const fn is_whole(&self) -> bool {
        self.agreed == self.packets
    }
}

/// A channel on its way through the records.
struct Again {
    channel: Channel,
    next: u64,
}

/// Decides the arrivals in a run directory again.
///
/// # Errors
///
/// When manifest or records are missing or wrong, or are not of the same run.
pub(crate) fn replay(directory: &Path) -> anyhow::Result<Agreed> {
    let path = directory.join("manifest.json");
    let name = path.display();
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("{name}: cannot be read: name the directory of a run, such as --from runs/mine"))?;
    let manifest: Manifest = serde_json::from_str(&text).with_context(|| format!("{name}: no manifest of a run"))?;
    let table = Table::read(&directory.join(FILE))?;
    let links = compile(&manifest, directory).with_context(|| format!("{name}: its profile"))?;
    let mut channels: HashMap<(u32, u32), Again> = HashMap::new();
    let mut agreed = Agreed { packets: table.rows.len() as u64, ..Agreed::default() };
    for row in &table.rows {
        let again = match channels.entry((row.direction, row.rule)) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                let (direction, rule) = (row.direction, row.rule);
                let spec = channel(&links, direction, rule);
                let mut spec = spec.with_context(|| {
                    format!("{FILE}: direction {direction} has no rule {rule} in the profile of {name}")
                })?;
                spec.begin(table.start);
                new.insert(Again { channel: Channel::new(spec), next: 0 })
            }
        };
        if row.sequence != again.next {
            agreed.unchecked += 1;
            continue;
        }
        again.next += 1;
        let fate = Row::told(again.channel.decide(&row.packet));
        if fate == row.fate {
            agreed.agreed += 1;
        } else if agreed.differences.len() < TOLD {
            agreed.differences.push(difference(row, &fate, table.start));
        }
    }
    Ok(agreed)
}

/// The links of a run; files that its profile names are in its directory.
fn compile(manifest: &Manifest, directory: &Path) -> anyhow::Result<Vec<CompiledLink>> {
    let Manifest { seed, duration_s, profile_toml, links } = manifest;
    ensure!(duration_s.is_finite() && *duration_s > 0.0, "duration_s is {duration_s}: want a time above 0");
    let horizon = Duration(Nanos((duration_s * 1e9).round() as u64));
    let profile = presets::parse_in(directory, "profile_toml", "run", profile_toml)?;
    let links = 0..u32::try_from(links.len())?;
    Ok(links.map(|link| profile.link.compile(&Compile { seed: *seed, link, horizon })).collect::<Result<_, _>>()?)
}

/// The settings of a channel, by its direction and rule.
fn channel(links: &[CompiledLink], direction: u32, rule: u32) -> Option<ChannelSpec> {
    let link = links.get(direction as usize / 2)?;
    let compiled = if direction.is_multiple_of(2) { &link.a_to_b } else { &link.b_to_a };
    match rule.checked_sub(1) {
        None => Some(compiled.channel.clone()),
        Some(number) => compiled.rules.channels.get(number as usize).cloned(),
    }
}

fn difference(row: &Row, again: &Fate, start: Nanos) -> String {
    let told = |fate: &Fate| {
        if fate.cause == Cause::None {
            let at = fate.release.0.wrapping_sub(start.0).cast_signed() as f64 / 1e6;
            let marked = if fate.marked { ", marked" } else { "" };
            let changed = if fate.damage.is_none() { "" } else { ", changed" };
            format!("leaves at {at:.6} ms with {} copies{marked}{changed}", fate.copies)
        } else {
            format!("dropped for {}", fate.cause.name())
        }
    };
    let Row { direction, rule, sequence, fate, .. } = row;
    format!("direction {direction}, rule {rule}, packet {sequence}: {} in the run, {} now", told(fate), told(again))
}

#[cfg(test)]
mod tests {
    use shaper_common::layout::Record;
    use shaper_common::pipeline::Packet;

    use super::super::records::write;
    use super::*;

    const PROFILE: &str = "loss = \"5% burst 2\"\ndelay = \"10ms\"\njitter = \"20ms\"\nrate = \"2mbit\"\nqueue = \"20p\"\n\
                           duplicate = \"5%\"\ncorrupt = \"5%\"\n";

    /// A run directory as a run leaves it, with the records of one direction, which may be changed before.
    fn run(change: impl Fn(&mut Vec<Record>)) -> tempfile::TempDir {
        run_of(PROFILE, change)
    }

    fn run_of(profile: &str, change: impl Fn(&mut Vec<Record>)) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("profile-quick.csv"), "time_ms,delay_ms\n0,5\n1000,50\n").unwrap();
        let manifest =
            serde_json::json!({ "seed": 5, "duration_s": 3.0, "profile_toml": profile, "links": [{}], "more": 1 });
        std::fs::write(folder.path().join("manifest.json"), manifest.to_string()).unwrap();
        let links = compile(&serde_json::from_value(manifest).unwrap(), folder.path()).unwrap();
        let start = Nanos(5_000_000_000);
        let mut spec = channel(&links, 1, 0).unwrap();
        spec.begin(start);
        let mut channel = Channel::new(spec);
        let mut records: Vec<Record> = (0..3000u64)
            .map(|sequence| {
                // Some of them come before the run begins.
                let now = Nanos(4_900_000_000 + 900_000 * sequence);
                let packet = Packet { now, len: 300, network: 14, transport: 34, payload: 42, ..Packet::default() };
                let _ = channel.decide(&packet);
                Record { sequence, packet, fate: channel.state().work.fate, direction: 1, ..Record::default() }
            })
            .collect();
        change(&mut records);
        let file = std::fs::File::create(folder.path().join(FILE)).unwrap();
        let directions: [&[Record]; 2] = [&[], &records];
        assert_eq!(write(file, start, directions.into_iter()).unwrap(), (records.len(), records.len()));
        folder
    }

    #[test]
    fn what_was_recorded_comes_out_again() {
        let folder = run(|records| {
            let of = |is: fn(&Record) -> bool| records.iter().any(is);
            assert!(of(|record| record.fate.copies > 0) && of(|record| !record.fate.damage.is_none()));
            assert!(of(|record| record.fate.cause != 0));
        });
        let agreed = replay(folder.path()).unwrap();
        assert!(agreed.is_whole() && agreed.packets == 3000, "{agreed:?}");
    }

    #[test]
    fn files_that_the_profile_names_are_those_in_the_runs_directory() {
        let profile = "loss = \"5%\"\ntrace = \"profile-quick.csv\"\n";
        let folder = run_of(profile, |records| {
            let slow =
                records.iter().filter(|record| record.release() >= record.arrival().saturating_add(Nanos(50_000_000)));
            assert!((1000..2500).contains(&slow.count()));
        });
        assert!(replay(folder.path()).unwrap().is_whole());
        std::fs::write(folder.path().join("profile-quick.csv"), "time_ms,delay_ms\n0,5\n").unwrap();
        assert!(!replay(folder.path()).unwrap().is_whole());
        std::fs::remove_file(folder.path().join("profile-quick.csv")).unwrap();
        let error = format!("{:#}", replay(folder.path()).unwrap_err());
        assert!(error.contains("profile-quick.csv: cannot read the trace"), "{error}");
    }

    #[test]
    fn another_fate_is_told_and_what_follows_a_missing_record_is_not_checked() {
        let forwarded = |records: &[Record]| records.iter().position(|record| record.fate.cause == 0).unwrap();
        let agreed = replay(
            run(|records| {
                let at = forwarded(records);
                records[at].fate.release.0 += 1;
            })
            .path(),
        );
        let agreed = agreed.unwrap();
        assert_eq!((agreed.agreed, agreed.packets, agreed.differences.len()), (2999, 3000, 1));
        let agreed = replay(
            run(|records| {
                let _ = records.remove(1000);
            })
            .path(),
        )
        .unwrap();
        assert_eq!((agreed.agreed, agreed.unchecked, agreed.packets), (1000, 1999, 2999));
    }

    #[test]
    fn what_is_no_run_is_told_with_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(replay(folder.path()).unwrap_err().to_string().contains("such as --from"));
        let folder = run(|_| {});
        std::fs::write(folder.path().join(FILE), "direction\n").unwrap();
        assert!(replay(folder.path()).unwrap_err().to_string().contains("records.csv:1: no table of records"));
    }
}
