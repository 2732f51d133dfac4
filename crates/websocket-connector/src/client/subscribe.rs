//! What a source says after every connect, in order, and the replies it waits for. No socket and no clock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use eventflux_core::{EventFluxError, Properties, PropertyKind, Secret, property::PropertyValue};
use eventflux_websocket_wire::Batch;
use serde_json::Value;
use tokio::time::Instant;

use crate::config::positive;

const FIRST: &str = "websocket.subscribe.message";
const NUMBERED: &str = "websocket.subscribe.message.";

/// Largest number of messages.
const MAX_STEPS: u32 = 100;

/// How long a reply may take when nothing else is said.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// One message and the reply to wait for.
#[derive(Debug, Clone)]
pub(crate) struct SubscribeStep {
    number: u32,
    message: Secret,
    expect: Option<Expect>,
    timeout: Duration,
}

/// What a reply must be like.
#[derive(Clone)]
enum Expect {
    /// It is a JSON object with these members.
    Json(Value),
    /// It contains this text.
    Text(String),
}

/// Where one connection is in the list.
#[derive(Debug)]
pub(crate) struct Subscription {
    steps: Arc<[SubscribeStep]>,
    next: usize,
    /// When the reply to the step before `next` is overdue.
    overdue: Option<Instant>,
}

impl SubscribeStep {
    /// The steps in order.
    ///
    /// # Errors
    /// For keys that are no `N`, `N.expect` or `N.timeout`, gaps in the numbers, and replies without a message.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Vec<Self>, EventFluxError> {
        check_keys(properties)?;
        let mut steps = Vec::new();
        for number in 1..=MAX_STEPS {
            let key = key(number);
            let expect = properties.optional_text(&format!("{key}.expect"));
            let Some(message) = properties.optional_text(&key) else {
                let orphan = ["expect", "timeout"].map(|suffix| format!("{key}.{suffix}"));
                if let Some(orphan) = orphan.iter().find(|orphan| properties.is_given(orphan)) {
                    return Err(EventFluxError::property(orphan, format!("has no effect without {key}")));
                }
                continue;
            };
            if message.is_empty() {
                return Err(
                    EventFluxError::property(&key, "is empty").with_hint("write the message, or remove the property")
                );
            }
            if number > 1 && steps.len() + 1 < number as usize {
                let missing = self::key(number - 1);
                return Err(EventFluxError::property(&key, format!("comes after {missing}, which is missing")));
            }
            let timeout = timeout(properties, number, &key)?;
            if expect.is_none() && properties.is_given(&format!("{key}.timeout")) {
                let reason = format!("has no effect without {key}.expect");
                return Err(EventFluxError::property(&format!("{key}.timeout"), reason));
            }
            steps.push(Self {
                number,
                message: Secret::new(message),
                expect: expect.map(|text| Expect::parse(&format!("{key}.expect"), text)).transpose()?,
                timeout,
            });
        }
        Ok(steps)
    }
}

impl Subscription {
    /// Before anything was sent.
    pub(crate) fn new(steps: Arc<[SubscribeStep]>) -> Self {
        Self { steps, next: 0, overdue: None }
    }

    /// Sends what may be sent now: everything up to a message whose reply must be awaited.
    pub(crate) fn advance(&mut self, now: Instant, mut send: impl FnMut(Bytes)) {
        while self.overdue.is_none()
            && let Some(step) = self.steps.get(self.next)
        {
            send(Bytes::copy_from_slice(step.message.expose().as_bytes()));
            self.next += 1;
            self.overdue = step.expect.is_some().then(|| now + step.timeout);
        }
    }

    /// Whether a reply is awaited.
    #[inline]
    pub(crate) fn is_waiting(&self) -> bool {
        self.overdue.is_some()
    }

    /// When the reply is overdue.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.overdue
    }

    /// Takes the awaited reply out of the batch; returns whether it was there.
    pub(crate) fn take_reply(&mut self, batch: &mut Batch) -> bool {
        let Some(expect) = self.awaited().and_then(|step| step.expect.as_ref()) else {
            return false;
        };
        let Some(found) = batch.messages.iter().position(|message| expect.matches(message)) else {
            return false;
        };
        batch.remove(found);
        self.overdue = None;
        true
    }

    /// The reason to give up at `now`, when the reply is overdue.
    pub(crate) fn overdue(&self, now: Instant) -> Option<String> {
        self.overdue.filter(|deadline| *deadline <= now)?;
        let step = self.awaited()?;
        Some(format!(
            "no reply to {} matched {}.expect within {}ms",
            key(step.number),
            key(step.number),
            step.timeout.as_millis()
        ))
    }

    fn awaited(&self) -> Option<&SubscribeStep> {
        self.overdue?;
        self.steps.get(self.next.checked_sub(1)?)
    }
}

impl Expect {
    fn parse(key: &str, text: &str) -> Result<Self, EventFluxError> {
        if !text.trim_start().starts_with('{') {
            return if text.is_empty() {
                Err(EventFluxError::property(key, "is empty"))
            } else {
                Ok(Self::Text(text.to_owned()))
            };
        }
        serde_json::from_str(text).map(Self::Json).map_err(|error| {
            EventFluxError::property(key, format!("starts like a JSON object but is none: {error}"))
                .with_hint("write {\"type\":\"subscriptions\"}, or a text that does not start with '{'")
        })
    }

    fn matches(&self, message: &[u8]) -> bool {
        match self {
            Self::Text(text) => message.windows(text.len()).any(|window| window == text.as_bytes()),
            Self::Json(expected) => {
                serde_json::from_slice(message).is_ok_and(|actual: Value| is_within(expected, &actual))
            }
        }
    }
}

impl fmt::Debug for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Whether `actual` has every member of `expected`; anything but objects must be equal.
fn is_within(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            expected.iter().all(|(key, value)| actual.get(key).is_some_and(|actual| is_within(value, actual)))
        }
        (expected, actual) => expected == actual,
    }
}

fn key(number: u32) -> String {
    if number == 1 { FIRST.to_owned() } else { format!("{NUMBERED}{number}") }
}

fn timeout(properties: &Properties, number: u32, key: &str) -> Result<Duration, EventFluxError> {
    let key = format!("{key}.timeout");
    if number == 1 {
        return positive(properties, &key);
    }
    let Some(text) = properties.optional_text(&key) else {
        return Ok(DEFAULT_TIMEOUT);
    };
    match PropertyKind::Duration.parse(text, None) {
        Some(PropertyValue::Duration(timeout)) if !timeout.is_zero() => Ok(timeout),
        _ => Err(EventFluxError::property(&key, "is not allowed").with_hint(PropertyKind::Duration.allowed())),
    }
}

fn check_keys(properties: &Properties) -> Result<(), EventFluxError> {
    for (rest, _) in properties.prefixed(NUMBERED) {
        let (number, suffix) = rest.split_once('.').unwrap_or((rest, ""));
        let numbered = number.parse().is_ok_and(|parsed: u32| {
            (2..=MAX_STEPS).contains(&parsed)
                && parsed.to_string() == number
                && matches!(suffix, "" | "expect" | "timeout")
        });
        if !numbered && rest != "expect" && rest != "timeout" {
            let error = EventFluxError::property(&format!("{NUMBERED}{rest}"), "is not known here");
            return Err(error.with_hint(format!("write {FIRST}.2 up to .{MAX_STEPS}, each with .expect and .timeout")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::SOURCE_PROPERTIES;

    fn steps(raw: &[(&str, &str)]) -> Result<Vec<SubscribeStep>, EventFluxError> {
        let all = [&[("websocket.url", "ws://h")], raw].concat();
        SubscribeStep::from_properties(&Properties::from_pairs(SOURCE_PROPERTIES, all.iter().copied())?)
    }

    fn batch(messages: &[&'static str]) -> Batch {
        let mut batch = Batch::default();
        batch.messages.extend(messages.iter().map(|text| Bytes::from_static(text.as_bytes())));
        batch
    }

    #[test]
    fn messages_go_out_in_order_and_wait_for_their_replies() {
        let steps = steps(&[
            ("websocket.subscribe.message", "login"),
            ("websocket.subscribe.message.expect", "{\"event\":\"login\",\"data\":{\"ok\":true}}"),
            ("websocket.subscribe.message.2", "a"),
            ("websocket.subscribe.message.3", "b"),
            ("websocket.subscribe.message.3.expect", "subscribed"),
            ("websocket.subscribe.message.3.timeout", "2s"),
        ]);
        let now = Instant::now();
        let mut subscription = Subscription::new(steps.unwrap().into());
        let mut sent = Vec::new();
        subscription.advance(now, |message| sent.push(message));
        assert_eq!(sent, ["login"]);
        let mut early = batch(&["{\"event\":\"login\",\"data\":{\"ok\":false}}", "tick"]);
        assert!(!subscription.take_reply(&mut early));
        let mut reply = batch(&["tick", "{\"data\":{\"ok\":true,\"user\":1},\"event\":\"login\"}", "tock"]);
        assert!(subscription.take_reply(&mut reply));
        assert_eq!(reply.messages, ["tick", "tock"]);
        subscription.advance(now, |message| sent.push(message));
        assert_eq!(sent, ["login", "a", "b"]);
        assert_eq!(subscription.deadline(), Some(now + Duration::from_secs(2)));
        assert_eq!(subscription.overdue(now + Duration::from_secs(1)), None);
        let reason = subscription.overdue(now + Duration::from_secs(2)).unwrap();
        assert!(reason.contains("websocket.subscribe.message.3.expect within 2000ms"), "{reason}");
        assert!(subscription.take_reply(&mut batch(&["yes, subscribed"])));
        assert!(!subscription.is_waiting());
    }

    #[test]
    fn keys_that_mean_nothing_are_refused_by_name() {
        for (key, value) in [
            ("websocket.subscribe.message", ""),
            ("websocket.subscribe.message.1", "x"),
            ("websocket.subscribe.message.02", "x"),
            ("websocket.subscribe.message.3", "x"),
            ("websocket.subscribe.message.2.expct", "x"),
            ("websocket.subscribe.message.2.expect", "x"),
            ("websocket.subscribe.message.timeout", "5s"),
            ("websocket.subscribe.message.expect", "x"),
        ] {
            let error = steps(&[(key, value)]).unwrap_err().to_string();
            assert!(error.contains(key), "{key}: {error}");
        }
        for (key, value) in [
            ("websocket.subscribe.message.expect", "{\"a\":"),
            ("websocket.subscribe.message.expect", ""),
            ("websocket.subscribe.message.2.timeout", "soon"),
        ] {
            let raw = [("websocket.subscribe.message", "x"), ("websocket.subscribe.message.2", "x"), (key, value)];
            let error = steps(&raw).unwrap_err().to_string();
            assert!(error.contains(key), "{key}: {error}");
        }
    }

    #[test]
    fn the_debug_form_shows_no_message() {
        let steps =
            steps(&[("websocket.subscribe.message", "hunter2"), ("websocket.subscribe.message.expect", "hunter3")]);
        let shown = format!("{:?}", steps.unwrap());
        assert!(!shown.contains("hunter"), "{shown}");
    }
}
