//! The `eventflux` command.

fn main() {}
