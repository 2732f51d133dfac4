//! From a request to an answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Body, Bytes};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{health, prometheus, stats};
use crate::process::Process;

/// Time to make an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Counts requests by `path` (one of ours, or `other`) and `status`.
const REQUESTS: &str = "eventflux_admin_requests_total";

/// Counts connections that ended without an answer of ours, by `reason`.
const FAILURES: &str = "eventflux_admin_failures_total";

const JSON: &str = "application/json";

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    Metrics,
    Health,
    Ready,
    Stats,
}

/// Why a connection ended without an answer from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The request did not come in time.
    Late,
    /// What came is no request, or too large for one.
    Invalid,
    /// The client did not take the answer in time.
    Slow,
    /// The client went away before the end.
    Gone,
}

/// Everything an answer is made of.
#[derive(Debug)]
pub(super) struct Routes {
    process: Arc<Process>,
    /// Whether the listener is for this machine only.
    local: bool,
    /// One answer with reports is made at a time: who reports may be slow.
    reports: Arc<Semaphore>,
}

/// An answer before it has headers.
struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: String,
}

impl Routes {
    pub(super) fn new(process: Arc<Process>, local: bool) -> Self {
        process.metrics.describe(REQUESTS, "Requests to the admin listener.");
        process.metrics.describe(FAILURES, "Connections to the admin listener that ended without an answer.");
        Self { process, local, reports: Arc::new(Semaphore::new(1)) }
    }

    /// The answer to a request. Never fails, and takes at most [`ANSWER_TIMEOUT`].
    pub(super) async fn answer<B: Body>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let page = Page::ALL.into_iter().find(|page| page.path() == request.uri().path());
        let answer = match self.refusal(request, page) {
            Some(refusal) => refusal,
            None => self.page(page).await,
        };
        let path = page.map_or("other", Page::path);
        let labels = [("path", path), ("status", answer.status.as_str())];
        self.process.metrics.counter(REQUESTS, &labels).increment();
        answer.into_response()
    }

    /// The metrics of the process.
    #[cfg(test)]
    pub(super) fn metrics(&self) -> &eventflux_core::metrics::Metrics {
        &self.process.metrics
    }

    /// Counts a connection that ended without an answer from here.
    pub(super) fn count_failure(&self, failure: Failure) {
        log::debug!("a connection to the admin listener ended without an answer: {}", failure.name());
        self.process.metrics.counter(FAILURES, &[("reason", failure.name())]).increment();
    }

    fn refusal<B: Body>(&self, request: &Request<B>, page: Option<Page>) -> Option<Answer> {
        if self.local && !is_local_host(request.headers()) {
            // A page of the internet whose name was made to point to this machine would otherwise read everything.
            let reason = "this listener is for this machine: ask for it as localhost or by its address";
            return Some(Answer::error(StatusCode::FORBIDDEN, reason));
        }
        if page.is_none() {
            return Some(Answer::not_found());
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return Some(Answer::error(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are understood"));
        }
        if !request.body().is_end_stream() {
            return Some(Answer::error(StatusCode::PAYLOAD_TOO_LARGE, "a request has no body here"));
        }
        None
    }

    async fn page(&self, page: Option<Page>) -> Answer {
        match page {
            Some(Page::Metrics) => Answer {
                status: StatusCode::OK,
                content_type: prometheus::CONTENT_TYPE,
                body: prometheus::text(&prometheus::collect(&self.process)),
            },
            Some(Page::Health) => Answer::json(health::health(&self.process)),
            Some(Page::Ready) => Answer::json(health::ready(&self.process)),
            Some(Page::Stats) => self.stats().await,
            None => Answer::not_found(),
        }
    }

    /// Made on a thread where whoever reports may take its time.
    async fn stats(&self) -> Answer {
        let (process, reports) = (self.process.clone(), self.reports.clone());
        let work = async move {
            let turn = reports.acquire_owned().await.ok()?;
            let work = tokio::task::spawn_blocking(move || {
                let stats = stats::stats(&process);
                drop(turn);
                stats
            });
            work.await.ok()
        };
        match timeout(ANSWER_TIMEOUT, work).await {
            Ok(Some(stats)) => Answer::json((true, stats)),
            Ok(None) => Answer::error(StatusCode::INTERNAL_SERVER_ERROR, "the statistics could not be made"),
            Err(_) => {
                let limit = ANSWER_TIMEOUT.as_secs();
                let reason = format!("the statistics were not complete within {limit} s: a part of a pipeline is busy");
                Answer::error(StatusCode::SERVICE_UNAVAILABLE, &reason)
            }
        }
    }
}

impl Page {
    const ALL: [Self; 4] = [Self::Metrics, Self::Health, Self::Ready, Self::Stats];

    fn path(self) -> &'static str {
        match self {
            Self::Metrics => "/metrics",
            Self::Health => "/health",
            Self::Ready => "/ready",
            Self::Stats => "/stats",
        }
    }
}

impl Failure {
    fn name(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Invalid => "invalid",
            Self::Slow => "slow",
            Self::Gone => "gone",
        }
    }
}

impl Answer {
    /// 200 with this text when it is `good`, else 503.
    fn json((good, text): (bool, String)) -> Self {
        let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        Self { status, content_type: JSON, body: text }
    }

    fn error(status: StatusCode, reason: &str) -> Self {
        Self { status, content_type: JSON, body: format!("{:#}\n", json!({ "error": reason })) }
    }

    fn not_found() -> Self {
        let paths = Page::ALL.map(Page::path);
        let body = format!("{:#}\n", json!({ "error": "there is nothing at this path", "paths": paths }));
        Self { status: StatusCode::NOT_FOUND, content_type: JSON, body }
    }

    fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}

/// Whether every `Host` is an address or a name of this machine; so is none at all.
fn is_local_host(headers: &HeaderMap) -> bool {
    headers.get_all(HOST).iter().all(|host| host.to_str().is_ok_and(|host| is_local_name(without_port(host))))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_local_name(name: &str) -> bool {
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let name = name.to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Empty};
    use tokio::time::Instant;

    use super::*;
    use crate::process::testing;

    fn routes(local: bool) -> Routes {
        Routes::new(Arc::new(testing::process("", &["a.sql"])), local)
    }

    fn request(method: &str, path: &str) -> Request<Empty<Bytes>> {
        Request::builder().method(method).uri(path).body(Empty::new()).unwrap()
    }

    async fn text(response: Response<Full<Bytes>>) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn every_page_can_be_asked_for_with_get_and_head() {
        let routes = routes(true);
        for (path, status, content_type) in [
            ("/metrics", 200, "text/plain; version=0.0.4; charset=utf-8"),
            ("/metrics?name=x", 200, "text/plain; version=0.0.4; charset=utf-8"),
            ("/health", 200, JSON),
            ("/ready", 503, JSON),
            ("/stats", 200, JSON),
        ] {
            for method in ["GET", "HEAD"] {
                let response = routes.answer(&request(method, path)).await;
                assert_eq!(response.status(), status, "{path}");
                assert_eq!(response.headers()[CONTENT_TYPE], content_type, "{path}");
                assert_eq!(response.headers()[CACHE_CONTROL], "no-store", "{path}");
            }
        }
    }

    #[tokio::test]
    async fn other_methods_are_refused_with_those_that_are_understood() {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
            let response = routes(true).answer(&request(method, "/metrics")).await;
            assert_eq!(response.status(), 405);
            assert_eq!(response.headers()[ALLOW], "GET, HEAD");
        }
    }

    #[tokio::test]
    async fn other_paths_are_answered_with_those_that_exist_and_without_what_was_asked() {
        let routes = routes(true);
        for path in ["/", "/Metrics", "/metrics/", "/hunter2?hunter2", "//metrics"] {
            let response = routes.answer(&request("GET", path)).await;
            assert_eq!(response.status(), 404, "{path}");
            let text = text(response).await;
            assert!(Page::ALL.iter().all(|page| text.contains(page.path())), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
        let samples = routes.metrics().samples();
        let requests: Vec<_> = samples.iter().filter(|sample| sample.name == REQUESTS).collect();
        assert_eq!(requests.len(), 1, "unknown paths are counted together: {requests:?}");
        assert_eq!(requests[0].value, 5);
    }

    #[tokio::test]
    async fn a_body_is_refused() {
        let request = Request::builder().uri("/health").body(Full::new(Bytes::from_static(b"{}"))).unwrap();
        assert_eq!(routes(true).answer(&request).await.status(), 413);
    }

    #[tokio::test]
    async fn a_listener_for_this_machine_is_asked_for_by_a_name_of_this_machine() {
        for (host, local, expected) in [
            ("localhost", true, 200),
            ("LocalHost:9090", true, 200),
            ("admin.localhost:9090", true, 200),
            ("127.0.0.1:9090", true, 200),
            ("[::1]:9090", true, 200),
            ("[::1]", true, 200),
            ("evil.example:9090", true, 403),
            ("localhost.evil.example", true, 403),
            ("notlocalhost", true, 403),
            ("[::1].evil.example", true, 403),
            ("", true, 403),
            ("metrics.example:9090", false, 200),
        ] {
            let request = Request::builder().uri("/health").header(HOST, host).body(Empty::<Bytes>::new()).unwrap();
            assert_eq!(routes(local).answer(&request).await.status(), expected, "{host}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn statistics_that_do_not_come_to_an_end_are_given_up() {
        let routes = routes(true);
        let _turn = routes.reports.clone().acquire_owned().await.unwrap();
        let start = Instant::now();
        let response = routes.answer(&request("GET", "/stats")).await;
        assert_eq!((response.status().as_u16(), start.elapsed()), (503, ANSWER_TIMEOUT));
        assert!(text(response).await.contains("10 s"));
    }
}
