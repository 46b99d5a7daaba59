//! One feature after another, tried, not read off versions.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;
use shaper_bpf::{Exclusion, Object, Program, Room};
use shaper_xsk::{BindMode, Socket, SocketConfig, Umem, UmemConfig};

use super::{Device, echo};
use crate::netem::engine::{Asked, Shaper};
use crate::stats;

/// Delay each way.
const DELAY: Duration = Duration::from_millis(20);
/// Echo requests of a trial.
const REQUESTS: u16 = 20;
/// The ring of records of a program that records nothing: one page.
const NO_RECORDS: u32 = 1 << 12;

/// Whether it works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    Yes,
    No,
    /// Nothing was tried that could tell.
    Untested,
}

/// A feature and what came of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    feature: &'static str,
    word: Word,
    detail: String,
    /// Where the word is no: whether it should be yes.
    needed: bool,
}

impl Finding {
    fn new(feature: &'static str, word: Word, detail: impl Into<String>) -> Self {
        Self { feature, word, detail: detail.into(), needed: false }
    }

    fn needed(feature: &'static str, works: bool, detail: impl Into<String>) -> Self {
        let word = if works { Word::Yes } else { Word::No };
        Self { needed: true, ..Self::new(feature, word, detail) }
    }

    pub(super) fn is_failure(&self) -> bool {
        self.needed && self.word == Word::No
    }
}

/// What the driver does by itself.
pub(super) fn of_driver(device: &Device) -> Result<Vec<Finding>> {
    let answers = |device: &Device| -> Result<usize> { Ok(echo::run(device, REQUESTS)?.iter().flatten().count()) };
    // The first answers bring its address along, and the device's carrier.
    ensure!(
        (0..5).any(|_| answers(device).is_ok_and(|count| count > 0)),
        "{}: its other end does not answer",
        device.name
    );
    let mut found = Vec::new();
    for (feature, native) in [("XDP native", true), ("XDP generic", false)] {
        let mut object = Object::load(NO_RECORDS, Exclusion::Device, &Room::PLAIN)?;
        let attached = device.netns.run(|| {
            if native {
                object.attach_program(Program::Pass, device.index)
            } else {
                object.attach_above_driver(Program::Pass, device.index)
            }
        })?;
        found.push(match attached {
            Ok(()) => {
                let came = answers(device)?;
                let detail = format!("{came} of {REQUESTS} answers through a program that passes all");
                let finding = Finding::needed(feature, came > 0, detail);
                device.netns.run(|| object.detach())??;
                finding
            }
            Err(error) => Finding::new(feature, Word::No, in_full(&error)),
        });
    }
    // A queue that was bound is given back some time after its socket is closed: what is likely to be refused goes first.
    for (feature, mode) in [("AF_XDP zero-copy", BindMode::ZeroCopy), ("AF_XDP copy", BindMode::Copy)] {
        let bound = device.netns.run(|| bind(device.index, mode))?;
        found.push(match (bound, mode) {
            (Ok(()), BindMode::ZeroCopy) => Finding::new(feature, Word::Untested, "can be bound; no NIC has proved it"),
            (Err(why), BindMode::ZeroCopy) => Finding::new(feature, Word::Untested, format!("cannot be bound: {why}")),
            (Ok(()), _) => Finding::new(feature, Word::Yes, "queue 0 can be bound"),
            (Err(why), _) => Finding::new(feature, Word::No, why),
        });
    }
    Ok(found)
}

fn bind(ifindex: u32, mode: BindMode) -> Result<(), String> {
    let umem = Umem::new(UmemConfig { frames: 4_096, frame_size: 2_048, headroom: 0 }).map_err(|e| in_full(&e))?;
    let config = SocketConfig { mode, ..SocketConfig::default() };
    Socket::bind(&umem, ifindex, 0, &config).map(drop).map_err(|error| in_full(&error))
}

/// What an engine does there.
pub(super) fn of_engine(device: &Device, shaper: &Shaper, engine: &str) -> Result<Vec<Finding>> {
    const APPLY: &str = "apply, both directions";
    let names =
        || -> Result<Vec<String>> { Ok(device.netns.rtnl()?.links()?.into_iter().map(|link| link.name).collect()) };
    let (before, alone) = (names()?, median(&echo::run(device, REQUESTS)?).unwrap_or_default());
    let running = match shaper.apply(engine, &device.netns, &device.name, &Asked::Both("--delay 20ms")) {
        Ok(running) => running,
        Err(error) => {
            let why = format!("{error:#}");
            // A kernel may have been built without what an engine needs; whatever else stops it is a fault.
            let needed = !why.contains(&shaper_engine::Error::NoFq.to_string());
            return Ok(vec![Finding { needed, ..Finding::needed(APPLY, false, why) }]);
        }
    };
    let status = shaper.status(&device.name);
    let took = echo::run(device, REQUESTS);
    let ended = running.end();
    let (status, took) = (status?, took?);
    let word = |key: &str| status[0][key].as_str().unwrap_or("not told").to_owned();

    let mut found = vec![Finding::needed(APPLY, true, format!("TC hook {}, XDP {}", word("hook"), word("xdp_mode")))];
    let median = median(&took);
    let answered = took.iter().flatten().count();
    let early = took.iter().flatten().filter(|took| **took < 2 * DELAY).count();
    let beyond = median.map_or(0.0, |median| median.as_secs_f64() * 1e3 - 40.0);
    found.push(Finding::needed(
        "20 ms each way",
        early == 0 && answered == took.len(),
        format!(
            "{answered} of {} answered, {early} early, {beyond:.2} ms beyond 40 ms in the median, of which {:.2} without us",
            took.len(),
            alone.as_secs_f64() * 1e3
        ),
    ));
    let left: Vec<String> = names()?.into_iter().filter(|name| !before.contains(name)).collect();
    let after = echo::run(device, REQUESTS)?;
    let quick = after.iter().flatten().filter(|took| **took < DELAY).count();
    let detail = match &ended {
        Err(error) => format!("{error:#}"),
        Ok(()) if !left.is_empty() => format!("left behind: {}", left.join(", ")),
        Ok(()) => format!("{quick} of {REQUESTS} undelayed"),
    };
    found.push(Finding::needed(
        "as before at the end",
        ended.is_ok() && left.is_empty() && quick > usize::from(REQUESTS / 2),
        detail,
    ));
    Ok(found)
}

fn median(took: &[Option<Duration>]) -> Option<Duration> {
    let seconds: Vec<f64> = took.iter().flatten().map(Duration::as_secs_f64).collect();
    (!seconds.is_empty()).then(|| Duration::from_secs_f64(stats::median(&seconds)))
}

/// An error with its causes, each once.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        cause = error.source();
    }
    words
}
