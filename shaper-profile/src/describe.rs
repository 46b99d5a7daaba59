//! One line about a direction, a change, a rule.

use std::fmt;

use crate::effect::{Held, LossPosition};
use crate::expected::{Expected, percent};
use crate::loss::Loss;
use crate::outages::share;
use crate::profile::{Change, Direction, Link, Outages, RuleProfile};
use crate::quantity::{Duration, QueueLimit};

impl fmt::Display for Outages {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return formatter.write_str("no outages");
        }
        formatter.write_str("outages")?;
        let mut separator = " ";
        if !self.rate.is_zero() {
            write!(formatter, " {:#} of {:#}", self.rate, self.length)?;
            separator = " and ";
        }
        if let Some(flap) = self.flap {
            write!(formatter, "{separator}in turn {flap:#}")?;
            separator = " and ";
        }
        for outage in &self.scheduled {
            write!(formatter, "{separator}{:#} at {:#}", outage.length, outage.at)?;
            if let Some(every) = outage.every {
                write!(formatter, " and every {every:#}")?;
            }
            separator = ", ";
        }
        if self.held == Held::Lost {
            formatter.write_str(" that lose what is on its way")?;
        }
        Ok(())
    }
}

impl fmt::Display for Expected {
    /// Such as "delay 15 ms +-30 ms uniform (cut at 0: 25 % at 0, mean 16.9 ms), loss 5 %, outages 1 %/s of
    /// 500 ms, order free".
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = self.direction();
        let mut parts = vec![delay(direction)];
        if self.delay.is_cut() {
            let zero = self.delay.zero_share();
            let mean = self.delay.mean().0 as f64 / 1e6;
            parts = vec![format!("{} (cut at 0: {} at 0, mean {mean:.1} ms)", delay(direction), percent(zero))];
        }
        parts.push(loss(direction, Some(self)));
        parts.extend(before_outages(direction));
        parts.push(self.outages().to_string());
        parts.extend(behind_outages(direction));
        if direction.trace.is_some() {
            parts.push("of which these are the means".to_owned());
        }
        formatter.write_str(&parts.join(", "))?;
        if !self.outages().is_none() {
            let down = share(&self.windows, self.horizon.0);
            write!(formatter, " (down {} of {:#})", percent(down), self.horizon)?;
        }
        Ok(())
    }
}

/// All that is set, as it was written: what comes of it is told by [`Expected`].
impl fmt::Display for Direction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = vec![delay(self), loss(self, None)];
        parts.extend(before_outages(self));
        parts.extend(behind_outages(self));
        formatter.write_str(&parts.join(", "))
    }
}

/// Such as "from 10 s a to b and b to a: delay 20 ms, loss 5 %, order free".
impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "from {:#} {}", self.at, both(&self.a_to_b, &self.b_to_a))
    }
}

/// Such as "rule voice (udp port 5000) a to b and b to a: delay 20 ms, no loss, order free".
impl fmt::Display for RuleProfile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, filter, link, .. } = self;
        write!(formatter, "rule {name} ")?;
        if name != filter {
            write!(formatter, "({filter}) ")?;
        }
        formatter.write_str(&both(&link.a_to_b, &link.b_to_a))?;
        if link.outages.is_none() { Ok(()) } else { write!(formatter, ", {}", link.outages) }
    }
}

impl Link {
    /// A line for each change and each rule, and one for a timeline that begins anew.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        let changes = self.changes.iter().map(ToString::to_string);
        let repeat = self.repeat.map(|repeat| format!("from {repeat:#} as from the start"));
        changes.chain(repeat).chain(self.rules.iter().map(ToString::to_string)).collect()
    }
}

fn both(a_to_b: &Direction, b_to_a: &Direction) -> String {
    if a_to_b == b_to_a {
        format!("a to b and b to a: {a_to_b}")
    } else {
        format!("a to b: {a_to_b}; b to a: {b_to_a}")
    }
}

fn delay(direction: &Direction) -> String {
    if !direction.has_delay() {
        return "no delay".to_owned();
    }
    let mut text = format!("delay {:#}", direction.delay);
    if direction.has_jitter() {
        text += &format!(" +-{:#} {:#}", direction.jitter, direction.distribution);
    }
    if !direction.correlation_time.is_zero() {
        text += &format!(" correlated over {:#}", direction.correlation_time);
    }
    text
}

fn loss(direction: &Direction, expected: Option<&Expected>) -> String {
    let asked = &direction.loss;
    if asked.is_none() {
        return "no loss".to_owned();
    }
    let behind = if direction.loss_position == LossPosition::After { " behind the bottleneck" } else { "" };
    let Some(expected) = expected.filter(|expected| expected.is_correlated()) else {
        return format!("loss {asked:#}{behind}");
    };
    let burst = format!("{:.1} packets lost in a row", expected.loss.burst);
    match (asked, asked.ratio()) {
        (Loss::Bursts { .. } | Loss::Every(_), _) => format!("loss {asked:#}{behind}"),
        (_, Some(_)) => format!("loss {asked:#}{behind} ({burst})"),
        (_, None) => format!("loss {asked:#}{behind} ({} lost, {burst})", percent(expected.loss.ratio)),
    }
}

/// What follows the loss: marks, damage, policer, bottleneck, slots.
fn before_outages(direction: &Direction) -> Vec<String> {
    let mut parts = Vec::new();
    if direction.ecn.is_on() {
        parts.push("marked CE instead where ECT".to_owned());
    }
    if !direction.duplicate.is_none() {
        parts.push(format!("duplicates {:#}", direction.duplicate));
    }
    if !direction.corrupt.is_none() {
        parts.push(format!("corruption {:#}", direction.corrupt));
    }
    if let Some(policer) = direction.policer {
        parts.push(format!("policer {policer:#}"));
    }
    parts.extend(bottleneck(direction));
    if let Some(slot) = direction.slot {
        parts.push(format!("slots {slot:#}"));
    }
    parts
}

fn bottleneck(direction: &Direction) -> Vec<String> {
    let mut framing = Vec::new();
    match direction.overhead {
        crate::effect::Overhead::Bytes(0) => {}
        overhead @ crate::effect::Overhead::Bytes(_) => framing.push(format!("{overhead:#} overhead a packet")),
        crate::effect::Overhead::Ethernet => framing.push("ethernet overhead".to_owned()),
    }
    if let Some(cell) = direction.cell {
        framing.push(format!("cells of {cell:#}"));
    }
    let framing = framing.join(" and ");
    if direction.rate.is_unlimited() {
        return if framing.is_empty() { Vec::new() } else { vec![framing] };
    }
    let with = if framing.is_empty() { String::new() } else { format!(" with {framing}") };
    let mut parts = vec![format!("rate {:#}{with}", direction.rate)];
    let queue = Duration(direction.queue_time());
    parts.push(match direction.queue {
        Some(limit @ (QueueLimit::Bytes(_) | QueueLimit::Packets(_))) => {
            format!("queue {limit:#} ({:.1} ms)", queue.as_millis_f64())
        }
        Some(QueueLimit::Time(_)) => format!("queue {queue:#}"),
        None => format!("queue {:.1} ms (default)", queue.as_millis_f64()),
    });
    if !direction.aqm.is_none() {
        parts.push(format!("{:#}", direction.aqm));
    }
    parts
}

/// What follows the outages: order, reordering, whose state it is, a trace.
fn behind_outages(direction: &Direction) -> Vec<String> {
    let mut parts = vec![format!("order {}", direction.order)];
    if !direction.reorder.is_none() {
        parts.push(format!("reordering {:#}", direction.reorder));
    }
    if !direction.scope.is_link() {
        parts.push(format!("{:#}", direction.scope));
    }
    if let Some(trace) = &direction.trace {
        parts.push(format!("trace {trace:#}"));
    }
    parts
}
