//! Frame numbers of the first packets of each kind that a finding is about.

/// Packets of one kind whose frames are kept.
const KEPT: usize = 10;

/// What findings show packets of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shown {
    Lost,
    Unmatched,
    Edge,
    Corrupted,
    Duplicated,
    Reordered,
    Ambiguous,
    Resegmented,
    ArrivalsOnly,
    /// Seen at one point, without a direction.
    Unplaced,
    /// Seen at both.
    UnplacedPairs,
}

impl Shown {
    const COUNT: usize = 11;
}

/// Frames of the first file, and of the second.
pub(super) type Frames = [Vec<u64>; 2];

/// The first packets of each kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Examples([Frames; Shown::COUNT]);

impl Examples {
    /// Notes a packet by its frames in both files; 0 where it is in none, or its frame is not known.
    #[inline]
    pub(super) fn note(&mut self, what: Shown, frames: [u32; 2]) {
        let Some(kept) = self.0.get_mut(what as usize) else { return };
        for (kept, frame) in kept.iter_mut().zip(frames) {
            if frame != 0 && kept.len() < KEPT {
                kept.push(frame.into());
            }
        }
    }

    pub(super) fn of(&self, what: Shown) -> Frames {
        self.0.get(what as usize).cloned().unwrap_or_default()
    }

    /// What was shown as the one is the other.
    pub(super) fn turn(&mut self, from: Shown, into: Shown) {
        let Some(turned) = self.0.get_mut(from as usize).map(std::mem::take) else { return };
        let Some(kept) = self.0.get_mut(into as usize) else { return };
        for (kept, turned) in kept.iter_mut().zip(turned) {
            kept.extend(turned);
            kept.sort_unstable();
            kept.truncate(KEPT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_packets_are_kept_and_a_frame_that_is_not_known_is_left_out() {
        let mut examples = Examples::default();
        for frame in 1..=20 {
            examples.note(Shown::Reordered, [frame, 0]);
        }
        assert_eq!(examples.of(Shown::Reordered), [(1..=10).collect(), Vec::new()]);
        examples.note(Shown::Lost, [7, 0]);
        examples.note(Shown::Unmatched, [5, 0]);
        examples.turn(Shown::Lost, Shown::Unmatched);
        assert_eq!(examples.of(Shown::Unmatched), [vec![5, 7], Vec::new()]);
        assert_eq!(examples.of(Shown::Lost), Frames::default());
    }
}
