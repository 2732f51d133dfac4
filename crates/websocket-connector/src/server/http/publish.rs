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
use serde::de::IgnoredAny;
use tokio::time::{Instant, timeout, timeout_at};

use super::answer::Answer;
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

/// Messages in one request.
const MAX_MESSAGES: usize = 10_000;

/// The longest kind of a message, in bytes.
const MAX_KIND_BYTES: usize = 256;

/// The kind of a message when the request names none.
const EVENT: &str = "event";

const KNOWN: &[&str] = &["channel", "kind"];

/// How messages stand in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The body is one, whatever it is.
    Whole,
    /// The body is one JSON value.
    Json,
    /// Each line is one JSON value.
    JsonLines,
    /// Each line is one, whatever it is.
    Lines,
}

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
    let limit = publication.body_by + ROOM_LIMIT + BODY_LIMIT;
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
        let form = form(request, transparent)?;
        let parameters = Parameters::of(request, KNOWN, visit.token_parameter())?;
        let (kind, channel) = target(&parameters, transparent)?;
        let max_bytes = visit.config.limits.max_message_bytes;
        check_length(request)?;
        if request.header("content-length").any(|length| is_more_than(length, max_bytes)) {
            return Err(too_large(max_bytes));
        }
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

fn form(request: &PlainRequest, transparent: bool) -> Result<Form, Answer> {
    if request.header("content-encoding").any(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
        return Err(Answer::error(415, "unsupported_encoding", "the body must not be compressed"));
    }
    let mut types = request.header("content-type");
    let media_type = match (types.next(), types.next()) {
        (media_type, None) => media_type.unwrap_or_default(),
        _ => return Err(Answer::bad_request("Content-Type is given more than once")),
    };
    let essence = media_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    match (&essence[..], transparent) {
        (b"application/json", false) => Ok(Form::Json),
        (b"application/x-ndjson", false) => Ok(Form::JsonLines),
        (b"application/x-ndjson", true) => Ok(Form::Lines),
        (_, true) => Ok(Form::Whole),
        (_, false) => {
            let message =
                "Content-Type must be application/json for one message, or application/x-ndjson for one in each line";
            Err(Answer::error(415, "unsupported_type", message))
        }
    }
}

/// Two opinions of where a body ends are none: what stands between us and the client may have the other.
fn check_length(request: &PlainRequest) -> Result<(), Answer> {
    let lengths = request.header("content-length").count() + request.header("transfer-encoding").count();
    if lengths > 1 {
        return Err(Answer::bad_request("the body has more than one length"));
    }
    Ok(())
}

/// The messages in a body. One that is wrong is a reason to take none.
fn payloads(body: &Bytes, form: Form) -> Result<Vec<Bytes>, Answer> {
    match form {
        Form::Whole => return Ok(vec![body.clone()]),
        Form::Json => {
            check_json(body).map_err(|reason| invalid(&reason))?;
            return Ok(vec![body.clone()]);
        }
        Form::JsonLines | Form::Lines => {}
    }
    let mut payloads = Vec::new();
    for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if payloads.len() == MAX_MESSAGES {
            let message = format!("at most {MAX_MESSAGES} messages fit into one request");
            return Err(Answer::error(413, "too_many_messages", &message));
        }
        if form == Form::JsonLines {
            check_json(line)
                .map_err(|reason| invalid(&format!("line {}: {reason}; nothing was accepted", index + 1)))?;
        }
        payloads.push(body.slice_ref(line));
    }
    if payloads.is_empty() {
        return Err(invalid("there is no message in the body"));
    }
    Ok(payloads)
}

/// What is wrong, without what was sent.
fn check_json(text: &[u8]) -> Result<(), String> {
    let text = str::from_utf8(text).map_err(|_| "this is not UTF-8".to_owned())?;
    let checked = serde_json::from_str::<IgnoredAny>(text);
    checked.map(drop).map_err(|error| format!("this is no JSON: {error}"))
}

fn invalid(reason: &str) -> Answer {
    Answer::error(400, "invalid_message", reason)
}

fn too_large(max_bytes: usize) -> Answer {
    Answer::error(413, "too_large", &format!("a request has at most {max_bytes} bytes (websocket.max.message.size)"))
}

fn is_more_than(length: &[u8], max_bytes: usize) -> bool {
    let length = str::from_utf8(length).ok().and_then(|length| length.parse::<u64>().ok());
    length.is_some_and(|length| length > max_bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(body: &str, form: Form) -> Result<Vec<String>, u16> {
        let payloads = payloads(&Bytes::from(body.to_owned()), form);
        let text = |payload: &Bytes| String::from_utf8(payload.to_vec()).unwrap();
        payloads.map(|payloads| payloads.iter().map(text).collect()).map_err(|answer| answer.status)
    }

    #[test]
    fn each_line_is_a_message_and_empty_ones_are_none() {
        assert_eq!(lines("{\"a\":1}\r\n\n 2 \n\"x\"", Form::JsonLines).unwrap(), ["{\"a\":1}", "2", "\"x\""]);
        assert_eq!(lines("a,b\nc", Form::Lines).unwrap(), ["a,b", "c"]);
        assert_eq!(lines("a\nb", Form::Whole).unwrap(), ["a\nb"]);
        assert_eq!(lines("[1,\n2]", Form::Json).unwrap(), ["[1,\n2]"]);
    }

    #[test]
    fn one_wrong_line_is_a_reason_to_take_none() {
        let answer = payloads(&Bytes::from_static(b"1\n\n{hunter2\n4"), Form::JsonLines).unwrap_err();
        let text = String::from_utf8(answer.encode()).unwrap();
        assert!(text.contains("line 3: this is no JSON") && !text.contains("hunter2"), "{text}");
        for (body, form) in [("", Form::Json), ("1 2", Form::Json), (" \n", Form::JsonLines), ("\u{feff}1", Form::Json)]
        {
            assert_eq!(lines(body, form), Err(400), "{body:?}");
        }
        assert_eq!(payloads(&Bytes::from_static(b"\"\xff\""), Form::Json).unwrap_err().status, 400);
    }

    #[test]
    fn the_number_of_messages_is_bounded() {
        assert_eq!(lines(&"1\n".repeat(MAX_MESSAGES), Form::JsonLines).unwrap().len(), MAX_MESSAGES);
        assert_eq!(lines(&"1\n".repeat(MAX_MESSAGES + 1), Form::JsonLines), Err(413));
    }
}
