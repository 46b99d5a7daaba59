//! A scenario: where, the link and its timeline, what is captured and what is expected.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::link::{A_TO_B, B_TO_A, Base};
use super::source::{Keys, Source, Table};
use super::workload::Workloads;
use crate::error::{Located, ProfileError};
use crate::expectation::Expectation;
use crate::profile::{Link, Patch, Profile};
use crate::quantity::{Duration, Size};
use crate::scenario::{BuiltIn, CaptureSettings, Interfaces, Place, Scenario};

const TOP_KEYS: [&str; 12] = [
    "name",
    "description",
    "seed",
    "duration",
    "lab",
    "interfaces",
    "hosts",
    "link",
    "timeline",
    "workload",
    "capture",
    "expect",
];
const LAB_KEYS: [&str; 1] = ["hosts"];
const INTERFACES_KEYS: [&str; 4] = ["interface", "bridge", "netns", "allow_default_route"];
const LINK_KEYS: [&str; 7] = ["profile", "outages", "rule", "a_to_b", "b_to_a", "up", "down"];
const CAPTURE_KEYS: [&str; 3] = ["points", "snaplen", "filter"];
const TIMELINE: &str = "write [[timeline]] on a line of its own, and at = \"10s\" below it";
/// Most hosts of a lab: each has a link of two directions.
const MOST_HOSTS: usize = shaper_common::layout::DIRECTIONS as usize / 2;

type FindProfile<'f> = &'f dyn Fn(&str) -> Result<Profile, ProfileError>;

/// Reads the text of a scenario.
pub(crate) fn scenario(
    file: &str,
    folder: &Path,
    fallback_name: &str,
    text: &str,
    profile: FindProfile<'_>,
) -> Result<Scenario, Located> {
    let source = Source::new(file, folder, text);
    let document = DeTable::parse(text).map_err(|error| {
        source.at(error.span().unwrap_or(0..0), String::new(), format!("no TOML: {}", error.message()))
    })?;
    let root = Table { prefix: String::new(), entries: document.get_ref(), span: document.span() };
    source.deny_unknown(&root, &[&TOP_KEYS])?;
    let mut keys = Keys::of(&source, &root);
    let duration = match keys.value::<Duration>("duration")? {
        Some(duration) if !duration.is_zero() => duration,
        found => {
            let problem = if found.is_some() { "is 0" } else { "is missing" };
            let problem = format!("{problem}; say how long the run lasts at most: duration = \"20s\"");
            return Err(source.at(keys.place("duration"), "duration".to_owned(), problem));
        }
    };
    let place = source.scenario_place(&root)?;
    let place = source.place_of_load(&root, place)?;
    let profile = source.scenario_link(&root, duration, profile)?;
    let Workloads { built_in, commands } = source.workloads(&root, &place, duration)?;
    let mut scenario = Scenario {
        name: source.string(&root, "name")?.unwrap_or_else(|| fallback_name.to_owned()),
        description: source.string(&root, "description")?.unwrap_or_default(),
        seed: keys.value("seed")?.unwrap_or(1),
        duration,
        capture: source.capture(&root, &place)?,
        place,
        profile,
        built_in,
        commands,
        expect: Vec::new(),
    };
    if !is_name(&scenario.name) {
        let span = root.get("name").map_or(0..0, Spanned::span);
        let problem = format!("{:?} is part of a file's name: write letters, digits, - and _", scenario.name);
        return Err(source.at(span, "name".to_owned(), problem));
    }
    if let Some(table) = source.table_of(&root, "expect")? {
        let mut expect = Vec::new();
        source.expectations(&table, &scenario, &mut expect)?;
        scenario.expect = expect;
    }
    Ok(scenario)
}

/// Whether it can be part of the name of a file.
pub(super) fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'.');
    !text.is_empty() && text.len() <= 64 && !text.starts_with('.') && text.bytes().all(is_plain)
}

impl Source<'_> {
    fn scenario_place(&self, root: &Table<'_, '_>) -> Result<Place, Located> {
        let given: Vec<&str> =
            ["lab", "interfaces", "hosts"].into_iter().filter(|key| root.get(key).is_some()).collect();
        match given[..] {
            ["lab"] => self.lab(root),
            ["interfaces"] => {
                let table = self.table_of(root, "interfaces")?;
                table.map_or(Ok(Interfaces::default()), |table| self.interfaces(&table)).map(Place::Interfaces)
            }
            [_] => self.two_hosts(root),
            [] => {
                let problem = "does not say where: write [lab] and hosts = 2, or [interfaces] and interface = \"eth1\", \
                               or [hosts.NAME] twice";
                Err(self.at(0..0, String::new(), problem.to_owned()))
            }
            [first, second, ..] => {
                let span = root.get(second).map_or(0..0, Spanned::span);
                Err(self.at(span, second.to_owned(), format!("there is [{first}] already; keep one of them")))
            }
        }
    }

    fn lab(&self, root: &Table<'_, '_>) -> Result<Place, Located> {
        let Some(table) = self.table_of(root, "lab")? else { return Ok(Place::Lab(Vec::new())) };
        self.deny_unknown(&table, &[&LAB_KEYS])?;
        let wrong = |problem: &str| {
            let span = table.get("hosts").map_or_else(|| table.span.clone(), Spanned::span);
            let hint = format!("write hosts = 2 (to {MOST_HOSTS}), or hosts = [\"client\", \"server\"]");
            self.at(span, table.key("hosts"), format!("{problem}; {hint}"))
        };
        let names = match table.get("hosts").map(Spanned::get_ref) {
            None => lettered(2),
            Some(DeValue::Integer(_)) => {
                let count = Keys::of(self, &table).value::<usize>("hosts")?.unwrap_or(2);
                if !(2..=MOST_HOSTS).contains(&count) {
                    return Err(wrong("a lab has two hosts or more"));
                }
                lettered(count)
            }
            Some(_) => self.strings(&table, "hosts", "hosts = [\"client\", \"server\"]")?.unwrap_or_default(),
        };
        if names.len() < 2 || names.len() > MOST_HOSTS {
            return Err(wrong("a lab has two hosts or more"));
        }
        for (at, name) in names.iter().enumerate() {
            let is_plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
            if name.is_empty()
                || name.len() > 9
                || !is_plain
                || ["link", "switch", "lo", "br0"].contains(&name.as_str())
            {
                return Err(wrong(&format!("{name:?} is no host's name: 1 to 9 of a to z and 0 to 9")));
            }
            if names.iter().take(at).any(|other| other == name) {
                return Err(wrong(&format!("two hosts are called {name}")));
            }
        }
        Ok(Place::Lab(names))
    }

    fn interfaces(&self, table: &Table<'_, '_>) -> Result<Interfaces, Located> {
        const EXAMPLE: &str = "bridge = [\"eth1\", \"eth2\"]";
        self.deny_unknown(table, &[&INTERFACES_KEYS])?;
        let (interface, other) =
            match (self.string(table, "interface")?, self.strings(table, "bridge", EXAMPLE)?.as_deref()) {
                (Some(interface), None) => (interface, None),
                (None, Some([one, other])) if one != other => (one.clone(), Some(other.clone())),
                (None, Some(_)) => {
                    let span = table.get("bridge").map_or_else(|| table.span.clone(), Spanned::span);
                    let problem = format!("a bridge is between two interfaces; write {EXAMPLE}");
                    return Err(self.at(span, table.key("bridge"), problem));
                }
                _ => {
                    let problem = format!("write one of: interface = \"eth1\", {EXAMPLE}");
                    return Err(self.at(table.span.clone(), table.key("interface"), problem));
                }
            };
        Ok(Interfaces {
            interface,
            other,
            netns: self.string(table, "netns")?,
            allow_default_route: Keys::of(self, table).value("allow_default_route")?.unwrap_or(false),
        })
    }

    fn two_hosts(&self, root: &Table<'_, '_>) -> Result<Place, Located> {
        let example = "write [hosts.a] and [hosts.b], each with interface = \"eth1\" or the like below it";
        let Some(table) = self.table_of(root, "hosts")? else { return Ok(Place::Lab(Vec::new())) };
        // In the order in which they stand: the first is where a goes to b from.
        let mut named: Vec<_> = table.entries.iter().collect();
        named.sort_by_key(|(name, _)| name.span().start);
        let mut hosts = Vec::new();
        for (name, value) in named {
            let key = name.get_ref().as_ref();
            if !is_name(key) || key.contains('.') || key.ends_with("-wire") {
                let problem = format!("{key:?} is no host's name: letters, digits, - and _");
                return Err(self.at(name.span(), table.key(key), problem));
            }
            hosts.push((key.to_owned(), self.interfaces(&self.table(&table, key, value)?)?));
        }
        match <[(String, Interfaces); 2]>::try_from(hosts) {
            Ok(hosts) => Ok(Place::Hosts(Box::new(hosts))),
            Err(hosts) => {
                let problem = format!("{} hosts are named, and a link has two ends; {example}", hosts.len());
                Err(self.at(table.span.clone(), "hosts".to_owned(), problem))
            }
        }
    }

    /// The link, with what the timeline changes.
    fn scenario_link(
        &self,
        root: &Table<'_, '_>,
        duration: Duration,
        find: FindProfile<'_>,
    ) -> Result<Profile, Located> {
        let none = DeTable::new();
        let none = Table { prefix: "link.".to_owned(), entries: &none, span: 0..0 };
        let table = self.table_of(root, "link")?.unwrap_or(none);
        if let Some(change) = table.get("change") {
            let problem = format!("changes of a scenario's link stand in its timeline; {TIMELINE}");
            return Err(self.at(change.span(), table.key("change"), problem));
        }
        self.deny_unknown(&table, &[&LINK_KEYS, Patch::KEYS])?;
        let named = match (self.string(&table, "profile")?, table.get("profile")) {
            (Some(name), Some(value)) => Some(find(&name).map_err(|error| match error {
                ProfileError::Text(located) => located,
                error => self.at(value.span(), table.key("profile"), error.to_string()),
            })?),
            _ => None,
        };
        let (common, places) = self.patch(&table)?;
        let is_changed = table.entries.keys().any(|key| key.get_ref().as_ref() != "profile");
        let Profile { name, description, source, link: base } = named.unwrap_or_default();
        let direction =
            |names, of| self.direction(&table, names, Base { direction: &common.apply(of), places: &places });
        let (a_to_b, b_to_a) = (direction(A_TO_B, &base.a_to_b)?, direction(B_TO_A, &base.b_to_a)?);
        let outages = self.outages(&table, base.outages.clone())?;
        let mut link = Link { a_to_b, b_to_a, outages, ..base };
        link.rules.extend(self.rules(&table)?);
        self.timeline(root, &mut link, is_changed, duration)?;
        if let Err(bad) = link.check() {
            return Err(self.invalid(table.span.clone(), &table.prefix, bad));
        }
        let name = match (name.as_str(), is_changed || !self.tables(root, "timeline", TIMELINE)?.is_empty()) {
            ("" | "clean" | "custom", true) => "custom".to_owned(),
            ("", false) => "clean".to_owned(),
            (name, true) => format!("{name}+custom"),
            (name, false) => name.to_owned(),
        };
        Ok(Profile { name, description, source, link })
    }

    fn timeline(
        &self,
        root: &Table<'_, '_>,
        link: &mut Link,
        is_changed: bool,
        duration: Duration,
    ) -> Result<(), Located> {
        let tables = self.tables(root, "timeline", TIMELINE)?;
        if !link.changes.is_empty() && (is_changed || !tables.is_empty()) {
            let span = tables.first().map_or(0..0, |table| table.span.clone());
            let problem = "the profile that is named has changes of its own, and goes with no other settings; name another, \
                           or write its changes here";
            return Err(self.at(span, "link.profile".to_owned(), problem.to_owned()));
        }
        if tables.is_empty() {
            return Ok(());
        }
        link.changes = self.changes_of(&tables, link)?;
        for (table, change) in tables.iter().zip(&link.changes) {
            if change.at >= duration {
                let span = table.get("at").map_or_else(|| table.span.clone(), Spanned::span);
                return Err(self.too_late(span, table.key("at"), duration));
            }
        }
        Ok(())
    }

    /// That a time is none of the run's.
    pub(super) fn too_late(&self, span: std::ops::Range<usize>, key: String, duration: Duration) -> Located {
        let half = Duration(shaper_common::units::Nanos(duration.0.0 / 2));
        let problem = format!("the run is over by then, after {duration:#}; write for example \"{half}\"");
        self.at(span, key, problem)
    }

    fn capture(&self, root: &Table<'_, '_>, place: &Place) -> Result<CaptureSettings, Located> {
        let Some(table) = self.table_of(root, "capture")? else { return Ok(CaptureSettings::default()) };
        self.deny_unknown(&table, &[&CAPTURE_KEYS])?;
        let known = place.points();
        let points = self.strings(&table, "points", "points = [\"a\"], or points = [] for no capture")?;
        let mut unknown = points.iter().flatten().filter(|point| !known.contains(point));
        if let (Some(unknown), Some(value)) = (unknown.next(), table.get("points")) {
            let problem = format!("{unknown:?} is no point; known here: {}", known.join(", "));
            return Err(self.at(value.span(), table.key("points"), problem));
        }
        let mut keys = Keys::of(self, &table);
        let snaplen = keys.value::<Size>("snaplen")?;
        let (least, most) = (CaptureSettings::LEAST_SNAPLEN, CaptureSettings::MOST_SNAPLEN);
        if snaplen.is_some_and(|snaplen| !(least..=most).contains(&snaplen.0)) {
            let problem = format!("want {least} B to {most} B: headers are needed to know a packet again");
            return Err(self.at(keys.place("snaplen"), table.key("snaplen"), problem));
        }
        Ok(CaptureSettings { points, snaplen, filter: self.string(&table, "filter")? })
    }

    /// Expectations: the figure is the key, the value what it is to be.
    fn expectations(
        &self,
        table: &Table<'_, '_>,
        scenario: &Scenario,
        found: &mut Vec<Expectation>,
    ) -> Result<(), Located> {
        const EXAMPLE: &str = "write for example loss.a_to_b = \"< 6%\", or [\"> 1%\", \"< 6%\"]";
        let mut entries: Vec<_> = table.entries.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let key = key.get_ref().as_ref();
            let figure = table.key(key);
            let one = |text: &str, span: std::ops::Range<usize>| {
                let whole = format!("{} {text}", figure.strip_prefix("expect.").unwrap_or(&figure));
                let read = whole.parse::<Expectation>().and_then(|read| scenario.check(&read).map(|()| read));
                read.map_err(|error| self.at(span, figure.clone(), format!("{}; {EXAMPLE}", error.problem())))
            };
            match value.get_ref() {
                DeValue::String(text) => found.push(one(text, value.span())?),
                DeValue::Array(items) => {
                    for item in items {
                        let DeValue::String(text) = item.get_ref() else {
                            return Err(self.at(item.span(), figure, format!("must be a string; {EXAMPLE}")));
                        };
                        found.push(one(text, item.span())?);
                    }
                }
                DeValue::Table(entries) => {
                    let inner = Table { prefix: format!("{figure}."), entries, span: value.span() };
                    self.expectations(&inner, scenario, found)?;
                }
                _ => return Err(self.at(value.span(), figure, format!("must be a string; {EXAMPLE}"))),
            }
        }
        Ok(())
    }
}

/// `a`, `b` … for up to 26, `h1`, `h2` … for more: as labs are named.
fn lettered(count: usize) -> Vec<String> {
    let letters = "abcdefghijklmnopqrstuvwxyz";
    if count <= letters.len() {
        letters.chars().take(count).map(String::from).collect()
    } else {
        (1..=count).map(|number| format!("h{number}")).collect()
    }
}

impl BuiltIn {
    /// Whether these hosts do for it.
    pub(super) fn goes_with(&self, place: &Place) -> Result<(), &'static str> {
        match (self, place) {
            (Self::Probe(_), Place::Lab(hosts)) if hosts.len() != 2 => Err("a probe is between the two hosts of a lab"),
            (_, Place::Lab(_)) => Ok(()),
            _ => Err("goes with [lab] alone; beside real interfaces start its roles as commands"),
        }
    }
}
