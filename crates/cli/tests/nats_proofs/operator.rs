//! Somebody at the NATS server: looks at streams, deletes them, makes new ones.

use async_nats::ConnectOptions;
use async_nats::jetstream::stream::{Config, Info};
use async_nats::jetstream::{self, Context};
use eventflux_testkit::nats::NatsServer;
use tokio::runtime::Runtime;

/// See the module.
pub(crate) struct Operator {
    runtime: Runtime,
    context: Context,
}

impl Operator {
    #[track_caller]
    pub(crate) fn connect(server: &NatsServer) -> Self {
        Self::connect_with(server, ConnectOptions::new())
    }

    #[track_caller]
    pub(crate) fn connect_with(server: &NatsServer, options: ConnectOptions) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = runtime.block_on(options.connect(server.url())).unwrap();
        let context = {
            let _inside = runtime.enter();
            jetstream::new(client)
        };
        Self { runtime, context }
    }

    /// How many messages are in a stream.
    #[track_caller]
    pub(crate) fn messages(&self, stream: &str) -> u64 {
        self.info(stream).unwrap().state.messages
    }

    pub(crate) fn exists(&self, stream: &str) -> bool {
        self.info(stream).is_some()
    }

    #[track_caller]
    pub(crate) fn delete(&self, stream: &str) {
        self.runtime.block_on(self.context.delete_stream(stream)).unwrap();
    }

    #[track_caller]
    pub(crate) fn create(&self, stream: &str, subject: &str) {
        let config = Config { name: stream.to_owned(), subjects: vec![subject.to_owned()], ..Config::default() };
        self.runtime.block_on(self.context.create_stream(config)).unwrap();
    }

    /// How many messages of a stream the server knows to be acknowledged by a consumer.
    #[track_caller]
    pub(crate) fn acknowledged(&self, stream: &str, consumer: &str) -> u64 {
        let info = self.runtime.block_on(async {
            let stream = self.context.get_stream(stream).await.unwrap();
            stream.consumer_info(consumer).await.unwrap()
        });
        info.delivered.stream_sequence - info.num_ack_pending as u64
    }

    fn info(&self, stream: &str) -> Option<Info> {
        self.runtime
            .block_on(async { self.context.get_stream(stream).await.ok().map(|stream| stream.cached_info().clone()) })
    }
}
