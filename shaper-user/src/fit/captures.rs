//! The captures of two points: what became of each packet between them; and where a run wrote them, when each was due.

use std::path::Path;

use shaper_offline::analyze::{
    self, Analysis, Clock, ClockMethod, Ending, FindingKind, Options, PacketRecord, Severity, Sink, Way,
};
use shaper_offline::fit::{Fate, Series};

use super::due::Due;
use super::measured::{Measured, Packets};
use crate::cut::Cut;

/// Both directions' packets, as they are settled.
#[derive(Default)]
struct Collected {
    ways: [Packets; 2],
    ending: Ending,
    /// What a run wrote into the first and the second capture.
    due: Option<[Due; 2]>,
    told: Told,
}

/// What the comments of a run said.
#[derive(Default)]
struct Told {
    /// How late packets left, in nanoseconds.
    late: Vec<i64>,
    /// Packets that arrived and of which it is not known.
    unknown: u64,
    /// Packets that met a link that was down.
    down: u64,
    /// Packets that the run's own machinery lost.
    ours: u64,
}

impl Sink for Collected {
    fn packet(&mut self, packet: &PacketRecord<'_>) {
        use analyze::Fate as Found;
        let (Some(way), Some(sent)) = (packet.way, packet.sent()) else { return };
        let fate = match packet.fate {
            Found::Duplicate | Found::ArrivalOnly | Found::Uncounted => return,
            // Of what is not held nothing is told either.
            _ if !self.of(way).has_room() => return,
            Found::Matched => self.delay(packet).map_or(Fate::Untimed, Fate::Arrived),
            Found::Corrupted => Fate::Untimed,
            Found::Lost => self.not_arrived(way, sent.frame),
            Found::Unmatched | Found::Edge => Fate::Unknown,
        };
        self.of(way).push(sent.ts_ns, fate, Some(packet.bytes));
    }

    fn finish(&mut self, _: &Analysis, ending: &Ending) {
        self.ending = *ending;
    }
}

impl Collected {
    fn of(&mut self, way: Way) -> &mut Packets {
        let [a_to_b, b_to_a] = &mut self.ways;
        if way == Way::AToB { a_to_b } else { b_to_a }
    }

    /// The delay of a packet that arrived: where a run wrote when it was due, until then.
    fn delay(&mut self, packet: &PacketRecord<'_>) -> Option<i64> {
        let measured = packet.delay_ns?;
        let Some([of_a, of_b]) = &self.due else { return Some(measured) };
        let (sent, arrived) = (packet.sent()?, packet.arrived()?);
        let due = if packet.way == Some(Way::AToB) { of_b } else { of_a };
        match due.of(arrived.frame) {
            Some((due, late)) => {
                self.told.late.push(late);
                // Both clocks are read one after the other, so that what is not delayed may seem to be due before.
                Some(due.saturating_sub(sent.ts_ns).max(0))
            }
            None => {
                self.told.unknown += 1;
                Some(measured)
            }
        }
    }

    /// What a packet that did not arrive tells of the link.
    fn not_arrived(&mut self, way: Way, frame: Option<u64>) -> Fate {
        let Some([of_a, of_b]) = &self.due else { return Fate::Lost };
        let fate = if way == Way::AToB { of_a } else { of_b }.not_arrived(frame);
        self.told.down += u64::from(fate == Fate::Down);
        self.told.ours += u64::from(fate == Fate::Unknown);
        fate
    }

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

impl Told {
    /// What is to be known of it.
    fn notes(mut self) -> Vec<String> {
        let mut notes = Vec::new();
        self.late.sort_unstable();
        let at =
            |hundredths: usize| self.late.get(self.late.len() * hundredths / 100).map_or(0.0, |ns| *ns as f64 / 1e6);
        if !self.late.is_empty() {
            notes.push(format!(
                "delays are until packets were due: how late the run's own machinery released them, {:.3} ms in the median \
                 and {:.3} ms at 99 %, is no delay of the link; name both captures to fit what they measured",
                at(50),
                at(99)
            ));
            if self.unknown > 0 {
                notes.push(format!(
                    "of {} packets the run does not tell when they were due: their delays are as captured",
                    self.unknown
                ));
            }
        }
        notes.extend(missing(self.down, self.ours));
        notes
    }
}

/// What is to be known of packets that did not arrive and are no loss of the link's, packet by packet.
pub(super) fn missing(down: u64, ours: u64) -> impl Iterator<Item = String> {
    let down = (down > 0).then(|| format!("{down} packets met an outage and were left out: outages are not fitted"));
    let ours = (ours > 0).then(|| {
        format!("{ours} packets were lost by the run's own machinery, which is no loss of the link, and were left out")
    });
    down.into_iter().chain(ours)
}

/// Reads two captures; of those that a run wrote, `of_run`, also when packets were due.
pub(super) fn read(a: &Path, b: &Path, same_clock: bool, of_run: bool) -> anyhow::Result<Measured> {
    let clock = if same_clock { Clock::Same } else { Clock::Estimate };
    let options = Options { clock, ..Options::default() };
    let due = if of_run { Some([Due::read(a)?, Due::read(b)?]) } else { None };
    let mut collected = Collected { due, ..Collected::default() };
    let analysis = analyze::two_points_into(a, b, &options, &mut collected)?;
    // By two clocks what was due and what was sent are not of one time.
    if of_run && !matches!(analysis.clock.method, ClockMethod::SameHost | ClockMethod::SameHostByFiles) {
        return read(a, b, same_clock, false);
    }
    let mut notes: Vec<String> = collected.ways.iter().filter_map(Packets::left_out).collect();
    notes.extend(std::mem::take(&mut collected.told).notes());
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
