//! What holds packets between their decision and their release: where the two engines differ.

use hdrhistogram::Histogram;
use shaper_bpf::Object;
use shaper_common::units::Nanos;
use shaper_xsk::Statistics;

use crate::error::Error;
use crate::room::Room;

pub(crate) use shaper_delayline::Counts as Left;

/// What was lost on the way into the hold, and out of it, where those who hold do not see it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lost {
    /// In the rings of a socket.
    pub(crate) socket: Statistics,
    /// By `fq`: it had no room, or the time was too far ahead.
    pub(crate) scheduler: u64,
    /// By the device that `fq` let them go to.
    pub(crate) refused: u64,
    /// Packets that `fq` has yet.
    pub(crate) held: u64,
}

/// Holds the packets of all directions.
pub(crate) trait Hold: Send {
    /// How many at once.
    fn room(&self) -> Room;

    /// What it has counted itself of a direction.
    fn left(&self, direction: usize) -> Left;

    /// What others have.
    fn lost(&self, direction: usize) -> Result<Lost, Error>;

    /// Actual minus intended release in nanoseconds; `None` where there is no such direction.
    fn lateness(&self, direction: usize) -> Option<Histogram<u64>>;

    /// Times that there was no memory for packets.
    fn starved(&self) -> u64;

    /// Whether it has ended by itself.
    fn has_ended(&self) -> bool;

    /// Lets out what is held, until `deadline` on CLOCK_MONOTONIC at most, and says how much memory is nowhere.
    fn drain(&mut self, object: &Object, deadline: Nanos) -> Result<u32, Error>;

    /// Ends at once, where it has not ended.
    fn abort(&mut self);
}
