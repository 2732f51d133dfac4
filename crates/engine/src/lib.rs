//! SQL to running pipelines.
//!
//! [`EventFlux`] reads one SQL file, or a component file: streams with sources and sinks, and queries between them; and runs
//! it. The engine knows connectors, formats and user functions only by the registry
//! ([`eventflux_core::EventFluxContext`]) it is given.
//!
//! - [`sql`] turns text into a syntax tree with places, or into every mistake in it.
//! - [`components`] turns component files, JSON, into the same tree.
//! - [`expr`] and [`functions`] compile expressions to typed code over columns.
//! - `plan` resolves names, validates properties and makes connectors, without any I/O.
//! - `runtime` runs a plan: sinks before sources, events dispatched on the source's thread, error strategies, drain.

mod api;
pub mod components;
pub mod diagnostic;
pub mod expr;
pub mod functions;
mod overrides;
mod plan;
mod runtime;
pub mod sql;

pub use api::{ConnectorStatus, EventFlux, InputHandler, PlanError, Stopper, Summary, check};
pub use diagnostic::{Diagnostic, SourceFile};
pub use overrides::Override;
