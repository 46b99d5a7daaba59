//! netem's commands: every setting that has a counterpart in its options (the manual page tc-netem(8)).

use shaper_common::units::Nanos;

use super::Exported;
use crate::effect::{
    Corrupt, Damage, Distribution, Duplicate, LossPosition, Order, Overhead, Part, Slot, SlotShape, SlotTime,
};
use crate::loss::Loss;
use crate::profile::{Direction, FULL_PACKET};
use crate::quantity::{Duration, QueueLimit};

/// netem's bound on packets where there is no rate to reckon one from.
const WIDE_LIMIT: u64 = 100_000;

/// Full packets that the delay holds at the rate: netem's limit counts them beside those that wait.
pub(in super::super) fn in_flight(direction: &Direction) -> u64 {
    let packet_bits = u128::from(direction.wire_bytes(FULL_PACKET)) * 8_000_000_000;
    let bits = u128::from(direction.delay.0.0) * u128::from(direction.rate.0.0);
    u64::try_from(bits.div_ceil(packet_bits.max(1))).unwrap_or(u64::MAX)
}

/// The command, and what it does not say.
pub(super) fn command(direction: &Direction, device: &str) -> Exported {
    let mut words = vec![format!("tc qdisc replace dev {device} root netem")];
    let mut unsaid = Vec::new();
    words.extend(limit(direction, &mut unsaid));
    words.extend(delay(direction, &mut unsaid));
    words.extend(loss(direction, &mut unsaid));
    words.extend(damage(direction, &mut unsaid));
    words.extend(rate(direction, &mut unsaid));
    words.extend(direction.slot.map(slot_words));
    if !direction.aqm.is_none() {
        unsaid.push(format!("netem's queue is not managed: aqm {:#}", direction.aqm));
    }
    if let Some(policer) = direction.policer {
        unsaid.push(format!("netem has no policer: {policer:#}; tc has the action police for that"));
    }
    if !direction.scope.is_link() {
        unsaid.push("netem's state is that of all flows together".to_owned());
    }
    if let Some(trace) = &direction.trace {
        unsaid.push(format!("netem has no traces: {trace}"));
    }
    Exported { text: words.join(" "), unsaid }
}

fn limit(direction: &Direction, unsaid: &mut Vec<String>) -> Option<String> {
    if direction.rate.is_unlimited() {
        return direction.has_delay().then(|| format!("limit {WIDE_LIMIT}"));
    }
    let packet = direction.wire_bytes(FULL_PACKET);
    let waiting = match direction.queue {
        Some(QueueLimit::Packets(packets)) => u64::from(packets),
        Some(QueueLimit::Bytes(size)) if size.0 % packet == 0 => size.0 / packet,
        _ => {
            let bits = u128::from(direction.queue_time().0) * u128::from(direction.rate.0.0);
            let packets = u64::try_from(bits.div_ceil(u128::from(packet) * 8_000_000_000)).unwrap_or(u64::MAX).max(1);
            let queue =
                direction.queue.map_or_else(|| "the default queue".to_owned(), |queue| format!("a queue of {queue:#}"));
            unsaid.push(format!("netem counts packets: {queue} becomes {packets} full ones"));
            packets
        }
    };
    Some(format!("limit {}", waiting.saturating_add(in_flight(direction)).min(u64::from(u32::MAX))))
}

fn delay(direction: &Direction, unsaid: &mut Vec<String>) -> Option<String> {
    if !direction.has_delay() {
        return None;
    }
    let mut text = format!("delay {}", bare(direction.delay));
    if direction.has_jitter() {
        text += &format!(" {}", bare(direction.jitter));
        match &direction.distribution {
            Distribution::Uniform => {}
            Distribution::Table(path) => {
                let stem = std::path::Path::new(path)
                    .file_stem()
                    .map(|stem| stem.to_string_lossy().into_owned())
                    .unwrap_or_default();
                text += &format!(" distribution {stem}");
                unsaid.push(format!("tc reads tables from its library folder: put {path} there as {stem}.dist"));
            }
            named => {
                text += &format!(" distribution {named}");
                unsaid.extend(match named {
                    Distribution::Pareto => {
                        Some("netem's pareto is wider by 2/sqrt(3), and ends at 4 jitters".to_owned())
                    }
                    Distribution::ParetoNormal => Some("netem's paretonormal ends at 4 jitters".to_owned()),
                    _ => None,
                });
            }
        }
        if !direction.correlation_time.is_zero() {
            unsaid.push(format!("netem's jitter is not correlated over time: {:#}", direction.correlation_time));
        }
        match (direction.order, direction.rate.is_unlimited()) {
            (Order::Keep, true) => {
                unsaid.push("netem's jitter lets packets overtake where there is no rate".to_owned())
            }
            (Order::Free, false) if direction.reorder.is_none() => {
                unsaid.push("netem's packets do not overtake where there is a rate".to_owned());
            }
            _ => {}
        }
    }
    if !direction.reorder.is_none() {
        let reorder = direction.reorder;
        text += &format!(" reorder {}", reorder.ratio);
        if !reorder.correlation.is_zero() {
            text += &format!(" {}", reorder.correlation);
            unsaid.push(correlated("reordering"));
        }
        if reorder.gap > 1 {
            text += &format!(" gap {}", reorder.gap);
        }
    }
    Some(text)
}

fn loss(direction: &Direction, unsaid: &mut Vec<String>) -> Option<String> {
    let text = match direction.loss {
        Loss::Independent(ratio) if ratio.is_zero() => None,
        Loss::Independent(ratio) => Some(format!("loss {ratio}")),
        Loss::GilbertElliott { p, r, bad, good } => Some(format!("loss gemodel {p} {r} {bad} {good}")),
        Loss::FourState { p13, p31, p32, p23, p14 } => Some(format!("loss state {p13} {p31} {p32} {p23} {p14}")),
        Loss::Bursts { ratio, burst, max } => {
            if let Some(max) = max {
                unsaid.push(format!("netem's bursts of losses have no longest: {max}"));
            }
            let (q, length) = (ratio.fraction(), burst.packets());
            Some(two_states(q / ((1.0 - q) * length), 1.0 / length))
        }
        Loss::Correlated { ratio, correlation } => {
            let (q, rho) = (ratio.fraction(), correlation.fraction());
            Some(two_states(q * (1.0 - rho), (1.0 - q) * (1.0 - rho)))
        }
        Loss::Every(_) | Loss::Pattern(_) => {
            unsaid.push(format!("netem's losses follow no pattern: {:#}", direction.loss));
            None
        }
    };
    if text.is_some() && direction.loss_position == LossPosition::After {
        unsaid.push("netem's packets are lost before the rate, not behind it".to_owned());
    }
    match (direction.ecn.is_on(), text) {
        (true, Some(text)) => Some(format!("{text} ecn")),
        (true, None) => {
            unsaid.push("netem marks only what a loss would take".to_owned());
            None
        }
        (false, text) => text,
    }
}

/// A chain that is lost in one of two states.
fn two_states(begin: f64, end: f64) -> String {
    let percent = |of: f64| format!("{:.10}%", of.clamp(0.0, 1.0) * 100.0);
    format!("loss gemodel {} {}", percent(begin), percent(end))
}

fn damage(direction: &Direction, unsaid: &mut Vec<String>) -> Vec<String> {
    let mut words = Vec::new();
    let Corrupt { ratio, correlation, damage, part, at, repaired } = direction.corrupt;
    if !ratio.is_zero() {
        words.push(format!("corrupt {ratio}"));
        if !correlation.is_zero() {
            words.push(correlation.to_string());
            unsaid.push(correlated("corruption"));
        }
        if damage != Damage::Bits(1) || part != Part::Any || at.is_some() || repaired {
            unsaid.push(format!("netem flips one bit anywhere: corruption {:#}", direction.corrupt));
        }
    }
    let Duplicate { ratio, correlation, copies, delay } = direction.duplicate;
    if !ratio.is_zero() {
        words.push(format!("duplicate {ratio}"));
        if !correlation.is_zero() {
            words.push(correlation.to_string());
            unsaid.push(correlated("duplication"));
        }
        if copies != 1 || !delay.is_zero() {
            unsaid.push(format!("netem makes one copy, at once: duplicates {:#}", direction.duplicate));
        }
    }
    words
}

fn rate(direction: &Direction, unsaid: &mut Vec<String>) -> Option<String> {
    if direction.rate.is_unlimited() {
        return None;
    }
    let overhead = direction.overhead.bytes();
    if direction.overhead == Overhead::Ethernet {
        unsaid.push("netem does not pad short frames: overhead \"ethernet\" becomes 24 bytes".to_owned());
    }
    let mut text = format!("rate {}bit", direction.rate.0.0);
    if overhead != 0 || direction.cell.is_some() {
        text += &format!(" {overhead}");
    }
    if let Some(cell) = direction.cell {
        text += &format!(" {} {}", cell.payload, cell.header);
    }
    Some(text)
}

fn slot_words(slot: Slot) -> String {
    let mut text = match slot.time {
        SlotTime::Fixed(time) => format!("slot {}", bare(time)),
        SlotTime::Between { least, most } => format!("slot {} {}", bare(least), bare(most)),
        SlotTime::Around { mean, jitter, shape: SlotShape::Uniform } => {
            let ends = (mean.0.0.saturating_sub(jitter.0.0), mean.0.0.saturating_add(jitter.0.0));
            format!("slot {} {}", bare(Duration(Nanos(ends.0))), bare(Duration(Nanos(ends.1))))
        }
        SlotTime::Around { mean, jitter, shape } => {
            format!("slot distribution {shape} {} {}", bare(mean), bare(jitter))
        }
    };
    if let Some(packets) = slot.packets {
        text += &format!(" packets {packets}");
    }
    if let Some(bytes) = slot.bytes {
        text += &format!(" bytes {}", bytes.0);
    }
    text
}

/// A time with its unit, also where it is none: a bare number is microseconds to tc.
fn bare(time: Duration) -> String {
    if time.is_zero() { "0ms".to_owned() } else { time.to_string() }
}

fn correlated(what: &str) -> String {
    format!("netem's correlation makes {what} rarer than its percentage where that is small")
}
