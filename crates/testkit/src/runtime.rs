//! The threads the peers, proxies and collectors run on. Not the test's own runtime: a test that blocks its thread must
//! not stop the peer it waits for.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle, Runtime};

/// Worker threads shared by every peer, proxy and collector of the process.
const WORKERS: usize = 2;

/// The shared runtime, started by the first caller and kept until the process ends.
pub(crate) fn handle() -> &'static Handle {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(start).handle()
}

fn start() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("testkit")
        .enable_all()
        .build()
        .unwrap_or_else(|error| panic!("testkit could not start its threads: {error}"))
}
