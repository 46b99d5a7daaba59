//! The workloads of a scenario.

use std::collections::BTreeSet;

use shaper_common::units::Nanos;
use toml::Spanned;
use toml::de::DeValue;

use super::scenario::is_name;
use super::source::{Keys, Source, Table};
use crate::error::Located;
use crate::quantity::Duration;
use crate::scenario::{BuiltIn, Command, Place, ProbeSettings, ToastSettings, Unfit};

const KEYS: [&str; 10] =
    ["name", "command", "toast", "probe", "webrtc", "on", "at", "for", "background", "expect_exit"];
const TOAST_KEYS: [&str; 7] = ["spacing", "absent", "late", "leave", "second_controller", "tempo", "clock"];
const PROBE_KEYS: [&str; 2] = ["interval", "payload"];
pub(super) const EXAMPLE: &str =
    "write [[workload]] on a line of its own, and command = [\"ping\", \"-c\", \"10\", \"b\"] below it";
const COMMAND: &str = "command = [\"ping\", \"-c\", \"10\", \"b\"]";
/// Commands are processes and files.
const MOST_COMMANDS: usize = 256;

/// All that drives traffic.
pub(super) struct Workloads {
    pub(super) built_in: Option<BuiltIn>,
    pub(super) commands: Vec<Command>,
}

impl Source<'_> {
    pub(super) fn workloads(
        &self,
        root: &Table<'_, '_>,
        place: &Place,
        duration: Duration,
    ) -> Result<Workloads, Located> {
        let mut all = Workloads { built_in: None, commands: Vec::new() };
        let mut names = BTreeSet::new();
        let tables = self.tables(root, "workload", EXAMPLE)?;
        if let Some(table) = tables.get(MOST_COMMANDS) {
            let problem = format!("a scenario has {MOST_COMMANDS} workloads at most");
            return Err(self.at(table.span.clone(), table.key("command"), problem));
        }
        for table in &tables {
            self.deny_unknown(table, &[&KEYS])?;
            let given: Vec<&str> =
                ["command", "toast", "probe", "webrtc"].into_iter().filter(|key| table.get(key).is_some()).collect();
            match given[..] {
                ["command"] => {
                    let command = self.command(table, place, duration, &names)?;
                    names.insert(command.name.clone());
                    all.commands.push(command);
                }
                [key] => {
                    let span = table.get(key).map_or_else(|| table.span.clone(), Spanned::span);
                    if all.built_in.is_some() {
                        let problem = "there is one already that is built in; keep one of them".to_owned();
                        return Err(self.at(span, table.key(key), problem));
                    }
                    let built_in = self.built_in(table, key)?;
                    built_in
                        .goes_with(place)
                        .map_err(|problem| self.at(span.clone(), table.key(key), problem.to_owned()))?;
                    if let Some(settings) = self.table_of(table, key)? {
                        self.fits(&settings, &built_in, place, duration)?;
                    }
                    all.built_in = Some(built_in);
                }
                _ => {
                    let problem = format!("write one of: {COMMAND}, toast = {{}}, probe = {{}}, webrtc = {{}}");
                    return Err(self.at(table.span.clone(), table.key("command"), problem));
                }
            }
        }
        Ok(all)
    }

    fn built_in(&self, table: &Table<'_, '_>, kind: &str) -> Result<BuiltIn, Located> {
        let extra = table.entries.keys().find(|key| key.get_ref().as_ref() != kind);
        if let Some(extra) = extra {
            let problem = format!("{kind} takes place on all hosts, and as long as the scenario: leave this out");
            return Err(self.at(extra.span(), table.key(extra.get_ref()), problem));
        }
        let Some(settings) = self.table_of(table, kind)? else {
            return Err(self.at(table.span.clone(), table.key(kind), "is missing".to_owned()));
        };
        if kind == "webrtc" {
            return self.webrtc(&settings).map(BuiltIn::WebRtc);
        }
        let mut keys = Keys::of(self, &settings);
        if kind == "probe" {
            self.deny_unknown(&settings, &[&PROBE_KEYS])?;
            let usual = ProbeSettings::default();
            return Ok(BuiltIn::Probe(ProbeSettings {
                interval: keys.value("interval")?.unwrap_or(usual.interval),
                payload: keys.value("payload")?.unwrap_or(usual.payload),
            }));
        }
        self.deny_unknown(&settings, &[&TOAST_KEYS])?;
        Ok(BuiltIn::Toast(ToastSettings {
            spacing: keys.value("spacing")?,
            absent: self.strings(&settings, "absent", "absent = [\"b\"]")?.unwrap_or_default(),
            late: keys.value("late")?,
            leave: keys.value("leave")?,
            second_controller: keys.value("second_controller")?.unwrap_or(false),
            tempo: self.numbers(&settings, "tempo", "tempo = [100, 140]")?,
            clocks: keys.value("clock")?.into_iter().collect(),
        }))
    }

    /// Whether a workload can do, on these hosts and within this time, what its table says.
    fn fits(
        &self,
        table: &Table<'_, '_>,
        built_in: &BuiltIn,
        place: &Place,
        duration: Duration,
    ) -> Result<(), Located> {
        let unfit = |Unfit { key, want, example, .. }: Unfit| {
            let span = table.get(key).map_or_else(|| table.span.clone(), Spanned::span);
            let example = match key {
                "payload" => example,
                "absent" | "kill_client" => format!("[\"{example}\"]"),
                "tempo" => format!("[{example}]"),
                _ => format!("\"{example}\""),
            };
            self.at(span, table.key(key), format!("{want}; write for example {key} = {example}"))
        };
        match built_in {
            BuiltIn::Toast(toast) => {
                let peers: Vec<String> = place.hosts().into_iter().skip(1).collect();
                toast.check(&peers, duration).map_err(unfit)
            }
            BuiltIn::WebRtc(webrtc) => webrtc.check(duration).map_err(unfit),
            BuiltIn::Probe(probe) => {
                probe.check().map_err(unfit)?;
                // As many as there is time for.
                ProbeSettings::check_packets(probe.packets_in(duration)).map_err(|Unfit { value, want, .. }| {
                    let want = format!("these are {value} packets in {duration:#}: {want}");
                    let example = Duration(Nanos((duration.0.0 / 10_000).max(1))).to_string();
                    unfit(Unfit { key: "interval", value, want, example })
                })
            }
        }
    }

    fn numbers(&self, table: &Table<'_, '_>, key: &str, example: &str) -> Result<Vec<f64>, Located> {
        let Some(value) = table.get(key) else { return Ok(Vec::new()) };
        let wrong = |span| self.at(span, table.key(key), format!("must be a list of numbers; write {example}"));
        let DeValue::Array(items) = value.get_ref() else { return Err(wrong(value.span())) };
        let number = |item: &Spanned<DeValue<'_>>| match item.get_ref() {
            DeValue::Integer(number) => number.as_str().parse().map_err(|_| wrong(item.span())),
            DeValue::Float(number) => number.as_str().parse().map_err(|_| wrong(item.span())),
            _ => Err(wrong(item.span())),
        };
        items.iter().map(number).collect()
    }

    fn command(
        &self,
        table: &Table<'_, '_>,
        place: &Place,
        duration: Duration,
        taken: &BTreeSet<String>,
    ) -> Result<Command, Located> {
        let command = self.strings(table, "command", COMMAND)?.unwrap_or_default();
        let span_of = |key: &str| table.get(key).map_or_else(|| table.span.clone(), Spanned::span);
        let wrong = |key: &str, problem: String| self.at(span_of(key), table.key(key), problem);
        let Some(program) = command.first().filter(|program| !program.is_empty()) else {
            return Err(wrong("command", format!("is empty; write {COMMAND}")));
        };
        if command.iter().any(|word| word.contains('\0')) {
            return Err(wrong("command", "no word of a command can have a zero byte in it".to_owned()));
        }
        let name = match self.string(table, "name")? {
            Some(name) if !is_name(&name) || name.contains('.') => {
                let problem = format!("{name:?} is part of file names: write letters, digits, - and _");
                return Err(wrong("name", problem));
            }
            Some(name) if taken.contains(&name) => {
                return Err(wrong("name", format!("there is a {name:?} already; give each a name of its own")));
            }
            Some(name) => name,
            None => named_after(program, taken),
        };
        let on = self.string(table, "on")?;
        let hosts = place.hosts();
        match &on {
            Some(host) if !hosts.is_empty() && !hosts.contains(host) => {
                return Err(wrong("on", format!("there is no host {host:?}; there are {}", hosts.join(", "))));
            }
            None if matches!(place, Place::Hosts(_)) => {
                let problem = format!("is missing: say which host runs it, of {}", hosts.join(", "));
                return Err(wrong("on", problem));
            }
            _ => {}
        }
        let mut keys = Keys::of(self, table);
        let at = keys.value("at")?.unwrap_or_default();
        if at >= duration {
            return Err(self.too_late(span_of("at"), table.key("at"), duration));
        }
        let lasts: Option<Duration> = keys.value("for")?;
        if lasts.is_some_and(Duration::is_zero) {
            return Err(wrong("for", "is no time; write for example for = \"5s\"".to_owned()));
        }
        Ok(Command {
            name,
            command,
            on,
            at,
            lasts,
            background: keys.value("background")?.unwrap_or(false),
            expect_exit: keys.value("expect_exit")?.unwrap_or_default(),
        })
    }
}

/// A name that no other has, after the program's file.
fn named_after(program: &str, taken: &BTreeSet<String>) -> String {
    let own = program.rsplit('/').next().unwrap_or_default();
    let own: String = own.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_').take(48).collect();
    let own = if own.is_empty() { "command".to_owned() } else { own };
    let mut name = own.clone();
    let mut number = 1;
    while taken.contains(&name) {
        number += 1;
        name = format!("{own}-{number}");
    }
    name
}
