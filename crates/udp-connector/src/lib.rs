//! The `udp` source: each datagram that arrives at an address is a message.
//!
//! One thread reads the socket and delivers: whatever the socket has is one batch. While the pipeline is busy, datagrams
//! wait in a bounded queue, and its policy says what happens when that is full. Nothing here decodes a payload, and
//! nothing here promises delivery: UDP does not.
//!
//! | module | for |
//! |---|---|
//! | `properties`, `config` | what a pipeline author writes, and what it means |
//! | `socket` | binding, buffer size, multicast |
//! | `reader` | a burst of datagrams from the socket into the queue |
//! | `queue` | what waits for the pipeline; no I/O |
//! | `kernel` | what the operating system dropped, where it tells |
//! | `source` | the thread that joins them |

mod config;
mod factory;
mod kernel;
mod properties;
mod queue;
mod reader;
mod socket;
mod source;

pub use config::{Multicast, UdpSourceConfig};
pub use factory::UdpSourceFactory;
pub use properties::{METADATA, SOURCE_PROPERTIES};
pub use queue::{FullPolicy, QueueLimits};
pub use source::UdpSource;

use eventflux_core::EventFluxContext;

/// Adds the connector to `context`.
pub fn register(context: &mut EventFluxContext) {
    context.add_source_factory(UdpSourceFactory);
}
