//! netem's options (the manual page tc-netem(8)), and what they are here.

use std::collections::VecDeque;

use super::super::error::{Notes, Wrong};
use super::super::units::{share, size, speed, time};
use super::super::{Options, number};
use super::queue::packets;
use crate::effect::{Cell, Corrupt, Distribution, Duplicate, Ecn, Order, Overhead, Reorder, Slot, SlotShape, SlotTime};
use crate::exchange::export::netem::in_flight;
use crate::loss::Loss;
use crate::profile::Direction;
use crate::quantity::{Duration, Percent, Size};

/// What is said where netem's correlation of neighbours becomes ours.
pub(super) const CORRELATED: &str = "netem's correlation makes rare events rarer than their percentage; here the \
    percentage is kept, and neighbours have the correlation";

/// netem's own bound where none is given.
const LIMIT: u64 = 1_000;

/// What stands for netem's correlation of jitter from packet to packet: the time that was asked for, else none.
pub(super) fn jitter_correlation(
    correlation: Percent,
    line: usize,
    direction: &Direction,
    options: &Options,
    notes: &mut Notes,
) -> Duration {
    match options.correlation_time {
        Some(time) if direction.has_jitter() => time,
        _ => {
            notes.at(
                line,
                format!(
                    "a correlation of {correlation:#} from packet to packet has no counterpart: jitter is \
                        correlated over \
                     time here; it is left out, or give --correlation-time"
                ),
            );
            Duration::ZERO
        }
    }
}

/// A word and its line.
pub(super) type Word = (usize, String);

/// The options behind the word "netem", taken one after another.
pub(super) struct NetemWords<'n> {
    words: VecDeque<Word>,
    line: usize,
    notes: &'n mut Notes,
}

type Result<T> = std::result::Result<T, Wrong>;

impl<'n> NetemWords<'n> {
    pub(super) fn new(words: impl IntoIterator<Item = Word>, line: usize, notes: &'n mut Notes) -> Self {
        Self { words: words.into_iter().collect(), line, notes }
    }

    fn wrong(&self, problem: impl Into<String>) -> Wrong {
        Wrong::new(self.line, problem, "write it as tc-netem(8) does")
    }

    fn word(&mut self, what: &str) -> Result<String> {
        let (line, word) = self.words.pop_front().ok_or_else(|| self.wrong(format!("{what} is missing at the end")))?;
        self.line = line;
        Ok(word)
    }

    fn read<T>(&mut self, what: &str, read: fn(&str) -> std::result::Result<T, String>) -> Result<T> {
        let word = self.word(what)?;
        read(&word).map_err(|problem| self.wrong(format!("{what}: {problem}")))
    }

    /// The next word if it begins a number.
    fn optional<T>(&mut self, what: &str, read: fn(&str) -> std::result::Result<T, String>) -> Result<Option<T>> {
        let is_number =
            |(_, word): &Word| word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+'));
        if self.words.front().is_some_and(is_number) { self.read(what, read).map(Some) } else { Ok(None) }
    }

    fn takes(&mut self, word: &str) -> bool {
        let is_next = self.words.front().is_some_and(|(_, next)| next == word);
        if is_next {
            self.words.pop_front();
        }
        is_next
    }

    /// All options, as a direction.
    pub(super) fn direction(mut self, options: &Options) -> Result<Direction> {
        let start = self.line;
        let mut direction = Direction::default();
        let mut seen: Vec<String> = Vec::new();
        let (mut limit, mut gap, mut is_named) = (None, None, false);
        while let Some((line, option)) = self.words.pop_front() {
            self.line = line;
            if seen.contains(&option) {
                return Err(self.wrong(format!("\"{option}\" stands there twice")));
            }
            match option.as_str() {
                "limit" => limit = Some((line, self.read("limit", count)?)),
                "delay" | "latency" => self.delay(&mut direction, options)?,
                "distribution" => {
                    direction.distribution = self.distribution()?;
                    is_named = true;
                }
                "loss" | "drop" => direction.loss = self.loss()?,
                "ecn" => direction.ecn = Ecn(true),
                "corrupt" => {
                    let (ratio, correlation) = self.chance("corrupt")?;
                    direction.corrupt = Corrupt { ratio, correlation, ..Corrupt::default() };
                }
                "duplicate" => {
                    let (ratio, correlation) = self.chance("duplicate")?;
                    direction.duplicate = Duplicate { ratio, correlation, ..Duplicate::default() };
                }
                "reorder" => {
                    let (ratio, correlation) = self.chance("reorder")?;
                    direction.reorder = Reorder { ratio, correlation, ..Reorder::default() };
                }
                "gap" => gap = Some((line, self.read("gap", count)?)),
                "rate" => self.rate(&mut direction)?,
                "slot" => direction.slot = self.slot()?,
                "seed" => {
                    let seed = self.word("seed")?;
                    self.notes.at(line, format!("a profile has no seed: give the run --seed {seed}"));
                }
                _ => {
                    let known =
                        "limit, delay, distribution, loss, ecn, corrupt, duplicate, reorder, gap, rate, slot, seed";
                    return Err(Wrong::new(
                        line,
                        format!("netem has no option \"{option}\""),
                        format!("known: {known}"),
                    ));
                }
            }
            seen.push(option);
        }
        self.line = start;
        if is_named && direction.jitter.is_zero() {
            return Err(self.wrong("the distribution has no jitter: delay has but one time"));
        }
        if direction.ecn.is_on() && direction.loss.is_none() {
            return Err(self.wrong("ecn has no loss whose packets could be marked"));
        }
        if let Some((line, gap)) = gap {
            direction.reorder.gap = match u32::try_from(gap) {
                Ok(gap @ 1..=Reorder::LARGEST_GAP) => gap,
                _ => return Err(Wrong::new(line, format!("a gap of {gap} packets"), "write one from 1 to 1000000")),
            };
            if direction.reorder.is_none() {
                return Err(Wrong::new(line, "gap has no reorder", "write for example reorder 25% gap 5"));
            }
        }
        // With a rate netem lets no packet leave before the one ahead of it.
        if !direction.rate.is_unlimited() && direction.has_jitter() && direction.reorder.is_none() {
            direction.order = Order::Keep;
        }
        if !direction.duplicate.is_none() && direction.has_jitter() {
            self.notes.at(start, "netem draws a delay for each copy of a packet; here copies leave with it");
        }
        self.bound(&mut direction, limit);
        direction.check().map_err(|invalid| Wrong::invalid(start, &invalid))?;
        Ok(direction)
    }

    /// netem's bound counts what is delayed as well as what waits for the rate.
    fn bound(&mut self, direction: &mut Direction, limit: Option<(usize, u64)>) {
        if direction.rate.is_unlimited() {
            if let Some((line, _)) = limit {
                self.notes.at(line, "limit is left out: without a rate it only bounds what netem holds at once");
            }
            return;
        }
        let (line, limit) = limit.unwrap_or((self.line, LIMIT));
        let delayed = in_flight(direction);
        match limit.checked_sub(delayed).filter(|left| *left > 0) {
            Some(left) => {
                let (queue, note) = packets(left, direction);
                direction.queue = Some(queue);
                if delayed > 0 {
                    self.notes.at(
                        line,
                        format!(
                            "limit {limit} counts packets in the delay too: at the rate \
                        {delayed} full ones, which leaves a queue of {left}"
                        ),
                    );
                }
                if let Some(note) = note {
                    self.notes.at(line, note);
                }
            }
            None => self.notes.at(
                line,
                format!(
                    "netem's limit of {limit} is less than the {delayed} full packets \
                that delay and rate hold, and would bound the rate; here the rate holds, with the default queue"
                ),
            ),
        }
    }

    fn delay(&mut self, direction: &mut Direction, options: &Options) -> Result<()> {
        direction.delay = self.read("delay", time)?;
        if let Some(jitter) = self.optional("jitter", time)? {
            direction.jitter = jitter;
            if let Some(correlation) = self.optional("delay correlation", share)?.filter(|share| !share.is_zero()) {
                direction.correlation_time = jitter_correlation(correlation, self.line, direction, options, self.notes);
            }
        }
        Ok(())
    }

    fn distribution(&mut self) -> Result<Distribution> {
        let name = self.word("distribution")?;
        Ok(match name.as_str() {
            "uniform" => Distribution::Uniform,
            "normal" => Distribution::Normal,
            "pareto" => {
                self.notes.at(
                    self.line,
                    "netem's pareto is wider than its jitter says, by 2/sqrt(3), and ends at 4 \
                    jitters; for its width multiply the jitter by 1.155",
                );
                Distribution::Pareto
            }
            "paretonormal" => {
                self.notes.at(self.line, "netem's paretonormal table ends at 4 jitters; here its tail goes on");
                Distribution::ParetoNormal
            }
            file => {
                self.notes.at(
                    self.line,
                    format!(
                        "the distribution is read from \"{file}.dist\": put tc's file of that name beside the profile"
                    ),
                );
                Distribution::Table(format!("{file}.dist"))
            }
        })
    }

    /// A percentage and a correlation.
    fn chance(&mut self, what: &str) -> Result<(Percent, Percent)> {
        let ratio = self.read(what, share)?;
        let correlation = self.optional("correlation", share)?.unwrap_or_default();
        if correlation.fraction() >= 1.0 {
            return Err(self.wrong(format!("{what}: a correlation of 100 % gives every packet the fate of the first")));
        }
        if ratio.is_zero() {
            // What never happens is correlated with nothing, and is not written again.
            return Ok((ratio, Percent::default()));
        }
        if !correlation.is_zero() {
            self.notes.at(self.line, CORRELATED);
        }
        Ok((ratio, correlation))
    }

    fn loss(&mut self) -> Result<Loss> {
        let text = if self.takes("state") {
            let p13 = self.read("p13", share)?;
            let p31 = self.optional("p31", share)?;
            let p32 = self.optional("p32", share)?.unwrap_or_default();
            let p23 = self.optional("p23", share)?.map_or("100%".to_owned(), |share| share.to_string());
            let p14 = self.optional("p14", share)?.unwrap_or_default();
            let p31 = self.rest_of(p31, p13)?;
            format!("state {p13} {p31} {p32} {p23} {p14}")
        } else if self.takes("gemodel") {
            let p = self.read("p", share)?;
            let r = self.optional("r", share)?;
            let bad = self.optional("1-h", share)?.map_or("100%".to_owned(), |share| share.to_string());
            let good = self.optional("1-k", share)?.unwrap_or_default();
            let r = self.rest_of(r, p)?;
            format!("gemodel {p} {r} {bad} {good}")
        } else {
            let _ = self.takes("random");
            let (ratio, correlation) = self.chance("loss")?;
            if correlation.is_zero() { ratio.to_string() } else { format!("{ratio} correlation {correlation}") }
        };
        text.parse().map_err(|error| self.wrong(format!("loss: {error}")))
    }

    /// What netem takes where a way back is not given: the rest to 100 %.
    fn rest_of(&self, given: Option<Percent>, other: Percent) -> Result<Percent> {
        given.map_or_else(
            || number::percent(100.0 - other.fraction() * 100.0).map_err(|problem| self.wrong(problem)),
            Ok,
        )
    }

    fn rate(&mut self, direction: &mut Direction) -> Result<()> {
        direction.rate = self.read("rate", speed)?;
        let Some(overhead) = self.optional("packet overhead", signed)? else { return Ok(()) };
        let bytes = i16::try_from(overhead).ok().filter(|bytes| (-100..=10_000).contains(bytes));
        direction.overhead = Overhead::Bytes(
            bytes.ok_or_else(|| self.wrong(format!("a packet overhead of {overhead} is not from -100 to 10000")))?,
        );
        let Some(cell) = self.optional("cell size", size)?.filter(|cell| *cell > 0) else { return Ok(()) };
        let header = self.optional("cell overhead", signed)?.unwrap_or(0);
        let (Ok(payload @ ..=10_000), Ok(header @ ..=10_000)) = (u32::try_from(cell), u32::try_from(header)) else {
            return Err(
                self.wrong(format!("cells of {cell} and {header} bytes: neither can be negative or above 10000"))
            );
        };
        direction.cell = Some(Cell { payload, header });
        Ok(())
    }

    fn slot(&mut self) -> Result<Option<Slot>> {
        let (mut packets, mut bytes) = (None, None);
        let text = if self.takes("distribution") {
            let name = self.word("the slot's distribution")?;
            let shape: SlotShape = name.parse().map_err(|_| {
                self.wrong(format!(
                    "slot distribution {name}: slots have no table; write uniform, normal, pareto or paretonormal"
                ))
            })?;
            let (mean, jitter) = (self.read("the slot's delay", time)?, self.read("the slot's jitter", time)?);
            if jitter.is_zero() { mean.to_string() } else { format!("{mean} +-{jitter} {shape}") }
        } else {
            let least = self.read("the slot's shortest delay", time)?;
            match self.optional("the slot's longest delay", time)? {
                Some(most) if most != least => format!("{least} to {most}"),
                _ => least.to_string(),
            }
        };
        loop {
            if self.takes("packets") {
                packets = Some(self.read("the slot's packets", count)?).filter(|packets| *packets > 0);
            } else if self.takes("bytes") {
                bytes = Some(self.read("the slot's bytes", size)?).filter(|bytes| *bytes > 0);
            } else {
                break;
            }
        }
        let mut text = text;
        if let Some(packets) = packets {
            text += &format!(" packets {packets}");
        }
        if let Some(bytes) = bytes {
            text += &format!(" bytes {}", Size(bytes));
        }
        let mut slot: Slot = text.parse().map_err(|error| self.wrong(format!("slot: {error}")))?;
        if let SlotTime::Around { shape: SlotShape::Uniform, mean, jitter } = slot.time {
            let ends = (mean.0.0 - jitter.0.0, mean.0.0.saturating_add(jitter.0.0));
            if let (least @ 1.., most) = ends {
                let of = |nanos| Duration(shaper_common::units::Nanos(nanos));
                slot.time = SlotTime::Between { least: of(least), most: of(most) };
            }
        }
        Ok(Some(slot))
    }
}

fn count(text: &str) -> std::result::Result<u64, String> {
    text.parse::<u32>().map(u64::from).map_err(|_| format!("\"{text}\" is no whole number"))
}

fn signed(text: &str) -> std::result::Result<i64, String> {
    text.parse::<i32>().map(i64::from).map_err(|_| format!("\"{text}\" is no whole number"))
}
