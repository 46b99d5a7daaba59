//! A WebSocket with messages of the dialect.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::Common;
use crate::load::failure::{Failure, Stage};
use crate::signal::{ClientMessage, ServerMessage, decode_server, encode};

/// The longest message that is read, in bytes.
const LONGEST: usize = 1 << 20;
/// Events that may come while an answer is waited for.
const WAITING: usize = 10_000;
/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_millis(500);

/// Connects a client to the server, in whatever place its sockets are made.
pub(crate) async fn tcp(
    common: &Arc<Common>,
    client: usize,
    server: SocketAddr,
    deadline: Instant,
) -> Result<TcpStream, Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::new(Stage::Connect, format!("cannot reach {server}: {error}"));
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let sockets = Arc::clone(&common.config.sockets);
    let connecting = tokio::task::spawn_blocking(move || sockets.tcp(client, server, left));
    let stream = match timeout_at(deadline, connecting).await {
        Ok(Ok(Ok(stream))) => stream,
        Ok(Ok(Err(error))) => return Err(failed(&error)),
        Ok(Err(error)) => return Err(failed(&error)),
        Err(_) => return Err(failed(&"no answer in time")),
    };
    stream.set_nonblocking(true).map_err(|error| failed(&error))?;
    // Messages are small, and each is waited for.
    let _ = stream.set_nodelay(true);
    TcpStream::from_std(stream).map_err(|error| failed(&error))
}

/// A WebSocket.
pub(crate) struct Wire {
    socket: WebSocketStream<TcpStream>,
    /// How long a message may take to be taken.
    limit: Duration,
    /// What came while something else was waited for.
    waiting: VecDeque<ServerMessage>,
}

impl Wire {
    pub(crate) async fn open(
        common: &Arc<Common>,
        client: usize,
        server: SocketAddr,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let stream = tcp(common, client, server, deadline).await?;
        let limits = WebSocketConfig::default().max_message_size(Some(LONGEST)).max_frame_size(Some(LONGEST));
        let opening = client_async_with_config(common.config.server.as_str(), stream, Some(limits));
        match timeout_at(deadline, opening).await {
            Ok(Ok((socket, _))) => Ok(Self { socket, limit: common.config.timeout, waiting: VecDeque::new() }),
            Ok(Err(error)) => Err(Failure::new(Stage::Connect, format!("no WebSocket: {error}"))),
            Err(_) => Err(Failure::new(Stage::Connect, "no WebSocket: no answer in time")),
        }
    }

    /// Sends a message. Behind an error the WebSocket is of no use: half of the message may be on its way.
    pub(crate) async fn send(&mut self, message: &ClientMessage) -> Result<(), String> {
        let text = encode(message).map_err(|error| error.to_string())?;
        match timeout(self.limit, self.socket.send(Message::text(text))).await {
            Ok(sent) => sent.map_err(|error| format!("the WebSocket is lost: {error}")),
            Err(_) => Err(format!("the WebSocket is lost: nothing is taken for {} s", self.limit.as_secs_f64())),
        }
    }

    /// The next message, those that waited first. It may be dropped while it waits.
    pub(crate) async fn next(&mut self) -> Result<ServerMessage, String> {
        match self.waiting.pop_front() {
            Some(message) => Ok(message),
            None => self.read().await,
        }
    }

    async fn read(&mut self) -> Result<ServerMessage, String> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => match decode_server(&text) {
                    Ok(Some(message)) => return Ok(message),
                    // Of a type that this dialect does not have.
                    Ok(None) => {}
                    Err(error) => return Err(format!("the server sent what cannot be read: {error}")),
                },
                Some(Ok(Message::Close(frame))) => {
                    let why = frame.map(|frame| format!(": {} {}", frame.code, frame.reason)).unwrap_or_default();
                    return Err(format!("the server closed the WebSocket{why}"));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(format!("the WebSocket is lost: {error}")),
                None => return Err("the WebSocket is lost".to_owned()),
            }
        }
    }

    /// Sends a request and waits for its answer; events meanwhile wait.
    pub(crate) async fn ask<T>(
        &mut self,
        stage: Stage,
        request: &ClientMessage,
        deadline: Instant,
        mut answer: impl FnMut(&ServerMessage) -> Option<T>,
    ) -> Result<T, Failure> {
        let failed = |reason: String| Failure::new(stage, reason);
        let exchange = async {
            self.send(request).await.map_err(failed)?;
            loop {
                let message = self.read().await.map_err(failed)?;
                if let Some(answer) = answer(&message) {
                    return Ok(answer);
                }
                if let ServerMessage::Error { message } = message {
                    return Err(failed(format!("refused: {message}")));
                }
                if self.waiting.len() >= WAITING {
                    return Err(failed(format!("{WAITING} events came and no answer")));
                }
                self.waiting.push_back(message);
            }
        };
        timeout_at(deadline, exchange).await.unwrap_or_else(|_| Err(failed("no answer in time".to_owned())))
    }

    /// Says a last word, and goodbye.
    pub(crate) async fn close(mut self, last: &ClientMessage) {
        let goodbye = async {
            // A server that does not listen any more needs no goodbye.
            if self.send(last).await.is_ok() {
                let _ = self.socket.close(None).await;
            }
        };
        let _ = timeout(GOODBYE, goodbye).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_takes_nothing_any_more_loses_the_websocket_in_time() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            tokio_tungstenite::accept_async(stream).await.unwrap()
        });
        let stream = TcpStream::connect(address).await.unwrap();
        let (socket, _) = client_async_with_config(format!("ws://{address}/ws"), stream, None).await.unwrap();
        let _unread = accepting.await.unwrap();
        let mut wire = Wire { socket, limit: Duration::from_millis(300), waiting: VecDeque::new() };
        let message =
            ClientMessage::JoinRoom { room_id: "r".repeat(LONGEST), participant_name: String::new(), password: None };
        let lost = async {
            loop {
                if let Err(lost) = wire.send(&message).await {
                    return lost;
                }
            }
        };
        let lost = timeout(Duration::from_secs(60), lost).await.expect("a message is waited for without end");
        assert_eq!(lost, "the WebSocket is lost: nothing is taken for 0.3 s");
    }
}
