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

#[test]
fn a_load_of_webrtc_clients_names_its_hosts_and_what_is_wrong_has_its_place() {
    let text = "duration = \"20s\"\n[lab]\n[[workload]]\n";
    let scenario = read(&format!(
        "{text}[workload.webrtc]\nclients = 3\nlinks = 2\nramp_up = \"2s\"\nquality = \"480p\"\npublish_ratio = 0.5\n\
         audio_only = true\nfec = false\ntimeout = \"5s\"\nkill_server_at = \"8s\"\nserver_back_after = \"2s\"\n\
         kill_client = [\"2@9s\"]\n[capture]\npoints = [\"server\", \"c2\"]\n[expect]\ne2e.p95 = \"< 200ms\"\n\
         connected = \">= 95%\"\nloss.c1_up = \"< 6%\""
    ));
    let scenario = scenario.unwrap();
    assert_eq!(scenario.place.hosts(), ["server", "c1", "c2"]);
    let Some(BuiltIn::WebRtc(webrtc)) = &scenario.built_in else { panic!("{:?}", scenario.built_in) };
    let ms = Duration::from_millis;
    assert_eq!((webrtc.clients, webrtc.links, webrtc.ramp_up), (3, 2, Some(ms(2_000))));
    assert_eq!((webrtc.kill_server_at, webrtc.server_back_after), (Some(ms(8_000)), Some(ms(2_000))));
    assert_eq!(webrtc.kill_clients, [(2, ms(9_000))]);
    assert_eq!(webrtc.media, ["--publish-ratio=0.5", "--audio-only", "--quality=480p", "--timeout=5000000000ns"]);
    let usual = read(&format!("{text}webrtc = {{ clients = 100 }}")).unwrap();
    assert_eq!(usual.place.hosts().len(), 64);
    // One client: two hosts, and each has a link of its own.
    assert!(read(&format!("{text}webrtc = {{ clients = 1 }}\n[expect]\nloss.c1_down = \"< 6%\"")).is_ok());
    for (load, begins, words) in [
        ("{ client = 3 }", "test.toml:4:12: workload[0].webrtc.client: ", "did you mean clients?"),
        ("{ clients = 0 }", "test.toml:4:22: workload[0].webrtc.clients: ", "clients = 5"),
        ("{ links = 64 }", "test.toml:4:20: workload[0].webrtc.links: ", "1 to 63"),
        ("{ quality = \"480\" }", "test.toml:4:22: workload[0].webrtc.quality: ", "480p, 720p, 1080p"),
        ("{ fps = 500 }", "test.toml:4:18: workload[0].webrtc.fps: ", "1 to 120"),
        ("{ publish_ratio = nan }", "test.toml:4:28: workload[0].webrtc.publish_ratio: ", "0 to 1"),
        ("{ audio_only = 1 }", "test.toml:4:25: workload[0].webrtc.audio_only: ", "true"),
        ("{ timeout = \"5\" }", "test.toml:4:22: workload[0].webrtc.timeout: ", "5"),
        ("{ mode = \"panel\", publish_ratio = 1 }", "test.toml:4:19: workload[0].webrtc.mode: ", "publish_ratio"),
        ("{ ramp_up = \"20s\" }", "test.toml:4:22: workload[0].webrtc.ramp_up: ", "\"10s\""),
        ("{ kill_server_at = \"20s\" }", "test.toml:4:29: workload[0].webrtc.kill_server_at: ", "over by then"),
        ("{ server_back_after = \"2s\" }", "test.toml:4:32: workload[0].webrtc.server_back_after: ", "kill_server_at"),
        (
            "{ kill_server_at = \"8s\", server_back_after = \"12s\" }",
            "test.toml:4:55: workload[0].webrtc.server_back_after: ",
            "over by then",
        ),
        ("{ kill_client = [\"5@9s\"] }", "test.toml:4:26: workload[0].webrtc.kill_client: ", "clients are 0 to 4"),
        ("{ kill_client = [\"x\"] }", "test.toml:4:26: workload[0].webrtc.kill_client: ", "[\"3@5s\"]"),
        ("{}\non = \"c1\"", "test.toml:5:1: workload[0].on: ", "all hosts"),
        ("{}\n[expect]\ndelivery = \"> 1%\"", "test.toml:6:12: expect.delivery: ", "known: loss"),
    ] {
        let error = refused(&format!("{text}webrtc = {load}"));
        assert!(error.starts_with(begins) && error.contains(words), "{load}: {error}");
    }
    let named = refused("duration = \"2s\"\n[lab]\nhosts = 3\n[[workload]]\nwebrtc = {}");
    assert!(named.starts_with("test.toml:3:9: lab.hosts: ") && named.contains("names its hosts itself"), "{named}");
    let outside = refused("duration = \"2s\"\n[interfaces]\ninterface = \"eth1\"\n[[workload]]\nwebrtc = {}");
    assert!(outside.contains("goes with [lab] alone"), "{outside}");
    // Without such a load its figures are not known.
    assert!(refused("duration = \"2s\"\n[lab]\n[expect]\nconnected = \"> 1%\"").contains("known: loss"));
}
