//! What is said of a run before it begins.

use shaper_common::delay::Jitter;
use shaper_common::order::Order;
use shaper_common::units::Nanos;
use shaper_net::lab::Shape;
use shaper_profile::CompiledLink;
use shaper_profile::quantity::Duration;
use shaper_profile::shift::Stream;

use super::plan::Plan;
use super::workload::Workload;

/// What a link will do, a line for each direction, or for both where they are the same, and what its settings do to
/// themselves, and to a steady `stream`, a line each.
pub(crate) fn told(link: &CompiledLink, stream: Option<Stream>, shape: Shape) -> Vec<String> {
    let names = match shape {
        Shape::Pair => ["a to b", "b to a"],
        Shape::Star => ["each host to the switch", "back"],
    };
    told_of(link, stream, &names.map(str::to_owned), None)
}

/// The same of directions by their names, `at` interfaces.
fn told_of(link: &CompiledLink, stream: Option<Stream>, names: &[String; 2], at: Option<String>) -> Vec<String> {
    let at = at.map_or_else(String::new, |at| format!("{at}: "));
    let [there, back] = names;
    let [forward, backward] = [&link.a_to_b.expected, &link.b_to_a.expected].map(ToString::to_string);
    let mut lines = if forward == backward {
        vec![format!("{at}{there} and {back}: {forward}")]
    } else {
        vec![format!("{at}{there}: {forward}"), format!("{at}{back}: {backward}")]
    };
    lines.extend(link.told.iter().cloned());
    lines.extend(link.warnings(stream).into_iter().map(|warning| format!("note: {warning}")));
    lines
}

/// What a run will do, before anything is changed: its links, commands and captures; a line each.
///
/// # Errors
///
/// Links that cannot be compiled.
pub(crate) fn foretell_all(plan: &Plan) -> anyhow::Result<Vec<String>> {
    let mut lines = foretell(plan, &plan.compile()?);
    let place = plan.scene.at.as_ref().map_or_else(|| plan.host_names().join(", "), super::scene::At::told);
    lines.push(format!("at {place}, for {:#} at most, seed {}", plan.duration, plan.seed));
    match &plan.workload {
        Workload::Toast(toast) => lines.push(format!("toast: a controller and {} peers", toast.peers)),
        Workload::Probe(probe) => {
            let interval = Duration(Nanos(probe.interval_ns));
            lines.push(format!("probe: {} datagrams, one every {interval:#}", probe.packets));
        }
        Workload::WebRtc(webrtc) => {
            lines
                .push(format!("webrtc: {} clients behind {} access links, and a server", webrtc.clients, webrtc.links));
        }
        Workload::Commands => {}
    }
    for command in &plan.scene.commands {
        let on = command.on.as_ref().map_or_else(String::new, |on| format!(" on {on}"));
        let lasts = command.lasts.map_or_else(String::new, |lasts| format!(" for {lasts:#}"));
        let background = if command.background { ", in the background" } else { "" };
        let words = command.command.join(" ");
        lines.push(format!("{}: at {:#}{lasts}{on}{background}: {words}", command.name, command.at));
    }
    let points = plan.points();
    lines.push(match points.is_empty() {
        true => "nothing is captured".to_owned(),
        false => format!("captured at {}", points.join(", ")),
    });
    lines.extend(plan.scene.expect.iter().map(|expectation| format!("expected: {expectation}")));
    Ok(lines)
}

/// What the links of a run will do, and what the run cannot say; a line each.
pub(super) fn foretell(plan: &Plan, links: &[CompiledLink]) -> Vec<String> {
    // All are alike, but for the clean one of a server, which is the first.
    let Some(link) = links.last() else { return Vec::new() };
    let mut lines = match &plan.scene.at {
        None => told(link, plan.stream(), plan.lab().shape),
        Some(at) => told_of(link, None, &at.directions(), Some(at.told())),
    };
    let notes = no_shift(plan, link).into_iter().chain(no_grade(plan, links));
    lines.extend(notes.map(|note| format!("note: {note}")));
    lines
}

/// A kept order pushes packets back by what nobody can say beforehand, where no steady stream is sent.
fn no_shift(plan: &Plan, link: &CompiledLink) -> Option<String> {
    let pushes_back = [&link.a_to_b, &link.b_to_a].into_iter().any(|direction| {
        direction.channel.params.order == Order::Keep as u32
            && direction.channel.params.jitter_kind != Jitter::None as u32
    });
    (pushes_back && plan.stream().is_none()).then(|| {
        "order keep holds packets back behind slower ones, and by how much is not stated for this workload: its bursts, \
         answers and heartbeats are no steady stream. Delays are checked before that; what it added is shift_ms in \
         summary.json. For a shift stated beforehand and checked: shaper run probe"
            .to_owned()
    })
}

/// A run that will have too few commands for a grade.
fn no_grade(plan: &Plan, links: &[CompiledLink]) -> Option<String> {
    let Workload::Toast(toast) = &plan.workload else { return None };
    let takes = plan.grade_takes(toast, links)?;
    Some(format!("--duration {} is too short for a grade: {takes}", plan.duration))
}

#[cfg(test)]
mod tests {
    use shaper_profile::presets;
    use shaper_toast::plan::{COMMANDS_FOR_A_GRADE, commands_in};
    use shaper_toast::units::Nanos as Time;

    use super::*;
    use crate::run::plan::testing::plan;
    use crate::run::workload::{ProbePlan, ToastPlan};

    fn toast(peers: usize) -> Workload {
        Workload::Toast(ToastPlan { peers, ..ToastPlan::default() })
    }

    fn probe() -> Workload {
        Workload::Probe(ProbePlan { packets: 1_000, interval_ns: 1_000_000, payload: 172 })
    }

    fn notes(workload: Workload, link: &str) -> Vec<String> {
        let plan = plan(workload, link);
        let lines = foretell(&plan, &plan.compile().unwrap()).into_iter();
        lines.filter_map(|line| line.strip_prefix("note: ").map(str::to_owned)).collect()
    }

    #[test]
    fn what_the_way_back_does_to_itself_is_said_too() {
        for (direction, workload) in [("a_to_b", probe()), ("b_to_a", probe()), ("b_to_a", toast(1))] {
            let notes = notes(workload, &format!("[{direction}]\ndelay = \"5ms\"\njitter = \"10ms\""));
            assert!(matches!(&notes[..], [cut] if cut.starts_with("jitter 10 ms is cut at zero")), "{notes:?}");
        }
        // Once where both do it.
        assert_eq!(notes(probe(), "delay = \"5ms\"\njitter = \"10ms\"").len(), 1);
    }

    #[test]
    fn a_kept_order_is_foretold_or_it_is_said_that_it_is_not() {
        let dense = "delay = \"20ms\"\njitter = \"10ms\"\norder = \"keep\"";
        let told = notes(probe(), dense);
        assert!(matches!(&told[..], [shift] if shift.contains("in 9,999 of 10,000 runs")), "{told:?}");
        for link in [dense, "[b_to_a]\ndelay = \"20ms\"\njitter = \"10ms\"\norder = \"keep\""] {
            let told = notes(toast(1), link);
            assert!(matches!(&told[..], [none] if none.contains("is not stated for this workload")), "{told:?}");
        }
        assert_eq!(notes(toast(1), "delay = \"20ms\"\norder = \"keep\""), [""; 0]);
    }

    #[test]
    fn commands_of_every_preset_keep_apart_and_a_run_too_short_for_a_grade_says_what_it_takes() {
        let mut short = Vec::new();
        for (preset, peers) in presets::names().flat_map(|preset| [(preset, 1), (preset, 4)]) {
            let workload = ToastPlan { peers, ..ToastPlan::default() };
            let mut plan = plan(Workload::Toast(workload.clone()), preset);
            let links = plan.compile().unwrap();
            let spacing = plan.spacing(&workload, &links);
            let (hops, link) = (if peers == 1 { 1 } else { 2 }, &plan.profile.link.a_to_b);
            let largest = hops * (link.delay.0.0 + link.jitter.0.0);
            assert!(spacing.0 >= 2 * largest, "{preset}, {peers} peers: {spacing} for {largest} ns");
            let enough = |plan: &Plan, spacing| commands_in(Time(plan.duration.0.0), spacing) >= COMMANDS_FOR_A_GRADE;
            let told: Vec<String> = foretell(&plan, &links);
            let told = told.iter().find_map(|line| line.split_once("it takes --duration "));
            assert_eq!(told.is_none(), enough(&plan, spacing), "{preset}, {peers} peers: {told:?}");
            if let Some((_, takes)) = told {
                plan.duration = takes.parse().unwrap();
                assert!(enough(&plan, plan.spacing(&workload, &links)), "{preset}, {peers} peers: {takes}");
                assert!(plan.grade_takes(&workload, &links).is_none(), "{preset}, {peers} peers: {takes}");
                short.push((preset, peers, takes.to_owned()));
            }
        }
        let pairs: Vec<_> =
            short.iter().filter(|(_, peers, _)| *peers == 1).map(|(name, _, s)| (*name, &s[..])).collect();
        assert_eq!(pairs[..3], [("congested", "25s"), ("extreme", "50s"), ("mobile", "36s")]);
    }
}
