//! Client mode: connecting out, staying connected, and coming back.

mod connect;
mod error;
mod outbox;
mod reconnect;
mod sink;
mod sink_task;
mod source;
mod subscribe;

pub(crate) use connect::Connector;
pub(crate) use error::ConnectError;
pub(crate) use reconnect::{Next, Reconnect, ReconnectPolicy};
pub(crate) use sink::ClientSink;
pub(crate) use source::ClientSource;
pub(crate) use subscribe::SubscribeStep;
