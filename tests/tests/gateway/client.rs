//! A client that speaks JSON, and reads what it gets one message after the other.

use std::sync::atomic::{AtomicUsize, Ordering};

use eventflux_testkit::peer::{ClientBuilder, Ending, HttpAnswer, Message, Refused, Script, ScriptedClient};
use serde_json::{Value, json};

/// See the module.
pub(super) struct Client {
    pub(super) peer: ScriptedClient,
    /// Messages that were looked at.
    read: AtomicUsize,
}

impl Client {
    #[track_caller]
    pub(super) fn connect(url: &str) -> Self {
        Self::of(ScriptedClient::connect(url).blocking())
    }

    #[track_caller]
    pub(super) fn built(builder: ClientBuilder) -> Self {
        Self::of(builder.connect().blocking())
    }

    fn of(peer: ScriptedClient) -> Self {
        Self { peer, read: AtomicUsize::new(0) }
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

    /// The next messages.
    #[track_caller]
    pub(super) fn take(&self, count: usize) -> Vec<Value> {
        (0..count).map(|_| self.next()).collect()
    }

    /// Sends this, and reads what comes next.
    #[track_caller]
    pub(super) fn ask(&self, message: &Value) -> Value {
        self.send(message);
        self.next()
    }

    /// A message with this text in it comes, perhaps behind others.
    #[track_caller]
    pub(super) fn receives(&self, text: &str) {
        let wanted = text.to_owned();
        let has = move |message: &Message| message.as_text().is_some_and(|text| text.contains(&wanted));
        self.peer
            .wait_for(format!("a message with {text}"), move |record| record.messages_of(0).any(&has).then_some(()))
            .blocking();
    }

    /// Subscribes in the channels protocol.
    #[track_caller]
    pub(super) fn subscribe(&self, channels: &[&str]) {
        let answer = self.ask(&json!({"type": "subscribe", "data": {"channels": channels}}));
        assert_eq!((&answer["type"], &answer["data"]["subscribed"]), (&json!("subscribe_response"), &json!(channels)));
    }

    /// The server ends the connection with this code and reason.
    #[track_caller]
    pub(super) fn is_closed(&self, code: u16, reason: &str) {
        let ending = self.peer.wait_for_end().blocking();
        assert_eq!(ending, Ending::Closed { code: Some(code), reason: reason.to_owned() });
    }

    /// Whether the connection is still there.
    pub(super) fn is_open(&self) -> bool {
        self.peer.record().endings.is_empty()
    }

    /// Goes, with a goodbye.
    #[track_caller]
    pub(super) fn leave(self) {
        self.peer.close(1000, "").blocking();
    }
}

/// The HTTP answer to a client that is not let in.
#[track_caller]
pub(super) fn refusal(builder: ClientBuilder) -> HttpAnswer {
    match builder.attempt().blocking() {
        Err(Refused::Http(answer)) => answer,
        other => panic!("not refused by a status: {other:?}"),
    }
}
