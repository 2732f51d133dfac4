//! Objects of S3, or of what speaks its protocol.

use eventflux_core::health::ConnectionState;
use eventflux_core::{EventFluxError, FaultClass};
use eventflux_testkit::wait::eventually_blocking;
use mockito::{Matcher, Server, ServerGuard};

use crate::fake_s3::FakeS3;
use crate::support::{DEADLINE, Fixture, batch};

/// A sink whose objects have one event, for `server`.
fn sink(endpoint: &str, more: &[(&str, &str)]) -> Fixture {
    let mut pairs = vec![
        ("objectstore.url", "s3://measurements/edge/1"),
        ("objectstore.batch.events", "1"),
        ("objectstore.s3.endpoint", endpoint),
        ("objectstore.s3.region", "eu-central-1"),
        ("objectstore.s3.access.key.id", "the-id"),
        ("objectstore.s3.secret.access.key", "hunter2"),
    ];
    pairs.extend(more);
    Fixture::started(&pairs)
}

fn put(server: &mut ServerGuard) -> mockito::Mock {
    let day = r"\d{4}-\d\d-\d\d/\d\d";
    let path = format!(r"^/measurements/edge/1/Readings/{day}/\d{{8}}T\d{{6}}\.\d{{3}}Z-[0-9a-f]{{32}}\.jsonl$");
    server.mock("PUT", Matcher::Regex(path))
}

#[test]
fn an_object_is_put_with_a_signature_and_the_bucket_in_the_path() {
    let mut server = Server::new();
    let signature = r"^AWS4-HMAC-SHA256 Credential=the-id/\d{8}/eu-central-1/s3/aws4_request, SignedHeaders=[a-z0-9;-]+, Signature=[0-9a-f]{64}$";
    let mock = put(&mut server)
        .match_header("authorization", Matcher::Regex(signature.to_owned()))
        .match_header("x-amz-content-sha256", Matcher::Regex("^[0-9a-f]{64}$".to_owned()))
        .match_header("x-amz-security-token", Matcher::Missing)
        .match_body("a\n")
        .with_header("etag", "\"1\"")
        .expect(1)
        .create();
    let fixture = sink(&server.url(), &[]);
    fixture.sink.publish(b"a").unwrap();
    fixture.settle();
    mock.assert();
    assert_eq!(fixture.recorder.failed(), []);
    assert_eq!(fixture.context.health.current().detail.as_deref(), Some("s3://measurements/edge/1"));
}

#[test]
fn a_session_token_is_sent() {
    let mut server = Server::new();
    let mock = put(&mut server)
        .match_header("x-amz-security-token", "the-token")
        .with_header("etag", "\"1\"")
        .expect(1)
        .create();
    let fixture = sink(&server.url(), &[("objectstore.s3.session.token", "the-token")]);
    fixture.sink.publish(b"a").unwrap();
    fixture.settle();
    mock.assert();
}

#[test]
fn a_server_that_is_busy_is_tried_again_quickly_and_then_a_fault_that_passes() {
    let mut server = Server::new();
    let mock = put(&mut server).with_status(503).with_body("slow down").expect(3).create();
    let fixture = sink(&server.url(), &[]);
    fixture.sink.publish_batch(&batch(1, ["a"])).unwrap();
    fixture.settle();
    mock.assert();
    let [(payload, error)] = &fixture.recorder.failed()[..] else { panic!("{:?}", fixture.recorder.failed()) };
    assert_eq!((&payload[..], error.class()), (&b"a"[..], FaultClass::Transient));
    assert!(
        error.to_string().starts_with("s3://measurements/edge/1: ") && error.to_string().contains("503"),
        "{error}"
    );
    assert_eq!(fixture.context.health.current().state, ConnectionState::Reconnecting);
}

#[test]
fn credentials_that_are_refused_need_a_person_and_are_not_shown() {
    let mut server = Server::new();
    let _mock = put(&mut server).with_status(403).with_body("you signed with hunter2").create();
    let fixture = sink(&server.url(), &[]);
    fixture.sink.publish(b"a").unwrap();
    fixture.settle();
    let [(_, error)] = &fixture.recorder.failed()[..] else { panic!("{:?}", fixture.recorder.failed()) };
    assert_eq!(error.class(), FaultClass::Fatal);
    assert!(error.to_string().contains("403") && !error.to_string().contains("hunter2"), "{error}");
    assert!(!format!("{:?} {error:?}", fixture.sink).contains("hunter2"));
}

#[test]
fn a_server_that_is_not_there_is_a_fault_that_passes() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let fixture = sink(&format!("http://{gone}"), &[]);
    fixture.sink.publish(b"a").unwrap();
    let (_, error) = fixture.failed(1).remove(0);
    assert!(error.is_retryable(), "{error}");
    let error = fixture.sink.validate_connectivity().unwrap_err();
    assert!(matches!(error, EventFluxError::ConnectionUnavailable { .. }), "{error:?}");
}

#[test]
fn a_second_try_overwrites_the_first() {
    let server = FakeS3::start();
    let [(_, endpoint), ..] = server.access();
    let fixture = sink(&endpoint, &[("objectstore.timeout", "1s")]);
    fixture.sink.validate_connectivity().unwrap();
    // The server takes the object, and the answer does not come in time.
    server.hold(true);
    fixture.sink.publish_batch(&batch(7, ["a"])).unwrap();
    let (payload, error) = fixture.failed(1).remove(0);
    assert!(error.is_retryable(), "{error}");
    server.hold(false);
    fixture.sink.publish_batch(&batch(7, [payload])).unwrap();
    fixture.settle();
    eventually_blocking(DEADLINE, || !server.objects().is_empty());
    let objects = server.objects();
    assert_eq!(objects.len(), 1, "{:?}", objects.keys());
    assert!(objects.values().all(|body| body == "a\n"));
}

#[test]
fn a_stop_gives_up_what_a_server_does_not_take() {
    let server = FakeS3::start();
    let [(_, endpoint), ..] = server.access();
    let fixture = sink(&endpoint, &[]);
    server.hold(true);
    fixture.sink.publish_batch(&batch(1, ["a", "b"])).unwrap();
    assert_eq!(fixture.sink.stop(DEADLINE / 100), 2);
    assert_eq!(fixture.settled(), Err(EventFluxError::Stopped));
    server.hold(false);
}

#[test]
fn credentials_do_not_follow_a_redirect() {
    let (mut server, mut elsewhere) = (Server::new(), Server::new());
    let stolen = elsewhere.mock("PUT", Matcher::Any).expect(0).create();
    let location = format!("{}/measurements/x", elsewhere.url());
    let mock = put(&mut server).with_status(307).with_header("location", &location).expect_at_least(1).create();
    let fixture = sink(&server.url(), &[("objectstore.s3.session.token", "the-token")]);
    fixture.sink.publish(b"a").unwrap();
    let (_, error) = fixture.failed(1).remove(0);
    assert!(error.to_string().contains("307"), "{error}");
    mock.assert();
    stolen.assert();
}
