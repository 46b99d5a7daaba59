//! One self-contained page: `report.html`.

mod data;

pub use data::{CommandPoint, DirectionPlot, Outcome, PacketPoint, Plots};
