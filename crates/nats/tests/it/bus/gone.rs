use super::*;
use eventflux_testkit::nats::NatsServer;
use eventflux_testkit::proxy::ChaosProxy;
use std::path::Path;

const GONE: &str = "eventflux_nats_bus_gone_total";

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_deleted_is_made_again_with_another_epoch() {
    let server = NatsServer::start();
    let members = [Member::join(&server.url()), Member::join(&server.url())];
    for member in &members {
        member.caught_up().await;
    }
    members[0].say(["old"]);
    for member in &members {
        member.has(1).await;
    }
    admin(&server.url()).await.delete_stream(STREAM).await.unwrap();
    for member in &members {
        eventually(SOON, || member.begins().len() == 2).await;
    }
    assert_eq!(members[0].begins(), members[1].begins());
    let epochs: Vec<_> = members[0].begins().into_iter().map(|(epoch, _)| epoch).collect();
    assert_ne!(epochs[0], epochs[1]);
    members[1].say(["new"]);
    for member in &members {
        member.has(2).await;
        assert_eq!(
            member.lines()[1..],
            [
                Line::CaughtUp,
                Line::Entry(1, "old".to_owned()),
                Line::Begin(epochs[1].clone(), 0),
                Line::CaughtUp,
                Line::Entry(1, "new".to_owned())
            ]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_before_somebody_joined_is_gone_for_it() {
    let server = NatsServer::start();
    let first = Member::join(&server.url());
    first.say(numbered("", 0..10));
    first.bus.settled().await.unwrap();
    let stream = admin(&server.url()).await.get_stream(STREAM).await.unwrap();
    stream.purge().sequence(8).await.unwrap();
    let late = Member::join(&server.url());
    late.caught_up().await;
    assert_eq!((late.begins()[0].1, late.texts()), (7, numbered("", 7..10)));
    stream.purge().await.unwrap();
    let later = Member::join(&server.url());
    later.caught_up().await;
    assert_eq!((later.begins(), later.texts().len()), (vec![(first.begins()[0].0.clone(), 10)], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_while_somebody_was_away_is_said_to_be_gone() {
    let server = NatsServer::start();
    let proxy = ChaosProxy::start(server.address());
    let (far, near) = (Member::join(&format!("nats://{}", proxy.address())), Member::join(&server.url()));
    near.say(numbered("", 0..3));
    far.has(3).await;
    proxy.refuse().await;
    proxy.reset();
    near.say(numbered("", 3..10));
    near.has(10).await;
    let stream = admin(&server.url()).await.get_stream(STREAM).await.unwrap();
    stream.purge().sequence(9).await.unwrap();
    proxy.resume().await;
    far.has(5).await;
    let epoch = near.begins()[0].0.clone();
    assert_eq!(far.begins(), [(epoch.clone(), 0), (epoch, 8)]);
    assert_eq!(far.texts(), ["0", "1", "2", "8", "9"]);
    assert_eq!(far.count(GONE), 5);
    assert_eq!((near.begins().len(), near.count(GONE)), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_log_forgets_its_oldest_entries_and_takes_new_ones() {
    let server = NatsServer::start();
    let small = BusConfig { max_bytes: 20_000, memory: true, ..config(&server.url()) };
    let first = Member::join_with(small.clone());
    first.say((0..100).map(|number| format!("{number:0>1000}")));
    first.bus.settled().await.unwrap();
    assert_eq!(first.seen.book().stored.len(), 100);
    let late = Member::join_with(small);
    late.caught_up().await;
    let (begin, entries) = (late.begins()[0].1, late.entries());
    assert!((60..100).contains(&begin), "{begin}");
    assert_eq!(entries.first().map(|(sequence, _)| *sequence), Some(begin + 1));
    assert_eq!(entries.last().map(|(sequence, _)| *sequence), Some(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_log_that_a_server_lost_begins_anew() {
    let server = NatsServer::start();
    let member = Member::join_with(BusConfig { memory: true, ..config(&server.url()) });
    member.say(["old"]);
    member.has(1).await;
    server.kill();
    server.restart();
    eventually(SOON, || member.begins().len() == 2).await;
    member.say(["new"]);
    member.has(2).await;
    assert_eq!(member.entries(), [(1, "old".to_owned()), (1, "new".to_owned())]);
    assert_ne!(member.begins()[0].0, member.begins()[1].0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_entries_never_gives_their_numbers_to_others() {
    let server = NatsServer::start();
    let member = Member::join(&server.url());
    member.say(numbered("", 0..5));
    member.has(5).await;
    let (store, saved) = (server.directory().join("store"), server.directory().join("saved"));
    server.kill();
    copy(&store, &saved);
    server.restart();
    member.say(numbered("", 5..10));
    member.has(10).await;
    // As after a power failure: what was not on disk yet is lost.
    server.kill();
    std::fs::remove_dir_all(&store).unwrap();
    copy(&saved, &store);
    server.restart();
    let admin = admin(&server.url()).await;
    let skipped = async {
        while admin.get_stream(STREAM).await.unwrap().cached_info().state.first_sequence <= 10 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, skipped).await.unwrap();
    member.say(["new"]);
    member.has(11).await;
    let (sequence, text) = member.entries().pop().unwrap();
    assert_eq!((sequence, &*text), (12, "new"));
    let epoch = member.begins()[0].0.clone();
    let hole = (epoch.clone(), 11);
    assert_eq!(member.begins(), [(epoch, 0), hole.clone()], "what came meanwhile may be missed");
    let late = Member::join(&server.url());
    late.caught_up().await;
    assert_eq!((late.begins(), late.texts()), (vec![hole], vec![text]));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_read_what_a_server_lost_notices_it_when_others_have_published_as_much_again() {
    let server = NatsServer::start();
    let proxy = ChaosProxy::start(server.address());
    let far = Member::join(&format!("nats://{}", proxy.address()));
    far.say(numbered("", 0..5));
    far.has(5).await;
    let (store, saved) = (server.directory().join("store"), server.directory().join("saved"));
    server.kill();
    copy(&store, &saved);
    server.restart();
    far.say(numbered("", 5..10));
    far.has(10).await;
    proxy.refuse().await;
    proxy.reset();
    server.kill();
    std::fs::remove_dir_all(&store).unwrap();
    copy(&saved, &store);
    server.restart();
    let near = Member::join(&server.url());
    near.say(numbered("other ", 0..10));
    near.has(15).await;
    proxy.resume().await;
    eventually(SOON, || far.begins().len() == 2).await;
    let epoch = near.begins()[0].0.clone();
    assert_eq!(far.begins(), [(epoch.clone(), 0), (epoch.clone(), 16)]);
    assert_eq!(far.texts(), numbered("", 0..10), "and nothing under numbers that it knows");
    near.say(["new"]);
    far.has(11).await;
    near.has(16).await;
    assert_eq!((far.entries().pop(), near.entries().pop()), (Some((17, "new".into())), Some((17, "new".into()))));
    assert_eq!(near.begins(), [(epoch.clone(), 0), (epoch, 16)], "so that it does not vouch for the others' places");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
