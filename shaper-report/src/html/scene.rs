//! Commands of a scenario, and its time from change to change.

use maud::{Markup, html};

use crate::summary::Summary;
use crate::text::{packets_of_a_phase, program_ended};
use crate::words;

/// Both tables, where there are any.
pub(super) fn scene(summary: &Summary) -> Markup {
    let ms = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
    html! {
        @if !summary.phases.is_empty() {
            section { h2 { "From change to change" } div.scroll { table {
                thead { tr {
                    th { "from ms" } th { "to ms" } th { "direction" } th { (packets_of_a_phase(summary)) }
                    th { "dropped in %" }
                    th { "delay p50 ms" } th { "p99" } th { "max" }
                } }
                tbody {
                    @for phase in &summary.phases {
                        @for (name, direction) in &phase.directions {
                            tr {
                                td { (ms(Some(phase.start_ms))) }
                                td { (ms(phase.end_ms)) }
                                td { (words::spaced(name)) }
                                td { (words::count(direction.packets)) }
                                td { (ms(direction.loss.ratio.map(|ratio| ratio * 100.0))) }
                                td { (ms(direction.delay_ms.p50)) }
                                td { (ms(direction.delay_ms.p99)) }
                                td { (ms(direction.delay_ms.max)) }
                            }
                        }
                    }
                }
            } } }
        }
        @if !summary.programs.is_empty() {
            section { h2 { "Commands run" } div.scroll { table {
                thead { tr {
                    th { "name" } th { "command" } th { "on" } th { "from ms" } th { "to ms" } th { "ended" }
                    th { "output" }
                } }
                tbody {
                    @for program in &summary.programs {
                        tr {
                            td { (program.name) }
                            td { code { (program.command.join(" ")) } }
                            td { (program.on.as_deref().unwrap_or("-")) }
                            td { (ms(program.started_ms)) }
                            td { (ms(program.ended_ms)) }
                            td { (program_ended(program)) }
                            td { (program.stdout.as_deref().unwrap_or("-")) }
                        }
                    }
                }
            } } }
        }
    }
}
