//! The captures of two points: what became of each packet between them.

use std::path::Path;

use shaper_offline::analyze::{self, Analysis, Clock, Ending, FindingKind, Options, PacketRecord, Severity, Sink, Way};
use shaper_offline::fit::{Fate, Series};

use super::measured::{Measured, Packets};
use crate::cut::Cut;

/// Both directions' packets, as they are settled.
#[derive(Default)]
struct Collected {
    ways: [Packets; 2],
    ending: Ending,
}

impl Sink for Collected {
    fn packet(&mut self, packet: &PacketRecord<'_>) {
        let (Some(way), Some(sent)) = (packet.way, packet.sent()) else { return };
        let fate = match packet.fate {
            analyze::Fate::Matched => packet.delay_ns.map_or(Fate::Untimed, Fate::Arrived),
            analyze::Fate::Corrupted => Fate::Untimed,
            analyze::Fate::Lost => Fate::Lost,
            analyze::Fate::Unmatched | analyze::Fate::Edge => Fate::Unknown,
            analyze::Fate::Duplicate | analyze::Fate::ArrivalOnly | analyze::Fate::Uncounted => return,
        };
        let [a_to_b, b_to_a] = &mut self.ways;
        let packets = if way == Way::AToB { a_to_b } else { b_to_a };
        packets.push(sent.ts_ns, fate, Some(packet.bytes));
    }

    fn finish(&mut self, _: &Analysis, ending: &Ending) {
        self.ending = *ending;
    }
}

impl Collected {
    /// The series, with what is known only at the end.
    fn series(self, absolute: bool) -> [Series; 2] {
        let Ending { shift_ns, a_to_b_unproven, b_to_a_unproven } = self.ending;
        let [a_to_b, b_to_a] = self.ways;
        // B's stamps and both delays move by what all packets say of the clocks.
        let moved = [(a_to_b, 0, -shift_ns, a_to_b_unproven), (b_to_a, -shift_ns, shift_ns, b_to_a_unproven)];
        moved.map(|(packets, sent, delay, unproven)| {
            let mut packets = packets.all;
            for packet in &mut packets {
                packet.sent_ns = packet.sent_ns.saturating_add(sent);
                packet.fate = match packet.fate {
                    Fate::Arrived(after) => Fate::Arrived(after.saturating_add(delay)),
                    Fate::Lost if unproven => Fate::Unknown,
                    fate => fate,
                };
            }
            Series::sorted(packets, true, absolute)
        })
    }
}

/// Warnings of the analysis that hold for what is fitted; of clocks and of files that are cut off or damaged the notes say it
/// themselves.
fn warnings(analysis: &Analysis) -> impl Iterator<Item = String> {
    let said = |kind| {
        use FindingKind::{ClockDisagrees, ClockOneDirection, CutOff, Damaged, NoDirection};
        matches!(kind, ClockDisagrees | ClockOneDirection | CutOff | Damaged | NoDirection)
    };
    let warns = analysis.findings.iter().filter(|finding| finding.severity <= Severity::Warning);
    warns.filter(move |finding| !said(finding.kind)).map(|finding| finding.text.clone())
}

pub(super) fn read(a: &Path, b: &Path, same_clock: bool) -> anyhow::Result<Measured> {
    let clock = if same_clock { Clock::Same } else { Clock::Estimate };
    let options = Options { clock, ..Options::default() };
    let mut collected = Collected::default();
    let analysis = analyze::two_points_into(a, b, &options, &mut collected)?;
    let mut notes: Vec<String> = collected.ways.iter().filter_map(Packets::left_out).collect();
    notes.extend(warnings(&analysis));
    let cuts: Vec<Cut> = analysis.files.iter().filter_map(Cut::of_file).collect();
    notes.extend(cuts.iter().map(|cut| format!("{}; what stands before it was fitted", cut.place())));
    match (analysis.clock.is_absolute(), analysis.clock.offset_bound_ns) {
        (false, _) => notes.push(
            "the clocks of the captures are not known against each other: only differences of delay were fitted; \
             --same-clock where one clock stamped both"
                .to_owned(),
        ),
        (true, Some(bound @ 1..)) => notes.push(format!(
            "the clocks were put right by the smallest delays of both directions: base delays are known within {:.3} ms",
            bound as f64 / 1e6
        )),
        _ => {}
    }
    let absolute = analysis.clock.is_absolute();
    let from = format!("the captures {} and {}", a.display(), b.display());
    let series = collected.series(absolute);
    let first_ns = series.iter().filter_map(|series| Some(series.packets.first()?.sent_ns)).min();
    Ok(Measured { from, series, first_ns, notes, cuts })
}
