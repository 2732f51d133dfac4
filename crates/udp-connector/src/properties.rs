//! Every property of a `udp` source, and what it knows about a message.

use eventflux_core::{DataType, MetadataSpec, PropertyKind, PropertySpec};

/// Largest payload of a datagram, in bytes: its length has 16 bits.
pub(crate) const MAX_DATAGRAM_BYTES: usize = 65_535;
/// Most datagrams that may be allowed to wait.
const MAX_QUEUE_SIZE: i64 = 10_000_000;

pub(crate) const LISTEN: &str = "udp.listen";
pub(crate) const MAX_DATAGRAM: &str = "udp.max.datagram";
pub(crate) const RECEIVE_BUFFER: &str = "udp.receive.buffer";
pub(crate) const QUEUE_SIZE: &str = "udp.queue.size";
pub(crate) const QUEUE_BYTES: &str = "udp.queue.bytes";
pub(crate) const QUEUE_FULL: &str = "udp.queue.full";
pub(crate) const REUSE: &str = "udp.reuse";
pub(crate) const MULTICAST_GROUP: &str = "udp.multicast.group";
pub(crate) const MULTICAST_INTERFACE: &str = "udp.multicast.interface";

/// Properties of a `udp` source.
pub const SOURCE_PROPERTIES: &[PropertySpec] = &[
    PropertySpec::new(
        LISTEN,
        PropertyKind::Address,
        "Where to receive: host and port; `:14550` is that port on all IPv4 addresses, `[::]:14550` on all of both kinds. Port 0 takes a free one; the log and the connector's health tell which.",
    )
    .required()
    .example(":14550"),
    PropertySpec::new(
        MAX_DATAGRAM,
        PropertyKind::Size,
        "Largest datagram that is a message, from 1 to 65535 bytes. A larger one goes to the error strategy as a whole.",
    )
    .default("65535"),
    PropertySpec::new(
        RECEIVE_BUFFER,
        PropertyKind::Size,
        "Buffer of the operating system for this socket (SO_RCVBUF): what it holds while the source does not read. Without it, the system's own size; with it, as much of it as the system allows.",
    )
    .example("4MiB"),
    PropertySpec::new(
        QUEUE_SIZE,
        PropertyKind::Integer { min: 1, max: MAX_QUEUE_SIZE },
        "How many datagrams wait while the pipeline is busy.",
    )
    .default("10000"),
    PropertySpec::new(
        QUEUE_BYTES,
        PropertyKind::Size,
        "How many bytes they have together; at least udp.max.datagram.",
    )
    .default("64MiB"),
    PropertySpec::new(
        QUEUE_FULL,
        PropertyKind::Choice(&["drop_oldest", "drop_newest", "block"]),
        "What happens when the queue is full: the datagram that waited longest is dropped, or the one that arrives, or the source stops reading, and the operating system drops what its buffer does not hold.",
    )
    .default("drop_oldest"),
    PropertySpec::new(
        REUSE,
        PropertyKind::Boolean,
        "Whether other programs may receive at the same address (SO_REUSEADDR). Each gets the datagrams of a multicast group; of others one program gets all.",
    )
    .default("false"),
    PropertySpec::new(MULTICAST_GROUP, PropertyKind::Text, "Multicast group to join, of the kind of udp.listen.")
        .example("239.255.0.1"),
    PropertySpec::new(
        MULTICAST_INTERFACE,
        PropertyKind::Text,
        "Interface on which the group is joined: an IPv4 address of it, or its index for an IPv6 group. Without it the system chooses.",
    )
    .example("192.168.1.10"),
];

/// Index of a field in [`METADATA`].
pub(crate) const ADDRESS: usize = 0;
/// Index of a field in [`METADATA`].
pub(crate) const PORT: usize = 1;
/// Index of a field in [`METADATA`].
pub(crate) const RECEIVED_TIME: usize = 2;

/// What a `udp` source knows about a message.
pub const METADATA: &[MetadataSpec] = &[
    MetadataSpec::new("address", DataType::String, "Address of the sender, as the datagram names it; easily forged."),
    MetadataSpec::new("port", DataType::Int, "Port of the sender."),
    MetadataSpec::new("received_time", DataType::Timestamp, "When it was read from the socket."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        assert_eq!(eventflux_core::property::table_mistakes(SOURCE_PROPERTIES), Vec::<String>::new());
    }
}
