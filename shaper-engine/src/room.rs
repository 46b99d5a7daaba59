//! How many packets are held at once without loss.

use std::fmt;

/// So many, and of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Packets.
    pub packets: u32,
    /// Who has room for so many.
    pub of_each: Share,
}

/// Who does not take room from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Each of so many queues of a port, all directions together.
    Queue(u32),
    /// Each of so many directions.
    Direction(u32),
}

impl Room {
    /// All together.
    #[must_use]
    pub const fn all(&self) -> u32 {
        let (Share::Queue(count) | Share::Direction(count)) = self.of_each;
        self.packets.saturating_mul(count)
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "room for {} packets under way", self.packets)?;
        match self.of_each {
            Share::Queue(0 | 1) => Ok(()),
            Share::Queue(queues) => write!(f, " in each of {queues} queues"),
            Share::Direction(_) => write!(f, " in each direction"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_told_with_who_has_it() {
        for (of_each, words, all) in [
            (Share::Queue(1), "room for 100 packets under way", 100),
            (Share::Queue(4), "room for 100 packets under way in each of 4 queues", 400),
            (Share::Direction(2), "room for 100 packets under way in each direction", 200),
        ] {
            let room = Room { packets: 100, of_each };
            assert_eq!((room.to_string().as_str(), room.all()), (words, all));
        }
    }
}
