//! What EventFlux needs of NATS, and what several processes share through it. Knows no source, no sink and no hub.
//!
//! | module | for |
//! |---|---|
//! | [`properties`] | what a pipeline author writes of a connection and of a stream |
//! | [`config`] | what it means |
//! | [`connection`] | connecting, and staying connected |
//! | [`subject`] | names of subjects from data |
//! | [`stream`] | JetStream streams that must exist, or are created |
//! | [`publisher`] | publishing to JetStream in order, many at a time, each confirmed |
//! | [`bus`] | what several processes say to each other: a log that all read, and who is present |
//! | [`leases`] | which of several processes holds what |

pub mod bus;
pub mod config;
pub mod connection;
pub mod leases;
pub mod properties;
pub mod publisher;
pub mod stream;
pub mod subject;

pub use config::ConnectionConfig;
pub use connection::{Connection, Observer};
pub use stream::StreamConfig;
