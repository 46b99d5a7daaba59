//! What holds of every run: its accounts close and its captures open elsewhere.

#[path = "wireshark.rs"]
mod wireshark;

use shaper_report::summary::{Severity, Summary};

use crate::runs::Ended;
use wireshark::opens;

/// Whether a finding of this severity has all of these words.
pub(crate) fn told(summary: &Summary, severity: Severity, words: &[&str]) -> bool {
    let says = |text: &str| words.iter().all(|word| text.contains(word));
    summary.findings.iter().any(|finding| finding.severity == severity && says(&finding.text))
}

/// Sees that every decision was replayed and every packet accounted for.
pub(crate) fn accounts_close(summary: &Summary) {
    let Summary { oracle, conservation, .. } = summary;
    assert_eq!((oracle.mismatches, oracle.unchecked), (0, 0), "{oracle:?}");
    assert_eq!(oracle.checked, conservation.total.arrived);
    for counts in conservation.by_direction.values() {
        assert_eq!((counts.difference, counts.held), (0, 0), "{conservation:?}");
    }
}

/// Sees that every capture of a run opens elsewhere, with all that is in it.
pub(crate) fn opens_without_a_warning(run: &Ended, summary: &Summary) {
    for (point, counts) in &summary.captures {
        opens(&run.out.join(format!("{point}.pcapng")), counts.written);
    }
}
