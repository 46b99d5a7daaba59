//! One interface, impaired by the command: what it says, what passes, and that the interface is as it was.

#![cfg(feature = "live")]

#[path = "support/cable.rs"]
mod cable;
#[path = "support/command.rs"]
mod command;
#[path = "support/engines.rs"]
mod engines;
#[path = "support/impaired.rs"]
mod impaired;
#[path = "support/renamed.rs"]
mod renamed;
mod support;

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use cable::{Cable, DEVICE, FAR, NEAR};
use command::{SOON, shaper, signal, stderr};
use engines::engines;
use impaired::{apply, impaired, status};
use nix::libc;
use renamed::renamed;
use shaper_net::process::ProcessId;
use shaper_net::rtnl::{Route, Rtnl, VethEnd};
use support::{SHAPER, Traces, on_own_host, until};

#[test]
fn in_the_background_it_stays_says_how_it_stands_and_is_cleared() {
    on_own_host(|_| {
        let cable = Cable::laid();
        let before = Traces::now();
        for engine in engines() {
            let output = shaper(&[
                "apply",
                DEVICE,
                "--engine",
                engine,
                "--delay",
                "20ms",
                "--ingress",
                "--delay 5ms",
                "--detach",
            ]);
            assert!(output.status.success(), "{}", stderr(&output));
            let said = stderr(&output);
            let first = said.lines().next().unwrap();
            assert!(first.starts_with("eth0 egress: delay 20 ms"), "{said}");
            assert!(said.contains("eth0 ingress: delay 5 ms"), "{said}");
            let took = cable.echo(10);
            assert!(took.iter().all(|took| took.is_some_and(|took| took >= Duration::from_millis(25))), "{took:?}");

            let all = status();
            let [one] = &all.as_array().unwrap()[..] else { panic!("{all}") };
            assert_eq!((one["interface"].as_str(), one["engine"].as_str()), (Some(DEVICE), Some(*engine)));
            for (direction, name) in one["directions"].as_array().unwrap().iter().zip(["egress", "ingress"]) {
                assert_eq!(direction["direction"], name);
                assert_eq!(
                    (direction["arrived"].as_u64(), direction["out"].as_u64()),
                    (Some(10), Some(10)),
                    "{direction}"
                );
                assert!(direction["lateness_ns"]["max"].as_u64().unwrap() > 0);
            }
            assert!(one["changed"].as_array().unwrap().len() >= 2, "{one}");
            let shown = shaper(&["status", DEVICE]);
            assert!(String::from_utf8_lossy(&shown.stdout).contains("in 10  out 10  on the way 0  dropped 0"));

            let again = shaper(&["apply", DEVICE, "--delay", "1ms"]);
            assert_eq!(again.status.code(), Some(2));
            assert!(stderr(&again).contains("impaired by another shaper already"), "{}", stderr(&again));

            let cleared = shaper(&["clear", DEVICE]);
            assert!(cleared.status.success(), "{}", stderr(&cleared));
            assert_eq!(Traces::now(), before);
            assert!(until(SOON, || cable.takes(|took| took < Duration::from_millis(20))), "delayed still");
            assert_eq!(shaper(&["clear", DEVICE]).status.code(), Some(2));
            assert_eq!(shaper(&["status", DEVICE]).status.code(), Some(2));
        }
        cable.cut();
    });
}

#[test]
fn in_the_foreground_it_ends_by_itself_or_when_told_and_says_how_it_went() {
    on_own_host(|_| {
        let cable = Cable::laid();
        let before = Traces::now();
        let mut by_itself = apply(&[DEVICE, "--delay", "5ms", "--loss", "every 4", "--for", "3s", "--json"]);
        impaired(&mut by_itself);
        // Every fourth is lost: the first of them is the fourth.
        let took = cable.echo(3);
        assert!(took.iter().all(Option::is_some), "{took:?}");
        let output = by_itself.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["ended"], "over");
        assert_eq!(told["findings"].as_array().unwrap().len(), 0, "{told}");
        for direction in told["directions"].as_array().unwrap() {
            assert_eq!(direction["fates_checked"], direction["arrived"], "{told}");
        }
        assert_eq!(Traces::now(), before);

        // Of what nobody measured nothing is known.
        let expects = apply(&[DEVICE, "--loss", "1%", "--for", "100ms", "--json", "--expect", "loss.egress < 50%"]);
        let output = expects.wait_with_output().unwrap();
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), told["expectations"][0]["held"].as_bool()), (Some(1), Some(false)), "{told}");

        let mut told_to = apply(&[DEVICE, "--egress", "--delay 10ms"]);
        impaired(&mut told_to);
        assert!(cable.takes(|took| took >= Duration::from_millis(10)));
        signal(ProcessId::of(told_to.id()).unwrap(), libc::SIGINT);
        let output = told_to.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.starts_with("eth0 as before: as you said"), "{said}");
        assert!(said.contains("egress") && !said.contains("ingress"), "{said}");
        assert_eq!(Traces::now(), before);
        cable.cut();
    });
}

#[test]
fn what_may_not_or_cannot_be_impaired_is_refused_and_is_as_it_was() {
    on_own_host(|_| {
        let cable = Cable::laid();
        let rtnl = Rtnl::open().unwrap();
        let device = rtnl.link(DEVICE).unwrap().index;
        rtnl.create_veth(&VethEnd::new(None, "down0"), &VethEnd::new(None, "down1")).unwrap();
        rtnl.create_veth(&VethEnd { mtu: 9000, up: true, ..VethEnd::new(None, "big0") }, &VethEnd::new(None, "big1"))
            .unwrap();
        let before = Traces::now();
        let refused = |arguments: &[&str], words: &[&str]| {
            let output = shaper(&[&["apply"], arguments].concat());
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
            assert!(words.iter().all(|word| said.contains(word)), "{arguments:?}: {said}");
            assert_eq!(Traces::now(), before, "{arguments:?}");
        };
        let delay = ["--delay", "1ms"];
        let with = |first: &[&'static str]| [first, &delay[..]].concat();
        refused(&with(&["eth7"]), &["there is no interface eth7", DEVICE]);
        refused(&with(&["lo"]), &["loopback"]);
        refused(&with(&["down0"]), &["ip link set down0 up"]);
        refused(&with(&["big0"]), &["the MTU of big0, 9000"]);
        refused(&with(&[DEVICE, "--netns", "nosuch"]), &["no network namespace \"nosuch\""]);
        refused(&with(&[DEVICE, "--pid", "4194305"]), &["no process"]);
        refused(&[DEVICE], &["nothing is asked for", "--delay 20ms"]);
        refused(&[DEVICE, "--egress", "wify"], &["--egress", "did you mean \"wifi\""]);
        refused(&[DEVICE, "--ingress", "--delay 20"], &["--ingress", "20ms"]);

        let default = Route { destination: Ipv4Addr::UNSPECIFIED.into(), prefix: 0, device, gateway: Some(FAR.into()) };
        rtnl.add_route(&default).unwrap();
        refused(&with(&[DEVICE]), &["has the default route", "--allow-default-route"]);
        let session = format!("192.0.2.1 50000 {NEAR} 22");
        rtnl.set_up(device, false).unwrap();
        rtnl.set_up(device, true).unwrap();
        let output =
            Command::new(SHAPER).args(with(&["apply", DEVICE])).env("SSH_CONNECTION", session).output().unwrap();
        assert!(stderr(&output).contains("carries an ssh session of yours"), "{}", stderr(&output));
        rtnl.add_route(&default).unwrap();

        let allowed = shaper(&with(&["apply", DEVICE, "--allow-default-route", "--detach"]));
        assert!(allowed.status.success(), "{}", stderr(&allowed));
        let left = status()[0]["ends_in_s"].as_f64().unwrap();
        assert!((250.0..=300.0).contains(&left), "{left} s until it undoes itself");
        assert!(shaper(&["clear", DEVICE]).status.success());
        assert_eq!(Traces::now(), before);
        for name in ["down0", "big0"] {
            rtnl.delete(rtnl.link(name).unwrap().index).unwrap();
        }
        cable.cut();
    });
}

#[test]
fn a_profile_of_a_file_brings_its_rules_which_are_counted() {
    on_own_host(|host| {
        let cable = Cable::laid();
        let before = Traces::now();
        let file = host.folder.path().join("rules.toml");
        let echo = "delay = \"5ms\"\n[[rule]]\nname = \"echo\"\nmatch = \"udp port 7007\"\ndelay = \"15ms\"\n";
        // More than an argument of a command holds.
        let others = (10_000..13_000).map(|port| format!("[[rule]]\nmatch = \"tcp port {port}\"\ndelay = \"15ms\"\n"));
        fs::write(&file, echo.to_owned() + &others.collect::<String>()).unwrap();
        let output = shaper(&["apply", DEVICE, "--profile", file.to_str().unwrap(), "--detach"]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stderr(&output).contains("rule echo (udp port 7007)"), "{}", stderr(&output));
        let took = cable.echo(10);
        assert!(took.iter().all(|took| took.is_some_and(|took| took >= Duration::from_millis(30))), "{took:?}");
        for direction in status()[0]["directions"].as_array().unwrap() {
            let rules = direction["rules"].as_array().unwrap();
            assert_eq!(rules.len(), 3001);
            assert_eq!((rules[0]["name"].as_str(), rules[0]["matched"].as_u64()), (Some("echo"), Some(10)));
        }
        assert!(shaper(&["clear", DEVICE]).status.success());
        assert_eq!(Traces::now(), before);
        cable.cut();
    });
}

#[test]
fn an_interface_elsewhere_is_found_by_name_and_by_process() {
    on_own_host(|_| {
        let cable = Cable::laid();
        let before = Traces::now();
        let mut inside = cable.far.run(|| Command::new("sleep").arg("60").spawn().unwrap()).unwrap();
        let pid = inside.id().to_string();
        for place in [["--netns", "far"], ["--pid", pid.as_str()]] {
            let output = shaper(&[&["apply", DEVICE, "--delay", "15ms", "--detach"], &place[..]].concat());
            assert!(output.status.success(), "{}", stderr(&output));
            assert!(cable.takes(|took| took >= Duration::from_millis(30)));
            assert!(status()[0]["netns"].is_string());
            // Of this name there is one here too, and it is another.
            for arguments in [&["apply", DEVICE, "--change", "--delay", "1ms"][..], &["clear", DEVICE]] {
                let refused = shaper(arguments);
                assert_eq!(refused.status.code(), Some(2));
                assert!(stderr(&refused).contains("eth0 is not impaired"), "{}", stderr(&refused));
            }
            let changed = shaper(&[&["apply", DEVICE, "--change", "--delay", "25ms"], &place[..]].concat());
            assert!(changed.status.success(), "{}", stderr(&changed));
            assert!(until(SOON, || cable.takes(|took| took >= Duration::from_millis(50))));
            assert!(shaper(&[&["clear", DEVICE], &place[..]].concat()).status.success());
        }
        inside.kill().unwrap();
        inside.wait().unwrap();
        assert_eq!(Traces::now(), before);
        cable.cut();
    });
}

#[test]
fn an_interface_that_goes_away_ends_it_and_nothing_is_left() {
    on_own_host(|_| {
        let cable = Cable::laid();
        let rtnl = Rtnl::open().unwrap();
        let mut running = apply(&[DEVICE, "--delay", "5ms"]);
        impaired(&mut running);
        // Another name is no reason to end.
        let device = rtnl.link(DEVICE).unwrap().index;
        if renamed(device, "other0") {
            assert!(cable.takes(|took| took >= Duration::from_millis(10)));
            assert!(renamed(device, DEVICE));
        }
        rtnl.delete(device).unwrap();
        let output = running.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("went away while it was impaired"), "{said}");
        drop(cable.far);
        cable.journal.undo().unwrap();
    });
}

#[test]
fn what_is_recorded_what_is_not_to_be_and_what_was_lost_are_three_figures() {
    const PACKETS: u64 = 100;
    on_own_host(|_| {
        let cable = Cable::laid();
        for mode in ["all", "drops", "1/7", "off"] {
            let mut running = apply(&[DEVICE, "--egress", "--loss 'every 4'", "--records", mode, "--json"]);
            impaired(&mut running);
            let socket = UdpSocket::bind((NEAR, 0)).unwrap();
            for _ in 0..PACKETS {
                socket.send_to(b"anything", (FAR, 7007)).unwrap();
            }
            let arrived = || status()[0]["directions"][0]["arrived"].as_u64() == Some(PACKETS);
            assert!(until(SOON, arrived), "{}", status());
            let one = &status()[0];
            assert_eq!(one["records"], mode);
            signal(ProcessId::of(running.id()).unwrap(), libc::SIGINT);
            let output = running.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(0));
            let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            let egress = &told["directions"][0];
            assert_eq!(egress["dropped"]["loss"], PACKETS / 4, "{told}");
            let recorded = match mode {
                "all" => PACKETS,
                "drops" => PACKETS / 4,
                "1/7" => PACKETS.div_ceil(7),
                _ => 0,
            };
            let figures = serde_json::json!({ "recorded": recorded, "left_out": PACKETS - recorded, "lost": 0 });
            assert_eq!((&egress["records"], &egress["fates_checked"]), (&figures, &recorded.into()), "{mode}");
            assert_eq!(one["directions"][0]["records"], figures, "{mode}");
            assert_eq!(told["findings"].as_array().unwrap().len(), 0, "{told}");
        }
        for wrong in [["--records", "none"], ["--records", "1/0"]] {
            let output = shaper(&[&["apply", DEVICE, "--delay", "1ms"][..], &wrong].concat());
            assert_eq!(output.status.code(), Some(2));
            assert!(stderr(&output).contains("such as 1/100"), "{}", stderr(&output));
        }
        let change = shaper(&["apply", DEVICE, "--delay", "1ms", "--change", "--records", "off"]);
        assert_eq!(change.status.code(), Some(2), "it is that of the start");
        cable.cut();
    });
}
