//! Network conditions of Chrome's DevTools: an object of JSON with those of its settings or of the DevTools protocol's
//! `Network.emulateNetworkConditions`, a list of one, or the name of a preset.
//!
//! `download` and `upload` (`downloadThroughput`, `uploadThroughput`) are in bytes per second, -1 or 0 for no bound;
//! `latency` is in milliseconds from a request to its response's header, so half of it is each direction's delay;
//! `packetLoss` in percent, `packetQueueLength` in packets, 0 for no bound, and `packetReordering` hold for WebRTC
//! alone.
//!
//! DevTools delays requests, not packets, and its presets make up for that by factors: each holds the rate it stands
//! for times 0.9 (0.8 for Slow 3G) and the round trip times 3.75 (5 for Slow 3G, 2.75 for Fast 4G), as
//! `front_end/core/sdk/NetworkManager.ts` of devtools-frontend says, "to make DevTools' emulation more accurate".
//! Packets want the rate and the round trip themselves: where the figures are a preset's, the factors are divided out.
//! Others are taken as they are.

use shaper_common::units::Nanos;

use super::super::error::{Notes, Wrong};
use super::super::json::{self, Kind, Value};
use super::super::number::{MILLISECOND, duration, percent, rate};
use super::queue::packets;
use crate::effect::Order;
use crate::loss::Loss;
use crate::profile::{Direction, Link, Outages, Profile, Scheduled};
use crate::quantity::{Duration, QueueLimit, Rate};

/// A preset: what it stands for, and the factors that its own figures have.
struct Preset {
    names: &'static [&'static str],
    /// Down and up in kbit/s, round trip in ms.
    kilobits: [f64; 2],
    round_trip: f64,
    rate_factor: f64,
    latency_factor: f64,
}

const PRESETS: [Preset; 3] = [
    Preset {
        names: &["Slow 3G", "3G", "SPEED_3G"],
        kilobits: [500.0, 500.0],
        round_trip: 400.0,
        rate_factor: 0.8,
        latency_factor: 5.0,
    },
    Preset {
        names: &["Slow 4G", "Fast 3G", "SPEED_SLOW_4G"],
        kilobits: [1_600.0, 750.0],
        round_trip: 150.0,
        rate_factor: 0.9,
        latency_factor: 3.75,
    },
    Preset {
        names: &["Fast 4G", "SPEED_FAST_4G"],
        kilobits: [9_000.0, 1_500.0],
        round_trip: 60.0,
        rate_factor: 0.9,
        latency_factor: 2.75,
    },
];

const KNOWN: &str = "title, download, upload, latency, packetLoss, packetQueueLength, packetReordering, offline";

/// What a link that is down for good has: the longest time that can be written.
const FOR_GOOD: Duration = Duration::from_millis(365 * 86_400_000);

pub(in super::super) fn read(text: &str, notes: &mut Notes) -> Result<Profile, Wrong> {
    let trimmed = text.trim();
    if !trimmed.starts_with(['{', '[', '"']) {
        return named(trimmed, 1, notes);
    }
    let value = json::read(text)?;
    match &value.kind {
        Kind::Text(name) => named(name, value.line, notes),
        Kind::Array(items) => match items.as_slice() {
            [one] => conditions(one, notes),
            _ => Err(Wrong::new(value.line, format!("the list has {} conditions", items.len()), "keep one of them")),
        },
        _ => conditions(&value, notes),
    }
}

fn named(name: &str, line: usize, notes: &mut Notes) -> Result<Profile, Wrong> {
    match PRESETS.iter().find(|preset| preset.names.iter().any(|known| known.eq_ignore_ascii_case(name))) {
        Some(preset) => preset.profile(line, notes),
        None if name.eq_ignore_ascii_case("offline") => Ok(offline()),
        None => {
            let known = "Slow 3G, Fast 3G, Slow 4G, Fast 4G, Offline";
            let name: String = name.chars().take(40).collect();
            Err(Wrong::new(
                line,
                format!("\"{name}\" is no preset of DevTools"),
                format!("known: {known}; or give JSON"),
            ))
        }
    }
}

impl Preset {
    fn profile(&self, line: usize, notes: &mut Notes) -> Result<Profile, Wrong> {
        let title = self.names.first().copied().unwrap_or_default();
        notes.at(
            line,
            format!(
                "{title}: the factors that DevTools has for requests are divided out, rates by {} and latency by {}",
                self.rate_factor, self.latency_factor
            ),
        );
        let [down, up] = self.kilobits;
        let [up, down] =
            directions([up * 1e3, down * 1e3], self.round_trip).map_err(|problem| Wrong::new(line, problem, ""))?;
        Ok(Profile {
            name: title.to_owned(),
            link: Link { a_to_b: up, b_to_a: down, ..Link::default() },
            ..Profile::default()
        })
    }

    /// Whether a preset's own figures are these: bytes per second and milliseconds.
    fn has(&self, download: f64, upload: f64, latency: f64) -> bool {
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-6 * b;
        let [down, up] = self.kilobits.map(|kilobits| kilobits * 125.0 * self.rate_factor);
        near(download, down) && near(upload, up) && near(latency, self.round_trip * self.latency_factor)
    }
}

/// Up and down of these rates in bits per second, none or less for no bound, with half of the round trip each.
fn directions([up, down]: [f64; 2], round_trip: f64) -> Result<[Direction; 2], String> {
    let total = duration(round_trip, MILLISECOND)?.0.0;
    let direction = |bits: f64, nanos: u64| {
        let rate = if bits > 0.0 { rate(bits)? } else { Rate::UNLIMITED };
        Ok::<_, String>(Direction { delay: Duration(Nanos(nanos)), rate, ..Direction::default() })
    };
    Ok([direction(up, total / 2)?, direction(down, total - total / 2)?])
}

fn offline() -> Profile {
    let scheduled = vec![Scheduled { at: Duration::ZERO, length: FOR_GOOD, every: None }];
    let outages = Outages { scheduled, ..Outages::default() };
    Profile { name: "Offline".into(), link: Link { outages, ..Link::default() }, ..Profile::default() }
}

fn conditions(value: &Value, notes: &mut Notes) -> Result<Profile, Wrong> {
    let mut fields = value.fields("the conditions")?;
    let line = fields.line;
    let mut title = None;
    for name in ["title", "key", "i18nTitleKey", "connectionType", "urlPattern"] {
        match (fields.take(name).map(|value| &value.kind), name) {
            (Some(Kind::Text(text)), "title") => title = Some(text.clone()),
            (Some(Kind::Text(text)), "urlPattern") if !text.is_empty() => {
                return Err(Wrong::new(
                    line,
                    format!("urlPattern: conditions hold for \"{text}\" alone"),
                    "leave it empty: a link knows no addresses of pages",
                ));
            }
            _ => {}
        }
    }
    let is_offline = matches!(fields.take("offline").map(|value| &value.kind), Some(Kind::Bool(true)));
    let throughput = |fields: &mut json::Fields<'_>, names: [&str; 2]| -> Result<Option<f64>, Wrong> {
        let Some(value) = names.iter().find_map(|name| fields.take(name)) else { return Ok(None) };
        match &value.kind {
            Kind::Number(text) if text.trim() == "-1" => Ok(Some(-1.0)),
            _ => value.number(names[0]).map(Some),
        }
    };
    let download = throughput(&mut fields, ["download", "downloadThroughput"])?;
    let upload = throughput(&mut fields, ["upload", "uploadThroughput"])?;
    let latency = fields.number("latency")?;
    let target = fields.number("targetLatency")?;
    let webrtc = WebRtc::of(&mut fields, notes)?;
    fields.end(KNOWN)?;

    let nothing = download == Some(0.0) && upload == Some(0.0) && latency.unwrap_or(0.0) == 0.0;
    if is_offline || nothing {
        return Ok(Profile { name: title.unwrap_or_else(|| "Offline".into()), ..offline() });
    }
    if (download, upload, latency) == (None, None, None) && webrtc.is_none() {
        return match title {
            Some(title) => named(&title, line, notes),
            None => Err(Wrong::new(line, "there are no conditions", format!("known: {KNOWN}"))),
        };
    }
    let (down, up, round_trip) = (download.unwrap_or(-1.0), upload.unwrap_or(-1.0), latency.unwrap_or(0.0));
    let mut profile = match PRESETS.iter().find(|preset| preset.has(down, up, round_trip)) {
        Some(preset) => preset.profile(line, notes)?,
        None => {
            if target.is_some() {
                return Err(Wrong::new(
                    line,
                    "targetLatency stands beside figures that are no preset's",
                    "take it out, and write the figures of the link itself",
                ));
            }
            let [a_to_b, b_to_a] =
                directions([up * 8.0, down * 8.0], round_trip).map_err(|problem| value.wrong(problem))?;
            if !(a_to_b.delay.is_zero() && b_to_a.delay.is_zero()) {
                notes.at(line, "latency is of a round trip: each direction has half of it");
            }
            Profile { link: Link { a_to_b, b_to_a, ..Link::default() }, ..Profile::default() }
        }
    };
    if let Some(title) = title {
        profile.name = title;
    }
    for direction in [&mut profile.link.a_to_b, &mut profile.link.b_to_a] {
        webrtc.apply(direction, line, notes);
        direction.check().map_err(|invalid| Wrong::invalid(line, &invalid))?;
    }
    Ok(profile)
}

/// What Chrome does to WebRTC's packets alone.
struct WebRtc {
    loss: Loss,
    queue: u64,
    reordering: bool,
}

impl WebRtc {
    fn of(fields: &mut json::Fields<'_>, notes: &mut Notes) -> Result<Self, Wrong> {
        let mut own = Self { loss: Loss::default(), queue: 0, reordering: false };
        if let Some(value) = fields.take("packetLoss") {
            own.loss = Loss::Independent(percent(value.number("packetLoss")?).map_err(|problem| value.wrong(problem))?);
        }
        if let Some(value) = fields.take("packetQueueLength") {
            let length = value.number("packetQueueLength")?;
            if length.fract() != 0.0 || length > 1e9 {
                return Err(value.wrong(format!("packetQueueLength: {length} is no whole number up to 10^9")));
            }
            own.queue = length as u64;
        }
        own.reordering = matches!(fields.take("packetReordering").map(|value| &value.kind), Some(Kind::Bool(true)));
        if !own.is_none() {
            notes.at(
                fields.line,
                "packetLoss, packetQueueLength and packetReordering are WebRTC's alone in Chrome; \
                here they are all packets'",
            );
        }
        Ok(own)
    }

    fn is_none(&self) -> bool {
        self.loss.is_none() && self.queue == 0 && !self.reordering
    }

    fn apply(&self, direction: &mut Direction, line: usize, notes: &mut Notes) {
        direction.loss = self.loss;
        direction.order = if self.reordering { Order::Free } else { Order::Keep };
        if self.reordering {
            notes.at(line, "packetReordering lets packets overtake, which they do not without jitter");
        }
        match (self.queue, direction.rate.is_unlimited()) {
            (0, true) => {}
            (_, true) => notes.at(line, "without a throughput nothing waits: packetQueueLength is left out"),
            (0, false) => {
                notes.at(line, "Chrome's queue has no bound; here it has 4095 packets");
                direction.queue = Some(QueueLimit::Packets(shaper_common::backlog::MOST_PACKETS));
            }
            (length, false) => {
                let (queue, note) = packets(length, direction);
                direction.queue = Some(queue);
                if let Some(note) = note {
                    notes.at(line, note);
                }
            }
        }
    }
}
