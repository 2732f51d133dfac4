//! From a request that asks for no upgrade to what it gets: the rules of the path, and who the client is.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use eventflux_gateway::Authenticated;
use eventflux_gateway::Ending;
use eventflux_gateway::auth::Denied;
use eventflux_websocket_wire::handshake::{self, PlainRequest, has_token};
use tokio::time::{Instant, timeout_at};

use super::answer::Answer;
use super::stream::Stream;
use super::{opening, publish};
use crate::config::ConnectionConfig;
use crate::counters::Refused;
use crate::net::origin::SiteRefusal;
use crate::net::stream::ByteStream;
use crate::server::endpoint::Endpoint;
use crate::server::listener::Listener;
use crate::server::permission::authenticate;
use crate::server::welcome::{NOT_READY_RETRY, not_ready};

/// How long a browser may remember what pages of an origin may do, in seconds.
const PREFLIGHT_SECONDS: u32 = 600;

/// A client of a path, and the rules that hold for it.
pub(super) struct Visit {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) config: Arc<ConnectionConfig>,
    /// Beyond proxies.
    pub(super) address: IpAddr,
    /// The page that asks, when one does that may.
    origin: Option<String>,
}

/// What a request is for.
enum Purpose {
    /// Server-sent events.
    Stream,
    Publish,
    /// A browser asks what a page may do.
    Preflight,
}

/// Answers a request that asks for no upgrade. Returns the stream of events that it asks for and is let have; anything else
/// is over when this is. `by`: when the client must be known; `peer`: its address, or that of the last proxy.
pub(in crate::server) async fn welcome(
    listener: &Listener,
    mut stream: ByteStream,
    peer: SocketAddr,
    request: PlainRequest,
    by: Instant,
) -> Option<Stream> {
    let endpoint = listener.served(request.path());
    let is_ready = endpoint.as_ref().is_none_or(|endpoint| endpoint.is_ready());
    let endpoint = endpoint.filter(|endpoint| endpoint.config().http.is_on());
    let served = endpoint.and_then(|endpoint| endpoint.connection_config().map(|config| (endpoint, config)));
    let Some((endpoint, config)) = served else {
        // Nothing but WebSocket here, or not even that: health checks are to see the difference.
        let refusal = if is_ready { request.refusal() } else { &not_ready() };
        listener.count_refused(Refused::Answered(refusal));
        log::debug!("{peer} refused: {refusal}");
        handshake::refuse(stream, refusal).await;
        return None;
    };
    let (forwarded, x_forwarded_for) = (request.header("forwarded"), request.header("x-forwarded-for"));
    let address = listener.config.trusted.client_address(peer.ip(), forwarded, x_forwarded_for);
    let mut visit = Visit { endpoint, config, address, origin: None };
    // A socket that refuses an option works all the same.
    let _ = visit.config.tcp.apply(stream.tcp());
    let answer = match visit.admit(&request, stream.tcp().local_addr().ok()) {
        Err(answer) => answer,
        Ok(Purpose::Preflight) => visit.preflight(),
        Ok(Purpose::Publish) => match publish::publish(&visit, stream, request, by).await {
            (Some(back), answer) => {
                stream = back;
                answer
            }
            (None, answer) => {
                visit.log(listener, &answer);
                return None;
            }
        },
        Ok(Purpose::Stream) if listener.is_full() => {
            visit.endpoint.hub().count_refused();
            Answer::of_ending(Ending::Capacity)
        }
        Ok(Purpose::Stream) => match timeout_at(by, opening::open(&visit, &request)).await {
            Ok(Ok(opening)) => return Some(opening.begin(stream, &request.into_bytes())),
            Ok(Err(answer)) => answer,
            Err(_) => Answer::error(408, "timeout", "it took too long to find out who the client is"),
        },
    };
    visit.log(listener, &answer);
    handshake::end(stream, &visit.with_origin(answer).encode()).await;
    None
}

impl Visit {
    /// Checks the rules of the path, and what the request is for.
    fn admit(&mut self, request: &PlainRequest, local: Option<SocketAddr>) -> Result<Purpose, Answer> {
        let rules = self.endpoint.config();
        let local = local.ok_or_else(|| Answer::bad_request("the client went away"))?;
        let origin = request.header("origin").next();
        rules.sites.check_plain(request.host(), origin, local.ip()).map_err(site_refusal)?;
        self.origin = request.origin().map(str::to_owned);
        match request.method() {
            "OPTIONS" => Ok(Purpose::Preflight),
            _ if !self.endpoint.is_ready() => {
                self.endpoint.hub().count_refused();
                Err(Answer::busy(503, "not_ready", "the path is not ready yet", NOT_READY_RETRY))
            }
            "POST" if rules.http.publish => Ok(Purpose::Publish),
            "GET" if rules.http.sse => {
                check_is_for_events(request)?;
                Ok(Purpose::Stream)
            }
            _ => {
                let allowed = rules.http.methods();
                let message = format!("the methods served here are {allowed}");
                Err(Answer::error(405, "method_not_allowed", &message).with("Allow", allowed))
            }
        }
    }

    /// Who the client is: by a header or by the query, now.
    pub(super) async fn identify(&self, request: &PlainRequest) -> Result<Authenticated, Answer> {
        let authenticator = self.endpoint.authenticator();
        let (credentials, _) = authenticator.credentials(request);
        let required = self.endpoint.config().access.is_required();
        let identity = authenticate(authenticator, credentials, false, required, self.address).await;
        identity.and_then(|identity| identity.ok_or(Denied::Missing)).map_err(|denied| {
            log::info!("{} from {} refused: {denied}", self.endpoint.path(), self.address);
            Answer::of_refusal(authenticator.refusal(&denied), denied.problem().code())
        })
    }

    /// The name of the query parameter with the token, which is not ours to read.
    pub(super) fn token_parameter(&self) -> Option<&str> {
        self.endpoint.authenticator().query_parameter()
    }

    /// The answer, readable for the page that asks.
    pub(super) fn with_origin(&self, answer: Answer) -> Answer {
        self.cors().into_iter().fold(answer, |answer, (name, value)| answer.with(name, value))
    }

    /// Headers that let the page that asks read an answer.
    pub(super) fn cors(&self) -> Vec<(&'static str, String)> {
        // Whoever keeps answers must not give one page what was said to another.
        let vary = ("Vary", "Origin".to_owned());
        match &self.origin {
            None => vec![vary],
            Some(origin) => vec![
                vary,
                ("Access-Control-Allow-Origin", origin.clone()),
                ("Access-Control-Expose-Headers", "Retry-After".to_owned()),
            ],
        }
    }

    fn preflight(&self) -> Answer {
        let methods = self.endpoint.config().http.methods();
        let answer = Answer::new(204, None).with("Allow", methods.clone());
        if self.origin.is_none() {
            return answer;
        }
        answer
            .with("Access-Control-Allow-Methods", methods)
            .with(
                "Access-Control-Allow-Headers",
                "Authorization, Cache-Control, Content-Type, Last-Event-ID".to_owned(),
            )
            .with("Access-Control-Max-Age", PREFLIGHT_SECONDS.to_string())
    }

    fn log(&self, listener: &Listener, answer: &Answer) {
        log::debug!("{} answers {} with {}", self.endpoint.path(), self.address, answer.status);
        if answer.status >= 400 {
            listener.count_refused(Refused::Status(&answer.status));
        }
    }
}

fn site_refusal(site: SiteRefusal) -> Answer {
    let code = if site.is_origin() { "origin_not_allowed" } else { "bad_host" };
    Answer::error(site.status(), code, &site.to_string())
}

/// A browser that merely opens the address must not begin a stream that never ends.
fn check_is_for_events(request: &PlainRequest) -> Result<(), Answer> {
    let accepted = request.header("accept").map(|value| value.split(|byte| *byte == b';').next().unwrap_or_default());
    if !has_token(accepted, "text/event-stream") {
        let message = "ask for events with 'Accept: text/event-stream', or for an upgrade to WebSocket";
        return Err(Answer::error(406, "not_acceptable", message));
    }
    let has_body = request.header("content-length").any(|length| length != b"0");
    if has_body || request.header("transfer-encoding").next().is_some() {
        return Err(Answer::bad_request("the request must have no body"));
    }
    Ok(())
}
