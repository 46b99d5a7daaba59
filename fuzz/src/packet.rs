//! Packets: as the kernel's program reads and changes them, and as captures hold them.

use shaper_common::corrupt::Damage;
use shaper_common::parse;
use shaper_common::rewrite;
use shaper_common::rules::{self, Key};
use shaper_offline::anonymize::{self, Anonymizer, Content};
use shaper_offline::pcapfile::linktype;
use shaper_offline::{packet, toast};

/// The longest frame that the program is given.
const LONGEST: usize = 9_216;

/// Reads the bytes as an Ethernet frame. Taking notes for rules on the way does not change what is found, and a frame is
/// changed in place.
pub fn frame(bytes: &[u8]) {
    let frame = bytes.get(..LONGEST).unwrap_or(bytes);
    let summary = parse::summary(frame);
    let mut key = Key::ZERO;
    let (with_notes, whole) = rules::read_into(frame, &mut key);
    assert_eq!(summary, with_notes);
    assert_eq!(rules::key(frame), whole.then_some(key));
    let parts = summary.parts;
    assert!([parts.network, parts.transport, parts.checksum].iter().all(|at| usize::from(*at) <= frame.len()));

    let mut marked = frame.to_vec();
    if parts.ecn != 0 && rewrite::mark(marked.as_mut_slice(), &parts).is_some() {
        let again = parse::summary(marked.as_slice());
        assert_eq!(again.parts.ecn, 3, "{frame:x?} became {marked:x?}");
        // A header that says to be shorter than any has what is taken for ports within it.
        if parts.transport == 0 || parts.transport >= parts.network + 20 {
            assert_eq!(again.flow_hash, summary.flow_hash, "{frame:x?} became {marked:x?}");
        }
    }
    let flips = u32::from_be_bytes(frame.last_chunk().copied().unwrap_or_default());
    for at in [parts.network, parts.transport, parts.checksum, parts.payload, frame.len() as u16] {
        for repair in [0, 1] {
            let mut damaged = frame.to_vec();
            let damage = Damage { flips, at, repair };
            let _ = rewrite::damage(damaged.as_mut_slice(), frame.len() as u32, &parts, &damage);
            assert_eq!(damaged.len(), frame.len());
        }
    }
}

/// Reads the bytes as a packet of each link type that is known, cut short as well, and what is in it as TOAST.
pub fn layers(bytes: &[u8]) {
    let linktypes = [
        linktype::NULL,
        linktype::ETHERNET,
        linktype::RAW_BSD_12,
        linktype::RAW_BSD_14,
        linktype::RAW,
        linktype::LOOP,
        linktype::LINUX_SLL,
        linktype::IPV4,
        linktype::IPV6,
        linktype::LINUX_SLL2,
        linktype::PPP,
        linktype::PPP_HDLC,
        linktype::PPP_ETHER,
        linktype::PPP_WITH_DIRECTION,
        linktype::C_HDLC,
        linktype::IEEE802_11,
        linktype::RADIOTAP,
        linktype::PRISM,
        linktype::AVS,
        linktype::PPI,
    ];
    for linktype in linktypes {
        for origlen in [bytes.len() as u32, bytes.len() as u32 + 1_000, u32::MAX, 0] {
            let _ = packet::cooked_place(linktype, bytes);
            anonymous(linktype, bytes, origlen);
            let Some(layers) = packet::parse(linktype, bytes, origlen) else { continue };
            let _ = layers.ports();
            if let packet::Transport::Tcp(tcp) = &layers.transport {
                let _ = tcp.timestamp();
            }
            assert!(layers.payload.len() <= layers.network.len());
            let behind = bytes.get(layers.network_offset as usize..).unwrap_or_default();
            assert!(behind.starts_with(layers.network), "{layers:?}");
            payload(layers.payload, layers.payload_length as usize);
        }
    }
    payload(bytes, bytes.len());
}

/// Written without addresses and contents, a frame is as long as before.
fn anonymous(linktype: u16, bytes: &[u8], origlen: u32) {
    let mut out = Vec::new();
    Anonymizer::new(&anonymize::Key::new([7; anonymize::Key::LENGTH])).frame(
        linktype,
        bytes,
        origlen,
        &Content::default(),
        &mut out,
    );
    assert_eq!(out.len(), bytes.len());
}

fn payload(bytes: &[u8], length: usize) {
    let _ = toast::verify(bytes, length);
    if let Some(toast::Recognised::Frame(frame)) = toast::recognise(bytes) {
        assert_eq!(frame.payload.len() + toast::HEADER, bytes.len());
    }
}
