//! The captures of a run: packets with the fates that are written beside them.

use std::path::Path;

use shaper_offline::pcapfile::{self, Direction, Reader, Tail};
use shaper_offline::writer::Comment;

/// Where in a packet id its channel stands: the link's number times two, plus one for the way back, for packets that no
/// rule matched.
const CHANNEL_BIT: u32 = 46;
const CHANNEL_BITS: u64 = (1 << 17) - 1;
/// Packets looked at for one that says where the capture was taken.
const LOOK: usize = 100_000;

/// A packet that carries a fate.
#[derive(Clone, Debug)]
pub(super) struct Captured {
    /// Nanoseconds since the epoch.
    pub(super) ts_ns: i64,
    /// Whether it went into the link here; otherwise it came out.
    pub(super) entered: bool,
    /// The direction within the link.
    pub(super) dir: u16,
    /// The rule from 1; 0 where none matched.
    pub(super) rule: u32,
    /// Its number in its channel.
    pub(super) seq: u64,
    pub(super) comment: Comment,
}

/// Where a capture was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    /// The host, or the point.
    pub(super) host: &'a str,
    /// The number of the link.
    pub(super) link: u32,
    /// Whether packets of the link's forward direction enter here.
    pub(super) is_a: bool,
}

/// Reads the packets that carry a fate, until `each` has enough; whether the file is cut off.
///
/// # Errors
///
/// When the file cannot be read, or is damaged.
pub(super) fn read(path: &Path, mut each: impl FnMut(&Captured) -> bool) -> Result<bool, pcapfile::Error> {
    let mut reader = Reader::open(path)?;
    while let Some(packet) = reader.next_packet()? {
        let (Some(ts_ns), Some(way)) = (packet.ts_ns, packet.direction()) else { continue };
        let Some(comment) = Comment::first(packet.comments()) else { continue };
        let (Some(dir), Some(seq)) = (comment.dir, comment.seq) else { continue };
        let (entered, rule) = (way == Direction::Outbound, comment.rule.unwrap_or(0));
        if !each(&Captured { ts_ns, entered, dir, rule, seq, comment }) {
            return Ok(false);
        }
    }
    Ok(matches!(reader.tail(), Tail::Cut { .. }))
}

/// Where a capture was taken, by its packets; `None` where none of them says so.
///
/// # Errors
///
/// When the file cannot be read, or is damaged.
pub(super) fn place<'a>(path: &Path, host: &'a str) -> Result<Option<Place<'a>>, pcapfile::Error> {
    let (mut found, mut left) = (None, LOOK);
    read(path, |packet| {
        left -= 1;
        if let Some(id) = packet.comment.id.filter(|_| packet.rule == 0) {
            let link = ((id >> CHANNEL_BIT & CHANNEL_BITS) / 2) as u32;
            found = Some(Place { host, link, is_a: packet.entered == (packet.dir == 0) });
        }
        found.is_none() && left > 0
    })?;
    Ok(found)
}
