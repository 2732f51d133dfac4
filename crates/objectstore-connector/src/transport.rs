//! Sends the library's requests, by the HTTP client and the TLS of our other connectors.
//!
//! It knows no redirects, so that no credential follows one. Time is the caller's to limit: dropping a request ends it.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt, Limited};
use hyper::header::{HeaderValue, USER_AGENT};
use hyper_tls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use native_tls::TlsConnector;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpService,
};
use object_store::{ClientOptions, Error};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer, in bytes: a thousand names, which is as many as are listed at a time.
const MAX_ANSWER_BYTES: usize = 4 << 20;
/// Largest head of an answer, in bytes.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// How long a connection is kept for the next object.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Makes clients for the library.
#[derive(Debug)]
pub(crate) struct HyperConnector;

/// A client, with the connections it keeps.
struct HyperClient(Client<HttpsConnector<TcpConnector>, HttpRequestBody>);

impl HttpConnector for HyperConnector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        let tls = TlsConnector::new();
        let tls = tls.map_err(|error| Error::Generic { store: "TLS", source: Box::new(error) })?;
        let mut tcp = TcpConnector::new();
        // Not only http://, which TLS is put on; and that as well: whoever writes it means it.
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .build(HttpsConnector::from((tcp, tls.into())));
        Ok(HttpClient::new(HyperClient(client)))
    }
}

#[async_trait]
impl HttpService for HyperClient {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let agent = HeaderValue::from_static(concat!("eventflux/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(USER_AGENT, agent);
        let answer = self.0.request(request).await.map_err(|error| {
            // Everything that is sent is sent again without harm: an object replaces itself.
            let kind = if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Interrupted };
            HttpError::new(kind, error)
        })?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| HttpError::new_boxed(HttpErrorKind::Decode, error))?;
        Ok(HttpResponse::from_parts(head, body.to_bytes().into()))
    }
}

impl fmt::Debug for HyperClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HyperClient")
    }
}
