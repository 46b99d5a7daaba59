//! docs/netem-comparison.md.

use std::fmt::Write as _;

use super::{
    floor,
    line_rate::{self, grouped},
    results::{Results, Run},
    verdict::{self, Verdict},
};

/// What times of an emulated run are held against.
const BASE: (&str, &str) = ("delay 20 ms", "netem");
/// Medians of two that delay alike are no further apart, in microseconds.
const ALIKE: f64 = 500.0;

const HEAD: &str = "# netem beside us

Written by `cargo xtask compare-netem` with `--kernel` and `--write`, a section a kernel. On your own kernel:

```
cargo xtask compare-netem                       # prints this page for the kernel that runs
cargo xtask compare-netem --kernel 6.12         # Debian's, in qemu
cargo xtask compare-netem --kernel 6.12 --instructions -- --only 'delay 20 ms'
cargo xtask compare-netem -- --rules 1,256      # arguments of shaper-bench netem
```

**What is compared.** Two namespaces with a veth cable; what leaves the first is impaired by nothing, by netem, or by \
`shaper apply eth0 --egress …` with each engine, one after another, in the same run on the same kernel. An engine or qdisc \
that is not there is named with the reason. netem is set up by netlink, with a limit of a million packets (its default \
of 1,000 would be what is measured), and with rules as people do it: a `prio` qdisc, netem in its last band, and one \
filter a rule that leads there. `u32` filters are one behind the other, 4,095 in a priority, which is all that one \
holds without hash tables of the user's; `flower` filters share a mask. All of them lead to the same netem, while each of \
our rules has settings, state and draws of its own. Packets match the last rule. `fq` is no engine but the most that one \
could come to that holds packets in an `fq`: that qdisc at the interface, set as `edt` sets its own, and the sender itself \
says when each packet is to depart (`SO_TXTIME`, 20 ms ahead). It decides and records nothing, and takes super-packets as \
they are. `nothing, xdp` is nothing, with an XDP program at the far host that lets all in: one of the crossings of an \
engine's pair ends like that.

**How.** Datagrams with numbers, from a socket that is not connected. Both stamps are the kernel's, by the same clock: \
one where the packet enters the interface's queueing, before any qdisc or TC program (`SCM_TSTAMP_SCHED`), one where the \
other host takes it from the cable (`SO_TIMESTAMPNS`). Nothing is corrected for: the cable, and the kernel's way to it, \
are part of every delay, and the row of nothing says what they take. Of `fq` a packet counts as sent when its sender read the \
clock for its departure. The deviation is the measured one-way delay less the one asked for (of the bottleneck: less what a queue that serves one packet after another makes of the moments at which they came); \
distance is that of Kolmogorov and Smirnov, from the distribution asked for and, of netem, from what its own tables \
document as well. Seeds are fixed for ours; netem has none here. Packets a second: as many 64-byte frames as one thread can \
send by a packet socket, counted at the far interface; processor time is that of the whole host, whoever took it, the \
sender's included, by packet that arrived. Ours decides, records and replays each packet, as `shaper apply` does. Other work on the machine \
lengthens the tails of all and moves distances: figures are to be compared within a run, and a few per cent say nothing.
";

/// The whole page.
pub(super) fn of(results: &Results) -> String {
    let mut out = String::from(HEAD);
    for run in &results.runs {
        section(&mut out, run);
    }
    if !results.costs.is_empty() {
        let host = results.costs.first().map(|cost| cost.host.as_str()).unwrap_or_default();
        let _ = write!(
            out,
            "\n## Line rate\n\nWhether one processor keeps up with one direction of a full link, by the nanoseconds a packet that \
             the benchmarks measured natively ({host}; [benchmarks.md](benchmarks.md)); where it does not, the share of the \
             link that it takes. Sizes are those of Ethernet frames with their check sequence; 20 bytes more a frame are \
             preamble and gap. The decision alone is what is dropped or sent straight on costs before it is moved; the others are \
             the busiest thread of a whole link, on veth. Several processors take more only where a link has several \
             directions, ports or rules to divide. A number for real hardware needs the hardware: none was measured.\n\n"
        );
        out.push_str(&line_rate::table(&results.costs));
    }
    out
}

fn section(out: &mut String, run: &Run) {
    let kernel = &run.kernel;
    if run.counted {
        let _ = write!(
            out,
            "\n## Linux {kernel}, emulated, by instructions\n\n**Emulated in software** (qemu, TCG, `-icount`), one processor \
             whose clock goes by its instructions, {} datagrams of a delay, {} floods: what else the machine does changes \
             nothing, and the floods' ratios are those of instructions a packet. Instructions are not time: what waits for \
             memory, or for another processor, does not show.\n",
            run.probes, run.repeats
        );
    } else if run.emulated {
        let _ = write!(
            out,
            "\n## Linux {kernel}, emulated\n\n**Emulated in software** (qemu, TCG), {} processors in one thread, \
             {} datagrams of a delay, {} floods: times and rates are quoted as ratios only, to netem's in the same run. \
             They say who is better on that kernel, not how fast it is.\n",
            run.processors, run.probes, run.repeats
        );
    } else {
        let _ = write!(
            out,
            "\n## Linux {kernel}\n\n{}, {} processors, {} datagrams of a delay, {} floods; load average {} before.\n",
            run.processor, run.processors, run.probes, run.repeats, run.load
        );
    }
    if !run.whole {
        out.push_str("\n**This run did not come to its end: what is missing was not measured.**\n");
    }
    missing(out, run);
    delays(out, run);
    distributions(out, run);
    losses(out, run);
    floods(out, run);
    floor::section(out, run);
    verdicts(out, run);
}

/// Who is not there, and why.
fn missing(out: &mut String, run: &Run) {
    let mut told: Vec<(&str, &str, Vec<&str>)> = Vec::new();
    for row in &run.rows {
        let Some(reason) = row.reason.as_deref() else { continue };
        match told.iter_mut().find(|(contender, why, _)| *contender == row.contender && *why == reason) {
            Some((.., settings)) => settings.push(&row.setting),
            None => told.push((&row.contender, reason, vec![&row.setting])),
        }
    }
    if !told.is_empty() {
        out.push('\n');
    }
    for (contender, reason, settings) in told {
        let all = settings.len() == run.rows.iter().filter(|row| row.contender == contender).count();
        let which = if all { String::new() } else { format!(" ({})", settings.join("; ")) };
        let _ = writeln!(out, "- **{contender}**{which}: {reason}");
    }
}

/// Whether a setting is a number of rules.
fn has_rules(setting: &str) -> bool {
    setting.ends_with(" rule") || setting.ends_with(" rules")
}

/// A time in microseconds: as it is, or in a run that is emulated as a ratio to netem's.
fn time(run: &Run, setting: &str, contender: &str, name: &str) -> String {
    let Some(value) = run.figure(setting, contender, name) else { return "-".into() };
    if !run.emulated {
        return format!("{} us", number(value));
    }
    match run.figure(setting, BASE.1, name) {
        Some(base) if base != 0.0 => ratio(value.abs() / base.abs()),
        _ => "-".into(),
    }
}

/// A ratio, with more digits where it is small.
pub(super) fn ratio(value: f64) -> String {
    match value {
        value if value >= 0.095 => format!("{value:.2}"),
        value if value >= 0.0095 => format!("{value:.3}"),
        value => format!("{value:.4}"),
    }
}

fn number(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// The head of a table with a column for each of these.
fn head(out: &mut String, first: &[&str], contenders: &[&str]) {
    let columns: Vec<&str> = first.iter().chain(contenders).copied().collect();
    let _ = write!(out, "| {} |\n|{}\n", columns.join(" | "), " --- |".repeat(columns.len()));
}

fn delays(out: &mut String, run: &Run) {
    let wanted = |name: &str| name == BASE.0 || name.starts_with("rate");
    let contenders = run.contenders(wanted);
    out.push_str("\n### Deviation from the delay asked for\n\n");
    if run.emulated {
        out.push_str("As a ratio to netem's in this run: below 1 is nearer to what was asked.\n\n");
    }
    head(out, &["setting", "figure"], &contenders);
    for setting in run.settings().into_iter().filter(|name| wanted(name)) {
        for (name, what) in [("median_us", "median"), ("p99_us", "99th percentile")] {
            let _ = write!(out, "| {setting} | {what} |");
            for contender in &contenders {
                let _ = write!(out, " {} |", time(run, setting, contender, name));
            }
            out.push('\n');
        }
        if contenders.iter().any(|one| run.figure(setting, one, "rate").is_some()) {
            let _ = write!(out, "| {setting} | rate, of that asked for |");
            for contender in &contenders {
                let rate = run.figure(setting, contender, "rate");
                let _ = write!(out, " {} |", rate.map_or_else(|| "-".into(), |rate| format!("{:.2} %", 100.0 * rate)));
            }
            out.push('\n');
        }
    }
    let netem = run.figure(BASE.0, BASE.1, "median_us");
    for contender in contenders.iter().filter(|name| floor::is_engine(name)) {
        if let (Some(ours), Some(theirs)) = (run.figure(BASE.0, contender, "median_us"), netem) {
            let alike = (ours - theirs).abs() < ALIKE;
            let word = if alike { "yes" } else { "**no**" };
            let _ = write!(out, "\nMedians of `{contender}` and netem less than 0.5 ms apart: {word}.\n");
        }
    }
}

fn distributions(out: &mut String, run: &Run) {
    let wanted = |name: &str| name.contains("jitter");
    let contenders = run.contenders(wanted);
    if contenders.is_empty() {
        return;
    }
    out.push_str("\n### Distance from the distribution asked for\n\nBy chance alone a sample is as far off as the third column says, or farther, once in twenty.\n\n");
    head(out, &["setting", "by chance", "netem, from its own table"], &contenders);
    for setting in run.settings().into_iter().filter(|name| wanted(name)) {
        let share = |contender: &str, name: &str| {
            run.figure(setting, contender, name).map_or_else(|| "-".into(), |value| format!("{value:.3}"))
        };
        let chance = contenders.iter().find_map(|one| run.figure(setting, one, "ks_chance"));
        let chance = chance.map_or_else(|| "-".into(), |value| format!("{value:.3}"));
        let _ = write!(out, "| {setting} | {chance} | {} |", share(BASE.1, "ks_own"));
        for contender in &contenders {
            let _ = write!(out, " {} |", share(contender, "ks"));
        }
        out.push('\n');
    }
}

fn losses(out: &mut String, run: &Run) {
    let wanted = |name: &str| name.starts_with("loss");
    let contenders = run.contenders(wanted);
    if contenders.is_empty() {
        return;
    }
    out.push_str("\n### Loss\n\nWith its 95 % interval, and lost in a row in the mean.\n\n");
    head(out, &["setting", "asked for"], &contenders);
    for setting in run.settings().into_iter().filter(|name| wanted(name)) {
        let figure = |contender: &str, name: &str| run.figure(setting, contender, name);
        let asked = contenders.iter().find_map(|one| {
            let (loss, burst) = (figure(one, "loss_asked")?, figure(one, "burst_asked")?);
            Some(format!("{:.2} %, {burst:.2}", 100.0 * loss))
        });
        let _ = write!(out, "| {setting} | {} |", asked.unwrap_or_else(|| "-".into()));
        for contender in &contenders {
            let cell = || {
                let percent = |name| Some(100.0 * figure(contender, name)?);
                let (loss, low, high) = (percent("loss")?, percent("loss_low")?, percent("loss_high")?);
                Some(format!("{loss:.2} % ({low:.2} to {high:.2}), {:.2}", figure(contender, "burst")?))
            };
            let _ = write!(out, " {} |", cell().unwrap_or_else(|| "-".into()));
        }
        out.push('\n');
    }
}

fn floods(out: &mut String, run: &Run) {
    let wanted = |name: &str| name == BASE.0 || has_rules(name);
    let contenders = run.contenders(wanted);
    let settings: Vec<&str> = run.settings().into_iter().filter(|name| wanted(name)).collect();
    let note = if run.emulated { ", as a ratio to netem without filters in this run" } else { "" };
    let table = |out: &mut String, title: &str, cell: &dyn Fn(&str, &str) -> Option<String>| {
        let mut rows = String::new();
        for setting in &settings {
            let cells: Vec<_> = contenders.iter().map(|contender| cell(setting, contender)).collect();
            if cells.iter().any(Option::is_some) {
                let cells: Vec<_> = cells.into_iter().map(|cell| cell.unwrap_or_else(|| "-".into())).collect();
                let _ = writeln!(rows, "| {setting} | {} |", cells.join(" | "));
            }
        }
        if !rows.is_empty() {
            let _ = write!(out, "\n### {title}\n\n");
            head(out, &["setting"], &contenders);
            out.push_str(&rows);
        }
    };
    let against = |name: &'static str, unit: &'static str| {
        move |setting: &str, contender: &str| {
            let value = run.figure(setting, contender, name)?;
            if run.emulated {
                let base = run.figure(BASE.0, BASE.1, name)?;
                return Some(ratio(value / base));
            }
            Some(format!("{}{unit}", grouped(value)))
        }
    };
    table(out, &format!("Packets a second, flat out{note}"), &against("pps", ""));
    table(out, &format!("Processor time a packet{note}"), &against("cpu_ns", " ns"));
    table(out, "Lost of what was offered flat out", &|setting, contender| {
        Some(format!("{:.1} %", 100.0 * run.figure(setting, contender, "flood_lost")?.max(0.0)))
    });
    table(out, "Lost at 80 % of what came flat out, of so many", &|setting, contender| {
        let [lost, sent] = ["ease_lost", "ease_sent"].map(|name| run.figure(setting, contender, name));
        Some(format!("{} of {}", grouped(lost?), grouped(sent?)))
    });
    table(
        out,
        &format!(
            "Seconds until it was set up{}",
            if run.emulated { ", as a ratio to the most rules by u32" } else { "" }
        ),
        &|setting, contender| {
            let seconds = run.figure(setting, contender, "setup_s").filter(|_| has_rules(setting))?;
            if run.emulated {
                let (most, filters) = (settings.last()?, "netem, u32");
                return Some(ratio(seconds / run.figure(most, filters, "setup_s")?));
            }
            Some(format!("{seconds:.2}"))
        },
    );
    for contender in &contenders {
        let pps = |setting: &str| run.figure(setting, contender, "pps");
        let rules: Vec<f64> = settings.iter().filter(|name| has_rules(name)).filter_map(|one| pps(one)).collect();
        if let [one, .., most] = rules[..] {
            let _ = write!(
                out,
                "\n`{contender}` delivers with the most rules {} of what it delivers with the fewest.\n",
                ratio(most / one)
            );
        }
    }
}

fn verdicts(out: &mut String, run: &Run) {
    let all = verdict::all(run);
    if all.is_empty() {
        out.push_str("\n### Won and lost\n\nNothing to compare: netem or our engines are not there.\n");
        return;
    }
    out.push_str("\n### Won and lost\n\nAgainst netem in this run, by either kind of filter where there are rules; within a tenth is neither.\n\n");
    let line = |out: &mut String, one: &Verdict| {
        let (word, ratio) = if one.ratio >= 1.0 { ("better", one.ratio) } else { ("worse", 1.0 / one.ratio) };
        let _ = writeln!(
            out,
            "- `{}`, {}: {} {} {word} than {}",
            one.engine,
            one.setting,
            one.what,
            times(ratio),
            one.netem
        );
    };
    let (won, rest): (Vec<Verdict>, Vec<Verdict>) = all.into_iter().partition(Verdict::is_better);
    let (lost, even): (Vec<Verdict>, Vec<Verdict>) = rest.into_iter().partition(Verdict::is_worse);
    for (title, group) in [("Won", won), ("Lost", lost)] {
        let _ = write!(out, "**{title}** ({})\n\n", group.len());
        group.iter().for_each(|one| line(out, one));
        out.push('\n');
    }
    let names: Vec<String> = even.iter().map(|one| format!("{}, {} ({})", one.setting, one.what, one.engine)).collect();
    let _ = writeln!(
        out,
        "**Neither** ({}): {}",
        names.len(),
        if names.is_empty() { "none".into() } else { names.join("; ") }
    );
}

fn times(ratio: f64) -> String {
    if ratio >= 100.0 { format!("{} times", grouped(ratio)) } else { format!("{ratio:.2} times") }
}

#[cfg(test)]
mod tests {
    use super::super::results::{Cost, tests::run};
    use super::*;

    #[test]
    fn an_emulated_run_is_labelled_and_has_no_times_but_ratios() {
        let page = of(&Results { runs: vec![run()], costs: Vec::new() });
        assert!(page.contains("## Linux 6.12, emulated"));
        assert!(page.contains("| delay 20 ms | median | 1.00 | 0.50 | - |"), "{page}");
        assert!(page.contains("| delay 20 ms | 1.00 | 0.50 | - | - |"), "{page}");
        assert!(!page.contains(" us |") && !page.contains("10,000"), "{page}");
        assert!(page.contains("- **edt**: this kernel has no fq"), "{page}");
    }

    #[test]
    fn a_run_whose_clock_went_by_instructions_says_so() {
        let page = of(&Results { runs: vec![Run { counted: true, ..run() }], costs: Vec::new() });
        assert!(page.contains("## Linux 6.12, emulated, by instructions"), "{page}");
        assert!(page.contains("| delay 20 ms | 1.00 | 0.50 | - | - |"), "{page}");
    }

    #[test]
    fn what_is_lost_stands_beside_what_is_won() {
        let page = of(&Results { runs: vec![run()], costs: Vec::new() });
        assert!(page.contains("- `xsk`, delay 20 ms: median deviation 2.00 times better than netem"), "{page}");
        assert!(page.contains("- `xsk`, delay 20 ms: packets a second 2.00 times worse than netem"), "{page}");
    }

    #[test]
    fn a_native_run_has_its_times() {
        let page = of(&Results { runs: vec![Run { emulated: false, ..run() }], costs: Vec::new() });
        assert!(page.contains("| delay 20 ms | median | 100 us | 50.0 us | - |"), "{page}");
        assert!(page.contains("10,000"), "{page}");
    }

    #[test]
    fn line_rates_stand_where_costs_were_measured() {
        let cost = Cost { what: "decision".into(), nanos: 88.0, host: "Linux 6.18, X".into() };
        let page = of(&Results { runs: Vec::new(), costs: vec![cost] });
        assert!(page.contains("## Line rate") && page.contains("natively (Linux 6.18, X;"), "{page}");
        assert!(!of(&Results::default()).contains("## Line rate"));
    }
}
