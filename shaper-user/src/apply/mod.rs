//! One interface of this host, or of a container, impaired until somebody says stop.
//!
//! `request` is what is asked for, `site` the interface and whether it may be impaired at all, `attached` what stands
//! while it is, `told` what people read of it.

mod attached;
mod request;
mod site;
mod told;

pub(crate) use attached::Attached;
pub(crate) use request::{Request, Target};
pub(crate) use told::{Told, first_lines, last_lines, live};
