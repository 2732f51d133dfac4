//! One connection: one request, one answer, and a limit on the time of each step.

use std::convert::Infallible;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::routes::{Failure, Routes};

/// Time for the request line and the headers to come.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for everything: request, answer, and its way to the client.
pub(super) const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest request line with headers, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Largest number of headers.
const MAX_HEADERS: usize = 64;

/// Time for the client to take the answer and hang up, after which we do.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// Most that is read and thrown away while lingering, in bytes.
const MAX_LINGER_BYTES: u64 = 256 * 1024;

/// Serves one request.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, routes: &Routes) {
    let service = service_fn(|request| async move { Ok::<_, Infallible>(routes.answer(&request).await) });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_header_size(MAX_HEAD_BYTES)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .keep_alive(false)
        .half_close(true)
        .serve_connection(TokioIo::new(&mut *stream), service);
    match timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => routes.count_failure(failure(&error)),
        Err(_) => {
            routes.count_failure(Failure::Slow);
            return;
        }
    }
    linger(stream).await;
}

/// Hangs up in a way that lets the client read the answer: closing while something of it is unread would make the system
/// throw the answer away.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let drain = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(MAX_LINGER_BYTES), &mut tokio::io::sink()).await
    };
    // It makes no difference how it ends: the connection is closed.
    let _ = timeout(LINGER_TIMEOUT, drain).await;
}

fn failure(error: &hyper::Error) -> Failure {
    if error.is_timeout() {
        Failure::Late
    } else if error.is_parse() {
        Failure::Invalid
    } else {
        Failure::Gone
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::DuplexStream;
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::process::testing;

    /// More than fits into the pipe between the two ends, so that whoever does not read is noticed.
    const PIPE_BYTES: usize = 64;

    fn routes() -> Arc<Routes> {
        Arc::new(Routes::new(Arc::new(testing::process("", &["a.sql"])), true))
    }

    /// A client's end; the server's end is served by a task that returns how long that took.
    fn connect(routes: &Arc<Routes>) -> (DuplexStream, tokio::task::JoinHandle<Duration>) {
        let (client, mut server) = tokio::io::duplex(PIPE_BYTES);
        let routes = routes.clone();
        let served = tokio::spawn(async move {
            let start = Instant::now();
            serve(&mut server, &routes).await;
            start.elapsed()
        });
        (client, served)
    }

    async fn ask(routes: &Arc<Routes>, request: &str) -> String {
        let (client, _) = connect(routes);
        let (mut reader, mut writer) = tokio::io::split(client);
        let request = request.to_owned();
        tokio::spawn(async move { writer.write_all(request.as_bytes()).await });
        let mut answer = String::new();
        reader.read_to_string(&mut answer).await.unwrap();
        answer
    }

    fn failures(routes: &Routes) -> Vec<(String, u64)> {
        let samples = routes.metrics().samples();
        let failures = samples.into_iter().filter(|sample| sample.name == "eventflux_admin_failures_total");
        failures.map(|sample| (sample.labels[0].1.clone(), sample.value)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_has_one_answer_and_is_closed_behind_it() {
        let answer = ask(&routes(), "GET /ready HTTP/1.1\r\n\r\nGET /ready HTTP/1.1\r\n\r\n").await;
        assert_eq!(answer.matches("HTTP/1.1 503 ").count(), 1, "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_answer_has_the_length_and_no_body() {
        let length = |answer: &str| {
            let line = answer.lines().find(|line| line.starts_with("content-length: ")).map(str::to_owned);
            line.unwrap_or_else(|| panic!("{answer}"))
        };
        let full = ask(&routes(), "GET /ready HTTP/1.1\r\n\r\n").await;
        let head = ask(&routes(), "HEAD /ready HTTP/1.1\r\n\r\n").await;
        assert_eq!(length(&full), length(&head));
        assert!(head.ends_with("\r\n\r\n") && !full.ends_with("\r\n\r\n"), "{head}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_is_too_large_is_refused() {
        let long = "x".repeat(MAX_HEAD_BYTES);
        let many = "X: y\r\n".repeat(MAX_HEADERS + 1);
        for request in [
            format!("GET /{long} HTTP/1.1\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nX: {long}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\n{many}\r\n"),
        ] {
            let routes = routes();
            let answer = ask(&routes, &request).await;
            assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
            assert_eq!(failures(&routes), [("invalid".to_owned(), 1)]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_http_is_refused() {
        let routes = routes();
        let answer = ask(&routes, "\u{16}\u{3}\u{1} hello\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert_eq!(failures(&routes), [("invalid".to_owned(), 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_hung_up_on() {
        let routes = routes();
        let (_client, served) = connect(&routes);
        let time = served.await.unwrap();
        assert!((HEAD_TIMEOUT..=HEAD_TIMEOUT + LINGER_TIMEOUT).contains(&time), "{time:?}");
        assert_eq!(failures(&routes), [("late".to_owned(), 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_dribbles_is_hung_up_on() {
        let routes = routes();
        let (mut client, served) = connect(&routes);
        tokio::spawn(async move {
            while client.write_all(b"G").await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        });
        let time = served.await.unwrap();
        assert!((HEAD_TIMEOUT..=HEAD_TIMEOUT + LINGER_TIMEOUT).contains(&time), "{time:?}");
        assert_eq!(failures(&routes), [("late".to_owned(), 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_its_answer_is_hung_up_on() {
        let routes = routes();
        let (mut client, served) = connect(&routes);
        client.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(served.await.unwrap(), CONNECTION_TIMEOUT);
        assert_eq!(failures(&routes), [("slow".to_owned(), 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_looks_whether_the_port_is_open_is_no_failure() {
        let routes = routes();
        let (client, served) = connect(&routes);
        drop(client);
        assert_eq!(served.await.unwrap(), Duration::ZERO);
        assert_eq!(failures(&routes), []);
    }
}
