//! How an impaired interface must end.

#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

use std::process::Child;

use nix::libc;
use serde_json::Value;
use shaper_net::process::ProcessId;

use crate::command::signal;

/// Tells it to end, which it does with every packet accounted for; how it went, by its JSON.
///
/// A machine that is busy, or emulated, may keep a delay line from its CPUs: then packets pass, and that is told. Nothing
/// else may go wrong, and most packets must not pass so.
pub(crate) fn ends_soundly(running: Child) -> Value {
    signal(ProcessId::of(running.id()).unwrap(), libc::SIGTERM);
    let output = running.wait_with_output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = told["findings"].as_array().unwrap();
    let is_late = |finding: &Value| finding.as_str().unwrap().contains("while the delay line did not come round");
    assert!(findings.iter().all(is_late), "{told}");
    assert_eq!(output.status.code(), Some(i32::from(!findings.is_empty())), "{told}");
    let directions = told["directions"].as_array().unwrap();
    let figure = |direction: &Value, name: &str| direction[name].as_u64().unwrap();
    let sum = |name: &str| directions.iter().map(|direction| figure(direction, name)).sum::<u64>();
    assert!(sum("let_pass") < sum("arrived") / 10 + 1, "{told}");
    for direction in directions {
        let figure = |name| figure(direction, name);
        assert_eq!(figure("held"), 0, "{told}");
        assert_eq!(figure("fates_checked") + figure("fates_unrecorded"), figure("arrived"), "{told}");
    }
    told
}
