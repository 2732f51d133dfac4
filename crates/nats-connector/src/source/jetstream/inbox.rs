//! Where the messages of a consumer come, and where acknowledgements go.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;

use async_nats::message::OutboundMessage;
use async_nats::{Client, Message, Subject, Subscriber};
use bytes::Bytes;
use eventflux_core::EventFluxError;
use futures_util::{FutureExt, SinkExt, StreamExt};

use super::config::JetStreamConfig;
use super::pulls::Request;

/// It is settled.
pub(super) const ACK: &[u8] = b"+ACK";
/// It is being worked on.
pub(super) const PROGRESS: &[u8] = b"+WPI";
/// It is given back.
pub(super) const NAK: &[u8] = b"-NAK";

/// Pulls, messages and acknowledgements of one consumer.
#[derive(Debug)]
pub(super) struct Inbox {
    client: Client,
    /// What the subjects of pulls begin with, with the last dot.
    prefix: String,
    /// Where to ask for messages.
    source: Subject,
    subscriber: Subscriber,
    outgoing: VecDeque<OutboundMessage>,
}

impl Inbox {
    pub(super) async fn open(client: &Client, config: &JetStreamConfig) -> Result<Self, EventFluxError> {
        let prefix = format!("{}.", client.new_inbox());
        let subscriber = client.subscribe(format!("{prefix}*")).await.map_err(|error| ended(&error))?;
        let source = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", config.stream.name, config.consumer);
        Ok(Self { client: client.clone(), prefix, source: source.into(), subscriber, outgoing: VecDeque::new() })
    }

    /// The next message, or what the server says about a pull; `None` when the connection has ended.
    pub(super) async fn next(&mut self) -> Option<Message> {
        self.subscriber.next().await
    }

    /// The next one that is here.
    pub(super) fn try_next(&mut self) -> Option<Message> {
        self.subscriber.next().now_or_never().flatten()
    }

    /// The pull that `message` is about.
    pub(super) fn pull_of(&self, message: &Message) -> Option<u64> {
        message.subject.strip_prefix(&*self.prefix)?.parse().ok()
    }

    /// Asks for messages.
    pub(super) fn ask(&mut self, request: Request) {
        let mut text = format!("{{\"batch\":{},\"expires\":{}", request.messages, request.expires.as_nanos());
        if let Some(bytes) = request.bytes {
            text.push_str(&format!(",\"max_bytes\":{bytes}"));
        }
        text.push('}');
        self.outgoing.push_back(OutboundMessage {
            subject: self.source.clone(),
            reply: Some(format!("{}{}", self.prefix, request.id).into()),
            payload: text.into(),
            headers: None,
        });
    }

    /// Says something about a message, where its reply subject says.
    pub(super) fn say(&mut self, reply: Subject, what: &'static [u8]) {
        let payload = Bytes::from_static(what);
        self.outgoing.push_back(OutboundMessage { subject: reply, reply: None, payload, headers: None });
    }

    /// Whether something waits to be sent.
    pub(super) fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Takes back pulls that were not sent: the consumer is another one, or the connection. Returns which.
    pub(super) fn withdraw_pulls(&mut self) -> Vec<u64> {
        let (prefix, mut withdrawn) = (&*self.prefix, Vec::new());
        self.outgoing.retain(|message| {
            let id: Option<u64> = message.reply.as_ref().and_then(|reply| reply.strip_prefix(prefix)?.parse().ok());
            withdrawn.extend(id);
            id.is_none()
        });
        withdrawn
    }

    /// Gives what waits to the client, as far as it has room. Resolves when it has taken everything. Cancel safe.
    ///
    /// # Errors
    /// When the connection has ended.
    pub(super) async fn send(&mut self) -> Result<(), EventFluxError> {
        let Self { client, outgoing, .. } = self;
        poll_fn(|cx| {
            while !outgoing.is_empty() {
                match client.poll_ready_unpin(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(ended(&error))),
                    Poll::Pending => return Poll::Pending,
                }
                if let Some(message) = outgoing.pop_front() {
                    client.start_send_unpin(message).map_err(|error| ended(&error))?;
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }
}

fn ended(error: &dyn std::fmt::Display) -> EventFluxError {
    EventFluxError::ConnectionUnavailable { endpoint: "NATS".to_owned(), reason: error.to_string(), retryable: true }
}
