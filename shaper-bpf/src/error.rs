//! What can keep the object from being loaded, filled and attached.

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;

/// What can go wrong between the object and the kernel.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object as a whole was refused.
    #[error("cannot load the BPF object: {0}; loading needs CAP_BPF, CAP_NET_ADMIN and Linux 5.15 or later")]
    Load(#[from] EbpfError),
    /// A program was refused by the verifier or could not be attached.
    #[error("BPF program {program}: {source}")]
    Program {
        /// Its name in the object.
        program: &'static str,
        /// What the kernel said.
        source: ProgramError,
    },
    /// A map could not be read or written.
    #[error("BPF map {map}: {source}")]
    Map {
        /// Its name in the object.
        map: &'static str,
        /// What the kernel said.
        source: MapError,
    },
    /// The object does not hold what this binary was built for.
    #[error("the BPF object holds no {0}: rebuild with `cargo xtask build`")]
    Missing(&'static str),
    /// More channels than the object was loaded for.
    #[error("BPF map {map} has {room} places and all are taken: load the object for all channels")]
    Full {
        /// Its name.
        map: &'static str,
        /// Its places.
        room: u32,
    },
    /// An effect that the programs were loaded without.
    #[error("the programs were loaded without effects {features:#x}: load the object for all channels")]
    NotLoaded {
        /// `shaper_common::layout::features`.
        features: u32,
    },
    /// Too many ports stand where this one would.
    #[error("device {ifindex} finds no place in the table of ports: attach fewer devices at once")]
    NoPlace {
        /// Its index.
        ifindex: u32,
    },
    /// A device could not be sent to.
    #[error("device {ifindex} cannot be redirected to: {what}")]
    Output {
        /// Its index.
        ifindex: u32,
        /// What the kernel said.
        what: String,
    },
    /// A device could not be given a qdisc.
    #[error("{device} cannot be given a clsact qdisc: {what}")]
    Qdisc {
        /// Its name.
        device: String,
        /// What the kernel said.
        what: String,
    },
    /// A map could not be opened a second time.
    #[error("BPF map {map}: {source}")]
    Handle {
        /// Its name in the object.
        map: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A trace for an object whose [`Feeder`] was taken.
    #[error("traces are brought on by now: set channels before the feeder is taken")]
    FeederTaken,
    /// The kernel does not tell what programs take.
    #[error("cannot count how long BPF programs run: {0}; it needs CAP_SYS_ADMIN and Linux 5.8 or later")]
    RunTimes(String),
    /// The program gave up on a probe.
    #[error("the probe entry answered {0} instead of XDP_PASS")]
    Probe(u32),
}
