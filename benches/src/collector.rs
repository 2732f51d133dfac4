//! The collector: a WebSocket server that receives, checks every message, and reports.
//!
//! It parses frames straight from a large buffer and looks only for the sequence number (`t`) and,
//! in paced runs, the send time (`T`). A sample of the messages is decoded and compared in full.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use clap::Args;
use hdrhistogram::Histogram;
use memchr::memmem::Finder;

use crate::checker::SequenceChecker;
use crate::clock::monotonic_ns;
use crate::control::{CollectorReport, Event, Gate, Latency, emit, follow_runner};
use crate::error::BenchError;
use crate::feeder::{accept, answer, listen};
use crate::frame::{self, BINARY, CLOSE, TEXT, next_client_frame};
use crate::workload::{Expect, FIRST_TRADE_ID, Pattern};

/// One message in this many is decoded and compared with its row. Prime, so that it visits all rows.
pub const VALUE_CHECK_INTERVAL: u64 = 997;

/// Receive buffer of a connection, in bytes: one read takes what the kernel has.
const READ_BUFFER_BYTES: usize = 256 * 1024;

/// How long a complete connection is watched for messages that should not come.
const GRACE: Duration = Duration::from_millis(30);

/// How often a silent connection is looked at.
const TICK: Duration = Duration::from_millis(250);

/// Longest latency the histogram tells apart, in nanoseconds.
const MAX_LATENCY_NS: u64 = 60_000_000_000;

/// Significant digits of the latency histogram.
const LATENCY_DIGITS: u8 = 3;

/// What a collector waits for.
#[derive(Debug, Clone, Args)]
pub struct CollectorArgs {
    /// Messages sent on each of the feeder's connections.
    #[arg(long)]
    pub messages: u64,
    /// Connections to wait for.
    #[arg(long, default_value_t = 1)]
    pub connections: usize,
    /// Which messages should arrive.
    #[arg(long)]
    pub expect: Expect,
    /// Measure latency by the send time in `T`.
    #[arg(long)]
    pub latency: bool,
    /// Arrivals on each connection that are not counted in the latency.
    #[arg(long, default_value_t = 0)]
    pub warmup: u64,
    /// A connection without progress for so many milliseconds has lost the rest.
    #[arg(long)]
    pub stall_ms: u64,
}

/// Runs the collector until its runner goes away.
///
/// # Errors
/// When it cannot listen, or a system under test does not shake hands or breaks the protocol.
pub fn run(args: &CollectorArgs) -> Result<(), BenchError> {
    let gate = follow_runner();
    let listener = listen()?;
    let (verdicts, finished) = channel();
    for count in 1..=args.connections {
        let stream = accept(&listener)?;
        let mut receiver = Receiver::new(stream, args, Arc::clone(&gate), verdicts.clone())?;
        emit(&Event::Connected { count })?;
        thread::spawn(move || receiver.run());
    }
    let mut total = Verdict::new()?;
    for verdict in finished.iter().take(args.connections) {
        total.add(&verdict?)?;
    }
    emit(&Event::Report(total.into_report(args.latency)))?;
    // The connections stay answered until the runner, who closes standard input, is done.
    loop {
        thread::park();
    }
}

/// What was seen on one connection, or on all.
struct Verdict {
    report: CollectorReport,
    latency: Histogram<u64>,
}

impl Verdict {
    fn new() -> Result<Self, BenchError> {
        let latency = Histogram::new_with_bounds(1, MAX_LATENCY_NS, LATENCY_DIGITS)
            .map_err(|error| BenchError::Protocol(format!("creating a histogram: {error}")))?;
        Ok(Self { report: CollectorReport::default(), latency })
    }

    fn add(&mut self, other: &Self) -> Result<(), BenchError> {
        let (sum, part) = (&mut self.report, &other.report);
        sum.tally.add(&part.tally);
        sum.values_checked += part.values_checked;
        sum.wrong_values += part.wrong_values;
        sum.last_ns = sum.last_ns.max(part.last_ns);
        sum.first_ns = match (sum.first_ns, part.first_ns) {
            (0, only) | (only, 0) => only,
            (a, b) => a.min(b),
        };
        self.latency.add(&other.latency).map_err(|error| BenchError::Protocol(format!("adding histograms: {error}")))
    }

    fn into_report(self, with_latency: bool) -> CollectorReport {
        let latency = with_latency.then(|| Latency {
            count: self.latency.len(),
            p50_ns: self.latency.value_at_quantile(0.5),
            p99_ns: self.latency.value_at_quantile(0.99),
            p999_ns: self.latency.value_at_quantile(0.999),
            max_ns: self.latency.max(),
        });
        CollectorReport { latency, ..self.report }
    }
}

/// One connection.
struct Receiver {
    stream: TcpStream,
    args: CollectorArgs,
    gate: Arc<Gate>,
    pattern: Pattern,
    checker: SequenceChecker,
    scanner: Scanner,
    verdict: Verdict,
    arrivals: u64,
    /// Taken when the verdict is given; the connection goes on being answered.
    verdicts: Option<Sender<Result<Verdict, BenchError>>>,
}

/// How reading a connection went on.
enum Reading {
    Bytes(usize),
    Silence,
    End,
}

impl Receiver {
    fn new(
        stream: TcpStream,
        args: &CollectorArgs,
        gate: Arc<Gate>,
        verdicts: Sender<Result<Verdict, BenchError>>,
    ) -> Result<Self, BenchError> {
        stream.set_read_timeout(Some(TICK)).map_err(BenchError::io("configuring a connection"))?;
        let pattern = Pattern::new();
        Ok(Self {
            stream,
            args: args.clone(),
            gate,
            checker: SequenceChecker::new(pattern.clone(), args.expect, args.messages),
            pattern,
            scanner: Scanner::new(),
            verdict: Verdict::new()?,
            arrivals: 0,
            verdicts: Some(verdicts),
        })
    }

    fn run(&mut self) {
        let outcome = self.receive();
        if let Some(verdicts) = self.verdicts.take() {
            let _ = verdicts.send(outcome.and_then(|()| self.take_verdict()));
        }
    }

    /// Reads until the peer leaves.
    fn receive(&mut self) -> Result<(), BenchError> {
        let mut buffer = vec![0; READ_BUFFER_BYTES];
        let mut filled = 0;
        loop {
            match self.read(&mut buffer[filled..])? {
                Reading::Bytes(count) => filled += count,
                Reading::Silence => {
                    self.conclude_in_silence()?;
                    continue;
                }
                Reading::End => return Ok(()),
            }
            let now = monotonic_ns();
            let mut start = 0;
            while let Some(found) = next_client_frame(&buffer[start..filled])? {
                let payload = &mut buffer[start..filled][found.payload.clone()];
                frame::unmask(payload, found.mask);
                start += found.payload.end;
                match found.opcode {
                    TEXT | BINARY => self.take_message(payload, now),
                    opcode => self.take_control(opcode, payload)?,
                }
            }
            buffer.copy_within(start..filled, 0);
            filled -= start;
        }
    }

    fn read(&mut self, space: &mut [u8]) -> Result<Reading, BenchError> {
        match self.stream.read(space) {
            Ok(0) => Ok(Reading::End),
            Ok(count) => Ok(Reading::Bytes(count)),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Reading::Silence),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Reading::Silence),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(Reading::End),
            Err(source) => Err(BenchError::io("receiving from the system under test")(source)),
        }
    }

    fn take_message(&mut self, message: &[u8], now: u64) {
        if self.verdicts.is_none() {
            return;
        }
        let sequence = self.scanner.sequence(message);
        let was_complete = self.checker.is_complete();
        self.checker.record(sequence);
        self.arrivals += 1;
        let report = &mut self.verdict.report;
        if report.first_ns == 0 {
            report.first_ns = now;
        }
        if !was_complete {
            report.last_ns = now;
        }
        if self.args.latency
            && self.arrivals > self.args.warmup
            && let Some(sent) = self.scanner.time(message)
        {
            let latency = now.saturating_sub(sent);
            self.verdict.latency.saturating_record(latency);
        }
        if let Some(sequence) = sequence
            && self.arrivals % VALUE_CHECK_INTERVAL == 1
        {
            let right = self.pattern.matches(self.args.expect, sequence, message);
            report.values_checked += 1;
            report.wrong_values += u64::from(!right);
        }
        if !was_complete && self.checker.is_complete() {
            // From here on the first silence ends the count.
            let _ = self.stream.set_read_timeout(Some(GRACE));
        }
    }

    fn take_control(&mut self, opcode: u8, payload: &[u8]) -> Result<(), BenchError> {
        let Some(bytes) = answer(opcode, payload) else {
            return Ok(());
        };
        match self.stream.write_all(&bytes) {
            // A peer that closes need not wait for our answer.
            Err(_) if opcode == CLOSE => Ok(()),
            other => other.map_err(BenchError::io("answering a control frame")),
        }
    }

    /// A silent connection is finished when everything has arrived, or nothing more will.
    fn conclude_in_silence(&mut self) -> Result<(), BenchError> {
        let Some(opened_at) = self.gate.opened_at_ns() else {
            return Ok(());
        };
        let progress_at = self.verdict.report.last_ns.max(opened_at);
        let silent_ns = monotonic_ns().saturating_sub(progress_at);
        let stalled = silent_ns > self.args.stall_ms * 1_000_000;
        if (self.checker.is_complete() || stalled)
            && let Some(verdicts) = self.verdicts.take()
        {
            let _ = verdicts.send(self.take_verdict());
        }
        Ok(())
    }

    fn take_verdict(&mut self) -> Result<Verdict, BenchError> {
        let mut verdict = std::mem::replace(&mut self.verdict, Verdict::new()?);
        verdict.report.tally = self.checker.tally();
        Ok(verdict)
    }
}

/// Finds columns in a JSON object without decoding it.
struct Scanner {
    sequence: Finder<'static>,
    time: Finder<'static>,
}

impl Scanner {
    fn new() -> Self {
        Self { sequence: Finder::new("\"t\":"), time: Finder::new("\"T\":") }
    }

    /// The sequence number of a message.
    fn sequence(&self, message: &[u8]) -> Option<u64> {
        integer_after(&self.sequence, message)?.checked_sub(FIRST_TRADE_ID)
    }

    /// The send time of a message, in nanoseconds of `CLOCK_MONOTONIC`.
    fn time(&self, message: &[u8]) -> Option<u64> {
        integer_after(&self.time, message)
    }
}

fn integer_after(key: &Finder<'_>, message: &[u8]) -> Option<u64> {
    let start = key.find(message)? + key.needle().len();
    let value = message.get(start..)?.trim_ascii_start();
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut number = 0_u64;
    for digit in value.get(..digits).filter(|digits| !digits.is_empty())? {
        number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scanner_reads_sequence_and_time_of_a_trade() {
        let scanner = Scanner::new();
        let message = br#"{"e":"trade","s":"BTCUSDT","t":10000042,"p":1.5,"T": 987,"m":true}"#;
        assert_eq!(scanner.sequence(message), Some(42));
        assert_eq!(scanner.time(message), Some(987));
    }

    #[test]
    fn scanner_gives_up_on_what_is_not_a_number() {
        let scanner = Scanner::new();
        for message in [
            &br#"{"T":5}"#[..],
            br#"{"t":"#,
            br#"{"t":null}"#,
            br#"{"t":"10000001"}"#,
            br#"{"t":9}"#,
            br#"{"t":99999999999999999999999}"#,
        ] {
            assert_eq!(scanner.sequence(message), None);
        }
    }
}
