//! A client that knows the printed envelopes and nothing else.

use std::sync::atomic::{AtomicUsize, Ordering};

use eventflux_testkit::peer::{ClientBuilder, Script, ScriptedClient};
use serde_json::{Value, json};

/// See the module.
pub(super) struct Plain {
    pub(super) peer: ScriptedClient,
    /// Messages that were looked at.
    read: AtomicUsize,
    asked: AtomicUsize,
}

impl Plain {
    #[track_caller]
    pub(super) fn connect(url: &str) -> Self {
        Self::built(ScriptedClient::builder(url))
    }

    #[track_caller]
    pub(super) fn built(builder: ClientBuilder) -> Self {
        Self { peer: builder.connect().blocking(), read: AtomicUsize::new(0), asked: AtomicUsize::new(0) }
    }

    #[track_caller]
    pub(super) fn send(&self, message: &Value) {
        self.peer.send_text(message.to_string()).blocking();
    }

    #[track_caller]
    pub(super) fn send_all(&self, messages: impl IntoIterator<Item = Value>) {
        let texts: Vec<_> = messages.into_iter().map(|message| message.to_string()).collect();
        self.peer.play(Script::new().send_all(texts)).blocking();
    }

    /// The next message that was not looked at yet.
    #[track_caller]
    pub(super) fn next(&self) -> Value {
        let index = self.read.fetch_add(1, Ordering::Relaxed);
        let found = self.peer.wait_for(format!("message {index}"), move |record| {
            record.messages_of(0).nth(index).map(|message| message.as_text().map(str::to_owned))
        });
        let text = found.blocking().unwrap_or_else(|| panic!("message {index} is binary"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// The payloads of the next events.
    #[track_caller]
    pub(super) fn events(&self, count: usize) -> Vec<Value> {
        (0..count).map(|_| payload(self.next(), "data")).collect()
    }

    /// Of the next events, this member.
    #[track_caller]
    pub(super) fn members(&self, member: &str, count: usize) -> Vec<Value> {
        self.events(count).into_iter().map(|mut event| event[member].take()).collect()
    }

    /// Asks, and says by which id.
    #[track_caller]
    pub(super) fn request(&self, method: &str, params: &Value) -> String {
        let id = format!("req-{:03}", self.asked.fetch_add(1, Ordering::Relaxed));
        let payload = json!({ "method": method, "params": params });
        self.send(&json!({ "type": "request", "id": id, "timestamp": 1_704_844_800_000_u64, "payload": payload }));
        id
    }

    /// Asks; the payload of the reply, and of the events that came before it.
    #[track_caller]
    pub(super) fn ask_meanwhile(&self, method: &str, params: &Value) -> (Value, Vec<Value>) {
        let id = self.request(method, params);
        let mut events = Vec::new();
        loop {
            let message = self.next();
            if message["type"] == "reply" && message["id"] == *id {
                return (payload(message, "reply"), events);
            }
            events.push(payload(message, "data"));
        }
    }

    /// Asks where no events come; the payload of the reply.
    #[track_caller]
    pub(super) fn ask(&self, method: &str, params: &Value) -> Value {
        let (reply, events) = self.ask_meanwhile(method, params);
        assert_eq!(events, [Value::Null; 0], "besides the reply to {method}");
        reply
    }

    /// The code of a refusal.
    #[track_caller]
    pub(super) fn refused(&self, method: &str, params: &Value) -> String {
        let reply = self.ask(method, params);
        assert_eq!(reply["status"], "error", "{method} {params}: {reply}");
        assert!(reply["error"]["message"].is_string(), "{reply}");
        reply["error"]["code"].as_str().unwrap().to_owned()
    }
}

fn payload(mut message: Value, kind: &str) -> Value {
    assert_eq!(message["type"], kind, "{message}");
    message["payload"].take()
}
