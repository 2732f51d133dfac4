//! A source that knows who said something, and a sink that needs to know in which room it belongs: the part of
//! `docs/writing-a-connector.md` about metadata and templates.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use eventflux_core::runtime::SourceWorker;
use eventflux_core::{
    ConnectorContext, DataType, EncodedBatch, EventFluxContext, EventFluxError, MessageMetadata, MetadataSpec,
    Properties, PropertyKind, PropertySpec, RowFailure, Sink, SinkCallback, SinkFactory, Source, SourceCallback,
    SourceFactory, Template, Value,
};
use eventflux_engine::EventFlux;

struct TalkFactory;

/// Index of a field in [`METADATA`].
const HEARD_TIME: usize = 1;
const METADATA: &[MetadataSpec] = &[
    MetadataSpec::new("speaker", DataType::String, "Who said it."),
    MetadataSpec::new("heard_time", DataType::Timestamp, "When it was heard."),
];

impl SourceFactory for TalkFactory {
    fn name(&self) -> &'static str {
        "talk"
    }

    fn doc(&self) -> &'static str {
        "What two people say to each other."
    }

    fn supported_formats(&self) -> &'static [&'static str] {
        &["text"]
    }

    fn properties(&self) -> &'static [PropertySpec] {
        &[]
    }

    fn metadata(&self) -> &'static [MetadataSpec] {
        METADATA
    }

    fn create_initialized(
        &self,
        _properties: &Properties,
        context: &ConnectorContext,
    ) -> Result<Box<dyn Source>, EventFluxError> {
        Ok(Box::new(Talk { context: context.clone(), worker: None }))
    }
}

#[derive(Debug)]
struct Talk {
    context: ConnectorContext,
    worker: Option<SourceWorker>,
}

impl Source for Talk {
    fn start(&mut self, callback: Arc<dyn SourceCallback>) -> Result<(), EventFluxError> {
        // What no column is bound to need not be computed.
        let tells_time = self.context.metadata.is_bound(HEARD_TIME);
        let time = move || if tells_time { Value::Timestamp(1_700_000_000_000_000) } else { Value::Null };
        let said = move |(speaker, text): (&str, &'static str)| {
            let metadata = MessageMetadata::new(METADATA, vec![speaker.into(), time()]);
            (text.into(), metadata)
        };
        self.worker = Some(SourceWorker::spawn("talk", callback, move |_stop, callback| async move {
            let (messages, metadata): (Vec<_>, Vec<_>) =
                [("ann", "hello"), ("bob", "hi")].map(said).into_iter().unzip();
            callback.ready().await;
            callback.on_batch_with(&messages, &metadata)
        })?);
        Ok(())
    }

    fn stop(&mut self, deadline: Duration) {
        if let Some(worker) = &self.worker {
            worker.stop(deadline);
        }
    }

    fn clone_box(&self) -> Box<dyn Source> {
        Box::new(Self { context: self.context.clone(), worker: None })
    }
}

/// The room of each text that was delivered.
type Delivered = Arc<Mutex<Vec<(String, String)>>>;

struct RoomsFactory(Delivered);

impl SinkFactory for RoomsFactory {
    fn name(&self) -> &'static str {
        "rooms"
    }

    fn doc(&self) -> &'static str {
        "Says each event in a room."
    }

    fn supported_formats(&self) -> &'static [&'static str] {
        &["text"]
    }

    fn properties(&self) -> &'static [PropertySpec] {
        const PROPERTIES: &[PropertySpec] =
            &[PropertySpec::new("rooms.name", PropertyKind::Template, "The room.").default("lobby")];
        PROPERTIES
    }

    fn create_initialized(
        &self,
        properties: &Properties,
        _context: &ConnectorContext,
    ) -> Result<Box<dyn Sink>, EventFluxError> {
        Ok(Box::new(Rooms { room: properties.template("rooms.name")?, delivered: self.0.clone() }))
    }
}

#[derive(Debug, Clone)]
struct Rooms {
    room: Option<Template>,
    delivered: Delivered,
}

impl Sink for Rooms {
    fn start(&self, _callback: Arc<dyn SinkCallback>) -> Result<(), EventFluxError> {
        Ok(())
    }

    fn publish(&self, payload: &[u8]) -> Result<(), EventFluxError> {
        let batch = EncodedBatch::single(payload.to_vec().into(), 0);
        self.publish_batch(&batch).map_err(|failure| failure.error)
    }

    fn publish_batch(&self, batch: &EncodedBatch) -> Result<(), RowFailure> {
        for (row, payload) in batch.iter().enumerate() {
            let room = self.room.as_ref().map_or("", |room| room.text(batch, row));
            if room.is_empty() {
                let error = EventFluxError::Send { reason: "rooms.name is empty".to_owned(), retryable: false };
                return Err(RowFailure { row, error });
            }
            let text = String::from_utf8_lossy(payload).into_owned();
            self.delivered.lock().unwrap().push((room.to_owned(), text));
        }
        Ok(())
    }

    fn stop(&self, _deadline: Duration) -> u64 {
        0
    }

    fn clone_box(&self) -> Box<dyn Sink> {
        Box::new(self.clone())
    }
}

#[test]
fn who_said_it_decides_where_it_goes() {
    let delivered = Delivered::default();
    let mut context = EventFluxContext::new();
    eventflux_mappers::register(&mut context);
    context.add_source_factory(TalkFactory);
    context.add_sink_factory(RoomsFactory(delivered.clone()));
    let sql = "@source(type='talk', metadata.who='speaker', metadata.at='heard_time')
               CREATE STREAM Heard (who STRING, at TIMESTAMP, text STRING);
               @sink(type='rooms', rooms.name='room of ${who}', @map(type='text', exclude='who'))
               CREATE STREAM Said (who STRING, text STRING);
               INSERT INTO Said SELECT who, text || ' at ' || CAST(at AS STRING) AS text FROM Heard;";
    let mut pipeline = EventFlux::from_sql(sql, &context).unwrap();
    pipeline.start().unwrap();
    pipeline.wait().unwrap();
    pipeline.stop(Duration::from_secs(10));
    let expected = [("room of ann", "hello at 2023-11-14T22:13:20Z"), ("room of bob", "hi at 2023-11-14T22:13:20Z")];
    let expected = expected.map(|(room, text)| (room.to_owned(), text.to_owned()));
    assert_eq!(*delivered.lock().unwrap(), expected);
}
