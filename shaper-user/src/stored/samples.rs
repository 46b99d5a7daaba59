//! The raw samples of a run, for a comparison.

use std::collections::BTreeMap;

use shaper_report::compare::{DirectionSamples, Samples};

use super::Stored;
use super::packets::{Actual, Packets};

/// Samples of one figure that are kept at most; of more every second, every fourth and so on is taken.
const MOST: usize = 1 << 20;

/// The samples of a run, and what is to be known of them.
#[derive(Debug, Default)]
pub(crate) struct Sampled {
    /// By direction; those without any are not here.
    pub(crate) directions: BTreeMap<String, DirectionSamples>,
    pub(crate) notes: Vec<String>,
}

/// Samples in time, evenly thinned so that no more than [`MOST`] are kept.
#[derive(Debug)]
struct Thinned {
    kept: Vec<f64>,
    every: u64,
    seen: u64,
}

impl Default for Thinned {
    fn default() -> Self {
        Self { kept: Vec::new(), every: 1, seen: 0 }
    }
}

impl Thinned {
    fn push(&mut self, sample: f64) {
        if self.seen.is_multiple_of(self.every) {
            if self.kept.len() >= MOST {
                let mut number = 0usize;
                self.kept.retain(|_| {
                    number += 1;
                    number % 2 == 1
                });
                self.every *= 2;
            }
            if self.seen.is_multiple_of(self.every) {
                self.kept.push(sample);
            }
        }
        self.seen += 1;
    }
}

impl Stored {
    /// Reads the samples.
    ///
    /// # Errors
    ///
    /// When a file of the directory is there and cannot be read.
    pub(crate) fn samples(&self) -> anyhow::Result<Sampled> {
        let mut packets = Packets::of(self)?;
        let mut sampled = Sampled::default();
        let names: Vec<String> = packets.directions().map(|(name, _)| name.to_owned()).collect();
        for name in names {
            let (mut delays, mut ipdv, mut lateness) = (Thinned::default(), Thinned::default(), Thinned::default());
            let mut before: Option<u64> = None;
            packets.each(&name, |packet| {
                let delay = packet.delay_ns();
                if let Some(delay) = delay {
                    delays.push(delay as f64 / 1e6);
                }
                // Of a pair that is not whole there is none (RFC 3393, section 2.4).
                if let Some((one, next)) = before.zip(delay) {
                    ipdv.push(one.abs_diff(next) as f64 / 1e6);
                }
                before = delay;
                let is_due = packet.at_ns.saturating_add_unsigned(packet.intended_ns) >= 0;
                if let (Actual::Late(late), None, true) = (packet.actual, &packet.cause, is_due) {
                    lateness.push(late as f64 / 1e3);
                }
            })?;
            if delays.every > 1 {
                sampled.notes.push(format!("{name}: one sample in {} of {} is taken", delays.every, delays.seen));
            }
            if delays.seen > 0 {
                let [delay_ms, ipdv_ms, lateness_us] = [delays, ipdv, lateness].map(|of| Samples::new(of.kept));
                sampled.directions.insert(name, DirectionSamples { delay_ms, ipdv_ms, lateness_us });
            }
        }
        sampled.notes.append(&mut packets.notes);
        Ok(sampled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_many_samples_is_evenly_spaced() {
        let mut thinned = Thinned::default();
        let n = 2 * MOST as u64 + 10;
        (0..n).for_each(|number| thinned.push(number as f64));
        assert_eq!((thinned.seen, thinned.every), (n, 4));
        assert!(thinned.kept.len() <= MOST);
        assert!((0u32..).zip(&thinned.kept).all(|(at, kept)| *kept == f64::from(4 * at)));
    }
}
