//! The formats as a pipeline meets them: made by their factories from properties, batches in, batches out.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bytes;
mod csv;
mod declarations;
mod json_decode;
mod json_differential;
mod json_encode;
mod round_trip;
mod support;
mod text;
