//! Formats of EventFlux: json, text, bytes and csv mappers.
