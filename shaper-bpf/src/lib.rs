//! The only user of aya: the loaded programs and their maps, typed.

mod bench;
mod object;
mod pod;
mod probe;

pub use bench::TestRun;
pub use object::{Error, Object, Program, ProgramSize};
