//! A direction of the link, figure by figure: asked for, measured, agreed. Both renderings show these.

use crate::agreement::{Agreement, Check};
use crate::stats::Distribution;
use crate::summary::{Configured, Direction};
use crate::words;

/// One figure of a direction.
pub(crate) struct LinkRow {
    pub(crate) what: String,
    pub(crate) asked: String,
    pub(crate) measured: String,
    /// `None` for a figure that is shown and not checked.
    pub(crate) agreement: Option<Agreement>,
    /// What the check says of itself.
    pub(crate) detail: String,
    /// With too few packets: how many would do, about.
    pub(crate) needed: Option<u64>,
}

/// The figures of a direction, in the order of the pipeline.
pub(crate) fn link_rows(direction: &Direction) -> Vec<LinkRow> {
    let (configured, measured) = (&direction.configured, &direction.measured);
    let mut checks: Vec<Option<&Check>> = direction.agree.checks.iter().map(Some).collect();
    let mut take = |name: &str| {
        checks.iter_mut().find(|check| check.is_some_and(|check| check.name == name)).and_then(Option::take)
    };
    let mut rows = Vec::new();
    if !configured.outage_windows.is_empty() || measured.outage.count > 0 {
        let asked = outages_asked(configured);
        rows.push(row(
            "outage",
            asked,
            format!("{} packets dropped", words::count(measured.outage.count)),
            take("outage"),
        ));
    } else {
        // Nothing to show unless something is wrong.
        rows.extend(take("outage").filter(|check| check.result == Agreement::No).map(plain));
    }
    rows.push(row("loss", words::percent(configured.loss_ratio), words::proportion(&measured.loss), take("loss")));
    if let Some(asked) = configured.loss_burst {
        let asked = format!("{} packets in the mean", words::figure(asked));
        rows.push(row("  in bursts of", asked, words::figure_or_dash(measured.loss_burst), None));
    }
    if let Some(rate) = configured.rate_bps {
        let queue = configured.queue_ms.map_or_else(String::new, |ms| format!(", queue {} ms", words::shortest(ms)));
        let asked = format!("{}{queue}", words::rate(rate as f64));
        rows.push(row("queue drops", asked, words::proportion(&measured.queue), take("queue")));
    }
    let intended = delay_measured(&measured.intended_delay_ms);
    rows.push(row("intended delay", delay_asked(configured), intended, take("intended delay")));
    if configured.delay_zero_ratio > 0.0 {
        let asked = words::measured_percent(configured.delay_zero_ratio) + " %";
        rows.push(row("  at zero", asked, words::proportion(&measured.zero_delay), take("zero delay")));
    } else {
        rows.extend(take("zero delay").filter(|check| check.result == Agreement::No).map(plain));
    }
    if let Some(expected) = &configured.expected_shift_ms {
        let asked = format!("{} to {} ms", words::figure(expected.low), words::figure(expected.high));
        let measured = format!("mean {} ms", words::figure_or_dash(measured.shift_ms));
        rows.push(row("  order kept", asked, measured, take("shift")));
    }
    let check = take("lateness");
    let asked =
        check.map_or_else(|| "-".to_owned(), |check| format!("p99 within {} us", words::figure(check.tolerance)));
    let late = &measured.lateness_us;
    let lateness = format!(
        "p50 {}, p99 {}, max {} us",
        words::figure_or_dash(late.p50),
        words::figure_or_dash(late.p99),
        words::figure_or_dash(late.max)
    );
    rows.push(row("lateness", asked, lateness, check));
    if let Some(delay) = &measured.one_way_delay_ms {
        rows.push(row("one-way delay", "by the captures".to_owned(), delay_measured(delay), take("one-way delay")));
    }
    if let Some(reordered) = &measured.reordered {
        let asked = format!("order {}", configured.order);
        rows.push(row("reordering", asked, words::proportion(reordered), take("reordering")));
    }
    rows.extend(checks.into_iter().flatten().map(plain));
    for rule in &measured.rules {
        let drops = rule.dropped.iter().map(|(cause, count)| format!(", {} {cause}", words::figure(*count as f64)));
        let came = [rule.packets, rule.forwarded].map(|count| words::figure(count as f64));
        let [packets, forwarded] = came;
        let measured = format!("{packets} packets, {forwarded} let through{}", drops.collect::<String>());
        rows.push(row(&format!("rule {}", rule.name), "-".to_owned(), measured, None));
    }
    rows
}

fn row(what: &str, asked: String, measured: String, check: Option<&Check>) -> LinkRow {
    LinkRow {
        what: what.to_owned(),
        asked,
        measured,
        agreement: check.map(|check| check.result),
        detail: check.map_or_else(String::new, |check| check.detail.clone()),
        needed: check.filter(|check| check.result == Agreement::TooFew).map(|check| check.needed_n),
    }
}

/// A check without a row of its own.
fn plain(check: &Check) -> LinkRow {
    let with_unit = |value: f64| match check.unit.as_str() {
        "ratio" => words::percent(value),
        unit => format!("{} {unit}", words::figure(value)),
    };
    let measured = check.measured.map_or_else(|| "-".to_owned(), with_unit);
    row(&check.name, with_unit(check.configured), measured, Some(check))
}

fn outages_asked(configured: &Configured) -> String {
    let windows = &configured.outage_windows;
    let down: f64 = windows.iter().map(|window| window.end_ms - window.start_ms).sum();
    match windows.len() {
        0 => "none".to_owned(),
        1 => format!("1 window of {} ms", words::shortest(down)),
        n => format!("{n} windows, {} ms in all", words::figure(down)),
    }
}

fn delay_asked(configured: &Configured) -> String {
    if configured.jitter_ms == 0.0 {
        return format!("{} ms", words::shortest(configured.delay_ms));
    }
    let [delay, jitter] = [configured.delay_ms, configured.jitter_ms].map(words::shortest);
    format!("{delay} +-{jitter} ms {}", configured.distribution)
}

fn delay_measured(delay: &Distribution) -> String {
    format!(
        "mean {}, p50 {}, p99 {} ms",
        words::figure_or_dash(delay.mean),
        words::percentile(delay, delay.p50),
        words::percentile(delay, delay.p99)
    )
}

/// What a distribution with jitter comes out as, for the line under its settings.
pub(crate) fn delay_expected(configured: &Configured) -> Option<String> {
    (configured.jitter_ms > 0.0).then(|| {
        let [mean, p99] = [configured.delay_mean_ms, configured.delay_p99_ms].map(words::figure);
        format!("mean {mean}, p99 {p99} ms")
    })
}
