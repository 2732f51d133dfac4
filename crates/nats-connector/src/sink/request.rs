//! Asking: each event is a request, sent at most once, whose answer goes to the source of the same exchange.
//!
//! A request that was sent when the connection was lost is not sent again, since nobody knows whether it was worked on:
//! it is answered with the status `disconnected`, and so is one that found no connection for as long as an answer may
//! take. Answers that come later, or twice, are counted and dropped.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::client::PublishErrorKind;
use async_nats::{Client, Message, StatusCode, Subject, Subscriber};
use bytes::Bytes;
use eventflux_core::metrics::Metrics;
use eventflux_core::{EventFluxError, Properties, Template};
use eventflux_nats::Connection;
use eventflux_nats::connection::{Operation, Violation};
use futures_util::StreamExt;
use tokio::time::{Instant, sleep, sleep_until};

use super::asked::{Asked, Request};
use super::{Work, closed, connects, next_violation};
use crate::replies::{self, Answer, Asking, Way};

/// Requests that were answered, by what became of them.
const REQUESTS: &str = "eventflux_nats_requests_total";

/// Answers to requests that needed none any more.
const LATE: &str = "eventflux_nats_answers_late_total";

/// What a service says went wrong, by the convention of NATS services.
const SERVICE_ERROR: &str = "Nats-Service-Error";

/// The longest goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// Time between two looks at the connection while requests are open: what was sent on one that is lost has no answer.
const LOOK: Duration = Duration::from_millis(100);

/// Most bytes of requests that are taken at a time.
const TAKE_BYTES: usize = 1 << 20;

/// How a sink asks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RequestConfig {
    /// The exchange at which its answers are heard.
    pub(crate) name: String,
    /// Most requests that wait for an answer.
    pub(crate) max_requests: usize,
    correlation: Option<Template>,
    timeout: Duration,
}

impl RequestConfig {
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        const TIMEOUT: &str = "nats.request.timeout";
        let timeout = properties.duration(TIMEOUT)?;
        if timeout.is_zero() {
            let error = EventFluxError::property(TIMEOUT, "leaves no time for an answer");
            return Err(error.with_hint("for example 5s"));
        }
        Ok(Self {
            name: crate::config::name(properties, "nats.request")?,
            max_requests: properties.integer("nats.max.requests")?,
            correlation: properties.template("nats.correlation")?,
            timeout,
        })
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Ok,
    Timeout,
    NoResponders,
    Disconnected,
    Error,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Timeout => "timeout",
            Self::NoResponders => "no_responders",
            Self::Disconnected => "disconnected",
            Self::Error => "error",
        }
    }
}

/// Runs until it is stopped or gives up.
pub(super) async fn run(config: &RequestConfig, asking: &Asking, work: &Work) -> Result<(), EventFluxError> {
    replies::describe(&work.context.registry);
    describe(&work.context.registry);
    let mut desk = Desk { config, asking, work, asked: Asked::default(), answers: VecDeque::new() };
    let connection = tokio::select! {
        biased;
        connection = work.connect() => connection,
        never = desk.wait_for_connection() => match never {},
    };
    let result = match connection {
        Ok(Some(connection)) => desk.serve(&connection).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    // What has its answer is not asked again, nor reported.
    desk.give_away();
    work.outbox.rewind();
    result
}

fn describe(registry: &Metrics) {
    registry
        .describe(REQUESTS, "Requests that were answered, by status: ok, timeout, no_responders, disconnected, error.");
    registry.describe(LATE, "Answers to requests that had timed out, or had an answer already.");
}

/// The requests and answers of a sink.
struct Desk<'a> {
    config: &'a RequestConfig,
    asking: &'a Asking,
    work: &'a Work,
    asked: Asked,
    /// Answers that wait for the source, each with the number of its request.
    answers: VecDeque<(u64, Answer)>,
}

/// What can happen whether there is a connection or not.
enum Always {
    Work,
    Overdue,
    Way(Way),
}

enum Happened {
    Done,
    GaveUp(EventFluxError),
    Reconnected,
    Look,
    Violation(Option<Violation>),
    Answer(Option<Message>),
    Always(Always),
}

impl Desk<'_> {
    /// Requests are answered also while there is no connection yet: with the status `disconnected`, in time.
    async fn wait_for_connection(&mut self) -> std::convert::Infallible {
        loop {
            let happened = self.always().await;
            self.handle(happened);
        }
    }

    async fn serve(&mut self, connection: &Connection) -> Result<(), EventFluxError> {
        let client = connection.client();
        let mut violations = connection.violations();
        let mut line = Line::open(client).await?;
        let mut reconnected = Box::pin(connection.reconnected());
        let mut given_up = Box::pin(connection.given_up());
        let result = loop {
            if self.work.signal.is_stopped() && self.work.outbox.len() == 0 {
                break Ok(());
            }
            if connection.is_connected() && self.asked.has_held() {
                tokio::select! {
                    biased;
                    () = self.work.nothing_to_do() => break Ok(()),
                    error = &mut given_up => break Err(error),
                    sent = self.send(client, &line) => sent?,
                }
            }
            let happened = tokio::select! {
                biased;
                () = self.work.nothing_to_do() => Happened::Done,
                error = &mut given_up => Happened::GaveUp(error),
                () = &mut reconnected => Happened::Reconnected,
                violation = next_violation(&mut violations) => Happened::Violation(violation),
                answer = line.subscriber.next() => Happened::Answer(answer),
                happened = self.always() => Happened::Always(happened),
                () = sleep(LOOK), if self.asked.len() > 0 => Happened::Look,
            };
            match happened {
                Happened::Done => break Ok(()),
                Happened::GaveUp(error) => break Err(error),
                Happened::Reconnected => {
                    reconnected = Box::pin(connection.reconnected());
                    self.work.context.metrics.reconnects.increment();
                    self.lost(Some(connects(client)));
                }
                Happened::Look if connection.is_connected() => {}
                Happened::Look => self.lost(None),
                Happened::Violation(Some(violation)) => self.refused(&violation, &line),
                // Those requests have no answer in time.
                Happened::Violation(None) => {}
                Happened::Answer(Some(message)) => self.answered(message, &line),
                Happened::Answer(None) => break Err(closed("the connection has ended")),
                Happened::Always(happened) => self.handle(happened),
            }
        };
        self.work.goodbye(connection, GOODBYE).await;
        // Their answers will not come any more.
        self.lost(None);
        result
    }

    async fn always(&self) -> Always {
        let open = self.asked.len() + self.answers.len();
        let never = Instant::now() + Duration::from_secs(86_400);
        tokio::select! {
            biased;
            way = self.asking.way(), if !self.answers.is_empty() => Always::Way(way),
            () = sleep_until(self.asked.deadline().unwrap_or(never)) => Always::Overdue,
            () = self.work.outbox.work(), if open < self.config.max_requests => Always::Work,
        }
    }

    fn handle(&mut self, happened: Always) {
        match happened {
            Always::Work => {
                let room = self.config.max_requests.saturating_sub(self.asked.len() + self.answers.len());
                let deadline = Instant::now() + self.config.timeout;
                for event in self.work.outbox.take(room, TAKE_BYTES) {
                    self.asked.hold(event, deadline);
                }
            }
            Always::Overdue => {
                for request in self.asked.overdue(Instant::now()) {
                    let status = if request.is_sent() { Status::Timeout } else { Status::Disconnected };
                    self.fail(request, status, status.name());
                }
            }
            Always::Way(Way::Open(permit)) => {
                if let Some((number, answer)) = self.answers.pop_front() {
                    permit.send(answer);
                    self.work.outbox.done(number);
                }
            }
            Always::Way(Way::Ended) => self.drop_answers(),
        }
    }

    /// Sends what is held.
    async fn send(&mut self, client: &Client, line: &Line) -> Result<(), EventFluxError> {
        let connection = connects(client);
        while let Some(event) = self.asked.send(connection) {
            let number = event.number;
            let (address, payload) = (event.address.clone(), event.payload.clone());
            let (subject, reply) = (address.subject, line.reply(number));
            let published = match address.headers {
                Some(headers) => client.publish_with_reply_and_headers(subject, reply, headers, payload).await,
                None => client.publish_with_reply(subject, reply, payload).await,
            };
            let Err(error) = published else { continue };
            if error.kind() == PublishErrorKind::Send {
                return Err(closed(error));
            }
            self.asked.take(number);
            self.work.outbox.failed(number, EventFluxError::Send { reason: error.to_string(), retryable: false });
        }
        Ok(())
    }

    fn answered(&mut self, mut message: Message, line: &Line) {
        let request = line.number(&message.subject).and_then(|number| self.asked.take(number));
        let Some(request) = request else {
            self.count(LATE, &[]);
            return;
        };
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            return self.fail(request, Status::NoResponders, Status::NoResponders.name());
        }
        let service_error = message.headers.as_ref().and_then(|headers| headers.get(SERVICE_ERROR));
        if let Some(text) = service_error.map(ToString::to_string) {
            return self.fail(request, Status::Error, &text);
        }
        message.subject = request.event.address.subject.clone();
        self.keep(&request, message, Status::Ok);
    }

    /// Nobody knows what became of what was sent on another connection.
    fn lost(&mut self, connection: Option<u64>) {
        for request in self.asked.lost(connection) {
            self.fail(request, Status::Disconnected, Status::Disconnected.name());
        }
    }

    fn refused(&mut self, violation: &Violation, line: &Line) {
        if violation.operation == Operation::Publish {
            for request in self.asked.sent_to(&violation.subject) {
                self.fail(request, Status::Error, &violation.to_string());
            }
        } else if violation.subject.starts_with(&line.inbox) {
            let stream = &self.work.context.stream;
            log::error!("[{stream}] {violation}: no answer can arrive (permit it, or set nats.inbox.prefix)");
        }
    }

    /// Answers a request that has no answer.
    fn fail(&mut self, request: Request, status: Status, reason: &str) {
        let payload = serde_json::json!({ "error": reason }).to_string();
        let message = Message {
            subject: request.event.address.subject.clone(),
            reply: None,
            length: payload.len(),
            payload: Bytes::from(payload),
            headers: None,
            status: None,
            description: None,
        };
        self.keep(&request, message, status);
    }

    fn keep(&mut self, request: &Request, message: Message, status: Status) {
        self.count(REQUESTS, &[("status", status.name())]);
        let event = &request.event;
        let correlation = self.config.correlation.as_ref().map(|template| template.text(&event.batch, event.row));
        let correlation = correlation.unwrap_or_default().to_owned();
        self.answers.push_back((event.number, Answer { message, correlation, status: status.name() }));
    }

    /// Hands over what the source takes at once; the rest will not be heard.
    fn give_away(&mut self) {
        use futures_util::FutureExt;
        while !self.answers.is_empty() {
            match self.asking.way().now_or_never() {
                Some(way) => self.handle(Always::Way(way)),
                None => self.drop_answers(),
            }
        }
    }

    fn drop_answers(&mut self) {
        for (number, _) in std::mem::take(&mut self.answers) {
            self.count(replies::UNHEARD, &[]);
            self.work.outbox.done(number);
        }
    }

    fn count(&self, name: &'static str, more: &[(&'static str, &str)]) {
        let context = &self.work.context;
        let mut labels = vec![("stream", &*context.stream), ("type", &*context.connector)];
        labels.extend(more);
        context.registry.counter(name, &labels).increment();
    }
}

/// Where answers arrive.
struct Line {
    inbox: String,
    subscriber: Subscriber,
}

impl Line {
    async fn open(client: &Client) -> Result<Self, EventFluxError> {
        let inbox = client.new_inbox();
        let subscriber = client.subscribe(format!("{inbox}.*")).await.map_err(closed)?;
        Ok(Self { inbox, subscriber })
    }

    fn reply(&self, number: u64) -> Subject {
        format!("{}.{number}", self.inbox).into()
    }

    fn number(&self, subject: &str) -> Option<u64> {
        subject.strip_prefix(&*self.inbox)?.strip_prefix('.')?.parse().ok()
    }
}
