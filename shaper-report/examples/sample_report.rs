//! Writes the page of a made-up run: `cargo run -p shaper-report --example sample_report -- report.html 640`.

#[path = "../tests/common/mod.rs"]
mod common;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| "report.html".to_owned());
    let packets = arguments.next().map_or(Ok(640), |packets| packets.parse())?;
    let (summary, plots) = common::sample(packets)?;
    std::fs::write(&path, shaper_report::html::report(&summary, &plots)?)?;
    Ok(())
}
