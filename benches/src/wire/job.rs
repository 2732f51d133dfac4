//! What a process of a run is to do, and the meter that runs while it does.

use std::cell::Cell;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use rustix::time::{ClockId, clock_gettime};

use super::event::{Done, Event};
use super::messages::{FIRST_BYTE, MESSAGE_BYTES};
use crate::clock::monotonic_ns;
use crate::control::{Gate, emit, follow_runner};
use crate::error::BenchError;

/// Which end of the WebSocket connection a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Side {
    /// It asks for the connection and masks what it sends.
    Client,
    /// It accepts the connection.
    Server,
}

impl Side {
    /// The end that faces this one.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// The arguments every process of a run has in common.
#[derive(Debug, Clone, Args)]
pub struct JobArgs {
    /// The end this process is.
    #[arg(long)]
    pub side: Side,
    /// Where the other process listens; this one listens itself when absent.
    #[arg(long)]
    pub connect: Option<SocketAddr>,
    /// Messages to send or receive.
    #[arg(long, default_value_t = 0)]
    pub messages: u64,
    /// Messages between two flushes.
    #[arg(long, default_value_t = 1)]
    pub batch: usize,
    /// Compresses with context takeover.
    #[arg(long)]
    pub deflate: bool,
}

/// A job under way.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) side: Side,
    pub(super) messages: u64,
    pub(super) batch: usize,
    pub(super) deflate: bool,
    gate: Arc<Gate>,
    started: Cell<Clocks>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Clocks {
    cpu_ns: u64,
    wall_ns: u64,
}

impl Clocks {
    fn now() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        // Processor time is never negative.
        let cpu_ns = cpu.tv_sec.unsigned_abs() * 1_000_000_000 + cpu.tv_nsec.unsigned_abs();
        Self { cpu_ns, wall_ns: monotonic_ns() }
    }
}

impl Job {
    /// The job of these arguments.
    pub(super) fn new(args: &JobArgs) -> Self {
        Self {
            side: args.side,
            messages: args.messages,
            // A batch of none would never end.
            batch: args.batch.max(1),
            deflate: args.deflate,
            gate: follow_runner(),
            started: Cell::default(),
        }
    }

    /// Says that `connections` are open, waits to be told to go on, and starts the meter.
    pub(super) fn begin(&self, connections: usize) -> Result<(), BenchError> {
        emit(&Event::Ready { connections })?;
        self.gate.wait();
        self.started.set(Clocks::now());
        Ok(())
    }

    /// Stops the meter and reports.
    pub(super) fn finish(&self, tally: Tally) -> Result<(), BenchError> {
        let (started, now) = (self.started.get(), Clocks::now());
        tally.check()?;
        emit(&Event::Done(Done {
            messages: tally.messages,
            bytes: tally.bytes,
            cpu_ns: now.cpu_ns - started.cpu_ns,
            elapsed_ns: now.wall_ns - started.wall_ns,
        }))
    }
}

/// What was received, or sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    first_bytes: u64,
}

impl Tally {
    /// So many messages handed to a library to be sent.
    pub(super) fn sent(messages: u64) -> Self {
        Self { messages, bytes: messages * MESSAGE_BYTES as u64, first_bytes: messages * u64::from(FIRST_BYTE) }
    }

    /// Counts a received payload, and reads from it.
    #[inline]
    pub(super) fn count(&mut self, payload: &[u8]) {
        self.messages += 1;
        self.bytes += payload.len() as u64;
        self.first_bytes += payload.first().copied().map_or(0, u64::from);
    }

    /// [`Tally::count`] for a payload that stays masked.
    #[inline]
    pub(super) fn count_masked(&mut self, payload: &[u8], mask: Option<[u8; 4]>) {
        self.count(payload);
        if let (Some([key, ..]), Some(first)) = (mask, payload.first()) {
            self.first_bytes += u64::from(first ^ key);
            self.first_bytes -= u64::from(*first);
        }
    }

    fn check(&self) -> Result<(), BenchError> {
        if *self == Self::sent(self.messages) {
            return Ok(());
        }
        Err(BenchError::Protocol(format!("what was received is not what was sent: {self:?}")))
    }
}

/// The connection to the other process, made the way the arguments say.
pub(super) fn meet(args: &JobArgs) -> Result<TcpStream, BenchError> {
    match args.connect {
        Some(address) => dial(address),
        None => {
            let listener = listen()?;
            let (stream, _) = listener.accept().map_err(BenchError::io("accepting the other process"))?;
            prompt(stream)
        }
    }
}

/// Connects to the other process.
pub(super) fn dial(address: SocketAddr) -> Result<TcpStream, BenchError> {
    let stream = TcpStream::connect(address).map_err(BenchError::io(format!("connecting to {address}")))?;
    prompt(stream)
}

/// Binds an ephemeral loopback port and tells the runner.
pub(super) fn listen() -> Result<TcpListener, BenchError> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(BenchError::io("binding a loopback port"))?;
    let address = listener.local_addr().map_err(BenchError::io("asking for the bound port"))?;
    emit(&Event::Listening { address })?;
    Ok(listener)
}

/// Turns Nagle's algorithm off.
fn prompt(stream: TcpStream) -> Result<TcpStream, BenchError> {
    stream.set_nodelay(true).map_err(BenchError::io("turning Nagle's algorithm off"))?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_accepts_the_messages_of_the_benchmark_and_nothing_else() {
        let mut tally = Tally::default();
        for message in super::super::messages::period() {
            tally.count(message.as_bytes());
        }
        tally.check().unwrap();
        tally.count(b"{}");
        assert!(tally.check().is_err());
    }
}
