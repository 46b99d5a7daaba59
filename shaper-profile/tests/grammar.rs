//! Profiles of all effects: what they hold, what of them is refused and where, and that they read back the same.
#![expect(clippy::expect_used, clippy::panic, reason = "a helper of tests says what went wrong by a panic")]

use shaper_profile::effect::{Aqm, Ecn, Given, Held, LossPosition, Overhead, Scope};
use shaper_profile::quantity::{Duration, QueueLimit};
use shaper_profile::{Change, Direction, Distribution, Overrides, Patch, Profile, load, presets};

fn text(text: &str) -> Profile {
    presets::parse("link.toml", "link", text).unwrap_or_else(|error| panic!("{error}\nin\n{text}"))
}

fn error(text: &str) -> String {
    presets::parse("link.toml", "link", text).expect_err(text).to_string()
}

const FULL: &str = r#"
delay = "20ms"
jitter = "5ms"
distribution = "pareto"
correlation_time = "50ms"
loss = "5% burst 3 max 10"
loss_position = "after"
ecn = true
duplicate = "1% copies 2"
corrupt = "0.1% bits 3 in payload"
reorder = "25% gap 5"
slot = "10ms packets 32"
rate = "10mbit"
overhead = "ethernet"
cell = "48B 5B"
queue = "100p"
aqm = "codel"
policer = "20mbit burst 64kB"
scope = "flow 64"
trace = "lte.csv loop"
"#;

#[test]
fn a_direction_has_all_effects_and_says_so_in_one_line() {
    let link = text(FULL).link;
    let direction = &link.a_to_b;
    assert_eq!((direction.ecn, direction.loss_position), (Ecn(true), LossPosition::After));
    assert_eq!((direction.overhead, direction.aqm), (Overhead::Ethernet, Aqm::CODEL));
    assert_eq!(direction.scope, Scope::Flow { flows: 64 });
    // 1,514 bytes and 24 are 1,538: 33 cells of 53 bytes.
    assert_eq!(direction.wire_bytes(1_514), 33 * 53);
    assert_eq!(direction.queue_time().0, 100 * 33 * 53 * 800);
    assert_eq!(
        direction.to_string(),
        "delay 20 ms +-5 ms pareto correlated over 50 ms, loss 5 % in bursts of 3 and 10 at most behind the bottleneck, \
         marked CE instead where ECT, duplicates 1 % 2 times, corruption 0.1 % by 3 bits in payload, policer 20 Mbit/s with \
         bursts of 64 kB, rate 10 Mbit/s with ethernet overhead and cells of 48 B and 5 B header, queue 100 packets \
         (139.9 ms), codel target 5 ms interval 100 ms, slots every 10 ms of 32 packets, order free, reordering 25 % at \
         least 5 packets apart, for each of 64 flows, trace lte.csv loop"
    );
}

#[test]
fn none_of_the_effects_is_set_by_default() {
    let clean = text("").link;
    assert_eq!(clean.a_to_b, Direction::default());
    assert_eq!(clean.a_to_b.to_string(), "no delay, no loss, order free");
    let words: String = Patch::KEYS.iter().map(|key| format!("{key}\n")).collect();
    let off = "correlation_time = 0\nloss_position = \"before\"\necn = false\nduplicate = 0\ncorrupt = \"none\"\n\
               reorder = \"none\"\nslot = \"none\"\noverhead = 0\ncell = \"none\"\nqueue = \"default\"\naqm = \"none\"\n\
               policer = \"none\"\nscope = \"link\"\ntrace = \"none\"\n";
    assert_eq!(text(off).link, clean);
    assert!(off.lines().all(|line| words.contains(line.split(' ').next().unwrap_or("?"))));
}

#[test]
fn what_cannot_be_beside_each_other_is_refused_where_it_stands() {
    for (text, words) in [
        ("correlation_time = \"5ms\"", "link.toml:1:20: correlation_time: there is no jitter"),
        ("reorder = \"5%\"", "link.toml:1:11: reorder: there is no delay"),
        ("delay = \"5ms\"\norder = \"keep\"\nreorder = \"5%\"", "link.toml:3:11: reorder: order = \"keep\" lets no"),
        ("aqm = \"codel\"", "link.toml:1:7: aqm: there is no rate"),
        ("policer = \"10mbit burst 1kB\"", "link.toml:1:11: policer: the burst is smaller than one packet (1514 bytes"),
        ("rate = \"1mbit\"\nqueue = \"5000p\"", "link.toml:2:9: queue: \"5000p\" is no queue: it is larger than 4095"),
        (
            "rate = \"1mbit\"\ncell = \"48B 5B\"\nqueue = \"1600B\"",
            "link.toml:3:9: queue: 1600 B is smaller than one packet (1696 bytes",
        ),
        ("duplicate = \"1% copys 2\"", "link.toml:1:13: duplicate: \"1% copys 2\" is no duplication: \"copys\""),
        ("ecn = \"yes\"", "link.toml:1:7: ecn: \"yes\" is not known; write \"on\""),
        ("reordr = \"5%\"", "link.toml:1:1: reordr: unknown key; did you mean reorder?"),
    ] {
        let error = error(text);
        assert!(error.starts_with(words), "{text}: {error}");
        assert!(error.contains("write ") || error.contains("for example") || error.contains("did you mean"), "{error}");
    }
    // A table may hold delays of its own.
    text("distribution = \"table a.txt\"\ncorrelation_time = \"5ms\"\nreorder = \"5%\"");
}

#[test]
fn outages_are_drawn_and_come_in_turn() {
    let link =
        text("[outages]\nrate = \"1%\"\nlength = \"100ms to 2s\"\nflap = \"9s up 1s down\"\nheld = \"lost\"").link;
    assert_eq!(
        link.outages.to_string(),
        "outages 1 %/s of 100 ms to 2 s and in turn 9 s up 1 s down that lose what is on its way"
    );
    assert_eq!(link.outages.held, Held::Lost);
    assert!(error("[outages]\nflap = \"9s up\"").starts_with("link.toml:2:8: outages.flap: \"9s up\" is no flap"));
    assert!(error("[outages]\nrate = \"1%\"\nlength = \"0 exponential\"").contains("last no time"));
    assert!(error("[outages]\nheld = \"keep\"").contains("did you mean \"kept\"?"));
}

#[test]
fn changes_are_over_what_holds_until_then() {
    let link = text(
        r#"
loss = "1%"
rate = "10mbit"
queue = "100p"
loop = "100s"
[up]
delay = "5ms"
[[change]]
at = "10s"
loss = "5%"
[change.down]
rate = "unlimited"
[[change]]
at = "20s"
queue = "default"
rate = "1mbit"
up = { loss = "0%" }
"#,
    )
    .link;
    let [first, second] = &link.changes[..] else { panic!("two changes") };
    assert_eq!(link.repeat, Some(Duration::from_millis(100_000)));
    assert_eq!((first.a_to_b.delay, first.b_to_a.delay), (Duration::from_millis(5), Duration::ZERO));
    assert_eq!(first.a_to_b.queue, Some(QueueLimit::Packets(100)));
    assert_eq!((first.b_to_a.queue, first.b_to_a.loss.to_string().as_str()), (None, "5%"));
    assert_eq!((second.a_to_b.queue, second.a_to_b.loss.is_none()), (None, true));
    assert_eq!((second.b_to_a.rate.to_string().as_str(), second.b_to_a.loss), ("1Mbit/s", first.b_to_a.loss));
    assert_eq!(
        link.told(),
        [
            "from 10 s a to b: delay 5 ms, loss 5 %, rate 10 Mbit/s, queue 100 packets (121.1 ms), order free; b to a: no \
             delay, loss 5 %, order free",
            "from 20 s a to b: delay 5 ms, no loss, rate 1 Mbit/s, queue 121.1 ms (default), order free; b to a: no delay, \
             loss 5 %, rate 1 Mbit/s, queue 121.1 ms (default), order free",
            "from 100 s as from the start",
        ]
    );
}

#[test]
fn a_timeline_that_cannot_be_is_refused_where_it_stands() {
    for (text, words) in [
        ("[[change]]\nloss = \"1%\"", "link.toml:1:1: change[0].at: is missing; write at = \"10s\""),
        ("[[change]]\nat = 0", "link.toml:2:6: change[0].at: is 0"),
        ("[[change]]\nat = \"5s\"\n[[change]]\nat = \"5s\"", "link.toml:4:6: change[1].at: 5 s is no later"),
        ("[[change]]\nat = \"5s\"\nscope = \"flow\"", "link.toml:3:9: change[0].scope: a link keeps its scope"),
        (
            "[[change]]\nat = \"5s\"\nup = { trace = \"a\" }",
            "link.toml:3:16: change[0].up.trace: a link keeps its trace",
        ),
        ("[[change]]\nat = \"5s\"\nlos = \"1%\"", "link.toml:3:1: change[0].los: unknown key; did you mean loss?"),
        ("[[change]]\nat = \"5s\"\n[change.up]\nqueue = \"9p\"", "link.toml:4:9: change[0].up.queue: there is no rate"),
        ("[[change]]\nat = \"5s\"\nup = 5", "link.toml:3:6: change[0].up: must be a table; write [change.up]"),
        ("[[change]]\nat = \"5s\"\noutages = \"1%\"", "link.toml:3:11: change[0].outages: outages have times"),
        ("[change]\nat = \"5s\"", "link.toml:1:1: change: must be a list of tables; write [[change]]"),
        ("loop = \"5s\"", "link.toml:1:8: loop: nothing changes"),
        ("loop = \"5s\"\n[[change]]\nat = \"5s\"", "link.toml:1:8: loop: 5 s is over before the last change, at 5 s"),
    ] {
        let error = error(text);
        assert!(error.starts_with(words), "{text}: {error}");
    }
}

#[test]
fn rules_have_links_of_their_own() {
    let profile = text(
        r#"
loss = "9%"
[[rule]]
match = "udp port 5000"
name = "voice"
profile = "wifi"
jitter = "1ms"
[rule.up]
loss = "2%"
[rule.outages]
length = "1s exponential"
[[rule]]
match = "tcp"
[[rule]]
match = "icmp"
outages = { flap = "9s up 1s down", held = "lost", scheduled = [{ at = "10s", length = "500ms", every = "1min" }] }
"#,
    );
    let [voice, rest, _] = &profile.link.rules[..] else { panic!("three rules") };
    let wifi = load("wifi").expect("wifi").link;
    assert_eq!((voice.name.as_str(), voice.filter.as_str()), ("voice", "udp port 5000"));
    assert_eq!((voice.link.b_to_a.loss, voice.link.b_to_a.delay), (wifi.b_to_a.loss, wifi.b_to_a.delay));
    assert_eq!((voice.link.a_to_b.loss.to_string(), voice.link.a_to_b.jitter), ("2%".into(), Duration::from_millis(1)));
    assert_eq!((voice.link.outages.rate, voice.link.outages.length.mean_millis()), (wifi.outages.rate, 1_000.0));
    assert_eq!((rest.name.as_str(), &rest.link), ("tcp", &text("").link));
    assert_eq!(
        profile.link.told(),
        [
            "rule voice (udp port 5000) a to b: delay 15 ms +-1 ms uniform, loss 2 %, order free; b to a: delay 15 ms +-1 ms \
             uniform, loss 5 %, order free, outages 1 %/s of 1 s exponential",
            "rule tcp a to b and b to a: no delay, no loss, order free",
            "rule icmp a to b and b to a: no delay, no loss, order free, outages in turn 9 s up 1 s down and 500 ms at 10 s \
             and every 60 s that lose what is on its way"
        ]
    );
    let wrong = voice.wrong_at(4, "\"port\" is wrong".into()).to_string();
    assert_eq!(wrong, "link.toml:4:14: match: \"port\" is wrong");
}

#[test]
fn a_rule_that_cannot_be_is_refused_where_it_stands() {
    for (text, words) in [
        ("[[rule]]\nname = \"x\"", "link.toml:1:1: rule[0].match: is missing; write match = \"udp port 5000\""),
        ("[[rule]]\nmatch = \" \"", "link.toml:2:9: rule[0].match: is empty; write match"),
        ("[[rule]]\nmatch = 5", "link.toml:2:9: rule[0].match: must be a string"),
        (
            "[[rule]]\nmatch = \"udp\"\nprofile = \"wify\"",
            "link.toml:3:11: rule[0].profile: \"wify\" is no preset (did you",
        ),
        ("[[rule]]\nmatch = \"udp\"\nqueue = \"9p\"", "link.toml:3:9: rule[0].queue: there is no rate"),
        ("[[rule]]\nmatch = \"udp\"\nloop = \"9s\"", "link.toml:3:8: rule[0].loop: a rule's link has none of its own"),
        ("[[rule]]\nmatch = \"udp\"\nfiltr = \"9s\"", "link.toml:3:1: rule[0].filtr: unknown key"),
        (
            "[[rule]]\nmatch = \"udp\"\n[rule.outages]\nrate = \"1%\"",
            "link.toml:4:8: rule[0].outages.length: outages come at 1 %/s and last no time",
        ),
        (
            "[[rule]]\nmatch = \"udp\"\nname = \"x\"\n[[rule]]\nmatch = \"tcp\"\nname = \"x\"",
            "link.toml:6:8: rule[1].name: rule[0] has the name \"x\" too; give each rule a name of its own",
        ),
        // A rule without a name has its filter for one.
        (
            "[[rule]]\nmatch = \"tcp\"\nname = \"udp\"\n[[rule]]\nmatch = \"udp\"",
            "link.toml:4:1: rule[1].name: rule[0] has the name \"udp\" too",
        ),
        ("rule = \"udp\"", "link.toml:1:8: rule: must be a list of tables; write [[rule]]"),
    ] {
        let error = error(text);
        assert!(error.starts_with(words), "{text}: {error}");
    }
}

#[test]
fn two_rules_without_names_may_have_the_same_filter() {
    let twice = "[[rule]]\nmatch = \"udp\"\nloss = \"1%\"\n".repeat(2);
    assert_eq!(text(&twice).link.rules.len(), 2);
}

#[test]
fn thousands_of_rules_are_read() {
    let rule = |number: u32| format!("[[rule]]\nmatch = \"udp port {number}\"\nprofile = \"wifi\"\nloss = \"1%\"\n");
    let link = text(&(1..=5_000).map(rule).collect::<String>()).link;
    assert_eq!(link.rules.len(), 5_000);
    let last = &link.rules[4_999];
    assert_eq!(last.wrong_at(0, String::new()).line, 4 * 4_999 + 2);
}

#[test]
fn paths_are_relative_to_the_profiles_own_file() {
    let folder = std::env::temp_dir().join(format!("shaper-profile-paths-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("temporary folder");
    let path = folder.join("link.toml");
    std::fs::write(&path, "distribution = \"table a.txt\"\ntrace = \"b.csv loop\"").expect("temporary file");
    let loaded = load(path.to_str().expect("a plain path"));
    std::fs::remove_dir_all(&folder).expect("own folder");
    let profile = loaded.expect("a valid profile");
    let Direction { distribution, trace, .. } = &profile.link.b_to_a;
    assert_eq!(*distribution, Distribution::Table(folder.join("a.txt").to_string_lossy().into_owned()));
    assert_eq!(trace.as_ref().expect("a trace").path, folder.join("b.csv").to_string_lossy());
    assert_eq!(text(&toml::to_string(&profile).expect("serializes")).link, profile.link);
}

#[test]
fn flags_hold_throughout_and_can_take_away() {
    let profile = text("rate = \"10mbit\"\nslot = \"10ms\"\n[[change]]\nat = \"10s\"\nloss = \"50%\"\n");
    let flags = Overrides {
        direction: Patch {
            loss: Some("1%".parse().expect("1%")),
            slot: Some(Given(None)),
            scope: Some("flow".parse().expect("flow")),
            ..Patch::default()
        },
        outage_flap: Some("9s up 1s down".parse().expect("a flap")),
        outage_held: Some(Held::Lost),
        ..Overrides::default()
    };
    let link = flags.apply(&profile).expect("valid").link;
    let Change { a_to_b, b_to_a, .. } = &link.changes[0];
    for direction in [&link.a_to_b, a_to_b, b_to_a] {
        assert_eq!((direction.loss.to_string().as_str(), direction.slot), ("1%", None));
        assert!(!direction.scope.is_link());
    }
    assert_eq!((link.outages.flap.is_some(), link.outages.held), (true, Held::Lost));
    let wrong = Patch { loss_position: None, correlation_time: Some(Duration::from_millis(1)), ..Patch::default() };
    let wrong = Overrides { direction: wrong, ..Overrides::default() };
    let message = wrong.apply(&load("clean").expect("clean")).expect_err("no jitter").to_string();
    assert!(message.contains("--correlation-time: there is no jitter"), "{message}");
}
