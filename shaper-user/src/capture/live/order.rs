//! Packets of several interfaces, and of several processors at one interface, put in order of time.
//!
//! A packet is stamped before it is put where it can be read, so one with an earlier stamp may be read after one with a
//! later stamp: at another interface, or when two processors take packets in. All are held until nothing earlier can come:
//! until each interface had nothing left to be read a moment after the packet itself had been read. The clock of stamps has
//! no part in that, and may leap.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use anyhow::Context;

use super::source::{Batch, MOMENT};

/// Bytes and packets held at once, where an interface has always more to be read: beyond that the earliest go.
const HELD: usize = 1 << 28;
/// What a packet takes beside its bytes.
const ENTRY: usize = 64;

/// A packet in its turn.
pub(super) struct Packet<'a> {
    /// Which interface.
    pub(super) of: usize,
    pub(super) ts_ns: i64,
    pub(super) origlen: u32,
    pub(super) data: &'a [u8],
}

/// Stamp, number of arrival, place of the batch, and number in it.
type Entry = Reverse<(i64, u64, u32, u32)>;

struct Held {
    batch: Batch,
    left: usize,
}

/// What waits for its turn.
pub(super) struct Order {
    waiting: BinaryHeap<Entry>,
    batches: Vec<Option<Held>>,
    free: Vec<u32>,
    /// Since when nothing was left to be read, by interface.
    drained: Vec<Option<Instant>>,
    arrived: u64,
    held: usize,
    /// The latest stamp that has had its turn.
    latest: i64,
    late: u64,
}

impl Order {
    pub(super) fn new(interfaces: usize) -> Self {
        Self {
            waiting: BinaryHeap::new(),
            batches: Vec::new(),
            free: Vec::new(),
            drained: vec![None; interfaces],
            arrived: 0,
            held: 0,
            latest: i64::MIN,
            late: 0,
        }
    }

    /// Packets that had their turn after one with a later stamp.
    pub(super) const fn late(&self) -> u64 {
        self.late
    }

    pub(super) fn take(&mut self, batch: Batch) -> anyhow::Result<()> {
        if let (Some(slot), Some(drained)) = (self.drained.get_mut(batch.of), batch.drained) {
            *slot = Some(drained);
        }
        if batch.packets.is_empty() {
            return Ok(());
        }
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.batches.push(None);
                u32::try_from(self.batches.len() - 1).context("too much waits to be written")?
            }
        };
        for (number, packet) in (0..).zip(&batch.packets) {
            self.waiting.push(Reverse((packet.ts_ns, self.arrived, place, number)));
            self.arrived += 1;
            self.held += batch.data(number as usize).len() + ENTRY;
        }
        if let Some(slot) = self.batches.get_mut(place as usize) {
            *slot = Some(Held { left: batch.packets.len(), batch });
        }
        Ok(())
    }

    /// Hands on, in order, what nothing earlier can come before any more.
    pub(super) fn ready(&mut self, mut each: impl FnMut(Packet<'_>) -> anyhow::Result<()>) -> anyhow::Result<()> {
        // Where one interface has not been drained yet, nothing is known of what it has.
        let horizon = self.drained.iter().copied().min().flatten();
        while let Some(&Reverse((_, _, place, _))) = self.waiting.peek() {
            let read = self.batches.get(place as usize).and_then(Option::as_ref).map(|held| held.batch.read);
            let is_due = read.zip(horizon).is_some_and(|(read, horizon)| read + MOMENT <= horizon);
            if !is_due && self.held <= HELD {
                break;
            }
            self.next(&mut each)?;
        }
        Ok(())
    }

    /// Hands on all that is left, in order.
    pub(super) fn rest(&mut self, mut each: impl FnMut(Packet<'_>) -> anyhow::Result<()>) -> anyhow::Result<()> {
        while !self.waiting.is_empty() {
            self.next(&mut each)?;
        }
        Ok(())
    }

    fn next(&mut self, each: &mut impl FnMut(Packet<'_>) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let Some(Reverse((ts_ns, _, place, number))) = self.waiting.pop() else { return Ok(()) };
        let Some(slot) = self.batches.get_mut(place as usize) else { return Ok(()) };
        let Some(held) = slot else { return Ok(()) };
        let data = held.batch.data(number as usize);
        self.held -= data.len() + ENTRY;
        self.late += u64::from(ts_ns < self.latest);
        self.latest = self.latest.max(ts_ns);
        let origlen = held.batch.packets.get(number as usize).map_or(0, |packet| packet.origlen);
        let handed_on = each(Packet { of: held.batch.of, ts_ns, origlen, data });
        held.left -= 1;
        if held.left == 0 {
            *slot = None;
            self.free.push(place);
        }
        handed_on
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A batch of packets that have their stamps for bytes.
    fn batch(of: usize, read: Instant, drained: Option<Instant>, stamps: &[i64]) -> Batch {
        let mut batch = Batch::new(of);
        (batch.read, batch.drained) = (read, drained);
        for stamp in stamps {
            batch.push(*stamp, 60, &stamp.to_be_bytes());
        }
        batch
    }

    fn ready(order: &mut Order) -> Vec<(usize, i64)> {
        let mut got = Vec::new();
        let each = |packet: Packet<'_>| {
            assert_eq!(packet.data, packet.ts_ns.to_be_bytes());
            got.push((packet.of, packet.ts_ns));
            Ok(())
        };
        order.ready(each).unwrap();
        got
    }

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn a_packet_waits_until_no_interface_can_have_an_earlier_one() {
        let start = Instant::now();
        let mut order = Order::new(2);
        order.take(batch(0, at(start, 1), Some(start), &[50, 40])).unwrap();
        assert_eq!(ready(&mut order), [], "of the other one nothing is known");
        order.take(batch(1, at(start, 5), Some(at(start, 4)), &[45])).unwrap();
        order.take(batch(0, at(start, 70), Some(at(start, 69)), &[])).unwrap();
        assert_eq!(ready(&mut order), [], "the other one was drained too early to know");
        order.take(batch(1, at(start, 60), Some(at(start, 54)), &[])).unwrap();
        // 40 and 50 were read at 1 ms, which is 50 ms before 54 and more; what was read at 5 ms is not.
        assert_eq!(ready(&mut order), [(0, 40)], "45 stands before 50, and has to wait");
        order.take(batch(1, at(start, 70), Some(at(start, 69)), &[])).unwrap();
        assert_eq!(ready(&mut order), [(1, 45), (0, 50)]);
        assert_eq!(order.late(), 0);
        assert_eq!(order.held, 0);
        assert!(order.batches.iter().all(Option::is_none));
    }

    #[test]
    fn an_interface_that_always_has_more_holds_up_no_more_than_there_is_room_for() {
        let start = Instant::now();
        let mut order = Order::new(1);
        let big = vec![7; 1 << 20];
        for number in 0..300 {
            let mut batch = Batch::new(0);
            batch.read = start;
            batch.push(number, 1 << 20, &big);
            order.take(batch).unwrap();
        }
        let mut got = Vec::new();
        let keep = |got: &mut Vec<i64>, packet: &Packet<'_>| {
            got.push(packet.ts_ns);
            Ok(())
        };
        order.ready(|packet| keep(&mut got, &packet)).unwrap();
        assert!(order.held <= HELD && !got.is_empty() && got.is_sorted(), "{} held, {} went", order.held, got.len());
        let went = got.len();
        order.rest(|packet| keep(&mut got, &packet)).unwrap();
        assert_eq!(got, Vec::from_iter(0..300), "{went} had gone before");
    }

    #[test]
    fn what_comes_too_late_is_counted_and_a_clock_that_leaps_holds_nothing_up() {
        let start = Instant::now();
        let mut order = Order::new(1);
        order.take(batch(0, start, Some(start), &[1_000_000])).unwrap();
        order.take(batch(0, at(start, 50), Some(at(start, 49)), &[10, 11])).unwrap();
        assert_eq!(ready(&mut order), [], "10 was read just now, and stands before the other one");
        order.take(batch(0, at(start, 110), Some(at(start, 109)), &[])).unwrap();
        assert_eq!(ready(&mut order), [(0, 10), (0, 11), (0, 1_000_000)]);
        order.take(batch(0, at(start, 120), Some(at(start, 200)), &[12])).unwrap();
        assert_eq!(ready(&mut order), [(0, 12)]);
        assert_eq!(order.late(), 1);
    }
}
