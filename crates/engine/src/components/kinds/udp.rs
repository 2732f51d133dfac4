//! `udp` input: datagrams into a subject.

use super::{Becomes, Config, Field, Kind, Shape, Target, address};

pub(super) const INPUT: Kind = Kind {
    category: "input",
    name: "udp",
    doc: "Takes datagrams, each one a message.",
    fields: &[
        Field::new("port", Shape::PORT, Target::Made("`udp.listen`", listen), "The port to listen on; 0 for any.")
            .required(),
        Field::new("bind", Shape::TEXT, Target::PartOf("udp.listen"), "The address to listen on.").default("0.0.0.0"),
        Field::new(
            "max_datagram_size",
            Shape::SIZE,
            Target::Property("udp.max.datagram"),
            "The largest datagram that is a message.",
        ),
        Field::new(
            "receive_buffer_size",
            Shape::SIZE,
            Target::Property("udp.receive.buffer"),
            "The system's buffer for datagrams that were not read yet.",
        ),
        Field::new(
            "backpressure.queue_size",
            Shape::integer(1, 10_000_000),
            Target::Property("udp.queue.size"),
            "How many messages may wait.",
        ),
        Field::new(
            "backpressure.on_full",
            Shape::choice(&["drop_oldest", "drop_newest", "block"]),
            Target::Property("udp.queue.full"),
            "What happens when that many wait.",
        ),
    ],
    becomes: Becomes::Source { connector: "udp", fixed: &[], control: false },
};

fn listen(config: &Config<'_>) -> Vec<(&'static str, String)> {
    address(config, "bind", "port").map(|address| ("udp.listen", address)).into_iter().collect()
}
