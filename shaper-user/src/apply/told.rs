//! What is said of an impaired interface: before, and in the end.

use serde::Serialize;
use shaper_engine::{DirectionOutcome, Site};
use shaper_profile::expectation::Judged;

use super::attached::{Ended, Finished};
use super::expect::judge;
use super::figures::Figures;
use super::request::{Request, Worked};

/// Before anything is changed: what each direction gets, and what is to be known of it.
pub(crate) fn first_lines(request: &Request, worked: &Worked) -> Vec<String> {
    let before = match &request.site {
        Site::Interface(interface) if request.command.is_none() => format!("{interface} "),
        Site::Interface(_) | Site::Between(..) => String::new(),
    };
    let directions = request.directions().into_iter().zip(worked.acting()).map(|(name, direction)| match direction {
        Some(direction) => format!("{before}{name}: {}", direction.expected),
        None => format!("{before}{name}: left alone"),
    });
    let mut lines: Vec<String> = directions.collect();
    lines.extend(worked.notes.iter().cloned());
    lines.push(format!("seed {}", request.seed));
    lines
}

/// How it went, once everything is as it was.
pub(crate) fn last_lines(finished: &Finished) -> Vec<String> {
    let why = match finished.ended {
        _ if finished.is_for_a_command => "it has ended",
        Ended::Told => "as you said",
        Ended::Over => "its time is over",
        Ended::Gone => "it went away",
        Ended::Failed => "a part of the engine ended by itself",
    };
    let gone = if finished.is_for_a_command { "is gone" } else { "as before" };
    let mut lines = vec![format!("{} {gone}: {why}", finished.name)];
    for (direction, figures) in finished.figures().filter(|(_, figures)| !figures.is_idle()) {
        lines.push(format!("  {:7}  {}", direction.spec.name, figures.line()));
        lines.extend(figures.more().into_iter().map(|line| format!("           {line}")));
    }
    lines.extend(finished.judged().iter().map(ToString::to_string));
    lines.extend(finished.findings().into_iter().map(|finding| format!("ERROR: {finding}")));
    lines
}

impl Finished {
    fn figures(&self) -> impl Iterator<Item = (&DirectionOutcome, Figures)> {
        let directions = self.outcome.directions.iter().zip(&self.rule_names);
        directions.map(|(direction, names)| (direction, Figures::at_the_end(direction, names)))
    }

    /// What came of the expectations.
    pub(crate) fn judged(&self) -> Vec<Judged> {
        let figures: Vec<Figures> = self.figures().map(|(_, figures)| figures).collect();
        self.expected.iter().map(|expectation| judge(expectation, &figures)).collect()
    }

    /// Whether everything is as it should be: no finding, and all expectations held.
    pub(crate) fn is_good(&self) -> bool {
        self.findings().is_empty() && self.judged().iter().all(|judged| judged.held)
    }

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
            let lost: u64 =
                account.dropped.iter().filter(|(cause, _)| cause.is_of_the_harness()).map(|(_, count)| count).sum();
            if lost > 0 {
                findings.push(format!("{name}: {lost} packets were lost by the harness, not by the link"));
            }
        }
        if self.outcome.leaked_frames > 0 {
            findings.push(format!("{} frames leaked", self.outcome.leaked_frames));
        }
        match self.ended {
            Ended::Gone => findings.push(format!("{} went away while it was impaired", self.name)),
            Ended::Failed => findings.push("a part of the engine ended by itself".to_owned()),
            Ended::Told | Ended::Over => {}
        }
        findings
    }
}

/// How it went, for programs.
#[derive(Serialize)]
pub(crate) struct Told {
    /// Version of this layout.
    schema: u32,
    interface: String,
    engine: &'static str,
    ended: &'static str,
    directions: Vec<ToldDirection>,
    expectations: Vec<Judged>,
    findings: Vec<String>,
}

#[derive(Serialize)]
struct ToldDirection {
    direction: String,
    #[serde(flatten)]
    figures: Figures,
    fates_checked: u64,
    fates_unrecorded: u64,
}

impl From<&Finished> for Told {
    fn from(finished: &Finished) -> Self {
        let directions = finished.figures().map(|(direction, figures)| ToldDirection {
            direction: direction.spec.name.clone(),
            figures,
            fates_checked: direction.oracle.checked,
            fates_unrecorded: direction.recorded.left_out + direction.recorded.lost,
        });
        Self {
            schema: 1,
            interface: finished.name.clone(),
            engine: finished.engine.name(),
            ended: match finished.ended {
                Ended::Told => "told",
                Ended::Over => "over",
                Ended::Gone => "gone",
                Ended::Failed => "failed",
            },
            directions: directions.collect(),
            expectations: finished.judged(),
            findings: finished.findings(),
        }
    }
}
