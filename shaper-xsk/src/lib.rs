//! AF_XDP sockets on plain libc: one UMEM shared by any number of sockets, each with its own four rings.
//!
//! Linux 5.11 or newer. All `unsafe` code of the data path lives in this crate; what it exports is safe to use,
//! because frame memory, which the kernel may write at any time, is only ever read and written through atomics.
//!
//! One file a concept: `abi` (what the kernel headers say), `syscall` (one wrapper a call), `mmap`, [`Umem`],
//! `cursor` (ring arithmetic), `ring` (cursors over slots), [`Socket`].

mod abi;
mod cursor;
mod error;
mod mmap;
mod ring;
mod socket;
mod syscall;
mod umem;

pub use abi::{Descriptor, Statistics};
pub use error::XskError;
pub use socket::{BindMode, Kick, Socket, SocketConfig, StatisticsHandle};
pub use umem::{Umem, UmemConfig};
