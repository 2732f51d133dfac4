//! The pipeline benchmark: what it costs to move trades from one WebSocket to another.
//!
//! A run starts three kinds of process on loopback: a [`feeder`] (WebSocket server that sends), the
//! system under test (client of both ends), and a [`collector`] (WebSocket server that receives and
//! checks every message). [`run`] conducts one run, [`report`] turns many runs into a table, and
//! the binaries `pipeline-bench` and `scaling-bench` choose what to run.
//!
//! Feeder and collector are servers because every system under test then has the same job: two
//! client connections. They avoid a WebSocket library on the hot path, so that on a small machine the
//! system under test gets most of the processor.
//!
//! A second benchmark, [`wire`], measures one part of this alone: the WebSocket library, against other ones.
//!
//! It measures whole processes over real sockets. It does *not* measure single functions (those
//! benchmarks live beside the code they measure), networks, or TLS. It needs Linux (`/proc`).

#![allow(clippy::print_stderr, reason = "a benchmark reports its progress and failures on standard error")]

pub mod checker;
pub mod clock;
pub mod collector;
pub mod control;
pub mod error;
pub mod feeder;
pub mod frame;
pub mod handwritten;
pub mod peer;
pub mod process;
pub mod relay;
pub mod report;
pub mod role;
pub mod run;
pub mod scaling_sql;
pub mod series;
pub mod stats;
pub mod system;
pub mod usage;
pub mod wire;
pub mod workload;
