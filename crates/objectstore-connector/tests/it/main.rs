//! The `objectstore` sink with real directories and with servers that speak the protocol of S3.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod contract;
mod directory;
mod support;

#[cfg(feature = "s3")]
mod fake_s3;
#[cfg(feature = "s3")]
mod s3;
