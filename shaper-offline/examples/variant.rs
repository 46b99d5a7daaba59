//! Makes a capture of a run's capture:
//! `cargo run -p shaper-offline --example variant -- big-endian captures/clean-a.pcapng captures/big-endian-a.pcapng`,
//! or `power-of-two`, `microseconds`, or `clock:OFFSET_NS:SKEW_PPM` for that of another host.

#[path = "../tests/captures/variants.rs"]
mod variants;

use std::{error::Error, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [how, from, to] = arguments.as_slice() else {
        return Err("usage: variant HOW FROM TO".into());
    };
    fs::write(to, variants::variant(&fs::read(from)?, how.parse()?)?)?;
    Ok(())
}
