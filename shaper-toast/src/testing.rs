//! What the unit tests share.

use proptest::test_runner::{Config, RngSeed};

/// Property tests with a fixed seed and no files left behind.
pub(crate) fn fixed() -> Config {
    Config { rng_seed: RngSeed::Fixed(0x7057), failure_persistence: None, ..Config::default() }
}
