//! The feeder: a WebSocket server that sends trades, as fast as TCP takes them or at a fixed rate.
//!
//! Only the handshake uses a WebSocket library. A saturating run sends prepared frames, a period of
//! messages with each write, and changes nothing in them but the trade numbers.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use clap::Args;
use tokio_tungstenite::tungstenite;

use crate::clock::monotonic_ns;
use crate::control::{Event, Gate, emit, follow_runner};
use crate::error::BenchError;
use crate::frame::{self, CLOSE, PING, PONG, TEXT, next_client_frame, push_server_frame};
use crate::workload::{Block, PERIOD, Pattern, Shape};

/// Longest wait for a peer's handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers to control frames that may wait for the sender to finish a write; more are dropped, as
/// RFC 6455 section 5.5.3 lets an endpoint answer only the latest ping.
const MAX_WAITING_ANSWERS: usize = 16;

/// Read buffer for what a system sends to its feeder (control frames only), in bytes.
const READ_BUFFER_BYTES: usize = 4096;

/// What a feeder sends.
#[derive(Debug, Clone, Args)]
pub struct FeederArgs {
    /// Messages on each connection.
    #[arg(long)]
    pub messages: u64,
    /// Connections to serve; each gets the same messages.
    #[arg(long, default_value_t = 1)]
    pub connections: usize,
    /// Messages per second on each connection; as fast as possible when absent.
    #[arg(long)]
    pub paced: Option<NonZeroU64>,
    /// Columns of a wide message; a trade when absent.
    #[arg(long)]
    pub columns: Option<usize>,
}

/// Runs the feeder until its runner goes away.
///
/// # Errors
/// When it cannot listen, or a system under test does not shake hands or breaks off.
pub fn run(args: &FeederArgs) -> Result<(), BenchError> {
    let gate = follow_runner();
    let listener = listen()?;
    let senders = (1..=args.connections)
        .map(|count| {
            let stream = accept(&listener)?;
            emit(&Event::Connected { count })?;
            let (args, gate) = (args.clone(), Arc::clone(&gate));
            Ok(thread::spawn(move || serve(stream, &args, &gate)))
        })
        .collect::<Result<Vec<_>, BenchError>>()?;
    gate.wait();
    emit(&Event::Started { at_ns: gate.opened_at_ns().unwrap_or_default() })?;
    let mut worst_lag_ns = 0;
    let mut answering = Vec::new();
    for sender in senders {
        let sent = join(sender)??;
        worst_lag_ns = worst_lag_ns.max(sent.worst_lag_ns);
        answering.push(sent.answering);
    }
    emit(&Event::Finished { at_ns: monotonic_ns(), worst_lag_ns })?;
    answering.into_iter().try_for_each(join)
}

/// Binds an ephemeral loopback port and tells the runner its URL.
///
/// # Errors
/// When the port cannot be bound or the runner has gone.
pub fn listen() -> Result<TcpListener, BenchError> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(BenchError::io("binding a loopback port"))?;
    let address = listener.local_addr().map_err(BenchError::io("asking for the bound port"))?;
    emit(&Event::Listening { url: format!("ws://{address}/") })?;
    Ok(listener)
}

/// Accepts one connection, completes its WebSocket handshake, and turns Nagle's algorithm off.
///
/// # Errors
/// When accepting fails, or the peer does not complete a handshake within ten seconds.
pub fn accept(listener: &TcpListener) -> Result<TcpStream, BenchError> {
    let (stream, _) = listener.accept().map_err(BenchError::io("accepting the system under test"))?;
    stream
        .set_nodelay(true)
        .and_then(|()| stream.set_read_timeout(Some(HANDSHAKE_TIMEOUT)))
        .map_err(BenchError::io("configuring a connection"))?;
    let stream = tungstenite::accept(stream)
        .map_err(|error| BenchError::Protocol(format!("WebSocket handshake: {error}")))?
        .into_inner();
    stream.set_read_timeout(None).map_err(BenchError::io("configuring a connection"))?;
    Ok(stream)
}

/// The answer a server owes to a control frame: a pong to a ping, a close to a close.
#[must_use]
pub fn answer(opcode: u8, payload: &[u8]) -> Option<Vec<u8>> {
    let answer_opcode = match opcode {
        PING => PONG,
        CLOSE => CLOSE,
        _ => return None,
    };
    let mut out = Vec::new();
    push_server_frame(&mut out, answer_opcode, payload);
    Some(out)
}

/// What one connection's sender did.
struct Sent {
    worst_lag_ns: u64,
    /// Goes on answering control frames until the peer leaves.
    answering: JoinHandle<()>,
}

fn serve(mut stream: TcpStream, args: &FeederArgs, gate: &Gate) -> Result<Sent, BenchError> {
    let reader = stream.try_clone().map_err(BenchError::io("sharing a connection"))?;
    let (queue, answers) = sync_channel(MAX_WAITING_ANSWERS);
    thread::spawn(move || read_control_frames(reader, &queue));
    // Preparing happens before the gate, so that it is not measured.
    let pattern = Pattern::new();
    let shape = args.columns.map_or(Shape::Trade, Shape::Wide);
    let mut block = Block::new(&pattern, shape);
    gate.wait();
    let worst_lag_ns = match args.paced {
        None => saturate(&mut stream, &mut block, args.messages, &answers),
        Some(rate) => pace(&mut stream, &pattern, args.messages, rate, &answers),
    }?;
    let answering = thread::spawn(move || {
        for bytes in answers {
            if stream.write_all(&bytes).is_err() {
                return;
            }
        }
    });
    Ok(Sent { worst_lag_ns, answering })
}

fn saturate(
    stream: &mut TcpStream,
    block: &mut Block,
    messages: u64,
    answers: &Receiver<Vec<u8>>,
) -> Result<u64, BenchError> {
    let mut first = 0;
    while first < messages {
        let count = PERIOD.min(messages - first);
        write(stream, block.frames(first, count))?;
        first += count;
        send_answers(stream, answers)?;
    }
    Ok(0)
}

/// Sends each message at its time, or at once when that has passed. Its `T` is the true send time:
/// a feeder that wakes late must not be counted as latency of the system. Returns the worst delay of a
/// send in nanoseconds.
fn pace(
    stream: &mut TcpStream,
    pattern: &Pattern,
    messages: u64,
    rate: NonZeroU64,
    answers: &Receiver<Vec<u8>>,
) -> Result<u64, BenchError> {
    // The default slack of 50 µs would make a sleeping feeder late at every message.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let start = monotonic_ns();
    let mut worst_lag_ns = 0;
    let mut bytes = Vec::new();
    for sequence in 0..messages {
        // At most 90 million messages: the product stays far below 2^64.
        let due = start + sequence * 1_000_000_000 / rate;
        if let Some(early) = due.checked_sub(monotonic_ns()) {
            thread::sleep(Duration::from_nanos(early));
        }
        bytes.clear();
        let now = monotonic_ns();
        let message = pattern.encode(Shape::Trade, sequence, now);
        push_server_frame(&mut bytes, TEXT, message.as_bytes());
        write(stream, &bytes)?;
        worst_lag_ns = worst_lag_ns.max(now - due);
        send_answers(stream, answers)?;
    }
    Ok(worst_lag_ns)
}

/// Control frames may stand between messages, never inside one: only the sender writes.
fn send_answers(stream: &mut TcpStream, answers: &Receiver<Vec<u8>>) -> Result<(), BenchError> {
    answers.try_iter().try_for_each(|bytes| write(stream, &bytes))
}

fn write(stream: &mut TcpStream, bytes: &[u8]) -> Result<(), BenchError> {
    stream.write_all(bytes).map_err(BenchError::io("sending to the system under test"))
}

/// Queues answers to control frames until the peer leaves or breaks the protocol.
fn read_control_frames(mut stream: TcpStream, answers: &SyncSender<Vec<u8>>) {
    let mut buffer = [0; READ_BUFFER_BYTES];
    let mut filled = 0;
    while let Ok(read @ 1..) = stream.read(&mut buffer[filled..]) {
        filled += read;
        while let Ok(Some(found)) = next_client_frame(&buffer[..filled]) {
            frame::unmask(&mut buffer[found.payload.clone()], found.mask);
            if let Some(bytes) = answer(found.opcode, &buffer[found.payload.clone()])
                && let Err(TrySendError::Disconnected(_)) = answers.try_send(bytes)
            {
                return;
            }
            buffer.copy_within(found.payload.end..filled, 0);
            filled -= found.payload.end;
        }
    }
}

fn join<T>(thread: JoinHandle<T>) -> Result<T, BenchError> {
    thread.join().map_err(|_| BenchError::Protocol("a feeder thread panicked".into()))
}
