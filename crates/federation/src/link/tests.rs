//! Links in simulated time: one with a peer that knows the plain protocol only, and two back to back.

mod linked;
mod methods;
mod oversized;
mod peers_requests;
mod replay;
mod requests;
mod stand_ins;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::envelope::Content;
use crate::requests::{Reply, Request, To};
use crate::{Counters, FederationConfig, FullPolicy, History, Outlet, OutletConfig, OutletCounters, Wants};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// Bytes that a connection takes at once.
const MAX_BYTES: usize = 64 * 1024;

/// One place in simulated time.
struct Place {
    federation: Arc<Federation>,
    now: Now,
}

impl Place {
    fn new(config: FederationConfig) -> Self {
        let now = Now { at: Instant::now(), unix_ms: 1_704_844_800_000 };
        Self { federation: Federation::new(config, Counters::default(), now), now }
    }

    fn outlet(&self, stream: &str, queue_bytes: usize) -> Arc<Outlet> {
        let config = OutletConfig {
            stream: stream.to_owned(),
            content: Content::Json,
            queue_bytes,
            full: FullPolicy::Block,
            history: History { events: 10_000, bytes: 1 << 20, age: Duration::from_secs(3_600) },
            max_receivers: 4,
            forget_after: Duration::from_secs(3_600),
            expects_receiver: false,
        };
        let outlet = Arc::new(Outlet::new(config, OutletCounters::default()));
        assert!(self.federation.add_outlet(outlet.clone()));
        outlet
    }

    /// A peer that knows the plain protocol only.
    fn plain_peer(&self) -> Plain {
        let opening = Opening { connection: "plain".to_owned(), agreed: false, receiver: None };
        let link = Link::new(&self.federation, opening, self.now).unwrap();
        Plain { link, now: self.now, asked: 0 }
    }

    fn accept_requests(&self) {
        self.federation.accept(Wants { requests: true, replies: true, ..Wants::default() });
    }
}

/// The link of a peer that knows the plain protocol only, and what that peer does.
struct Plain {
    link: Link,
    now: Now,
    asked: u64,
}

impl Plain {
    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    fn send(&mut self, message: &Value) {
        self.send_text(&message.to_string());
    }

    fn send_text(&mut self, text: &str) {
        self.link.receive(&Bytes::copy_from_slice(text.as_bytes()), false, self.now).unwrap();
    }

    /// Everything that comes without time passing, as texts.
    fn read_texts(&mut self) -> Vec<String> {
        let mut texts = Vec::new();
        loop {
            let mut out = Vec::new();
            self.link.transmit(self.now, MAX_BYTES, &mut out).unwrap();
            self.link.flushed();
            if out.is_empty() && !self.link.mailbox.signal().register(std::task::Waker::noop()) {
                return texts;
            }
            texts.extend(out.into_iter().map(|message| String::from_utf8(message.text.into()).unwrap()));
        }
    }

    fn read(&mut self) -> Vec<Value> {
        self.read_texts().iter().map(|text| serde_json::from_str(text).unwrap()).collect()
    }

    /// What comes as time passes, in steps of a millisecond at most.
    fn read_for(&mut self, time: Duration) -> Vec<Value> {
        let end = self.now.at + time;
        let mut messages = self.read();
        while self.now.at < end {
            let due = self.link.deadline().unwrap_or(end).min(end);
            self.pass(due.max(self.now.at + MILLISECOND) - self.now.at);
            messages.extend(self.read());
        }
        messages
    }

    fn send_request(&mut self, method: &str, params: &Value) -> String {
        self.asked += 1;
        let id = format!("req-{:03}", self.asked);
        let payload = json!({"method": method, "params": params});
        self.send(&json!({"type": "request", "id": id, "timestamp": 1_704_844_800_000_u64, "payload": payload}));
        id
    }

    /// The payload of the reply, and what came besides.
    fn ask_and_read(&mut self, method: &str, params: &Value) -> (Value, Vec<Value>) {
        let id = self.send_request(method, params);
        let mut messages = self.read();
        let reply = messages.iter().position(|message| message["type"] == "reply" && message["id"] == *id).unwrap();
        (messages.remove(reply)["payload"].take(), messages)
    }

    /// The payload of the reply.
    fn ask(&mut self, method: &str, params: &Value) -> Value {
        let (reply, others) = self.ask_and_read(method, params);
        assert_eq!(others, [Value::Null; 0], "besides the reply to {method}");
        reply
    }

    /// The code of the error, and its message.
    fn refused(&mut self, method: &str, params: &Value) -> (String, String) {
        let reply = self.ask(method, params);
        assert_eq!(reply["status"], "error", "{method} {params}: {reply}");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&reply["error"]["code"]), text(&reply["error"]["message"]))
    }

    fn result(&mut self, method: &str, params: &Value) -> Value {
        let mut reply = self.ask(method, params);
        assert_eq!(reply["status"], "ok", "{method} {params}: {reply}");
        reply["result"].take()
    }

    /// What the pipeline got.
    fn arrived(&mut self) -> Vec<Arrival> {
        self.link.arrived().unwrap().map_or_else(Vec::new, |arrived| arrived.arrivals)
    }
}

/// The payloads of the events among messages.
fn events(messages: &[Value]) -> Vec<&Value> {
    messages.iter().filter(|message| message["type"] == "data").map(|message| &message["payload"]).collect()
}

/// `{"n": 0}`, `{"n": 1}`, ...
fn publish(outlet: &Outlet, numbers: std::ops::Range<u64>, now: Now) {
    let payloads: Vec<_> = numbers.map(|number| json!({ "n": number }).to_string()).collect();
    outlet.publish(payloads.iter().map(String::as_bytes), now);
}

fn numbers(messages: &[Value]) -> Vec<u64> {
    events(messages).into_iter().map(|payload| payload["n"].as_u64().unwrap()).collect()
}

/// Collects replies.
#[derive(Clone, Default)]
struct Replies(Arc<Mutex<Vec<Reply>>>);

impl Replies {
    fn request(&self, method: &str, params: &Value) -> Request {
        let replies = self.0.clone();
        Request {
            method: method.to_owned(),
            params: params.to_string().into(),
            timeout: None,
            correlation: Some("ours".into()),
            then: Arc::new(move |reply| replies.lock().unwrap().push(reply)),
        }
    }

    fn take(&self) -> Vec<Reply> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn ask_all(place: &Place, replies: &Replies, method: &str) -> usize {
    place.federation.request(To::All, replies.request(method, &json!({}))).unwrap()
}
