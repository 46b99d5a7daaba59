//! Numbers far ahead of all others: damaged ones, or those behind something that was not captured.
//! One that is beyond the receiver's window is believed once another goes on from there.

use super::{Segment, sequence::before};

/// The farthest leap that is believed at once where the receiver's window is not known.
const UNKNOWN: u32 = 16 << 20;
/// What a sender may be beyond the window that passed here last: a window may shrink.
const SLACK: u32 = 64 << 10;
/// RFC 7323 section 2.3.
const LARGEST_SCALE: u8 = 14;

/// Shift of a receiver's windows by both ends' options (RFC 7323 section 2.2): they are scaled only if
/// both ends offer it.
pub(super) fn shift(sender: Option<u8>, receiver: Option<u8>) -> u8 {
    sender.and(receiver).unwrap_or(0).min(LARGEST_SCALE)
}

/// What a receiver said it takes, as far as that is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    /// Highest acknowledgement, and the window in it.
    pub(super) told: Option<(u32, u16)>,
    /// Shift of that window.
    pub(super) shift: Option<u8>,
}

impl Reach {
    /// Whether a leap from `from` to `to` stays within it.
    pub(super) fn has(&self, from: u32, to: u32) -> bool {
        match (self.told, self.shift) {
            // At most 65,535 * 2^14 + 2^16, less than half of the circle.
            (Some((acknowledged, window)), Some(shift)) => {
                let edge = acknowledged.wrapping_add(u32::from(window) << shift).wrapping_add(SLACK);
                !before(edge, to)
            }
            _ => near(from, to),
        }
    }
}

fn near(from: u32, to: u32) -> bool {
    to.wrapping_sub(from) < UNKNOWN
}

/// The last leaps of one direction that were not believed.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    segment: Option<Box<Segment>>,
    acknowledgement: Option<u32>,
}

impl Doubts {
    /// A segment that leapt, and that the next one may confirm.
    pub(super) fn doubt(&mut self, segment: &Segment) {
        self.segment = Some(Box::new(*segment));
    }

    /// Takes the segment in doubt, if this one goes on from it, and is not the same once more.
    #[inline]
    pub(super) fn confirmed_by(&mut self, segment: &Segment) -> Option<Box<Segment>> {
        let doubted = self.segment.as_ref()?;
        let what = |of: &Segment| (of.sequence, of.length, of.acknowledgement);
        let end = doubted.sequence.wrapping_add(doubted.span());
        // A bare acknowledgement stays where it is.
        if near(end, segment.sequence) && what(segment) != what(doubted) { self.segment.take() } else { None }
    }

    /// The numbers went on as before.
    #[inline]
    pub(super) fn dispel(&mut self) {
        if self.segment.is_some() {
            self.segment = None;
        }
    }

    /// Whether an acknowledgement goes on from one in doubt; else it is itself in doubt.
    pub(super) fn acknowledgement(&mut self, number: u32) -> bool {
        let goes_on = self.acknowledgement.is_some_and(|doubted| doubted != number && near(doubted, number));
        if !goes_on {
            self.acknowledgement = Some(number);
        }
        goes_on
    }

    /// An acknowledgement from `last` to `number` is believed. Whether the one in doubt was right: it
    /// lies between.
    #[inline]
    pub(super) fn settled(&mut self, last: u32, number: u32) -> bool {
        self.acknowledgement.take().is_some_and(|doubted| before(last, doubted) && !before(number, doubted))
    }
}
