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
fn kinds() -> [(&'static str, Middle); 6] {
    let engine = |params, records| Middle::Engine { params, records, frames: FRAMES };
    [
        ("nothing but a drop", Middle::Drop),
        ("kernel bridge", Middle::Bridge),
        ("XDP redirect", Middle::Redirect),
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
    source: Vec<f64>,
    line: Vec<f64>,
}

impl Samples {
    fn take(&mut self, trial: &Trial, lossless: f64) {
        self.offered.push(trial.offered_rate());
        self.delivered.push(trial.delivered_rate());
        self.lost.push(100.0 * trial.loss());
        self.lossless.push(lossless);
        self.source.push(trial.source_nanos());
        self.line.extend(trial.line_nanos());
    }

    fn figures(self, link: &str, size: usize) -> Vec<Figure> {
        let bridge = |what: &str| format!("kernel bridge, {size} B: {what}");
        let name = |what: &str| format!("{link}, {size} B: {what}");
        let engine = link.starts_with("engine");
        let mut figures = Vec::new();
        if link != "nothing but a drop" {
            let delivered =
                Figure::new(SUITE, name("delivered"), "packets/s", self.delivered).against(bridge("delivered"));
            figures.push(if engine { delivered.aim(Aim::AboveBaseline).aim(Aim::Above(1e6)) } else { delivered });
            figures.push(Figure::new(SUITE, name("lost of what was offered"), "%", self.lost));
            figures.push(
                Figure::new(SUITE, name("most without loss"), "packets/s", self.lossless)
                    .against(bridge("most without loss")),
            );
        }
        figures.push(Figure::new(SUITE, name("offered"), "packets/s", self.offered));
        figures.push(Figure::new(SUITE, name("source and link on its processor"), "ns a packet", self.source));
        if engine {
            figures.push(Figure::new(SUITE, name("delay line's thread"), "ns a packet", self.line));
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
            for ((_, bed), samples) in beds.iter().zip(&mut places) {
                session.check()?;
                let flat_out = source.trial(bed, Rate::FlatOut)?;
                let lossless = search::most_without_loss(session, &mut source, bed, &flat_out)?;
                samples.take(&flat_out, lossless);
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
