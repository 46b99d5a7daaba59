//! What is written for other tools, and what they are said not to say.

use shaper_profile::exchange::export;

use super::*;

/// netem's options for a direction, and what is not said of it.
fn netem(text: &str) -> (String, Vec<String>) {
    let profile = presets::parse("link.toml", "link", &format!("[up]\n{text}")).unwrap();
    let exported = export::netem(&profile, ["eth0", "ifb0"]);
    let command = exported.text.lines().nth(1).unwrap();
    assert_eq!(exported.text.lines().count(), 4);
    let options = command.strip_prefix("tc qdisc replace dev eth0 root netem").unwrap();
    (options.trim().to_owned(), exported.unsaid)
}

#[test]
fn netem_is_told_what_it_can_do() {
    for (text, options) in [
        ("", ""),
        ("delay = \"20ms\"", "limit 100000 delay 20ms"),
        (
            "delay = \"20ms\"\njitter = \"5ms\"\ndistribution = \"normal\"",
            "limit 100000 delay 20ms 5ms distribution normal",
        ),
        ("jitter = \"5ms\"", "limit 100000 delay 0ms 5ms"),
        ("delay = \"20ms\"\nreorder = \"25% gap 5\"", "limit 100000 delay 20ms reorder 25% gap 5"),
        ("loss = \"1%\"\necn = true", "loss 1% ecn"),
        ("loss = \"state 1% 50% 10% 30% 0.5%\"", "loss state 1% 50% 10% 30% 0.5%"),
        ("loss = \"5% burst 4\"", "loss gemodel 1.3157894737% 25.0000000000%"),
        ("loss = \"5% correlation 20%\"", "loss gemodel 4.0000000000% 76.0000000000%"),
        ("rate = \"10mbit\"\nqueue = \"100p\"", "limit 100 rate 10000000bit"),
        ("rate = \"10mbit\"\nqueue = \"100p\"\ndelay = \"20ms\"", "limit 117 delay 20ms rate 10000000bit"),
        ("rate = \"1mbit\"\nqueue = \"9p\"\noverhead = \"-4B\"\ncell = \"48B 5B\"", "limit 9 rate 1000000bit -4 48 5"),
        ("slot = \"10ms +-2ms normal packets 3\"", "slot distribution normal 10ms 2ms packets 3"),
        ("slot = \"10ms +-2ms\"", "slot 8ms 12ms"),
        ("corrupt = \"0.1%\"\nduplicate = \"1%\"", "corrupt 0.1% duplicate 1%"),
    ] {
        assert_eq!(netem(text), (options.to_owned(), Vec::new()), "{text}");
    }
}

#[test]
fn what_netem_cannot_say_is_listed() {
    for (text, words) in [
        ("delay = \"20ms\"\njitter = \"5ms\"\norder = \"keep\"", "overtake where there is no rate"),
        (
            "delay = \"20ms\"\njitter = \"5ms\"\nrate = \"1mbit\"\nqueue = \"9p\"",
            "do not overtake where there is a rate",
        ),
        ("jitter = \"5ms\"\ncorrelation_time = \"50ms\"", "not correlated over time"),
        ("jitter = \"5ms\"\ndistribution = \"pareto\"", "wider by 2/sqrt(3)"),
        ("jitter = \"5ms\"\ndistribution = \"table a/b.dist\"", "put a/b.dist there as b.dist"),
        ("loss = \"5% burst 3 max 10\"", "no longest: 10"),
        ("loss = \"every 3\"", "follow no pattern"),
        ("loss = \"1%\"\nloss_position = \"after\"", "before the rate"),
        ("ecn = true", "marks only what a loss would take"),
        ("duplicate = \"1% copies 2\"", "one copy, at once"),
        ("corrupt = \"1% bytes 2\"", "one bit anywhere"),
        ("corrupt = \"1% correlation 25%\"", "rarer than its percentage"),
        ("rate = \"1mbit\"", "the default queue becomes 10 full ones"),
        ("rate = \"1mbit\"\nqueue = \"50ms\"", "a queue of 50 ms becomes 5 full ones"),
        ("rate = \"1mbit\"\nqueue = \"9p\"\noverhead = \"ethernet\"", "does not pad"),
        ("rate = \"1mbit\"\nqueue = \"9p\"\naqm = \"codel\"", "queue is not managed"),
        ("policer = \"1mbit burst 64kB\"", "no policer"),
        ("scope = \"flow\"", "all flows together"),
        ("trace = \"a.csv\"", "no traces: a.csv hold"),
    ] {
        let (_, unsaid) = netem(text);
        assert!(
            matches!(&unsaid[..], [only] if only.starts_with("a to b: ") && only.contains(words)),
            "{text}: {unsaid:?}"
        );
    }
    let whole = "[outages]\nrate = \"1%\"\nlength = \"1s\"\n[[change]]\nat = \"1s\"\nloss = \"1%\"\n[[rule]]\nmatch \
        = \"udp\"\n";
    let unsaid = export::netem(&presets::parse("x", "x", whole).unwrap(), ["a", "b"]).unsaid;
    assert_eq!(unsaid.len(), 3, "{unsaid:?}");
}

/// The values of a table in jitters.
fn dist(distribution: &str) -> Vec<f64> {
    let text = export::dist(&direction(&format!("jitter = \"5ms\"\ndistribution = \"{distribution}\""))).unwrap().text;
    let values = text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
    values.map(|value| f64::from(value.parse::<i16>().unwrap()) / 8_192.0).collect()
}

#[test]
fn tables_have_4096_values_of_their_distribution() {
    // Exact values at a tenth, the middle and nine tenths.
    let pareto = |share: f64| ((1.0 - share).powf(-1.0 / 3.0) - 1.5) / 0.75f64.sqrt();
    for (name, tenth, middle, most) in [
        ("uniform", -0.8, 0.0, 0.8),
        ("normal", -1.281_55, 0.0, 1.281_55),
        ("pareto", pareto(0.1), pareto(0.5), pareto(0.9)),
        // By numerical integration over the normal density, of the deviation 0.937754.
        ("paretonormal", -0.770_40, -0.221_72, 0.946_03),
    ] {
        let values = dist(name);
        assert_eq!(values.len(), 4_096, "{name}");
        assert!(values.is_sorted(), "{name}");
        for (place, exact) in [(0.1, tenth), (0.5, middle), (0.9, most)] {
            let value = values[(4_096.0 * place) as usize];
            assert!((value - exact).abs() < 2e-3, "{name} at {place}: {value}, not {exact}");
        }
    }
    assert!((dist("pareto").last().unwrap() - 32_767.0 / 8_192.0).abs() < 1e-9);
    let pareto = export::dist(&direction("jitter = \"5ms\"\ndistribution = \"pareto\"")).unwrap();
    assert!(pareto.unsaid[0].starts_with("the table ends at 4 jitters: "), "{:?}", pareto.unsaid);
}

#[test]
fn a_rate_is_opportunities_as_few_as_say_it() {
    let schedule = |text: &str| export::mahimahi(&direction(text)).unwrap();
    assert_eq!(schedule("rate = \"12032kbit\"\noverhead = \"-10B\"").text, "1\n");
    assert_eq!(schedule("rate = \"18048kbit\"\noverhead = \"-10B\"").text, "1\n2\n2\n");
    let exact = schedule("rate = \"12mbit\"\noverhead = \"-10B\"");
    assert_eq!((exact.text.lines().count(), exact.text.lines().last()), (375, Some("376")));
    assert_eq!(exact.unsaid, [""; 0]);
    let rounded = schedule("rate = \"1000003bit\"");
    assert_eq!(rounded.text.lines().last(), Some("600000"));
    assert!(rounded.unsaid.iter().any(|line| line.contains("1000003 bit/s becomes")), "{:?}", rounded.unsaid);
    assert!(rounded.unsaid.iter().any(|line| line.contains("overhead of -10B")), "{:?}", rounded.unsaid);
    let unsaid = schedule("rate = \"12032kbit\"\nqueue = \"100p\"\nloss = \"1%\"\noverhead = \"-10B\"").unsaid;
    assert_eq!(unsaid.len(), 2, "{unsaid:?}");
}

#[test]
fn a_trace_of_rates_is_the_schedule_it_was() {
    let folder = std::env::temp_dir().join(format!("shaper-exchange-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let text = include_str!("data/lte.mahimahi");
    let path = folder.join("lte.up.csv");
    std::fs::write(&path, &import(Format::Mahimahi, text).files[0].text).unwrap();
    let traced = |end: &str| direction(&format!("trace = \"{} {end}\"\noverhead = \"-10B\"", path.display()));
    let exported = export::mahimahi(&traced("loop")).unwrap();
    std::fs::write(&path, "time_ms,delay_ms\n0,5\n").unwrap();
    let without = export::mahimahi(&traced("loop")).unwrap_err().to_string();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!((exported.text.as_str(), exported.unsaid.len()), (text, 0));
    assert!(without.contains("lte.up.csv:1: the trace has no rates"), "{without}");
    let missing = export::mahimahi(&traced("hold")).unwrap_err().to_string();
    assert!(missing.contains("cannot read it"), "{missing}");
}

#[test]
fn what_there_is_nothing_to_write_of_is_refused() {
    let error = export::mahimahi(&Direction::default()).unwrap_err().to_string();
    assert_eq!(error, "mahimahi: there is neither a rate nor a trace of rates; set one, for example rate = \"12mbit\"");
    let error = export::dist(&Direction::default()).unwrap_err().to_string();
    assert_eq!(error, "dist: there is no jitter that had a distribution; set one, for example jitter = \"5ms\"");
}
