//! `nats`, beside the components of a file: how to connect to the server that subjects of ports of that type are at.

use super::{Config, Field, Shape, Target};

pub(in crate::components) const NATS: &[Field] = &[
    Field::new(
        "url",
        Shape::TEXT,
        Target::Property("nats.url"),
        "The servers, separated by commas: `nats://host:port`, or `tls://host:port`. Credentials do not belong into it.",
    )
    .required(),
    Field::new("name", Shape::TEXT, Target::Property("nats.name"), "What the connections are called in the server's lists."),
    Field::new(
        "user_env",
        Shape::EnvironmentName,
        Target::Made("`nats.user`", user),
        "The environment variable that holds the user's name; with `password_env`.",
    ),
    Field::new(
        "password_env",
        Shape::EnvironmentName,
        Target::Made("`nats.password`", password),
        "The environment variable that holds the password.",
    ),
    Field::new(
        "token_env",
        Shape::EnvironmentName,
        Target::Made("`nats.token`", token),
        "The environment variable that holds the token.",
    ),
    Field::new(
        "nkey_env",
        Shape::EnvironmentName,
        Target::Made("`nats.nkey`", nkey),
        "The environment variable that holds the seed of an nkey.",
    ),
    Field::new(
        "credentials",
        Shape::TEXT,
        Target::Property("nats.credentials"),
        "A file with a user's JWT and nkey, as `nsc` writes it.",
    ),
    Field::new("tls.required", Shape::BOOLEAN, Target::Property("nats.tls"), "Whether servers must speak TLS, whatever their URL says."),
    Field::new("tls.ca", Shape::TEXT, Target::Property("nats.tls.ca"), "Certificates to trust besides those of the system (PEM)."),
    Field::new("tls.cert", Shape::TEXT, Target::Property("nats.tls.cert"), "Our certificate for servers that ask for one (PEM); with `tls.key`."),
    Field::new("tls.key", Shape::TEXT, Target::Property("nats.tls.key"), "The file with its key (PEM)."),
];

fn user(config: &Config<'_>) -> Vec<(&'static str, String)> {
    variable(config, "user_env", "nats.user")
}

fn password(config: &Config<'_>) -> Vec<(&'static str, String)> {
    variable(config, "password_env", "nats.password")
}

fn token(config: &Config<'_>) -> Vec<(&'static str, String)> {
    variable(config, "token_env", "nats.token")
}

fn nkey(config: &Config<'_>) -> Vec<(&'static str, String)> {
    variable(config, "nkey_env", "nats.nkey")
}

/// The property with the value of the variable that a field names.
fn variable(config: &Config<'_>, path: &str, key: &'static str) -> Vec<(&'static str, String)> {
    config.text(path).map(|name| (key, format!("${{env:{name}}}"))).into_iter().collect()
}
