//! The validated configuration of a `udp` source.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use eventflux_core::{EventFluxError, Properties};

use crate::properties::{
    LISTEN, MAX_DATAGRAM, MAX_DATAGRAM_BYTES, MULTICAST_GROUP, MULTICAST_INTERFACE, QUEUE_BYTES, QUEUE_FULL,
    QUEUE_SIZE, RECEIVE_BUFFER, REUSE, SOURCE_PROPERTIES,
};
use crate::queue::{FullPolicy, QueueLimits};

/// What a `udp` source does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UdpSourceConfig {
    /// `host:port` or `:port`.
    pub listen: String,
    /// Largest message, in bytes; from 1 to 65,535.
    pub max_datagram: usize,
    /// Size of the system's buffer, in bytes; `None`: its own.
    pub receive_buffer: Option<usize>,
    /// What may wait for the pipeline.
    pub queue: QueueLimits,
    /// Whether others may receive at the same address.
    pub reuse: bool,
    /// A group to join.
    pub multicast: Option<Multicast>,
}

/// A multicast group, and where to join it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Multicast {
    /// A group of IPv4, at the interface with that address; unspecified: the system chooses.
    V4(Ipv4Addr, Ipv4Addr),
    /// A group of IPv6, at the interface with that index; 0: the system chooses.
    V6(Ipv6Addr, u32),
}

impl UdpSourceConfig {
    /// Reads validated properties. Does no I/O.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express.
    pub fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let max_datagram = max_datagram(properties)?;
        Ok(Self {
            listen: properties.text(LISTEN)?.to_owned(),
            max_datagram,
            receive_buffer: receive_buffer(properties)?,
            queue: queue(properties, max_datagram)?,
            reuse: properties.flag(REUSE)?,
            multicast: multicast(properties)?,
        })
    }

    /// Reads properties as they are written.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for the first bad property.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, EventFluxError> {
        Self::from_properties(&Properties::from_pairs(SOURCE_PROPERTIES, pairs)?)
    }
}

fn max_datagram(properties: &Properties) -> Result<usize, EventFluxError> {
    let bytes = properties.size(MAX_DATAGRAM)?;
    if !(1..=MAX_DATAGRAM_BYTES).contains(&bytes) {
        return Err(EventFluxError::property(MAX_DATAGRAM, format!("is {bytes}, and no datagram has that size"))
            .with_hint(format!("use 1 to {MAX_DATAGRAM_BYTES} bytes")));
    }
    Ok(bytes)
}

fn receive_buffer(properties: &Properties) -> Result<Option<usize>, EventFluxError> {
    if !properties.is_given(RECEIVE_BUFFER) {
        return Ok(None);
    }
    let bytes = properties.size(RECEIVE_BUFFER)?;
    // The system takes a signed 32-bit number.
    if bytes == 0 || i32::try_from(bytes).is_err() {
        return Err(EventFluxError::property(RECEIVE_BUFFER, format!("is {bytes} bytes, which no socket can have"))
            .with_hint("use a size such as 4MiB, or leave it out"));
    }
    Ok(Some(bytes))
}

fn queue(properties: &Properties, max_datagram: usize) -> Result<QueueLimits, EventFluxError> {
    let bytes = properties.size(QUEUE_BYTES)?;
    if bytes < max_datagram {
        return Err(EventFluxError::property(QUEUE_BYTES, format!("is {bytes}, less than one datagram may have"))
            .with_hint(format!("use at least {max_datagram}, or lower udp.max.datagram")));
    }
    let full = match properties.text(QUEUE_FULL)? {
        "drop_newest" => FullPolicy::DropNewest,
        "block" => FullPolicy::Block,
        _ => FullPolicy::DropOldest,
    };
    Ok(QueueLimits { datagrams: properties.integer(QUEUE_SIZE)?, bytes, full })
}

fn multicast(properties: &Properties) -> Result<Option<Multicast>, EventFluxError> {
    let interface = properties.optional_text(MULTICAST_INTERFACE).map(str::trim);
    let Some(group) = properties.optional_text(MULTICAST_GROUP) else {
        return match interface {
            None => Ok(None),
            Some(interface) => {
                let reason = format!("'{interface}' has no effect without udp.multicast.group");
                Err(EventFluxError::property(MULTICAST_INTERFACE, reason).with_hint("name the group, or remove it"))
            }
        };
    };
    let no_group = || {
        EventFluxError::property(MULTICAST_GROUP, format!("'{group}' is no multicast group"))
            .with_hint("use an address such as 239.255.0.1 or ff15::1")
    };
    let no_interface = |hint: &str| {
        let reason = format!("'{}' is no interface of the group's kind", interface.unwrap_or_default());
        EventFluxError::property(MULTICAST_INTERFACE, reason).with_hint(hint)
    };
    let group: IpAddr = group.trim().parse().map_err(|_| no_group())?;
    match group {
        group if !group.is_multicast() => Err(no_group()),
        IpAddr::V4(group) => {
            let parsed = interface.map_or(Ok(Ipv4Addr::UNSPECIFIED), str::parse);
            let interface = parsed.map_err(|_| no_interface("use an IPv4 address of this machine"))?;
            Ok(Some(Multicast::V4(group, interface)))
        }
        IpAddr::V6(group) => {
            let index = interface.map_or(Ok(0), str::parse);
            let index = index.map_err(|_| no_interface("use the index of an interface, such as 2"))?;
            Ok(Some(Multicast::V6(group, index)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(more: &[(&str, &str)]) -> Result<UdpSourceConfig, EventFluxError> {
        let listen = [(LISTEN, ":14550")];
        UdpSourceConfig::from_pairs(listen.iter().chain(more).copied())
    }

    #[test]
    fn an_address_is_all_that_is_needed() {
        let config = config(&[]).unwrap();
        let queue = QueueLimits { datagrams: 10_000, bytes: 64 << 20, full: FullPolicy::DropOldest };
        assert_eq!((config.listen.as_str(), config.max_datagram, config.queue), (":14550", 65_535, queue));
        assert_eq!((config.receive_buffer, config.reuse, config.multicast), (None, false, None));
    }

    #[test]
    fn every_property_has_its_effect() {
        let config = config(&[
            (MAX_DATAGRAM, "1KiB"),
            (RECEIVE_BUFFER, "4MiB"),
            (QUEUE_SIZE, "7"),
            (QUEUE_BYTES, "2KiB"),
            (QUEUE_FULL, "block"),
            (REUSE, "true"),
            (MULTICAST_GROUP, "239.255.0.1"),
            (MULTICAST_INTERFACE, "127.0.0.1"),
        ])
        .unwrap();
        let queue = QueueLimits { datagrams: 7, bytes: 2048, full: FullPolicy::Block };
        assert_eq!((config.max_datagram, config.receive_buffer, config.queue), (1024, Some(4 << 20), queue));
        assert!(config.reuse);
        assert_eq!(config.multicast, Some(Multicast::V4([239, 255, 0, 1].into(), Ipv4Addr::LOCALHOST)));
    }

    #[test]
    fn a_group_of_ipv6_has_an_interface_by_index() {
        let of = |more: &[_]| config(more).map(|config| config.multicast);
        let group = "ff15::1".parse().unwrap();
        assert_eq!(of(&[(MULTICAST_GROUP, "ff15::1")]), Ok(Some(Multicast::V6(group, 0))));
        let with_index = [(MULTICAST_GROUP, "ff15::1"), (MULTICAST_INTERFACE, "3")];
        assert_eq!(of(&with_index), Ok(Some(Multicast::V6(group, 3))));
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_property_and_a_hint() {
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[(MAX_DATAGRAM, "0")], MAX_DATAGRAM),
            (&[(MAX_DATAGRAM, "65536")], MAX_DATAGRAM),
            (&[(RECEIVE_BUFFER, "0")], RECEIVE_BUFFER),
            (&[(RECEIVE_BUFFER, "3GiB")], RECEIVE_BUFFER),
            (&[(QUEUE_BYTES, "1KiB")], QUEUE_BYTES),
            (&[(MULTICAST_GROUP, "10.0.0.1")], MULTICAST_GROUP),
            (&[(MULTICAST_GROUP, "all")], MULTICAST_GROUP),
            (&[(MULTICAST_INTERFACE, "127.0.0.1")], MULTICAST_INTERFACE),
            (&[(MULTICAST_GROUP, "239.255.0.1"), (MULTICAST_INTERFACE, "eth0")], MULTICAST_INTERFACE),
            (&[(MULTICAST_GROUP, "ff15::1"), (MULTICAST_INTERFACE, "eth0")], MULTICAST_INTERFACE),
        ];
        for (pairs, key) in cases {
            let Err(EventFluxError::Configuration { property, hint, .. }) = config(pairs) else {
                panic!("{pairs:?} is accepted");
            };
            assert_eq!(property.as_deref(), Some(*key), "{pairs:?}");
            assert!(hint.is_some(), "{pairs:?}");
        }
    }
}
