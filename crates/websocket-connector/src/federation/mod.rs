//! The protocol `federation`: a place where links meet sources and sinks, in both roles.
//!
//! What is said over a link is decided in `eventflux-federation`, which knows no socket. Here is what drives it: a
//! [`Place`] for each path that is listened at and each connection that is opened, a [`Side`] for each connection, an
//! [`Inlet`] for each source, and an [`Outflow`] for each sink.

mod arriving;
mod asking;
mod attached;
mod client;
mod config;
mod control;
mod counters;
mod driver;
mod health;
mod ineffective;
mod inlet;
mod input_metrics;
mod items;
mod metadata;
mod observe;
mod outflow;
mod output_metrics;
mod place;
mod pool;
mod renewal;
mod requester;
mod servers;
mod sharing;
mod side;
mod source;
mod store;

pub(crate) use arriving::Arriving;
pub(crate) use attached::{LinkSink, LinkSource, attach};
pub(crate) use client::{ClientLinks, ClientMember};
pub(crate) use config::{ControlConfig, FederationSettings, InletConfig, OutflowConfig, Sending};
pub(crate) use config::{health_limits, is_federation};
pub(crate) use counters::of as counters_of;
pub(crate) use ineffective::refuse_switched_off;
pub(crate) use inlet::Inlet;
pub(crate) use items::{Delivered, Peer};
pub(crate) use observe::Observed;
pub(crate) use outflow::Outflow;
pub(crate) use place::Place;
pub(crate) use pool::{PoolConfig, PoolPolicy};
pub use requester::{Message, Messages, RequestFailure, Requester, RequesterOptions};
pub(crate) use side::Side;
pub(crate) use source::FederatedSource;

/// The value of `websocket.protocol`.
pub(crate) const PROTOCOL: &str = "federation";
