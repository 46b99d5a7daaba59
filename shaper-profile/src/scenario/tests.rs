use super::*;
use crate::expectation::Of;

const WHOLE: &str = r#"
name = "handover"
seed = 7
duration = "10s"

[lab]
hosts = ["client", "server"]

[link]
profile = "wifi"
loss = "1%"
[link.up]
rate = "5mbit"

[[timeline]]
at = "2s"
delay = "80ms"
[timeline.down]
loss = "10%"

[[timeline]]
at = "4s"
delay = "20ms"

[[workload]]
probe = { interval = "5ms" }

[[workload]]
name = "server"
command = ["iperf3", "-s"]
on = "server"
background = true
expect_exit = "any"

[[workload]]
command = ["/usr/bin/iperf3", "-c", "server"]
at = "500ms"
for = "2s"

[[workload]]
command = ["iperf3", "-c", "server"]
expect_exit = 3

[capture]
points = ["client"]
snaplen = "128B"
filter = "udp"

[expect]
loss.a_to_b = ["> 1%", "< 6%"]
delay.up.p99 = "< 90ms"
exit.iperf3 = "== 0"
delivery.server = ">= 90%"
"#;

fn read(text: &str) -> Result<Scenario, Located> {
    parse("test.toml", Path::new(""), "test", text, &presets::load)
}

fn refused(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

#[test]
fn a_scenario_is_read_whole() {
    let scenario = read(WHOLE).unwrap();
    assert_eq!((scenario.name.as_str(), scenario.seed), ("handover", 7));
    assert_eq!(scenario.duration, Duration::from_millis(10_000));
    assert_eq!(scenario.place.hosts(), ["client", "server"]);
    let link = &scenario.profile.link;
    let wifi = presets::load("wifi").unwrap().link;
    assert_eq!(scenario.profile.name, "wifi+custom");
    assert_eq!((link.a_to_b.delay, link.a_to_b.loss.to_string().as_str()), (wifi.a_to_b.delay, "1%"));
    assert_eq!((link.a_to_b.rate, link.b_to_a.rate), ("5mbit".parse().unwrap(), wifi.b_to_a.rate));
    let changed: Vec<_> =
        link.changes.iter().map(|change| (change.at, change.a_to_b.delay, change.b_to_a.loss.to_string())).collect();
    let ms = Duration::from_millis;
    assert_eq!(changed, [(ms(2_000), ms(80), "10%".to_owned()), (ms(4_000), ms(20), "10%".to_owned())]);
    let names: Vec<&str> = scenario.commands.iter().map(|command| command.name.as_str()).collect();
    assert_eq!(names, ["server", "iperf3", "iperf3-2"]);
    let [server, client, other] = &scenario.commands[..] else { panic!("{names:?}") };
    assert_eq!((server.background, server.expect_exit, server.at), (true, ExpectedExit::Any, Duration::ZERO));
    assert_eq!((client.on.as_deref(), client.at, client.lasts), (None, ms(500), Some(ms(2_000))));
    assert_eq!(other.expect_exit, ExpectedExit::Code(3));
    assert!(scenario.capture.takes("client") && !scenario.capture.takes("server"));
    let expected: Vec<String> = scenario.expect.iter().map(ToString::to_string).collect();
    let wanted = ["loss.a_to_b > 1%", "loss.a_to_b < 6%", "delay.up.p99 < 90ms", "exit.iperf3 == 0"];
    assert_eq!(expected, [&wanted[..], &["delivery.server >= 90%"]].concat());
    assert_eq!(scenario.expect[2].of, Of::Direction(0));
}

#[test]
fn the_least_scenario_says_where_and_how_long() {
    let scenario = read("duration = \"2s\"\n[lab]").unwrap();
    assert_eq!(scenario.place, Place::Lab(vec!["a".into(), "b".into()]));
    assert_eq!((scenario.name.as_str(), scenario.profile.name.as_str(), scenario.seed), ("test", "clean", 1));
    let place = |text: &str| read(&format!("duration = \"2s\"\n{text}")).unwrap().place;
    let wire = place("[interfaces]\ninterface = \"eth1\"\nnetns = \"blue\"");
    assert_eq!(wire.points(), ["host", "wire"]);
    assert_eq!(place("[interfaces]\nbridge = [\"eth1\", \"eth2\"]").points(), ["eth1", "eth2"]);
    let hosts = place("[hosts.west]\ninterface = \"eth1\"\n[hosts.east]\ninterface = \"eth0\"");
    assert_eq!(hosts.points(), ["west", "west-wire", "east", "east-wire"]);
    assert_eq!(place("[lab]\nhosts = 3").directions().unwrap().len(), 6);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let lab = "duration = \"2s\"\n[lab]\n";
    for (text, begins, words) in [
        ("duration = 2 s", "test.toml:1:12: ", "no TOML"),
        ("[lab]", "test.toml:1:1: duration: ", "is missing"),
        ("duration = \"0\"\n[lab]", "test.toml:1:12: duration: ", "is 0"),
        ("duration = \"2\"\n[lab]", "test.toml:1:12: duration: ", "2"),
        ("duration = \"2s\"", "test.toml:1:1: ", "[lab]"),
        ("duration = \"2s\"\nlabs = 2", "test.toml:2:1: labs: ", "did you mean lab?"),
        ("duration = \"2s\"\n[lab]\n[hosts.a]\n", "test.toml:3:2: hosts: ", "[lab] already"),
        ("duration = \"2s\"\n[lab]\nhosts = 1", "test.toml:3:9: lab.hosts: ", "two hosts or more"),
        ("duration = \"2s\"\n[lab]\nhosts = [\"a\", \"a\"]", "test.toml:3:9: lab.hosts: ", "called a"),
        ("duration = \"2s\"\n[lab]\nhosts = [\"A\", \"b\"]", "test.toml:3:9: lab.hosts: ", "no host's name"),
        ("duration = \"2s\"\n[interfaces]\nbridge = [\"a\"]", "test.toml:3:10: interfaces.bridge: ", "two interfaces"),
        ("duration = \"2s\"\n[hosts.a]\ninterface = \"x\"", "test.toml:2:2: hosts: ", "two ends"),
        ("duration = \"2s\"\nname = \"a/b\"\n[lab]", "test.toml:2:8: name: ", "file's name"),
    ] {
        let error = refused(text);
        assert!(error.starts_with(begins) && error.contains(words), "{text}: {error}");
    }
    for (text, begins, words) in [
        ("[link]\ndelay = \"5\"", "test.toml:4:9: link.delay: ", "5"),
        ("[link]\nprofile = \"wify\"", "test.toml:4:11: link.profile: ", "wifi"),
        ("[[link.change]]\nat = \"1s\"", "test.toml:3:1: link.change: ", "timeline"),
        ("[link.up]\nloss = \"200%\"", "test.toml:4:8: link.up.loss: ", "100%"),
        ("[[timeline]]\ndelay = \"5ms\"", "test.toml:3:1: timeline[0].at: ", "is missing"),
        ("[[timeline]]\nat = \"3s\"", "test.toml:4:6: timeline[0].at: ", "over by then"),
        ("[link]\nprofile = \"rfc8867-single\"\ndelay = \"1ms\"", "test.toml:", "changes of its own"),
        ("[[workload]]\nat = \"1s\"", "test.toml:3:1: workload[0].command: ", "one of"),
        ("[[workload]]\ncommand = \"ping b\"", "test.toml:4:11: workload[0].command: ", "list of strings"),
        ("[[workload]]\ncommand = []", "test.toml:4:11: workload[0].command: ", "is empty"),
        ("[[workload]]\ncommand = [\"x\"]\non = \"c\"", "test.toml:5:6: workload[0].on: ", "there are a, b"),
        ("[[workload]]\ncommand = [\"x\"]\nat = \"2s\"", "test.toml:5:6: workload[0].at: ", "over by then"),
        ("[[workload]]\ncommand = [\"x\"]\nexpect_exit = 256", "test.toml:5:15: ", "0 to 255"),
        ("[[workload]]\ntoast = {}\non = \"a\"", "test.toml:5:1: workload[0].on: ", "all hosts"),
        ("[[workload]]\ntoast = {}\n[[workload]]\nprobe = {}", "test.toml:6:9: workload[1].probe: ", "already"),
        (
            "[[workload]]\nprobe = { interval = \"0\" }",
            "test.toml:4:22: workload[0].probe.interval: ",
            "interval = \"1ms\"",
        ),
        (
            "[[workload]]\nprobe = { interval = \"3s\" }",
            "test.toml:4:22: workload[0].probe.interval: ",
            "needs packets",
        ),
        ("[[workload]]\nprobe = { interval = \"1ns\" }", "test.toml:4:22: ", "at most 50000000"),
        ("[[workload]]\nprobe = { payload = 5000 }", "test.toml:4:21: workload[0].probe.payload: ", "16 to 1472"),
        ("[[workload]]\ntoast = { absent = [\"x\"] }", "test.toml:4:20: workload[0].toast.absent: ", "it has b"),
        ("[[workload]]\ntoast = { clock = \"a@1ms\" }", "test.toml:4:19: workload[0].toast.clock: ", "it has b"),
        ("[[workload]]\ntoast = { late = \"b@3s\" }", "test.toml:4:18: workload[0].toast.late: ", "late = \"b@1s\""),
        ("[[workload]]\ntoast = { spacing = \"1us\" }", "test.toml:4:21: workload[0].toast.spacing: ", "1000 commands"),
        ("[[workload]]\ntoast = { tempo = [100, 0] }", "test.toml:4:19: workload[0].toast.tempo: ", "[100,140]"),
        ("[capture]\npoints = [\"c\"]", "test.toml:4:10: capture.points: ", "known here: a, b"),
        ("[capture]\nsnaplen = \"60B\"", "test.toml:4:11: capture.snaplen: ", "128 B"),
        ("[expect]\nloss.a_to_b = 5", "test.toml:4:15: expect.loss.a_to_b: ", "must be a string"),
        ("[expect]\nloss.a_to_b = \"< 5\"", "test.toml:4:15: expect.loss.a_to_b: ", "such as 6%"),
        ("[expect]\nexpect.loss.up = \"< 5%\"", "test.toml:4:18: expect.expect.loss.up: ", "known: loss"),
        ("[expect]\nlos.a_to_b = \"< 5%\"", "test.toml:4:14: expect.los.a_to_b: ", "known: loss"),
        ("[expect]\nexit.ping = \"== 0\"", "test.toml:4:13: expect.exit.ping: ", "no figure that is known here"),
        ("[expect]\ndelivery = \"> 1%\"", "test.toml:4:12: expect.delivery: ", "no figure that is known here"),
    ] {
        let error = refused(&format!("{lab}{text}"));
        assert!(error.starts_with(begins) && error.contains(words), "{text}: {error}");
    }
}

#[test]
fn built_in_workloads_are_for_labs() {
    let text = "duration = \"2s\"\n[interfaces]\ninterface = \"eth1\"\n[[workload]]\ntoast = {}";
    assert!(refused(text).starts_with("test.toml:5:9: workload[0].toast: goes with [lab] alone"), "{}", refused(text));
    let star = "duration = \"2s\"\n[lab]\nhosts = 3\n[[workload]]\nprobe = {}";
    assert!(refused(star).contains("between the two hosts"), "{}", refused(star));
    let of_a_link = "duration = \"2s\"\n[lab]\nhosts = 3\n[expect]\nloss.up = \"< 1%\"";
    assert!(refused(of_a_link).contains("known: a_up, a_down, b_up"), "{}", refused(of_a_link));
}
