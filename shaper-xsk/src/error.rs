//! What can go wrong with AF_XDP, and what to do about it.

use std::io;

/// Why an AF_XDP operation did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum XskError {
    /// The kernel knows no AF_XDP at all.
    #[error(
        "socket(AF_XDP): this kernel has no AF_XDP: use a kernel with CONFIG_XDP_SOCKETS=y, or an engine that needs none"
    )]
    NotSupported,
    /// A capability is missing.
    #[error("{call} on {subject}: not permitted: run as root, or with CAP_NET_RAW, CAP_NET_ADMIN and CAP_IPC_LOCK")]
    NotPermitted {
        /// The system call and option.
        call: &'static str,
        /// What it was tried on.
        subject: String,
    },
    /// The UMEM could not be locked in memory.
    #[error(
        "{call} of {bytes} bytes: {source}: memory for the UMEM cannot be locked: raise RLIMIT_MEMLOCK (ulimit -l), grant CAP_IPC_LOCK, or use fewer frames"
    )]
    LockedMemory {
        /// The system call and option.
        call: &'static str,
        /// Size of the UMEM.
        bytes: u64,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The interface's queue does not exist, is taken, or cannot do the mode asked for.
    #[error("bind(AF_XDP) to interface {ifindex} queue {queue}: {source}: {advice}")]
    Bind {
        /// Index of the interface in the socket's network namespace.
        ifindex: u32,
        /// Receive queue.
        queue: u32,
        /// What the kernel answered.
        source: io::Error,
        /// What to do.
        advice: &'static str,
    },
    /// A size that the kernel or this crate does not take.
    #[error("{what} is {value}: {must}")]
    InvalidSize {
        /// Which setting.
        what: &'static str,
        /// What was given.
        value: u64,
        /// What it has to be.
        must: &'static str,
    },
    /// Any other system call that failed.
    #[error("{call} on {subject}: {source}")]
    Call {
        /// The system call and option.
        call: &'static str,
        /// What it was tried on.
        subject: String,
        /// What the kernel answered.
        source: io::Error,
    },
}
