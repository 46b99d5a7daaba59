//! When packets of a run were due, by what the run wrote at each: how late its own machinery was is no delay of the link.

use std::path::Path;

use shaper_offline::pcapfile::{self, Reader};
use shaper_offline::writer::Comment;

/// No time.
const NONE: i64 = i64::MIN;

/// Of each packet of one capture, by its frame's number.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// When it was to be released, and how late it was, in nanoseconds; of packets that left the link here.
    released: Vec<(i64, i64)>,
    /// Frames of packets that the link dropped because it was down, in order.
    down: Vec<u64>,
}

impl Due {
    /// Reads the comments of a capture, up to where it is cut off or damaged.
    pub(super) fn read(path: &Path) -> Result<Self, pcapfile::Error> {
        let mut due = Self::default();
        let mut reader = Reader::open(path)?;
        let mut frame = 0;
        // What stands behind damage the comparison does not read either, and says so.
        while let Ok(Some(packet)) = reader.next_packet() {
            frame += 1;
            let comment = packet.comments().find_map(|text| Comment::parse(text).ok().flatten()).unwrap_or_default();
            let released = match (comment.intended, comment.actual) {
                (Some(intended), Some(actual)) => (intended, actual.saturating_sub(intended)),
                _ => (NONE, 0),
            };
            due.released.push(released);
            if matches!(comment.cause.as_deref(), Some("outage" | "in_flight")) {
                due.down.push(frame);
            }
        }
        Ok(due)
    }

    /// When the packet of a frame was due, and by how much later it left.
    pub(super) fn of(&self, frame: Option<u64>) -> Option<(i64, i64)> {
        let place = usize::try_from(frame?.checked_sub(1)?).ok()?;
        self.released.get(place).copied().filter(|(due, _)| *due != NONE)
    }

    /// Whether the packet of a frame met a link that was down.
    pub(super) fn was_down(&self, frame: Option<u64>) -> bool {
        frame.is_some_and(|frame| self.down.binary_search(&frame).is_ok())
    }
}
