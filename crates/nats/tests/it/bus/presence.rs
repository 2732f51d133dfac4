use super::*;
use eventflux_testkit::log_capture::LogCapture;
use eventflux_testkit::nats::NatsServer;
use eventflux_testkit::proxy::ChaosProxy;

const TTL: Duration = Duration::from_millis(1500);

fn member(url: &str) -> Member {
    Member::join_with(BusConfig { presence: Some(TTL), ..config(url) })
}

fn value(text: &str) -> Option<Bytes> {
    Some(Bytes::copy_from_slice(text.as_bytes()))
}

impl Member {
    fn sees(&self, key: &str, of: &Self) -> Option<String> {
        self.seen.book().present.get(&(key.to_owned(), of.bus.instance().to_owned())).cloned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_says_the_others_know_until_it_is_taken_back() {
    let server = NatsServer::start();
    let (a, b, c) = (member(&server.url()), member(&server.url()), member(&server.url()));
    a.bus.set_present("room ü.*>", value("ann"));
    b.bus.set_present("room ü.*>", value("bob"));
    eventually(SOON, || c.sees("room ü.*>", &a).is_some() && c.sees("room ü.*>", &b).is_some()).await;
    eventually(SOON, || a.sees("room ü.*>", &b).as_deref() == Some("bob")).await;
    assert_eq!(a.sees("room ü.*>", &a), None, "what one says oneself is no news");
    a.bus.set_present("room ü.*>", value("ann, amy"));
    eventually(SOON, || b.sees("room ü.*>", &a).as_deref() == Some("ann, amy")).await;
    a.bus.set_present("room ü.*>", None);
    eventually(SOON, || b.sees("room ü.*>", &a).is_none() && c.sees("room ü.*>", &a).is_none()).await;
    assert_eq!(c.sees("room ü.*>", &b).as_deref(), Some("bob"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_later_learns_who_is_there_and_it_lasts() {
    let server = NatsServer::start();
    let a = member(&server.url());
    a.bus.set_present("", value("1"));
    a.caught_up().await;
    let b = member(&server.url());
    eventually(SOON, || b.sees("", &a).is_some()).await;
    let (begun, changes) = (std::time::Instant::now(), b.seen.book().changes);
    eventually(SOON, || begun.elapsed() > 3 * TTL).await;
    assert_eq!((b.sees("", &a).as_deref(), b.seen.book().changes), (Some("1"), changes));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_is_gone_at_once() {
    let server = NatsServer::start();
    // So long that nobody expires in this test.
    let patient = || BusConfig { presence: Some(Duration::from_secs(600)), ..config(&server.url()) };
    let (a, b) = (Member::join_with(patient()), Member::join_with(patient()));
    for key in 0..50 {
        a.bus.set_present(&key.to_string(), value("x"));
    }
    eventually(SOON, || b.seen.book().present.len() == 50).await;
    assert_eq!(a.bus.stop(SOON), 0);
    eventually(SOON, || b.seen.book().present.is_empty()).await;
    a.bus.set_present("0", value("x"));
    assert_eq!(a.bus.stop(SOON), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_cut_off_is_gone_in_time_and_comes_back() {
    let server = NatsServer::start();
    let proxy = ChaosProxy::start(server.address());
    let (far, near) = (member(&format!("nats://{}", proxy.address())), member(&server.url()));
    far.bus.set_present("room", value("far"));
    near.bus.set_present("room", value("near"));
    eventually(SOON, || near.sees("room", &far).is_some() && far.sees("room", &near).is_some()).await;
    proxy.blackhole();
    eventually(SOON, || near.sees("room", &far).is_none()).await;
    eventually(SOON, || far.sees("room", &near).is_none()).await;
    far.bus.set_present("room", value("changed"));
    // What a blackhole has taken is gone: the connection is of no use any more.
    proxy.resume().await;
    proxy.reset();
    eventually(SOON, || near.sees("room", &far).as_deref() == Some("changed")).await;
    eventually(SOON, || far.sees("room", &near).as_deref() == Some("near")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_lost_is_filled_again() {
    let server = NatsServer::start();
    let patient = || BusConfig { presence: Some(Duration::from_secs(600)), ..config(&server.url()) };
    let (a, b) = (Member::join_with(patient()), Member::join_with(patient()));
    a.bus.set_present("room", value("1"));
    eventually(SOON, || b.sees("room", &a).is_some()).await;
    server.kill();
    server.restart();
    a.bus.set_present("room", value("2"));
    eventually(SOON, || b.sees("room", &a).as_deref() == Some("2")).await;
    let c = Member::join_with(patient());
    eventually(SOON, || c.sees("room", &a).as_deref() == Some("2")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_follow_each_other_are_sent_once() {
    let server = NatsServer::start();
    let (a, b) = (member(&server.url()), member(&server.url()));
    a.caught_up().await;
    for number in 0..10_000 {
        a.bus.set_present("room", value(&number.to_string()));
    }
    eventually(SOON, || b.sees("room", &a).as_deref() == Some("9999")).await;
    let changes = b.seen.book().changes;
    assert!(changes < 1000, "{changes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_not_said_and_warned_of() {
    let server = NatsServer::start();
    let (a, b) = (member(&server.url()), member(&server.url()));
    a.bus.set_present("room", value("1"));
    eventually(SOON, || b.sees("room", &a).is_some()).await;
    let logs = LogCapture::start();
    a.bus.set_present("room", value(&"x".repeat((256 << 10) + 1)));
    a.bus.set_present(&"k".repeat(1025), value("1"));
    a.bus.set_present(&"k".repeat(1024), value("1"));
    eventually(SOON, || b.sees("room", &a).is_none() && b.sees(&"k".repeat(1024), &a).is_some()).await;
    assert_eq!(b.sees(&"k".repeat(1025), &a), None);
    logs.assert_logged(::log::Level::Warn, "262145 bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_presence_is_not_kept_nothing_is_said() {
    let server = NatsServer::start();
    let member = Member::join(&server.url());
    member.bus.set_present("room", value("1"));
    member.caught_up().await;
    assert_eq!(member.bus.stop(SOON), 0);
    assert!(admin(&server.url()).await.get_key_value("eventflux-presence-test").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_keeps_values_for_another_time_counts() {
    let server = NatsServer::start();
    let proxy = ChaosProxy::start(server.address());
    let far = member(&format!("nats://{}", proxy.address()));
    far.bus.set_present("room", value("1"));
    let near = member(&server.url());
    eventually(SOON, || near.sees("room", &far).is_some()).await;
    let logs = LogCapture::start();
    let patient = Member::join_with(BusConfig { presence: Some(SOON * 100), ..config(&server.url()) });
    eventually(SOON, || patient.sees("room", &far).is_some()).await;
    logs.assert_logged(::log::Level::Warn, "eventflux-presence-test keeps values for 1.5 s instead of 3000 s");
    proxy.blackhole();
    eventually(SOON, || patient.sees("room", &far).is_none()).await;
}
