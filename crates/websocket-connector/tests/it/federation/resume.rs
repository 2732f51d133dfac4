//! What happens to events when connections and ends go away.

use eventflux_testkit::proxy::ChaosProxy;

use super::*;

#[test]
fn nothing_is_missing_and_nothing_comes_twice_after_cuts() {
    let sink = listening_sink(&[]);
    let url = sink.detail();
    let address = url.trim_start_matches("ws://").trim_end_matches('/').to_owned();
    let proxy = ChaosProxy::start(address.parse().unwrap());
    let source = connecting_source(&format!("ws://{}/", proxy.address()), &[]);
    for round in 0..20 {
        publish(&sink, round * 100..(round + 1) * 100);
        proxy.reset();
    }
    wait_for(&source, 0..2_000);
    wait_until_settled(&sink);
}
