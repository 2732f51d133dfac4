//! Many clients in one process: they open connections, exchange a few messages on each, and keep them open.

use std::io::{Read, Write};
use std::net::TcpStream;

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::blocks::{Frames, Framing};
use super::framing::Header;
use super::job::{Job, JobArgs, dial};
use super::opening;
use crate::error::BenchError;

/// Connections opened before the first look at the system's memory, so that what it allocates once does not count.
pub(super) const WARM_UP_CONNECTIONS: usize = 32;

/// Messages exchanged on each connection, in each direction.
const MESSAGES: u64 = 3;

/// Connections whose handshakes and messages are under way at once.
const AT_ONCE: usize = 32;

/// Descriptors besides those of connections.
const SPARE_DESCRIPTORS: u64 = 64;

/// Largest answer, in bytes.
const MAX_ANSWER_BYTES: usize = 4096;

/// What a crowd is to do.
#[derive(Debug, Clone, Args)]
pub(super) struct CrowdArgs {
    /// Connections to open.
    #[arg(long)]
    pub(super) connections: usize,
    /// What it has in common with the system.
    #[command(flatten)]
    pub(super) job: JobArgs,
}

/// Opens the connections, a few first and, when told to, the rest; then keeps them open until the runner ends the
/// process.
///
/// # Errors
/// When a connection fails or a message does not come back.
pub(super) fn run(args: &CrowdArgs) -> Result<(), BenchError> {
    allow_descriptors(args.connections)?;
    let job = Job::new(&args.job);
    let frames = Frames::new(Framing { masked: true, deflate: job.deflate })?;
    let messages = frames.batches(MESSAGES, usize::MAX).flatten().copied().collect::<Vec<u8>>();
    let mut streams = Vec::with_capacity(args.connections);
    open(&mut streams, WARM_UP_CONNECTIONS.min(args.connections), args, &messages)?;
    job.begin(streams.len())?;
    open(&mut streams, args.connections, args, &messages)?;
    job.begin(streams.len())?;
    loop {
        std::thread::park();
    }
}

/// Raises the limit of open files as far as `connections` need.
///
/// # Errors
/// When the hard limit is lower.
pub(super) fn allow_descriptors(connections: usize) -> Result<(), BenchError> {
    let needed = connections as u64 + SPARE_DESCRIPTORS;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let raised = Rlimit { current: Some(needed), maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).map_err(|error| {
        BenchError::Usage(format!(
            "{connections} connections need {needed} open files: {error}; raise `ulimit -Hn`, or give fewer with \
             --connections"
        ))
    })
}

/// Opens connections until there are `count`.
fn open(streams: &mut Vec<TcpStream>, count: usize, args: &CrowdArgs, messages: &[u8]) -> Result<(), BenchError> {
    let Some(address) = args.job.connect else {
        return Err(BenchError::Usage("a crowd needs --connect".into()));
    };
    while streams.len() < count {
        let opened = streams.len();
        for _ in opened..count.min(opened + AT_ONCE) {
            let mut stream = dial(address)?;
            opening::request(&mut stream, args.job.deflate)?;
            streams.push(stream);
        }
        for stream in &mut streams[opened..] {
            opening::response(stream, args.job.deflate)?;
            stream.write_all(messages).map_err(BenchError::io("sending to the system under test"))?;
        }
        streams[opened..].iter_mut().try_for_each(await_answers)?;
    }
    Ok(())
}

fn await_answers(stream: &mut TcpStream) -> Result<(), BenchError> {
    let mut answer = Vec::new();
    loop {
        let (mut rest, mut messages) = (&answer[..], 0);
        while let Some(header) = Header::read(rest)?
            && header.frame_bytes() <= rest.len()
        {
            rest = &rest[header.frame_bytes()..];
            messages += 1;
        }
        if messages == MESSAGES {
            return Ok(());
        }
        let mut part = [0; MAX_ANSWER_BYTES];
        let read = stream.read(&mut part).map_err(BenchError::io("reading an answer"))?;
        if read == 0 || answer.len() > MAX_ANSWER_BYTES {
            return Err(BenchError::Protocol("the system does not send back what it received".into()));
        }
        answer.extend_from_slice(&part[..read]);
    }
}
