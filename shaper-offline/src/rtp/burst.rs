//! Bursts and gaps of loss, as RFC 3611 (sections 4.7.1 and 4.7.2) defines and counts them.

use serde::Serialize;

/// Packets received in a row that end a burst, where nothing else is said (RFC 3611, section 4.7.2).
pub const GMIN: u64 = 16;

/// The fates of a stream's packets in order of sequence, counted as they come.
///
/// The transitions are those of RFC 3611, appendix A.2: state 1 is received in a gap, 2 received in
/// a burst, 3 lost in a burst, 4 lost alone in a gap. A loss is known to be alone only when what
/// follows it is; that of the end is settled by [`bursts`](Self::bursts), which takes stream and
/// report to be between `Gmin` received packets each, as section 4.7.2 does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    gmin: u64,
    /// Received since the last loss.
    received_in_row: u64,
    /// Losses in the burst, or single loss, that goes on.
    losses: u64,
    /// Received between those.
    between: u64,
    lost: u64,
    discarded: u64,
    total: u64,
    counts: Counts,
    bursts: u64,
    /// Packets in finished bursts, lost or not.
    burst_packets: u64,
    burst_losses: u64,
    longest_burst: u64,
    run: u64,
    runs: u64,
    longest_run: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    c11: u64,
    c13: u64,
    c14: u64,
    c22: u64,
    c23: u64,
    c33: u64,
}

/// Bursts and gaps of one stream. Densities and durations that end in `_rfc3611` are what a receiver
/// would write into a VoIP metrics block; the others are exact counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bursts {
    /// Packets received in a row that end a burst.
    pub gmin: u64,
    /// Lost of expected, in 1/256.
    pub loss_rate_rfc3611: u8,
    /// Discarded of expected, in 1/256; a capture shows none.
    pub discard_rate_rfc3611: u8,
    /// Lost or discarded within bursts, in 1/256.
    pub burst_density_rfc3611: u8,
    /// Lost or discarded within gaps, in 1/256.
    pub gap_density_rfc3611: u8,
    /// Mean length of a burst, milliseconds; `None` without the packets' spacing.
    pub burst_duration_rfc3611_ms: Option<u64>,
    /// Mean length of a gap, milliseconds; `None` without the packets' spacing.
    pub gap_duration_rfc3611_ms: Option<u64>,
    /// Bursts.
    pub bursts: u64,
    /// Packets within bursts, lost or not.
    pub burst_packets: u64,
    /// Of those, lost or discarded.
    pub burst_lost: u64,
    /// Packets of the longest burst, lost or not.
    pub longest_burst: u64,
    /// Runs of packets lost one after another (loss periods of RFC 3357).
    pub loss_runs: u64,
    /// Packets of the longest such run.
    pub longest_loss_run: u64,
    /// Mean length of such a run in packets.
    pub mean_loss_run: Option<f64>,
}

impl Default for Pattern {
    fn default() -> Self {
        Self::with_gmin(GMIN)
    }
}

impl Pattern {
    /// For another `Gmin`.
    #[must_use]
    pub fn with_gmin(gmin: u64) -> Self {
        Self {
            gmin: gmin.max(1),
            received_in_row: 0,
            losses: 0,
            between: 0,
            lost: 0,
            discarded: 0,
            total: 0,
            counts: Counts::default(),
            bursts: 0,
            burst_packets: 0,
            burst_losses: 0,
            longest_burst: 0,
            run: 0,
            runs: 0,
            longest_run: 0,
        }
    }

    /// So many packets were received, and played.
    #[inline]
    pub fn received(&mut self, packets: u64) {
        if packets > 0 {
            self.received_in_row += packets;
            self.total += packets;
            self.run = 0;
        }
    }

    /// So many packets in a row did not arrive.
    #[inline]
    pub fn lost(&mut self, packets: u64) {
        if packets > 0 {
            self.lost += packets;
            self.missed(packets);
        }
    }

    /// A packet arrived too late to be played.
    pub fn discarded(&mut self) {
        self.discarded += 1;
        self.missed(1);
    }

    fn missed(&mut self, packets: u64) {
        self.total += packets;
        self.runs += u64::from(self.run == 0);
        self.run += packets;
        self.longest_run = self.longest_run.max(self.run);
        let before = std::mem::take(&mut self.received_in_row);
        // What was before the stream counts as received.
        if self.losses == 0 || before >= self.gmin {
            self.settle();
            self.counts.c11 += before;
            self.between = 0;
            self.losses = packets;
        } else {
            if before == 0 {
                self.counts.c33 += 1;
            } else {
                self.counts.c23 += 1;
                self.counts.c22 += before - 1;
            }
            self.between += before;
            self.losses += packets;
        }
        self.counts.c33 += packets - 1;
    }

    /// The burst or the single loss that went on is over.
    fn settle(&mut self) {
        match self.losses {
            0 => {}
            1 => self.counts.c14 += 1,
            losses => {
                self.counts.c13 += 1;
                self.bursts += 1;
                let length = losses + self.between;
                self.burst_packets += length;
                self.burst_losses += losses;
                self.longest_burst = self.longest_burst.max(length);
            }
        }
        self.losses = 0;
    }

    /// Packets that did not arrive.
    #[must_use]
    pub fn lost_packets(&self) -> u64 {
        self.lost
    }

    /// What the fates so far come to; `spacing_ms` is the time from packet to packet.
    #[must_use]
    pub fn bursts(&self, spacing_ms: Option<f64>) -> Bursts {
        let mut end = *self;
        end.settle();
        end.counts.c11 += end.received_in_row;
        let Counts { c11, c13, c14, c22, c23, c33 } = end.counts;
        let (c31, c32) = (c13, c23);
        let ratio = |part: u64, of: u64| if of == 0 { 0.0 } else { part as f64 / of as f64 };
        let p23 = if c22 + c23 == 0 { 1.0 } else { 1.0 - ratio(c22, c22 + c23) };
        let p32 = ratio(c32, c31 + c32 + c33);
        let in_bursts = if c13 == 0 { 0.0 } else { p23 / (p23 + p32) };
        // Without a burst all that there is is one gap.
        let gap = if c13 == 0 { end.total as f64 } else { ratio(c11 + c14 + c13, c13) };
        let cycle = ratio(c11 + c14 + c13 + c22 + c23 + c31 + c32 + c33, c13);
        let burst = if c13 == 0 { 0.0 } else { cycle - gap };
        let rounded = |packets: f64| spacing_ms.map(|spacing| (packets * spacing) as u64);
        Bursts {
            gmin: end.gmin,
            loss_rate_rfc3611: in_256(ratio(end.lost, end.total)),
            discard_rate_rfc3611: in_256(ratio(end.discarded, end.total)),
            burst_density_rfc3611: in_256(in_bursts),
            gap_density_rfc3611: in_256(ratio(c14, c11 + c14)),
            burst_duration_rfc3611_ms: rounded(burst),
            gap_duration_rfc3611_ms: rounded(gap),
            bursts: end.bursts,
            burst_packets: end.burst_packets,
            burst_lost: end.burst_losses,
            longest_burst: end.longest_burst,
            loss_runs: end.runs,
            longest_loss_run: end.longest_run,
            mean_loss_run: (end.runs > 0).then(|| ratio(end.lost + end.discarded, end.runs)),
        }
    }
}

/// A ratio as RFC 3611 writes it: the integer part of 256 times it, 255 at most.
fn in_256(ratio: f64) -> u8 {
    // A cast from a float saturates.
    (ratio * 256.0) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Pattern;

    /// 1 is received, 0 lost, X discarded.
    fn pattern(text: &str, gmin: u64) -> Pattern {
        let mut pattern = Pattern::with_gmin(gmin);
        for fate in text.chars() {
            match fate {
                '1' => pattern.received(1),
                '0' => pattern.lost(1),
                _ => pattern.discarded(),
            }
        }
        pattern
    }

    #[test]
    fn the_published_vector_gives_its_published_figures() {
        let bursts = pattern("111011100011X", 2).bursts(Some(10.0));
        assert_eq!((bursts.loss_rate_rfc3611, bursts.discard_rate_rfc3611), (78, 19));
        assert_eq!((bursts.burst_density_rfc3611, bursts.gap_density_rfc3611), (255, 51));
        assert_eq!((bursts.burst_duration_rfc3611_ms, bursts.gap_duration_rfc3611_ms), (Some(30), Some(110)));
        assert_eq!((bursts.bursts, bursts.burst_packets, bursts.burst_lost), (1, 3, 3));
        assert_eq!((bursts.loss_runs, bursts.longest_loss_run, bursts.mean_loss_run), (3, 3, Some(5.0 / 3.0)));
    }

    #[test]
    fn without_loss_there_is_one_gap() {
        let bursts = pattern("1111111111", 2).bursts(Some(20.0));
        assert_eq!((bursts.loss_rate_rfc3611, bursts.burst_density_rfc3611, bursts.gap_density_rfc3611), (0, 0, 0));
        assert_eq!((bursts.burst_duration_rfc3611_ms, bursts.gap_duration_rfc3611_ms), (Some(0), Some(200)));
        assert_eq!(bursts.mean_loss_run, None);
        assert_eq!(Pattern::default().bursts(None).gap_duration_rfc3611_ms, None);
    }

    #[test]
    fn losses_near_the_ends_are_alone_unless_others_are_near() {
        let alone = pattern("1011110", 3).bursts(None);
        assert_eq!((alone.bursts, alone.loss_runs), (0, 2));
        let near = pattern("101011110", 3).bursts(None);
        assert_eq!((near.bursts, near.burst_packets, near.burst_lost), (1, 3, 2));
        assert_eq!(pattern("1100", 3).bursts(None).bursts, 1);
    }

    #[test]
    fn all_lost_is_255_of_256() {
        assert_eq!(pattern("0000", 16).bursts(None).loss_rate_rfc3611, 255);
    }

    /// The definition of section 4.7.2, looked at from the whole: losses less than `gmin` received
    /// packets apart belong together, and two or more of them are a burst.
    fn by_definition(fates: &[bool], gmin: usize) -> (u64, u64, u64) {
        let losses: Vec<_> = (0..fates.len()).filter(|&at| !fates[at]).collect();
        let (mut bursts, mut packets, mut lost) = (0, 0, 0);
        let mut from = 0;
        for at in 1..=losses.len() {
            if at == losses.len() || losses[at] - losses[at - 1] > gmin {
                if at - from > 1 {
                    bursts += 1;
                    packets += losses[at - 1] - losses[from] + 1;
                    lost += at - from;
                }
                from = at;
            }
        }
        (bursts, packets as u64, lost as u64)
    }

    proptest! {
        #[test]
        fn bursts_are_those_of_the_definition(
            fates in prop::collection::vec(prop::bool::weighted(0.8), 0..300),
            gmin in 1_u64..20,
        ) {
            let mut pattern = Pattern::with_gmin(gmin);
            let mut in_runs = Pattern::with_gmin(gmin);
            for run in fates.chunk_by(|x, y| x == y) {
                for &fate in run {
                    if fate { pattern.received(1) } else { pattern.lost(1) }
                }
                let length = run.len() as u64;
                if run[0] { in_runs.received(length) } else { in_runs.lost(length) }
            }
            prop_assert_eq!(in_runs, pattern);
            let bursts = pattern.bursts(None);
            let want = by_definition(&fates, gmin as usize);
            prop_assert_eq!((bursts.bursts, bursts.burst_packets, bursts.burst_lost), want);
            prop_assert_eq!(pattern.lost_packets(), fates.iter().filter(|&&fate| !fate).count() as u64);
        }
    }
}
