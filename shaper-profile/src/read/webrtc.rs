//! The WebRTC workload of a scenario.

use std::ops::RangeInclusive;

use toml::Spanned;

use super::source::{Keys, Source, Table};
use super::workload::EXAMPLE;
use crate::error::Located;
use crate::quantity::Duration;
use crate::scenario::{Place, WebRtcSettings};

/// What a key holds.
enum Kind {
    /// Whether it is so.
    Flag,
    /// Any word.
    Name,
    /// One of these.
    Word(&'static [&'static str]),
    Whole(RangeInclusive<u64>),
    Number(RangeInclusive<f64>),
    Time,
}

/// Keys that are flags of `shaper webrtc load` as they stand.
const MEDIA: [(&str, Kind); 18] = [
    ("room", Kind::Name),
    ("rooms", Kind::Whole(1..=100_000)),
    ("publish_ratio", Kind::Number(0.0..=1.0)),
    ("mode", Kind::Word(&["webinar", "panel", "classroom", "conference"])),
    ("max_audio", Kind::Whole(0..=100_000)),
    ("max_video", Kind::Whole(0..=100_000)),
    ("audio_only", Kind::Flag),
    ("video_only", Kind::Flag),
    ("quality", Kind::Word(&["480p", "720p", "1080p"])),
    ("fps", Kind::Whole(1..=120)),
    ("fixed_bitrate", Kind::Flag),
    ("simulcast", Kind::Flag),
    ("dtx", Kind::Flag),
    ("fec", Kind::Flag),
    ("churn_rate", Kind::Number(0.0..=1_000.0)),
    ("ice_restart_every", Kind::Time),
    ("timeout", Kind::Time),
    ("drain", Kind::Time),
];
const OWN_KEYS: [&str; 6] = ["clients", "links", "ramp_up", "kill_server_at", "server_back_after", "kill_client"];
/// Of which one alone can be.
const EXCLUSIVE: [[&str; 2]; 2] = [["audio_only", "video_only"], ["publish_ratio", "mode"]];
/// Most clients, as `shaper webrtc load` has them.
const MOST_CLIENTS: usize = 100_000;
const KILL: &str = "kill_client = [\"3@5s\"]";

impl Source<'_> {
    /// The place, with the hosts that a WebRTC workload gives its lab.
    pub(super) fn place_of_load(&self, root: &Table<'_, '_>, place: Place) -> Result<Place, Located> {
        let tables = self.tables(root, "workload", EXAMPLE)?;
        let load = tables.iter().find_map(|table| self.table_of(table, "webrtc").transpose());
        let (Some(load), Place::Lab(_)) = (load.transpose()?, &place) else { return Ok(place) };
        let links = self.webrtc(&load)?.links;
        if let Some(hosts) = self.table_of(root, "lab")?.as_ref().and_then(|lab| lab.get("hosts")) {
            let problem = "a webrtc workload names its hosts itself: server, and c1, c2, … for its access links; leave this \
                           out, and write clients and links in its table";
            return Err(self.at(hosts.span(), "lab.hosts".to_owned(), problem.to_owned()));
        }
        Ok(Place::Lab(WebRtcSettings::host_names(links)))
    }

    /// What a table says of it; whether there is time for that is not looked at.
    pub(super) fn webrtc(&self, table: &Table<'_, '_>) -> Result<WebRtcSettings, Located> {
        let media = MEDIA.map(|(key, _)| key);
        self.deny_unknown(table, &[&OWN_KEYS, &media])?;
        let wrong = |key: &str, problem: String| {
            let span = table.get(key).map_or_else(|| table.span.clone(), Spanned::span);
            self.at(span, table.key(key), problem)
        };
        let within = |key, count: usize, most| match count {
            1.. if count <= most => Ok(count),
            _ => Err(wrong(key, format!("want 1 to {most}; write for example {key} = 5"))),
        };
        let mut keys = Keys::of(self, table);
        let clients = within("clients", keys.value("clients")?.unwrap_or(WebRtcSettings::CLIENTS), MOST_CLIENTS)?;
        let links = keys.value("links")?.unwrap_or(clients.min(WebRtcSettings::MOST_LINKS));
        let links = within("links", links, WebRtcSettings::MOST_LINKS)?;
        for [one, other] in EXCLUSIVE {
            if table.get(one).is_some() && table.get(other).is_some() {
                return Err(wrong(other, format!("goes not with {one}; keep one of them")));
            }
        }
        let mut kill_clients = Vec::new();
        for text in self.strings(table, "kill_client", KILL)?.unwrap_or_default() {
            let read = text.split_once('@').and_then(|(client, at)| Some((client.parse().ok()?, at.parse().ok()?)));
            let problem = || format!("{text:?} is no client and time; write {KILL}");
            kill_clients.push(read.ok_or_else(|| wrong("kill_client", problem()))?);
        }
        Ok(WebRtcSettings {
            clients,
            links,
            ramp_up: keys.value("ramp_up")?,
            kill_server_at: keys.value("kill_server_at")?,
            server_back_after: keys.value("server_back_after")?,
            kill_clients,
            media: self.media_flags(table)?,
        })
    }

    fn media_flags(&self, table: &Table<'_, '_>) -> Result<Vec<String>, Located> {
        let mut keys = Keys::of(self, table);
        let mut flags = Vec::new();
        for (key, kind) in MEDIA {
            let Some(value) = table.get(key) else { continue };
            let wrong = |want: String| self.at(value.span(), table.key(key), want);
            let given = match &kind {
                Kind::Flag => {
                    if keys.value::<bool>(key)? == Some(true) {
                        flags.push(format!("--{}", key.replace('_', "-")));
                    }
                    continue;
                }
                Kind::Name => self.string(table, key)?,
                Kind::Word(known) => {
                    let word = self.string(table, key)?;
                    if !word.as_deref().is_some_and(|word| known.contains(&word)) {
                        return Err(wrong(format!("want one of {}", known.join(", "))));
                    }
                    word
                }
                Kind::Whole(range) => {
                    let number = keys.value::<u64>(key)?;
                    if !number.is_some_and(|number| range.contains(&number)) {
                        return Err(wrong(format!("want {} to {}", range.start(), range.end())));
                    }
                    number.map(|number| number.to_string())
                }
                Kind::Number(range) => {
                    let number = keys.value::<f64>(key)?;
                    if !number.is_some_and(|number| range.contains(&number)) {
                        return Err(wrong(format!("want {} to {}", range.start(), range.end())));
                    }
                    number.map(|number| number.to_string())
                }
                Kind::Time => keys.value::<Duration>(key)?.map(|time| format!("{}ns", time.0.0)),
            };
            // One word each: a room may be called --json.
            flags.extend(given.map(|given| format!("--{}={given}", key.replace('_', "-"))));
        }
        Ok(flags)
    }
}
