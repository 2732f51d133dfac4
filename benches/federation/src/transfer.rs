//! One run in which messages go from one process to another.

use eventflux_benches::error::BenchError;
use eventflux_benches::process::Process;
use eventflux_benches::usage;
use eventflux_testkit::proxy::ChaosProxy;

use crate::broker::Broker;
use crate::event::{Event, Received, next, unexpected};
use crate::job::{End, Job};
use crate::outcome::{Cost, Outcome};
use crate::role::END;
use crate::run::{Setup, cost_since, start};
use crate::scenario::Transfer;

/// Both ends, ready, and what is between them.
struct Link {
    sender: Process,
    receiver: Process,
    broker: Option<Broker>,
    proxy: Option<ChaosProxy>,
}

/// Measures it once.
pub(crate) async fn measure(transfer: &Transfer, setup: &Setup) -> Result<Outcome, BenchError> {
    let directory = setup.directory()?;
    let spool = directory.path().join("spool").display().to_string();
    let mut link = match transfer.system.has_broker() {
        true => over_broker(transfer, setup, directory.path()).await?,
        false => direct(transfer, setup, &spool).await?,
    };
    let before = [&link.sender, &link.receiver].map(|process| usage::sample(process.group()));
    let broker_before = link.broker.as_ref().map(|broker| usage::sample(broker.process().group()));
    link.receiver.go().await?;
    link.sender.go().await?;
    let (elapsed_ns, received) = watch(&mut link).await?;
    let broker = match (&link.broker, broker_before) {
        (Some(broker), Some(before)) => cost_since(broker.process(), before),
        _ => Cost::default(),
    };
    Ok(Outcome {
        messages: transfer.messages,
        elapsed_ns,
        sender: cost_since(&link.sender, before[0]),
        receiver: cost_since(&link.receiver, before[1]),
        broker,
        wrong: received.wrong(transfer.messages),
        ..Outcome::default()
    })
}

/// One end listens, the other one connects, perhaps through a proxy.
async fn direct(transfer: &Transfer, setup: &Setup, spool: &str) -> Result<Link, BenchError> {
    let (listens, connects) = match setup.listens() {
        End::Sender => (End::Sender, End::Receiver),
        End::Receiver => (End::Receiver, End::Sender),
    };
    let mut listener = start("listening end", END, &job(transfer, listens, None, spool))?;
    let mut url = match next(&mut listener).await? {
        Event::Listening { url } => url,
        other => return Err(unexpected(&other)),
    };
    ready(&mut listener).await?;
    let proxy = transfer.cuts.map(|_| proxied(&mut url)).transpose()?;
    let mut connecting = start("connecting end", END, &job(transfer, connects, Some(url), spool))?;
    ready(&mut connecting).await?;
    let (sender, receiver) = match listens {
        End::Sender => (listener, connecting),
        End::Receiver => (connecting, listener),
    };
    Ok(Link { sender, receiver, broker: None, proxy })
}

/// Both ends connect to a broker.
async fn over_broker(transfer: &Transfer, setup: &Setup, directory: &std::path::Path) -> Result<Link, BenchError> {
    let broker = Broker::start(setup.nats(), directory).await?;
    let url = Some(broker.url());
    let mut receiver = start("receiver", END, &job(transfer, End::Receiver, url.clone(), ""))?;
    ready(&mut receiver).await?;
    let mut sender = start("sender", END, &job(transfer, End::Sender, url, ""))?;
    ready(&mut sender).await?;
    Ok(Link { sender, receiver, broker: Some(broker), proxy: None })
}

fn proxied(url: &mut String) -> Result<ChaosProxy, BenchError> {
    let address = url.trim_start_matches("ws://").trim_end_matches('/');
    let upstream = address.parse().map_err(|error| BenchError::Protocol(format!("no address in {url}: {error}")))?;
    let proxy = ChaosProxy::start(upstream);
    *url = format!("ws://{}/", proxy.address());
    Ok(proxy)
}

fn job(transfer: &Transfer, end: End, url: Option<String>, spool: &str) -> Job {
    let own = match end {
        End::Sender => &transfer.sender,
        End::Receiver => &transfer.receiver,
    };
    let mut properties: Vec<_> = own.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    if end == End::Sender && transfer.system.has_envelopes() && transfer.system.is_durable() {
        properties.push(("websocket.spool.path".to_owned(), spool.to_owned()));
    }
    Job {
        system: transfer.system,
        end,
        url,
        messages: transfer.messages,
        batch: transfer.batch,
        properties,
        stall_ms: if end == End::Receiver { transfer.stall_ms } else { 0 },
        parts: transfer.cuts.map_or(1, |cuts| cuts + 1),
    }
}

async fn ready(process: &mut Process) -> Result<(), BenchError> {
    match next(process).await? {
        Event::Ready => Ok(()),
        other => Err(unexpected(&other)),
    }
}

/// Waits until everything has been received and is settled, and cuts the connection meanwhile. Returns the time from the
/// first message published to the last one received.
async fn watch(link: &mut Link) -> Result<(u64, Received), BenchError> {
    let (mut started, mut received, mut is_settled) = (None, None, false);
    loop {
        if let (Some(started), Some(received), true) = (started, received, is_settled) {
            let received: Received = received;
            return Ok((received.last_ns.saturating_sub(started), received));
        }
        let event = tokio::select! {
            event = next(&mut link.sender) => event?,
            event = next(&mut link.receiver) => event?,
        };
        match event {
            Event::Started { at_ns } => started = Some(at_ns),
            Event::Received(all) => received = Some(all),
            Event::Settled { .. } => is_settled = true,
            Event::Progress { .. } => link.proxy.iter().for_each(ChaosProxy::reset),
            other => return Err(unexpected(&other)),
        }
    }
}
