//! What an engine that holds packets in an `fq` can come to, and where the time of ours goes.

use std::fmt::Write as _;

use super::{line_rate::grouped, page::ratio, results::Run};

/// The contender that is an `fq` alone. It is no engine: it decides nothing.
pub(super) const FLOOR: &str = "fq";
/// Nothing, and the same with an XDP program where packets arrive.
const XDP: (&str, &str) = ("nothing", "nothing, xdp");
const SETTING: &str = "delay 20 ms";
const NETEM: &str = "netem";
/// The engine, and the same without records.
const ENGINE: (&str, &str) = ("edt", "edt+records=off");
/// Programs that a packet meets on its way, as the measuring program calls what they take, and where.
const PROGRAMS: [(&str, &str); 5] = [
    ("divert_forward_ns", "`divert_forward`, at the interface, twice"),
    ("link_ns", "`link`, behind the first crossing: parser and decision"),
    ("turn_round_ns", "`turn_round`, there"),
    ("schedule_ns", "`schedule`, in front of `fq`"),
    ("released_ns", "`released`, behind the second crossing"),
];

/// Whether a contender is one of our engines.
pub(super) fn is_engine(contender: &str) -> bool {
    contender != FLOOR && ![XDP.0, NETEM].iter().any(|begin| contender.starts_with(begin))
}

/// The section of a run in which both were there.
pub(super) fn section(out: &mut String, run: &Run) {
    let figure = |contender: &str, name: &str| run.figure(SETTING, contender, name);
    let costs = (figure(FLOOR, "cpu_ns"), figure(ENGINE.0, "cpu_ns"), figure(ENGINE.1, "cpu_ns"));
    let (Some(floor), Some(whole), Some(unrecorded)) = costs else { return };
    let netem = figure(NETEM, "cpu_ns");
    let time = |nanos: f64| match netem {
        Some(netem) if run.emulated => ratio_of(nanos / netem),
        _ if run.emulated => "-".into(),
        _ => format!("{} ns", grouped(nanos)),
    };
    out.push_str("\n### What `fq` alone comes to, and where `edt` spends its time\n\n");
    if let (Some(ours), Some(theirs)) = (figure(FLOOR, "pps"), figure(NETEM, "pps")) {
        let _ = write!(
            out,
            "Of netem's packets a second `fq` alone delivers {} in this run: an engine that holds packets in an `fq` adds to what \
             that takes. ",
            ratio(ours / theirs)
        );
    }
    let note = if run.emulated { ", as a ratio to netem's in this run" } else { "" };
    let _ = write!(
        out,
        "Processor time a packet{note}; that of programs as the kernel counts it in one more flood, of the engine without \
         records, what the counting takes included.\n\n| part | processor time |\n| --- | --- |\n"
    );
    let mut row = |what: &str, nanos: f64| {
        let _ = writeln!(out, "| {what} | {} |", time(nanos));
    };
    row("`fq` alone: sending, `fq`, the cable", floor);
    let mut programs = 0.0;
    for (name, what) in PROGRAMS {
        if let Some(nanos) = figure(ENGINE.1, name) {
            row(what, nanos);
            programs += nanos;
        }
    }
    let by_xdp = figure(XDP.1, "cpu_ns").zip(figure(XDP.0, "cpu_ns")).map(|(with, without)| with - without);
    if let Some(by_xdp) = by_xdp {
        row("that the first crossing ends in XDP, by what it adds to nothing", by_xdp);
    }
    let left = unrecorded - floor - programs - by_xdp.unwrap_or(0.0);
    row("what is left of the engine without records: two crossings of the pair, and four redirects", left);
    row("records, releases, and their replay", whole - unrecorded);
    row("`edt` as a whole", whole);
}

/// A ratio that may be none, where two figures of one run differ by chance.
fn ratio_of(value: f64) -> String {
    if value < 0.0 { format!("-{}", ratio(-value)) } else { ratio(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        let mut run = Run { emulated: true, ..Run::default() };
        for line in [
            r#"SHAPER-COMPARE {"setting":"delay 20 ms","contender":"nothing","figures":{"cpu_ns":200.0}}"#,
            r#"SHAPER-COMPARE {"setting":"delay 20 ms","contender":"nothing, xdp","figures":{"cpu_ns":400.0}}"#,
            r#"SHAPER-COMPARE {"setting":"delay 20 ms","contender":"netem","figures":{"pps":10000.0,"cpu_ns":1000.0}}"#,
            r#"SHAPER-COMPARE {"setting":"delay 20 ms","contender":"fq","figures":{"pps":9000.0,"cpu_ns":1100.0}}"#,
            r#"SHAPER-COMPARE {"setting":"delay 20 ms","contender":"edt","figures":{"pps":3000.0,"cpu_ns":4000.0}}"#,
            r#"SHAPER-COMPARE {"setting":"delay 20 ms","contender":"edt+records=off","figures":{"pps":4000.0,"cpu_ns":3000.0,"link_ns":500.0,"released_ns":100.0}}"#,
        ] {
            assert!(run.line(line), "{line}");
        }
        run
    }

    #[test]
    fn the_parts_of_a_packets_time_sum_up_to_it() {
        let mut out = String::new();
        section(&mut out, &run());
        assert!(out.contains("`fq` alone delivers 0.90 in this run"), "{out}");
        let cells = out.lines().filter(|line| line.starts_with("| ")).filter_map(|line| line.split(" | ").nth(1));
        let values: Vec<f64> = cells.filter_map(|cell| cell.trim_end_matches(" |").parse().ok()).collect();
        assert_eq!(values, [1.1, 0.5, 0.1, 0.2, 1.1, 1.0, 4.0], "{out}");
    }

    #[test]
    fn an_engine_is_what_is_neither_netem_nor_fq_nor_nothing() {
        let all = ["nothing", "nothing, xdp", "netem", "netem, u32", "fq", "xsk", "edt+records=off"];
        assert_eq!(all.map(is_engine), [false, false, false, false, false, true, true]);
    }

    #[test]
    fn there_is_no_section_where_one_of_them_is_missing() {
        let mut out = String::new();
        let mut run = run();
        run.rows.retain(|row| row.contender != FLOOR);
        section(&mut out, &run);
        assert_eq!(out, "");
    }
}
