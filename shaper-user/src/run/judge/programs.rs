//! What became of the commands of a scenario.

use std::os::unix::process::ExitStatusExt;

use shaper_profile::scenario::ExpectedExit;
use shaper_report::summary::{Expectation, Program, Summary};

use crate::run::execute::Evidence;
use crate::run::programs::{Ran, error_name, output_name};

/// Lists them, and says of each whether it ended as it was to.
pub(super) fn judge(evidence: &Evidence, summary: &mut Summary) {
    for ran in &evidence.programs {
        let ms = |at: Option<shaper_common::units::Nanos>| at.map(|at| at.0 as f64 / 1e6);
        let name = &ran.spec.name;
        summary.programs.push(Program {
            name: name.clone(),
            command: ran.spec.command.clone(),
            on: ran.spec.on.clone(),
            started_ms: ms(ran.started.filter(|_| ran.failure.is_none())),
            ended_ms: ms(ran.ended),
            exit_code: ran.status.and_then(|status| status.code()),
            signal: ran.status.and_then(|status| status.signal()),
            ended_by_run: ran.told,
            failure: ran.failure.clone(),
            stdout: ran.started.map(|_| output_name(name)),
            stderr: ran.started.map(|_| error_name(name)),
        });
        if let Some(expectation) = as_expected(ran) {
            summary.expectations.push(expectation);
        }
    }
}

/// Whether it ended as it was to; nothing where all is well by itself.
fn as_expected(ran: &Ran) -> Option<Expectation> {
    let Ran { spec, status, told, failure, started, .. } = ran;
    let wanted = match spec.expect_exit {
        ExpectedExit::Any if failure.is_none() => return None,
        ExpectedExit::Any => "starts".to_owned(),
        ExpectedExit::Code(code) => format!("ends with {code}"),
    };
    let (held, measured) = match (failure, status, spec.expect_exit) {
        (Some(why), ..) => (false, why.clone()),
        _ if started.is_none() => (false, "the run was over before it was due".to_owned()),
        // Whoever is ended by us need not end well; but who is neither in the background nor limited was to end.
        (None, Some(_), _) if *told && (spec.background || spec.lasts.is_some()) => return None,
        (None, Some(_), _) if *told => (false, "it had not ended when the run was over".to_owned()),
        (None, Some(status), ExpectedExit::Code(code)) => {
            let found = match (status.code(), status.signal()) {
                (Some(found), _) => format!("it ended with {found}"),
                (None, Some(signal)) => format!("signal {signal} ended it"),
                (None, None) => format!("it ended with {status}"),
            };
            let held = status.code() == Some(i32::from(code));
            let see = if held { String::new() } else { format!(": see {}", error_name(&spec.name)) };
            (held, format!("{found}{see}"))
        }
        (None, ..) => return None,
    };
    Some(Expectation { text: format!("{} {wanted}", spec.name), held, measured })
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;

    use shaper_common::units::Nanos;
    use shaper_profile::quantity::Duration;
    use shaper_profile::scenario::Command;

    use super::*;

    fn ran(code: i32, told: bool, change: impl FnOnce(&mut Command)) -> Option<bool> {
        let mut spec = Command {
            name: "x".into(),
            command: vec!["x".into()],
            on: None,
            at: Duration::ZERO,
            lasts: None,
            background: false,
            expect_exit: ExpectedExit::default(),
        };
        change(&mut spec);
        // As wait(2) has it: the code in the second byte, a signal in the first.
        let status = Some(ExitStatus::from_raw(if told { 15 } else { code << 8 }));
        let ran = Ran { spec, started: Some(Nanos(1)), ended: Some(Nanos(2)), status, told, failure: None };
        as_expected(&ran).map(|expectation| expectation.held)
    }

    #[test]
    fn who_fails_or_does_not_end_is_told_and_who_was_to_be_ended_is_not() {
        assert_eq!(ran(0, false, |_| {}), Some(true));
        assert_eq!(ran(1, false, |_| {}), Some(false));
        assert_eq!(ran(1, false, |spec| spec.background = true), Some(false));
        assert_eq!(ran(1, false, |spec| spec.expect_exit = ExpectedExit::Code(1)), Some(true));
        assert_eq!(ran(0, false, |spec| spec.expect_exit = ExpectedExit::Code(1)), Some(false));
        assert_eq!(ran(1, false, |spec| spec.expect_exit = ExpectedExit::Any), None);
        assert_eq!(ran(0, true, |_| {}), Some(false));
        assert_eq!(ran(0, true, |spec| spec.lasts = Some(Duration::from_millis(5))), None);
        assert_eq!(ran(0, true, |spec| spec.background = true), None);
    }
}
