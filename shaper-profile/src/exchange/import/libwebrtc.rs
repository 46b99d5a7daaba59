//! The fields of libwebrtc's `BuiltInNetworkBehaviorConfig` (`api/test/simulated_network.h`), as JSON or as names and
//! values: one a line or with commas between, `=` or `:` behind the name.
//!
//! | field | here |
//! | --- | --- |
//! | `queue_length_packets`, 0 for no bound | `queue` |
//! | `queue_delay_ms` | `delay` |
//! | `delay_standard_deviation_ms` | `jitter`, normal; what is below zero leaves at once there too |
//! | `link_capacity_kbps`, 0 for none; `link_capacity` with its unit | `rate` |
//! | `loss_percent`, `avg_burst_loss_length` (-1: each packet on its own) | `loss`, the same chain of two states |
//! | `allow_reordering` | `order` |
//! | `packet_overhead` | `overhead` |

use super::super::error::{Notes, Wrong};
use super::super::json::{self, Kind, Value};
use super::super::number::{MILLISECOND, duration, percent, rate};
use super::queue::packets;
use crate::effect::{Distribution, Order, Overhead};
use crate::loss::Loss;
use crate::profile::Direction;
use crate::quantity::{QueueLimit, Rate};

const FIELDS: &str = "queue_length_packets, queue_delay_ms, delay_standard_deviation_ms, link_capacity, \
     link_capacity_kbps, loss_percent, allow_reordering, avg_burst_loss_length, packet_overhead";

pub(in super::super) fn read(text: &str, notes: &mut Notes) -> Result<Direction, Wrong> {
    let value = if text.trim_start().starts_with('{') { json::read(text)? } else { listed(text)? };
    let mut fields = value.fields("the configuration")?;
    let line = fields.line;
    let mut direction = Direction::default();
    let of = |value: &Value, problem: String| value.wrong(problem);

    if let Some(value) = fields.take("queue_delay_ms") {
        direction.delay =
            duration(value.number("queue_delay_ms")?, MILLISECOND).map_err(|problem| of(value, problem))?;
    }
    if let Some(value) = fields.take("delay_standard_deviation_ms") {
        let deviation = value.number("delay_standard_deviation_ms")?;
        direction.jitter = duration(deviation, MILLISECOND).map_err(|problem| of(value, problem))?;
        if !direction.jitter.is_zero() {
            direction.distribution = Distribution::Normal;
        }
    }
    direction.order = match fields.take("allow_reordering") {
        Some(value) if truth(value)? => Order::Free,
        _ => Order::Keep,
    };
    match (fields.take("link_capacity"), fields.take("link_capacity_kbps")) {
        (Some(value), Some(_)) => return Err(value.wrong("link_capacity stands beside link_capacity_kbps")),
        (Some(value), None) => direction.rate = capacity(value)?,
        (None, Some(value)) => {
            let kilobits = value.number("link_capacity_kbps")?;
            if kilobits > 0.0 {
                direction.rate = rate(kilobits * 1e3).map_err(|problem| of(value, problem))?;
            }
        }
        (None, None) => {}
    }
    if let Some(value) = fields.take("packet_overhead") {
        let bytes = value.number("packet_overhead")?;
        if bytes > 10_000.0 || bytes.fract() != 0.0 {
            return Err(value.wrong(format!("packet_overhead: {bytes} is no whole number from 0 to 10000")));
        }
        direction.overhead = Overhead::Bytes(bytes as i16);
        if bytes > 0.0 {
            notes.at(
                value.line,
                "packet_overhead counts beside the packet that a test hands over, here beside the Ethernet frame",
            );
        }
    }
    if let Some(value) = fields.take("loss_percent") {
        let ratio = percent(value.number("loss_percent")?).map_err(|problem| of(value, problem))?;
        direction.loss = Loss::Independent(ratio);
        if let Some(burst) = fields.take("avg_burst_loss_length").filter(|burst| !is_minus_one(burst)) {
            let length = burst.number("avg_burst_loss_length")?;
            direction.loss =
                format!("{ratio} burst {length}").parse().map_err(|error| of(burst, format!("{error}")))?;
        }
    } else if let Some(burst) = fields.take("avg_burst_loss_length").filter(|burst| !is_minus_one(burst)) {
        notes.at(burst.line, "without a loss there are no bursts: avg_burst_loss_length is left out");
    }
    if let Some(value) = fields.take("queue_length_packets") {
        let length = value.number("queue_length_packets")?;
        if length.fract() != 0.0 || length > 1e9 {
            return Err(value.wrong(format!("queue_length_packets: {length} is no whole number up to 10^9")));
        }
        if direction.rate.is_unlimited() {
            notes.at(value.line, "without a capacity nothing waits: queue_length_packets is left out");
        } else {
            direction.queue = Some(queue(length as u64, &direction, value.line, notes));
        }
    } else if !direction.rate.is_unlimited() {
        direction.queue = Some(queue(0, &direction, line, notes));
    }
    if let Some(value) = fields.take("duration") {
        return Err(value.wrong("duration: settings over time are not read"));
    }
    fields.end(FIELDS)?;
    direction.check().map_err(|invalid| Wrong::invalid(line, &invalid))?;
    Ok(direction)
}

/// Without a bound, as many packets as are counted.
fn queue(length: u64, direction: &Direction, line: usize, notes: &mut Notes) -> QueueLimit {
    if length == 0 {
        notes.at(line, "a queue of 0 packets has no bound; here it has 4095");
        return QueueLimit::Packets(shaper_common::backlog::MOST_PACKETS);
    }
    let (queue, note) = packets(length, direction);
    if let Some(note) = note {
        notes.at(line, note);
    }
    queue
}

fn is_minus_one(value: &Value) -> bool {
    matches!(&value.kind, Kind::Number(text) | Kind::Text(text) if text.trim() == "-1")
}

fn truth(value: &Value) -> Result<bool, Wrong> {
    match &value.kind {
        Kind::Bool(truth) => Ok(*truth),
        Kind::Text(text) | Kind::Number(text) => match text.trim() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            other => Err(value.wrong(format!("\"{other}\" is neither true nor false"))),
        },
        _ => Err(value.wrong("it is neither true nor false")),
    }
}

/// A `DataRate` as libwebrtc prints it: bits, whatever case.
fn capacity(value: &Value) -> Result<Rate, Wrong> {
    let Kind::Text(text) = &value.kind else {
        return Err(Wrong::new(
            value.line,
            "link_capacity has no unit",
            "write link_capacity_kbps, or the unit: \"link_capacity\": \"1000 kbps\"",
        ));
    };
    let plain = text.trim().to_ascii_lowercase();
    if matches!(plain.as_str(), "infinity" | "+inf bps" | "inf" | "+inf") {
        return Ok(Rate::UNLIMITED);
    }
    let unit = [("kbps", 1e3), ("mbps", 1e6), ("gbps", 1e9), ("bps", 1.0)];
    let found = unit.into_iter().find_map(|(unit, bits)| Some((plain.strip_suffix(unit)?.trim(), bits)));
    let Some((number, bits)) = found else {
        return Err(value.wrong(format!("link_capacity: \"{text}\" has none of the units bps, kbps, Mbps, Gbps")));
    };
    let number = super::super::number::number(number).map_err(|problem| value.wrong(problem))?;
    rate(number * bits).map_err(|problem| value.wrong(format!("link_capacity: {problem}")))
}

/// Names and values as an object.
fn listed(text: &str) -> Result<Value, Wrong> {
    let mut entries: Vec<(String, Value)> = Vec::new();
    for (line, written) in text.lines().enumerate().map(|(number, line)| (number + 1, line)) {
        let written = written.split('#').next().unwrap_or_default();
        for field in written.split([',', ';']).map(str::trim).filter(|field| !field.is_empty()) {
            let hint = "write for example queue_delay_ms = 50";
            let (name, value) = field
                .split_once(['=', ':'])
                .ok_or_else(|| Wrong::new(line, format!("\"{field}\" is no name with its value"), hint))?;
            let name = name.trim().trim_start_matches("config.").trim_start_matches('.').trim_matches('"');
            if entries.iter().any(|(known, _)| known == name) {
                return Err(Wrong::new(line, format!("\"{name}\" stands there twice"), "keep one of them"));
            }
            let value = Value { line, kind: Kind::Text(value.trim().trim_matches('"').to_owned()) };
            entries.push((name.to_owned(), value));
        }
    }
    if entries.is_empty() {
        return Err(Wrong::new(1, "there are no fields", format!("known: {FIELDS}")));
    }
    Ok(Value { line: 1, kind: Kind::Object(entries) })
}
