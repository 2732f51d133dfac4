//! The channels of a path over plain HTTP: server-sent events, and messages by `POST`, with real sockets.

mod client;
mod publish;
mod recovery;
mod streams;
