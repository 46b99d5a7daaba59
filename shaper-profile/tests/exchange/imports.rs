//! What each format comes to.

use shaper_profile::exchange::export;
use shaper_profile::quantity::Duration;

use super::*;

#[test]
fn mahimahi_is_a_trace_of_rates_that_begins_anew() {
    let imported = import(Format::Mahimahi, include_str!("data/lte.mahimahi"));
    let files: Vec<_> = imported.files.iter().map(|file| (file.suffix, file.text.as_str())).collect();
    let text = "# From a mahimahi trace; begins anew at the end\n\
        time_ms,rate_kbit\n0,24064\n1,12032\n2,0\n4,24064\n5,12032\n6,24064\n";
    assert_eq!(files, [(".up.csv", text), (".down.csv", text)]);
    let profile = imported.named("lte").profile;
    assert_eq!(profile.link.a_to_b, direction("overhead = \"-10B\"\ntrace = \"lte.up.csv loop\""));
    assert_eq!(profile.link.b_to_a.trace.unwrap().to_string(), "lte.down.csv loop");
}

#[test]
fn what_may_leave_at_the_start_leaves_at_the_end_of_the_period_before() {
    let imported = import(Format::Mahimahi, "0\n0\n3\n");
    assert_eq!(imported.files[0].text.lines().skip(2).collect::<Vec<_>>(), ["0,0", "2,36096", "3,0"]);
}

#[test]
fn even_opportunities_are_a_constant_rate() {
    for (text, rate) in
        [("1\n", "12032kbit"), ("1\n1\n", "24064kbit"), ("2\n", "6016kbit"), ("2\n3\n4\n5\n", "9625600bit")]
    {
        let imported = import(Format::Mahimahi, text);
        assert!(imported.files.is_empty(), "{text}");
        let expected = direction(&format!("overhead = \"-10B\"\nrate = \"{rate}\""));
        assert_eq!(imported.profile.link.a_to_b, expected, "{text}");
        assert!(notes(&imported).contains("constant rate"), "{text}");
    }
}

#[test]
fn each_direction_may_have_a_text_of_its_own() {
    let [up, down] = [Source { file: "up", text: "1\n" }, Source { file: "down", text: "2\n" }];
    let options = Options::default();
    let rates = |inputs| {
        let link = import_with(Format::Mahimahi, inputs, &options).unwrap().profile.link;
        [link.a_to_b.rate.0.0, link.b_to_a.rate.0.0]
    };
    assert_eq!(rates(Inputs::Each { up, down }), [12_032_000, 6_016_000]);
    assert_eq!(rates(Inputs::Up(up)), [12_032_000, 0]);
    assert_eq!(rates(Inputs::Down(up)), [0, 12_032_000]);
}

#[test]
fn a_distribution_is_copied_and_told() {
    let text = include_str!("data/small.dist");
    let options = Options {
        delay: Some(Duration::from_millis(20)),
        jitter: Some(Duration::from_millis(5)),
        correlation_time: None,
    };
    let imported = with(Format::Dist, text, &options);
    assert!(notes(&imported).contains("4 values with mean 0.250 and standard deviation 1.090"), "{}", notes(&imported));
    assert_eq!((imported.files[0].suffix, imported.files[0].text.as_str()), (".up.dist", text));
    let link = imported.named("wifi").profile.link;
    let expected = "delay = \"20ms\"\njitter = \"5ms\"\ndistribution = \"table wifi.up.dist\"";
    assert_eq!(link.a_to_b, direction(expected));
    assert_eq!(
        export::dist(&direction("jitter = \"1ms\"\ndistribution = \"table tests/exchange/data/small.dist\""))
            .unwrap()
            .text,
        text
    );
}

#[test]
fn theaterq_is_a_trace_where_a_trace_holds_it() {
    let imported = import(Format::Theaterq, include_str!("data/simple.theaterq"));
    assert_eq!(
        imported.files[0].text,
        "# From a theaterq trace; begins anew at the end\ntime_ms,rate_kbit,delay_us,loss_percent\n\
         0,10000,20000,0\n500,5000,30000.5,1.0000000012\n1000,10000,20000,0\n"
    );
    let expected = "delay = \"20ms\"\nrate = \"10mbit\"\nqueue = \"100p\"\ntrace = \"x.up.csv loop\"";
    assert_eq!(imported.named("x").profile.link.a_to_b, direction(expected));
}

#[test]
fn theaterq_is_changes_where_more_than_a_trace_holds_differs() {
    let imported = import(Format::Theaterq, include_str!("data/extended.theaterq"));
    assert!(imported.files.is_empty());
    let link = imported.profile.link;
    let start = "delay = \"20ms\"\njitter = \"1ms\"\ndistribution = \"normal\"\nrate = \"10mbit\"\nqueue = \"100p\"";
    assert_eq!(link.a_to_b, direction(start));
    let changed = "delay = \"20ms\"\njitter = \"2ms\"\ndistribution = \"normal\"\nrate = \"10mbit\"\nqueue = \"50p\"\n\
        duplicate = \"1.0000000012% delay 5ms\"";
    assert_eq!(link.changes.len(), 1);
    assert_eq!((link.changes[0].at, &link.changes[0].a_to_b), (Duration::from_millis(1_000), &direction(changed)));
    assert_eq!(link.repeat, Some(Duration::from_millis(2_000)));
}

#[test]
fn tcconfig_is_rules_with_all_of_a_protocol_last() {
    let imported = import(Format::Tcconfig, include_str!("data/two.tcconfig.json"));
    let link = imported.profile.link;
    assert_eq!(imported.profile.name, "eth0");
    let filters: Vec<_> = link.rules.iter().map(|rule| rule.filter.as_str()).collect();
    assert_eq!(filters, ["ip and dst host 192.168.0.10 and dst port 8080", "ip"]);
    let named = "delay = \"10ms\"\njitter = \"2ms\"\ndistribution = \"normal\"\nloss = \"0.01%\"\nrate = \"250kbit\"";
    let incoming = direction("delay = \"1ms\"\nrate = \"500kbit\"");
    assert_eq!((&link.rules[0].link.a_to_b, &link.rules[0].link.b_to_a), (&direction(named), &incoming));
    assert_eq!((&link.rules[1].link.a_to_b, &link.rules[1].link.b_to_a), (&direction("loss = \"0.5%\""), &incoming));
    assert_eq!(link.a_to_b, Direction::default());
}

#[test]
fn atc_is_what_it_hands_to_netem() {
    let imported = import(Format::Atc, include_str!("data/lossy.atc.json"));
    assert_eq!(imported.profile.name, "Edge - Lossy");
    let down = "delay = \"400ms\"\njitter = \"20ms\"\nloss = \"1% correlation 25%\"\ncorrupt = \"0.1%\"\n\
        reorder = \"2% gap 5\"\nrate = \"240kbit\"\nqueue = \"1000p\"";
    assert_eq!(imported.profile.link.b_to_a, direction(down));
    assert_eq!(imported.profile.link.a_to_b, direction("delay = \"440ms\""));
    assert!(notes(&imported).contains("policer = \"240kbit/s burst 12kB\""), "{}", notes(&imported));
}

#[test]
fn libwebrtc_as_json_or_as_fields_is_the_same() {
    let json = import(Format::Libwebrtc, include_str!("data/burst.libwebrtc.json"));
    let expected = "delay = \"100ms\"\njitter = \"10ms\"\ndistribution = \"normal\"\norder = \"keep\"\n\
        loss = \"5% burst 3\"\nrate = \"1mbit\"\nqueue = \"50p\"\noverhead = \"28B\"";
    assert_eq!(json.profile.link.a_to_b, direction(expected));
    let fields = "config.queue_length_packets = 50;\nconfig.queue_delay_ms = \
        100;\nloss_percent:5,avg_burst_loss_length:3\n\
        delay_standard_deviation_ms=10\nlink_capacity = \"1000 kbps\"\npacket_overhead: 28";
    assert_eq!(import(Format::Libwebrtc, fields).profile.link, json.profile.link);
    let plain = import(Format::Libwebrtc, "loss_percent=1, avg_burst_loss_length=-1, allow_reordering=true");
    assert_eq!(plain.profile.link.a_to_b, direction("loss = \"1%\""));
}

#[test]
fn devtools_presets_stand_for_what_is_left_without_their_factors() {
    for (text, up, down, delay) in [
        ("Slow 3G", "500kbit", "500kbit", "200ms"),
        ("Fast 3G\n", "750kbit", "1600kbit", "75ms"),
        ("\"Slow 4G\"", "750kbit", "1600kbit", "75ms"),
        ("{\"title\": \"Fast 4G\"}", "1500kbit", "9mbit", "30ms"),
        (
            "{\"download\": 50000, \"upload\": 50000, \"latency\": 2000, \"targetLatency\": 400}",
            "500kbit",
            "500kbit",
            "200ms",
        ),
        ("{\"download\": 180000, \"upload\": 84375, \"latency\": 562.5}", "750kbit", "1600kbit", "75ms"),
        (
            "{\"offline\": false, \"downloadThroughput\": 1012500.0, \"uploadThroughput\": 168750, \"latency\": 165}",
            "1500kbit",
            "9mbit",
            "30ms",
        ),
    ] {
        let imported = import(Format::Devtools, text);
        let link = &imported.profile.link;
        let of = |rate| direction(&format!("rate = \"{rate}\"\ndelay = \"{delay}\""));
        let plain = |of: &Direction| Direction { queue: None, order: shaper_profile::Order::Free, ..of.clone() };
        assert_eq!((plain(&link.a_to_b), plain(&link.b_to_a)), (of(up), of(down)), "{text}");
        assert!(notes(&imported).contains("divided out"), "{text}");
    }
}

#[test]
fn devtools_conditions_of_ones_own_are_taken_as_they_are() {
    let imported = import(Format::Devtools, include_str!("data/custom.devtools.json"));
    assert_eq!(imported.profile.name, "Train");
    let with = |rate: &str, delay: &str| {
        direction(&format!("rate = \"{rate}\"\ndelay = \"{delay}\"\nloss = \"2%\"\nqueue = \"50p\"\norder = \"keep\""))
    };
    let link = &imported.profile.link;
    assert_eq!((&link.a_to_b, &link.b_to_a), (&with("500kbit", "50.5ms"), &with("2mbit", "50.5ms")));
    assert!(notes(&imported).contains("WebRTC's alone"));
    for text in ["Offline", "{\"download\": 0, \"upload\": 0, \"latency\": 0}", "{\"offline\": true}"] {
        let outages = import(Format::Devtools, text).profile.link.outages.scheduled;
        assert!(matches!(outages[..], [all] if all.at.is_zero() && all.length.as_secs_f64() > 1e7), "{text}");
    }
}

#[test]
fn pensieves_throughput_holds_for_the_time_that_ends_at_its_line() {
    let imported = import(Format::Pensieve, include_str!("data/bus.pensieve"));
    assert_eq!(
        imported.files[0].text,
        "# From a pensieve trace; begins anew at the end\ntime_ms,rate_bit\n0,4037688\n1000,0\n2500,4037688\n"
    );
    assert_eq!(import(Format::Pensieve, "1 5\n2 2.5\n9 2.5").profile.link.a_to_b, direction("rate = \"2500kbit\""));
}

#[test]
fn two_commands_of_tc_are_the_two_directions() {
    let imported = import(Format::Tc, include_str!("data/both.tc"));
    // Of 200 packets 17 are in the delay: 20 ms at 10 Mbit/s, 1538 bytes each.
    let up = "delay = \"20ms\"\njitter = \"5ms\"\ndistribution = \"normal\"\norder = \"keep\"\nloss = \"1%\"\n\
        corrupt = \"0.1%\"\nduplicate = \"0.5%\"\nrate = \"10mbit\"\noverhead = \"24B\"\nqueue = \"183p\"";
    let down = "delay = \"100us\"\nloss = \"gemodel 1% 10% 70% 0.1%\"";
    let link = &imported.profile.link;
    assert_eq!((&link.a_to_b, &link.b_to_a), (&direction(up), &direction(down)));
    assert!(notes(&imported).contains("file:2: limit 200 counts packets in the delay too"), "{}", notes(&imported));
}

#[test]
fn every_option_of_netem_is_known() {
    for (options, expected) in [
        ("", ""),
        ("delay 1s", "delay = \"1s\""),
        ("delay 20ms 5ms", "delay = \"20ms\"\njitter = \"5ms\""),
        ("delay 20ms 5ms distribution pareto", "delay = \"20ms\"\njitter = \"5ms\"\ndistribution = \"pareto\""),
        ("delay 20ms 5ms distribution wifi", "delay = \"20ms\"\njitter = \"5ms\"\ndistribution = \"table wifi.dist\""),
        ("delay 20ms 5ms 25%", "delay = \"20ms\"\njitter = \"5ms\""),
        ("loss random 0.3% 25%", "loss = \"0.3% correlation 25%\""),
        ("loss 1", "loss = \"1%\""),
        ("loss 5% ecn", "loss = \"5%\"\necn = true"),
        ("loss state 1%", "loss = \"state 1% 99% 0% 100% 0%\""),
        ("loss state 1% 50% 10% 30% 0.5%", "loss = \"state 1% 50% 10% 30% 0.5%\""),
        ("loss gemodel 1%", "loss = \"gemodel 1% 99% 100% 0%\""),
        ("corrupt 0.1% 25%", "corrupt = \"0.1% correlation 25%\""),
        ("duplicate 1% 50%", "duplicate = \"1% correlation 50%\""),
        ("delay 10ms reorder 25% 50% gap 5", "delay = \"10ms\"\nreorder = \"25% correlation 50% gap 5\""),
        ("rate 1mbps", "rate = \"8mbit\"\nqueue = \"1000p\""),
        ("rate 1mbit 20 48 5", "rate = \"1mbit\"\nqueue = \"1000p\"\noverhead = \"20B\"\ncell = \"48B 5B\""),
        ("limit 20000 rate 1mbit", "rate = \"1mbit\"\nqueue = \"30280000B\""),
        ("slot 10ms", "slot = \"10ms\""),
        ("slot 5ms 20ms packets 32 bytes 64k", "slot = \"5ms to 20ms packets 32 bytes 65536B\""),
        ("slot distribution normal 10ms 2ms", "slot = \"10ms +-2ms normal\""),
        ("slot distribution uniform 10ms 2ms", "slot = \"8ms to 12ms\""),
        ("limit 100 seed 7", ""),
    ] {
        let command = format!("tc qdisc add dev eth0 parent 1:3 handle 30: netem {options}");
        let imported = import(Format::Tc, &command);
        assert_eq!(imported.profile.link.a_to_b, direction(expected), "{options}");
        let told = notes(&imported);
        for (option, words) in [
            ("25%", "correlation"),
            ("pareto", "2/sqrt(3)"),
            ("limit 100 ", "limit is left out"),
            ("limit 20000", "more than the 4095"),
            ("seed", "--seed 7"),
            ("wifi", "wifi.dist"),
        ] {
            assert!(!options.contains(option) || told.contains(words), "{options}: {told:?}");
        }
    }
    let asked = Options { correlation_time: Some(Duration::from_millis(50)), ..Options::default() };
    let imported = with(Format::Tc, "tc qdisc add dev eth0 root netem delay 20ms 5ms 25%", &asked);
    assert_eq!(
        imported.profile.link.a_to_b,
        direction("delay = \"20ms\"\njitter = \"5ms\"\ncorrelation_time = \"50ms\"")
    );
    assert_eq!(notes(&imported), "");
}
