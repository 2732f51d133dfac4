//! An `eventflux` process with one of the [pipelines](../pipelines).

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use eventflux_benches::error::BenchError;
use eventflux_benches::process::Process;
use eventflux_benches::system::role_command;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::run::{Setup, free_address};

/// The pipelines.
const PIPELINES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines");

/// What they take from their environment.
pub(crate) const LISTEN: &str = "NATS_BENCH_LISTEN";
pub(crate) const URL: &str = "NATS_BENCH_URL";
pub(crate) const IN_FLIGHT: &str = "NATS_BENCH_IN_FLIGHT";
pub(crate) const STORAGE: &str = "NATS_BENCH_STORAGE";

/// How an answer begins that lets a client in.
const WELCOME: &[u8; 13] = b"HTTP/1.1 101 ";

/// Longest wait for that.
const READY_DEADLINE: Duration = Duration::from_secs(10);

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// See the module. Killed when dropped.
pub(crate) struct Pipeline {
    process: Process,
    address: SocketAddr,
}

impl Pipeline {
    /// Starts the pipeline of a file; it is not ready yet.
    pub(crate) fn start(file: &str, setup: &Setup, variables: &[(&str, String)]) -> Result<Self, BenchError> {
        let address = free_address()?;
        let mut command = role_command()?;
        let eventflux = setup.eventflux()?;
        command
            .args(["exec", "--"])
            .arg(&eventflux.binary)
            .arg("--quiet")
            .arg("run")
            .arg(Path::new(PIPELINES).join(file));
        command.args(eventflux.settings.iter().flat_map(|setting| ["--set", setting]));
        command.env(LISTEN, address.to_string()).envs(variables.iter().map(|(name, value)| (name, value)));
        Ok(Self { process: Process::spawn("eventflux", command)?, address })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Waits until it lets subscribers in.
    pub(crate) async fn await_ready(&self) -> Result<(), BenchError> {
        let ready = async {
            while !self.lets_in().await.unwrap_or(false) {
                sleep(LOOK_INTERVAL).await;
            }
        };
        let reason = format!("lets nobody in within {} s", READY_DEADLINE.as_secs());
        timeout(READY_DEADLINE, ready).await.map_err(|_| BenchError::System {
            system: "eventflux".to_owned(),
            reason,
            stderr: self.process.last_words(),
        })
    }

    async fn lets_in(&self) -> io::Result<bool> {
        let mut stream = TcpStream::connect(self.address).await?;
        let request = format!(
            "GET /out HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).await?;
        let mut status = [0; WELCOME.len()];
        stream.read_exact(&mut status).await?;
        Ok(status == *WELCOME)
    }

    /// Does `work` as long as it runs.
    pub(crate) async fn while_running<T>(
        &mut self,
        work: impl Future<Output = Result<T, BenchError>>,
    ) -> Result<T, BenchError> {
        let reason = tokio::select! {
            done = work => match done {
                Ok(done) => return Ok(done),
                Err(error) => error.to_string(),
            },
            status = self.process.drain_until_exit() => format!("ended: {}", status?),
        };
        Err(BenchError::System { system: "eventflux".to_owned(), reason, stderr: self.process.last_words() })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_pipeline_listens_where_the_runner_says() {
        let files: Vec<_> = fs::read_dir(PIPELINES).unwrap().flatten().map(|file| file.path()).collect();
        assert!(!files.is_empty());
        for file in files {
            assert!(fs::read_to_string(&file).unwrap().contains(LISTEN), "{}", file.display());
        }
    }
}
