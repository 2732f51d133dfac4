//! `authenticate`: the peer shows a new token, before the one it came with expires.

use bytes::Bytes;
use eventflux_core::Secret;
use serde::Serialize;

use super::{Params, Refusal, ok};

/// Bytes of a token.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// The token.
pub(in super::super) fn token(mut params: Params) -> Result<Secret, Refusal> {
    let token = params.text("token", MAX_TOKEN_BYTES)?;
    let token = token.filter(|token| !token.is_empty()).ok_or_else(|| Refusal::invalid("'token' is missing"))?;
    params.finish("token")?;
    Ok(Secret::new(token))
}

/// The payload of the reply to a token that is good.
pub(in super::super) fn authenticated() -> Bytes {
    #[derive(Serialize)]
    struct Authenticated {
        authenticated: bool,
    }
    ok(&Authenticated { authenticated: true })
}
