//! A NATS server that speaks WebSocket and has JetStream, for one run.

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

/// Longest wait for its port.
const DEADLINE: Duration = Duration::from_secs(10);

/// Between two looks at its port.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// See the module. Killed when dropped.
pub(crate) struct Broker {
    process: Process,
    websocket: SocketAddr,
}

impl Broker {
    /// Starts one that keeps what it stores in `directory`, and waits until it accepts connections.
    pub(crate) async fn start(program: &Path, directory: &Path) -> Result<Self, BenchError> {
        let (clients, websocket) = (free_address()?, free_address()?);
        let file = directory.join("nats.conf");
        let configuration = configuration(clients, websocket, directory);
        fs::write(&file, configuration).map_err(BenchError::io(format!("writing {}", file.display())))?;
        let mut command = role_command()?;
        command.args(["exec", "--"]).arg(program).arg("--config").arg(&file);
        let mut broker = Self { process: Process::spawn("nats-server", command)?, websocket };
        let listening = async {
            while TcpStream::connect(websocket).await.is_err() {
                sleep(LOOK_INTERVAL).await;
            }
        };
        tokio::select! {
            listening = timeout(DEADLINE, listening) => {
                if listening.is_ok() {
                    return Ok(broker);
                }
            }
            _ = broker.process.drain_until_exit() => {}
        }
        let (system, reason) = ("nats-server".to_owned(), "does not accept connections".to_owned());
        Err(BenchError::System { system, reason, stderr: broker.process.final_words().await })
    }

    /// Where clients connect.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.websocket)
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
