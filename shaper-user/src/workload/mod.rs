//! What drives traffic through a link: plain sockets, no knowledge of engines. TOAST is a crate of its own.

pub mod ect;
pub mod probe;
