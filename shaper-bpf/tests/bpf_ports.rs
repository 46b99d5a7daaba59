//! The table of ports: a device is found wherever it stands.

use shaper_bpf::{Error, Exclusion, Object, Program, Room};
use shaper_channel::ChannelSpec;
use shaper_common::layout::{PORT_PLACES, PORT_PROBES, Port};

/// Frames of test runs come in at the loopback device.
const LOOPBACK: u32 = 1;
const DIRECTION: u32 = 5;
/// What the `decision` program answers for a packet that is to be held, and for one that is none of its business.
const XDP_TX: u32 = 3;
const XDP_PASS: u32 = 2;

fn object() -> Result<Object, Error> {
    let mut object = Object::load(1 << 12, Exclusion::Device, &Room::PLAIN)?;
    object.set_channel(DIRECTION, &ChannelSpec::default())?;
    Ok(object)
}

fn port() -> Port {
    Port { direction: DIRECTION, ..Port::default() }
}

#[test]
fn a_port_is_found_behind_others_that_stand_in_its_place() {
    let mut object = object().unwrap();
    for other in 1..PORT_PROBES {
        object.set_port(LOOPBACK + other * PORT_PLACES, Port { direction: DIRECTION + 1, ..port() }).unwrap();
    }
    assert_eq!(object.time(Program::Decision, &[0; 64], 1).unwrap().action, XDP_PASS);
    object.set_port(LOOPBACK, port()).unwrap();
    assert_eq!(object.time(Program::Decision, &[0; 64], 1).unwrap().action, XDP_TX);
    assert_eq!(object.state(DIRECTION).unwrap().next_sequence, 1);
}

#[test]
fn a_port_written_twice_stands_once() {
    let mut object = object().unwrap();
    for _ in 0..2 * PORT_PROBES {
        object.set_port(LOOPBACK, port()).unwrap();
    }
    assert_eq!(object.time(Program::Decision, &[0; 64], 1).unwrap().action, XDP_TX);
}

#[test]
fn a_port_without_a_place_is_refused() {
    let mut object = object().unwrap();
    for other in 1..=PORT_PROBES {
        object.set_port(LOOPBACK + other * PORT_PLACES, port()).unwrap();
    }
    assert!(matches!(object.set_port(LOOPBACK, port()), Err(Error::NoPlace { ifindex: LOOPBACK })));
}
