//! One WebSocket of the SimplestChat dialect.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc::channel, watch};
use tokio::time::{sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::control::Control;
use super::http::stopped;
use super::metrics::add;
use super::rate::TokenBucket;
use super::rooms::Outbox;
use super::session::Session;
use crate::signal::{ServerMessage, decode_client, encode};

/// Messages that may wait for a client that reads slowly.
const OUTBOX: usize = 1024;
/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Serves a connection that has become a WebSocket, until either side ends it.
pub(crate) async fn serve<S>(control: Arc<Control>, stream: S, number: u64, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let limits = control.config.limits;
    let config = WebSocketConfig::default()
        .max_message_size(Some(limits.message_bytes))
        .max_frame_size(Some(limits.message_bytes));
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    let (messages, mut inbox) = channel::<Utf8Bytes>(OUTBOX);
    let (outbox, cut) = Outbox::new(messages);
    let mut session = Session::new(Arc::clone(&control), number, outbox);
    let mut bucket = TokenBucket::new(limits.messages_per_second, limits.message_burst, Instant::now());
    let mut idle_at = tokio::time::Instant::now() + limits.idle;
    let mut refusing = false;
    let goodbye = loop {
        tokio::select! {
            received = socket.next() => {
                // What is beyond the limit keeps nothing open, pings neither.
                let within = bucket.take(Instant::now());
                if within {
                    idle_at = tokio::time::Instant::now() + limits.idle;
                }
                match received {
                    Some(Ok(Message::Text(text))) => {
                        add(&control.metrics.messages_in, 1);
                        let answer = if within {
                            refusing = false;
                            answer(&control, &mut session, &text).await
                        } else {
                            add(&control.metrics.rate_limited, 1);
                            // Once: answering each of them would double what it costs.
                            let first = !std::mem::replace(&mut refusing, true);
                            first.then(|| ServerMessage::Error {
                                message: format!(
                                    "too many messages: no more than {} a second", limits.messages_per_second
                                ),
                            })
                        };
                        if let Some(text) = answer.and_then(|answer| encode(&answer).ok())
                            && !send(&mut socket, text.into(), (&cut, &mut stop, limits.unread)).await
                        {
                            break None;
                        }
                    }
                    Some(Ok(Message::Binary(_))) => break Some((CloseCode::Unsupported, "texts only")),
                    Some(Ok(Message::Close(_)) | Err(Error::ConnectionClosed)) | None => break None,
                    Some(Ok(_)) => {}
                    Some(Err(Error::Capacity(_))) => break Some((CloseCode::Size, "the message is too long")),
                    Some(Err(_)) => break Some((CloseCode::Protocol, "no WebSocket frame")),
                }
            }
            Some(text) = inbox.recv() => {
                if !send(&mut socket, text, (&cut, &mut stop, limits.unread)).await {
                    break None;
                }
            }
            () = cut.notified() => break Some((CloseCode::Policy, "not read, or taken over by another WebSocket")),
            () = sleep_until(idle_at) => break Some((CloseCode::Normal, "nothing has come for too long")),
            () = stopped(&mut stop) => break Some((CloseCode::Away, "the server stops")),
        }
    };
    session.ended();
    if let Some((code, reason)) = goodbye {
        let frame = CloseFrame { code, reason: reason.into() };
        let _ = timeout(GOODBYE, socket.close(Some(frame))).await;
    }
}

async fn answer(control: &Control, session: &mut Session, text: &str) -> Option<ServerMessage> {
    let answer = match decode_client(text) {
        Ok(message) => session.obey(message).await,
        Err(error) => Err(error.to_string()),
    };
    answer.unwrap_or_else(|message| {
        add(&control.metrics.refused, 1);
        Some(ServerMessage::Error { message })
    })
}

/// Sends a text: whether it went out. A client that does not read holds this up; nobody else looks
/// meanwhile at what would end the WebSocket.
async fn send<S>(
    socket: &mut WebSocketStream<S>,
    text: Utf8Bytes,
    ending: (&Notify, &mut watch::Receiver<bool>, Duration),
) -> bool
where
    WebSocketStream<S>: Sink<Message> + Stream,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (cut, stop, unread) = ending;
    tokio::select! {
        biased;
        sent = socket.send(Message::Text(text)) => sent.is_ok(),
        () = cut.notified() => false,
        () = stopped(stop) => false,
        () = sleep(unread) => false,
    }
}
