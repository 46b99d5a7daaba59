//! Quantities: what is read, exactly, and what is refused, by name.
#![expect(clippy::expect_used, clippy::panic, reason = "a helper of tests says what went wrong by a panic")]

use std::fmt::Display;
use std::str::FromStr;

use proptest::prelude::*;
use shaper_profile::quantity::{Duration, EventRate, Percent, Problem, QuantityError, QueueLimit, Rate, Size};

fn read<T: FromStr<Err = QuantityError>>(text: &str) -> T {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn problem<T: FromStr<Err = QuantityError> + std::fmt::Debug>(text: &str) -> Problem {
    text.parse::<T>().expect_err(text).problem
}

fn kept<T: FromStr<Err = QuantityError> + Display + PartialEq + std::fmt::Debug>(value: T) {
    assert_eq!(read::<T>(&value.to_string()), value);
    assert_eq!(read::<T>(&format!("{value:#}")), value);
}

#[test]
fn durations_are_read_exactly() {
    for (text, nanos) in [
        ("20ms", 20_000_000),
        ("500us", 500_000),
        ("500 \u{b5}s", 500_000),
        ("1.5s", 1_500_000_000),
        ("0.1ms", 100_000),
        (".5s", 500_000_000),
        ("2min", 120_000_000_000),
        ("0", 0),
        ("0s", 0),
        ("1.000000001s", 1_000_000_001),
        ("+3ns", 3),
    ] {
        assert_eq!(read::<Duration>(text).0.0, nanos, "{text}");
    }
}

#[test]
fn rates_are_read_as_tc_and_as_si_write_them() {
    for (text, bits) in [
        ("10mbit", 10_000_000),
        ("1.5Gbit/s", 1_500_000_000),
        ("64kbit", 64_000),
        ("1 Mbit/s", 1_000_000),
        ("1mibit", 1_048_576),
        ("125kB/s", 1_000_000),
        ("9600bit", 9_600),
        ("unlimited", 0),
    ] {
        assert_eq!(read::<Rate>(text).0.0, bits, "{text}");
    }
}

#[test]
fn percentages_become_the_nearest_threshold() {
    assert_eq!(read::<Percent>("100%").probability().0, 1 << 32);
    assert_eq!(read::<Percent>("50 %").probability().0, 1 << 31);
    assert_eq!(read::<Percent>("0.1%").probability().0, 4_294_967);
    assert_eq!(read::<Percent>("0").probability().0, 0);
    assert_eq!(read::<Percent>("0.1%").fraction(), 0.001);
    assert_eq!(read::<Percent>("0.05%").to_string(), "0.05%");
}

#[test]
fn event_rates_are_percent_a_second_or_counts_a_second() {
    assert_eq!(read::<EventRate>("1%"), read::<EventRate>("0.01/s"));
    assert_eq!(read::<EventRate>("1%"), read::<EventRate>("1 % / s"));
    assert_eq!(read::<EventRate>("250%/s").per_second(), 2.5);
}

#[test]
fn sizes_and_queues_tell_thousands_from_1024s_and_packets_from_time() {
    assert_eq!(read::<Size>("64kB").0, 64_000);
    assert_eq!(read::<Size>("64KiB").0, 65_536);
    assert_eq!(read::<Size>("1500B").0, 1_500);
    assert_eq!(read::<QueueLimit>("100p"), QueueLimit::Packets(100));
    assert_eq!(read::<QueueLimit>("100 packets"), QueueLimit::Packets(100));
    assert_eq!(read::<QueueLimit>("64kB"), QueueLimit::Bytes(Size(64_000)));
    assert_eq!(read::<QueueLimit>("50ms"), QueueLimit::Time(Duration::from_millis(50)));
}

#[test]
fn what_is_negative_is_refused_by_name() {
    assert_eq!(problem::<Percent>("-5%"), Problem::Negative);
    assert_eq!(problem::<Duration>("-1ms"), Problem::Negative);
    assert_eq!(problem::<Rate>("-10mbit"), Problem::Negative);
    assert_eq!(problem::<Size>("-1B"), Problem::Negative);
    assert_eq!(problem::<Duration>("-.5s"), Problem::Negative);
}

#[test]
fn what_is_no_finite_number_is_refused_by_name() {
    for text in ["NaN", "nan%", "-nan", "inf", "Infinity", "-inf"] {
        assert_eq!(problem::<Percent>(text), Problem::NotFinite, "{text}");
    }
    for text in ["fast", "ms", ".", "1.2.3ms", "-"] {
        assert_eq!(problem::<Duration>(text), Problem::NoNumber, "{text}");
    }
    assert_eq!(problem::<Duration>("  "), Problem::Empty);
}

#[test]
fn a_number_without_its_unit_is_refused() {
    assert_eq!(problem::<Duration>("20"), Problem::NoUnit);
    assert_eq!(problem::<Percent>("0.05"), Problem::NoUnit);
    assert_eq!(problem::<Rate>("1000000"), Problem::NoUnit);
    assert!(matches!(problem::<Duration>("20 lightyears"), Problem::UnknownUnit { .. }));
    assert!(matches!(problem::<Percent>("5ms"), Problem::UnknownUnit { .. }));
    assert!(matches!(problem::<Duration>("1,5s"), Problem::UnknownUnit { .. }));
}

#[test]
fn units_that_tools_read_differently_are_refused() {
    for text in ["10mbps", "10 Mbps", "10kbps"] {
        assert!(matches!(problem::<Rate>(text), Problem::Ambiguous { .. }), "{text}");
    }
    for text in ["64kb", "64KB", "8b"] {
        assert!(matches!(problem::<Size>(text), Problem::Ambiguous { .. }), "{text}");
        assert!(matches!(problem::<QueueLimit>(text), Problem::Ambiguous { .. }), "{text}");
    }
    assert!(matches!(problem::<Duration>("5m"), Problem::Ambiguous { .. }));
}

#[test]
fn nothing_is_rounded_and_nothing_overflows() {
    assert!(matches!(problem::<Duration>("0.5ns"), Problem::TooFine { .. }));
    assert!(matches!(problem::<Duration>("1.0000000001s"), Problem::TooFine { .. }));
    assert!(matches!(problem::<Rate>("0.5bit"), Problem::TooFine { .. }));
    assert!(matches!(problem::<Percent>("0.00000000001%"), Problem::TooFine { .. }));
    assert!(matches!(problem::<Percent>("0.000000001%"), Problem::TooFine { .. }));
    assert!(matches!(problem::<Percent>("100.0001%"), Problem::TooLarge { .. }));
    assert!(matches!(problem::<Duration>("400000000000s"), Problem::TooLarge { .. }));
    assert!(matches!(problem::<Rate>("99999999999999999999999999999999999999999999gbit"), Problem::TooLarge { .. }));
    for queue in ["4097p", "5000000000p"] {
        assert!(matches!(problem::<QueueLimit>(queue), Problem::TooLarge { limit } if limit.contains("bytes or time")));
    }
    assert_eq!(read::<QueueLimit>("4095p"), QueueLimit::Packets(4_095));
    let long = format!("0.{}1s", "0".repeat(60));
    assert!(matches!(problem::<Duration>(&long), Problem::TooFine { .. }));
    assert_eq!(read::<Duration>(&format!("1.{}s", "0".repeat(60))).0.0, 1_000_000_000);
}

#[test]
fn zero_is_refused_where_it_has_no_meaning() {
    assert!(matches!(problem::<Rate>("0"), Problem::Zero { .. }));
    assert!(matches!(problem::<Rate>("0mbit"), Problem::Zero { .. }));
    assert!(matches!(problem::<QueueLimit>("0p"), Problem::Zero { .. }));
    assert!(matches!(Duration::parse_nonzero("0s").expect_err("zero").problem, Problem::Zero { .. }));
    assert_eq!(Duration::parse_nonzero("1s").expect("a second").0.0, 1_000_000_000);
}

#[test]
fn an_error_says_what_was_written_what_is_wrong_and_what_is_right() {
    assert_eq!(read_error::<Percent>("-5%"), "\"-5%\" is no percentage: it is negative; write for example \"0.5%\"");
    assert_eq!(read_error::<Duration>("20"), "\"20\" is no duration: the unit is missing; write for example \"20ms\"");
    assert_eq!(
        read_error::<Rate>("10mbps"),
        "\"10mbps\" is no rate: unit \"mbps\" is ambiguous: bytes to tc, bits to others: write mbit or MB/s; \
         write for example \"10mbit\" or \"1.5Gbit/s\""
    );
}

fn read_error<T: FromStr<Err = QuantityError> + std::fmt::Debug>(text: &str) -> String {
    text.parse::<T>().expect_err(text).to_string()
}

#[test]
fn serde_reads_strings_and_places_its_errors() {
    #[derive(Debug, serde::Deserialize, serde::Serialize)]
    struct Holder {
        delay: Duration,
        loss: Percent,
    }
    let holder: Holder = toml::from_str("delay = \"20ms\"\nloss = 0").expect("valid");
    assert_eq!((holder.delay, holder.loss), (Duration::from_millis(20), Percent::ZERO));
    assert_eq!(toml::to_string(&holder).expect("serializes"), "delay = \"20ms\"\nloss = \"0%\"\n");
    let text = "delay = \"20ms\"\nloss = 0.05";
    let error = toml::from_str::<Holder>(text).expect_err("no unit");
    assert_eq!(error.span().map(|span| &text[span]), Some("0.05"));
    assert!(error.message().contains("the unit is missing"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_displayed_reads_back_the_same(nanos in 0u64..400_000_000_000, bits in 1u64..5_000_000_000, bytes in 0u64..10_000_000, tenths in 0u32..=1_000) {
        kept(Duration(shaper_common::units::Nanos(nanos)));
        kept(Rate(shaper_common::units::BitsPerSec(bits)));
        kept(Size(bytes));
        kept(QueueLimit::Packets(u32::try_from(bytes % 4_095).expect("small") + 1));
        kept(read::<Percent>(&format!("{}.{}%", tenths / 10, tenths % 10)));
        kept(read::<EventRate>(&format!("{tenths}%/s")));
    }

    #[test]
    fn no_text_makes_reading_panic(text in "\\PC{0,30}") {
        let _ = text.parse::<Duration>().is_ok() | text.parse::<Percent>().is_ok() | text.parse::<Rate>().is_ok();
        let _ = text.parse::<QueueLimit>().is_ok() | text.parse::<Size>().is_ok() | text.parse::<EventRate>().is_ok();
    }
}
