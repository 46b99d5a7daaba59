//! The figures of an impaired interface, as they are told to programs and to people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use shaper_common::fate::Cause;
use shaper_common::layout::Counts;
use shaper_common::units::Nanos;
use shaper_engine::{Account, DirectionOutcome, Kept, Recorded, Snapshot};

/// One direction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Packets that came.
    pub(crate) arrived: u64,
    /// Copies that were to be made of them.
    pub(crate) copies: u64,
    /// Packets that went on, copies among them.
    pub(crate) out: u64,
    /// Packets on their way.
    pub(crate) held: u64,
    /// Packets dropped, by cause.
    pub(crate) dropped: BTreeMap<String, u64>,
    /// Control packets (ARP, neighbour discovery, IGMP, MLD) that passed unimpaired; they are not in the counts above.
    pub(crate) bypassed: u64,
    /// Packets that passed while the delay line did not come round; they are not in the counts above.
    pub(crate) let_pass: u64,
    /// Flows that were forgotten for others.
    pub(crate) flows_evicted: u64,
    /// What there are records of.
    pub(crate) records: RecordFigures,
    /// Releases that were to be written down, and found no room: of them there is no lateness.
    pub(crate) releases_lost: u64,
    /// Actual minus intended release.
    pub(crate) lateness_ns: Lateness,
    /// What a kept order added to delays, of packets that there are records of; null where none was to be kept, and
    /// before the end.
    #[serde(default)]
    pub(crate) order_kept: Option<OrderKept>,
    /// By rule, in their order.
    pub(crate) rules: Vec<RuleFigures>,
}

/// Packets that left with one before them, where they would have left earlier on their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct OrderKept {
    /// Packets let through where order was kept.
    pub(crate) packets: u64,
    /// Those held back.
    pub(crate) held_back: u64,
    /// By how much, in milliseconds, in the mean of all of them.
    pub(crate) mean_ms: f64,
    /// At most.
    pub(crate) max_ms: f64,
}

impl OrderKept {
    /// None where no packet was let through with its order kept.
    fn of(kept: Kept) -> Option<Self> {
        let ms = |nanos: Nanos| nanos.0 as f64 / 1e6;
        let Kept { packets, held_back, by, most } = kept;
        (packets > 0).then(|| Self { packets, held_back, mean_ms: ms(by) / packets as f64, max_ms: ms(most) })
    }
}

/// How late packets were released, in nanoseconds; zero where none were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lateness {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
}

/// Decisions, by whether there is a record of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordFigures {
    /// There is.
    pub(crate) recorded: u64,
    /// There was not to be one.
    pub(crate) left_out: u64,
    /// There was to be one, and it found no room.
    pub(crate) lost: u64,
}

impl From<Recorded> for RecordFigures {
    fn from(Recorded { recorded, left_out, lost }: Recorded) -> Self {
        Self { recorded, left_out, lost }
    }
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RuleFigures {
    /// Its name.
    pub(crate) name: String,
    /// Packets that went by it.
    pub(crate) matched: u64,
    /// Of those the dropped ones, by cause.
    pub(crate) dropped: BTreeMap<String, u64>,
}

impl Figures {
    /// As they stand, with the names of the rules.
    pub(crate) fn now(snapshot: &Snapshot, names: &[String]) -> Self {
        let mut figures = Self::of(
            &snapshot.account,
            &snapshot.by_rule,
            snapshot.let_pass,
            &snapshot.lateness,
            snapshot.recorded,
            names,
        );
        figures.releases_lost = snapshot.releases_lost;
        figures
    }

    /// As they are in the end.
    pub(crate) fn at_the_end(direction: &DirectionOutcome, names: &[String]) -> Self {
        let mut figures = Self::of(
            &direction.account,
            &direction.by_rule,
            direction.let_pass,
            &direction.lateness,
            direction.recorded,
            names,
        );
        figures.releases_lost = direction.releases_lost;
        figures.order_kept = OrderKept::of(direction.oracle.kept);
        figures
    }

    fn of(
        account: &Account,
        by_rule: &[(u64, Counts)],
        let_pass: u64,
        lateness: &Histogram<u64>,
        recorded: Recorded,
        names: &[String],
    ) -> Self {
        let &Account { arrived, copies, out, held, bypassed, flows_evicted, .. } = account;
        let at = |quantile| if lateness.is_empty() { 0 } else { lateness.value_at_quantile(quantile) };
        let rules = names.iter().zip(by_rule).map(|(name, (matched, counts))| RuleFigures {
            name: name.clone(),
            matched: *matched,
            dropped: by_name(counts.dropped()),
        });
        Self {
            arrived,
            copies,
            out,
            held,
            dropped: by_name(account.dropped.iter().map(|(cause, count)| (*cause, *count))),
            bypassed,
            let_pass,
            flows_evicted,
            records: recorded.into(),
            releases_lost: 0,
            order_kept: None,
            lateness_ns: Lateness { p50: at(0.5), p99: at(0.99), max: lateness.max() },
            rules: rules.collect(),
        }
    }

    /// Whether nothing came.
    pub(crate) fn is_idle(&self) -> bool {
        self.arrived == 0 && self.bypassed == 0 && self.let_pass == 0
    }

    /// In a line.
    pub(crate) fn line(&self) -> String {
        let Self { arrived, copies, out, held, .. } = self;
        let mut text = format!("in {arrived}");
        if *copies > 0 {
            let _ = write!(text, " + {copies} copies");
        }
        let _ = write!(text, "  out {out}  on the way {held}  dropped {}", told(&self.dropped));
        if self.let_pass > 0 {
            let _ = write!(text, "  passed unimpaired {}", self.let_pass);
        }
        text
    }

    /// What is to be known beside that, a line each.
    pub(crate) fn more(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.bypassed > 0 {
            lines.push(format!("{} control packets passed beside", self.bypassed));
        }
        let RecordFigures { recorded, left_out, lost } = self.records;
        if left_out > 0 || lost > 0 {
            lines.push(format!("{recorded} decisions recorded, {left_out} not to be, {lost} records lost"));
        }
        let Lateness { p50, p99, max } = self.lateness_ns;
        if max > 0 {
            let [p50, p99, max] = [p50, p99, max].map(|nanos| nanos as f64 / 1e3);
            let part = if self.releases_lost > 0 { ", of those that were written down" } else { "" };
            lines.push(format!(
                "released late by {p50:.1} us in the median, {p99:.1} us at p99, {max:.1} us at most{part}"
            ));
        }
        if self.releases_lost > 0 {
            lines.push(format!("{} releases were not written down, for want of room", self.releases_lost));
        }
        if let Some(OrderKept { packets, held_back, mean_ms, max_ms }) = self.order_kept {
            let those = if left_out > 0 || lost > 0 { " with a record" } else { "" };
            lines.push(format!(
                "order kept: {held_back} of {packets}{those} waited for one before them, {mean_ms:.3} ms in the mean of \
                 all, {max_ms:.3} ms at most"
            ));
        }
        for RuleFigures { name, matched, dropped } in &self.rules {
            lines.push(format!("rule {name}: {matched}, of them dropped {}", told(dropped)));
        }
        lines
    }
}

/// Those that were dropped at all.
fn by_name(counts: impl IntoIterator<Item = (Cause, u64)>) -> BTreeMap<String, u64> {
    counts.into_iter().filter(|(_, count)| *count > 0).map(|(cause, count)| (cause.name().to_owned(), count)).collect()
}

/// Such as "120 (loss 100, queue 20)".
fn told(dropped: &BTreeMap<String, u64>) -> String {
    let causes: Vec<String> = dropped.iter().map(|(cause, count)| format!("{cause} {count}")).collect();
    match dropped.values().sum::<u64>() {
        0 => "0".to_owned(),
        all => format!("{all} ({})", causes.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_releases_are_missing_the_lateness_is_told_to_be_of_the_others() {
        let lateness_ns = Lateness { p50: 1_000, p99: 2_000, max: 3_000 };
        let whole = Figures { lateness_ns, ..Figures::default() };
        assert_eq!(whole.more(), ["released late by 1.0 us in the median, 2.0 us at p99, 3.0 us at most"]);
        let part = Figures { releases_lost: 7, ..whole };
        let told = part.more();
        assert!(told[0].ends_with("of those that were written down") && told[1].starts_with("7 releases"), "{told:?}");
        assert_eq!(serde_json::to_value(&part).unwrap()["releases_lost"], 7);
    }
}
