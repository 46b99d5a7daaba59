//! What is refused, with its place and what to do.

use shaper_profile::exchange::import;

use super::*;

#[test]
fn what_cannot_be_held_is_an_error_with_its_line() {
    for (format, text, place, words) in [
        (Format::Mahimahi, "", "1", "lasts no time"),
        (Format::Mahimahi, "0\n0\n", "2", "lasts no time"),
        (Format::Mahimahi, "1\n2.5\n", "2", "\"2.5\" is no whole number"),
        (Format::Mahimahi, "5\n4\n", "2", "4 is before the line above it"),
        (Format::Mahimahi, "99999999999\n", "1", "more than a day"),
        (Format::Dist, "0 1", "1", "give both, for example --delay 20ms --jitter 5ms"),
        (Format::Dist, "# none\n7\n", "2", "less than two values"),
        (Format::Dist, "1\n40000\n", "2", "\"40000\" is no whole number from -32768 to 32767"),
        (Format::Theaterq, "# nothing\n", "1", "the trace has no lines"),
        (Format::Theaterq, "1000,0,0\n", "1", "the line has 3 numbers, not 5, 8 or 9"),
        (Format::Theaterq, "1000,0,0,0,10\n0,0,0,0,10\n", "2", "KEEP is 0"),
        (Format::Theaterq, "1000,0,0,0,0\n", "1", "LIMIT is 0"),
        (Format::Theaterq, "1000,0,0,4294967296,10\n", "1", "which is 100 %"),
        (Format::Theaterq, "1000,0,0,x,10\n", "1", "\"x\" is no whole number"),
        (Format::Theaterq, "1000,3600000000001,0,0,10\n", "1", "longer than an hour"),
        (Format::Theaterq, "1000,0,5,0,10\n1000,0,150000000000,0,10\n", "2", "150000000000 bit/s is more than"),
        (Format::Pensieve, "0 9\n1 0\n2 0\n", "3", "all throughputs are 0"),
        (Format::Pensieve, "0 9\n1 1\n2 70000\n", "3", "70000000000 bit/s is more than"),
        (Format::Mahimahi, &format!("\n1\n{}", "3\n".repeat(6_000)), "6002", "72192000000 bit/s is more than"),
        (Format::Tcconfig, "[]", "1", "no object of devices"),
        (Format::Tcconfig, "{\"eth0\": {\"outgoing\": {}}}", "1", "no device has settings"),
        (Format::Tcconfig, "{\"a\": {\"outgoing\": {\n\"protocol=arp\": {}}}}", "2", "protocol \"arp\" is not known"),
        (Format::Tcconfig, "{\"a\": {\"outgoing\": {\n\"mark=1\": {}}}}", "2", "\"mark=1\" names no packets"),
        (
            Format::Tcconfig,
            "{\"a\": {\"outgoing\": {\"\": {\n\"loss\": \"5\u{2030}\"}}}}",
            "2",
            "no unit of a percentage",
        ),
        (Format::Tcconfig, "{\"a\": {\"outgoing\": {\"\": {\n\"rate\": \"5mph\"}}}}", "2", "tcconfig knows K, M, G"),
        (
            Format::Tcconfig,
            "{\"a\": {\"outgoing\": {\"\": {\n\"mtu\": 5}}}}",
            "2",
            "\"mtu\" is not known here; known: filter_id",
        ),
        (
            Format::Tcconfig,
            "{\"a\": {\"outgoing\": {\"\": {\"reordering\": 5}}}}",
            "1",
            "no delay that a packet could leave",
        ),
        (
            Format::Tcconfig,
            "{\"a\": {\"outgoing\": {\"\": {}}},\n\"b\": {\"incoming\": {\"\": {}}}}",
            "2",
            "keep one of the devices",
        ),
        (Format::Atc, "{\"up\": {\n\"rate\": -1}}", "2", "\"-1\" is negative"),
        (Format::Atc, "{\"up\": {\"loss\": {\n\"percentage\": 101}}}", "2", "not from 0 to 100 %"),
        (Format::Atc, "{\"up\": {\"iptables_options\":\n[\"-p tcp\"]}}", "2", "hold for some packets alone"),
        (Format::Atc, "{\"up\": {\"loss\": 5}}", "1", "loss is no object"),
        (Format::Atc, "{\"sideways\": {}}", "1", "\"sideways\" is not known here; known: up, down"),
        (Format::Libwebrtc, "", "1", "there are no fields"),
        (Format::Libwebrtc, "queue_delay_ms 5", "1", "no name with its value"),
        (Format::Libwebrtc, "link_capacity=500", "1", "none of the units"),
        (Format::Libwebrtc, "{\"link_capacity\": 500}", "1", "write link_capacity_kbps"),
        (Format::Libwebrtc, "loss_percent=80\navg_burst_loss_length=2", "2", "bursts that short cannot lose that much"),
        (Format::Libwebrtc, "loss_percent=1\nforward_ecn=true", "2", "\"forward_ecn\" is not known here"),
        (Format::Libwebrtc, "queue_delay_ms=1\n\nduration=5", "3", "settings over time are not read"),
        (Format::Devtools, "Slow 5G", "1", "known: Slow 3G, Fast 3G, Slow 4G, Fast 4G, Offline"),
        (Format::Devtools, "[{}, {}]", "1", "the list has 2 conditions; keep one of them"),
        (Format::Devtools, "{}", "1", "there are no conditions"),
        (Format::Devtools, "{\"latency\": 5,\n\"cpu\": 4}", "2", "\"cpu\" is not known here"),
        (Format::Devtools, "{\"latency\": 5, \"targetLatency\": 1}", "1", "figures that are no preset's"),
        (Format::Pensieve, "0 1\n", "1", "less than two lines"),
        (Format::Pensieve, "0 1\n1\n", "2", "the line has not two numbers"),
        (Format::Pensieve, "0 1\n1 -2\n", "2", "\"-2\" is negative"),
        (Format::Pensieve, "1 1\n1 2\n", "2", "no later than the line above it"),
        (Format::Pensieve, "0 NaN\n", "1", "no finite number"),
        (Format::Tc, "", "1", "there is no command; write for example tc qdisc"),
        (Format::Tc, "ip link", "1", "no tc qdisc"),
        (Format::Tc, "tc qdisc del dev eth0 root", "1", "del sets up nothing"),
        (Format::Tc, "tc qdisc add root netem delay 5ms", "1", "the device is missing"),
        (Format::Tc, "tc qdisc add dev eth0 root tbf rate 1mbit", "1", "write its rate as netem's"),
        (Format::Tc, "tc qdisc add dev eth0 root netem\\\n delay 5ms", "1", "\"netem\\\" is no netem"),
        (Format::Tc, "tc qdisc add dev eth0 root netem \\\n delay 5m", "2", "\"5m\" is no time"),
        (Format::Tc, "tc qdisc add dev eth0 root netem delay", "1", "delay is missing at the end"),
        (Format::Tc, "tc qdisc add dev eth0 root netem dealy 5ms", "1", "netem has no option \"dealy\"; known: limit"),
        (Format::Tc, "tc qdisc add dev eth0 root netem loss 1% loss 2%", "1", "\"loss\" stands there twice"),
        (Format::Tc, "tc qdisc add dev eth0 root netem loss 1% 100%", "1", "the fate of the first"),
        (Format::Tc, "tc qdisc add dev eth0 root netem reorder 5%", "1", "no delay that a packet could leave without"),
        (Format::Tc, "tc qdisc add dev eth0 root netem gap 5", "1", "gap has no reorder"),
        (Format::Tc, "tc qdisc add dev eth0 root netem ecn", "1", "no loss whose packets could be marked"),
        (Format::Tc, "tc qdisc add dev eth0 root netem delay 5ms distribution normal", "1", "no jitter"),
        (Format::Tc, "tc qdisc add dev eth0 root netem rate 10%", "1", "\"10%\" is no rate"),
        (Format::Tc, "tc qdisc add dev eth0 root netem rate 1mbit -200", "1", "not from -100 to 10000"),
        (Format::Tc, "tc qdisc add dev eth0 root netem slot distribution mine 5ms 1ms", "1", "slots have no table"),
        (Format::Tc, "tc qdisc add dev a root netem\ntc qdisc add dev a parent 1: netem", "2", "a has two commands"),
        (
            Format::Tc,
            "tc qdisc add dev a root netem\ntc qdisc add dev b root netem\ntc qdisc add dev c root netem",
            "3",
            "more than two",
        ),
    ] {
        let error = import(format, text).unwrap_err().to_string();
        let start = format!("{format}:{place}: ");
        assert!(error.starts_with(&start) && error.contains(words), "{text}: {error}");
        assert!(error.split_once("; ").is_some_and(|(_, hint)| !hint.trim().is_empty()), "{text}: {error}");
    }
}

#[test]
fn lines_that_no_trace_and_too_many_changes_would_hold_are_refused_where_they_differ() {
    let lines = |count: u64| (0..count).map(|n| format!("1000,0,1000000,0,{}\n", 10 + n % 2)).collect::<String>();
    assert_eq!(super::import(Format::Theaterq, &lines(4096)).profile.link.changes.len(), 4095);
    let error = import(Format::Theaterq, &lines(4097)).unwrap_err().to_string();
    assert!(error.starts_with("theaterq:2: lines differ from here on in more than latency, rate and loss"), "{error}");
}

#[test]
fn a_text_of_both_directions_is_none_of_one() {
    let source = Source { file: "slow", text: "Slow 3G" };
    let error = import_with(Format::Devtools, Inputs::Up(source), &Options::default()).unwrap_err();
    assert_eq!(error.to_string(), "devtools: slow describes both directions; give it alone, for the link");
}

#[test]
fn directions_of_which_each_begins_anew_at_its_own_time_make_no_link() {
    let [short, long] = ["1000,0,1000000,0,10\n1000,0,1000000,0,11\n", "2000,0,1000000,0,10\n1000,0,1000000,0,11\n"];
    let inputs = Inputs::Each { up: Source { file: "up", text: short }, down: Source { file: "down", text: long } };
    let error = import_with(Format::Theaterq, inputs, &Options::default()).unwrap_err().to_string();
    assert!(error.starts_with("down:1: it begins anew after 3 ms, the other direction after 2 ms"), "{error}");
}
