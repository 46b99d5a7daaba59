//! What a TOAST message costs: time and allocations to encode and decode, and messages a second through real sockets.

mod sockets;

use std::borrow::Cow;
use std::hint::black_box;

use anyhow::Result;
use shaper_toast::wire::{
    ChecksumMode, Command, Datagram, FLAG_BURST, Header, MessageType, TransportCommand, TransportPayload, decode,
    decode_transport, encode, encode_transport, session_id,
};

use crate::clock::processor_time;
use crate::report::{Aim, Figure};
use crate::{Session, alloc};

const SUITE: &str = "toast";
const MODE: ChecksumMode = ChecksumMode::Crc16;
/// Messages in one sample.
const MESSAGES: u32 = 100_000;
/// Samples a repeat, interleaved.
const ROUNDS: u32 = 3;

/// Nanoseconds and allocations a message.
fn cost(mut one: impl FnMut(u32)) -> (f64, f64) {
    let allocations = alloc::count();
    let start = processor_time();
    for i in 0..MESSAGES {
        one(i);
    }
    let took = processor_time() - start;
    let each = |total: u64| total as f64 / f64::from(MESSAGES);
    (each(took), each(alloc::count() - allocations))
}

fn header(sequence: u32) -> Header {
    Header {
        message_type: MessageType::Transport,
        flags: FLAG_BURST,
        sequence,
        timestamp: 123_456_789,
        burst_id: 0xDEAD_BEEF,
        burst_index: 1,
        burst_total: 3,
        session: session_id("bench"),
    }
}

fn command(i: u32) -> TransportPayload<'static> {
    TransportPayload::Command(TransportCommand {
        command: Command::Play,
        timestamp: 1_700_000_000_000_000 + u64::from(i),
        position: 12.345_678,
        bpm: 120.0,
        peer_id: Cow::Borrowed("front-of-house"),
    })
}

/// What is measured of the codec, in the order of the samples.
const CODEC: [&str; 4] =
    ["encode a frame", "decode a frame", "encode and decode a frame", "encode and decode a frame and its JSON"];

/// One sample of each.
fn codec(json: &[u8]) -> Result<[(f64, f64); 4]> {
    let mut out = [0u8; 1_024];
    let len = encode(&header(0), json, MODE, &mut out)?;
    let frame = out.get(..len).unwrap_or_default().to_vec();
    let mut text = [0u8; 512];
    Ok([
        cost(|i| {
            let _ = black_box(encode(&header(i), json, MODE, &mut out));
        }),
        cost(|_| {
            let _ = black_box(decode(black_box(&frame), MODE));
        }),
        cost(|i| {
            let len = encode(&header(i), json, MODE, &mut out).unwrap_or(0);
            let _ = black_box(decode(black_box(out.get(..len).unwrap_or_default()), MODE));
        }),
        cost(|i| {
            let len = encode_transport(&command(i), &mut text).unwrap_or(0);
            let len = encode(&header(i), text.get(..len).unwrap_or_default(), MODE, &mut out).unwrap_or(0);
            if let Ok(Datagram::Frame { payload, .. }) = decode(black_box(out.get(..len).unwrap_or_default()), MODE) {
                let _ = black_box(decode_transport(payload));
            }
        }),
    ])
}

pub(crate) fn measure(session: &Session) -> Result<Vec<Figure>> {
    session.tell("TOAST messages");
    let mut json = [0u8; 512];
    let len = encode_transport(&command(0), &mut json)?;
    let json = json.get(..len).unwrap_or_default();
    let mut times: [Vec<f64>; 4] = Default::default();
    let mut allocations: [Vec<f64>; 4] = Default::default();
    let mut rates: [Vec<f64>; 5] = Default::default();
    for _ in 0..session.repeats * ROUNDS {
        session.check()?;
        for ((nanos, count), (times, allocations)) in
            codec(json)?.into_iter().zip(times.iter_mut().zip(&mut allocations))
        {
            times.push(nanos);
            allocations.push(count);
        }
        for (rate, rates) in sockets::rates(json)?.into_iter().zip(&mut rates) {
            rates.push(rate);
        }
    }
    let mut figures = Vec::new();
    for ((name, times), allocations) in CODEC.into_iter().zip(times).zip(allocations) {
        let time = Figure::new(SUITE, name, "ns", times).against(CODEC[0]);
        figures.push(if name == CODEC[0] || name == CODEC[1] { time } else { time.aim(Aim::Below(700.0)) });
        figures.push(Figure::new(SUITE, format!("{name}: allocations"), "a message", allocations));
    }
    figures.extend(sockets::WAYS.into_iter().zip(rates).map(|(way, rates)| {
        Figure::new(SUITE, way, "messages/s", rates).against(sockets::WAYS[0]).aim(Aim::Above(484_000.0))
    }));
    Ok(figures)
}
