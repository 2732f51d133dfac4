//! The federation benchmark.

fn main() {}
