//! Between a window of messages and the connection: what is sent, what is answered, and what happens to the connection.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_nats::header::{NATS_EXPECTED_STREAM, NATS_MESSAGE_ID};
use async_nats::message::OutboundMessage;
use async_nats::{Client, HeaderMap, HeaderValue, Message, Statistics, Subscriber};
use eventflux_core::{BoxFuture, EventFluxError};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::sync::broadcast;
use tokio::time::Sleep;

use super::answer::{self, Answer, Reason};
use super::report::Report;
use super::window::{Limits, Window};
use super::{Outcome, Outgoing, PublisherConfig};
use crate::connection::{Operation, Violation};
use crate::{Connection, Observer, subject};

/// Bytes after which the client has to have written everything before more is given to it. What waits within the client
/// when the connection is lost, the client sends by itself as soon as it is back, before what was lost is repeated: so that
/// is kept short, and a connection that stands still keeps no more than this there.
const BURST_BYTES: usize = 48 * 1024;

/// What a message costs on the wire besides what is counted, about.
const OVERHEAD_BYTES: usize = 200;

/// Answers that are read before something else is done.
const MAX_ANSWERS: usize = 512;

/// How long a message may be confirmed after the server said that messages to its subject are not permitted: those that were
/// stored before are.
const DENIED_TIMEOUT: Duration = Duration::from_millis(500);

pub(super) struct Driver {
    client: Client,
    connection: Connection,
    stream: HeaderValue,
    config: PublisherConfig,
    window: Window<Outgoing>,
    /// What the ids begin with of messages that brought none: short, for the server keeps all of them for a while.
    ids: String,
    /// Where answers come, with the last dot.
    inbox: String,
    answers: Answers,
    statistics: Arc<Statistics>,
    /// How often the connection was there, when that was seen last.
    connects: u64,
    reconnected: BoxFuture<'static, ()>,
    violated: BoxFuture<'static, (broadcast::Receiver<Violation>, Option<Violation>)>,
    /// Bytes given to the client since it had written everything.
    unwritten: usize,
    written: Option<BoxFuture<'static, ()>>,
    timer: Option<Pin<Box<Sleep>>>,
    report: Report,
}

enum Answers {
    Opening(BoxFuture<'static, Option<Subscriber>>),
    Open(Subscriber),
    /// The connection has ended.
    Closed,
}

impl Driver {
    pub(super) fn new(connection: &Connection, config: PublisherConfig, observer: &Observer) -> Self {
        let client = connection.client().clone();
        let inbox = format!("{}.", client.new_inbox());
        let statistics = client.statistics();
        let connects = statistics.connects.load(Ordering::Relaxed);
        let limits = Limits {
            messages: config.in_flight.max(1),
            ack_timeout: config.ack_timeout,
            denied_timeout: DENIED_TIMEOUT.min(config.ack_timeout),
            retry: config.retry,
            max_attempts: config.max_attempts,
        };
        Self {
            answers: Answers::Opening(open(client.clone(), format!("{inbox}*")).boxed()),
            connection: connection.clone(),
            stream: HeaderValue::from(config.stream.as_str()),
            window: Window::new(limits),
            ids: format!("{:x}-", uuid::Uuid::new_v4().as_u64_pair().0),
            reconnected: connection.reconnected().boxed(),
            violated: violation(connection.violations()).boxed(),
            unwritten: 0,
            written: None,
            timer: None,
            report: Report::new(observer),
            client,
            config,
            inbox,
            statistics,
            connects,
        }
    }

    pub(super) fn window(&self) -> &Window<Outgoing> {
        &self.window
    }

    pub(super) fn lacks_stream(&self) -> bool {
        self.report.reason() == Some(Reason::NoStream)
    }

    pub(super) fn push(&mut self, message: Outgoing) -> u64 {
        self.window.push(message)
    }

    pub(super) fn take(&mut self) -> Option<Outcome> {
        let outcome = self.window.take()?;
        if let Outcome::Stored { duplicate, .. } = outcome {
            self.report.stored(duplicate);
        }
        if !self.window.is_repeating() {
            self.report.works();
        }
        Some(outcome)
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        loop {
            if let Some(outcome) = self.take() {
                return Poll::Ready(outcome);
            }
            let now = tokio::time::Instant::now().into_std();
            let mut progress = self.poll_answers(cx, now);
            progress |= self.poll_connection(cx);
            progress |= self.poll_violations(cx, now);
            if self.connection.is_connected() {
                progress |= self.expire(now);
                progress |= self.poll_send(cx, now);
                progress |= self.poll_timer(cx, now);
            }
            self.report.in_flight(self.window.under_way());
            if !progress {
                return Poll::Pending;
            }
        }
    }

    fn poll_answers(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        if let Answers::Opening(opening) = &mut self.answers
            && let Poll::Ready(subscriber) = opening.poll_unpin(cx)
        {
            self.answers = subscriber.map_or(Answers::Closed, Answers::Open);
        }
        for count in 0..MAX_ANSWERS {
            let Answers::Open(subscriber) = &mut self.answers else { return count > 0 };
            match subscriber.poll_next_unpin(cx) {
                Poll::Ready(Some(message)) => self.answered(&message, now),
                Poll::Ready(None) => self.answers = Answers::Closed,
                Poll::Pending => return count > 0,
            }
        }
        true
    }

    fn answered(&mut self, message: &Message, now: Instant) {
        let Some((number, attempt)) = message.subject.strip_prefix(&*self.inbox).and_then(parse_token) else { return };
        match answer::read(message, &self.config.stream) {
            Some(Answer::Stored { sequence, duplicate }) => self.window.stored(number, sequence, duplicate),
            Some(Answer::Failed(text)) => {
                self.window.failed(number, attempt, self.error(&text, false));
            }
            Some(Answer::Refused(reason, text))
                if self.window.refused(number, attempt, self.error(&text, true), now) =>
            {
                self.report.retries(reason, 1);
                self.report.trouble(reason, &self.config.stream, &text);
            }
            Some(Answer::Refused(..)) | None => {}
        }
    }

    fn poll_connection(&mut self, cx: &mut Context<'_>) -> bool {
        while self.reconnected.poll_unpin(cx).is_ready() {
            self.reconnected = self.connection.reconnected().boxed();
        }
        // The truth, also of what happened while nobody looked.
        let connects = self.statistics.connects.load(Ordering::Relaxed);
        if std::mem::replace(&mut self.connects, connects) == connects {
            return false;
        }
        self.written = None;
        self.unwritten = 0;
        self.report.retries(Reason::Reconnect, self.window.lost());
        true
    }

    fn poll_violations(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Poll::Ready((receiver, violation)) = self.violated.poll_unpin(cx) else { return false };
        let Some(violation) = violation else {
            // Nobody can say anything any more.
            self.violated = std::future::pending().boxed();
            return false;
        };
        self.violated = self::violation(receiver).boxed();
        match violation.operation {
            Operation::Publish => {
                let concerns = |message: &Outgoing| message.subject.as_str() == violation.subject;
                self.window.deny(concerns, &violation.to_string(), now);
            }
            Operation::Subscribe if violation.subject.starts_with(&self.inbox) => {
                let text = format!("{violation}, where it confirms messages");
                self.report.trouble(Reason::Timeout, &self.config.stream, &text);
            }
            Operation::Subscribe => {}
        }
        true
    }

    fn expire(&mut self, now: Instant) -> bool {
        let under_way = self.window.under_way();
        let late = self.window.expire(now);
        if late > 0 {
            self.report.retries(Reason::Timeout, late);
            let text = format!("no confirmation within {:?}", self.config.ack_timeout);
            self.report.trouble(Reason::Timeout, &self.config.stream, &text);
        }
        self.window.under_way() < under_way
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut progress = false;
        if !matches!(self.answers, Answers::Open(_)) {
            return progress;
        }
        while self.poll_written(cx) && self.window.can_send(now) {
            match self.client.poll_ready_unpin(cx) {
                Poll::Ready(Ok(())) => self.send(now),
                Poll::Ready(Err(_)) => self.answers = Answers::Closed,
                Poll::Pending => return progress,
            }
            progress = true;
        }
        progress
    }

    /// Whether the client has written enough of what it was given.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> bool {
        if self.unwritten < BURST_BYTES {
            return matches!(self.answers, Answers::Open(_));
        }
        let client = &self.client;
        let written = self.written.get_or_insert_with(|| flush(client.clone()).boxed());
        let is_written = written.poll_unpin(cx).is_ready();
        if is_written {
            self.written = None;
            self.unwritten = 0;
        }
        is_written
    }

    /// Gives the next message to the client, which has room for it.
    fn send(&mut self, now: Instant) {
        let Some(sending) = self.window.send(now) else { return };
        let (number, attempt, message) = (sending.number, sending.attempt, sending.message);
        let error = match subject::check(&message.subject) {
            Err(reason) => Some(reason.to_owned()),
            Ok(()) => {
                let mut headers = message.headers.clone().unwrap_or_default();
                match &message.id {
                    Some(id) => headers.insert(NATS_MESSAGE_ID, id.as_str()),
                    None => headers.insert(NATS_MESSAGE_ID, format!("{}{number:x}", self.ids)),
                }
                headers.insert(NATS_EXPECTED_STREAM, self.stream.clone());
                self.unwritten += message.payload.len() + size(&headers) + OVERHEAD_BYTES;
                let outbound = OutboundMessage {
                    subject: message.subject.clone(),
                    reply: Some(format!("{}{number:x}-{attempt:x}", self.inbox).into()),
                    payload: message.payload.clone(),
                    headers: Some(headers),
                };
                self.client.start_send_unpin(outbound).err().map(|error| error.to_string())
            }
        };
        if let Some(reason) = error {
            self.window.failed(number, attempt, self.error(&reason, false));
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Some(at) = self.window.deadline(now).map(tokio::time::Instant::from_std) else { return false };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        timer.poll_unpin(cx).is_ready()
    }

    fn error(&self, text: &str, retryable: bool) -> EventFluxError {
        EventFluxError::Send { reason: format!("stream {}: {text}", self.config.stream), retryable }
    }
}

async fn open(client: Client, pattern: String) -> Option<Subscriber> {
    client.subscribe(pattern).await.ok()
}

async fn flush(client: Client) {
    // That the connection has ended is noticed elsewhere.
    let _ = client.flush().await;
}

async fn violation(
    mut receiver: broadcast::Receiver<Violation>,
) -> (broadcast::Receiver<Violation>, Option<Violation>) {
    loop {
        match receiver.recv().await {
            Ok(violation) => return (receiver, Some(violation)),
            // What was missed is noticed by its missing confirmation, and said again when it is sent again.
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return (receiver, None),
        }
    }
}

/// Number and attempt from the last token of the subject of an answer.
fn parse_token(token: &str) -> Option<(u64, u32)> {
    let (number, attempt) = token.split_once('-')?;
    Some((u64::from_str_radix(number, 16).ok()?, u32::from_str_radix(attempt, 16).ok()?))
}

fn size(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, values)| {
            values.iter().map(|value| AsRef::<str>::as_ref(name).len() + value.as_str().len()).sum::<usize>()
        })
        .sum()
}
