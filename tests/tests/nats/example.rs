//! Examples of the repository, at ports of the test's own; and a client of NATS beside them.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use async_nats::Client;
use eventflux_core::EventFluxContext;
use eventflux_testkit::nats::NatsServer;
use eventflux_testkit::wait::eventually_some_blocking;
use eventflux_tests::repository;
use futures_util::StreamExt;
use tokio::runtime::Runtime;

use super::support::{self, DEADLINE, Pipeline};

/// The connectors and formats a program would have.
pub(super) fn context() -> EventFluxContext {
    let mut context = support::context();
    eventflux_nats_connector::register(&mut context);
    context
}

/// The text of examples, one after the other, connected to this server, listening at free ports.
#[track_caller]
pub(super) fn sql(names: &[&str], server: &NatsServer) -> String {
    let read = |name: &&str| std::fs::read_to_string(repository().join("examples/nats").join(name)).unwrap();
    let text: String = names.iter().map(read).collect();
    let text = replaced(&text, "${env:NATS_URL:", &server.url());
    replaced(&text, "${env:LISTEN:", "127.0.0.1:0")
}

/// Examples that run.
#[track_caller]
pub(super) fn run(names: &[&str], server: &NatsServer) -> Pipeline {
    Pipeline::start_with(&sql(names, server), &context(), |_| ())
}

/// Where a stream of a pipeline listens.
#[track_caller]
pub(super) fn url_of(pipeline: &Pipeline, stream: &str) -> String {
    let look = || {
        let mut all = pipeline.flux.status().into_iter();
        all.find_map(|status| status.health.detail.filter(|url| status.stream == stream && url.starts_with("ws://")))
    };
    eventually_some_blocking(DEADLINE, look)
}

/// The text with `value` instead of each variable that begins with `start`.
#[track_caller]
fn replaced(text: &str, start: &str, value: &str) -> String {
    let mut parts = text.split(start);
    let mut replaced = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        replaced.push_str(value);
        replaced.push_str(part.split_once('}').unwrap().1);
    }
    replaced
}

/// Runs a future of a client of NATS.
#[track_caller]
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().unwrap()).block_on(future)
}

/// A client of NATS.
pub(super) fn connect(server: &NatsServer) -> Client {
    block_on(async_nats::connect(server.url())).unwrap()
}

/// A service that answers every request at `subject`, once it hears.
pub(super) fn serve(client: &Client, subject: &str, answer: impl Fn(&str, &[u8]) -> String + Send + 'static) {
    block_on(async {
        let mut requests = client.subscribe(subject.to_owned()).await.unwrap();
        // A request of our own: the server has worked on what was sent before.
        let _ = client.request("nobody.is.here", "".into()).await;
        let client = client.clone();
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                if let Some(reply) = request.reply.clone() {
                    client.publish(reply, answer(&request.subject, &request.payload).into()).await.unwrap();
                }
            }
        });
    });
}

/// Asks until somebody is there to answer.
#[track_caller]
pub(super) fn ask(client: &Client, subject: &str, payload: &'static str) -> String {
    block_on(async {
        let answered = async {
            loop {
                match client.request(subject.to_owned(), payload.into()).await {
                    Ok(answer) => return String::from_utf8(answer.payload.to_vec()).unwrap(),
                    Err(error) if error.kind() == async_nats::RequestErrorKind::NoResponders => {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        };
        tokio::time::timeout(DEADLINE, answered).await.unwrap()
    })
}
