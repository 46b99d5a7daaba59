//! pcapng files with the fates of packets: one interface per capture point, nanosecond stamps,
//! no custom blocks or options (this project has no enterprise number).

mod comment;
mod error;
mod pcapng;

pub use comment::{Comment, CommentError};
pub use error::WriteError;
pub use pcapng::{InterfaceId, NewInterface, NewPacket, Section, Statistics, Writer};
