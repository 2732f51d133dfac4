//! The socket: bound, with its buffer, and joined to its group.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};

use eventflux_core::EventFluxError;
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::{Multicast, UdpSourceConfig};
use crate::properties::{LISTEN, MULTICAST_GROUP};

/// Binds the address of `config`. The socket does not block.
///
/// # Errors
/// [`EventFluxError::Configuration`], with the property to blame.
pub(crate) fn bind(config: &UdpSourceConfig, stream: &str) -> Result<UdpSocket, EventFluxError> {
    let address = resolve(&config.listen)?;
    let socket = open(config, address).map_err(|error| cannot_bind(&config.listen, &error))?;
    if let Some(size) = config.receive_buffer {
        enlarge(&socket, size, stream);
    }
    if let Some(multicast) = config.multicast {
        join(&socket, address, multicast)?;
    }
    Ok(socket.into())
}

/// The address of a socket as messages show it.
pub(crate) fn url(socket: &UdpSocket) -> String {
    socket.local_addr().map_or_else(|_| "udp://?".to_owned(), |address| format!("udp://{address}"))
}

fn resolve(listen: &str) -> Result<SocketAddr, EventFluxError> {
    let text = if listen.starts_with(':') { format!("0.0.0.0{listen}") } else { listen.to_owned() };
    let error = |reason: String| {
        EventFluxError::property(LISTEN, format!("'{listen}' is no address of this machine: {reason}"))
            .with_hint("write 127.0.0.1:14550, or :14550 for all addresses")
    };
    let mut addresses = text.to_socket_addrs().map_err(|reason| error(reason.to_string()))?;
    addresses.next().ok_or_else(|| error("the name has no address".to_owned()))
}

fn open(config: &UdpSourceConfig, address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if config.reuse {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn cannot_bind(listen: &str, error: &io::Error) -> EventFluxError {
    let (reason, hint) = match error.kind() {
        ErrorKind::AddrInUse => (
            "is already in use",
            "choose another port, stop the program that receives there, or let all of them set udp.reuse='true'",
        ),
        ErrorKind::PermissionDenied => ("may not be bound", "ports below 1024 need a privilege"),
        _ => ("cannot be bound", "write an address of this machine, or 0.0.0.0 for all"),
    };
    EventFluxError::property(LISTEN, format!("'{listen}' {reason}: {error}")).with_hint(hint)
}

/// Asks for a buffer. Less than that is no reason to receive nothing at all.
fn enlarge(socket: &Socket, size: usize, stream: &str) {
    let granted = socket.set_recv_buffer_size(size).and_then(|()| socket.recv_buffer_size());
    match granted {
        Ok(granted) if granted >= size => {}
        Ok(granted) => log::warn!(
            "[{stream}] udp.receive.buffer: the system gave {granted} of {size} bytes; on Linux, net.core.rmem_max is the limit"
        ),
        Err(error) => log::warn!("[{stream}] udp.receive.buffer: cannot be set to {size} bytes: {error}"),
    }
}

fn join(socket: &Socket, address: SocketAddr, multicast: Multicast) -> Result<(), EventFluxError> {
    let joined = match multicast {
        Multicast::V4(group, interface) if address.is_ipv4() => socket.join_multicast_v4(&group, &interface),
        Multicast::V6(group, interface) if address.is_ipv6() => socket.join_multicast_v6(&group, interface),
        _ => {
            let reason = format!("is of another kind than the address {address}, where the source receives");
            return Err(EventFluxError::property(MULTICAST_GROUP, reason)
                .with_hint("listen on 0.0.0.0:PORT for a group of IPv4, on [::]:PORT for one of IPv6"));
        }
    };
    joined.map_err(|error| {
        EventFluxError::property(MULTICAST_GROUP, format!("cannot be joined: {error}"))
            .with_hint("name the interface with udp.multicast.interface")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(listen: &str, more: &[(&str, &str)]) -> Result<UdpSocket, EventFluxError> {
        let listen = [(LISTEN, listen)];
        bind(&UdpSourceConfig::from_pairs(listen.iter().chain(more).copied()).unwrap(), "S")
    }

    #[test]
    fn a_port_alone_is_all_addresses() {
        let address = bound(":0", &[]).unwrap().local_addr().unwrap();
        assert!(address.is_ipv4() && address.ip().is_unspecified() && address.port() != 0, "{address}");
    }

    #[test]
    fn an_address_in_use_is_named_with_what_to_do() {
        let first = bound("127.0.0.1:0", &[]).unwrap();
        let address = first.local_addr().unwrap().to_string();
        let error = bound(&address, &[]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("property 'udp.listen': '{address}' is already in use")), "{error}");
        assert!(error.contains("choose another port"), "{error}");
    }

    #[test]
    fn programs_that_all_say_so_share_an_address() {
        let first = bound("127.0.0.1:0", &[("udp.reuse", "true")]).unwrap();
        let address = first.local_addr().unwrap().to_string();
        assert!(bound(&address, &[]).is_err());
        bound(&address, &[("udp.reuse", "true")]).unwrap();
    }

    #[test]
    fn an_address_that_is_not_of_this_machine_is_named() {
        let error = bound("192.0.2.1:0", &[]).unwrap_err().to_string();
        assert!(error.contains("'192.0.2.1:0' cannot be bound") && error.contains("0.0.0.0"), "{error}");
        let error = bound("no-such-host.invalid:1", &[]).unwrap_err().to_string();
        assert!(error.contains("is no address of this machine"), "{error}");
    }

    #[test]
    fn a_buffer_of_the_asked_size_is_set() {
        let size =
            |more: &[_]| socket2::SockRef::from(&bound("127.0.0.1:0", more).unwrap()).recv_buffer_size().unwrap();
        assert!(size(&[("udp.receive.buffer", "16KiB")]) < size(&[]));
        assert!(size(&[("udp.receive.buffer", "16KiB")]) >= 16 << 10);
    }

    #[test]
    fn a_group_of_another_kind_than_the_address_is_refused() {
        let error = bound("127.0.0.1:0", &[(MULTICAST_GROUP, "ff15::1")]).unwrap_err().to_string();
        assert!(error.starts_with("property 'udp.multicast.group': is of another kind"), "{error}");
    }
}
