//! Everything this binary can run: one register line per crate.

use eventflux_core::EventFluxContext;

/// The registry with every connector and format of this build.
pub(crate) fn context() -> EventFluxContext {
    let mut context = EventFluxContext::new();
    eventflux_mappers::register(&mut context);
    eventflux_websocket_connector::register(&mut context);
    eventflux_local_connectors::register(&mut context);
    eventflux_udp_connector::register(&mut context);
    eventflux_objectstore_connector::register(&mut context);
    eventflux_nats_connector::register(&mut context);
    context
}
