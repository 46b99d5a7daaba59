//! Fuzz targets: whatever reads a text, a file or a packet that others made, given any bytes.
//!
//! Nothing may panic, a value that is written out reads back the same, and two ways to the same answer agree. Each target
//! is a function here and a program in `fuzz_targets/`, which libFuzzer drives where it is built with `cfg(fuzzing)` (by
//! `cargo xtask fuzz` or `cargo fuzz`), and which otherwise takes the files that it is given as arguments. Inputs that are
//! kept lie in `corpus/`, a folder a target; the tests of this crate take every target through its own.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod blocks;
pub mod capture;
mod draw;
pub mod exchange;
pub mod filter;
mod frames;
pub mod one_point;
pub mod packet;
pub mod profile;
pub mod quantities;
pub mod replay;
pub mod scenario;
pub mod tables;
pub mod toast;
pub mod two_points;
mod unnamed;
#[cfg(feature = "webrtc")]
pub mod webrtc;

/// What takes any bytes and panics where something does not hold.
pub type Target = fn(&[u8]);

/// Every target by the name of its program and of its folder in `corpus/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("blocks", blocks::read),
    ("capture", capture::read),
    ("datagrams", one_point::datagrams),
    ("expectation", scenario::expectation),
    ("filter", filter::compile),
    ("frame", packet::frame),
    ("import_atc", exchange::atc),
    ("import_devtools", exchange::devtools),
    ("import_dist", exchange::dist),
    ("import_libwebrtc", exchange::libwebrtc),
    ("import_mahimahi", exchange::mahimahi),
    ("import_pensieve", exchange::pensieve),
    ("import_tc", exchange::tc),
    ("import_tcconfig", exchange::tcconfig),
    ("import_theaterq", exchange::theaterq),
    ("layers", packet::layers),
    ("one_point", one_point::capture),
    ("profile", profile::read),
    ("quantities", quantities::read),
    ("scenario", scenario::read),
    ("segments", one_point::segments),
    ("table_dist", tables::dist),
    ("table_quantiles", tables::quantiles_of),
    ("toast_log", toast::log),
    ("toast_wire", toast::wire),
    ("trace", tables::trace),
    ("two_points", two_points::compare),
    #[cfg(feature = "webrtc")]
    ("webrtc_logs", webrtc::logs),
    #[cfg(feature = "webrtc")]
    ("webrtc_media", webrtc::media),
    #[cfg(feature = "webrtc")]
    ("webrtc_offer", webrtc::offer),
    #[cfg(feature = "webrtc")]
    ("webrtc_signal", webrtc::signal),
];

/// The program of a target.
#[macro_export]
macro_rules! target {
    ($target:path) => {
        #[cfg(fuzzing)]
        ::libfuzzer_sys::fuzz_target!(|bytes: &[u8]| $target(bytes));

        #[cfg(not(fuzzing))]
        fn main() -> ::std::process::ExitCode {
            $crate::replay::arguments($target)
        }
    };
}
