//! What a run wrote at each packet of its captures: when it was due, and what became of it. How late the run's own machinery
//! was, and what it lost, is none of the link's.

use std::path::Path;

use shaper_common::fate::Cause;
use shaper_offline::fit::Fate;
use shaper_offline::pcapfile::{self, Direction, Reader};
use shaper_offline::writer::Comment;

use super::measured::MOST;
use crate::stored::records;

/// Frames of a capture that are read: the packets of both directions that are held, and as many copies and others as of one.
const FRAMES: usize = 3 * MOST;

/// Of the packets of one capture, by their frames' numbers.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// What left the link here, in order.
    released: Vec<Released>,
    /// What the run wrote of the fate of each frame.
    causes: Vec<Option<Cause>>,
}

/// A packet that left the link.
#[derive(Clone, Copy, Debug)]
struct Released {
    frame: u64,
    /// When it was to be released, in nanoseconds since 1970.
    due_ns: i64,
    /// By how much later it was.
    late_ns: i64,
}

/// What a packet that did not arrive tells of the link, by the cause that the run wrote for it: one that was let through was
/// lost by the run's own machinery.
pub(super) fn not_arrived(cause: Option<Cause>) -> Fate {
    match cause {
        Some(Cause::Outage | Cause::InFlight) => Fate::Down,
        Some(cause) if cause == Cause::None || cause.is_of_the_harness() => Fate::Unknown,
        Some(_) | None => Fate::Lost,
    }
}

impl Due {
    /// Reads the comments of a capture, up to where it is cut off or damaged.
    pub(super) fn read(path: &Path) -> Result<Self, pcapfile::Error> {
        let mut due = Self::default();
        let mut reader = Reader::open(path)?;
        // What stands behind damage the comparison does not read either, and says so.
        while let Ok(Some(packet)) = reader.next_packet() {
            if due.causes.len() == FRAMES {
                break;
            }
            let comment = Comment::first(packet.comments()).unwrap_or_default();
            due.causes.push(comment.cause.as_deref().and_then(records::cause));
            let frame = due.causes.len() as u64;
            if let (Some(due_ns), Some(actual)) = (comment.intended, comment.actual)
                && packet.direction() != Some(Direction::Outbound)
            {
                due.released.push(Released { frame, due_ns, late_ns: actual.saturating_sub(due_ns) });
            }
        }
        Ok(due)
    }

    /// When the packet of a frame was due, and by how much later it left, in nanoseconds.
    pub(super) fn of(&self, frame: Option<u64>) -> Option<(i64, i64)> {
        let frame = frame?;
        let place = self.released.binary_search_by_key(&frame, |released| released.frame).ok()?;
        self.released.get(place).map(|released| (released.due_ns, released.late_ns))
    }

    /// What the packet of a frame, which did not arrive, tells of the link.
    pub(super) fn not_arrived(&self, frame: Option<u64>) -> Fate {
        let place = frame.and_then(|frame| usize::try_from(frame.checked_sub(1)?).ok());
        not_arrived(place.and_then(|place| *self.causes.get(place)?))
    }
}
