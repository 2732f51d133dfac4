//! The gateways that are compared, how each is started, and what is missing where it cannot be.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use eventflux_benches::error::BenchError;
use eventflux_benches::system::{EventFlux, role_command};
use tokio::process::Command;

use crate::job::{Language, Protocol};
use crate::role::GUARD;

/// Environment variable with the address on which a pipeline listens.
const LISTEN_VARIABLE: &str = "GATEWAY_BENCH_LISTEN";

/// Where the pipelines are: one for each protocol.
const PIPELINES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines");

/// Where `peers/install` puts the others.
const PEERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/gateway-peers");

/// Connections that gateways which want to know are prepared for.
const MAX_CONNECTIONS: u64 = 20_000;

const NCHAN_CONFIGURATION: &str = include_str!("../peers/nchan.conf");

/// A program that can be a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Program {
    /// This project
    #[value(alias = "us")]
    Eventflux,
    /// uWebSockets, one thread
    Uwebsockets,
    /// nats-server, over its own protocol
    Nats,
    /// nchan in nginx, two workers
    Nchan,
    /// ws on Node
    Ws,
}

/// A program with what it is to speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contestant {
    /// What tables call it.
    pub name: String,
    /// The program.
    pub program: Program,
    /// What EventFlux speaks; [`Protocol::Raw`] for the others.
    pub protocol: Protocol,
}

/// Where the programs are.
#[derive(Debug)]
pub struct Installation {
    eventflux: Result<EventFlux, String>,
    peers: PathBuf,
}

impl Installation {
    /// Looks for the programs: ours beside this executable or at `eventflux`, the others where they were installed or in
    /// the directory `peers`.
    #[must_use]
    pub fn locate(eventflux: Option<&Path>, settings: &[String], peers: Option<&Path>) -> Self {
        Self {
            eventflux: EventFlux::locate(eventflux, settings).map_err(|error| error.to_string()),
            peers: peers.map_or_else(|| PEERS.into(), Path::to_path_buf),
        }
    }

    /// Why a program cannot run here, and what would help; `None` when it can.
    #[must_use]
    pub fn missing(&self, program: Program) -> Option<String> {
        if program == Program::Eventflux {
            return self.eventflux.as_ref().err().cloned();
        }
        let file = self.peer_file(program);
        (!file.is_file()).then(|| {
            let name = program.name();
            format!("{name}: there is no {}; run `benches/gateway/peers/install {name}`", file.display())
        })
    }

    fn peer_file(&self, program: Program) -> PathBuf {
        self.peers.join(match program {
            Program::Uwebsockets => "uwebsockets/server",
            Program::Nats => "debian/usr/sbin/nats-server",
            Program::Nchan => "debian/usr/lib/nginx/modules/ngx_nchan_module.so",
            Program::Ws => "ws/node_modules/ws/package.json",
            Program::Eventflux => "",
        })
    }
}

impl Program {
    /// Its name in options and tables.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl Contestant {
    /// The contestants for these programs: ours once for each protocol, the others once.
    #[must_use]
    pub fn all(programs: &[Program], protocols: &[Protocol]) -> Vec<Self> {
        let with_protocols = |program: Program| match program {
            Program::Eventflux => protocols.iter().map(|protocol| Self::new(program, *protocol)).collect(),
            _ => vec![Self::new(program, Protocol::Raw)],
        };
        programs.iter().copied().flat_map(with_protocols).collect()
    }

    fn new(program: Program, protocol: Protocol) -> Self {
        let name = match program {
            Program::Eventflux => format!("eventflux {}", protocol.name()),
            _ => program.name(),
        };
        Self { name, program, protocol }
    }

    /// What its clients speak.
    pub(crate) fn language(&self) -> Language {
        match self.program {
            Program::Nats => Language::Nats,
            _ => Language::WebSocket(self.protocol),
        }
    }

    /// The command that makes it listen on `address`; it may write to `directory`.
    ///
    /// # Errors
    /// When it is not installed, or a file cannot be written.
    pub(crate) fn command(
        &self,
        installation: &Installation,
        address: SocketAddr,
        directory: &Path,
    ) -> Result<Command, BenchError> {
        if let Some(missing) = installation.missing(self.program) {
            return Err(BenchError::Usage(missing));
        }
        let mut command = role_command()?;
        command.arg(GUARD);
        let port = address.port().to_string();
        let peers = &installation.peers;
        match self.program {
            Program::Eventflux => {
                let eventflux = installation.eventflux.as_ref().map_err(|error| BenchError::Usage(error.clone()))?;
                let pipeline = Path::new(PIPELINES).join(format!("{}.sql", self.protocol.name()));
                command.arg(&eventflux.binary).arg("run").arg(pipeline).env(LISTEN_VARIABLE, address.to_string());
                command.args(eventflux.settings.iter().flat_map(|setting| ["--set", setting]));
            }
            Program::Uwebsockets => {
                command.arg(installation.peer_file(self.program)).arg(port);
            }
            Program::Nats => {
                command.arg(installation.peer_file(self.program)).args(["--addr", "127.0.0.1", "--port", &port]);
            }
            Program::Nchan => {
                let file = nchan_configuration(&installation.peer_file(self.program), address, directory)?;
                command.arg(peers.join("debian/usr/sbin/nginx")).arg("-e").arg("stderr");
                command.arg("-p").arg(directory).arg("-c").arg(file);
            }
            Program::Ws => {
                command.arg("node").arg(peers.join("ws/server.js")).arg(port);
            }
        }
        Ok(command)
    }
}

fn nchan_configuration(module: &Path, address: SocketAddr, directory: &Path) -> Result<PathBuf, BenchError> {
    let module = module.canonicalize().map_err(BenchError::io(format!("looking for {}", module.display())))?;
    let text = NCHAN_CONFIGURATION
        .replace("{module}", &module.to_string_lossy())
        .replace("{directory}", &directory.to_string_lossy())
        .replace("{port}", &address.port().to_string())
        .replace("{connections}", &MAX_CONNECTIONS.to_string());
    let file = directory.join("nginx.conf");
    fs::write(&file, text).map_err(BenchError::io(format!("writing {}", file.display())))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_compared_in_every_protocol_and_the_others_once() {
        let all = Contestant::all(&[Program::Eventflux, Program::Nats], &[Protocol::Raw, Protocol::Channels]);
        let names: Vec<&str> = all.iter().map(|contestant| contestant.name.as_str()).collect();
        assert_eq!(names, ["eventflux raw", "eventflux channels", "nats"]);
        assert_eq!(all[2].language(), Language::Nats);
    }

    #[test]
    fn what_is_not_installed_is_named_with_what_would_help() {
        let nowhere = Path::new("/nowhere");
        let installation = Installation::locate(Some(nowhere), &[], Some(nowhere));
        let missing = |program| installation.missing(program).unwrap();
        assert!(missing(Program::Eventflux).contains("cargo build"));
        for peer in [Program::Uwebsockets, Program::Nats, Program::Nchan, Program::Ws] {
            let text = missing(peer);
            assert!(text.contains("/nowhere/") && text.contains("peers/install"), "{text}");
        }
    }

    #[test]
    fn every_protocol_has_a_pipeline() {
        for protocol in Protocol::value_variants() {
            let file = Path::new(PIPELINES).join(format!("{}.sql", protocol.name()));
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.contains(LISTEN_VARIABLE), "{}", file.display());
        }
    }

    #[test]
    fn nothing_of_the_configuration_is_left_open() {
        let directory = tempfile::tempdir().unwrap();
        let file = nchan_configuration(directory.path(), ([127, 0, 0, 1], 8080).into(), directory.path()).unwrap();
        let text = fs::read_to_string(file).unwrap();
        let settings: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(settings.iter().all(|line| !line.contains("{m") && !line.contains("{p")), "{text}");
        assert!(text.contains("listen 127.0.0.1:8080 "));
    }
}
