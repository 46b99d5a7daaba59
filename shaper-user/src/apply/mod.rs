//! One interface of this host, or of a container, impaired until somebody says stop; or two, bridged.
//!
//! `request` is what is asked for, `place` the interfaces and whether they may be impaired at all, `attached` what stands
//! while it is, `change` other settings for that, `status` what its process tells others, `follow` the fates that it goes on
//! telling, `figures` and `told` what people read of it, `expect` what
//! is measured for what they demand, `choice` which engine holds its packets.

mod attached;
mod change;
mod choice;
mod expect;
mod figures;
mod follow;
mod place;
mod request;
mod status;
mod told;

pub(crate) use attached::{Attached, Ended};
pub(crate) use choice::{EngineChoice, HookChoice};
pub(crate) use expect::expectation;
pub(crate) use figures::Figures;
pub(crate) use follow::{Followed, Frame, Stream, follow};
pub(crate) use place::{Place, Wanted};
pub(crate) use request::{Order, Request, Target};
pub(crate) use status::{All, DirectionStatus, Found, Status, all, change as change_running, of_interface};
pub(crate) use told::{Told, first_lines, last_lines};
