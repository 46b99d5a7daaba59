//! What the merge carries along for a sink; without one, nothing.

use std::fmt;

use super::{
    feed::Head,
    flow::FlowKey,
    pending::Settled,
    point::Point,
    result::Way,
    sink::{Displaced, Fate, PacketRecord, Sighting, Sink},
};

/// Carried by every packet.
pub(super) trait Note: Copy + Default + fmt::Debug {
    /// Of a packet just read.
    fn seen(head: &Head) -> Self;
    /// The same, now that it met its counterpart, seen in that frame at that time.
    #[must_use]
    fn met(self, other: Self, frame: u32, ts: i64) -> Self;
    /// The same, now that its extent and late time are known.
    #[must_use]
    fn displaced(self, by: Option<(i64, i64)>) -> Self;
}

impl Note for () {
    fn seen(_: &Head) -> Self {}

    fn met(self, (): Self, _: u32, _: i64) -> Self {}

    fn displaced(self, _: Option<(i64, i64)>) -> Self {}
}

/// Carried for a sink.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Noted {
    interface: u32,
    bytes: u32,
    other: Option<(u32, u32, i64)>,
    displaced: Option<(i64, i64)>,
}

impl Note for Noted {
    fn seen(head: &Head) -> Self {
        Self { interface: head.interface, bytes: head.bytes, ..Self::default() }
    }

    fn met(self, other: Self, frame: u32, ts: i64) -> Self {
        Self { other: Some((frame, other.interface, ts)), ..self }
    }

    fn displaced(self, by: Option<(i64, i64)>) -> Self {
        Self { displaced: by, ..self }
    }
}

/// A packet that is settled.
pub(super) struct Told<'a, N> {
    /// Where its line of the log was.
    pub(super) point: Point,
    pub(super) sender: Option<Point>,
    pub(super) flow: Option<&'a FlowKey>,
    pub(super) fate: Fate,
    pub(super) entry: &'a Settled<N>,
}

/// Hears of what the merge settles.
pub(super) trait Watch {
    type Note: Note;
    fn flow(&mut self, index: u32, key: &FlowKey);
    fn packet(&mut self, told: Told<'_, Self::Note>);
}

/// Nobody listens.
pub(super) struct Unwatched;

impl Watch for Unwatched {
    type Note = ();

    #[inline]
    fn flow(&mut self, _: u32, _: &FlowKey) {}

    #[inline]
    fn packet(&mut self, _: Told<'_, ()>) {}
}

/// A sink listens.
pub(super) struct Watched<'s, S>(pub(super) &'s mut S);

impl<S: Sink> Watch for Watched<'_, S> {
    type Note = Noted;

    fn flow(&mut self, index: u32, key: &FlowKey) {
        self.0.flow(index, key);
    }

    fn packet(&mut self, told: Told<'_, Noted>) {
        let Told { point, sender, fate, entry, .. } = told;
        let note = &entry.note;
        let sighting = |frame: u32, interface, ts_ns| {
            Some(Sighting { frame: (frame != 0).then_some(frame.into()), interface, ts_ns })
        };
        let own = sighting(entry.frame, note.interface, entry.ts);
        let other = note.other.and_then(|(frame, interface, ts)| sighting(frame, interface, ts));
        let (a, b) = if point == Point::A { (own, other) } else { (other, own) };
        let apart = a.zip(b).map(|(a, b)| b.ts_ns.saturating_sub(a.ts_ns));
        self.0.packet(&PacketRecord {
            way: sender.map(|sender| if sender == Point::A { Way::AToB } else { Way::BToA }),
            flow: told.flow.map(|key| (entry.flow, key)),
            fate,
            bytes: note.bytes,
            a,
            b,
            delay_ns: sender.zip(apart).map(|(sender, apart)| match sender {
                Point::A => apart,
                Point::B => apart.saturating_neg(),
            }),
            reordered: note.displaced.map(|(extent, late_ns)| Displaced { extent, late_ns }),
        });
    }
}
