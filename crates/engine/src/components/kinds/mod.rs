//! The kinds of components: a table each.

mod field;
mod filter;
mod nats;
mod objectstore;
mod udp;
mod websocket;

pub(super) use field::{Field, Shape, Target};
pub(super) use filter::Operator;
pub(super) use nats::NATS;

use super::config::Config;

/// One kind of component, by `type` and `name`.
#[derive(Debug)]
pub(super) struct Kind {
    /// The value of `type`.
    pub(super) category: &'static str,
    /// The value of `name`.
    pub(super) name: &'static str,
    pub(super) doc: &'static str,
    pub(super) fields: &'static [Field],
    pub(super) becomes: Becomes,
}

/// What a component becomes.
#[derive(Debug)]
pub(super) enum Becomes {
    /// A source of that type, with properties that are always the same. `control` for one with a port of control messages.
    Source { connector: &'static str, fixed: &'static [(&'static str, &'static str)], control: bool },
    /// A sink of that type. `format` is what the format has besides what that of every sink has.
    Sink {
        connector: &'static str,
        fixed: &'static [(&'static str, &'static str)],
        format: &'static [(&'static str, &'static str)],
    },
    /// Queries with a condition.
    Filter,
}

/// Every kind.
pub(super) const KINDS: [&Kind; 5] =
    [&udp::INPUT, &websocket::INPUT, &filter::PROCESSOR, &websocket::OUTPUT, &objectstore::STORAGE];

/// The field of a table with that path.
pub(super) fn field(fields: &'static [Field], path: &str) -> Option<&'static Field> {
    fields.iter().find(|field| field.path == path)
}

/// `host:port`, for a host that may be an IPv6 address.
fn address(config: &Config<'_>, host: &str, port: &str) -> Option<String> {
    let (host, port) = (config.text(host)?, config.text(port)?);
    let bare_ipv6 = host.contains(':') && !host.starts_with('[');
    Some(if bare_ipv6 { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sound() {
        let of_kinds = KINDS.iter().map(|kind| (kind.name, kind.fields));
        for (kind, fields) in of_kinds.chain([("nats", NATS)]) {
            for (index, field) in fields.iter().enumerate() {
                let name = format!("{kind} {}", field.path);
                assert!(fields[index + 1..].iter().all(|other| other.path != field.path), "{name} twice");
                let prefix = format!("{}.", field.path);
                assert!(fields.iter().all(|other| !other.path.starts_with(&prefix)), "{name} is also a section");
                let conditions = field.conditions.iter().map(|(path, _)| path);
                for other in conditions.chain(field.default_with.as_ref().map(|(path, _)| path)) {
                    assert!(super::field(fields, other).is_some(), "{name}: {other}");
                }
                for default in field.default.iter().chain(field.default_with.as_ref().map(|(_, value)| value)) {
                    let Shape::Like(kind) = field.shape else { panic!("{name}: a default of what?") };
                    assert!(kind.parse(default, None).is_some(), "{name}: {default}");
                }
                assert!(field.doc.ends_with('.'), "{name}");
            }
        }
    }
}
