//! The handshake of libraries that leave HTTP to hyper.

use std::cell::RefCell;

use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::failed;
use crate::error::BenchError;

/// Answers one request with what `upgrade` makes of it, and gives the connection away.
///
/// # Errors
/// When the connection or the upgrade fails.
pub(super) async fn serve(
    stream: TcpStream,
    upgrade: impl FnMut(Request<Incoming>) -> Result<Response<http_body_util::Empty<Bytes>>, BenchError>,
) -> Result<(), BenchError> {
    let upgrade = RefCell::new(upgrade);
    let service = service_fn(|request| std::future::ready((upgrade.borrow_mut())(request)));
    let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    serving.with_upgrades().await.map_err(failed("serving HTTP"))
}
