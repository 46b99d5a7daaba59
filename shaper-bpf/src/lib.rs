//! The only user of aya: the loaded programs and their maps, typed.

mod bench;
mod object;
mod pod;
mod probe;
mod records;

pub use bench::TestRun;
pub use object::{Error, Exclusion, Object, Program, ProgramSize};
pub use records::Records;

/// What the verifier may walk through of any one program: raised knowingly, never by accident.
pub const VERIFIED_INSTRUCTIONS_BUDGET: u32 = 20_000;
