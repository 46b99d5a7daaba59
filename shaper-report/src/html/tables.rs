//! The tables of the page.

use maud::{Markup, html};

use super::class;
use crate::agreement::Agreement;
use crate::link_rows::{delay_expected, link_rows};
use crate::stats::Distribution;
use crate::summary::{CommandCounts, Summary};
use crate::text;
use crate::words;

pub(super) fn findings(summary: &Summary) -> Markup {
    html! {
        section aria-label="Findings" {
            @if summary.findings.is_empty() { p { "No findings." } } @else {
                ul.findings {
                    @for finding in &summary.findings {
                        li class=(finding.severity.name()) {
                            b { (finding.severity.name()) } " " span { (finding.text) }
                        }
                    }
                }
            }
            @if !summary.expectations.is_empty() {
                div.scroll { table {
                    caption { "Expectations" }
                    thead { tr { th { "expected" } th { "measured" } th { "result" } } }
                    tbody {
                        @for expectation in &summary.expectations {
                            tr {
                                td { (expectation.text) }
                                td { (expectation.measured) }
                                @if expectation.held { td."agrees yes" { "held" } } @else { td."agrees no" { "failed" } }
                            }
                        }
                    }
                } }
            }
            @if let Some(grade) = &summary.grade { p { b { "Grade " } (text::grade_line(grade)) } }
        }
    }
}

pub(super) fn links(summary: &Summary) -> Markup {
    html! {
        @if !summary.directions.is_empty() {
            section {
                h2 { "The link: asked for and measured" }
                @for (name, direction) in &summary.directions {
                    div.scroll { table.link {
                        caption {
                            (words::spaced(name)) ": " (words::count(direction.measured.packets)) " packets, agrees: "
                            span class=(class(direction.agree.result)) { (direction.agree.result.name()) }
                        }
                        thead { tr {
                            th { "figure" } th { "asked for" } th { "measured (95 % interval)" } th { "agrees" }
                            th { "why" }
                        } }
                        tbody {
                            @for row in link_rows(direction) {
                                tr {
                                    th scope="row" { (row.what.trim()) }
                                    td.asked {
                                        (row.asked)
                                        @if row.what == "intended delay" {
                                            @if let Some(expected) = delay_expected(&direction.configured) {
                                                br; span.soft { (expected) }
                                            }
                                        }
                                    }
                                    td.figures { (row.measured) }
                                    @match row.agreement {
                                        Some(agreement) => td class={ "agrees " (class(agreement)) } {
                                            (agreement.name())
                                        },
                                        None => td.unchecked { "not checked" },
                                    }
                                    td.detail { (row.detail) }
                                }
                            }
                        }
                    } }
                }
                @if let Some(direction) = summary.directions.values().next() {
                    p.soft {
                        "A link as configured would be refuted by any of the run's " (direction.agree.family_size)
                        " statistical checks once in " (words::count((1.0 / direction.agree.family_wise_error) as u64))
                        " runs. \"" (Agreement::TooFew.name()) "\" is neither yes nor no: the interval is wider than the "
                        "tolerance."
                    }
                }
            }
        }
    }
}

fn command_cells(counts: &CommandCounts) -> Markup {
    let ratio = &counts.delivery_ratio;
    html! {
        @for value in [
            counts.intended, counts.delivered, counts.applied_once, counts.repeated, counts.superseded, counts.missed,
            counts.out_of_order, counts.self_heard, counts.foreign,
        ] {
            td.number { (words::count(value)) }
        }
        td { (ratio.ratio.map_or_else(|| "-".to_owned(), |value| words::percent_with_interval(value, ratio))) }
    }
}

fn times_row(name: &str, times: &Distribution) -> Markup {
    html! {
        tr {
            th scope="row" { (name) }
            @for value in [times.p50, times.p95, times.p99, times.max] {
                td.number { (words::percentile(times, value)) }
            }
            td.number { (words::count(times.n)) }
            td { (words::missing(times)) }
        }
    }
}

pub(super) fn application(summary: &Summary) -> Markup {
    let times = [
        ("response time", summary.response_time_ms.as_ref()),
        ("response time, lost ones too", summary.response_time_all_ms.as_ref()),
        ("time to state", summary.time_to_state_ms.as_ref()),
        ("time to state, lost ones too", summary.time_to_state_all_ms.as_ref()),
        ("spread, first to last peer", summary.spread_ms.as_ref().map(|spread| &spread.distribution)),
        ("slip of the send schedule", summary.schedule.as_ref().map(|schedule| &schedule.slip_ms)),
    ];
    html! {
        @if summary.commands.is_some() || times.iter().any(|(_, times)| times.is_some()) {
            section {
                h2 { "The application" }
                @if let Some(commands) = &summary.commands {
                    div.scroll { table.figures {
                        caption { "Commands, from the receivers' own logs" }
                        thead { tr {
                            th { "peer" }
                            @for head in [
                                "intended", "delivered", "applied once", "repeated", "superseded", "missed",
                                "out of order", "own heard", "foreign",
                            ] { th.number { (head) } }
                            th { "delivered in % (95 %)" }
                        } }
                        tbody {
                            tr { th scope="row" { "all" } (command_cells(&commands.total)) }
                            @if commands.peers.len() > 1 {
                                @for (name, counts) in &commands.peers {
                                    tr { th scope="row" { (name) } (command_cells(counts)) }
                                }
                            }
                        }
                    } }
                }
                @if times.iter().any(|(_, times)| times.is_some()) {
                    div.scroll { table.figures {
                        caption { "Times in ms" }
                        thead { tr {
                            th { "time" }
                            @for head in ["p50", "p95", "p99", "max", "n"] { th.number { (head) } }
                            th { "missing" }
                        } }
                        tbody { @for (name, times) in times { @if let Some(times) = times { (times_row(name, times)) } } }
                    } }
                }
                @for convergence in &summary.convergence { p { b { "Convergence " } (text::convergence_line(convergence)) } }
                (clocks(summary))
                @if let Some(split) = &summary.latency_split {
                    div.scroll { table.figures {
                        caption { "Where the latency went, in ms" }
                        thead { tr { th { "stage" } th.number { "p50" } th.number { "p99" } th.number { "n" } } }
                        tbody {
                            @for stage in split.stages.iter().chain([&split.total]) {
                                tr {
                                    th scope="row" { (words::spaced(&stage.stage)) }
                                    td.number { (words::figure_or_dash(stage.p50_ms)) }
                                    td.number { (words::figure_or_dash(stage.p99_ms)) }
                                    td.number { (words::count(stage.n)) }
                                }
                            }
                        }
                    } }
                }
            }
        }
    }
}

fn clocks(summary: &Summary) -> Markup {
    html! {
        @if !summary.clock.is_empty() {
            div.scroll { table.figures {
                caption { "Clocks against the controller's" }
                thead { tr {
                    th { "peer" }
                    @for head in [
                        "offset in us", "injected", "error", "bound +-", "skew in ppm", "injected", "position drift in ppm",
                    ] { th.number { (head) } }
                } }
                tbody {
                    @for (peer, clock) in &summary.clock {
                        tr {
                            th scope="row" { (peer) }
                            @for value in [
                                clock.offset_estimated_us, clock.offset_injected_us, clock.offset_error_us,
                                clock.offset_bound_us, clock.skew_estimated_ppm, clock.skew_injected_ppm,
                                summary.position_drift_ppm.get(peer).copied().flatten(),
                            ] { td.number { (words::figure_or_dash(value)) } }
                        }
                    }
                }
            } }
        }
    }
}

pub(super) fn evidence(summary: &Summary) -> Markup {
    html! {
        section {
            h2 { "What proves it" }
            p { b { "Oracle " } (text::oracle(summary)) }
            p { b { "Conservation " } (text::conservation(&summary.conservation, summary.bypassed)) }
            @if let Some(schedule) = &summary.schedule {
                p {
                    b { "Send schedule " }
                    @if schedule.kept { "kept" } @else { span.no { "not kept" } }
                    ": " (words::count(schedule.late_count)) " sends later than " (words::shortest(schedule.bound_ms)) " ms"
                }
            }
            @if let Some(join) = &summary.join {
                p {
                    b { "Join " }
                    (words::count(join.joined)) " packets in both captures and the records, " (words::count(join.ambiguous))
                    " ambiguous, " (words::count(join.not_in_a)) " not in a, " (words::count(join.not_in_b))
                    " not in b, " (words::count(join.contradictions)) " contradictions"
                }
            }
            @if !summary.captures.is_empty() {
                div.scroll { table.figures {
                    caption { "Captures; what a capture dropped is not lost by the network" }
                    thead { tr {
                        th { "at" } th.number { "received" } th.number { "dropped" } th.number { "written" }
                    } }
                    tbody {
                        @for (name, capture) in &summary.captures {
                            tr {
                                th scope="row" { (name) }
                                td.number { (words::count(capture.received)) }
                                td.number { (words::count(capture.dropped)) }
                                td.number { (words::count(capture.written)) }
                            }
                        }
                    }
                } }
            }
            (lateness(summary))
        }
    }
}

fn lateness(summary: &Summary) -> Markup {
    let row = |name: &str, late: &Distribution| {
        html! {
            tr {
                th scope="row" { (name) }
                @for value in [late.p50, late.p99, late.p999, late.max] {
                    td.number { (words::figure_or_dash(value)) }
                }
                td.number { (words::count(late.n)) }
            }
        }
    };
    html! {
        @if !summary.lateness.delay_line_us.is_empty() {
            div.scroll { table.figures {
                caption { "Lateness in us, beside this host's own timer" }
                thead { tr {
                    th { "of" }
                    @for head in ["p50", "p99", "p99.9", "max", "n"] { th.number { (head) } }
                } }
                tbody {
                    @for (name, late) in &summary.lateness.delay_line_us { (row(&words::spaced(name), late)) }
                    @if let Some(host) = &summary.lateness.host_idle_timer_us { (row("this host's idle timer", host)) }
                }
            } }
        }
    }
}
