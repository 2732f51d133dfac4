//! From a request for events to a session, and the beginning of the answer.

use std::net::IpAddr;

use eventflux_gateway::{Arrival, Effect, Session};
use eventflux_websocket_wire::handshake::PlainRequest;

use super::answer::Answer;
use super::event::write_id;
use super::ids::Ids;
use super::publish::{hand_over, sender};
use super::stream::Stream;
use super::subscription::Wanted;
use super::visit::Visit;
use crate::net::stream::ByteStream;
use crate::server::endpoint::{Endpoint, Seat};

/// When a client that lost its connection comes back, in milliseconds: the least, and a span of which each gets another
/// part, so that they do not all come at once.
const RETRY_MS: (u128, u128) = (1_000, 4_000);

/// A session that has yet to get its connection.
pub(super) struct Opening {
    session: Session,
    seat: Seat,
    ids: Ids,
    /// The answer's head, and what comes before the first event.
    head: Vec<u8>,
}

/// Opens the session that a request asks for.
///
/// # Errors
/// Why there is none.
pub(super) async fn open(visit: &Visit, request: &PlainRequest) -> Result<Opening, Answer> {
    let (endpoint, now) = (&visit.endpoint, std::time::Instant::now());
    let dialect = endpoint.hub().dialect();
    let epoch = endpoint.hub().epoch();
    let mut wanted = Wanted::of(request, visit.token_parameter(), &epoch, dialect)?;
    let identity = visit.identify(request).await?;
    let seat = Seat::take(endpoint, visit.address, visit.config.clone());
    let http = endpoint.http();
    let framing = if wanted.is_one_channel() { http.placed(&epoch) } else { http.framing() };
    let arrival =
        Arrival { address: visit.address, identity: Some(identity), framing, singly: false, subscriptions: Vec::new() };
    let mut session = seat.session(arrival).map_err(Answer::of_ending)?;
    authorize(visit, &session, &wanted).await?;
    let subscribed = session.subscribe_on_connect(&wanted.subscriptions(dialect.traits()), wanted.placing(), now);
    let places = subscribed.map_err(|problem| Answer::of_problem(&problem))?;
    announce(endpoint, &mut session, visit.address).await?;
    wanted.ids.begin(&wanted.recover, &places, wanted.snapshot);
    let head = head(visit, &session, &wanted.ids);
    Ok(Opening { session, seat, ids: wanted.ids, head })
}

/// Asks the service that has a say in each subscription, where there is one.
async fn authorize(visit: &Visit, session: &Session, wanted: &Wanted) -> Result<(), Answer> {
    let authenticator = visit.endpoint.authenticator();
    if !authenticator.has_subscribe_hook() {
        return Ok(());
    }
    for pattern in &wanted.patterns {
        let allowed =
            authenticator.may_subscribe(session.user().map(|user| &**user), &session.id(), pattern.text()).await;
        match allowed {
            Ok(true) => {}
            Ok(false) => {
                let message = format!("Permission denied for '{}'", pattern.text());
                return Err(Answer::error(403, "permission_denied", &message));
            }
            Err(denied) => return Err(Answer::of_refusal(authenticator.refusal(&denied), denied.problem().code())),
        }
    }
    Ok(())
}

/// Tells the pipeline who comes and goes, where it wants to know.
pub(super) async fn announce(endpoint: &Endpoint, session: &mut Session, address: IpAddr) -> Result<(), Answer> {
    let mut messages = Vec::new();
    while let Some(effect) = session.next_effect() {
        if let Effect::Deliver(message) = effect {
            messages.push(message);
        }
    }
    if messages.is_empty() {
        return Ok(());
    }
    hand_over(endpoint, messages, sender(&session.id(), session.user(), address)).await
}

fn head(visit: &Visit, session: &Session, ids: &Ids) -> Vec<u8> {
    let mut head = String::from(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nConnection: close\r\n\
         X-Accel-Buffering: no\r\n",
    );
    for (name, value) in visit.cors() {
        // An origin that was parsed holds no line end.
        head.extend([name, ": ", &value, "\r\n"]);
    }
    let part = session.id().bytes().fold(0_u128, |sum, byte| sum.wrapping_mul(31).wrapping_add(u128::from(byte)));
    let retry = RETRY_MS.0 + part % RETRY_MS.1;
    head.push_str(&format!("\r\nretry: {retry}\n"));
    let mut head = head.into_bytes();
    if let Some(id) = ids.text() {
        write_id(&id, &mut head);
    }
    head.push(b'\n');
    head
}

impl Opening {
    /// The stream over `connection`; `received`: the request, and what came with it.
    pub(super) fn begin(self, connection: ByteStream, received: &[u8]) -> Stream {
        let end = received.windows(4).position(|window| window == b"\r\n\r\n").map_or(received.len(), |at| at + 4);
        let Self { session, seat, ids, head } = self;
        Stream::new(connection, (session, seat, ids), head, received.len() - end)
    }
}
