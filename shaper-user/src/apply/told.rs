//! What people read of an impaired interface.

use std::fmt::Write as _;

use serde::Serialize;
use shaper_engine::{Account, DirectionOutcome};

use super::attached::{Ended, Finished, NAMES};
use super::request::{Request, Worked};

/// Before anything is changed: what each direction gets, and what is to be known of it.
pub(crate) fn first_lines(request: &Request, worked: &Worked) -> Vec<String> {
    let interface = &request.interface;
    let directions = NAMES.into_iter().zip(&worked.directions).map(|(name, direction)| match direction {
        Some(direction) => format!("{interface} {name}: {}", direction.expected),
        None => format!("{interface} {name}: left alone"),
    });
    let mut lines: Vec<String> = directions.collect();
    lines.extend(worked.notes.iter().cloned());
    lines.push(format!("room for {} packets under way, seed {}", worked.room, request.seed));
    lines
}

/// One direction in a line, as it stands.
pub(crate) fn live(account: &Account) -> String {
    let Account { arrived, copies, out, held, .. } = account;
    let mut text = format!("in {arrived}");
    if *copies > 0 {
        let _ = write!(text, " + {copies} copies");
    }
    let _ = write!(text, "  out {out}  on the way {held}  dropped {}", dropped(account));
    text
}

/// Such as "120 (loss 100, queue 20)".
fn dropped(account: &Account) -> String {
    let all: u64 = account.dropped.values().sum();
    if all == 0 {
        return "0".to_owned();
    }
    let causes: Vec<String> =
        account.dropped.iter().map(|(cause, count)| format!("{} {count}", cause.name())).collect();
    format!("{all} ({})", causes.join(", "))
}

/// How it went, once everything is as it was.
pub(crate) fn last_lines(finished: &Finished) -> Vec<String> {
    let Finished { interface, ended, outcome } = finished;
    let why = match ended {
        Ended::Told => "as you said",
        Ended::Over => "its time is over",
        Ended::Gone => "it went away",
        Ended::Failed => "a part of the engine ended by itself",
    };
    let mut lines = vec![format!("{interface} is as it was: {why}")];
    for direction in outcome.directions.iter().filter(|direction| !is_idle(direction)) {
        let account = &direction.account;
        let mut line = format!("  {:7}  {}", direction.spec.name, live(account));
        if account.bypassed > 0 {
            let _ = write!(line, "  control packets passed {}", account.bypassed);
        }
        lines.push(line);
        if !direction.lateness.is_empty() {
            let at = |quantile| direction.lateness.value_at_quantile(quantile) as f64 / 1e3;
            lines.push(format!(
                "           released late by {:.1} us in the median, {:.1} us at p99, {:.1} us at most",
                at(0.5),
                at(0.99),
                direction.lateness.max() as f64 / 1e3
            ));
        }
    }
    lines.extend(finished.findings().into_iter().map(|finding| format!("ERROR: {finding}")));
    lines
}

fn is_idle(direction: &DirectionOutcome) -> bool {
    direction.account.arrived == 0 && direction.account.bypassed == 0
}

impl Finished {
    /// What must not be, a line each: the harness did not do what it said, or does not know what it did.
    pub(crate) fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        for DirectionOutcome { spec, account, oracle, let_pass, .. } in &self.outcome.directions {
            let name = &spec.name;
            if account.difference() != 0 {
                findings.push(format!("{name}: {} packets are nowhere", account.difference()));
            }
            if oracle.mismatches > 0 {
                findings.push(format!("{name}: {} fates are not what the oracle decides", oracle.mismatches));
            }
            if *let_pass > 0 {
                findings.push(format!(
                    "{name}: {let_pass} packets passed unimpaired while the delay line did not come round"
                ));
            }
            let lost: u64 = account.dropped.iter().filter(|(cause, _)| **cause as u32 >= 16).map(|(_, n)| n).sum();
            if lost > 0 {
                findings.push(format!("{name}: {lost} packets were lost by the harness, not by the link"));
            }
        }
        if self.outcome.leaked_frames > 0 {
            findings.push(format!("{} frames leaked", self.outcome.leaked_frames));
        }
        match self.ended {
            Ended::Gone => findings.push(format!("{} went away while it was impaired", self.interface)),
            Ended::Failed => findings.push("a part of the engine ended by itself".to_owned()),
            Ended::Told | Ended::Over => {}
        }
        findings
    }
}

/// The same for programs.
#[derive(Serialize)]
pub(crate) struct Told {
    /// Version of this layout.
    schema: u32,
    interface: String,
    ended: &'static str,
    directions: Vec<ToldDirection>,
    findings: Vec<String>,
}

#[derive(Serialize)]
struct ToldDirection {
    direction: String,
    arrived: u64,
    copies: u64,
    out: u64,
    held: u64,
    dropped: std::collections::BTreeMap<&'static str, u64>,
    bypassed: u64,
    let_pass: u64,
    fates_checked: u64,
    fates_unrecorded: u64,
    lateness_ns: Lateness,
}

#[derive(Serialize)]
struct Lateness {
    p50: u64,
    p99: u64,
    max: u64,
}

impl From<&Finished> for Told {
    fn from(finished: &Finished) -> Self {
        let direction = |direction: &DirectionOutcome| {
            let Account { arrived, copies, out, held, bypassed, .. } = direction.account;
            let at = |quantile| direction.lateness.value_at_quantile(quantile);
            ToldDirection {
                direction: direction.spec.name.clone(),
                arrived,
                copies,
                out,
                held,
                dropped: direction.account.dropped.iter().map(|(cause, count)| (cause.name(), *count)).collect(),
                bypassed,
                let_pass: direction.let_pass,
                fates_checked: direction.oracle.checked,
                fates_unrecorded: direction.records_lost,
                lateness_ns: Lateness { p50: at(0.5), p99: at(0.99), max: direction.lateness.max() },
            }
        };
        Self {
            schema: 1,
            interface: finished.interface.clone(),
            ended: match finished.ended {
                Ended::Told => "told",
                Ended::Over => "over",
                Ended::Gone => "gone",
                Ended::Failed => "failed",
            },
            directions: finished.outcome.directions.iter().map(direction).collect(),
            findings: finished.findings(),
        }
    }
}
