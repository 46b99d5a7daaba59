//! What both sides can say comes back the same; no text makes an importer panic.

use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;
use shaper_profile::exchange::export;
use shaper_profile::quantity::Rate;

use super::*;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(8_867), failure_persistence: None, ..ProptestConfig::default() }
}

fn percent() -> impl Strategy<Value = String> {
    // All that a percentage holds, in steps of 10^-6 %.
    (1u64..100_000_000).prop_map(|millionths| format!("{}.{:06}%", millionths / 1_000_000, millionths % 1_000_000))
}

fn line<T: std::fmt::Display>(key: &'static str, value: Option<T>) -> String {
    value.map(|value| format!("{key} = \"{value}\"\n")).unwrap_or_default()
}

/// Directions of which netem can say everything.
fn netems() -> impl Strategy<Value = Direction> {
    let delays = (
        1u64..10_000_000_000,
        option::of((1u64..10_000_000_000, select(vec!["uniform", "normal", "pareto", "paretonormal"]))),
    );
    let reorder = option::of((percent(), 1u32..1_000));
    let losses = prop_oneof![
        Just(None),
        percent().prop_map(Some),
        (percent(), percent(), percent(), percent())
            .prop_map(|(p, r, bad, good)| Some(format!("gemodel {p} {r} {bad} {good}"))),
    ];
    let rates =
        option::of((1u64..1_000_000_000_000, 1u32..=4_095, -100i32..=10_000, option::of((1u32..10_000, 0u32..10_000))));
    let damage = (option::of(percent()), option::of(percent()), any::<bool>());
    let slots = option::of((1u64..1_000_000_000, option::of(1u64..1_000_000_000), option::of(1u32..100)));
    (option::of(delays), reorder, losses, rates, damage, slots).prop_filter_map(
        "cannot be",
        |(delays, reorder, loss, rates, damage, slots)| {
            let mut text = String::new();
            let has_jitter = delays.as_ref().is_some_and(|(_, jitter)| jitter.is_some());
            if let Some((delay, jitter)) = &delays {
                text += &line("delay", Some(format!("{delay}ns")));
                if let Some((jitter, shape)) = jitter {
                    text += &format!("jitter = \"{jitter}ns\"\ndistribution = \"{shape}\"\n");
                }
                text += &line("reorder", reorder.as_ref().map(|(ratio, gap)| format!("{ratio} gap {gap}")));
            }
            let is_reordered = delays.is_some() && reorder.is_some();
            if rates.is_some() && has_jitter && !is_reordered {
                text += "order = \"keep\"\n";
            }
            if let Some((rate, queue, overhead, cell)) = &rates {
                text += &format!("rate = \"{rate}bit\"\nqueue = \"{queue}p\"\noverhead = \"{overhead}B\"\n");
                text += &line("cell", cell.as_ref().map(|(payload, header)| format!("{payload}B {header}B")));
            }
            let (corrupt, duplicate, ecn) = damage;
            text += &(line("corrupt", corrupt) + &line("duplicate", duplicate));
            if loss.is_some() && ecn {
                text += "ecn = true\n";
            }
            text += &line("loss", loss);
            text += &line(
                "slot",
                slots.map(|(least, more, packets)| {
                    let most = more.map(|more| format!(" to {}ns", least + more)).unwrap_or_default();
                    format!(
                        "{least}ns{most}{}",
                        packets.map(|packets| format!(" packets {packets}")).unwrap_or_default()
                    )
                }),
            );
            Some(presets::parse("direction.toml", "direction", &text).ok()?.link.a_to_b)
        },
    )
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn netems_commands_come_back_as_what_they_were_made_of(up in netems(), down in netems()) {
        let mut profile = Profile::default();
        profile.link.a_to_b = up;
        profile.link.b_to_a = down;
        let exported = export::netem(&profile, ["eth0", "ifb0"]);
        let shape = |line: &String| line.contains("pareto");
        prop_assert!(exported.unsaid.iter().all(shape), "{:?}", exported.unsaid);
        let imported = import(Format::Tc, &exported.text);
        prop_assert_eq!(&imported.profile.link, &profile.link, "{}", exported.text);
    }

    #[test]
    fn a_constant_rate_comes_back_from_mahimahi(
        count in 1u64..200,
        // Divisors of the bits of an opportunity a millisecond: the rate is a whole number of bits a second.
        period in select(vec![1u64, 2, 4, 5, 8, 10, 16, 20, 25, 40, 47, 50, 64, 94, 125, 235, 250, 376, 500, 752, 1_000]),
    ) {
        let bits = count * 12_032_000;
        let rate: Rate = format!("{}bit", bits / period).parse().unwrap();
        let of = Direction { rate, ..direction("overhead = \"-10B\"") };
        let exported = export::mahimahi(&of).unwrap();
        prop_assert!(exported.unsaid.is_empty());
        prop_assert_eq!(&import(Format::Mahimahi, &exported.text).profile.link.a_to_b, &of);
    }
}

/// Words that the formats know, so that texts come further than their first line.
const WORDS: &[&str] = &[
    "tc",
    "qdisc",
    "add",
    "dev",
    "eth0",
    "root",
    "netem",
    "delay",
    "loss",
    "state",
    "gemodel",
    "reorder",
    "gap",
    "rate",
    "slot",
    "distribution",
    "normal",
    "limit",
    "corrupt",
    "duplicate",
    "ecn",
    "seed",
    "packets",
    "bytes",
    "10ms",
    "5%",
    "1mbit",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"up\"",
    "\"down\"",
    "\"content\"",
    "\"delay\"",
    "\"loss\"",
    "\"percentage\"",
    "\"rate\"",
    "\"outgoing\"",
    "\"incoming\"",
    "\"protocol=ip\"",
    "\"download\"",
    "\"upload\"",
    "\"latency\"",
    "\"title\"",
    "\"Slow 3G\"",
    "queue_length_packets",
    "link_capacity_kbps",
    "loss_percent",
    "avg_burst_loss_length",
    "=",
    "0",
    "1",
    "-1",
    "100",
    "1e308",
    "18446744073709551615",
    "0.5",
    "NaN",
    "\n",
    "\n",
    " ",
    "#",
    "\u{e9}",
];

proptest! {
    #![proptest_config(config(4_096))]

    #[test]
    fn no_text_makes_an_importer_panic(
        words in proptest::collection::vec((select(WORDS), any::<bool>()), 0..60),
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let text: String = words.iter().map(|(word, blank)| word.to_string() + if *blank { " " } else { "" }).collect();
        for text in [text, String::from_utf8_lossy(&bytes).into_owned()] {
            for format in Format::ALL {
                if let Ok(imported) = shaper_profile::exchange::import(format, &text) {
                    reads_back(&imported.profile);
                }
            }
        }
    }

    #[test]
    fn numbers_make_no_importer_panic(lines in proptest::collection::vec(proptest::collection::vec(select(vec![
        0u64, 1, 2, 3, 10, 1_000, 12_345, u64::from(u32::MAX), u64::MAX,
    ]), 1..10), 0..12), comma in any::<bool>()) {
        let separator = if comma { "," } else { " " };
        let row = |row: &Vec<u64>| row.iter().map(u64::to_string).collect::<Vec<_>>().join(separator) + "\n";
        let text: String = lines.iter().map(row).collect();
        for format in Format::ALL {
            if let Ok(imported) = shaper_profile::exchange::import(format, &text) {
                reads_back(&imported.profile);
            }
        }
    }
}
