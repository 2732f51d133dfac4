//! The systems under test: the same few lines around each library, set up the way its makers would for speed. UTF-8 is
//! checked by all of them.

mod eventflux;
mod fast;
mod floor;
mod hyper_server;
mod tokio_ws;
mod tungstenite;
mod yawc;

use std::net::TcpListener as StdListener;
use std::net::TcpStream as StdStream;

use clap::{Args, ValueEnum};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

use super::crowd::allow_descriptors;
use super::job::{Job, JobArgs, Side, Tally, listen, meet};
use super::opening;
use crate::error::BenchError;

/// A library, or the floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum System {
    /// No library: reads and writes of the same bytes. Finds frames but neither unmasks nor checks them, sends ready
    /// ones; where messages are compressed, it inflates and compresses them.
    Floor,
    /// This project's WebSocket layer.
    Eventflux,
    /// tokio-tungstenite.
    TokioTungstenite,
    /// fastwebsockets.
    Fastwebsockets,
    /// tokio-websockets.
    TokioWebsockets,
    /// yawc.
    Yawc,
}

impl System {
    /// Its name in options and tables.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether it can compress messages.
    #[must_use]
    pub fn has_deflate(self) -> bool {
        matches!(self, Self::Floor | Self::Eventflux | Self::Yawc)
    }
}

/// What a system does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Task {
    /// Receives messages and reads from each.
    Receive,
    /// Sends messages.
    Send,
    /// Accepts connections and sends every message back.
    Echo,
}

/// What a system under test is to do.
#[derive(Debug, Clone, Args)]
pub struct SystemArgs {
    /// The library.
    #[arg(long)]
    pub system: System,
    /// Its task.
    #[arg(long)]
    pub task: Task,
    /// Connections to expect.
    #[arg(long, default_value_t = 1)]
    pub connections: usize,
    /// What it has in common with the counterpart.
    #[command(flatten)]
    pub job: JobArgs,
}

/// One library. Every function opens the connection first.
trait Peer {
    /// Receives all messages of the job.
    async fn receive(stream: StdStream, job: &Job) -> Result<Tally, BenchError>;

    /// Sends all messages of the job, with one flush after each batch.
    async fn send(stream: StdStream, job: &Job, messages: &[String]) -> Result<(), BenchError>;

    /// Accepts a connection by the library's own handshake and sends every message back, in as little memory as the
    /// library's settings allow, until the connection ends.
    async fn echo(stream: TcpStream, deflate: bool) -> Result<(), BenchError>;
}

/// Does the task, and then nothing until the runner ends the process.
///
/// # Errors
/// When the connection fails.
pub fn run(args: &SystemArgs) -> Result<(), BenchError> {
    match args.system {
        System::Floor => work::<floor::Floor>(args),
        System::Eventflux => work::<eventflux::Eventflux>(args),
        System::TokioTungstenite => work::<tungstenite::TokioTungstenite>(args),
        System::Fastwebsockets => work::<fast::Fastwebsockets>(args),
        System::TokioWebsockets => work::<tokio_ws::TokioWebsockets>(args),
        System::Yawc => work::<yawc::Yawc>(args),
    }
}

fn work<P: Peer + 'static>(args: &SystemArgs) -> Result<(), BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(BenchError::io("starting a runtime"))?;
    let job = Job::new(&args.job);
    match args.task {
        Task::Receive => {
            let tally = runtime.block_on(P::receive(meet(&args.job)?, &job))?;
            job.finish(tally)?;
        }
        Task::Send => {
            let messages = super::messages::period();
            runtime.block_on(P::send(meet(&args.job)?, &job, &messages))?;
            job.finish(Tally::sent(job.messages))?;
        }
        Task::Echo => {
            allow_descriptors(args.connections)?;
            let listener = listen()?;
            runtime.block_on(LocalSet::new().run_until(serve::<P>(listener, job.deflate)))?;
        }
    }
    loop {
        std::thread::park();
    }
}

/// Serves every connection in a task of its own.
async fn serve<P: Peer + 'static>(listener: StdListener, deflate: bool) -> Result<(), BenchError> {
    let accepting = |error| BenchError::io("accepting a connection")(error);
    listener.set_nonblocking(true).map_err(accepting)?;
    let listener = TcpListener::from_std(listener).map_err(accepting)?;
    loop {
        let (stream, _) = listener.accept().await.map_err(accepting)?;
        stream.set_nodelay(true).map_err(accepting)?;
        spawn_local(async move {
            if let Err(error) = P::echo(stream, deflate).await {
                eprintln!("{error}");
            }
        });
    }
}

/// The stream as tokio's.
fn asynchronous(stream: StdStream) -> Result<TcpStream, BenchError> {
    let preparing = |error| BenchError::io("preparing a stream for tokio")(error);
    stream.set_nonblocking(true).map_err(preparing)?;
    TcpStream::from_std(stream).map_err(preparing)
}

/// The stream as tokio's, after a handshake that is not the library's.
fn opened(mut stream: StdStream, job: &Job) -> Result<TcpStream, BenchError> {
    match job.side {
        Side::Client => opening::connect(&mut stream, job.deflate)?,
        Side::Server => opening::accept(&mut stream, job.deflate)?,
    }
    asynchronous(stream)
}

/// Wraps a library's error with what was being done; for `map_err`.
fn failed<E: std::fmt::Display>(doing: &'static str) -> impl Fn(E) -> BenchError {
    move |error| BenchError::Protocol(format!("{doing}: {error}"))
}

/// The connection ended before all messages had come.
fn ended_early() -> BenchError {
    BenchError::Protocol("the connection ended before all messages had come".into())
}

/// `total` messages of `period`, over and over, in batches of `batch`.
fn batches<T>(period: &[T], total: u64, batch: usize) -> impl Iterator<Item = impl Iterator<Item = &T>> {
    let mut next = period.iter().cycle();
    let mut left = total;
    std::iter::from_fn(move || {
        let count = left.min(batch as u64) as usize;
        left -= count as u64;
        let start = next.clone();
        if count > 0 {
            next.nth(count - 1);
        }
        (count > 0).then(|| start.take(count))
    })
}
