//! `websocket_input` and `websocket` output: the two ends of a federation, each of which may listen or connect.

mod input;
mod output;

pub(super) use input::INPUT;
pub(super) use output::OUTPUT;

use super::{Config, Field, Shape, Target};

const SERVER: &[(&str, &str)] = &[("mode", "server")];
const CLIENT: &[(&str, &str)] = &[("mode", "client")];
const BEARER: &[(&str, &str)] = &[("auth.type", "bearer")];
const BASIC: &[(&str, &str)] = &[("auth.type", "basic")];
const BIDIRECTIONAL: &[(&str, &str)] = &[("bidirectional.enabled", "true")];
/// Who connects has a name; that of a component is nobody in particular.
const PEER: &str = "peer";

const FIXED: &[(&str, &str)] = &[("websocket.protocol", "federation")];

const MODES: Shape = Shape::choice(&["server", "client"]);
const MAX_RETRIES: Shape = Shape::integer(-1, i32::MAX as i64);
const AUTH_TYPE: Field = Field::new(
    "auth.type",
    Shape::choice(&["none", "bearer", "basic"]),
    Target::Made("`websocket.auth` (server), `auth.type` (client)", auth),
    "How the peer that connects proves who it is.",
)
.default("none");

const BEARER_TOKEN: Field = Field::new(
    "auth.bearer_token_env",
    Shape::EnvironmentName,
    Target::Made("`websocket.auth.tokens` (server), `auth.bearer_token_env` (client)", bearer),
    "The environment variable that holds the token.",
)
.required()
.when(BEARER);

const USERNAME: Field = Field::new(
    "auth.basic_auth.username_env",
    Shape::EnvironmentName,
    Target::Made("`websocket.auth.users` (server), `auth.basic_auth.username_env` (client)", username),
    "The environment variable that holds the user's name.",
)
.required()
.when(BASIC);

const PASSWORD: Field = Field::new(
    "auth.basic_auth.password_env",
    Shape::EnvironmentName,
    Target::Made("`websocket.auth.users` (server), `auth.basic_auth.password_env` (client)", password),
    "The environment variable that holds the password.",
)
.required()
.when(BASIC);

const BIDIRECTIONAL_ENABLED: Field = Field::new(
    "bidirectional.enabled",
    Shape::BOOLEAN,
    Target::Property("websocket.control"),
    "Whether there are requests and replies.",
)
.default("true");

const REQUEST_TIMEOUT: Field = Field::new(
    "bidirectional.request_timeout",
    Shape::DURATION,
    Target::Property("websocket.request.timeout"),
    "How long a request may wait for its reply.",
)
.default("5s")
.when(BIDIRECTIONAL);

const MAX_REQUESTS: Field = Field::new(
    "bidirectional.max_concurrent_requests",
    Shape::integer(1, 100_000),
    Target::Property("websocket.max.requests"),
    "How many requests may wait for a reply at a time.",
)
.when(BIDIRECTIONAL);

fn auth(config: &Config<'_>) -> Vec<(&'static str, String)> {
    let kind = config.text("auth.type").unwrap_or("none");
    match (config.is("mode", "server"), kind) {
        (_, "none") => Vec::new(),
        (true, "bearer") => vec![("websocket.auth", "token".to_owned())],
        (true, _) => vec![("websocket.auth", "basic".to_owned())],
        (false, _) => vec![("auth.type", kind.to_owned())],
    }
}

fn bearer(config: &Config<'_>) -> Vec<(&'static str, String)> {
    let Some(name) = config.text("auth.bearer_token_env") else { return Vec::new() };
    if config.is("mode", "server") {
        // A token may end in '=': what follows the last one is the user.
        vec![("websocket.auth.tokens", format!("${{env:{name}}}={PEER}"))]
    } else {
        vec![("auth.bearer_token_env", name.to_owned())]
    }
}

fn username(config: &Config<'_>) -> Vec<(&'static str, String)> {
    let Some(user) = config.text("auth.basic_auth.username_env") else { return Vec::new() };
    if !config.is("mode", "server") {
        return vec![("auth.basic_auth.username_env", user.to_owned())];
    }
    let password = config.text("auth.basic_auth.password_env");
    password
        .map(|password| ("websocket.auth.users", format!("${{env:{user}}}:${{env:{password}}}")))
        .into_iter()
        .collect()
}

fn password(config: &Config<'_>) -> Vec<(&'static str, String)> {
    let name = config.text("auth.basic_auth.password_env").filter(|_| !config.is("mode", "server"));
    name.map(|name| ("auth.basic_auth.password_env", name.to_owned())).into_iter().collect()
}
