//! Who the clients of a listener are, and what they may do: properties, and what needs files and the network.
//!
//! [`AccessConfig`] is what the properties say; an [`Authenticator`] does it. It finds the [`Credentials`] of a request,
//! judges them, asks services where it has to, and counts. Judging itself is done in `eventflux_gateway::auth`, without I/O.
//!
//! A credential is a [`Secret`](eventflux_core::Secret) from the moment it is read. It is sent to the configured service
//! and nowhere else, and no redirect is followed.

mod authenticator;
mod cache;
mod callback;
mod config;
mod credentials;
mod file;
mod http;
mod jwks;
mod service_url;
#[cfg(test)]
mod testing;

pub(crate) use authenticator::Authenticator;
pub(crate) use config::AccessConfig;
pub(crate) use credentials::Credentials;
