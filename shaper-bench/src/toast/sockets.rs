//! Messages through two UDP sockets on loopback: encoded, sent, received, decoded.

use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::sys::socket::sockopt::UdpGsoSegment;
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg, sendmmsg, setsockopt};
use shaper_toast::wire::{Datagram, decode, encode};

use super::{MODE, header};
use crate::clock::processor_time;

/// How messages go through, in the order of [`rates`]. What one thread does is measured by its processor time: the
/// system call that sends puts the message into the other socket, so that nothing happens elsewhere.
pub(super) const WAYS: [&str; 5] = [
    "one thread, a call a message",
    "one thread, a call for 32 messages",
    "one thread, 32 messages cut up by the kernel",
    "two threads, a call a message",
    "two threads, a call for 32 messages",
];

/// Messages of one sample.
const MESSAGES: u32 = 96_000;
/// Messages of one call, and of one turn of the single thread.
const BATCH: usize = 32;
/// Bytes of a buffer: a message is shorter.
const ROOM: usize = 512;
/// Messages under way at most: so many fit the default receive buffer.
const UNDER_WAY: u32 = 128;
/// How long the sender waits for the receiver before it gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Messages a second in each of the ways.
pub(super) fn rates(json: &[u8]) -> Result<[f64; 5]> {
    Ok([
        one_thread(json, send_one, receive_one)?,
        one_thread(json, send_many, receive_many)?,
        one_thread(json, send_segmented, receive_many)?,
        two_threads(json, send_one, receive_one)?,
        two_threads(json, send_many, receive_many)?,
    ])
}

/// Two sockets that know each other.
fn pair() -> Result<(UdpSocket, UdpSocket)> {
    let here = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let there = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    here.connect(there.local_addr()?)?;
    there.connect(here.local_addr()?)?;
    there.set_read_timeout(Some(Duration::from_secs(1)))?;
    Ok((here, there))
}

fn rate(nanos: u64, received: u32) -> Result<f64> {
    ensure!(received == MESSAGES, "{received} of {MESSAGES} messages were decoded");
    Ok(1e9 * f64::from(MESSAGES) / nanos as f64)
}

/// One thread sends a batch and takes it in again.
fn one_thread(
    json: &[u8],
    send: impl Fn(&UdpSocket, &[u8], u32) -> Result<u32>,
    receive: impl Fn(&UdpSocket) -> Result<u32>,
) -> Result<f64> {
    let (here, there) = pair()?;
    let start = processor_time();
    let (mut sent, mut received) = (0, 0);
    while sent < MESSAGES {
        let turn = sent + BATCH as u32;
        while sent < turn {
            sent += send(&here, json, sent)?;
        }
        while received < turn {
            received += receive(&there)?;
        }
    }
    rate(processor_time() - start, received)
}

/// One thread sends, another receives; the sender waits where the receiver's buffer might overflow.
fn two_threads(
    json: &[u8],
    send: impl Fn(&UdpSocket, &[u8], u32) -> Result<u32> + Sync,
    receive: impl Fn(&UdpSocket) -> Result<u32>,
) -> Result<f64> {
    let (here, there) = pair()?;
    let arrived = AtomicU32::new(0);
    let start = Instant::now();
    let received = std::thread::scope(|scope| {
        let (send, arrived) = (&send, &arrived);
        let sender = scope.spawn(move || {
            let mut sent = 0;
            while sent < MESSAGES {
                if sent + BATCH as u32 > arrived.load(Ordering::Relaxed) + UNDER_WAY {
                    ensure!(start.elapsed() < PATIENCE, "the receiver takes no messages");
                    std::thread::yield_now();
                } else {
                    sent += send(&here, json, sent)?;
                }
            }
            Ok(())
        });
        let mut received = 0;
        while received < MESSAGES {
            match receive(&there) {
                Ok(count) => received += count,
                Err(error) if sender.is_finished() => return Err(error),
                // The sender was away for the time that a receiver waits.
                Err(_) => {}
            }
            arrived.store(received, Ordering::Relaxed);
        }
        sender.join().map_err(|_| anyhow!("the sender panicked"))??;
        Ok(received)
    })?;
    rate(start.elapsed().as_nanos() as u64, received)
}

fn frames(messages: impl Iterator<Item = impl AsRef<[u8]>>) -> u32 {
    messages.map(|message| u32::from(matches!(decode(message.as_ref(), MODE), Ok(Datagram::Frame { .. })))).sum()
}

fn send_one(socket: &UdpSocket, json: &[u8], sequence: u32) -> Result<u32> {
    let mut buffer = [0u8; ROOM];
    let len = encode(&header(sequence), json, MODE, &mut buffer)?;
    socket.send(buffer.get(..len).unwrap_or_default())?;
    Ok(1)
}

fn receive_one(socket: &UdpSocket) -> Result<u32> {
    let mut buffer = [0u8; ROOM];
    let len = socket.recv(&mut buffer).context("cannot receive")?;
    Ok(frames(std::iter::once(buffer.get(..len).unwrap_or_default())))
}

fn send_many(socket: &UdpSocket, json: &[u8], sequence: u32) -> Result<u32> {
    let mut buffers = [[0u8; ROOM]; BATCH];
    let mut slices = Vec::with_capacity(BATCH);
    for (i, buffer) in (0..).zip(&mut buffers) {
        let len = encode(&header(sequence + i), json, MODE, buffer)?;
        slices.push([IoSlice::new(buffer.get(..len).unwrap_or_default())]);
    }
    let mut headers = MultiHeaders::<()>::preallocate(BATCH, None);
    let sent = sendmmsg(socket.as_raw_fd(), &mut headers, &slices, [None; BATCH], [], MsgFlags::empty())?;
    Ok(sent.count() as u32)
}

/// One large datagram that the kernel cuts into messages (UDP_SEGMENT): they are all of one length.
fn send_segmented(socket: &UdpSocket, json: &[u8], sequence: u32) -> Result<u32> {
    let mut buffer = [0u8; ROOM * BATCH];
    let mut end = 0;
    for i in 0..BATCH as u32 {
        let len = encode(&header(sequence + i), json, MODE, buffer.get_mut(end..).unwrap_or_default())?;
        if i == 0 {
            setsockopt(socket, UdpGsoSegment, &i32::try_from(len)?)?;
        }
        end += len;
    }
    socket.send(buffer.get(..end).unwrap_or_default())?;
    Ok(BATCH as u32)
}

fn receive_many(socket: &UdpSocket) -> Result<u32> {
    let mut buffers = [[0u8; ROOM]; BATCH];
    let mut slices: Vec<_> = buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
    let mut headers = MultiHeaders::<()>::preallocate(BATCH, None);
    let lens: Vec<usize> = recvmmsg(socket.as_raw_fd(), &mut headers, &mut slices, MsgFlags::MSG_WAITFORONE, None)
        .context("cannot receive")?
        .map(|message| message.bytes)
        .collect();
    Ok(frames(lens.iter().zip(&buffers).map(|(len, buffer)| buffer.get(..*len).unwrap_or_default())))
}
