//! WebSocket clients that publish as fast as the other end takes it: a thread for each, which writes prepared frames. They
//! must cost far less than what they publish to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use eventflux_benches::clock::monotonic_ns;
use eventflux_benches::control::{Gate, emit};
use eventflux_benches::error::BenchError;

use crate::event::Event;
use crate::job::Load;
use crate::message::{MESSAGE_BYTES, Messages};

/// Messages with each write.
const BLOCK_MESSAGES: u64 = 256;

/// Clients mask what they send (RFC 6455 section 5.3); any key will do.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The header of a frame with a message: final, text, masked, a length of two bytes.
const HEADER_BYTES: usize = 8;

const FRAME_BYTES: usize = HEADER_BYTES + MESSAGE_BYTES;

/// Longest wait for the pipeline to be ready, and for its answer.
const READY_DEADLINE: Duration = Duration::from_secs(10);

/// Time between two tries to reach a pipeline that is not ready.
const RETRY: Duration = Duration::from_millis(10);

/// Longest answer, in bytes.
const MAX_ANSWER_BYTES: usize = 16 * 1024;

/// Publishes what comes before the run, and the rest when the gate opens.
pub(crate) fn run(job: &Load, gate: &Gate) -> Result<(), BenchError> {
    let mut clients = (0..job.clients).map(|number| Client::new(number, job.address)).collect::<Result<Vec<_>, _>>()?;
    publish(&mut clients, 0..job.warm_up)?;
    emit(&Event::Ready)?;
    gate.wait();
    emit(&Event::Started { at_ns: monotonic_ns() })?;
    publish(&mut clients, job.warm_up..job.warm_up + job.messages)?;
    // Connections stay open until the runner has seen enough.
    std::mem::forget(clients);
    Ok(())
}

/// Has all clients publish their messages of these numbers.
fn publish(clients: &mut [Client], numbers: std::ops::Range<u64>) -> Result<(), BenchError> {
    thread::scope(|scope| {
        let publish = |client| {
            let numbers = numbers.clone();
            scope.spawn(move || Client::publish(client, numbers))
        };
        let publishing: Vec<_> = clients.iter_mut().map(publish).collect();
        publishing
            .into_iter()
            .try_for_each(|client| client.join().map_err(|_| BenchError::Protocol("a client panicked".into()))?)
    })
}

struct Client {
    stream: TcpStream,
    messages: Messages,
    block: Vec<u8>,
}

impl Client {
    fn new(number: usize, address: SocketAddr) -> Result<Self, BenchError> {
        Ok(Self { stream: connect(address)?, messages: Messages::new(number), block: Vec::new() })
    }

    fn publish(&mut self, numbers: std::ops::Range<u64>) -> Result<(), BenchError> {
        let mut next = numbers.start;
        while next < numbers.end {
            let end = numbers.end.min(next + BLOCK_MESSAGES);
            self.block.clear();
            (next..end).for_each(|number| push_frame(&mut self.block, &self.messages, number));
            self.stream.write_all(&self.block).map_err(BenchError::io("publishing"))?;
            next = end;
        }
        Ok(())
    }
}

fn push_frame(block: &mut Vec<u8>, messages: &Messages, number: u64) {
    let mut frame = [0; FRAME_BYTES];
    frame[..4].copy_from_slice(&[0x81, 0x80 | 126, 0, MESSAGE_BYTES as u8]);
    frame[4..HEADER_BYTES].copy_from_slice(&MASK);
    let message = messages.message(number);
    for (index, (byte, plain)) in frame[HEADER_BYTES..].iter_mut().zip(message).enumerate() {
        *byte = plain ^ MASK[index % MASK.len()];
    }
    block.extend_from_slice(&frame);
}

/// Opens a WebSocket once the pipeline lets clients in.
fn connect(address: SocketAddr) -> Result<TcpStream, BenchError> {
    let start = Instant::now();
    loop {
        match try_to_connect(address) {
            Ok(stream) => return Ok(stream),
            Err(error) if start.elapsed() > READY_DEADLINE => return Err(error),
            Err(_) => thread::sleep(RETRY),
        }
    }
}

fn try_to_connect(address: SocketAddr) -> Result<TcpStream, BenchError> {
    let mut stream = TcpStream::connect(address).map_err(BenchError::io(format!("connecting to {address}")))?;
    stream
        .set_nodelay(true)
        .and_then(|()| stream.set_read_timeout(Some(READY_DEADLINE)))
        .map_err(BenchError::io("configuring a connection"))?;
    let request = format!(
        "GET /in HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).map_err(BenchError::io("asking for a WebSocket"))?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") && answer.len() < MAX_ANSWER_BYTES {
        let mut byte = [0];
        if stream.read(&mut byte).map_err(BenchError::io("waiting for a WebSocket"))? == 0 {
            break;
        }
        answer.push(byte[0]);
    }
    let answer = String::from_utf8_lossy(&answer);
    let welcome = answer.starts_with("HTTP/1.1 101 ");
    if welcome { Ok(stream) } else { Err(BenchError::Protocol(format!("the pipeline refuses: {answer}"))) }
}
