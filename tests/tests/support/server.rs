//! A pipeline that listens, and somebody who uses it meanwhile.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use eventflux_engine::EventFlux;
use eventflux_testkit::peer::{Message, ScriptedClient};
use eventflux_testkit::wait::eventually_some_blocking;

use super::raw::Raw;
use super::{DEADLINE, Pipeline};

/// The first number a bystander sends; attackers send smaller ones.
const FIRST: u64 = 1_000_000;

/// Makes a client of a URL, as the listener wants its clients.
pub type Connect<'a> = &'a dyn Fn(String) -> ScriptedClient;

/// What clients send to /in goes out to every client at /out; numbers, and text beside them. Both have `properties`.
pub fn listening(properties: &str) -> String {
    let mode = "type='websocket', websocket.mode='server', websocket.listen='127.0.0.1:0'";
    let more = if properties.is_empty() { String::new() } else { format!(", {properties}") };
    format!(
        "@source({mode}, websocket.path='/in'{more}, @map(type='json')) CREATE STREAM Fed (n BIGINT, text STRING);
         @sink({mode}, websocket.path='/out'{more}, @map(type='json')) CREATE STREAM Out (n BIGINT, text STRING);
         INSERT INTO Out SELECT n, text FROM Fed;"
    )
}

/// Where the pipeline of [`listening`] listens.
#[track_caller]
pub fn address_of(flux: &EventFlux) -> SocketAddr {
    let look = || {
        let source = flux.status().into_iter().find(|status| status.stream == "Fed")?;
        let url = source.health.detail?;
        url.split("://").nth(1)?.strip_suffix("/in")?.parse().ok()
    };
    eventually_some_blocking(DEADLINE, look)
}

/// The pipeline of [`listening`] in this process, with a bystander.
pub struct Server {
    pub pipeline: Pipeline,
    pub address: SocketAddr,
    bystander: Bystander,
}

impl Server {
    #[track_caller]
    pub fn start(properties: &str) -> Self {
        Self::start_for(properties, &|url| ScriptedClient::connect(url).blocking())
    }

    /// Starts one whose clients have to be like this.
    #[track_caller]
    pub fn start_for(properties: &str, connect: Connect<'_>) -> Self {
        let pipeline = Pipeline::start(&listening(properties));
        let address = address_of(&pipeline.flux);
        let bystander = Bystander::connect(&pipeline.flux.status()[0].health.detail.clone().unwrap(), connect);
        Self { pipeline, address, bystander }
    }

    /// A client that has sent nothing.
    #[track_caller]
    pub fn raw(&self) -> Raw {
        Raw::connect(self.address)
    }

    /// A client that may send messages.
    #[track_caller]
    pub fn upgraded(&self) -> Raw {
        Raw::upgraded(self.address, "/in")
    }

    /// The bystander's messages arrive.
    #[track_caller]
    pub fn serves(&self) {
        self.bystander.is_served();
    }

    /// This number, sent by somebody else, reaches the bystander.
    #[track_caller]
    pub fn delivers(&self, number: u64) {
        self.bystander.receives(number);
    }

    /// So many messages never became events, no more.
    #[track_caller]
    pub fn has_failed(&self, count: u64) {
        self.pipeline.wait_for_metric("eventflux_source_failed_total", "Fed", count);
        assert_eq!(self.pipeline.metric("eventflux_source_failed_total", "Fed"), count);
    }

    /// How many clients were refused for this reason.
    pub fn refused(&self, reason: &str) -> u64 {
        self.pipeline.counted("eventflux_websocket_refused_total", reason)
    }

    /// How many connections ended for this reason.
    pub fn violations(&self, reason: &str) -> u64 {
        self.pipeline.counted("eventflux_websocket_violations_total", reason)
    }

    /// Nobody is connected but the bystander.
    #[track_caller]
    pub fn is_left_alone(&self) {
        let alone = |name, stream| self.pipeline.metric(name, stream) == 1;
        super::eventually_blocking(DEADLINE, || {
            alone("eventflux_source_connections", "Fed") && alone("eventflux_sink_connections", "Out")
        });
    }

    /// Checks that the bystander, and only the bystander, is still there; stops; checks the log.
    #[track_caller]
    pub fn stop(self) -> eventflux_engine::Summary {
        self.serves();
        self.is_left_alone();
        self.pipeline.stop()
    }
}

/// Sends numbers to /in and receives them at /out, over connections that are there before anything goes wrong.
pub struct Bystander {
    sender: ScriptedClient,
    receiver: ScriptedClient,
    next: AtomicU64,
}

impl Bystander {
    /// `url` is that of /in.
    #[track_caller]
    pub fn connect(url: &str, connect: Connect<'_>) -> Self {
        let out = format!("{}/out", url.strip_suffix("/in").unwrap());
        let this = Self { sender: connect(url.to_owned()), receiver: connect(out), next: AtomicU64::new(FIRST) };
        this.is_served();
        this
    }

    /// What it sends arrives.
    #[track_caller]
    pub fn is_served(&self) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.sender.send_text(format!("{{\"n\":{number}}}")).blocking();
        self.receives(number);
    }

    /// This number arrives.
    #[track_caller]
    pub fn receives(&self, number: u64) {
        let start = format!("{{\"n\":{number},");
        let is_it = move |message: &Message| message.as_bytes().starts_with(start.as_bytes());
        let arrived = self
            .receiver
            .wait_for(format!("number {number}"), move |record| record.messages_of(0).any(&is_it).then_some(()));
        arrived.blocking();
    }
}
