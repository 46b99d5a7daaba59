//! The recorded arrivals of a run, decided again from its manifest, and whether each fate is the one on record.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use shaper_common::fate::{Cause, Fate};
use shaper_common::units::Nanos;
use shaper_engine::Recording;
use shaper_profile::quantity::Duration;
use shaper_profile::{Compile, CompiledDirection, CompiledLink, Profile, presets};

use super::channels::{Channels, Through};
use crate::run::HostOfTwo;
use crate::stored::records::{FILE, Row, Table};

/// What the manifest says that a decision hangs on.
#[derive(Deserialize)]
struct Manifest {
    seed: u64,
    duration_s: f64,
    profile_toml: String,
    links: Vec<serde::de::IgnoredAny>,
    #[serde(default)]
    host_of_two: Option<HostOfTwo>,
    engine: Engine,
}

/// Of how it was run.
#[derive(Deserialize)]
struct Engine {
    records: String,
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

/// A run: its settings, and its packets as they were recorded.
pub(crate) struct Run {
    /// Its directory, as it was named.
    pub(super) name: String,
    pub(super) profile: Profile,
    pub(super) seed: u64,
    pub(super) horizon: Duration,
    links: u32,
    /// Which end of the link it was, of a run on two hosts.
    role: Option<HostOfTwo>,
    table: Table,
}

/// Whose packets to tell of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen {
    /// Link number times two, plus one for the way back.
    pub(super) direction: u32,
    /// Those of one rule alone.
    pub(super) rule: Option<u32>,
}

impl Run {
    /// Reads what a run directory holds; files that its profile names are in it.
    ///
    /// # Errors
    ///
    /// When manifest or records are missing or wrong.
    pub(crate) fn read(directory: &Path) -> anyhow::Result<Self> {
        let path = directory.join("manifest.json");
        let name = path.display();
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!("{name}: cannot be read: name the directory of a run, such as --from runs/mine")
        })?;
        let manifest: Manifest =
            serde_json::from_str(&text).with_context(|| format!("{name}: no manifest of a run"))?;
        let Manifest { seed, duration_s, profile_toml, links, host_of_two, engine: Engine { records } } = manifest;
        ensure!(duration_s.is_finite() && duration_s > 0.0, "{name}: duration_s is {duration_s}: want a time above 0");
        let recording = records.parse::<Recording>().with_context(|| format!("{name}: engine.records"))?;
        // What a decision hangs on are those before it.
        ensure!(
            recording == Recording::All,
            "{}: its decisions cannot be made again, for not all were recorded (--records {records}): run it with \
             --records all",
            directory.display()
        );
        let profile = presets::parse_in(directory, "profile_toml", "run", &profile_toml);
        Ok(Self {
            name: directory.display().to_string(),
            profile: profile.with_context(|| format!("{name}: its profile"))?,
            seed,
            horizon: Duration(Nanos((duration_s * 1e9).round() as u64)),
            links: u32::try_from(links.len())?,
            role: host_of_two,
            table: Table::read(&directory.join(FILE))?,
        })
    }

    /// The profile that decided.
    pub(crate) fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The number of links.
    pub(crate) fn links(&self) -> u32 {
        self.links
    }

    /// When it began, or its first packet came before: what times in [`Came`](super::Came) count from.
    pub(super) fn epoch(&self) -> Nanos {
        let first = self.table.rows.iter().map(|row| row.packet.now).min();
        first.map_or(self.table.start, |first| first.min(self.table.start))
    }

    /// From the epoch to the start.
    pub(super) fn lead(&self) -> Nanos {
        self.table.start.saturating_sub(self.epoch())
    }

    /// The rules by which packets of a direction went.
    pub(super) fn rules(&self, direction: u32) -> impl Iterator<Item = Option<u32>> {
        self.rows(direction).map(Row::by)
    }

    fn rows(&self, direction: u32) -> impl Iterator<Item = &Row> {
        self.table.rows.iter().filter(move |row| row.direction == direction)
    }

    /// Decides all again as the run did, and says what became of the chosen packets. Those behind a missing record are
    /// not among them.
    ///
    /// # Errors
    ///
    /// When a packet's rule is none of the profile's, or the profile cannot be compiled.
    pub(super) fn again(&self, chosen: Chosen) -> anyhow::Result<(Agreed, Through)> {
        let links = (0..self.links).map(|link| {
            let run = Compile { seed: self.seed, link, horizon: self.horizon };
            let link = &self.profile.link;
            let compiled = self.role.as_ref().map_or_else(|| link.compile(&run), |role| role.compile(link, &run));
            compiled.with_context(|| format!("{}: its profile", self.name))
        });
        let links: Vec<CompiledLink> = links.collect::<Result<_, _>>()?;
        let mut directions: Vec<Channels<'_>> = links
            .iter()
            .flat_map(|link| [&link.a_to_b, &link.b_to_a])
            .map(|direction| Channels::new(direction, self.table.start))
            .collect();
        let epoch = self.epoch();
        let mut next: HashMap<(u32, u32), u64> = HashMap::new();
        let mut agreed = Agreed { packets: self.table.rows.len() as u64, ..Agreed::default() };
        let mut through = Through::default();
        for row in &self.table.rows {
            let next = next.entry((row.direction, row.rule)).or_default();
            if row.sequence != *next {
                agreed.unchecked += 1;
                continue;
            }
            *next += 1;
            let channels = directions.get_mut(row.direction as usize);
            let came = channels.and_then(|channels| channels.decide(row.by(), &row.packet, epoch));
            let came = came.with_context(|| {
                let Row { direction, rule, .. } = row;
                format!("{FILE}: direction {direction} has no rule {rule} in the profile of {}", self.name)
            })?;
            let fate = Row::told(came.fate);
            if fate == row.fate {
                agreed.agreed += 1;
            } else if agreed.differences.len() < TOLD {
                agreed.differences.push(difference(row, &fate, self.table.start));
            }
            if row.direction == chosen.direction && (chosen.rule.is_none() || row.by() == chosen.rule) {
                through.came.push(came);
            }
        }
        if let Some(channels) = directions.get(chosen.direction as usize) {
            through.flows_evicted = channels.flows_evicted(chosen.rule);
        }
        Ok((agreed, through))
    }

    /// Lets other settings decide the packets of a direction: each by the rule that it went by in the run, where the
    /// settings have the run's rules; else all by one rule, or by none.
    ///
    /// # Errors
    ///
    /// When a packet's rule is none of the settings'.
    pub(super) fn by_other(&self, of: &CompiledDirection, chosen: Chosen, by_rows: bool) -> anyhow::Result<Through> {
        let mut channels = Channels::new(of, self.table.start);
        let epoch = self.epoch();
        let rows = self.rows(chosen.direction).map(|row| (row, if by_rows { row.by() } else { chosen.rule }));
        let chosen_rows = rows.filter(|(_, rule)| chosen.rule.is_none() || *rule == chosen.rule);
        let came = chosen_rows.map(|(row, rule)| {
            let came = channels.decide(rule, &row.packet, epoch);
            came.with_context(|| format!("{FILE}: there is no rule {} in the profile of {}", row.rule, self.name))
        });
        Ok(Through { came: came.collect::<Result<_, _>>()?, flows_evicted: channels.flows_evicted(None) })
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
    use shaper_channel::Channel;
    use shaper_common::layout::Record;
    use shaper_common::pipeline::Packet;

    use super::*;
    use crate::stored::records::write;

    /// What comes of the way back, and whether all agrees.
    fn again(directory: &Path) -> anyhow::Result<(Agreed, Through)> {
        Run::read(directory)?.again(Chosen { direction: 1, rule: None })
    }

    fn replay(directory: &Path) -> anyhow::Result<Agreed> {
        Ok(again(directory)?.0)
    }

    const PROFILE: &str = "loss = \"5% burst 2\"\ndelay = \"10ms\"\njitter = \"20ms\"\nrate = \"2mbit\"\nqueue = \"20p\"\n\
                           duplicate = \"5%\"\ncorrupt = \"5%\"\n";

    /// A run directory as a run leaves it, with the records of one direction, which may be changed before.
    fn run(change: impl Fn(&mut Vec<Record>)) -> tempfile::TempDir {
        run_of(PROFILE, change)
    }

    fn run_of(profile: &str, change: impl Fn(&mut Vec<Record>)) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("profile-quick.csv"), "time_ms,delay_ms\n0,5\n1000,50\n").unwrap();
        let manifest = serde_json::json!({ "seed": 5, "duration_s": 3.0, "profile_toml": profile, "links": [{}], "more": 1,
                "engine": { "name": "xsk", "records": "all" } });
        std::fs::write(folder.path().join("manifest.json"), manifest.to_string()).unwrap();
        let profile = presets::parse_in(folder.path(), "test", "test", profile).unwrap();
        let horizon = Duration::from_millis(3_000);
        let start = Nanos(5_000_000_000);
        let mut spec = profile.link.compile(&Compile { seed: 5, link: 0, horizon }).unwrap().b_to_a.channel;
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
        let (agreed, through) = again(folder.path()).unwrap();
        assert!(agreed.is_whole() && agreed.packets == 3000, "{agreed:?}");
        // Times count from the first packet, which came before the run began.
        assert_eq!((through.came.len(), through.came[0].at_ns, through.came[2999].at_ns), (3000, 0, 900_000 * 2999));
        let forward = Run::read(folder.path()).unwrap().again(Chosen { direction: 0, rule: None }).unwrap().1;
        assert!(forward.came.is_empty());
    }

    #[test]
    fn other_settings_decide_the_same_arrivals() {
        let folder = run(|_| {});
        let run = Run::read(folder.path()).unwrap();
        let profile = presets::parse_in(folder.path(), "other", "other", "delay = \"7ms\"\n").unwrap();
        let compiled = profile.link.compile(&Compile { seed: 1, link: 0, horizon: run.horizon }).unwrap();
        let came = run.by_other(&compiled.b_to_a, Chosen { direction: 1, rule: None }, false).unwrap().came;
        assert!(came.iter().all(|came| came.delay_ns == Some(7_000_000)));
        assert_eq!((came.len(), came[1].at_ns), (3000, 900_000));
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
    fn a_run_of_which_not_all_is_on_record_is_refused() {
        let folder = run(|_| {});
        let path = folder.path().join("manifest.json");
        let manifest = std::fs::read_to_string(&path).unwrap();
        for records in ["drops", "1/100", "off"] {
            std::fs::write(&path, manifest.replace("\"all\"", &format!("\"{records}\""))).unwrap();
            let error = replay(folder.path()).unwrap_err().to_string();
            assert!(error.contains(&format!("--records {records}")) && error.ends_with("--records all"), "{error}");
        }
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
