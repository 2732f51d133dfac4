//! The Authorization header of the client's handshake, from environment variables.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eventflux_core::{EventFluxError, Properties, Secret};

use eventflux_websocket_wire::handshake::is_field_value;

const BEARER_TOKEN: &str = "auth.bearer_token_env";
const USERNAME: &str = "auth.basic_auth.username_env";
const PASSWORD: &str = "auth.basic_auth.password_env";

/// Which variables hold the credentials; never the credentials themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AuthConfig {
    /// No header.
    None,
    /// RFC 6750.
    Bearer {
        /// The variable with the token.
        token_env: String,
    },
    /// RFC 7617.
    Basic {
        /// The variable with the user's name.
        username_env: String,
        /// The variable with the password.
        password_env: String,
    },
}

impl AuthConfig {
    /// # Errors
    /// When a property is missing.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        Ok(match properties.text("auth.type")? {
            "bearer" => Self::Bearer { token_env: properties.text(BEARER_TOKEN)?.to_owned() },
            "basic" => Self::Basic {
                username_env: properties.text(USERNAME)?.to_owned(),
                password_env: properties.text(PASSWORD)?.to_owned(),
            },
            _ => Self::None,
        })
    }

    /// The header's value; `lookup` reads the environment.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] that names a variable which is not set or cannot be sent.
    pub(crate) fn header(&self, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Option<Secret>, EventFluxError> {
        let value = match self {
            Self::None => return Ok(None),
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
        Ok(Some(Secret::new(value)))
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
        let value = |auth: AuthConfig| auth.header(&lookup).unwrap().map(|secret| secret.expose().to_owned());
        assert_eq!(value(AuthConfig::None), None);
        assert_eq!(value(bearer("TOKEN")).as_deref(), Some("Bearer sk-123"));
        assert_eq!(value(basic("USER", "PASSWORD")).as_deref(), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
    }

    #[test]
    fn an_error_names_the_variable_and_shows_no_value() {
        for (auth, name) in [(bearer("UNSET"), "UNSET"), (bearer("EMPTY"), "EMPTY"), (basic("USER", "EVIL"), "EVIL")] {
            let error = auth.header(&lookup).unwrap_err().to_string();
            assert!(error.contains(name) && !error.contains("X-Admin"), "{error}");
        }
    }
}
