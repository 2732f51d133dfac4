//! All clients of a gateway in one process, on one thread: a publisher and its subscribers.
//!
//! They must cost far less than any gateway: sockets are read with one system call for all that has come, and of a message
//! only its header and its mark are looked at.

mod codec;
mod connection;
mod deframer;
mod dial;
mod greeting;
mod ledger;
mod message;

use std::os::fd::OwnedFd;
use std::time::Duration;

use eventflux_benches::clock::monotonic_ns;
use eventflux_benches::control::{emit, follow_runner};
use eventflux_benches::error::BenchError;
use rustix::event::{Timespec, epoll};
use rustix::time::{ClockId, clock_gettime};

use self::connection::{Connection, Status};
use self::greeting::Part;
use self::ledger::Ledger;
use crate::event::{Event, Report};
use crate::job::{Job, MESSAGE_BYTES, Task};

/// Size of the buffer that all connections are read into, in bytes.
const BUFFER_BYTES: usize = 256 * 1024;

/// Sockets looked at for each call of the kernel.
const MAX_READY: usize = 1024;

/// What may wait to be sent by the publisher, in bytes.
const OUTBOX_BYTES: usize = 64 * 1024;

/// Without any delivery for so long, what is missing counts as lost.
const STALL: Duration = Duration::from_secs(5);

/// Longest wait until every subscriber has got a first message.
const AWAKE_DEADLINE: Duration = Duration::from_secs(30);

/// Time between two messages that wake subscribers up.
const ALARM: Duration = Duration::from_secs(1);

/// So long nothing comes once what was published has been delivered.
const SILENCE: Duration = Duration::from_millis(50);

/// Messages that fill the buffers between the gateway and clients that do not read, and their size: together a little
/// more than Linux holds for a sender by default.
const FILL_MESSAGES: usize = 80;
const FILL_MESSAGE_BYTES: usize = 60_000;

/// The token of the publisher's socket; subscribers have theirs from 0.
const PUBLISHER: u64 = u64::MAX;

/// Plays the crowd of `job`, and keeps its connections until the runner ends the process.
///
/// # Errors
/// When a connection cannot be made or the publisher's ends, or what comes makes no sense.
pub(crate) fn run(job: Job) -> Result<(), BenchError> {
    let gate = follow_runner();
    dial::await_readiness(&job)?;
    let mut crowd = Crowd::new(job)?;
    let first = match crowd.job.work.task {
        Task::Idle { first } => first.min(crowd.job.work.subscribers),
        Task::Saturate { .. } | Task::Pace { .. } => crowd.job.work.subscribers,
    };
    crowd.join(first)?;
    emit(&Event::Ready)?;
    gate.wait();
    let report = match crowd.job.work.task {
        Task::Idle { .. } => crowd.join(crowd.job.work.subscribers).map(|()| Report::default())?,
        Task::Saturate { .. } | Task::Pace { .. } => crowd.perform()?,
    };
    emit(&Event::Done(report))?;
    loop {
        std::thread::park();
    }
}

/// The publisher and everybody else.
struct Crowd {
    job: Job,
    poll: OwnedFd,
    ready: Vec<epoll::Event>,
    buffer: Vec<u8>,
    publisher: Connection,
    /// Whether the kernel is to tell when the publisher may go on sending.
    awaits_room: bool,
    /// The message being published.
    payload: Vec<u8>,
    subscribers: Vec<Connection>,
    /// Never read.
    _frozen: Vec<dial::Opened>,
    disconnected: u64,
    farewell: Option<String>,
    ledger: Ledger,
}

impl Crowd {
    /// Connects the publisher and those who will not read, and fills the latter's buffers.
    fn new(job: Job) -> Result<Self, BenchError> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(os("making a poll"))?;
        let frozen = dial::open(&job, &vec![Part::Frozen; job.work.frozen])?;
        let publisher = dial::open(&job, &[Part::Publisher])?.pop();
        let publisher = publisher.ok_or_else(|| BenchError::Protocol("no publisher".into()))?;
        let publisher = Connection::new(publisher)?;
        watch(&poll, &publisher, PUBLISHER)?;
        let mut crowd = Self {
            ledger: Ledger::new(&job.work)?,
            poll,
            ready: Vec::with_capacity(MAX_READY),
            buffer: vec![0; BUFFER_BYTES],
            publisher,
            awaits_room: false,
            payload: Vec::new(),
            subscribers: Vec::with_capacity(job.work.subscribers),
            _frozen: frozen,
            disconnected: 0,
            farewell: None,
            job,
        };
        if crowd.job.work.frozen > 0 {
            (0..FILL_MESSAGES).for_each(|_| crowd.publish(0, 0, FILL_MESSAGE_BYTES));
            crowd.send_all()?;
        }
        Ok(crowd)
    }

    /// Connects subscribers until there are `count`, and waits until each of them gets messages.
    fn join(&mut self, count: usize) -> Result<(), BenchError> {
        let parts: Vec<Part> = (self.subscribers.len()..count).map(Part::Subscriber).collect();
        for opened in dial::open(&self.job, &parts)? {
            let connection = Connection::new(opened)?;
            watch(&self.poll, &connection, self.subscribers.len() as u64)?;
            self.subscribers.push(connection);
            self.ledger.admit();
        }
        let deadline = monotonic_ns() + nanoseconds(AWAKE_DEADLINE);
        while !self.ledger.everybody_awake() {
            if monotonic_ns() > deadline {
                let (asleep, gone) = (self.ledger.asleep(), self.disconnected);
                let farewell = self.farewell.as_deref().unwrap_or_default();
                return Err(BenchError::Protocol(format!(
                    "{asleep} of {count} subscribers get no messages; {gone} connections have ended {farewell}"
                )));
            }
            self.alarm()?;
        }
        while self.turn(SILENCE)? {}
        Ok(())
    }

    /// Publishes a message of every topic, and waits for a while.
    fn alarm(&mut self) -> Result<(), BenchError> {
        (0..self.job.work.topics()).for_each(|topic| self.publish(0, topic, MESSAGE_BYTES));
        self.send_all()?;
        let end = monotonic_ns() + nanoseconds(ALARM);
        while !self.ledger.everybody_awake() && monotonic_ns() < end {
            self.turn(SILENCE)?;
        }
        Ok(())
    }

    /// Publishes what the task says, until everything has arrived or nothing more comes.
    fn perform(&mut self) -> Result<Report, BenchError> {
        let (cpu_ns, start_ns) = (cpu_ns(), monotonic_ns());
        let mut schedule = Schedule::new(self.job.work.task, start_ns);
        let mut last_ns = start_ns;
        loop {
            let wait = self.publish_due(&mut schedule)?;
            let delivered = self.ledger.delivered();
            self.turn(wait)?;
            let now_ns = monotonic_ns();
            if self.ledger.delivered() > delivered {
                last_ns = now_ns;
            }
            let stalled = now_ns - last_ns >= nanoseconds(STALL);
            if stalled || (schedule.is_over(now_ns) && self.ledger.is_complete(schedule.published())) {
                break;
            }
        }
        Ok(Report {
            disconnected: self.disconnected,
            farewell: self.farewell.take(),
            elapsed_ns: last_ns - start_ns,
            crowd_cpu_ns: self::cpu_ns() - cpu_ns,
            ..self.ledger.report(schedule.published())
        })
    }

    /// Publishes what may be published now; how long to wait for something to happen before the next.
    fn publish_due(&mut self, schedule: &mut Schedule) -> Result<Duration, BenchError> {
        let limit = self.ledger.limit();
        let now_ns = monotonic_ns();
        while schedule.next <= limit && schedule.is_due(now_ns) && self.publisher.unsent() < OUTBOX_BYTES {
            self.publish(schedule.next, self.job.work.topic(schedule.next), MESSAGE_BYTES);
            schedule.next += 1;
        }
        self.send()?;
        let until_ns = if schedule.next <= limit { schedule.due_ns() } else { schedule.end_ns };
        // What is due and was not published waits for room, which is told.
        Ok(if until_ns > now_ns { Duration::from_nanos(until_ns - now_ns).min(STALL) } else { STALL })
    }

    fn publish(&mut self, number: u64, topic: u64, bytes: usize) {
        self.payload.clear();
        message::write(&mut self.payload, number, monotonic_ns(), topic, bytes);
        self.publisher.queue(&self.payload);
    }

    /// Sends what the kernel takes, and has it tell when it takes more.
    fn send(&mut self) -> Result<(), BenchError> {
        self.publisher.flush()?;
        let awaits_room = self.publisher.unsent() > 0;
        if awaits_room != self.awaits_room {
            let flags =
                if awaits_room { epoll::EventFlags::IN | epoll::EventFlags::OUT } else { epoll::EventFlags::IN };
            epoll::modify(&self.poll, &self.publisher, epoll::EventData::new_u64(PUBLISHER), flags)
                .map_err(os("watching the publisher"))?;
            self.awaits_room = awaits_room;
        }
        Ok(())
    }

    /// Sends everything that waits.
    fn send_all(&mut self) -> Result<(), BenchError> {
        self.send()?;
        while self.publisher.unsent() > 0 {
            if !self.turn(AWAKE_DEADLINE)? {
                return Err(BenchError::Protocol("the gateway takes no messages".into()));
            }
            self.send()?;
        }
        Ok(())
    }

    /// Waits until something happens, and takes what has come; whether anything did.
    fn turn(&mut self, wait: Duration) -> Result<bool, BenchError> {
        let timeout = Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: i64::from(wait.subsec_nanos()) };
        self.ready.clear();
        match epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut self.ready), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(os("polling")(error)),
        }
        for index in 0..self.ready.len() {
            match self.ready[index].data.u64() {
                PUBLISHER => self.listen_to_publisher()?,
                subscriber => self.listen_to(subscriber as usize)?,
            }
        }
        Ok(!self.ready.is_empty())
    }

    fn listen_to(&mut self, subscriber: usize) -> Result<(), BenchError> {
        let Some(connection) = self.subscribers.get_mut(subscriber) else { return Ok(()) };
        // One look at the clock for all that one read brings.
        let mut now_ns = None;
        let ledger = &mut self.ledger;
        let status = connection.receive(&mut self.buffer, |mark| {
            let now_ns = *now_ns.get_or_insert_with(monotonic_ns);
            ledger.book(subscriber, mark, now_ns);
        })?;
        if let Status::Ended(farewell) = status {
            self.disconnected += 1;
            self.farewell.get_or_insert(farewell);
            epoll::delete(&self.poll, &*connection).map_err(os("forgetting a connection"))?;
        }
        Ok(())
    }

    /// A gateway may answer what is published; nobody is interested.
    fn listen_to_publisher(&mut self) -> Result<(), BenchError> {
        match self.publisher.receive(&mut self.buffer, |_| {})? {
            Status::Open => Ok(()),
            Status::Ended(farewell) => {
                Err(BenchError::Protocol(format!("the gateway has closed the publisher's connection {farewell}")))
            }
        }
    }
}

/// When messages are to be published.
struct Schedule {
    /// The number of the next one.
    next: u64,
    start_ns: u64,
    /// Time from one to the next; 0 for as soon as possible.
    interval_ns: u64,
    /// Nothing is published any more from then on.
    end_ns: u64,
}

impl Schedule {
    fn new(task: Task, start_ns: u64) -> Self {
        let (interval_ns, duration_ns) = match task {
            Task::Saturate { milliseconds, .. } => (0, milliseconds * 1_000_000),
            Task::Pace { messages, per_second, .. } => {
                let interval_ns = 1_000_000_000 / u64::from(per_second.max(1));
                (interval_ns, messages * interval_ns)
            }
            Task::Idle { .. } => (0, 0),
        };
        Self { next: 1, start_ns, interval_ns, end_ns: start_ns + duration_ns }
    }

    fn due_ns(&self) -> u64 {
        self.start_ns + self.published() * self.interval_ns
    }

    fn is_due(&self, now_ns: u64) -> bool {
        (self.due_ns()..self.end_ns).contains(&now_ns)
    }

    fn is_over(&self, now_ns: u64) -> bool {
        now_ns >= self.end_ns
    }

    fn published(&self) -> u64 {
        self.next - 1
    }
}

fn watch(poll: &OwnedFd, connection: &Connection, token: u64) -> Result<(), BenchError> {
    epoll::add(poll, connection, epoll::EventData::new_u64(token), epoll::EventFlags::IN)
        .map_err(os("watching a connection"))
}

/// Processor time of this process, in nanoseconds.
fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn os(doing: &'static str) -> impl FnOnce(rustix::io::Errno) -> BenchError {
    move |error| BenchError::io(doing)(error.into())
}
