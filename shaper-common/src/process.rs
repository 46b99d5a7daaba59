//! Placeholder until the process is there.
use crate::units::Nanos;
/// Process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// z.
    pub z: i64,
    /// at.
    pub at: Nanos,
}
