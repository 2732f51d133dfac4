use super::*;
use eventflux_testkit::nats::NatsServer;

#[tokio::test(flavor = "multi_thread")]
async fn everybody_reads_the_same_entries_with_the_same_numbers() {
    let server = NatsServer::start();
    let members: Vec<_> = (0..3).map(|_| Member::join(&server.url())).collect();
    for (index, member) in members.iter().enumerate() {
        member.say(numbered(&format!("{index}:"), 0..200));
    }
    for member in &members {
        member.has(600).await;
        assert_eq!(member.entries(), members[0].entries());
        assert_eq!(member.begins(), [(members[0].begins()[0].0.clone(), 0)]);
    }
    for index in 0..3 {
        let prefix = format!("{index}:");
        let of_one: Vec<_> = members[0].texts().into_iter().filter(|text| text.starts_with(&prefix)).collect();
        assert_eq!(of_one, numbered(&prefix, 0..200));
    }
    assert_eq!(members[0].seen.book().stored, (1..=200).collect::<Vec<_>>());
    let names: std::collections::BTreeSet<_> = members.iter().map(|member| member.bus.instance()).collect();
    assert_eq!(names.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_later_reads_the_past_first_and_is_told_where_it_ends() {
    let server = NatsServer::start();
    let first = Member::join(&server.url());
    first.caught_up().await;
    assert_eq!(first.lines().last(), Some(&Line::CaughtUp));
    // More than one request of a reader.
    first.say(numbered("", 0..5000));
    first.bus.settled().await.unwrap();
    let second = Member::join(&server.url());
    second.caught_up().await;
    first.say(["new"]);
    second.has(5001).await;
    let lines = second.lines();
    assert_eq!(lines[0], Line::Begin(first.begins()[0].0.clone(), 0));
    assert_eq!(lines[1], Line::Entry(1, "0".to_owned()));
    assert_eq!(
        lines[5000..],
        [Line::Entry(5000, "4999".to_owned()), Line::CaughtUp, Line::Entry(5001, "new".to_owned())]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_is_reached_when_the_listener_knows_of_everything_before_it() {
    let server = NatsServer::start();
    let member = Member::join(&server.url());
    member.say(numbered("", 0..1000));
    member.bus.settled().await.unwrap();
    assert_eq!(member.seen.book().stored.len(), 1000);
    assert_eq!(member.bus.queue_bytes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_that_is_full_says_so_and_takes_all_the_same() {
    let server = NatsServer::start();
    let member = Member::join_with(BusConfig { queue_bytes: 1000, in_flight: 1, ..config(&server.url()) });
    member.caught_up().await;
    server.pause();
    member.say(["x".repeat(2000)]);
    assert!(!member.bus.is_ready());
    member.say(["more"]);
    let ready = member.bus.ready();
    server.resume();
    tokio::time::timeout(SOON, ready).await.unwrap();
    member.has(2).await;
    assert!(member.bus.is_ready());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_is_stored_before_a_stop_returns_and_nothing_is_taken_after() {
    let server = NatsServer::start();
    let (member, other) = (Member::join(&server.url()), Member::join(&server.url()));
    member.caught_up().await;
    member.say(numbered("", 0..3000));
    assert_eq!(member.bus.stop(SOON), 0);
    assert_eq!(member.bus.stop(SOON), 0);
    assert_eq!(member.seen.book().stored.len(), 3000);
    assert_eq!(member.bus.publish(Bytes::new()), Err(EventFluxError::Stopped));
    assert!(!member.bus.is_ready());
    other.has(3000).await;
    assert_eq!(other.texts(), numbered("", 0..3000));
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_larger_than_a_request_of_a_reader_are_read() {
    let server = NatsServer::start_with("max_payload: 16777216");
    let member = Member::join(&server.url());
    let large = "x".repeat(9 << 20);
    member.say(["before", &large, "behind"]);
    member.has(3).await;
    let lengths: Vec<_> = member.texts().iter().map(String::len).collect();
    assert_eq!(lengths, [6, 9 << 20, 6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_large_entries_are_read_in_order() {
    let server = NatsServer::start();
    let member = Member::join_with(BusConfig { queue_bytes: 64 << 20, ..config(&server.url()) });
    let filler = "x".repeat(500_000);
    member.say((0..60).map(|number| format!("{number}:{filler}")));
    member.has(60).await;
    let heads: Vec<_> = member.texts().iter().map(|text| text.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(heads, numbered("", 0..60));
    assert_eq!(member.context.registry.samples().iter().filter(|s| s.name.contains("slow") && s.value > 0).count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_no_server_takes_fails_alone() {
    let server = NatsServer::start_with("max_payload: 4096");
    let member = Member::join(&server.url());
    member.say(["before".to_owned(), "x".repeat(5000), "behind".to_owned()]);
    member.bus.settled().await.unwrap();
    let book = member.seen.book();
    assert_eq!(book.stored, [1, 3]);
    let [(2, EventFluxError::Send { retryable: false, .. })] = &book.failed[..] else { panic!("{:?}", book.failed) };
}

#[test]
fn a_name_that_cannot_be_one_is_refused() {
    for name in ["", "a.b", "a b", "*", "ü"] {
        let config = BusConfig { name: name.to_owned(), ..config("nats://127.0.0.1:1") };
        let context = ConnectorContext::new(&Metrics::default(), ConnectorRole::Sink, "T", "websocket");
        let refused = Bus::start(config, Observer::of(&context), Arc::new(Recorder::default())).unwrap_err();
        assert!(refused.to_string().contains("letters, digits"), "{refused}");
    }
}
