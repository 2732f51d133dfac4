//! The `eventflux` command: plans files, SQL or components, runs them as pipelines, and explains what can be written in them.
//!
//! This crate connects the parts: it registers every connector and format, hands files to the engine, turns signals
//! into a drain, and shows progress. It decides nothing about events, SQL or protocols.

mod admin;
mod args;
mod check;
mod connectors;
mod context;
mod convert;
mod exit;
mod files;
mod logging;
mod output;
mod process;
mod progress;
mod reference;
mod request;
mod run;
mod signals;
mod summary;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

fn main() -> ExitCode {
    let args = Args::parse();
    logging::start(&args.logging);
    let exit = match &args.command {
        Command::Run(run) => run::run(run, args.logging.quiet),
        Command::Check(check) => check::check(check),
        Command::Convert(convert) => convert::convert(convert),
        Command::Request(request) => request::request(request),
        Command::Connectors(connectors) => connectors::show(connectors),
        Command::Functions(_) => output::print(&eventflux_engine::functions::markdown()),
        Command::Components(_) => output::print(&eventflux_engine::components::markdown()),
        Command::Version => output::print(concat!("eventflux ", env!("CARGO_PKG_VERSION"), "\n")),
    };
    exit.into()
}
