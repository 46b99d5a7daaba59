//! One direction's settings as integers, with the table of its delays where it has one.

use std::sync::Arc;

use shaper_channel::{ChannelSpec, Tables};
use shaper_common::aqm;
use shaper_common::aqm::codel::CodelSettings;
use shaper_common::aqm::control::{Gains, per_nano};
use shaper_common::aqm::pi2::Pi2Settings;
use shaper_common::aqm::pie::PieSettings;
use shaper_common::aqm::step::StepSettings;
use shaper_common::chance::Chance;
use shaper_common::corrupt::{self, ANYWHERE};
use shaper_common::delay::Jitter;
use shaper_common::duplicate;
use shaper_common::layout::{Params, flags};
use shaper_common::police::PolicerSettings;
use shaper_common::process;
use shaper_common::quantile::Quantiles;
use shaper_common::reorder;
use shaper_common::slot::Slots;
use shaper_common::units::{Nanos, Probability};

use crate::distribution::{DelayDistribution, Shape, TableFile, quantiles};
use crate::effect::{
    Aqm, Corrupt, Damage, Distribution, Duplicate, Held, LossPosition, Part, Reorder, Scope, Slot, SlotShape, SlotTime,
};
use crate::error::{CompileError, Invalid};
use crate::profile::{Direction, FULL_PACKET};
use crate::quantity::{Percent, QueueLimit};

/// PIE's gains in thousandths of a hertz, RFC 8033, section 4.2.
const PIE_ALPHA: u32 = 125;
const PIE_BETA: u32 = 1_250;
/// What PIE lets pass at first, RFC 8033, section 4.4.
const PIE_MAX_BURST: Nanos = Nanos(150_000_000);
/// PIE marks up to this probability and drops beyond, RFC 8033, section 5.1.
const PIE_ECN: f64 = 0.1;

/// What a direction comes to.
pub(super) struct Settings {
    /// Without outages.
    pub(super) channel: ChannelSpec,
    /// Queueing not included.
    pub(super) delay: DelayDistribution,
    /// What it was compiled from: a direction that follows a trace as it is in the mean.
    pub(super) direction: Direction,
    /// By how much a trace's longest delay and queueing are above that.
    pub(super) longest: Nanos,
}

impl Settings {
    pub(super) fn of(direction: &Direction, seed: u64, stream: u32, held: Held) -> Result<Self, CompileError> {
        let mut params = direction.params(seed, stream);
        if held == Held::Lost {
            params.flags |= flags::IN_FLIGHT_LOST;
        }
        let delay = match shape(direction)? {
            Some(shape) => DelayDistribution::of_table(quantiles(&shape, direction.delay.0, direction.jitter.0)),
            None => DelayDistribution::of(&params),
        };
        if delay.table().is_some() {
            params.jitter_kind = Jitter::Table as u32;
        }
        let flows = match direction.scope {
            Scope::Link => 0,
            Scope::Flow { flows } => flows,
        };
        let tables = Tables { delay: delay.table().map(Arc::clone), slot: direction.slot.and_then(slot_table) };
        let channel = ChannelSpec { tables, flows, ..ChannelSpec::plain(params) };
        Ok(Self { channel, delay, direction: direction.clone(), longest: Nanos::ZERO })
    }
}

/// The shape of the delay's distribution where the decision knows it as a table.
fn shape(direction: &Direction) -> Result<Option<Shape>, CompileError> {
    let shape = match &direction.distribution {
        Distribution::Table(path) => Shape::Table(table(path)?),
        _ if direction.jitter.is_zero() => return Ok(None),
        Distribution::Uniform | Distribution::Normal => return Ok(None),
        Distribution::Pareto => Shape::Pareto,
        Distribution::ParetoNormal => Shape::ParetoNormal,
    };
    let invalid = |problem: &str, hint: &str| {
        CompileError::Invalid(Invalid { key: "jitter", problem: problem.to_owned(), hint: hint.to_owned() })
    };
    if shape.is_absolute() && !direction.jitter.is_zero() {
        return Err(invalid(
            "the table holds delays of its own, which no jitter stretches",
            "leave the jitter out, or write the table in sigmas: values without a unit",
        ));
    }
    if !shape.is_absolute() && direction.jitter.is_zero() {
        return Err(invalid("the table is in sigmas, and there is none", "set a jitter, for example jitter = \"5ms\""));
    }
    Ok(Some(shape))
}

fn table(path: &str) -> Result<TableFile, CompileError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| CompileError::Read { path: path.to_owned(), what: source.to_string() })?;
    let read = if path.ends_with(".dist") { TableFile::read_dist } else { TableFile::read_quantiles };
    Ok(read(path, &text)?)
}

impl Direction {
    /// The settings as integers, without outages and without a table.
    #[must_use]
    pub fn params(&self, seed: u64, stream: u32) -> Params {
        let chain = self.loss.chain();
        let (period, pattern) = self.loss.pattern();
        let jitter = if self.jitter.is_zero() {
            Jitter::None
        } else {
            match self.distribution {
                Distribution::Uniform => Jitter::Uniform,
                Distribution::Normal => Jitter::Normal,
                Distribution::Pareto | Distribution::ParetoNormal | Distribution::Table(_) => Jitter::Table,
            }
        };
        let mut on = 0;
        if self.ecn.is_on() {
            on |= flags::ECN;
        }
        if self.loss_position == LossPosition::After {
            on |= flags::LOSS_BEHIND;
        }
        if !self.scope.is_link() {
            on |= flags::FLOWS;
        }
        let params = Params {
            seed,
            loss: self.loss.probability(),
            chain: chain.unwrap_or_default(),
            has_chain: u32::from(chain.is_some()),
            pattern,
            period,
            duplicate: duplicated(&self.duplicate),
            corrupt: corrupted(&self.corrupt),
            policer: self.policer.map_or_else(PolicerSettings::default, |policer| PolicerSettings {
                rate: policer.rate.0,
                burst: policer.burst_time(),
            }),
            rate: self.rate.0,
            queue: self.longest_queue(),
            full_packet: self.service_time(self.wire_bytes(FULL_PACKET)),
            delay: self.delay.0,
            jitter: self.jitter.0,
            per_nano: process::per_nano(self.correlation_time.0).unwrap_or(0),
            reorder: reordered(&self.reorder),
            slots: self.slot.as_ref().map_or_else(Slots::default, slots),
            overhead: i32::try_from(self.overhead.bytes()).unwrap_or(i32::MAX),
            least: u32::try_from(self.overhead.least_frame()).unwrap_or(0),
            cell: self.cell.map_or(0, |cell| cell.payload),
            cell_overhead: self.cell.map_or(0, |cell| cell.header),
            queue_packets: match self.queue {
                Some(QueueLimit::Packets(packets)) => packets,
                _ => 0,
            },
            jitter_kind: jitter as u32,
            order: self.order.compiled() as u32,
            stream,
            flags: on,
            ..Params::default()
        };
        self.managed(params)
    }

    /// The longest time in the queue: of one in packets there is none, for its packets may be long.
    fn longest_queue(&self) -> Nanos {
        match self.queue {
            Some(QueueLimit::Packets(_)) if !self.rate.is_unlimited() => Nanos::MAX,
            _ => self.queue_time(),
        }
    }

    fn managed(&self, params: Params) -> Params {
        match self.aqm {
            Aqm::None => params,
            Aqm::Codel { target, interval } => Params {
                aqm: aqm::Aqm::Codel as u32,
                codel: CodelSettings { target: target.0, interval: interval.0 },
                ..params
            },
            Aqm::Pie { target, update } => Params {
                aqm: aqm::Aqm::Pie as u32,
                pie: PieSettings {
                    gains: Gains {
                        target: target.0,
                        update: update.0,
                        alpha: per_nano(PIE_ALPHA),
                        beta: per_nano(PIE_BETA),
                    },
                    max_burst: PIE_MAX_BURST,
                    // Two full packets, RFC 8033, section 4.1.
                    short: Nanos(2 * params.full_packet.0),
                    ecn_threshold: Probability((PIE_ECN * 2f64.powi(32)).round() as u64),
                    derandomise: 1,
                    ..PieSettings::default()
                },
                ..params
            },
            Aqm::Pi2 { target, update } => Params {
                aqm: aqm::Aqm::Pi2 as u32,
                pi2: Pi2Settings {
                    gains: Gains { target: target.0, update: update.0, ..Pi2Settings::default().gains },
                    // Two full packets, as PIE has it.
                    short: Nanos(2 * params.full_packet.0),
                    ..Pi2Settings::default()
                },
                ..params
            },
            Aqm::Step { threshold } => Params {
                aqm: aqm::Aqm::Step as u32,
                step: StepSettings { threshold: threshold.0, range: Nanos::ZERO },
                ..params
            },
        }
    }
}

/// The share of yes, and the correlation of one packet's answer with the last one's.
fn chance(ratio: Percent, correlation: Percent) -> Chance {
    let (p, c) = (ratio.fraction(), correlation.fraction());
    let threshold = |of: f64| Probability((of * 2f64.powi(32)).round() as u64);
    if correlation.is_zero() {
        return Chance::independent(ratio.probability());
    }
    Chance::new(ratio.probability(), threshold(p * (1.0 - c)), threshold(p + c * (1.0 - p)))
}

fn duplicated(duplicate: &Duplicate) -> duplicate::Duplicate {
    duplicate::Duplicate {
        chance: chance(duplicate.ratio, duplicate.correlation),
        spacing: duplicate.delay.0,
        copies: duplicate.copies,
        ..duplicate::Duplicate::default()
    }
}

fn corrupted(corrupt: &Corrupt) -> corrupt::Corrupt {
    let (bits, bytes) = match corrupt.damage {
        Damage::Bits(bits) => (bits, 0),
        Damage::Bytes(bytes) => (0, bytes),
    };
    let part = match corrupt.part {
        Part::Any => corrupt::Part::Any,
        Part::L3 => corrupt::Part::Network,
        Part::L4 => corrupt::Part::Transport,
        Part::Payload => corrupt::Part::Payload,
    };
    corrupt::Corrupt {
        chance: chance(corrupt.ratio, corrupt.correlation),
        part: part as u32,
        at: corrupt.at.unwrap_or(ANYWHERE),
        bits,
        bytes,
        repair: u32::from(corrupt.repaired),
        ..corrupt::Corrupt::default()
    }
}

fn reordered(reorder: &Reorder) -> reorder::Reorder {
    reorder::Reorder {
        chance: chance(reorder.ratio, reorder.correlation),
        gap: reorder.gap,
        ..reorder::Reorder::default()
    }
}

/// The times between slots where they are by a table.
fn slot_table(slot: Slot) -> Option<Arc<Quantiles>> {
    let SlotTime::Around { mean, jitter, shape } = slot.time else { return None };
    let shape = match shape {
        SlotShape::Uniform | SlotShape::Normal => return None,
        SlotShape::Pareto => Shape::Pareto,
        SlotShape::ParetoNormal => Shape::ParetoNormal,
    };
    Some(Arc::from(quantiles(&shape, mean.0, jitter.0).quantiles))
}

fn slots(slot: &Slot) -> Slots {
    let (gap, spread, kind) = match slot.time {
        SlotTime::Fixed(time) => (time.0, Nanos::ZERO, Jitter::None),
        SlotTime::Between { least, most } => {
            let half = Nanos((most.0.0 - least.0.0) / 2);
            (least.0.saturating_add(half), half, Jitter::Uniform)
        }
        SlotTime::Around { mean, jitter, shape } => {
            let kind = match shape {
                SlotShape::Uniform => Jitter::Uniform,
                SlotShape::Normal => Jitter::Normal,
                SlotShape::Pareto | SlotShape::ParetoNormal => Jitter::Table,
            };
            (mean.0, jitter.0, kind)
        }
    };
    Slots {
        gap,
        spread,
        kind: kind as u32,
        packets: slot.packets.map_or(0, std::num::NonZeroU32::get),
        bytes: slot.bytes.map_or(0, |bytes| u32::try_from(bytes.0).unwrap_or(u32::MAX)),
        ..Slots::default()
    }
}
