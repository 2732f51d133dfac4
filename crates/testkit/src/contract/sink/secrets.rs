//! Whether a sink ever shows a secret.

use std::sync::Arc;

use eventflux_core::health::ConnectionState;

use super::{Harness, Outcome, bench::context};
use crate::contract::{
    SinkPeer, SinkRecorder, properties,
    report::{linger, within},
    secrets::{self, Inspector},
};

pub(super) fn secrets_are_never_shown(harness: &Harness) -> Outcome {
    let own = harness.factory().properties();
    let base = harness.peer().properties();
    for planted in secrets::planted(own, &base, harness.secrets(&*harness.peer())) {
        let inspector = Inspector::new(&planted);
        let peer = harness.peer();
        let mut pairs = peer.properties();
        pairs.retain(|(key, _)| *key != planted.key);
        pairs.push((planted.key.clone(), planted.value.clone()));
        secret_is_hidden(harness, &*peer, &pairs, &inspector)?;
        inspector.inspect_logs()?;
    }
    Ok(())
}

/// A short life with a planted secret: created, started, refused, stopped, and looked at from all sides.
fn secret_is_hidden(
    harness: &Harness,
    peer: &dyn SinkPeer,
    pairs: &[(String, String)],
    inspector: &Inspector<'_>,
) -> Outcome {
    let context = context(harness);
    let properties = match properties::resolve(harness.factory().properties(), pairs) {
        Ok(properties) => properties,
        Err(errors) => return inspector.inspect("an error", &errors.join("; ")),
    };
    inspector.inspect("the properties' Debug output", &format!("{properties:?}"))?;
    let sink = match harness.factory().create_initialized(&properties, &context) {
        Ok(sink) => sink,
        Err(error) => return inspector.inspect("an error", &format!("{error} {error:?}")),
    };
    let recorder = Arc::new(SinkRecorder::new());
    let started = sink.start(recorder.clone());
    inspector.inspect("the Debug output of the sink", &format!("{sink:?}"))?;
    peer.refuse();
    peer.cut();
    let published = sink.publish(b"1");
    let reached = sink.validate_connectivity();
    if harness.capabilities().connects {
        // Whether it gets there is for other checks; here it is only to have something to look at.
        let lost = [ConnectionState::Reconnecting, ConnectionState::Failed];
        let _ = within(harness.limits().arrival, "", || lost.contains(&context.health.current().state));
    }
    linger(harness.limits().observation);
    let health = context.health.current();
    sink.stop(harness.limits().promptly);
    for error in [started.err(), published.err(), reached.err()].into_iter().flatten() {
        inspector.inspect("an error", &format!("{error} {error:?}"))?;
    }
    inspector.inspect("a reported failure", &format!("{:?}", recorder.failed()))?;
    inspector.inspect("the health", &format!("{health:?}"))?;
    inspector.inspect("a metric", &format!("{:?}", context.registry))
}
