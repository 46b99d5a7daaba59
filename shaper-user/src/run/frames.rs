//! How many frames the delay line of some links gets.

use shaper_common::units::Nanos;
use shaper_delayline::Sizing;
use shaper_profile::CompiledLink;

/// Enough for any short burst, small enough for any host: 32 MiB.
const LEAST: u32 = 1 << 14;

/// The shape of the delay line of so many links.
pub(crate) const fn sizing(links: u32) -> Sizing {
    Sizing { ports: 2 * links, fill: shaper_engine::RING }
}

/// Frames for so many packets a second, all links together, each held as long as any can be, and its copies: a power of
/// two, `most` at most.
pub(crate) fn frames(links: &[CompiledLink], packets_per_second: u64, most: u32) -> u32 {
    let held = links.iter().map(|link| link.held().frames).max().unwrap_or(Nanos::ZERO);
    let sizing = sizing(u32::try_from(links.len()).unwrap_or(u32::MAX / 2));
    sizing.frames_for(packets_per_second, held).clamp(LEAST, most).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use shaper_profile::quantity::Duration;
    use shaper_profile::{Compile, presets};

    use super::*;

    const MOST: u32 = 1 << 20;

    fn frames_of(text: &str, rate: u64) -> u32 {
        let run = Compile { seed: 1, link: 0, horizon: Duration::from_millis(1_000) };
        let link = presets::parse("test", "test", text).unwrap().link.compile(&run).unwrap();
        frames(&[link], rate, MOST)
    }

    #[test]
    fn there_is_room_for_each_packet_and_each_copy_under_way() {
        assert_eq!(frames_of("", 1_000_000), LEAST);
        // 50,000 are under way, and 4,608 in the rings.
        let delay = "delay = \"1s\"\n";
        assert_eq!(frames_of(delay, 50_000), 1 << 16);
        // And 25,000 copies, or 100,000.
        assert_eq!(frames_of(&format!("{delay}duplicate = \"50%\"\n"), 50_000), 1 << 17);
        assert_eq!(frames_of(&format!("{delay}duplicate = \"50% copies 4\"\n"), 50_000), 1 << 18);
        assert_eq!(frames_of(&format!("{delay}[[rule]]\nmatch = \"tcp\"\ndelay = \"4s\"\n"), 50_000), 1 << 18);
        assert_eq!(frames_of("delay = \"1h\"\n", 50_000), MOST);
    }
}
