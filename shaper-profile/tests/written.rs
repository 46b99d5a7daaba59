//! A profile that is written out reads back the same, whatever it holds.

use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;
use shaper_profile::{Patch, Profile, list, presets};

/// Keys that need no other, each with texts of all its forms.
const FREE: &[(&str, &[&str])] = &[
    ("distribution", &["uniform", "normal", "pareto", "paretonormal"]),
    ("loss", &["0%", "5%", "5% burst 3", "5% burst 3 max 10", "1% correlation 25%", "gemodel 1% 10%", "every 3"]),
    ("loss_position", &["before", "after"]),
    ("ecn", &["on", "off"]),
    ("duplicate", &["none", "1%", "1% copies 15", "0.5% correlation 25% copies 2 delay 5ms"]),
    ("corrupt", &["none", "0.1%", "1% bits 8 in l3", "1% bytes 4 in l4 at 7 repaired", "2% correlation 1% in payload"]),
    ("slot", &["none", "10ms", "5ms to 20ms", "10ms +-2ms", "10ms +-2ms normal packets 3 bytes 64kB"]),
    ("overhead", &["0B", "24B", "-14B", "ethernet"]),
    ("cell", &["none", "48B 5B", "64B"]),
    ("policer", &["none", "10mbit burst 64kB", "1gbit burst 50ms"]),
];

/// Those that can stand at the start only.
const FIXED: &[(&str, &[&str])] =
    &[("scope", &["link", "flow", "flow 8"]), ("trace", &["none", "lte.csv", "a b.csv loop"])];

/// Lines of a table's own keys, some of them.
fn lines(keys: &'static [(&'static str, &'static [&'static str])]) -> impl Strategy<Value = String> {
    let line = |(key, texts): &(&'static str, &'static [&'static str])| {
        let key = *key;
        option::of(select(*texts))
            .prop_map(move |text| text.map(|text| format!("{key} = \"{text}\"\n")).unwrap_or_default())
    };
    keys.iter().map(line).collect::<Vec<_>>().prop_map(|lines| lines.concat())
}

/// A direction's keys, with those that need others.
fn direction() -> impl Strategy<Value = String> {
    let delays = select(vec![
        "",
        "delay = 0\njitter = 0\nreorder = 0\n",
        "delay = \"20ms\"\njitter = \"5ms\"\ncorrelation_time = \"50ms\"\norder = \"free\"\nreorder = \"25% gap 5\"\n",
        "delay = \"20ms\"\njitter = \"30ms\"\norder = \"keep\"\nreorder = \"none\"\n",
        "delay = \"1ns\"\njitter = 0\norder = \"free\"\nreorder = \"1% correlation 50%\"\n",
    ]);
    let rates = select(vec![
        "",
        "rate = \"unlimited\"\n",
        "rate = \"10mbit\"\n",
        "rate = \"9999kbit\"\nqueue = \"100p\"\naqm = \"codel\"\n",
        "rate = \"1gbit\"\nqueue = \"50ms\"\naqm = \"pie target 5ms\"\n",
        "rate = \"2mbit\"\nqueue = \"default\"\naqm = \"step 1ms\"\n",
        "rate = \"2mbit\"\nqueue = \"64kB\"\naqm = \"none\"\n",
    ]);
    (delays, rates, lines(FREE)).prop_map(|(delays, rates, free)| format!("{delays}{rates}{free}"))
}

/// A table of the link's outages, some of its keys.
fn outages(header: &'static str) -> impl Strategy<Value = String> {
    let keys: &[(&str, &[&str])] = &[("flap", &["none", "9s up 1s down"]), ("held", &["kept", "lost"])];
    let length = option::of(select(vec!["500ms", "500ms exponential", "100ms to 2s"]));
    let row = any::<bool>();
    (length, lines(keys), row).prop_map(move |(length, keys, row)| {
        let random = length.map(|length| format!("rate = \"1%\"\nlength = \"{length}\"\n")).unwrap_or_default();
        let row = if row { "scheduled = [{ at = \"5s\", length = \"1s\", every = \"1min\" }]\n" } else { "" };
        format!("[{header}]\n{random}{keys}{row}")
    })
}

fn change() -> impl Strategy<Value = String> {
    (direction(), direction(), direction())
        .prop_map(|(both, up, down)| format!("{both}[change.up]\n{up}[change.down]\n{down}"))
}

/// A rule. No two may have one name: `NUMBER` stands for what tells it from the others.
fn rule() -> impl Strategy<Value = String> {
    let head = select(vec!["match = \"udp port 5000\"\n", "match = 'tcp'\nname = \"bulk NUMBER\"\n"]);
    let base = select(vec!["", "profile = \"wifi\"\n", "profile = \"handoff\"\n"]);
    (head, base, direction(), lines(FIXED), direction(), outages("rule.outages")).prop_map(
        |(head, base, both, fixed, down, outages)| {
            format!("[[rule]]\n{head}{base}{both}{fixed}[rule.down]\n{down}{outages}")
        },
    )
}

prop_compose! {
    fn profile()(
        both in direction(),
        fixed in lines(FIXED),
        up in direction(),
        own in lines(FIXED),
        outages in outages("outages"),
        changes in prop::collection::vec(change(), 0..4),
        repeat in any::<bool>(),
        rules in prop::collection::vec(rule(), 0..3),
    ) -> String {
        let repeat = if repeat && !changes.is_empty() { "loop = \"100s\"\n" } else { "" };
        let mut text = format!("{repeat}{both}{fixed}[up]\n{up}{own}{outages}");
        for (number, change) in changes.iter().enumerate() {
            text += &format!("[[change]]\nat = \"{}s\"\n{change}", 10 * (number + 1));
        }
        for (number, rule) in rules.iter().enumerate() {
            text += &rule.replace("NUMBER", &number.to_string());
        }
        text
    }
}

/// What can be beside each other in one table need not be over what held until then: only a kept order beside
/// reordering, and reordering without a delay.
fn is_contradiction(error: &str) -> bool {
    error.contains("reorder: ")
}

fn read(text: &str) -> Result<Profile, String> {
    presets::parse("link.toml", "link", text).map_err(|error| error.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(7),
        cases: 1_000,
        max_global_rejects: 4_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_profile_of_any_effects_reads_back_the_same(text in profile()) {
        let profile = match read(&text) {
            Err(error) if is_contradiction(&error) => return Err(TestCaseError::reject("a contradiction")),
            read => read.map_err(TestCaseError::fail)?,
        };
        profile.link.check().map_err(|error| TestCaseError::fail(error.to_string()))?;
        let written = toml::to_string(&profile).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let again = read(&written).map_err(|error| TestCaseError::fail(format!("{error}\nin\n{written}")))?;
        prop_assert_eq!(&again, &profile, "{}", written);
        for direction in [&profile.link.a_to_b, &profile.link.b_to_a] {
            prop_assert!(!direction.to_string().contains(", ,"), "{}", direction);
        }
    }
}

#[test]
fn presets_read_back_the_same() {
    for profile in list().unwrap() {
        assert_eq!(read(&toml::to_string(&profile).unwrap()).unwrap(), profile);
    }
}

#[test]
fn every_key_of_a_direction_is_among_those_that_are_tried() {
    let tried = FREE.iter().chain(FIXED).map(|(key, _)| *key);
    let with_others = ["delay", "jitter", "correlation_time", "order", "reorder", "rate", "queue", "aqm"];
    let mut tried: Vec<&str> = tried.chain(with_others).collect();
    let mut keys = Patch::KEYS.to_vec();
    tried.sort_unstable();
    keys.sort_unstable();
    assert_eq!(tried, keys);
}
