//! What a connector developer tests a connector with: scripted WebSocket peers and clients, a chaos proxy, a message
//! collector, waiting without sleeping, log capture, and the contract suite every source and sink has to pass.
//!
//! | need | use |
//! |---|---|
//! | a server that behaves, or misbehaves, exactly as written down | [`peer::ScriptedPeer`] |
//! | a client that does the same to a server under test | [`peer::ScriptedClient`] |
//! | certificates that are valid, expired, self-signed or for another name | [`tls::TestCertificates`] |
//! | a network that is slow, sliced, cut or silent | [`proxy::ChaosProxy`] |
//! | to count what arrived and find what was lost, doubled or reordered | [`collector::Collector`], [`sequence`] |
//! | a real nats-server with JetStream, that can be killed and restarted | [`nats::NatsServer`] |
//! | to wait for a condition with a deadline | [`wait`] |
//! | to assert that a secret was never logged and that a warning was | [`log_capture::LogCapture`] |
//! | the checks every connector has to pass | [`contract`] |
//!
//! # Threads and time
//! Everything here runs on threads of its own, started with the first use. A test may therefore be an ordinary
//! `#[test]` or a `#[tokio::test]`, and may block its own thread (in `Source::stop`, say) without stopping the peer it
//! talks to. Deadlines are in real time, also where the test has paused tokio's clock.
//!
//! # Failing
//! This crate is for tests, so helpers panic, and the message names the line of the test that waited, what it waited
//! for and what was seen instead. Nothing here belongs into a running system.

pub mod collector;
pub mod contract;
pub mod log_capture;
pub mod nats;
pub mod peer;
pub mod proxy;
pub mod sequence;
pub mod tls;
pub mod wait;

mod listener;
mod runtime;

/// The message of a caught panic.
fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("of an unknown kind")
}
