//! What was measured in a run, for what was expected of it.

use shaper_profile::Expectation;
use shaper_profile::expectation::{Figure, Judged, Measured, Of, Statistic};
use shaper_report::stats::{Distribution, Proportion};
use shaper_report::summary::{self, Summary};

use crate::run::execute::Evidence;
use crate::run::plan::Plan;

/// Holds the run against its expectations.
pub(super) fn judge(plan: &Plan, evidence: &Evidence, summary: &mut Summary) {
    let is_second = plan.scene.at.as_ref().and_then(|at| at.role.as_ref()).is_some_and(|role| role.is_second);
    for expectation in &plan.scene.expect {
        let direction = match &expectation.of {
            // What leaves at the second of two hosts comes first there.
            Of::Direction(number) => evidence.outcome.directions.get(if is_second { 1 - number } else { *number }),
            Of::Named(name) => evidence.outcome.directions.iter().find(|direction| direction.spec.name == *name),
            Of::All => None,
        };
        let measured = measure(expectation, direction.map(|direction| direction.spec.name.as_str()), summary);
        let Judged { text, held, measured } = expectation.judge(measured);
        summary.expectations.push(summary::Expectation { text, held, measured });
    }
}

fn measure(expectation: &Expectation, direction: Option<&str>, summary: &Summary) -> Option<Measured> {
    let measured = || direction.and_then(|name| summary.directions.get(name)).map(|direction| &direction.measured);
    match expectation.figure {
        Figure::Loss => {
            let measured = measured()?;
            Measured::share(measured.packets - measured.forwarded, measured.packets)
        }
        Figure::Arrived => Some(Measured::count(measured()?.packets)),
        Figure::Out => Some(Measured::count(summary.conservation.by_direction.get(direction?)?.out)),
        Figure::Reordered => share(measured()?.reordered.as_ref()?),
        Figure::Delay => time(measured()?.one_way_delay_ms.as_ref()?, expectation.statistic, 1e6),
        Figure::Lateness => time(&measured()?.lateness_us, expectation.statistic, 1e3),
        Figure::Delivery => {
            let commands = summary.commands.as_ref()?;
            match &expectation.of {
                Of::Named(peer) => share(&commands.peers.get(peer)?.delivery_ratio),
                _ => share(&commands.total.delivery_ratio),
            }
        }
        Figure::Exit => {
            let Of::Named(name) = &expectation.of else { return None };
            let code = summary.programs.iter().find(|program| program.name == *name)?.exit_code?;
            u64::try_from(code).ok().map(Measured::count)
        }
        Figure::E2e => time(&summary.webrtc.as_ref()?.end_to_end_ms, expectation.statistic, 1e6),
        Figure::Slip => time(&summary.webrtc.as_ref()?.slip_ms, expectation.statistic, 1e6),
        Figure::Connected => share(summary.webrtc.as_ref()?.connected.as_ref()?),
        Figure::Received => share(summary.webrtc.as_ref()?.received_of_expected.as_ref()?),
        // Of two captures.
        Figure::Matched => None,
    }
}

fn share(proportion: &Proportion) -> Option<Measured> {
    Measured::share(proportion.count, proportion.of)
}

/// A figure of a distribution that is in units of so many nanoseconds.
fn time(of: &Distribution, statistic: Statistic, unit: f64) -> Option<Measured> {
    let found = match statistic {
        Statistic::Min => of.min,
        Statistic::Mean => of.mean,
        Statistic::P50 => of.p50,
        Statistic::P90 => None,
        Statistic::P95 => of.p95,
        Statistic::P99 => of.p99,
        Statistic::P999 => of.p999,
        Statistic::Max => of.max,
    };
    found.map(|found| Measured::time(found * unit, statistic))
}
