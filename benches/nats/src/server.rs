//! A nats-server with JetStream and a WebSocket listener, for one run.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use eventflux_benches::error::BenchError;
use eventflux_benches::process::Process;
use eventflux_benches::system::role_command;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::run::free_address;

/// Longest wait for its ports.
const DEADLINE: Duration = Duration::from_secs(10);

/// Between two looks at a port.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// See the module. Killed when dropped.
pub(crate) struct Server {
    process: Process,
    clients: SocketAddr,
    websocket: SocketAddr,
}

impl Server {
    /// Starts one that keeps what it stores in `directory`, and waits until it accepts connections.
    pub(crate) async fn start(program: &Path, directory: &Path) -> Result<Self, BenchError> {
        let (clients, websocket) = (free_address()?, free_address()?);
        let file = directory.join("nats.conf");
        fs::write(&file, configuration(clients, websocket, directory))
            .map_err(BenchError::io(format!("writing {}", file.display())))?;
        let mut command = role_command()?;
        command.args(["exec", "--"]).arg(program).arg("--config").arg(&file);
        let mut server = Self { process: Process::spawn("nats-server", command)?, clients, websocket };
        let listening = async {
            for address in [clients, websocket] {
                while TcpStream::connect(address).await.is_err() {
                    sleep(LOOK_INTERVAL).await;
                }
            }
        };
        tokio::select! {
            listening = timeout(DEADLINE, listening) => {
                if listening.is_ok() {
                    return Ok(server);
                }
            }
            _ = server.process.drain_until_exit() => {}
        }
        let (system, reason) = ("nats-server".to_owned(), "does not accept connections".to_owned());
        Err(BenchError::System { system, reason, stderr: server.process.final_words().await })
    }

    /// Where clients connect over TCP.
    pub(crate) fn clients(&self) -> SocketAddr {
        self.clients
    }

    /// The same as a URL.
    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.clients)
    }

    /// Where clients connect over WebSockets.
    pub(crate) fn websocket(&self) -> SocketAddr {
        self.websocket
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }
}

fn configuration(clients: SocketAddr, websocket: SocketAddr, directory: &Path) -> String {
    format!(
        "listen: \"{clients}\"\nwebsocket {{ listen: \"{websocket}\", no_tls: true }}\njetstream {{ store_dir: \"{}\" }}\n",
        directory.display()
    )
}
