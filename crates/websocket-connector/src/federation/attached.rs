//! A source or sink at its place, whichever end opens the connection.

use std::sync::Arc;
use std::time::Duration;

use eventflux_core::health::ConnectionState::{self, Connected, Connecting, Listening, Reconnecting};
use eventflux_core::health::HealthReporter;
use eventflux_core::{
    BoxFuture, ConnectorContext, EncodedBatch, EventFluxError, RowFailure, SinkCallback, SourceCallback,
};
use eventflux_federation::health::{HealthLimits, Mode as LinkMode};
use tokio::time::Instant;

use super::control::ControlFlow;
use super::place::Listener;
use super::pool::Balance;
use super::{
    Arriving, ClientLinks, ClientMember, FederatedSource, Inlet, InletConfig, Observed, Outflow, Place, PoolPolicy,
    Sending,
};
use crate::config::{ConnectionConfig, Mode};
use crate::server::{Attachment, Declaration, Member, Registry};

/// How it got there. Must be detached.
#[derive(Debug)]
pub(crate) enum Attached {
    /// It listens.
    Path {
        attachment: Box<Attachment>,
        /// Its state says whether anybody is connected.
        _listener: Option<Listener>,
    },
    /// It connects.
    Connection(ClientMember),
    /// It connects to each of several servers.
    Connections(Vec<ClientMember>, PoolPolicy),
}

/// A source; started.
#[derive(Debug)]
pub(crate) struct LinkSource {
    attached: Attached,
    place: Arc<Place>,
    inlet: Arc<Inlet>,
    source: FederatedSource,
}

/// A sink; started.
#[derive(Debug)]
pub(crate) struct LinkSink {
    attached: Attached,
    flow: Flow,
    health: HealthReporter,
    _observed: Option<Observed>,
}

/// What becomes of the events of a sink.
#[derive(Debug)]
enum Flow {
    Events(Outflow),
    Balanced(Balance),
    Control(ControlFlow),
}

/// Takes its place: at the path where it listens, or at a connection.
///
/// # Errors
/// [`EventFluxError::Configuration`] when the address cannot be bound, or others there say otherwise.
pub(crate) fn attach(
    registry: &Arc<Registry>,
    mode: &Mode,
    declaration: Option<&Declaration>,
    connection: &ConnectionConfig,
    context: &ConnectorContext,
    arriving: Option<&Arriving>,
) -> Result<Attached, EventFluxError> {
    match (mode, declaration) {
        (Mode::Server(server), Some(declaration)) => {
            let member = Member { context: context.clone(), inbox: None };
            let attachment = registry.attach(server, declaration, member)?;
            let listener = attachment.endpoint().place().map(|place| place.listen(&context.health, attachment.url()));
            log::info!("[{}] takes part in links at {}", context.stream, attachment.url());
            Ok(Attached::Path { attachment: Box::new(attachment), _listener: listener })
        }
        (Mode::Client(client), _) => {
            // Whoever speaks this protocol has settings, and was expected.
            let settings = client.federation.as_ref().ok_or(EventFluxError::Stopped)?;
            let arriving = arriving.ok_or(EventFluxError::Stopped)?;
            let policy = client.pool.as_ref().map(|pool| &pool.policy);
            if let Some(policy) = policy.filter(|policy| **policy != PoolPolicy::Failover) {
                let is_one_place = *policy == PoolPolicy::All;
                let members =
                    ClientLinks::attach_to_each(client, connection, settings, context, is_one_place, arriving)?;
                return Ok(Attached::Connections(members, policy.clone()));
            }
            let member = registry.links().attach(client, connection, settings, context, arriving)?;
            Ok(Attached::Connection(member))
        }
        // Who listens has said where.
        (Mode::Server(_), None) => Err(EventFluxError::Stopped),
    }
}

impl Attached {
    /// # Errors
    /// When the path serves another protocol.
    fn place(&self) -> Result<&Arc<Place>, EventFluxError> {
        match self {
            Self::Connection(member) => Ok(member.place()),
            // A pool has servers.
            Self::Connections(members, _) => members.first().map(ClientMember::place).ok_or(EventFluxError::Stopped),
            Self::Path { attachment, .. } => attachment.endpoint().place().ok_or_else(|| {
                let reason = "differs from what another source or sink says of the path";
                EventFluxError::property("websocket.protocol", reason)
            }),
        }
    }

    fn opens(&self) -> LinkMode {
        match self {
            Self::Path { .. } => LinkMode::Server,
            Self::Connection(_) | Self::Connections(..) => LinkMode::Client,
        }
    }

    fn detach(&self, by: Instant) {
        match self {
            Self::Path { attachment, .. } => attachment.detach(by),
            Self::Connection(member) => member.detach(by),
            Self::Connections(members, _) => members.iter().for_each(|member| member.detach(by)),
        }
    }
}

impl LinkSource {
    /// Takes part in the place, and starts to deliver.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub(crate) fn start(
        attached: Attached,
        config: &InletConfig,
        context: ConnectorContext,
        callback: Arc<dyn SourceCallback>,
    ) -> Result<Self, EventFluxError> {
        let started = attached.place().cloned().and_then(|place| {
            let inlet = Inlet::new(config.clone(), context);
            let source = FederatedSource::start(inlet.clone(), callback)?;
            place.add_inlet(inlet.clone());
            Ok((place, inlet, source))
        });
        match started {
            Ok((place, inlet, source)) => Ok(Self { attached, place, inlet, source }),
            Err(error) => {
                attached.detach(Instant::now());
                Err(error)
            }
        }
    }

    /// Shows it, until what this returns is dropped: longer than it runs.
    pub(crate) fn observed(&self, limits: HealthLimits) -> Observed {
        Observed::source(&self.inlet, &self.place, self.attached.opens(), limits)
    }

    /// Delivers what was received, and leaves the place.
    pub(crate) fn stop(&self, deadline: Duration) {
        let by = Instant::now() + deadline;
        // What is here is delivered, and acknowledged: a peer that has been told that nothing is wanted does not listen.
        self.source.stop(deadline * 2 / 3);
        self.place.remove_inlet(&self.inlet);
        self.attached.detach(by);
        // The connection may have changed its state while it was still there.
        stopped(&self.inlet.context().health);
    }
}

impl LinkSink {
    /// Takes part in the place.
    ///
    /// # Errors
    /// Those of [`Outflow::start`].
    pub(crate) fn start(
        attached: Attached,
        sending: &Sending,
        context: ConnectorContext,
        callback: Arc<dyn SinkCallback>,
    ) -> Result<Self, EventFluxError> {
        let health = context.health.clone();
        let started = attached.place().and_then(|place| {
            Ok(match (sending, &attached) {
                (Sending::Events(config), Attached::Connections(members, PoolPolicy::Balance(share))) => {
                    Flow::Balanced(Balance::start(members, share, config, context, &callback)?)
                }
                (Sending::Events(config), _) => Flow::Events(Outflow::start(place, config, context, callback)?),
                (Sending::Control(config), _) => Flow::Control(ControlFlow::new(place, config, context)),
            })
        });
        match started {
            Ok(flow) => {
                let observed = match &flow {
                    Flow::Events(outflow) => Some(outflow.observed(attached.opens())),
                    // Its parts are.
                    Flow::Balanced(_) => None,
                    Flow::Control(control) => Some(control.observed(attached.opens())),
                };
                Ok(Self { attached, flow, health, _observed: observed })
            }
            Err(error) => {
                attached.detach(Instant::now());
                Err(error)
            }
        }
    }

    /// # Errors
    /// The first payload that cannot be sent.
    pub(crate) fn publish(&self, batch: &EncodedBatch) -> Result<(), RowFailure> {
        match &self.flow {
            Flow::Events(outflow) => outflow.publish(batch),
            Flow::Balanced(balance) => balance.publish(batch),
            Flow::Control(control) => control.publish(batch),
        }
    }

    /// Whether it takes more.
    pub(crate) fn is_ready(&self) -> bool {
        match &self.flow {
            Flow::Events(outflow) => outflow.is_ready(),
            Flow::Balanced(balance) => balance.is_ready(),
            Flow::Control(_) => true,
        }
    }

    /// Resolves when it takes more.
    pub(crate) fn ready(&self) -> BoxFuture<'_, ()> {
        match &self.flow {
            Flow::Events(outflow) => outflow.ready(),
            Flow::Balanced(balance) => Box::pin(balance.ready()),
            Flow::Control(_) => Box::pin(std::future::ready(())),
        }
    }

    /// See [`Outflow::settled`]. A request or a reply is settled when its link has it: it is sent at most once.
    pub(crate) fn settled(&self) -> BoxFuture<'static, Result<(), EventFluxError>> {
        match &self.flow {
            Flow::Events(outflow) => outflow.settled(),
            Flow::Balanced(balance) => balance.settled(),
            Flow::Control(_) => Box::pin(std::future::ready(Ok(()))),
        }
    }

    /// Sends what waits, and leaves the place; returns the events that are neither acknowledged nor stored.
    pub(crate) fn stop(&self, deadline: Duration) -> u64 {
        let by = Instant::now() + deadline;
        let undelivered = match &self.flow {
            Flow::Events(outflow) => outflow.stop(deadline),
            Flow::Balanced(balance) => balance.stop(deadline),
            Flow::Control(_) => 0,
        };
        self.attached.detach(by);
        stopped(&self.health);
        undelivered
    }
}

/// Who has given up stays so.
fn stopped(health: &HealthReporter) {
    health.pass(&[Connecting, Connected, Listening, Reconnecting], ConnectionState::Stopped);
}
