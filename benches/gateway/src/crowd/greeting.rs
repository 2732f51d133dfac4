//! What a client says before messages come: the request to become a WebSocket, and how it subscribes.

use std::net::SocketAddr;

use serde_json::json;

use super::message::topic_name;
use crate::job::{CHANNEL, Job, Language, Protocol};

/// Where publishers connect to.
const PUBLISH_PATH: &str = "/in";
/// Where subscribers connect to.
const SUBSCRIBE_PATH: &str = "/out";

/// Whom a client greets as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Sends messages.
    Publisher,
    /// The subscriber of this number.
    Subscriber(usize),
    /// Subscribes to everything.
    Frozen,
}

/// A text message to say, and what has to be heard before the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// What is said, as a message of the connection's language.
    pub(super) say: String,
    /// A part of the answer; where there is none, nothing is waited for.
    pub(super) hear: Option<&'static str>,
}

/// The request of a WebSocket handshake.
pub(super) fn request(address: SocketAddr, part: Part) -> String {
    let path = if part == Part::Publisher { PUBLISH_PATH } else { SUBSCRIBE_PATH };
    format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// What a client of NATS says; it has heard `PONG` when the gateway knows of its subscription.
pub(super) fn nats(part: Part) -> String {
    let subscription = if part == Part::Publisher { String::new() } else { format!("SUB {CHANNEL} 1\r\n") };
    format!("CONNECT {{\"verbose\":false,\"pedantic\":false}}\r\n{subscription}PING\r\n")
}

/// What a WebSocket client says after its handshake.
pub(super) fn steps(job: &Job, part: Part) -> Vec<Step> {
    match (job.language, part) {
        (_, Part::Publisher) | (Language::WebSocket(Protocol::Raw) | Language::Nats | Language::NatsWebSocket, _) => {
            Vec::new()
        }
        (Language::WebSocket(Protocol::Channels), _) => vec![Step {
            say: json!({"type": "subscribe", "data": {"channels": [CHANNEL]}}).to_string(),
            hear: Some(r#""subscribe_response""#),
        }],
        (Language::WebSocket(Protocol::Analytics), _) => analytics(topics(job, part)),
        (Language::WebSocket(Protocol::Events), _) => vec![Step {
            say: json!({"type": "subscribe", "events": patterns(topics(job, part))}).to_string(),
            hear: Some(r#""subscribed""#),
        }],
    }
}

/// The topics a client asks for; `None` for all.
fn topics(job: &Job, part: Part) -> Option<Vec<String>> {
    let Part::Subscriber(number) = part else { return None };
    Some(job.work.topics_of(number)?.into_iter().map(topic_name).collect())
}

fn analytics(topics: Option<Vec<String>>) -> Vec<Step> {
    let filters = match topics.as_deref() {
        None => json!({}),
        Some([topic]) => json!({"topic": topic}),
        Some(topics) => json!({"topic": topics}),
    };
    vec![
        Step { say: json!({"type": "auth", "data": {"token": "bench"}}).to_string(), hear: Some(r#""auth_success""#) },
        // No answer is promised; that messages come will show.
        Step {
            say: json!({"type": "subscribe", "data": {"type": "events", "filters": filters}}).to_string(),
            hear: None,
        },
    ]
}

fn patterns(topics: Option<Vec<String>>) -> Vec<String> {
    topics.map_or_else(|| vec!["*".to_owned()], |topics| topics.iter().map(|topic| format!("{topic}.*")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Audience, Task, Work};

    fn job(protocol: Protocol, audience: Audience) -> Job {
        Job {
            address: ([127, 0, 0, 1], 80).into(),
            language: Language::WebSocket(protocol),
            entrance: None,
            work: Work { subscribers: 10, frozen: 0, audience, task: Task::Idle { first: 1 } },
        }
    }

    #[test]
    fn raw_clients_say_nothing_and_publishers_do_not_subscribe() {
        assert!(steps(&job(Protocol::Raw, Audience::Everyone), Part::Subscriber(0)).is_empty());
        assert!(steps(&job(Protocol::Channels, Audience::Everyone), Part::Publisher).is_empty());
        assert!(!nats(Part::Publisher).contains("SUB"));
    }

    #[test]
    fn a_filter_names_the_subscribers_own_topic() {
        let steps = steps(&job(Protocol::Analytics, Audience::Split { topics: 1 }), Part::Subscriber(7));
        assert_eq!(steps[0].say, r#"{"data":{"token":"bench"},"type":"auth"}"#);
        assert!(steps[1].say.contains(r#""filters":{"topic":"S00007"}"#), "{}", steps[1].say);
    }

    #[test]
    fn patterns_cover_the_subscribers_own_topics() {
        let job = job(Protocol::Events, Audience::Split { topics: 2 });
        let say = |part| steps(&job, part)[0].say.clone();
        assert!(say(Part::Subscriber(3)).contains(r#"["S00003.*","S00013.*"]"#));
        assert!(say(Part::Frozen).contains(r#"["*"]"#));
    }

    #[test]
    fn publishers_and_subscribers_ask_for_different_paths() {
        let address = ([127, 0, 0, 1], 80).into();
        assert!(request(address, Part::Publisher).starts_with("GET /in HTTP/1.1\r\nHost: 127.0.0.1:80\r\n"));
        assert!(request(address, Part::Frozen).starts_with("GET /out HTTP/1.1\r\n"));
    }
}
