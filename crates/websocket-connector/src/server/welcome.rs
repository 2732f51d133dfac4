//! From an accepted socket to a client with a seat: who it is, TLS, request, rules, answer.

use std::net::SocketAddr;
use std::time::Duration;

use eventflux_websocket_wire::Connection;
use eventflux_websocket_wire::handshake::{self, Accept, Refusal, UpgradeRequest};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::endpoint::{Endpoint, Full, Seat};
use super::listener::Listener;
use crate::counters::Refused;
use crate::net::origin::SiteRefusal;
use crate::net::proxy_protocol;
use crate::net::stream::ByteStream;
use crate::net::tls_server::client_name;

/// When a client that found no seat may come back.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Shakes hands within `websocket.handshake.timeout`. A client that is not let in gets an HTTP answer that says why.
pub(super) async fn welcome(
    listener: &Listener,
    stream: TcpStream,
    peer: SocketAddr,
) -> Option<(Connection<ByteStream>, Seat)> {
    let by = Instant::now() + listener.config.handshake_timeout;
    // Who is late or wrong here is closed without a word: no language is agreed upon yet.
    let Ok(secured) = timeout_at(by, secure(listener, stream, peer, by)).await else {
        listener.count_refused(Refused::Late);
        return None;
    };
    let mut client = secured?;
    let read = UpgradeRequest::read_within(&mut client.stream, listener.config.max_head_bytes);
    let request = match timeout_at(by, read).await {
        Ok(Ok(request)) => request,
        Ok(Err(refusal)) => return refuse(listener, client, &refusal).await,
        Err(_) => return refuse(listener, client, &Refusal::timeout()).await,
    };
    let (seat, subprotocol) = match admit(listener, &request, &client) {
        Ok(admitted) => admitted,
        Err(refusal) => return refuse(listener, client, &refusal).await,
    };
    let config = seat.config();
    // A socket that refuses an option works all the same.
    let _ = config.tcp.apply(client.stream.tcp());
    let accept = Accept { limits: config.limits, subprotocol: subprotocol.as_deref(), deflate: config.deflate };
    let accepted = timeout_at(by, request.accept(client.stream, accept)).await;
    Some((accepted.ok()?.ok()?.connection, seat))
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

/// Checks the rules of the address and of the path, and takes a seat; also the subprotocol to speak.
fn admit(listener: &Listener, request: &UpgradeRequest, client: &Secured) -> Result<(Seat, Option<String>), Refusal> {
    let endpoint = listener.served(request.path()).ok_or_else(Refusal::not_found)?;
    let rules = endpoint.admission().ok_or_else(Refusal::not_found)?;
    let local = client.stream.tcp().local_addr().map_err(|_| Refusal::Gone)?;
    let site = rules.sites.check(Some(request.host().as_bytes()), request.header("origin"), local.ip());
    site.map_err(refusal)?;
    let subprotocol = request.choose_subprotocol(&rules.subprotocols).map(str::to_owned);
    if rules.subprotocol_required && subprotocol.is_none() {
        return Err(Refusal::bad_request("none of the offered subprotocols is spoken here"));
    }
    let (forwarded, x_forwarded_for) = (request.header("forwarded"), request.header("x-forwarded-for"));
    let address = listener.config.trusted.client_address(client.address.ip(), forwarded, x_forwarded_for);
    match Endpoint::admit(&endpoint, address) {
        Ok(seat) => Ok((seat, subprotocol)),
        Err(Full::Path) => Err(Refusal::too_many("too many connections", RETRY_AFTER)),
        Err(Full::Address) => Err(Refusal::Status {
            status: 429,
            reason: "too many connections from this address".into(),
            headers: vec![("Retry-After", RETRY_AFTER.as_secs().to_string())],
        }),
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
