//! Who a client is, and what it may do.
//!
//! An [`Identity`] is what credentials turn out to stand for: a user, [`Grants`] and an end. Credentials are judged here as
//! far as that needs no I/O: lists of tokens and users ([`Tokens`], [`Users`]), and JSON Web Tokens ([`JwtVerifier`]) with
//! keys that somebody else fetches ([`Keys`]). [`Attempts`] slows down who guesses. Time is handed in everywhere.

mod attempts;
mod denied;
mod grants;
mod identity;
mod jwt;
mod keys;
mod lists;
mod templates;
#[cfg(test)]
mod testing;

pub use attempts::{Attempts, MAX_ADDRESSES};
pub use denied::Denied;
pub use grants::{Grants, MAX_GRANTS, Verb};
pub use identity::{Identity, MAX_USER_BYTES, check_user};
pub use jwt::{JwtRules, JwtVerifier, MAX_TOKEN_BYTES};
pub use keys::{Algorithm, Keys, KeysError, MAX_KEYS, MIN_RSA_BITS, MIN_SECRET_BYTES};
pub use lists::{ListError, MAX_LIST_ENTRIES, Tokens, Users};
pub use templates::{ChannelList, GrantTemplates, USER_PLACEHOLDER};
