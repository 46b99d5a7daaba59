//! The only user of aya: the loaded programs and their maps, typed.

mod bench;
mod diversion;
mod error;
mod feeder;
mod object;
mod pod;
mod program;
mod records;
mod room;
mod run_time;

pub use bench::TestRun;
pub use diversion::{Beat, Hook, add_clsact};
pub use error::Error;
pub use feeder::Feeder;
pub use object::{Exclusion, Object, ProgramSize};
pub use program::Program;
pub use records::{Records, Releases};
pub use room::Room;
pub use run_time::{RunTime, RunTimes};

/// What the verifier may walk through of any one program with every effect in it, a fifth of what the kernel allows:
/// raised knowingly, never by accident.
pub const VERIFIED_INSTRUCTIONS_BUDGET: u32 = 200_000;
