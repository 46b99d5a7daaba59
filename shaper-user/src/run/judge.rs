//! From evidence to a summary: what was asked for beside what was got, and what must be said of it.

mod checks;
mod expectations;
mod findings;
mod links;
mod measured;
mod phases;
mod programs;

use anyhow::Context;
use shaper_report::summary::{Run, Severity, Summary};

use super::directory::RunDirectory;
use super::execute::Evidence;
use super::plan::Plan;
#[cfg(feature = "webrtc")]
use super::webrtc;
use super::workload::Workload;
use super::{commands, correlate, manifest, plots, probe};
use crate::preview::{RECORDS, write_records};

/// Judges a run and writes the rest of its directory.
pub(super) fn judge(plan: &Plan, evidence: &Evidence, directory: &RunDirectory) -> anyhow::Result<Summary> {
    let mut summary = Summary::new(Run {
        name: plan.name.clone(),
        workload: plan.workload.name().into(),
        profile: plan.profile.name.clone(),
        seed: plan.seed,
        duration_s: plan.duration.as_secs_f64(),
        started: manifest::utc(evidence.started),
        kernel: manifest::kernel(),
        engine: "xsk".into(),
        xdp_mode: Some("driver".into()),
        version: env!("CARGO_PKG_VERSION").into(),
    });
    links::links(plan, evidence, &mut summary)?;
    write_decisions(evidence, directory, &mut summary)?;
    let correlated = correlate::correlate(plan, evidence, directory, &mut summary)?;
    match &plan.workload {
        Workload::Toast(toast) => commands::judge(plan, toast, evidence, &correlated, &mut summary)?,
        Workload::Probe(_) => probe::judge(plan, evidence, &mut summary)?,
        #[cfg(feature = "webrtc")]
        Workload::WebRtc(webrtc) => webrtc::judge(webrtc, &plan.profile.link, evidence, directory, &mut summary)?,
        #[cfg(not(feature = "webrtc"))]
        Workload::WebRtc(_) => {}
        Workload::Commands => {}
    }
    programs::judge(evidence, &mut summary);
    summary.phases = phases::phases(plan, evidence);
    expectations::judge(plan, evidence, &mut summary);
    if evidence.interrupted {
        summary.find(Severity::Error, "the run was interrupted: its figures hold for the time it ran");
    }
    for broken in &evidence.broken {
        summary.find(Severity::Error, format!("{broken}: what it measured is not complete"));
    }
    withhold_grade(&mut summary);
    let failed = summary.findings.iter().any(|finding| finding.severity == Severity::Error)
        || summary.expectations.iter().any(|expectation| !expectation.held);
    summary.exit_code = u8::from(failed);
    directory.write("summary.json", summary.to_json()?.as_bytes())?;
    let plots = plots::plots(plan, evidence);
    directory.write("report.html", shaper_report::html::report(&summary, &plots)?.as_bytes())?;
    Ok(summary)
}

/// Writes what was decided for each packet.
fn write_decisions(evidence: &Evidence, directory: &RunDirectory, summary: &mut Summary) -> anyhow::Result<()> {
    let directions = evidence.outcome.directions.iter().map(|direction| direction.records.as_slice());
    let file = directory.make(RECORDS)?;
    let (all, written) =
        write_records(file, evidence.start, directions).with_context(|| directory.unwritten(RECORDS))?;
    if written < all {
        summary.find(
            Severity::Note,
            format!("{RECORDS} holds the first {written} of {all} decisions: no other is decided again by preview"),
        );
    }
    Ok(())
}

/// A run with errors is not graded: nobody knows what its figures stand for.
fn withhold_grade(summary: &mut Summary) {
    let errors = summary.findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    if let Some(grade) = &mut summary.grade
        && errors > 0
        && grade.result.is_some()
    {
        grade.result = None;
        grade.why = format!("withheld, for the run has {errors} errors");
    }
}

#[cfg(test)]
mod tests;
