//! The other end of a connection: sends ready frames, or takes and counts frames. Blocking, and cheaper than any
//! system under test.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use clap::{Args, ValueEnum};
use rustix::net::{RecvFlags, recv};

use super::blocks::{Frames, Framing};
use super::event::{Done, Event};
use super::framing::{Header, Inflater};
use super::job::{Job, JobArgs, Side, meet};
use super::messages::{MESSAGE_BYTES, PERIOD, period};
use super::opening;
use crate::control::emit;
use crate::error::BenchError;
use crate::frame::unmask;

/// Read buffer, in bytes: one read takes what the kernel has.
const READ_BUFFER_BYTES: usize = 256 * 1024;

/// A system that sends nothing for so long has failed.
const STALL: Duration = Duration::from_secs(20);

/// What the counterpart does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Part {
    /// Sends messages as fast as they are taken.
    Feed,
    /// Takes messages and counts them.
    Drain,
}

/// What a counterpart is to do.
#[derive(Debug, Clone, Args)]
pub(super) struct CounterpartArgs {
    /// Its part.
    #[arg(long)]
    pub(super) part: Part,
    /// What it has in common with the system.
    #[command(flatten)]
    pub(super) job: JobArgs,
}

/// Plays the part until the runner ends the process.
///
/// # Errors
/// When the connection fails, or the system sends something other than the messages of this benchmark.
pub(super) fn run(args: &CounterpartArgs) -> Result<(), BenchError> {
    let job = Job::new(&args.job);
    let mut stream = meet(&args.job)?;
    match job.side {
        Side::Client => opening::connect(&mut stream, job.deflate)?,
        Side::Server => opening::accept(&mut stream, job.deflate)?,
    }
    let done = match args.part {
        Part::Feed => feed(&mut stream, &job)?,
        Part::Drain => drain(&mut stream, &job)?,
    };
    emit(&Event::Done(done))?;
    // The connection stays open until the runner, and with it this process, ends.
    loop {
        std::thread::park();
    }
}

fn feed(stream: &mut TcpStream, job: &Job) -> Result<Done, BenchError> {
    let frames = Frames::new(Framing { masked: job.side == Side::Client, deflate: job.deflate })?;
    job.begin(1)?;
    let mut bytes = 0;
    for batch in frames.batches(job.messages, PERIOD) {
        stream.write_all(batch).map_err(BenchError::io("sending to the system under test"))?;
        bytes += batch.len() as u64;
    }
    Ok(Done { messages: job.messages, bytes, ..Done::default() })
}

fn drain(stream: &mut TcpStream, job: &Job) -> Result<Done, BenchError> {
    stream.set_read_timeout(Some(STALL)).map_err(BenchError::io("setting a read timeout"))?;
    let mut buffer = vec![0; READ_BUFFER_BYTES];
    let mut filled = 0;
    let mut checker = Checker::new(job);
    let mut done = Done::default();
    job.begin(1)?;
    while done.messages < job.messages {
        filled += received(stream.read(&mut buffer[filled..]))?;
        let mut taken = 0;
        while let Some(header) = Header::read(&buffer[taken..filled])?
            && taken + header.frame_bytes() <= filled
        {
            let payload = &mut buffer[taken + header.header_bytes..taken + header.frame_bytes()];
            checker.check(done.messages, header, payload)?;
            taken += header.frame_bytes();
            done.messages += 1;
        }
        done.bytes += taken as u64;
        buffer.copy_within(taken..filled, 0);
        filled -= taken;
        if checker.is_done(done.messages) && !job.deflate {
            // All frames are of one size.
            let bytes = done.bytes / done.messages * job.messages;
            discard(stream, bytes - done.bytes - filled as u64, &mut buffer)?;
            return Ok(Done { messages: job.messages, bytes, ..done });
        }
    }
    Ok(done)
}

/// Lets the kernel throw so many bytes away (tcp(7), `MSG_TRUNC`): a drain that copies is hardly faster than the
/// fastest systems.
fn discard(stream: &TcpStream, mut bytes: u64, buffer: &mut [u8]) -> Result<(), BenchError> {
    while bytes > 0 {
        let most = usize::try_from(bytes).map_or(buffer.len(), |bytes| bytes.min(buffer.len()));
        let result = recv(stream, &mut buffer[..most], RecvFlags::TRUNC);
        bytes -= received(result.map(|(_, count)| count).map_err(Into::into))? as u64;
    }
    Ok(())
}

fn received(result: io::Result<usize>) -> Result<usize, BenchError> {
    match result.map_err(BenchError::io("reading from the system under test"))? {
        0 => Err(BenchError::Protocol("the system closed before all messages had come".into())),
        count => Ok(count),
    }
}

/// Compares the first period of messages with what should have been sent; later ones are only counted, because a
/// drain that decodes would hold the system up.
struct Checker {
    masked: bool,
    expected: Vec<String>,
    inflater: Option<Inflater>,
    inflated: Vec<u8>,
}

impl Checker {
    fn new(job: &Job) -> Self {
        Self {
            masked: job.side == Side::Server,
            expected: period(),
            inflater: job.deflate.then(Inflater::new),
            inflated: Vec::new(),
        }
    }

    /// Whether enough was compared.
    fn is_done(&self, messages: u64) -> bool {
        messages >= self.expected.len() as u64
    }

    fn check(&mut self, index: u64, header: Header, payload: &mut [u8]) -> Result<(), BenchError> {
        let Some(expected) = self.expected.get(index as usize) else { return Ok(()) };
        if header.mask.is_some() != self.masked {
            return Err(BenchError::Protocol(format!("message {index}: masked should be {}", self.masked)));
        }
        if let Some(mask) = header.mask {
            unmask(payload, mask);
        }
        let message = match (&mut self.inflater, header.compressed) {
            (Some(inflater), true) => {
                inflater.inflate(payload, MESSAGE_BYTES + 1, &mut self.inflated)?;
                &self.inflated[..]
            }
            (None, false) => payload,
            (_, compressed) => {
                return Err(BenchError::Protocol(format!("message {index}: compressed is {compressed}")));
            }
        };
        if message != expected.as_bytes() {
            let message = String::from_utf8_lossy(message).into_owned();
            return Err(BenchError::Protocol(format!("message {index} is {message}, not {expected}")));
        }
        Ok(())
    }
}
