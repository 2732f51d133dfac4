//! Both ends of our own connectors.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use eventflux_benches::clock::monotonic_ns;
use eventflux_benches::control::{Gate, emit};
use eventflux_benches::error::BenchError;
use eventflux_core::{BoxFuture, EventFluxError, PayloadWriter, Sink, SourceCallback};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::connectors::{Failures, Registry, properties, refused};
use crate::event::Event;
use crate::job::{End, Job};
use crate::ledger::Ledger;
use crate::message::Messages;

/// Plays one end until the runner ends the process.
pub(crate) fn run(job: &Job, gate: &Gate) -> Result<(), BenchError> {
    match job.end {
        End::Sender => send(job, gate),
        End::Receiver => receive(job, gate),
    }
}

fn send(job: &Job, gate: &Gate) -> Result<(), BenchError> {
    let sink = Registry::new().sink(&properties(job))?;
    sink.it.start(Arc::new(Failures)).map_err(refused)?;
    match job.url {
        Some(_) => sink.wait_until_connected()?,
        None => emit(&Event::Listening { url: sink.url() })?,
    }
    emit(&Event::Ready)?;
    gate.wait();
    let runtime =
        tokio::runtime::Builder::new_current_thread().build().map_err(BenchError::io("starting a runtime"))?;
    emit(&Event::Started { at_ns: monotonic_ns() })?;
    publish(&*sink.it, job, &runtime)?;
    runtime.block_on(sink.it.settled()).map_err(refused)?;
    emit(&Event::Settled { at_ns: monotonic_ns() })?;
    wait_for_the_end()
}

/// Publishes as a pipeline does: batch by batch, and only when there is room.
fn publish(sink: &dyn Sink, job: &Job, runtime: &Runtime) -> Result<(), BenchError> {
    let mut messages = Messages::new(job.message_bytes());
    let mut writer = PayloadWriter::default();
    let mut sent = 0;
    while sent < job.messages {
        let count = (job.messages - sent).min(job.batch as u64);
        for position in sent..sent + count {
            messages.write(writer.buffer());
            writer.finish(position);
        }
        while !sink.is_ready() {
            runtime.block_on(sink.ready());
        }
        sink.publish_batch(&writer.take()).map_err(|failure| refused(failure.error))?;
        sent += count;
    }
    Ok(())
}

fn receive(job: &Job, gate: &Gate) -> Result<(), BenchError> {
    let mut source = Registry::new().source(&properties(job))?;
    let callback = Arc::new(Callback {
        ledger: Mutex::new(Ledger::new(job.messages, job.parts)),
        takes: AtomicBool::new(job.stall_ms == 0),
        opened: Notify::new(),
    });
    source.it.start(callback.clone()).map_err(refused)?;
    match job.url {
        Some(_) => source.wait_until_connected()?,
        None => emit(&Event::Listening { url: source.url() })?,
    }
    emit(&Event::Ready)?;
    gate.wait();
    if job.stall_ms > 0 {
        std::thread::sleep(Duration::from_millis(job.stall_ms));
        callback.open();
    }
    wait_for_the_end()
}

/// The runner ends this process when it has seen enough.
pub(crate) fn wait_for_the_end() -> ! {
    loop {
        std::thread::park();
    }
}

/// A pipeline that counts.
struct Callback {
    ledger: Mutex<Ledger>,
    takes: AtomicBool,
    opened: Notify,
}

impl Callback {
    fn open(&self) {
        self.takes.store(true, Ordering::Release);
        self.opened.notify_waiters();
    }
}

impl SourceCallback for Callback {
    fn on_data(&self, data: &[u8]) -> Result<(), EventFluxError> {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.take([data].into_iter()).map_err(|_| EventFluxError::Stopped)
    }

    fn on_batch(&self, messages: &[Bytes]) -> Result<(), EventFluxError> {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.take(messages.iter().map(|message| &message[..])).map_err(|_| EventFluxError::Stopped)
    }

    fn is_ready(&self) -> bool {
        self.takes.load(Ordering::Acquire)
    }

    fn ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let opened = self.opened.notified();
            if !self.is_ready() {
                opened.await;
            }
        })
    }

    fn on_error(&self, error: EventFluxError, _: &[u8]) -> Result<(), EventFluxError> {
        fail(&error);
        Ok(())
    }

    fn on_end(&self, result: Result<(), EventFluxError>) {
        if let Err(error) = result {
            fail(&error);
        }
    }
}

/// Tells the runner what went wrong; it cannot be told twice.
fn fail(error: &EventFluxError) {
    let _ = emit(&Event::Failed { reason: error.to_string() });
}
