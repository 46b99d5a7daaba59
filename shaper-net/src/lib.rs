//! Everything that is changed on a host, and how it is undone.
//!
//! A change is a value whose `Drop` takes it back, and it stands in the [`journal`] before it is made, so that the
//! [`guard`] process, the next start or `shaper clear` can take it back for a process that could not.
//! Nothing here is async: calls block, and take place on a thread that is in the right network namespace.

pub mod driver;
pub mod enclosure;
pub mod error;
pub mod guard;
pub mod handover;
pub mod journal;
pub mod lab;
pub mod netns;
pub mod nft;
pub mod offload;
pub mod pair;
pub mod process;
pub mod role;
pub mod rtnl;
pub mod signals;
pub mod sysctl;

mod sys;
mod whole_file;

pub use error::{Error, Result};
