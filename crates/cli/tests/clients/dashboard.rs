//! The dashboard in Chromium, opened as a file.

use eventflux_testkit::proxy::ChaosProxy;
use serde_json::Value;

use super::program::Program;
use super::runtimes::{page, path};
use super::server::Server;
use super::support::DEADLINE;

const EXAMPLE: &str = "examples/gateway/dashboard.sql";
const STREAMS: [&str; 1] = ["Trades"];

/// Trades that are published while the page is away.
const MISSED: f64 = 10.0;

const LIVE: &str = "document.getElementById('state').dataset.state === 'live'";
const WAITING: &str = "document.getElementById('state').dataset.state === 'waiting'";

#[test]
fn trades_appear_and_a_filter_narrows_them() {
    let (server, port) = Server::anywhere(EXAMPLE, &STREAMS);
    let Some(mut dashboard) = open(port) else { return };
    dashboard.until(LIVE);
    dashboard.until(&rows_are("new Set(symbols).size === 3 && symbols.length > 10"));
    dashboard.until("document.querySelectorAll('#cards .card').length === 3");
    assert!(is_drawn_upon(&mut dashboard), "the chart is empty");

    dashboard.enter("#filter", "symbol = 'BTC' AND notional > 20000");
    dashboard.until("document.getElementById('note').textContent.includes('notional > 20000')");
    dashboard.until(&rows_are("symbols.length > 5"));
    assert_eq!(dashboard.evaluate(&rows_are("symbols.every((symbol) => symbol === 'BTC')")), true);

    dashboard.enter("#filter", "symbol ==== 'BTC'");
    dashboard.until("document.getElementById('note').className === 'wrong'");
    let before = dashboard.evaluate(NEWEST).as_u64().unwrap();
    dashboard.until(&format!("{NEWEST} > {before}"));
    assert_eq!(
        dashboard.evaluate(&rows_are("symbols.every((symbol) => symbol === 'BTC')")),
        true,
        "the old filter stays"
    );

    dashboard.enter("#filter", "");
    dashboard.until(&rows_are("new Set(symbols).size === 3"));
    assert_eq!(server.metric("websocket_connections_total"), 1.0, "all over one connection");
    server.stop();
}

#[test]
fn after_an_interruption_it_goes_on_where_it_was() {
    let (server, port) = Server::anywhere(EXAMPLE, &STREAMS);
    let proxy = ChaosProxy::start(([127, 0, 0, 1], port).into());
    let Some(mut dashboard) = open(proxy.address().port()) else { return };
    dashboard.until(LIVE);
    dashboard.until(&rows_are("symbols.length > 10"));
    let before = dashboard.evaluate(NEWEST).as_u64().unwrap();

    proxy.refuse().blocking();
    proxy.reset();
    dashboard.until(WAITING);
    let published = server.metric(PUBLISHED);
    server.wait_for_metric(PUBLISHED, published + MISSED, DEADLINE);
    proxy.resume().blocking();

    dashboard.until(LIVE);
    dashboard.until("Number(document.getElementById('recovered').textContent) > 5");
    let newest = dashboard.evaluate(NEWEST).as_u64().unwrap();
    dashboard.until(&format!("{NEWEST} > {newest}"));
    let mut offsets = numbers(&dashboard.evaluate(OFFSETS));
    offsets.retain(|offset| *offset >= before);
    let whole: Vec<_> = (before..before + offsets.len() as u64).rev().collect();
    assert_eq!(offsets, whole, "every trade once, the newest first");
    server.stop();
}

#[test]
fn when_the_server_started_over_it_begins_with_a_snapshot() {
    let (server, port) = Server::anywhere(EXAMPLE, &STREAMS);
    let Some(mut dashboard) = open(port) else { return };
    dashboard.until(LIVE);
    dashboard.until(&format!("{NEWEST} > 20"));
    let stopped = server.stop();
    dashboard.until(WAITING);
    let _server = stopped.start();
    dashboard.until(LIVE);
    dashboard.until("document.getElementById('note').textContent.includes('started over')");
    dashboard.until(&rows_are("new Set(symbols).size === 3"));
    let offsets = numbers(&dashboard.evaluate(OFFSETS));
    assert!(offsets.is_sorted_by(|newer, older| newer > older), "rows of the old server are left: {offsets:?}");
}

/// Events the sink has published.
const PUBLISHED: &str = "eventflux_sink_events_total";

/// The offsets of all rows, the newest first.
const OFFSETS: &str = "[...document.querySelectorAll('#trades tr')].map((row) => Number(row.dataset.offset))";

/// The offset of the newest row.
const NEWEST: &str = "Number(document.querySelector('#trades tr')?.dataset.offset ?? 0)";

/// Whether something holds of the symbols of all rows.
fn rows_are(condition: &str) -> String {
    format!("((symbols) => {condition})([...document.querySelectorAll('#trades tr')].map((row) => row.dataset.symbol))")
}

fn is_drawn_upon(dashboard: &mut Program) -> bool {
    let pixels = "document.getElementById('chart').getContext('2d').getImageData(0, 0, 1000, 200).data.some((value) => value > 0)";
    dashboard.evaluate(pixels) == true
}

fn numbers(list: &Value) -> Vec<u64> {
    list.as_array().unwrap().iter().map(|number| number.as_u64().unwrap()).collect()
}

fn open(port: u16) -> Option<Program> {
    page(&path("examples/gateway/dashboard.html"), &format!("server=ws://localhost:{port}/trades"))
}
