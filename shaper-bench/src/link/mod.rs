//! Whole links between two namespaces: the kernel's bridge, an XDP redirect, and our engine, fed with live frames.
//!
//! Every kind of link has a pair of hosts of its own and the same source: live frames of a BPF test run, sent into
//! host `a`'s device. They are for nobody's address, so that host `b` drops them first thing after counting them.

pub(crate) mod bed;
mod search;
pub(crate) mod source;
mod threads;

use anyhow::Result;
use shaper_common::delay::Jitter;
use shaper_common::layout::Params;
use shaper_common::units::Nanos;

use crate::Session;
use crate::link::bed::{Bed, Middle};
use crate::link::source::{Rate, Source, Trial};
use crate::report::{Aim, Figure};

const SUITE: &str = "link";
const SIZES: [usize; 2] = [64, 1400];
/// What tells how much the source costs by itself; the first to be measured.
const DROP: &str = "nothing but a drop";
/// What the others are compared with.
const BRIDGE: &str = "kernel bridge";
/// The share of its capacity at which an engine is to lose nothing.
const EASE: f64 = 0.8;
/// Frames of the UMEM: a million packets a second held for 25 ms and full rings, with room.
const FRAMES: u32 = 1 << 16;

/// Delays of 20 ms give or take 5.
pub(crate) fn delayed() -> Params {
    Params {
        seed: 7,
        delay: Nanos(20_000_000),
        jitter: Nanos(5_000_000),
        jitter_kind: Jitter::Uniform as u32,
        ..Params::default()
    }
}

/// What is between the two hosts.
fn kinds() -> [(&'static str, Middle); 8] {
    let engine = |params, records| Middle::Engine { params, records, frames: FRAMES, straight: false };
    let straight = |records| Middle::Engine { params: Params::default(), records, frames: FRAMES, straight: true };
    [
        (DROP, Middle::Drop),
        (BRIDGE, Middle::Bridge),
        ("XDP redirect", Middle::Redirect),
        ("engine, clean, straight", straight(true)),
        ("engine, clean, straight, no records", straight(false)),
        ("engine, clean", engine(Params::default(), true)),
        ("engine, clean, no records", engine(Params::default(), false)),
        ("engine, 20 ms +- 5 ms", engine(delayed(), true)),
    ]
}

/// Samples of one link with frames of one size.
#[derive(Default)]
struct Samples {
    offered: Vec<f64>,
    delivered: Vec<f64>,
    lost: Vec<f64>,
    lossless: Vec<f64>,
    /// Packets lost at [`EASE`] of that.
    lost_at_ease: Vec<f64>,
    /// Nanoseconds a packet of the processor that the source runs on, with the source and without.
    source: Vec<f64>,
    near: Vec<f64>,
    /// Of the delay line's thread, where there is one.
    line: Vec<f64>,
    busiest: Vec<f64>,
}

impl Samples {
    /// Takes a trial flat out; `source_alone` is what a packet costs where it is dropped at once.
    fn take(&mut self, trial: &Trial, lossless: f64, at_ease: &Trial, source_alone: f64) {
        let near = trial.source_nanos() - source_alone;
        self.offered.push(trial.offered_rate());
        self.delivered.push(trial.delivered_rate());
        self.lost.push(100.0 * trial.loss());
        self.lossless.push(lossless);
        self.lost_at_ease.push(at_ease.lost() as f64);
        self.source.push(trial.source_nanos());
        self.near.push(near);
        self.line.extend(trial.line_nanos());
        self.busiest.push(trial.line_nanos().unwrap_or(0.0).max(near));
    }

    fn figures(self, link: &str, size: usize) -> Vec<Figure> {
        const DELIVERED: &str = "delivered flat out";
        const LOSSLESS: &str = "most without loss";
        const BUSIEST: &str = "processor time of the busiest thread";
        let figure = |what: &str, unit, samples| Figure::new(SUITE, format!("{link}, {size} B: {what}"), unit, samples);
        let bridge = |what: &str| format!("{BRIDGE}, {size} B: {what}");
        let engine = !self.line.is_empty();
        if link == DROP {
            return vec![
                figure("offered flat out", "packets/s", self.offered),
                figure("processor time of the source", "ns a packet", self.source),
            ];
        }
        let mut delivered = figure(DELIVERED, "packets/s", self.delivered).against(bridge(DELIVERED));
        let mut busiest = figure(BUSIEST, "ns a packet", self.busiest).against(bridge(BUSIEST));
        if engine {
            delivered = delivered.aim(Aim::AboveBaseline);
            // Other work on the machine weighs less on processor time: a million a second is 1000 ns each.
            busiest = busiest.aim(Aim::BelowBaseline).aim(Aim::Below(1000.0));
        }
        let mut figures = vec![
            figure("offered flat out", "packets/s", self.offered),
            delivered,
            figure("lost flat out", "%", self.lost),
            figure(LOSSLESS, "packets/s", self.lossless).against(bridge(LOSSLESS)),
            busiest,
        ];
        if engine {
            figures.push(
                figure("lost at 80 % of the most without loss", "packets", self.lost_at_ease).aim(Aim::Below(1.0)),
            );
            figures.push(figure("processor time of XDP and copy", "ns a packet", self.near));
            figures.push(figure("processor time of the delay line", "ns a packet", self.line));
        }
        figures
    }
}

pub(crate) fn measure(session: &Session) -> Result<Vec<Figure>> {
    let mut beds = Vec::new();
    for (name, middle) in kinds() {
        session.check()?;
        beds.push((name, Bed::up(session, middle)?));
    }
    let mut samples: Vec<Samples> = Vec::new();
    samples.resize_with(SIZES.len() * beds.len(), Samples::default);
    for repeat in 1..=session.repeats {
        session.tell(&format!("links, {repeat} of {}", session.repeats));
        let mut places = samples.iter_mut();
        for size in SIZES {
            let mut source = Source::new(size)?;
            let mut source_alone = 0.0;
            for ((name, bed), samples) in beds.iter().zip(&mut places) {
                session.check()?;
                let flat_out = source.trial(bed, Rate::FlatOut)?;
                let lossless = search::most_without_loss(session, &mut source, bed, &flat_out)?;
                let at_ease = source.trial(bed, Rate::Paced(EASE * lossless.max(1.0)))?;
                if *name == DROP {
                    source_alone = flat_out.source_nanos();
                }
                samples.take(&flat_out, lossless, &at_ease, source_alone);
            }
        }
    }
    let mut places = samples.into_iter();
    let mut figures = Vec::new();
    for size in SIZES {
        for ((name, _), samples) in beds.iter().zip(&mut places) {
            figures.extend(samples.figures(name, size));
        }
    }
    for (_, bed) in beds {
        bed.down()?;
    }
    Ok(figures)
}
