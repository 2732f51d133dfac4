//! From an accepted socket to a client with a seat: who it is, TLS, request, rules, answer.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use eventflux_core::BoxFuture;
use eventflux_federation::{Opening, Reliable, SUBPROTOCOL};
use eventflux_gateway::{Arrival, Authenticated, Ending, Session};
use eventflux_websocket_wire::Connection;
use eventflux_websocket_wire::handshake::{self, Accept, Refusal, Requested, UpgradeRequest};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::endpoint::{Endpoint, Seat};
use super::listener::Listener;
use super::permission::{Permission, authenticate};
use super::{connection, http};
use crate::config::ConnectionConfig;
use crate::counters::Refused;
use crate::federation::{Peer, Side};
use crate::net::origin::SiteRefusal;
use crate::net::proxy_protocol;
use crate::net::stream::ByteStream;
use crate::net::tls_server::client_name;

/// When a client that found no seat may come back.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// When a client may come back to a path that does not serve.
pub(super) const NOT_READY_RETRY: Duration = Duration::from_secs(1);

/// A client that is let in, or told why not after the handshake.
pub(super) struct Admitted {
    pub(super) connection: Connection<ByteStream>,
    pub(super) seat: Seat,
    pub(super) session: Result<Session, Ending>,
    pub(super) permission: Permission,
    /// Its end of a link, where links are served.
    pub(super) side: Option<Side>,
}

/// Shakes hands within `websocket.handshake.timeout`. A client that is not let in gets an HTTP answer that says why, or,
/// where the protocol says so, a close code.
///
/// Returns what serves it from then on; `None` when there is nothing more to do.
pub(super) async fn welcome(
    listener: &Listener,
    stream: TcpStream,
    peer: SocketAddr,
) -> Option<BoxFuture<'static, ()>> {
    let by = Instant::now() + listener.config.handshake_timeout;
    // Who is late or wrong here is closed without a word: no language is agreed upon yet.
    let Ok(secured) = timeout_at(by, secure(listener, stream, peer, by)).await else {
        listener.count_refused(Refused::Late);
        return None;
    };
    let mut client = secured?;
    let read = Requested::read_within(&mut client.stream, listener.config.max_head_bytes);
    let request = match timeout_at(by, read).await {
        Ok(Ok(Requested::Upgrade(request))) => request,
        Ok(Ok(Requested::Plain(request))) => {
            let stream = http::welcome(listener, client.stream, client.address, request, by).await;
            return stream.map(http::Stream::serve);
        }
        Ok(Err(refusal)) => return refuse(listener, client, &refusal).await,
        Err(_) => return refuse(listener, client, &Refusal::timeout()).await,
    };
    let mut welcome = match admit(listener, &request, &client) {
        Ok(admitted) => admitted,
        Err(refusal) => return refuse(listener, client, &refusal).await,
    };
    match timeout_at(by, identify(&request, &mut welcome)).await {
        Ok(Ok(())) => {}
        Ok(Err(refusal)) => return refuse(listener, client, &refusal).await,
        Err(_) => return refuse(listener, client, &Refusal::timeout()).await,
    }
    timeout_at(by, upgrade(listener, request, client, welcome)).await.ok().flatten().map(connection::serve)
}

/// What a request leads to.
struct Welcome {
    endpoint: Arc<Endpoint>,
    config: Arc<ConnectionConfig>,
    address: IpAddr,
    subprotocol: Option<String>,
    /// Who the client is; `None` when it has yet to say so.
    identity: Option<Authenticated>,
    /// Why the client is closed as soon as it is connected.
    ending: Option<Ending>,
}

/// Finds out who the client is.
async fn identify(request: &UpgradeRequest, welcome: &mut Welcome) -> Result<(), Refusal> {
    if welcome.ending.is_some() {
        return Ok(());
    }
    let (authenticator, rules) = (welcome.endpoint.authenticator(), welcome.endpoint.config());
    let (credentials, subprotocol) = authenticator.credentials(request);
    let may_wait = rules.gateway.hub.authentication.is_some();
    let required = rules.access.is_required();
    let identity = authenticate(authenticator, credentials, may_wait, required, welcome.address).await;
    welcome.identity = identity.map_err(|denied| {
        welcome.endpoint.hub().count_refused();
        authenticator.refusal(&denied)
    })?;
    welcome.subprotocol = subprotocol.map(str::to_owned).or_else(|| welcome.subprotocol.take());
    Ok(())
}

/// Takes the client in and tells it so, in this order: what is published once it knows that it is connected reaches it.
async fn upgrade(listener: &Listener, request: UpgradeRequest, client: Secured, welcome: Welcome) -> Option<Admitted> {
    let Welcome { endpoint, config, address, subprotocol, identity, ending } = welcome;
    // A socket that refuses an option works all the same.
    let _ = config.tcp.apply(client.stream.tcp());
    let (framing, singly) = endpoint.framing(config.deflate.zip(request.negotiated(config.deflate)));
    let seat = Seat::take(&endpoint, address, config.clone());
    let permission = Permission::new(endpoint.authenticator().clone(), address);
    let arrival = Arrival { address, identity, framing, singly, subscriptions: endpoint.subscriptions_of_everybody() };
    let session = match ending {
        Some(ending) => Err(ending),
        None => seat.session(arrival),
    };
    let by_close = endpoint.config().gateway.dialect.traits().refuses_by_close;
    match session {
        // Others came first since there was room.
        Err(full @ (Ending::Capacity | Ending::AddressLimit | Ending::GoingAway)) if !by_close => {
            refuse(listener, client, &no_room(full)).await
        }
        session => {
            let accept = Accept { limits: config.limits, subprotocol: subprotocol.as_deref(), deflate: config.deflate };
            let connected = request.accept(client.stream, accept).await.ok()?;
            let side =
                session.as_ref().ok().and_then(|session| side(&endpoint, session, address, subprotocol.as_deref()));
            Some(Admitted { connection: connected.connection, seat, session, permission, side })
        }
    }
}

/// The client's end of a link, where links are served.
fn side(endpoint: &Arc<Endpoint>, session: &Session, address: IpAddr, subprotocol: Option<&str>) -> Option<Side> {
    let connection = session.id();
    let peer = Peer { connection: connection.as_str().into(), user: session.user().cloned(), address: Some(address) };
    let opening = Opening { connection, agreed: subprotocol == Some(SUBPROTOCOL), receiver: None };
    // Who does not agree to what is required has been refused before.
    Side::new(endpoint.place()?, opening, peer).ok()
}

/// A client that may send its request.
struct Secured {
    stream: ByteStream,
    /// Its address; that of the last proxy when a proxy does not tell.
    address: SocketAddr,
}

async fn secure(listener: &Listener, mut stream: TcpStream, peer: SocketAddr, by: Instant) -> Option<Secured> {
    let mut address = peer;
    if listener.config.proxy_protocol && listener.config.trusted.contains(peer.ip()) {
        address = match proxy_protocol::client_address(&mut stream, peer).await {
            Ok(client) => client,
            Err(error) => {
                listener.count_refused(Refused::ProxyHeader);
                log::warn!("{}: the proxy {peer} is closed: {error}", listener.address());
                return None;
            }
        };
    }
    let stream = match &listener.tls {
        None => ByteStream::Plain(stream),
        Some(tls) => match tls.accept(stream, by).await {
            Ok(stream) => stream,
            Err(error) => {
                listener.count_refused(Refused::Tls);
                log::debug!("{}: no TLS with {address}: {error}", listener.address());
                return None;
            }
        },
    };
    if let Some(name) = client_name(&stream) {
        log::debug!("{}: {address} has the certificate of '{name}'", listener.address());
    }
    Some(Secured { stream, address })
}

/// Checks the rules of the address and of the path.
fn admit(listener: &Listener, request: &UpgradeRequest, client: &Secured) -> Result<Welcome, Refusal> {
    let endpoint = listener.served(request.path()).ok_or_else(Refusal::not_found)?;
    let config = endpoint.connection_config().ok_or_else(Refusal::not_found)?;
    let rules = endpoint.config();
    let local = client.stream.tcp().local_addr().map_err(|_| Refusal::Gone)?;
    let (forwarded, x_forwarded_for) = (request.header("forwarded"), request.header("x-forwarded-for"));
    let address = listener.config.trusted.client_address(client.address.ip(), forwarded, x_forwarded_for);
    let by_close = rules.gateway.dialect.traits().refuses_by_close;
    let site = rules.sites.check(Some(request.host().as_bytes()), request.header("origin"), local.ip());
    let mut ending = match site {
        Ok(()) => None,
        Err(site) if by_close && site.is_origin() => {
            endpoint.hub().count_refused();
            Some(Ending::Origin)
        }
        Err(site) => {
            endpoint.hub().count_refused();
            return Err(refusal(site));
        }
    };
    let subprotocol = request.choose_subprotocol(&rules.subprotocols).map(str::to_owned);
    let requires_link = rules.federation.as_ref().is_some_and(|settings| settings.link.reliable == Reliable::Require);
    if requires_link && subprotocol.as_deref() != Some(SUBPROTOCOL) {
        return Err(Refusal::bad_request(
            "a link with acknowledgements is required here: subprotocol eventflux.link.v1",
        ));
    }
    if rules.subprotocol_required && subprotocol.is_none() {
        return Err(Refusal::bad_request("none of the offered subprotocols is spoken here"));
    }
    if !endpoint.is_ready() {
        endpoint.hub().count_refused();
        return Err(not_ready());
    }
    let room = match listener.is_full() {
        true => {
            endpoint.hub().count_refused();
            Err(Ending::Capacity)
        }
        false => endpoint.hub().has_room(address),
    };
    match room {
        Ok(()) => {}
        Err(full) if by_close => ending = ending.or(Some(full)),
        Err(full) => return Err(no_room(full)),
    }
    Ok(Welcome { endpoint, config, address, subprotocol, identity: None, ending })
}

/// The path does not serve yet, or not any more.
pub(super) fn not_ready() -> Refusal {
    Refusal::too_many("the path is not ready", NOT_READY_RETRY)
}

fn no_room(full: Ending) -> Refusal {
    match full {
        Ending::AddressLimit => Refusal::Status {
            status: 429,
            reason: "too many connections from this address".into(),
            headers: vec![("Retry-After", RETRY_AFTER.as_secs().to_string())],
        },
        _ => Refusal::too_many("too many connections", RETRY_AFTER),
    }
}

fn refusal(site: SiteRefusal) -> Refusal {
    Refusal::Status { status: site.status(), reason: site.to_string().into(), headers: Vec::new() }
}

async fn refuse<T>(listener: &Listener, client: Secured, refusal: &Refusal) -> Option<T> {
    listener.count_refused(Refused::Answered(refusal));
    log::debug!("{} refused: {refusal}", client.address);
    handshake::refuse(client.stream, refusal).await;
    None
}
