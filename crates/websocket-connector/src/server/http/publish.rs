//! Messages for the sources of a path by `POST`: all of a request, or none.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use eventflux_gateway::auth::Verb;
use eventflux_gateway::dialects::MESSAGE;
use eventflux_gateway::{Authenticated, Inbound, JOIN, LEAVE, Problem, check_name};
use eventflux_websocket_wire::handshake::{PlainRequest, end};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{Instant, timeout, timeout_at};

use super::answer::Answer;
use super::body::{Form, payloads, too_large};
use super::query::Parameters;
use super::rates::Who;
use super::rewound::Rewound;
use super::visit::Visit;
use crate::net::stream::ByteStream;
use crate::server::endpoint::{Endpoint, Item, Sender};

/// How long the sources of a path may take to make room for a message before its sender is told to come back.
const ROOM_LIMIT: Duration = Duration::from_secs(1);

/// When to come back then.
const ROOM_RETRY: Duration = Duration::from_secs(1);

/// How long a body may take where `websocket.message.timeout` sets no limit.
const BODY_LIMIT: Duration = Duration::from_secs(60);

/// How long a client may take to read the answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The longest kind of a message, in bytes.
const MAX_KIND_BYTES: usize = 256;

/// The kind of a message when the request names none.
const EVENT: &str = "event";

const KNOWN: &[&str] = &["channel", "kind"];

/// What a request wants to send, and may.
struct Publication {
    endpoint: Arc<Endpoint>,
    sender: Sender,
    who: Who,
    form: Form,
    kind: String,
    channel: Option<String>,
    max_bytes: usize,
    body_by: Duration,
}

/// Takes the messages of a request. Returns the answer, and the connection when it was not told yet.
pub(super) async fn publish(
    visit: &Visit,
    stream: ByteStream,
    request: PlainRequest,
    by: Instant,
) -> (Option<ByteStream>, Answer) {
    let publication = match timeout_at(by, Publication::of(visit, &request)).await {
        Ok(Ok(publication)) => publication,
        Ok(Err(answer)) => return (Some(stream), answer),
        Err(_) => {
            let answer = Answer::error(408, "timeout", "it took too long to find out who the client is");
            return (Some(stream), answer);
        }
    };
    let Some(_room) = visit.endpoint.http().room() else {
        let answer = Answer::busy(503, "busy", "too many requests at the same time", ROOM_RETRY);
        return (Some(stream), answer);
    };
    (None, serve(visit, stream, request, publication).await)
}

/// Lets the library read the body and write the answer.
async fn serve(visit: &Visit, stream: ByteStream, request: PlainRequest, publication: Publication) -> Answer {
    let limit = publication.body_by + ROOM_LIMIT + ANSWER_LIMIT;
    let mut rewound = Rewound { read: request.into_bytes(), stream };
    let told = Mutex::new(None);
    let publication = &publication;
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let told = &told;
        async move {
            let answer = publication.carry_out(request.into_body()).await;
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer.clone());
            Ok::<_, Infallible>(visit.with_origin(answer).into_response())
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .half_close(true)
        .serve_connection(TokioIo::new(&mut rewound), service);
    let served = timeout(limit, connection).await;
    if !matches!(served, Ok(Ok(()))) {
        log::debug!("{}: the answer did not reach {}", visit.endpoint.path(), visit.address);
    }
    // Unread bytes would turn our close into a reset that can overtake the answer.
    end(rewound.stream, &[]).await;
    let told = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    told.unwrap_or_else(|| Answer::bad_request("this is no HTTP/1.1 request"))
}

impl Publication {
    /// Checks everything but the body.
    async fn of(visit: &Visit, request: &PlainRequest) -> Result<Self, Answer> {
        let transparent = visit.endpoint.hub().dialect().traits().transparent;
        let max_bytes = visit.config.limits.max_message_bytes;
        let form = Form::of(request, transparent, max_bytes)?;
        let parameters = Parameters::of(request, KNOWN, visit.token_parameter())?;
        let (kind, channel) = target(&parameters, transparent)?;
        let identity = visit.identify(request).await?;
        may_publish(&visit.endpoint, &identity, &kind, channel.as_deref())?;
        let user = identity.identity.user;
        let who = user.clone().map_or(Who::Address(visit.address), Who::User);
        let connection = uuid::Uuid::new_v4().to_string();
        let sender = sender(&connection, user.as_ref(), visit.address);
        let body_by = visit.config.keep_alive.message_timeout.unwrap_or(BODY_LIMIT);
        Ok(Self { endpoint: visit.endpoint.clone(), sender, who, form, kind, channel, max_bytes, body_by })
    }

    async fn carry_out(&self, body: Incoming) -> Answer {
        match self.take(body).await {
            Ok(messages) => Answer::new(202, Some(serde_json::json!({"accepted": messages}))),
            Err(answer) => answer,
        }
    }

    async fn take(&self, body: Incoming) -> Result<usize, Answer> {
        let body = self.read(body).await?;
        let payloads = payloads(&body, self.form)?;
        let count = payloads.len();
        let hub = self.endpoint.hub();
        if let Some(limit) = &hub.config().rate {
            let taken = self.endpoint.http().take(self.who.clone(), count, limit);
            taken.map_err(|wait| match wait {
                Some(retry_after) => Answer::of_problem(&Problem::RateLimitExceeded { retry_after }),
                None => {
                    let message =
                        format!("{count} messages are more than may come at a time: at most {}", limit.messages);
                    Answer::error(413, "too_many_messages", &message)
                }
            })?;
        }
        let message = |payload| Inbound {
            kind: self.kind.clone(),
            payload,
            channel: self.channel.clone(),
            correlation: None,
            request: None,
        };
        hand_over(&self.endpoint, payloads.into_iter().map(message).collect(), self.sender.clone()).await?;
        hub.count_received(count);
        Ok(count)
    }

    async fn read(&self, body: Incoming) -> Result<Bytes, Answer> {
        let read = Limited::new(body, self.max_bytes).collect();
        match timeout(self.body_by, read).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(self.max_bytes)),
            Ok(Err(_)) => Err(Answer::bad_request("the body does not end where it should")),
            Err(_) => Err(Answer::error(408, "timeout", "the body was not complete in time")),
        }
    }
}

/// Gives messages to every source of the path that takes them, or to none.
///
/// # Errors
/// When one of them has no room in time, or none is there any more.
pub(super) async fn hand_over(endpoint: &Endpoint, messages: Vec<Inbound>, sender: Sender) -> Result<(), Answer> {
    let item = Item::Inbound(messages.into(), Arc::new(sender));
    let inboxes = endpoint.inboxes();
    let by = Instant::now() + ROOM_LIMIT;
    let mut places = Vec::new();
    for inbox in inboxes.iter() {
        let Some(item) = inbox.filter(&item) else { continue };
        match timeout_at(by, inbox.items.reserve()).await {
            Ok(Ok(place)) => places.push((place, item)),
            // This one is about to leave the path.
            Ok(Err(_)) => {}
            Err(_) => {
                let message = "the pipeline does not take messages fast enough; nothing was accepted";
                return Err(Answer::busy(503, "busy", message, ROOM_RETRY));
            }
        }
    }
    if places.is_empty() {
        return Err(Answer::busy(503, "going_away", "the pipeline stops; nothing was accepted", ROOM_RETRY));
    }
    places.into_iter().for_each(|(place, item)| place.send(item));
    Ok(())
}

/// Who sends messages now.
pub(super) fn sender(connection: &str, user: Option<&Arc<str>>, address: IpAddr) -> Sender {
    let received = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros() as i64;
    Sender { connection: connection.into(), user: user.cloned(), address, received }
}

/// Kind and channel of the messages.
fn target(parameters: &Parameters, transparent: bool) -> Result<(String, Option<String>), Answer> {
    let default = if transparent { MESSAGE } else { EVENT };
    let kind = parameters.one("kind")?.unwrap_or(default);
    if kind.is_empty() || kind.len() > MAX_KIND_BYTES {
        return Err(Answer::bad_request(&format!("'kind' has 1 to {MAX_KIND_BYTES} bytes")));
    }
    let channel = parameters.one("channel")?.map(str::to_owned);
    if let Some(channel) = &channel {
        check_name(channel).map_err(|problem| Answer::of_problem(&problem))?;
    }
    if channel.is_none() && kind == EVENT && !transparent {
        return Err(Answer::bad_request("name the channel of the event: ?channel=a"));
    }
    Ok((kind.to_owned(), channel))
}

fn may_publish(endpoint: &Endpoint, identity: &Authenticated, kind: &str, channel: Option<&str>) -> Result<(), Answer> {
    let (hub, traits) = (endpoint.hub(), endpoint.hub().dialect().traits());
    // Only the hub itself says who comes and goes.
    let is_hubs_own = hub.config().presence && matches!(kind, JOIN | LEAVE);
    let is_unknown = traits.transparent && kind != MESSAGE;
    if !hub.takes(kind) || is_hubs_own || is_unknown {
        return Err(Answer::error(404, "unknown_type", "no source of this path takes messages of this kind"));
    }
    let place = channel.unwrap_or(kind);
    if !identity.identity.grants.allows(Verb::Publish, place) {
        let problem = Problem::PermissionDenied { channel: place.to_owned(), user: None };
        return Err(Answer::of_problem(&problem));
    }
    Ok(())
}
