//! Contracts and vocabulary of EventFlux.
mod data_type;

pub use data_type::DataType;
