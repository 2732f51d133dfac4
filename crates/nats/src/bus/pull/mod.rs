//! Reading a stream in order through a consumer of one's own, without acknowledgements: whoever reads knows how far it got,
//! and opens another one from there when this one is lost.
//!
//! The server sends what it was asked for and no more, so that a reader that is behind delays nothing else on its connection.

mod demand;

use std::fmt;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, pull};
use async_nats::jetstream::stream::Stream;
use async_nats::{HeaderMap, Message, StatusCode, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::ReadyChunks;
use tokio::time::{Instant, timeout_at};

use self::demand::Demand;

/// Most messages that are handed over at once.
pub(super) const BATCH_MESSAGES: usize = 1024;

/// How long a request waits at the server.
const REQUEST: Duration = Duration::from_secs(30);

/// How often the server says that a request still waits.
const HEARTBEAT: Duration = Duration::from_secs(3);

/// How long it may say nothing: two heartbeats, and some time on the way.
const SILENCE: Duration = Duration::from_secs(8);

/// When the server forgets a consumer that nobody asks.
const INACTIVE: Duration = Duration::from_secs(90);

/// How the server says that the next message does not fit a request (ADR-37).
const TOO_LARGE: &str = "Message Size Exceeds MaxBytes";

/// Where it says how much of a request is left (ADR-37).
const LEFT: &str = "Nats-Pending-Messages";

/// A message of a stream.
#[derive(Debug)]
pub(super) struct Pulled {
    pub(super) sequence: u64,
    pub(super) subject: Subject,
    pub(super) headers: Option<HeaderMap>,
    pub(super) payload: Bytes,
}

/// Why a consumer is of no use any more: a text for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost(pub(super) String);

/// A consumer.
pub(super) struct Puller {
    consumer: Consumer<pull::Config>,
    inbox: Subject,
    messages: ReadyChunks<Subscriber>,
    /// Reads what the server says of a message; one for all of them.
    reader: jetstream::Message,
    demand: Demand,
    /// The consumer's own number of the last message: one that is left out was lost on the way.
    delivered: u64,
    /// Whether the server has nothing to send.
    drained: bool,
    silent_at: Instant,
    lost: Option<Lost>,
}

impl Puller {
    /// Opens a consumer that begins where `from` says; `filter`: of these subjects, or of all when it is empty.
    pub(super) async fn open(
        context: jetstream::Context,
        stream: &Stream,
        from: DeliverPolicy,
        filter: String,
    ) -> Result<Self, Lost> {
        let client = context.client();
        let inbox = Subject::from(client.new_inbox());
        let messages = client.subscribe(inbox.clone()).await.map_err(Lost::from_error)?;
        let config = pull::Config {
            deliver_policy: from,
            filter_subject: filter,
            ack_policy: AckPolicy::None,
            inactive_threshold: INACTIVE,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await.map_err(Lost::from_error)?;
        let drained = consumer.cached_info().num_pending == 0;
        Ok(Self {
            consumer,
            inbox,
            messages: messages.ready_chunks(BATCH_MESSAGES),
            reader: jetstream::Message { message: empty(), context },
            demand: Demand::new(),
            delivered: 0,
            drained,
            silent_at: Instant::now() + SILENCE,
            lost: None,
        })
    }

    /// Whether the server had nothing more to send when it sent what was handed over last.
    pub(super) fn is_drained(&self) -> bool {
        self.drained
    }

    /// The next messages, or none when the server says that there are none now. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Vec<Pulled>, Lost> {
        loop {
            if let Some(lost) = &self.lost {
                return Err(lost.clone());
            }
            self.request().await?;
            let silence = |_| Lost(format!("the server has said nothing for {} s", SILENCE.as_secs()));
            let chunk = timeout_at(self.silent_at, self.messages.next()).await.map_err(silence)?;
            self.silent_at = Instant::now() + SILENCE;
            let drained = self.drained;
            let mut pulled = Vec::new();
            for message in chunk.ok_or_else(|| Lost("the connection has ended".to_owned()))? {
                match self.take(message) {
                    Ok(Some(message)) => pulled.push(message),
                    Ok(None) => {}
                    Err(lost) => {
                        self.lost = Some(lost);
                        break;
                    }
                }
            }
            if !pulled.is_empty() || drained != self.drained {
                return Ok(pulled);
            }
        }
    }

    async fn request(&mut self) -> Result<(), Lost> {
        let Some(ask) = self.demand.ask() else { return Ok(()) };
        let batch = pull::BatchConfig {
            batch: ask.messages,
            max_bytes: ask.bytes,
            expires: Some(REQUEST),
            idle_heartbeat: HEARTBEAT,
            ..pull::BatchConfig::default()
        };
        self.consumer.request_batch(batch, self.inbox.clone()).await.map_err(Lost::from_error)?;
        self.demand.asked(ask);
        Ok(())
    }

    fn take(&mut self, message: Message) -> Result<Option<Pulled>, Lost> {
        if let Some(status) = message.status {
            return self.note(status, &message).map(|()| None);
        }
        self.reader.message = message;
        let info = self.reader.info().map_err(|_| Lost("the server sent what is no message of a stream".to_owned()))?;
        let (sequence, delivered, pending) = (info.stream_sequence, info.consumer_sequence, info.pending);
        if delivered != self.delivered + 1 {
            return Err(Lost("messages were lost on the way".to_owned()));
        }
        self.delivered = delivered;
        self.drained = pending == 0;
        self.demand.received();
        let Message { subject, headers, payload, .. } = std::mem::replace(&mut self.reader.message, empty());
        Ok(Some(Pulled { sequence, subject, headers, payload }))
    }

    /// A status instead of a message.
    fn note(&mut self, status: StatusCode, message: &Message) -> Result<(), Lost> {
        let description = message.description.as_deref().unwrap_or_default();
        let header = |headers: &HeaderMap| headers.get(LEFT).and_then(|left| left.as_str().parse().ok());
        let left = message.headers.as_ref().and_then(header);
        match status {
            // A request waits, or has waited its time: there is nothing to send.
            StatusCode::IDLE_HEARTBEAT => self.drained = true,
            StatusCode::TIMEOUT => {
                self.drained = true;
                self.demand.ended(left);
            }
            _ if description == TOO_LARGE => self.demand.too_large(left),
            StatusCode::NO_RESPONDERS => return Err(Lost("the consumer does not exist any more".to_owned())),
            _ => return Err(Lost(format!("the server ended the consumer: {status} {description}"))),
        }
        Ok(())
    }
}

fn empty() -> Message {
    Message {
        subject: Subject::from_static(""),
        reply: None,
        payload: Bytes::new(),
        headers: None,
        status: None,
        description: None,
        length: 0,
    }
}

impl Lost {
    /// Errors of the library name the request, and nothing secret.
    pub(super) fn from_error(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}
