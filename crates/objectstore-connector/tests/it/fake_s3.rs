//! A server that speaks as much of the protocol of S3 as a sink needs: it keeps objects in memory, holds requests back,
//! and refuses them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What every listing is answered with.
const NOTHING: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
<Name>bucket</Name><Prefix></Prefix><KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>
</ListBucketResult>"#;

/// The server, until it is dropped.
pub(crate) struct FakeS3 {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Dropped with the server: ends it.
    _runtime: tokio::runtime::Runtime,
}

struct Shared {
    objects: Mutex<BTreeMap<String, Bytes>>,
    status: Mutex<u16>,
    held: watch::Sender<bool>,
}

impl FakeS3 {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { objects: Mutex::default(), status: Mutex::new(200), held: watch::Sender::new(false) });
        let serving = shared.clone();
        runtime.spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let shared = serving.clone();
                let service = service_fn(move |request| answer(shared.clone(), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(connection), service));
            }
        });
        Self { address, shared, _runtime: runtime }
    }

    /// The properties that lead here.
    pub(crate) fn access(&self) -> [(&'static str, String); 4] {
        [
            ("objectstore.s3.endpoint", format!("http://{}", self.address)),
            ("objectstore.s3.region", "eu-central-1".to_owned()),
            ("objectstore.s3.access.key.id", "the-id".to_owned()),
            ("objectstore.s3.secret.access.key", "the-secret".to_owned()),
        ]
    }

    /// The objects by bucket and name.
    pub(crate) fn objects(&self) -> BTreeMap<String, Bytes> {
        self.shared.objects.lock().unwrap().clone()
    }

    /// Answers every request with this status from here on; 200: does what is asked.
    pub(crate) fn answer_with(&self, status: u16) {
        *self.shared.status.lock().unwrap() = status;
    }

    /// Holds requests back, or does not any more.
    pub(crate) fn hold(&self, held: bool) {
        self.shared.held.send_replace(held);
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let _ = shared.held.subscribe().wait_for(|held| !held).await;
    let status = *shared.status.lock().unwrap();
    let reply = |status: u16, text: &'static str| {
        Response::builder().status(status).header("etag", "\"1\"").body(Full::from(text)).unwrap()
    };
    if status != 200 {
        return Ok(reply(status, "<Error><Code>Refused</Code></Error>"));
    }
    if request.method() != Method::PUT {
        return Ok(reply(200, NOTHING));
    }
    let name = request.uri().path().to_owned();
    let Ok(body) = request.into_body().collect().await else { return Ok(reply(400, "")) };
    shared.objects.lock().unwrap().insert(name, body.to_bytes());
    Ok(reply(200, ""))
}
