//! Questions to services over HTTP: bounded in time, size and number, and never redirected.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_tls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use native_tls::{TlsConnector, TlsConnectorBuilder};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::service_url::ServiceUrl;

/// Largest answer, bytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// Largest head of an answer, bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Most questions at the same time; further ones wait, within their own time.
const MAX_QUESTIONS: usize = 64;

/// Connections that are kept for the next question, and for how long.
const MAX_IDLE_CONNECTIONS: usize = 8;
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

type HttpsClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Asks services. Never follows a redirect, so that no credential follows one; the library has no notion of them.
pub(super) struct HttpClient {
    tls: TlsConnectorBuilder,
    client: OnceLock<Result<HttpsClient, String>>,
    places: Semaphore,
}

/// What a service said.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// Why there is no answer. Nothing of the question is in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    /// Not in time.
    #[error("no answer within {}ms", .0.as_millis())]
    Late(Duration),
    /// Not a proper one, or none at all.
    #[error("{0}")]
    Failed(String),
}

impl HttpClient {
    /// Does nothing yet: the system's authorities are loaded with the first question, if there ever is one.
    pub(super) fn new() -> Arc<Self> {
        Self::with_tls(TlsConnector::builder())
    }

    fn with_tls(tls: TlsConnectorBuilder) -> Arc<Self> {
        Arc::new(Self { tls, client: OnceLock::new(), places: Semaphore::new(MAX_QUESTIONS) })
    }

    /// # Errors
    /// Why there is no answer within `limit`, from connecting to the last byte.
    pub(super) async fn get(&self, url: &ServiceUrl, limit: Duration) -> Result<Answer, NoAnswer> {
        self.ask(url, Method::GET, Bytes::new(), limit).await
    }

    /// Sends JSON.
    ///
    /// # Errors
    /// As for [`HttpClient::get`].
    pub(super) async fn post(&self, url: &ServiceUrl, json: Bytes, limit: Duration) -> Result<Answer, NoAnswer> {
        self.ask(url, Method::POST, json, limit).await
    }

    async fn ask(&self, url: &ServiceUrl, method: Method, json: Bytes, limit: Duration) -> Result<Answer, NoAnswer> {
        let mut request = Request::builder().method(method).uri(url.uri().clone()).header(ACCEPT, "application/json");
        request = request.header(USER_AGENT, concat!("eventflux/", env!("CARGO_PKG_VERSION")));
        if !json.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(json)).map_err(|error| NoAnswer::Failed(error.to_string()))?;
        let answer = async {
            let _place = self.places.acquire().await;
            let answer = self.client()?.request(request).await.map_err(|error| NoAnswer::Failed(reasons(&error)))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
            let body = body.map_err(|error| NoAnswer::Failed(reasons(error.as_ref())))?.to_bytes();
            Ok(Answer { status: head.status, body })
        };
        timeout(limit, answer).await.unwrap_or(Err(NoAnswer::Late(limit)))
    }

    fn client(&self) -> Result<&HttpsClient, NoAnswer> {
        let client = self.client.get_or_init(|| {
            let tls = self.tls.build().map_err(|error| format!("cannot set up TLS: {error}"))?;
            let mut tcp = HttpConnector::new();
            tcp.enforce_http(false);
            tcp.set_nodelay(true);
            Ok(Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE_TIMEOUT)
                .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
                .http1_max_buf_size(MAX_HEAD_BYTES)
                .build(HttpsConnector::from((tcp, tls.into()))))
        });
        client.as_ref().map_err(|reason| NoAnswer::Failed(reason.clone()))
    }
}

/// An error with what is behind it: the first line alone says little ("client error (Connect)").
fn reasons(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use mockito::{Matcher, Server};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::access::testing::{SelfSigned, properties};
    use crate::properties::access::HTTP_URL;

    const LIMIT: Duration = Duration::from_secs(10);

    fn url(text: &str) -> ServiceUrl {
        let properties = properties(&[("websocket.auth", "http"), (HTTP_URL.key, text)]).unwrap();
        ServiceUrl::from_properties(&properties, HTTP_URL.key).unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_question_has_the_headers_services_expect() {
        let mut server = Server::new_async().await;
        let mock = server
            .mock("POST", "/path?key=value")
            .match_header("accept", "application/json")
            .match_header("content-type", "application/json")
            .match_header("user-agent", Matcher::Regex("^eventflux/".to_owned()))
            .match_body("{}")
            .with_status(418)
            .with_body("teapot");
        let mock = mock.create_async().await;
        let url = url(&format!("{}/path?key=value", server.url()));
        let answer = HttpClient::new().post(&url, Bytes::from_static(b"{}"), LIMIT).await.unwrap();
        mock.assert_async().await;
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (418, &b"teapot"[..]));
    }

    #[tokio::test]
    async fn a_service_with_tls_is_believed_when_its_certificate_is_trusted_and_not_otherwise() {
        let certificate = SelfSigned::new("127.0.0.1");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = url(&format!("https://{}/", listener.local_addr().unwrap()));
        let acceptor = certificate.acceptor();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that does not trust us hangs up.
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut head = [0; 1024];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
            }
        });
        let error = HttpClient::new().get(&url, LIMIT).await.unwrap_err().to_string();
        assert!(error.contains("certificate"), "{error}");
        let mut tls = TlsConnector::builder();
        tls.add_root_certificate(certificate.root());
        let answer = HttpClient::with_tls(tls).get(&url, LIMIT).await.unwrap();
        assert_eq!(&answer.body[..], b"hi");
    }

    #[tokio::test]
    async fn what_goes_wrong_is_told_without_the_question() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = url(&format!("http://{}/?key=hunter2", listener.local_addr().unwrap()));
        drop(listener);
        let error = HttpClient::new().post(&url, Bytes::from_static(b"hunter2"), LIMIT).await.unwrap_err().to_string();
        assert!(error.contains("refused") && !error.contains("hunter"), "{error}");
    }
}
