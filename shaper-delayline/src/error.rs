//! What can go wrong with a delay line.

use std::io;

use shaper_xsk::XskError;

/// Why a delay line could not be made, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum DelayLineError {
    /// A port's peer is not among the ports.
    #[error("port {port}: its peer is port {peer}, but there are only {ports} ports: name one of them")]
    NoSuchPeer {
        /// The port.
        port: usize,
        /// What its peer was said to be.
        peer: usize,
        /// How many ports there are.
        ports: usize,
    },
    /// There are fewer frames than the ports need to receive at all.
    #[error("the UMEM has {frames} frames for {ports} ports: give at least {least}")]
    TooFewFrames {
        /// Frames of the UMEM.
        frames: u32,
        /// Number of ports.
        ports: usize,
        /// The least that works.
        least: u32,
    },
    /// There is nothing to forward between.
    #[error("a delay line without ports: give at least one")]
    NoPorts,
    /// The lateness histogram could not be made.
    #[error("the lateness histogram: {0}")]
    Histogram(#[from] hdrhistogram::CreationError),
    /// The thread could not be given the scheduling asked for.
    #[error("{call}: {source}: {advice}")]
    Thread {
        /// The system call.
        call: &'static str,
        /// What the kernel answered.
        source: io::Error,
        /// What to do.
        advice: &'static str,
    },
    /// A port cannot send any more.
    #[error("port {port}: {source}")]
    Transmit {
        /// The port.
        port: usize,
        /// The call that failed.
        source: XskError,
    },
    /// The wait for packets failed.
    #[error("ppoll on {ports} sockets: {source}")]
    Wait {
        /// Number of ports.
        ports: usize,
        /// What the kernel answered.
        source: io::Error,
    },
}
