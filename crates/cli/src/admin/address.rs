//! Where the admin listener listens, as written on the command line.

use std::net::Ipv6Addr;
use std::str::FromStr;

/// Host of an address that names none: an admin listener is for this machine unless somebody asks for more.
const DEFAULT_HOST: &str = "127.0.0.1";

/// A place to listen, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// There is no admin listener.
    Off,
    /// There is one.
    At {
        /// A name or an address, without brackets.
        host: String,
        /// 0: the system chooses.
        port: u16,
    },
}

impl FromStr for Address {
    type Err = String;

    /// `HOST:PORT`, `:PORT`, `off`, or nothing at all.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() || text == "off" {
            return Ok(Self::Off);
        }
        let form = "use HOST:PORT such as 127.0.0.1:9090, :9090 for this machine only, or off";
        let (host, port) = text.rsplit_once(':').ok_or(form)?;
        let port = port.parse().map_err(|_| format!("the port is no number from 0 to 65535; {form}"))?;
        Ok(Self::At { host: parse_host(host)?, port })
    }
}

fn parse_host(host: &str) -> Result<String, String> {
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match bracketed {
        Some(address) if address.parse::<Ipv6Addr>().is_ok() => Ok(address.to_owned()),
        None if host.is_empty() => Ok(DEFAULT_HOST.to_owned()),
        None if !host.contains([':', '[', ']']) => Ok(host.to_owned()),
        _ => Err("an IPv6 address stands in brackets, as in [::1]:9090".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> Result<Address, String> {
        Ok(Address::At { host: host.to_owned(), port })
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (text, expected) in [
            ("127.0.0.1:9090", at("127.0.0.1", 9090)),
            ("0.0.0.0:0", at("0.0.0.0", 0)),
            ("localhost:80", at("localhost", 80)),
            ("[::1]:9090", at("::1", 9090)),
            ("off", Ok(Address::Off)),
            ("", Ok(Address::Off)),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
    }

    #[test]
    fn without_a_host_it_is_for_this_machine_only() {
        assert_eq!(":9090".parse(), at("127.0.0.1", 9090));
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_way_out() {
        for (text, part) in [
            ("9090", "HOST:PORT"),
            ("localhost", "HOST:PORT"),
            ("localhost:http", "no number"),
            ("localhost:65536", "no number"),
            ("::1:9090", "brackets"),
            ("[::1:9090", "brackets"),
            ("[localhost]:9090", "brackets"),
        ] {
            let problem = text.parse::<Address>().unwrap_err();
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }
}
