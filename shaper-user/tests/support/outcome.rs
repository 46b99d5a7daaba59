//! Whether a run held.

use shaper_report::summary::{Severity, Summary};

/// What speaks against a run having held, if anything does: its errors but for a schedule that its sender missed, which
/// is for who else wants this machine's CPUs to answer for; and an exit code that does not follow from its errors.
pub(crate) fn held(summary: &Summary) -> Result<(), String> {
    let errors = summary.findings.iter().filter(|finding| finding.severity == Severity::Error);
    let missed = summary.schedule.as_ref().is_some_and(|schedule| !schedule.kept);
    let (schedule, other): (Vec<_>, Vec<_>) =
        errors.partition(|finding| missed && finding.text.contains("could not keep its own schedule"));
    let failed = !(schedule.is_empty() && other.is_empty());
    if !other.is_empty() || summary.exit_code != u8::from(failed) {
        return Err(format!("exit {}, {:?}", summary.exit_code, summary.findings));
    }
    Ok(())
}
