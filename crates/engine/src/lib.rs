//! SQL to running pipelines.
