//! The policer against a bucket of tokens with exact fractions.

use shaper_common::fate::{Cause, Fate};
use shaper_common::layout::Params;
use shaper_common::police::PolicerSettings;
use shaper_common::units::{BitsPerSec, Nanos};

use crate::link::{Link, MICRO, MILLI, SECOND, irregular, packet};

/// A bucket of tokens. A bit costs 10^9 of them, and each nanosecond brings as many as the rate has bits.
struct Tokens {
    rate: u128,
    most: u128,
    now: u64,
    left: u128,
}

impl Tokens {
    fn new(policer: PolicerSettings) -> Self {
        let rate = u128::from(policer.rate.0);
        let most = rate * u128::from(policer.burst.0);
        Self { rate, most, now: 0, left: most }
    }

    fn takes(&mut self, now: u64, len: u32) -> bool {
        self.left = self.most.min(self.left + u128::from(now - self.now) * self.rate);
        self.now = now;
        let cost = u128::from(len) * 8_000_000_000;
        let conforms = cost <= self.left;
        self.left -= if conforms { cost } else { 0 };
        conforms
    }
}

/// What counts is the length on the wire.
#[test]
fn the_policer_drops_what_finds_no_token() {
    for (rate, burst) in [(10_000_019, 12 * MILLI), (999_999_937, 13 * MICRO), (64_001, SECOND), (7, 3_000 * SECOND)] {
        for overhead in [0, 24] {
            let policer = PolicerSettings { rate: BitsPerSec(rate), burst: Nanos(burst) };
            let mut link = Link::new(Params { policer, overhead, ..Params::default() });
            let mut tokens = Tokens::new(policer);
            // A third more than the rate.
            let interval = 787 * 8 * SECOND / rate * 3 / 4;
            for packet in irregular(rate, interval, 100_000) {
                let takes = tokens.takes(packet.now.0, packet.len + overhead.unsigned_abs());
                let expected = if takes { Fate::forward(packet.now) } else { Fate::drop(Cause::Policer) };
                assert_eq!(link.decide(&packet), expected, "{packet:?} at {rate} bit/s");
            }
            assert!(link.counts().policer > 10_000 && link.counts().forwarded > 10_000);
        }
    }
}

#[test]
fn an_idle_policer_lets_a_burst_through_and_not_a_byte_more() {
    let policer = PolicerSettings::of_bytes(BitsPerSec(10_000_000), 10_000);
    let mut link = Link::new(Params { policer, ..Params::default() });
    for round in 1..4 {
        let now = round * SECOND;
        let causes = [4_000, 7_000, 6_001, 6_000, 1].map(|len| link.decide(&packet(now, len)).cause);
        assert_eq!(causes, [Cause::None, Cause::Policer, Cause::Policer, Cause::None, Cause::Policer]);
        // What was dropped took no tokens: a byte's are back after 800 ns.
        assert_eq!(link.decide(&packet(now + 799, 1)).cause, Cause::Policer);
        assert_eq!(link.decide(&packet(now + 800, 1)).cause, Cause::None);
    }
}

#[test]
fn what_is_policed_takes_nothing_of_the_bottleneck() {
    let policer = PolicerSettings { rate: BitsPerSec(6_000_000), burst: Nanos(5 * MILLI) };
    let rate = Params { rate: BitsPerSec(5_000_000), queue: Nanos(3 * MILLI), ..Params::default() };
    let (mut link, mut rate) = (Link::new(Params { policer, ..rate }), Link::new(rate));
    let mut tokens = Tokens::new(policer);
    for packet in irregular(1, 700 * MICRO, 100_000) {
        let conforms = tokens.takes(packet.now.0, packet.len);
        let expected = if conforms { rate.decide(&packet) } else { Fate::drop(Cause::Policer) };
        assert_eq!(link.decide(&packet), expected);
    }
    assert!(link.counts().policer > 1_000 && link.counts().queue > 1_000);
}
