use super::*;
use eventflux_core::health::ConnectionState;
use eventflux_testkit::log_capture::LogCapture;
use eventflux_testkit::nats::NatsServer;
use eventflux_testkit::proxy::ChaosProxy;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_costs_neither_entries_nor_order() {
    let server = NatsServer::start();
    let members = [Member::join(&server.url()), Member::join(&server.url())];
    let rounds = 6;
    for round in 0..rounds {
        for (index, member) in members.iter().enumerate() {
            member.say(numbered(&format!("{index}:"), round * 500..(round + 1) * 500));
        }
        if round % 2 == 1 {
            server.kill();
            server.restart();
        }
    }
    let all = usize::try_from(rounds * 1000).unwrap();
    for member in &members {
        member.bus.settled().await.unwrap();
        member.has(all).await;
        assert_eq!(member.begins().len(), 1, "the same log");
        assert_eq!(member.entries(), members[0].entries());
        assert!(member.seen.book().failed.is_empty());
    }
    for index in 0..2 {
        assert_each_once_in_order(&members[0], &format!("{index}:"), rounds * 500);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_reset_again_and_again_cost_neither_entries_nor_order() {
    let server = NatsServer::start();
    let proxies = [ChaosProxy::start(server.address()), ChaosProxy::start(server.address())];
    let join = |proxy: &ChaosProxy| {
        let url = format!("nats://{}", proxy.address());
        Member::join_with(BusConfig { in_flight: 64, ..config(&url) })
    };
    let (members, witness) = (proxies.each_ref().map(join), Member::join(&server.url()));
    for (index, member) in members.iter().enumerate() {
        member.say(numbered(&format!("{index}:"), 0..4000));
    }
    for reset in 1..=16 {
        witness.has(reset * 400).await;
        proxies[reset % 2].reset();
    }
    for member in [&witness, &members[0], &members[1]] {
        member.has(8000).await;
        assert_eq!((member.entries(), member.begins()), (witness.entries(), witness.begins()));
    }
    for index in 0..2 {
        assert_each_once_in_order(&witness, &format!("{index}:"), 4000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_cut_off_reads_what_it_missed() {
    let server = NatsServer::start();
    let proxy = ChaosProxy::start(server.address());
    let (far, near) = (Member::join(&format!("nats://{}", proxy.address())), Member::join(&server.url()));
    far.caught_up().await;
    near.say(numbered("", 0..10));
    far.has(10).await;
    proxy.refuse().await;
    proxy.reset();
    eventually(SOON, || far.context.health.current().state == ConnectionState::Reconnecting).await;
    near.say(numbered("", 10..20));
    far.say(["from afar"]);
    near.has(20).await;
    proxy.resume().await;
    far.has(21).await;
    near.has(21).await;
    assert_eq!(far.entries(), near.entries());
    assert_eq!(far.texts()[..20], numbered("", 0..20));
    assert_eq!(far.begins().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_cut_off_without_a_word_reads_what_it_missed() {
    let server = NatsServer::start();
    let proxy = ChaosProxy::start(server.address());
    let url = format!("nats://{}", proxy.address());
    let far = Member::join_with(config_with(&url, &[("nats.ping.interval", "200ms")]));
    let near = Member::join(&server.url());
    far.caught_up().await;
    proxy.blackhole();
    near.say(numbered("", 0..10));
    far.say(["from afar"]);
    near.has(10).await;
    eventually(SOON, || far.context.health.current().state == ConnectionState::Reconnecting).await;
    assert_eq!(far.texts().len(), 0);
    proxy.resume().await;
    far.has(11).await;
    near.has(11).await;
    assert_eq!(far.entries(), near.entries());
}

#[tokio::test(flavor = "multi_thread")]
async fn giving_up_before_there_was_a_server_fails_what_was_taken() {
    let server = NatsServer::start();
    server.kill();
    let member = Member::join_with(config_with(&server.url(), &[("nats.reconnect.max.attempts", "2")]));
    // May be too late already.
    let taken = member.bus.publish(Bytes::new());
    eventually(SOON, || member.bus.publish(Bytes::new()).is_err()).await;
    let settled = tokio::time::timeout(SOON, member.bus.settled()).await.unwrap();
    let book = member.seen.book();
    assert!(book.stored.is_empty() && book.failed.iter().all(|(_, error)| !matches!(error, EventFluxError::Stopped)));
    assert_eq!((settled, book.failed.is_empty()), (Ok(()), taken.is_err()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_for_a_while_is_waited_for() {
    let server = NatsServer::start();
    let member = Member::join(&server.url());
    member.caught_up().await;
    server.pause();
    member.say(numbered("", 0..100));
    // Longer than a confirmation may take, and longer than the server may be silent.
    let (begun, hung) = (std::time::Instant::now(), Duration::from_secs(9));
    eventually(SOON, || begun.elapsed() > hung).await;
    server.resume();
    member.has(100).await;
    assert_eq!(member.texts(), numbered("", 0..100));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_somebody_deletes_is_made_again() {
    let server = NatsServer::start();
    let member = Member::join(&server.url());
    member.say(["1"]);
    member.has(1).await;
    let stream = admin(&server.url()).await.get_stream(STREAM).await.unwrap();
    let consumers: Vec<_> = futures_util::TryStreamExt::try_collect(stream.consumer_names()).await.unwrap();
    let [consumer] = &consumers[..] else { panic!("{consumers:?}") };
    stream.delete_consumer(consumer).await.unwrap();
    member.say(["2"]);
    member.has(2).await;
    assert_eq!((member.texts(), member.begins().len()), (vec!["1".to_owned(), "2".to_owned()], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_begins_while_the_server_is_away() {
    let server = NatsServer::start();
    server.kill();
    let member = Member::join(&server.url());
    member.say(["early"]);
    eventually(SOON, || member.context.health.current().state == ConnectionState::Reconnecting).await;
    assert_eq!((member.lines(), member.bus.is_ready()), (vec![], true));
    server.restart();
    member.has(1).await;
    eventually(SOON, || member.context.health.current().state == ConnectionState::Connected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn giving_up_fails_what_was_taken_and_refuses_what_comes() {
    let server = NatsServer::start();
    let member = Member::join_with(config_with(&server.url(), &[("nats.reconnect.max.attempts", "2")]));
    member.caught_up().await;
    server.pause();
    member.say(["1", "2"]);
    let settled = member.bus.settled();
    server.kill();
    settled.await.unwrap();
    assert!(member.seen.book().stored.is_empty());
    let failed = member.seen.book().failed.clone();
    let [(1, first), (2, second)] = &failed[..] else { panic!("{failed:?}") };
    assert!(matches!(first, EventFluxError::ConnectionUnavailable { .. }), "{first}");
    assert_eq!(first, second);
    assert_eq!(member.bus.publish(Bytes::new()).unwrap_err(), *first);
    tokio::time::timeout(SOON, member.bus.ready()).await.unwrap();
    assert_eq!((member.bus.is_ready(), member.bus.stop(SOON)), (false, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_longer_than_it_may_and_counts_what_is_left() {
    let server = NatsServer::start();
    let member = Member::join(&server.url());
    member.caught_up().await;
    server.kill();
    member.say(["1", "2", "3"]);
    let settled = member.bus.settled();
    let (deadline, begun) = (Duration::from_millis(400), std::time::Instant::now());
    assert_eq!(member.bus.stop(deadline), 3);
    assert!(begun.elapsed() < deadline + Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(settled.await, Err(EventFluxError::Stopped));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_before_there_was_a_server_returns_at_once() {
    let server = NatsServer::start();
    server.kill();
    let member = Member::join(&server.url());
    assert_eq!(member.bus.stop(Duration::from_secs(600)), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_panics_ends_its_bus_and_nothing_else() {
    let server = NatsServer::start();
    let fragile = Recorder { fuse: Some("boom"), ..Recorder::default() };
    let broken = Member::with_listener(config(&server.url()), fragile);
    let sound = Member::join(&server.url());
    broken.caught_up().await;
    sound.say(["boom", "after"]);
    sound.has(2).await;
    eventually(SOON, || broken.context.health.current().state == ConnectionState::Failed).await;
    assert!(broken.detail().contains("the fuse blows"), "{}", broken.detail());
    let refused = broken.bus.publish(Bytes::new()).unwrap_err();
    assert!(matches!(refused, EventFluxError::Panic { .. }), "{refused}");
    assert_eq!(broken.bus.stop(SOON), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_cannot_be_made_is_shown_until_it_can() {
    let mut server = NatsServer::start_with("jetstream: disabled");
    let member = Member::join(&server.url());
    member.say(["1"]);
    eventually(SOON, || member.detail().contains("stream eventflux-bus-test cannot be read")).await;
    assert_eq!(member.context.health.current().state, ConnectionState::Reconnecting);
    server.reload("");
    server.restart();
    member.has(1).await;
    eventually(SOON, || member.detail() == server.url()).await;
    assert_eq!(member.context.health.current().state, ConnectionState::Connected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_takes_nothing_is_shown_until_it_does() {
    use async_nats::jetstream::stream::{Config, DiscardPolicy};
    let server = NatsServer::start();
    let member = Member::join(&server.url());
    member.say(["1"]);
    member.has(1).await;
    let admin = admin(&server.url()).await;
    let usual = admin.get_stream(STREAM).await.unwrap().cached_info().config.clone();
    admin.update_stream(Config { max_messages: 1, discard: DiscardPolicy::New, ..usual.clone() }).await.unwrap();
    member.say(["2"]);
    let health = || member.context.health.current();
    eventually(SOON, || health().state == ConnectionState::Reconnecting).await;
    assert!(member.detail().contains("maximum messages exceeded"), "{}", member.detail());
    admin.update_stream(usual).await.unwrap();
    member.has(2).await;
    eventually(SOON, || health().state == ConnectionState::Connected).await;
    assert_eq!(member.detail(), server.url());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_used_is_shown_and_ends_the_bus() {
    let server = NatsServer::start();
    let missing = server.directory().join("missing.creds");
    let config = config_with(&server.url(), &[("nats.credentials", missing.to_str().unwrap())]);
    let logs = LogCapture::start();
    let member = Member::join_with(config);
    eventually(SOON, || member.context.health.current().state == ConnectionState::Failed).await;
    assert!(member.detail().contains("missing.creds"), "{}", member.detail());
    logs.wait_for(SOON, ::log::Level::Error, "missing.creds").await;
    eventually(SOON, || member.bus.publish(Bytes::new()).is_err()).await;
    assert_eq!((member.bus.is_ready(), member.bus.stop(SOON)), (false, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_that_is_dropped_leaves_its_server() {
    let server = NatsServer::start();
    let proxy = ChaosProxy::start(server.address());
    let member = Member::join(&format!("nats://{}", proxy.address()));
    member.caught_up().await;
    drop(member);
    proxy.wait_for("the connection to end", |traffic| traffic.open == 0).await;
}

/// Shows what is around the first that is not in its place.
#[track_caller]
fn assert_each_once_in_order(member: &Member, prefix: &str, count: u64) {
    let of_one: Vec<_> = member.entries().into_iter().filter(|(_, text)| text.starts_with(prefix)).collect();
    let wanted = numbered(prefix, 0..count);
    let wrong = of_one.iter().zip(&wanted).position(|((_, text), wanted)| text != wanted);
    let around = wrong.map(|wrong| &of_one[wrong.saturating_sub(3)..of_one.len().min(wrong + 12)]);
    assert_eq!((around, of_one.len()), (None, wanted.len()), "each once, in order");
}
