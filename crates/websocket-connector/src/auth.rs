//! The Authorization header of the client's handshake, from environment variables or a file.

mod token_file;

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eventflux_core::{EventFluxError, Properties, Secret};

use eventflux_websocket_wire::handshake::is_field_value;

pub(crate) use token_file::TokenFile;

const BEARER_TOKEN: &str = "auth.bearer_token_env";
const TOKEN_FILE: &str = "auth.bearer_token_file";
const USERNAME: &str = "auth.basic_auth.username_env";
const PASSWORD: &str = "auth.basic_auth.password_env";

/// Which variables or file hold the credentials; never the credentials themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AuthConfig {
    /// No header.
    None,
    /// RFC 6750.
    Bearer {
        /// The variable with the token.
        token_env: String,
    },
    /// RFC 6750, with a token that changes.
    BearerFile {
        /// The file with the token.
        path: PathBuf,
    },
    /// RFC 7617.
    Basic {
        /// The variable with the user's name.
        username_env: String,
        /// The variable with the password.
        password_env: String,
    },
}

/// What is shown in each handshake.
#[derive(Debug, Clone)]
pub(crate) enum Authorization {
    /// No header.
    None,
    /// Always this value.
    Fixed(Secret),
    /// The token that the file has then.
    File(Arc<TokenFile>),
}

impl AuthConfig {
    /// # Errors
    /// When a property is missing.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        Ok(match properties.text("auth.type")? {
            "bearer" => Self::bearer(properties)?,
            "basic" => Self::Basic {
                username_env: properties.text(USERNAME)?.to_owned(),
                password_env: properties.text(PASSWORD)?.to_owned(),
            },
            _ => Self::None,
        })
    }

    fn bearer(properties: &Properties) -> Result<Self, EventFluxError> {
        match (properties.optional_text(BEARER_TOKEN), properties.optional_text(TOKEN_FILE)) {
            (Some(token_env), None) => Ok(Self::Bearer { token_env: token_env.to_owned() }),
            (None, Some(path)) => Ok(Self::BearerFile { path: PathBuf::from(path) }),
            (Some(_), Some(_)) => {
                let reason = format!("says where the token is, and so does {BEARER_TOKEN}");
                Err(EventFluxError::property(TOKEN_FILE, reason).with_hint("keep one of them"))
            }
            (None, None) => {
                let error = EventFluxError::property(BEARER_TOKEN, "is required but missing");
                Err(error
                    .with_hint(format!("name the environment variable with the token, or its file in {TOKEN_FILE}")))
            }
        }
    }

    /// What to show; `lookup` reads the environment.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] that names a variable which is not set or cannot be sent, or a file.
    pub(crate) fn authorization(
        &self,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Authorization, EventFluxError> {
        let value = match self {
            Self::None => return Ok(Authorization::None),
            Self::BearerFile { path } => return TokenFile::open(path).map(Authorization::File),
            Self::Bearer { token_env } => format!("Bearer {}", read(BEARER_TOKEN, token_env, lookup)?.trim()),
            Self::Basic { username_env, password_env } => {
                let username = read(USERNAME, username_env, lookup)?;
                if username.contains(':') {
                    let reason = format!("the value of environment variable {username_env} must not contain ':'");
                    return Err(EventFluxError::property(USERNAME, reason));
                }
                let password = read(PASSWORD, password_env, lookup)?;
                format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
            }
        };
        Ok(Authorization::Fixed(Secret::new(value)))
    }
}

impl Authorization {
    /// The header's value now.
    pub(crate) async fn value(&self) -> Option<Secret> {
        match self {
            Self::None => None,
            Self::Fixed(value) => Some(value.clone()),
            Self::File(file) => Some(Secret::new(format!("Bearer {}", file.current().await.expose()))),
        }
    }
}

fn read(property: &str, name: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, EventFluxError> {
    let value = lookup(name).filter(|value| !value.is_empty()).ok_or_else(|| {
        EventFluxError::property(property, format!("environment variable {name} is not set"))
            .with_hint(format!("set {name} before the start"))
    })?;
    if !is_field_value(&value) {
        let reason = format!("the value of environment variable {name} has a line break or control character");
        return Err(EventFluxError::property(property, reason));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        let value = match name {
            "TOKEN" => "sk-123",
            "USER" => "Aladdin",
            "PASSWORD" => "open sesame",
            "EVIL" => "x\r\nX-Admin: 1",
            "EMPTY" => "",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn bearer(name: &str) -> AuthConfig {
        AuthConfig::Bearer { token_env: name.to_owned() }
    }

    fn basic(user: &str, password: &str) -> AuthConfig {
        AuthConfig::Basic { username_env: user.to_owned(), password_env: password.to_owned() }
    }

    #[test]
    fn headers_are_those_of_the_rfcs() {
        let value = |auth: AuthConfig| {
            let authorization = auth.authorization(&lookup).unwrap();
            tokio_test::block_on(authorization.value()).map(|secret| secret.expose().to_owned())
        };
        assert_eq!(value(AuthConfig::None), None);
        assert_eq!(value(bearer("TOKEN")).as_deref(), Some("Bearer sk-123"));
        assert_eq!(value(basic("USER", "PASSWORD")).as_deref(), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
    }

    #[test]
    fn an_error_names_the_variable_and_shows_no_value() {
        for (auth, name) in [(bearer("UNSET"), "UNSET"), (bearer("EMPTY"), "EMPTY"), (basic("USER", "EVIL"), "EVIL")] {
            let error = auth.authorization(&lookup).unwrap_err().to_string();
            assert!(error.contains(name) && !error.contains("X-Admin"), "{error}");
        }
    }

    #[test]
    fn a_token_comes_from_one_place() {
        let properties = |raw: &[(&str, &str)]| {
            let raw = [("websocket.url", "ws://h"), ("auth.type", "bearer")].into_iter().chain(raw.iter().copied());
            Properties::from_pairs(crate::SOURCE_PROPERTIES, raw).unwrap()
        };
        let of = |raw: &[(&str, &str)]| AuthConfig::from_properties(&properties(raw));
        let (env, file) = ((BEARER_TOKEN, "TOKEN"), (TOKEN_FILE, "/run/token"));
        assert_eq!(of(&[env]), Ok(bearer("TOKEN")));
        assert_eq!(of(&[file]), Ok(AuthConfig::BearerFile { path: "/run/token".into() }));
        for wrong in [&[env, file][..], &[]] {
            let error = of(wrong).unwrap_err().to_string();
            assert!(error.contains(BEARER_TOKEN) && error.contains(TOKEN_FILE), "{error}");
        }
    }
}
