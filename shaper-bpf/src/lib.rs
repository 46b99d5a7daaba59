//! The only user of aya: the loaded programs and their maps, typed.

mod object;
mod pod;
mod probe;

pub use object::{Error, Object, Program, ProgramSize};
