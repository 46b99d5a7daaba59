//! WHIP (RFC 9725): publishing by one HTTP request; and WHEP (draft-ietf-wish-whep), receiving by one.
//!
//! `POST /whip/ROOM` with an offer that sends makes a participant of the room whose tracks everybody
//! can consume. `POST /whep/ROOM` with an offer that receives makes one that gets the room's tracks:
//! each media section of the offer is fed with one, at once or when there is one.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderValue, IF_MATCH, LOCATION, WWW_AUTHENTICATE};
use hyper::{Method, Request, StatusCode};

use super::auth::same_secret;
use super::control::{Announced, Control};
use super::http::{Refusal, Reply, bare, body, not_allowed, options, text};
use super::ids::{Id, secret};
use super::metrics::add;
use super::offer;
use super::rooms::{Access, Participant, Slot, Transport};
use super::shard::command::{Answered, Command, Flow};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Whip,
    Whep,
}

impl Endpoint {
    fn path(self) -> &'static str {
        match self {
            Endpoint::Whip => "whip",
            Endpoint::Whep => "whep",
        }
    }

    fn flow(self) -> Flow {
        match self {
            Endpoint::Whip => Flow::In,
            Endpoint::Whep => Flow::Out,
        }
    }
}

const AT_ENDPOINT: &str = "POST, OPTIONS";
const AT_RESOURCE: &str = "PATCH, DELETE, OPTIONS";
const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// A request to an endpoint, or to a session that one has made.
pub(crate) async fn handle(
    control: &Arc<Control>,
    endpoint: Endpoint,
    room: &str,
    resource: Option<&str>,
    request: Request<Incoming>,
) -> Reply {
    // A preflight bears no token.
    if request.method() == Method::OPTIONS {
        return options(if resource.is_some() { AT_RESOURCE } else { AT_ENDPOINT });
    }
    let bears = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
    if !control.tokens.accept(bears) {
        add(&control.metrics.unauthorized, 1);
        let mut reply = text(StatusCode::UNAUTHORIZED, "a bearer token is needed\n");
        reply.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return reply;
    }
    let encoded = room;
    let Some(room) = percent_decoded(encoded) else {
        return text(StatusCode::BAD_REQUEST, "the room's name is not percent-encoded UTF-8\n");
    };
    let room = room.as_str();
    let done = match (request.method().clone(), resource) {
        (Method::POST, None) => {
            // A task of its own: a client that hangs up ends the request, and must not end this between
            // entering the room and being answered.
            let (control, encoded, room) = (Arc::clone(control), encoded.to_owned(), room.to_owned());
            let posted = tokio::spawn(async move { post(&control, endpoint, &encoded, &room, request).await });
            let ended = |_| Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the server stops\n"));
            posted.await.unwrap_or_else(ended)
        }
        (Method::PATCH, Some(resource)) => patch(control, endpoint, room, resource, request).await,
        (Method::DELETE, Some(resource)) => delete(control, endpoint, room, resource),
        (_, None) => Ok(not_allowed(AT_ENDPOINT)),
        (_, Some(_)) => Ok(not_allowed(AT_RESOURCE)),
    };
    done.unwrap_or_else(|refused| {
        add(&control.metrics.refused, 1);
        refused.reply()
    })
}

/// A segment of a path without its percent-encoding (RFC 3986, section 2.1).
fn percent_decoded(segment: &str) -> Option<String> {
    let mut bytes = segment.bytes();
    let mut decoded = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                let hex = std::str::from_utf8(&digits).ok().filter(|_| digits.iter().all(u8::is_ascii_hexdigit))?;
                u8::from_str_radix(hex, 16).ok()?
            }
            plain => plain,
        });
    }
    String::from_utf8(decoded).ok()
}

fn content_type(request: &Request<Incoming>, wanted: &str) -> Result<(), Refusal> {
    let given = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = given.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case(wanted) {
        Ok(())
    } else {
        Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("the body must be {wanted}\n")))
    }
}

async fn post(
    control: &Arc<Control>,
    endpoint: Endpoint,
    encoded: &str,
    room: &str,
    request: Request<Incoming>,
) -> Result<Reply, Refusal> {
    content_type(&request, SDP)?;
    let most = control.config.limits.name_bytes;
    if room.is_empty() || room.len() > most {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, format!("the room's name must be 1 to {most} bytes long\n")));
    }
    let offer = offer::read(&body(control, request).await?)?;
    let failed = |_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "no random id\n");
    let id = Id::random().map_err(failed)?;
    let session = secret().map_err(failed)?;
    let access = Access::Http { slots: Vec::new(), secret: session.clone() };
    let participant = Participant::new(endpoint.path().to_owned(), room.to_owned(), access, 0);
    {
        let mut rooms = control.rooms();
        if rooms.rooms.get(room).is_some_and(|room| room.password.is_some()) {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "the room has a password\n"));
        }
        rooms
            .enter(id, participant, None, control.shards(), &control.config.limits)
            .map_err(|error| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")))?;
    }
    control.count();
    let answered = begin(control, endpoint, id, offer).await;
    let answered = answered.map_err(|error| {
        control.leave(id);
        Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{error}\n"))
    })?;
    if endpoint == Endpoint::Whip {
        control.feed_room(room).await;
    } else {
        control.feed(id).await;
    }
    let etag = etag_of(&answered);
    let mut reply = text(StatusCode::CREATED, answered);
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(SDP));
    let location = HeaderValue::from_str(&format!("/{}/{encoded}/{session}", endpoint.path()));
    headers.insert(
        LOCATION,
        location.map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "the room's name cannot stand in a header\n"))?,
    );
    if let Some(etag) = etag {
        headers.insert(ETAG, etag);
    }
    Ok(reply)
}

/// Makes the transport of a participant, and enters what is on it.
async fn begin(
    control: &Control,
    endpoint: Endpoint,
    participant: Id,
    offer: str0m::change::SdpOffer,
) -> Result<String, String> {
    let (owner, shard) = control.owner(participant)?;
    let flow = endpoint.flow();
    let offer = Box::new(offer);
    let Answered { leg, answer, sections } =
        control.ask(shard, |reply| Command::Answer { owner, flow, offer, reply }).await?;
    let kept = control.rooms().participants.get_mut(&participant).map(|of| {
        of.transports.insert(owner.transport, Transport { leg, flow, connecting: true });
        if let (Access::Http { slots, .. }, Endpoint::Whep) = (&mut of.access, endpoint) {
            let slot = |section: &super::shard::command::Section| Slot {
                mid: section.mid.clone(),
                kind: section.kind,
                consumer: None,
            };
            *slots = sections.iter().map(slot).collect();
        }
    });
    if kept.is_none() {
        control.command(shard, Command::CloseLeg { leg });
        return Err("the participant has left".to_owned());
    }
    for section in sections {
        if let Some(producer) = section.producer {
            let announced = Announced { owner: participant, producer, kind: section.kind, source: None };
            control.produced(owner.transport, &announced)?;
        }
    }
    Ok(answer)
}

/// The entity tag of an ICE session (RFC 9725, section 4.3.1): its user name fragment.
fn etag_of(answer: &str) -> Option<HeaderValue> {
    let ufrag = answer.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:"))?;
    HeaderValue::from_str(&format!("\"{}\"", ufrag.trim())).ok()
}

/// The participant behind a session's address. That has a secret and not the participant's id, which
/// everybody in the room is told.
fn session(control: &Control, endpoint: Endpoint, room: &str, resource: &str) -> Result<Id, Refusal> {
    let rooms = control.rooms();
    let is_it = |id: &Id| {
        let of = rooms.participants.get(id).filter(|of| of.name == endpoint.path());
        of.is_some_and(|of| matches!(&of.access, Access::Http { secret, .. } if same_secret(secret, resource)))
    };
    let found = rooms.rooms.get(room).and_then(|room| room.members.iter().copied().find(is_it));
    found.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "there is no such session any more\n"))
}

fn delete(control: &Arc<Control>, endpoint: Endpoint, room: &str, resource: &str) -> Result<Reply, Refusal> {
    let id = session(control, endpoint, room, resource)?;
    control.leave(id);
    Ok(bare(StatusCode::OK))
}

/// Trickled candidates are taken and not needed: a lite agent learns addresses from checks. With
/// `If-Match: *`, quoted as in the examples of RFC 9725 or not, and other credentials it is an ICE restart, whose answer has ours.
async fn patch(
    control: &Control,
    endpoint: Endpoint,
    room: &str,
    resource: &str,
    request: Request<Incoming>,
) -> Result<Reply, Refusal> {
    let id = session(control, endpoint, room, resource)?;
    content_type(&request, FRAGMENT)?;
    let matching = request.headers().get(IF_MATCH).cloned();
    let matching = matching.ok_or_else(|| {
        Refusal::new(StatusCode::PRECONDITION_REQUIRED, "If-Match is needed: the session's ETag, or * for a restart\n")
    })?;
    let fragment = body(control, request).await?;
    let fragment = Fragment::read(&fragment)?;
    let (_, shard, leg) = control
        .transport_for(id, endpoint.flow())
        .map_err(|_| Refusal::new(StatusCode::NOT_FOUND, "the session has ended\n"))?;
    let current = control
        .ask(shard, |reply| Command::Credentials { leg, reply })
        .await
        .map_err(|error| Refusal::new(StatusCode::NOT_FOUND, format!("{error}\n")))?;
    if ![&b"*"[..], b"\"*\""].contains(&matching.as_bytes().trim_ascii()) {
        let etags = matching.to_str().unwrap_or_default().split(',');
        let ours = format!("\"{current}\"");
        return if etags.into_iter().any(|etag| etag.trim() == ours) {
            Ok(bare(StatusCode::NO_CONTENT))
        } else {
            Err(Refusal::new(StatusCode::PRECONDITION_FAILED, "the ETag is of another ICE session\n"))
        };
    }
    if !fragment.has_credentials {
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "a restart needs ice-ufrag and ice-pwd\n"));
    }
    let ice = control
        .ask(shard, |reply| Command::RestartIce { leg, reply })
        .await
        .map_err(|error| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{error}\n")))?;
    let answer = format!("a=ice-lite\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", ice.username_fragment, ice.password);
    let etag = etag_of(&answer);
    let mut reply = text(StatusCode::OK, answer);
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(FRAGMENT));
    if let Some(etag) = etag {
        reply.headers_mut().insert(ETAG, etag);
    }
    Ok(reply)
}

/// What is needed of an SDP fragment (RFC 8840, section 9).
pub(crate) struct Fragment {
    pub(crate) has_credentials: bool,
}

impl Fragment {
    pub(crate) fn read(fragment: &[u8]) -> Result<Self, Refusal> {
        let bad = || Refusal::new(StatusCode::BAD_REQUEST, "the body is no SDP fragment\n");
        let fragment = std::str::from_utf8(fragment).map_err(|_| bad())?;
        let lines = || fragment.lines().map(str::trim_end).filter(|line| !line.is_empty());
        if !lines().all(|line| line.get(1..2) == Some("=")) {
            return Err(bad());
        }
        let has = |name: &str| lines().any(|line| line.strip_prefix(name).is_some_and(|value| !value.is_empty()));
        Ok(Self { has_credentials: has("a=ice-ufrag:") && has("a=ice-pwd:") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_etag_is_the_fragment_of_the_answer() {
        assert_eq!(etag_of("v=0\r\na=ice-ufrag:abcd\r\n").unwrap(), "\"abcd\"");
        assert_eq!(etag_of("v=0\r\n"), None);
    }

    #[test]
    fn rooms_in_paths_are_percent_encoded() {
        assert_eq!(percent_decoded("room-1").as_deref(), Some("room-1"));
        assert_eq!(percent_decoded("a%20b%c3%A9").as_deref(), Some("a bé"));
        for bad in ["%", "%2", "%+1", "%ff", "%zz"] {
            assert_eq!(percent_decoded(bad), None, "{bad}");
        }
    }

    #[test]
    fn fragments_are_lines_of_sdp() {
        let read = |text: &'static str| Fragment::read(text.as_bytes());
        let restart = read("a=ice-ufrag:x\r\na=ice-pwd:y\r\nm=audio 9 RTP/AVP 0\r\n");
        assert!(restart.is_ok_and(|fragment| fragment.has_credentials));
        assert!(read("a=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n").is_ok_and(|of| !of.has_credentials));
        assert!(read("hello").is_err());
        assert!(Fragment::read(&[0xff]).is_err());
    }
}
