//! What can keep an attachment from coming up or from ending in order.

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The BPF side.
    #[error(transparent)]
    Bpf(#[from] shaper_bpf::Error),
    /// A namespace or a link.
    #[error(transparent)]
    Net(#[from] shaper_net::Error),
    /// A socket or its memory.
    #[error(transparent)]
    Xsk(#[from] shaper_xsk::XskError),
    /// The delay line.
    #[error(transparent)]
    DelayLine(#[from] shaper_delayline::DelayLineError),
    /// More links than one set of programs serves.
    #[error("{wanted} link directions asked for, one attachment has {most}: split the lab")]
    TooManyDirections {
        /// What was asked for.
        wanted: usize,
        /// What there is.
        most: u32,
    },
    /// Engine `edt` on a kernel that has no `fq`.
    #[error("this kernel has no fq, which engine edt needs: load or install the module sch_fq, or use engine xsk")]
    NoFq,
    /// Interfaces that cannot be impaired.
    #[error("{problem}")]
    Site {
        /// Why not, and what to do.
        problem: String,
    },
    /// Settings that a running direction cannot change to.
    #[error("{direction} cannot be changed: {problem}")]
    Change {
        /// The direction's name.
        direction: String,
        /// Why not.
        problem: String,
    },
    /// An engine was asked about a direction that it has not.
    #[error("there is no direction {direction}")]
    NoDirection {
        /// Its number.
        direction: u32,
    },
    /// A thread of the engine could not be started or ended by a panic.
    #[error("the {thread} thread {what}")]
    Thread {
        /// Which one.
        thread: &'static str,
        /// What happened to it.
        what: String,
    },
}
