//! `eventflux request`: ask a running pipeline something.

mod params;
mod pretty;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use eventflux_core::{EventFluxError, runtime};
use eventflux_websocket_connector::{Message, Messages, RequestFailure, Requester, RequesterOptions};
use serde_json::value::RawValue;
use tokio::sync::Notify;

use self::params::Params;
use crate::args::{AccessArgs, RequestArgs};
use crate::exit::Exit;
use crate::{output, signals};

/// Asks, prints what comes back, and the messages that follow where they are wanted.
pub(crate) fn request(args: &RequestArgs) -> Exit {
    let (params, options) = match Params::of(args).and_then(|params| Ok((params, options(args)?))) {
        Ok(all) => all,
        Err(problem) => return usage(&problem),
    };
    let stopped = Arc::new(Notify::new());
    if args.follow {
        let stop = stopped.clone();
        if let Err(error) = signals::handle(move || stop.notify_one()) {
            output::print_error(&format!("cannot watch for signals: {error}"));
            return Exit::PipelineFailed;
        }
    }
    let asked = runtime::shared().and_then(|runtime| runtime.block_on(ask(args, &params, &options, &stopped)));
    asked.unwrap_or_else(|error| {
        output::print_error(&error.to_string());
        match error {
            EventFluxError::ConnectionUnavailable { .. } => Exit::Unreachable,
            _ => Exit::Usage,
        }
    })
}

async fn ask(
    args: &RequestArgs,
    params: &Params,
    options: &RequesterOptions,
    stopped: &Notify,
) -> Result<Exit, EventFluxError> {
    if !args.follow {
        let requester = Requester::connect(&args.url, options).await?;
        let reply = requester.request(&args.method, params).await;
        requester.close().await;
        return Ok(match reply {
            Ok(result) => output::print(&text(&result, args.json)),
            Err(failure) => failed(&args.method, &failure),
        });
    }
    let (requester, messages) = Requester::connect_following(&args.url, options).await?;
    let asking = async {
        let reply = requester.request(&args.method, params).await;
        reply.map(|result| output::note(&text(&result, args.json))).map_err(|failure| failed(&args.method, &failure))
    };
    let exit = tokio::select! {
        exit = follow(asking, messages, args.count) => exit,
        () = stopped.notified() => Exit::Success,
    };
    requester.close().await;
    Ok(exit)
}

/// Prints messages to the end, also those that come before the reply.
async fn follow(asking: impl Future<Output = Result<(), Exit>>, mut messages: Messages, count: Option<u64>) -> Exit {
    let printing = async {
        let mut left = count;
        while left != Some(0) {
            let Some(message) = messages.next().await else {
                output::print_error(&messages.ending());
                return Err(Exit::Unreachable);
            };
            output::print_next(&line(&message))?;
            left = left.map(|left| left - 1);
        }
        Ok(())
    };
    // An error of either ends both.
    match tokio::try_join!(biased; asking, printing) {
        Ok(_) => Exit::Success,
        Err(exit) => exit,
    }
}

/// A message on one line.
fn line(message: &Message) -> String {
    if message.is_binary {
        return format!("\"{}\"\n", STANDARD.encode(&message.payload));
    }
    // Line breaks are between values: in a JSON text they are escaped.
    let text = String::from_utf8_lossy(&message.payload).replace(['\n', '\r'], " ");
    format!("{text}\n")
}

fn text(result: &RawValue, as_it_is: bool) -> String {
    if as_it_is { format!("{}\n", result.get()) } else { pretty::indented(result) }
}

fn options(args: &RequestArgs) -> Result<RequesterOptions, String> {
    let AccessArgs { bearer_env, bearer_file, headers, ca_file, insecure, set } = &args.access;
    let timeout = format!("{}ms", args.timeout.as_millis());
    let mut options = RequesterOptions::default().timeout(args.timeout).property("websocket.connect.timeout", &timeout);
    if let Some(name) = bearer_env {
        options = options.property("auth.type", "bearer").property("auth.bearer_token_env", name);
    }
    if let Some(path) = bearer_file {
        options = options.property("auth.type", "bearer").property("auth.bearer_token_file", &path.to_string_lossy());
    }
    for header in headers {
        let (name, value) = header.split_once(':').ok_or("--header: write it as 'Name: value'")?;
        options = options.header(name.trim(), value.trim());
    }
    if let Some(path) = ca_file {
        options = options.ca_file(path);
    }
    if *insecure {
        options = options.skip_verify();
    }
    for property in set {
        let (key, value) = property.split_once('=').ok_or("--set: write it as KEY=VALUE")?;
        options = options.property(key.trim(), value);
    }
    Ok(options)
}

fn failed(method: &str, failure: &RequestFailure) -> Exit {
    output::print_error(&format!("{method}: {failure}"));
    match failure {
        RequestFailure::Refused { .. } | RequestFailure::Unreadable(_) => Exit::Refused,
        RequestFailure::Invalid(_) => Exit::Usage,
        _ => Exit::Unreachable,
    }
}

fn usage(problem: &str) -> Exit {
    output::print_error(problem);
    Exit::Usage
}
