//! Capture files, matching, statistics: what needs no root and no Linux.
//!
//! - [`pcapfile`] reads classic pcap and pcapng; [`writer`] writes pcapng with the fates of packets.
//! - [`packet`] and [`toast`] find headers; [`recognise`] tells protocols, [`tcp`] what the numbers
//!   of TCP say at one point; [`rtp`] finds streams; [`stats`] holds quantiles and intervals.
//! - [`analyze`] compares two capture points or describes one.
//! - [`fit`] finds the loss and delay models that a series of packets was most likely made by.
//! - [`merged`] puts two captures that were compared into one, with what was found as comments,
//!   [`rows`] writes a row for each of their packets, and for each of a run's, as CSV or Parquet.
//! - [`join`] ties captured packets to the records of the engine that impaired them, and
//!   [`annotate`] writes that into the captures.
//! - [`anonymize`] takes addresses and contents out of captures and analyses.
//!
//! Everything here takes bytes, times and options as arguments; nothing reads a clock.

#![deny(unsafe_code)]
#![deny(missing_docs)]

pub mod analyze;
pub mod annotate;
pub mod anonymize;
mod bytes;
pub mod fit;
pub mod join;
pub mod merged;
pub mod packet;
pub mod pcapfile;
pub mod recognise;
pub mod rows;
pub mod rtp;
pub mod stats;
pub mod tcp;
pub mod toast;
pub mod writer;
