//! What tcconfig's `tcshow` prints and `tcset --import-setting` reads, JSON: devices, in each `outgoing` and
//! `incoming`, in each the settings by the packets they hold for.
//!
//! Packets are named as in "dst-network=192.168.0.10/32, dst-port=8080, protocol=ip" (older: "network", "port"). Each
//! name becomes a rule with a filter; outgoing is up, incoming down. "protocol=ip" alone is all of IPv4, and comes
//! last. A rule takes packets of both directions: where one direction says nothing of a name, it has there what it says
//! of all.
//!
//! Settings: `delay` and `delay-distro` (its standard deviation; normal, or as `delay-distribution` says) with a unit,
//! in milliseconds without; `loss`, `duplicate`, `corrupt` and `reordering` in percent, `rate` in bits per second with
//! K, M, G of 1000. `filter_id` is tc's own and means nothing here.

use super::super::error::{Notes, Wrong};
use super::super::json::{self, Fields, Kind, Value};
use super::super::number::{self, percent, rate};
use crate::effect::{Distribution, Reorder};
use crate::loss::Loss;
use crate::profile::{Direction, Link, Profile, RuleProfile};
use crate::quantity::{Duration, Percent, Rate};
use shaper_common::units::Nanos;

const KNOWN: &str = "filter_id, delay, delay-distro, delay-distribution, loss, duplicate, corrupt, reordering, rate";

/// Settings and the packets that they hold for.
struct Entry {
    filter: String,
    is_all: bool,
    direction: Direction,
}

pub(in super::super) fn read(text: &str, notes: &mut Notes) -> Result<Profile, Wrong> {
    let value = json::read(text)?;
    let Kind::Object(devices) = &value.kind else {
        return Err(Wrong::new(value.line, "the text is no object of devices", "give what tcshow prints"));
    };
    let mut found: Option<(&str, Link)> = None;
    for (name, device) in devices {
        let rules = device_rules(device, notes)?;
        if rules.is_empty() {
            continue;
        }
        if let Some((first, _)) = &found {
            return Err(Wrong::new(
                device.line,
                format!("{name} has settings, and so has {first}; a profile is one link's"),
                "keep one of the devices",
            ));
        }
        found = Some((name, Link { rules, ..Link::default() }));
    }
    let Some((device, link)) = found else {
        return Err(Wrong::new(value.line, "no device has settings", "give what tcshow prints while they hold"));
    };
    Ok(Profile { name: device.to_owned(), link, ..Profile::default() })
}

fn device_rules(device: &Value, notes: &mut Notes) -> Result<Vec<RuleProfile>, Wrong> {
    let mut fields = device.fields("the device")?;
    let outgoing = fields.take("outgoing").map(|value| entries(value, notes)).transpose()?.unwrap_or_default();
    let incoming = fields.take("incoming").map(|value| entries(value, notes)).transpose()?.unwrap_or_default();
    fields.end("outgoing, incoming")?;
    let mut filters: Vec<(&str, bool)> = Vec::new();
    for entry in outgoing.iter().chain(&incoming) {
        if !filters.iter().any(|(known, _)| *known == entry.filter) {
            filters.push((&entry.filter, entry.is_all));
        }
    }
    // Stable: the others keep their order.
    filters.sort_by_key(|(_, is_all)| *is_all);
    let of = |entries: &[Entry], filter: &str| {
        let named = entries.iter().find(|entry| entry.filter == filter);
        let family = if filter.starts_with("ip6") { "ip6" } else { "ip" };
        named
            .or_else(|| entries.iter().find(|entry| entry.filter == family))
            .map(|entry| entry.direction.clone())
            .unwrap_or_default()
    };
    let rule = |(filter, _): (&str, bool)| RuleProfile {
        name: filter.to_owned(),
        filter: filter.to_owned(),
        place: None,
        link: Link { a_to_b: of(&outgoing, filter), b_to_a: of(&incoming, filter), ..Link::default() },
    };
    Ok(filters.into_iter().map(rule).collect())
}

fn entries(value: &Value, notes: &mut Notes) -> Result<Vec<Entry>, Wrong> {
    let Kind::Object(named) = &value.kind else { return Err(value.wrong("it is no object of filters")) };
    let mut entries: Vec<Entry> = Vec::new();
    for (name, settings) in named {
        let (filter, is_all) = filter(name, settings.line)?;
        if entries.iter().any(|entry| entry.filter == filter) {
            return Err(Wrong::new(
                settings.line,
                format!("\"{name}\" names the same packets as an entry before"),
                "keep one of them",
            ));
        }
        entries.push(Entry { filter, is_all, direction: direction(settings, notes)? });
    }
    Ok(entries)
}

/// The filter for tcconfig's name of packets, and whether it is all of a protocol.
fn filter(name: &str, line: usize) -> Result<(String, bool), Wrong> {
    let hint = "write dst-network=ADDRESS/LENGTH, src-network, dst-port, src-port and protocol=ip or ipv6";
    let (mut family, mut parts) = ("ip", Vec::new());
    for part in name.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (key, value) =
            part.split_once('=').ok_or_else(|| Wrong::new(line, format!("\"{part}\" is no KEY=VALUE"), hint))?;
        let (key, value) = (key.trim(), value.trim());
        let is_port = value.parse::<u16>().is_ok();
        let is_network =
            !value.is_empty() && value.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '/'));
        match key {
            "protocol" => {
                family = match value {
                    "ip" | "all" => "ip",
                    "ipv6" => "ip6",
                    _ => return Err(Wrong::new(line, format!("protocol \"{value}\" is not known"), hint)),
                }
            }
            "network" | "dst-network" | "src-network" if is_network => {
                let side = if key == "src-network" { "src" } else { "dst" };
                if !matches!(value, "0.0.0.0/0" | "::/0") {
                    parts.push(match value.strip_suffix("/32").or_else(|| value.strip_suffix("/128")) {
                        Some(host) => format!("{side} host {host}"),
                        None if value.contains('/') => format!("{side} net {value}"),
                        None => format!("{side} host {value}"),
                    });
                }
            }
            "port" | "dst-port" if is_port => parts.push(format!("dst port {value}")),
            "src-port" if is_port => parts.push(format!("src port {value}")),
            _ => return Err(Wrong::new(line, format!("\"{part}\" names no packets that a filter could"), hint)),
        }
    }
    let is_all = parts.is_empty();
    let words: Vec<String> = std::iter::once(family.to_owned()).chain(parts).collect();
    Ok((words.join(" and "), is_all))
}

fn direction(value: &Value, notes: &mut Notes) -> Result<Direction, Wrong> {
    let mut fields = value.fields("the settings")?;
    let line = fields.line;
    let _ = fields.take("filter_id");
    let mut direction = Direction::default();
    if let Some(value) = fields.take("delay") {
        direction.delay = time(value, "delay")?;
    }
    if let Some(value) = fields.take("delay-distro") {
        direction.jitter = time(value, "delay-distro")?;
        direction.distribution = Distribution::Normal;
    }
    if let Some(value) = fields.take("delay-distribution") {
        let Kind::Text(name) = &value.kind else { return Err(value.wrong("delay-distribution is no name")) };
        direction.distribution = match name.as_str() {
            "normal" => Distribution::Normal,
            "pareto" => Distribution::Pareto,
            "paretonormal" => Distribution::ParetoNormal,
            _ => {
                return Err(
                    value.wrong(format!("delay-distribution \"{name}\" is none of normal, pareto, paretonormal"))
                );
            }
        };
    }
    direction.loss = Loss::Independent(share(&mut fields, "loss")?);
    direction.duplicate.ratio = share(&mut fields, "duplicate")?;
    direction.corrupt.ratio = share(&mut fields, "corrupt")?;
    direction.reorder = Reorder { ratio: share(&mut fields, "reordering")?, ..Reorder::default() };
    if let Some(value) = fields.take("rate") {
        direction.rate = speed(value)?;
        notes.at(value.line, "tcconfig says nothing of the queue before a rate; here it is the default, 100 ms");
    }
    fields.end(KNOWN)?;
    direction.check().map_err(|invalid| Wrong::invalid(line, &invalid))?;
    Ok(direction)
}

/// A number and what is behind it, in small letters.
fn parts(value: &Value, what: &str) -> Result<(f64, String), Wrong> {
    let (Kind::Text(text) | Kind::Number(text)) = &value.kind else {
        return Err(value.wrong(format!("{what} is no number")));
    };
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    // A number of JSON may have an exponent.
    let end = if matches!(value.kind, Kind::Number(_)) { text.len() } else { end };
    let (digits, unit) = text.split_at(end);
    let number =
        number::number(digits).map_err(|_| value.wrong(format!("{what}: \"{text}\" begins with no number")))?;
    Ok((number, unit.trim().to_ascii_lowercase()))
}

fn time(value: &Value, what: &str) -> Result<Duration, Wrong> {
    let (number, unit) = parts(value, what)?;
    let unit = match unit.as_str() {
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000_000_000,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000_000_000,
        "" | "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => 1_000_000,
        "us" | "usec" | "usecs" | "microsecond" | "microseconds" => 1_000,
        other => return Err(value.wrong(format!("{what}: \"{other}\" is no unit of time"))),
    };
    number::duration(number, Nanos(unit)).map_err(|problem| value.wrong(format!("{what}: {problem}")))
}

fn share(fields: &mut Fields<'_>, what: &str) -> Result<Percent, Wrong> {
    let Some(value) = fields.take(what) else { return Ok(Percent::ZERO) };
    match parts(value, what)? {
        (number, unit) if unit.is_empty() || unit == "%" => {
            percent(number).map_err(|problem| value.wrong(format!("{what}: {problem}")))
        }
        (_, unit) => Err(value.wrong(format!("{what}: \"{unit}\" is no unit of a percentage"))),
    }
}

fn speed(value: &Value) -> Result<Rate, Wrong> {
    let (number, unit) = parts(value, "rate")?;
    let bits = match unit.as_str() {
        "" | "bps" | "bit" => 1.0,
        "k" | "kbps" | "kbit" => 1e3,
        "m" | "mbps" | "mbit" => 1e6,
        "g" | "gbps" | "gbit" => 1e9,
        other => {
            return Err(value.wrong(format!("rate: \"{other}\" is no unit; tcconfig knows K, M, G, Kbps, Mbps, Gbps")));
        }
    };
    rate(number * bits).map_err(|problem| value.wrong(format!("rate: {problem}")))
}
