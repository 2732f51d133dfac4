use mockito::{Mock, Server, ServerGuard};

use super::*;
use crate::access::testing::{Issuer, properties, silent};
use crate::properties::access::JWKS_URL;

const HOUR: Duration = Duration::from_secs(3600);

async fn serve(server: &mut ServerGuard, status: usize, body: &str, times: usize) -> Mock {
    let mock = server.mock("GET", "/keys").with_status(status).with_body(body);
    mock.expect(times).create_async().await
}

fn jwks(url: &str, refresh: Duration, min_interval: Duration) -> Arc<Jwks> {
    let properties = properties(&[("websocket.auth", "jwt"), (JWKS_URL.key, url)]).unwrap();
    let url = ServiceUrl::from_properties(&properties, JWKS_URL.key).unwrap().unwrap();
    Jwks::with_interval(url, refresh, min_interval, HttpClient::new())
}

fn of(server: &ServerGuard, refresh: Duration, min_interval: Duration) -> Arc<Jwks> {
    jwks(&format!("{}/keys", server.url()), refresh, min_interval)
}

#[tokio::test]
async fn keys_are_fetched_once_however_many_need_them() {
    let mut server = Server::new_async().await;
    let mock = serve(&mut server, 200, &Issuer::jwks(&[&Issuer::new("a")]), 1).await;
    let jwks = of(&server, HOUR, HOUR);
    let many = (0..50).map(|_| {
        let jwks = jwks.clone();
        tokio::spawn(async move { jwks.keys().await })
    });
    for keys in futures_util::future::join_all(many).await {
        assert_eq!(keys.unwrap().unwrap().len(), 1);
    }
    mock.assert_async().await;
}

#[tokio::test]
async fn newer_keys_are_fetched_when_known_ones_do_not_do_but_not_at_will() {
    let mut server = Server::new_async().await;
    let (one, two) = (Issuer::new("a"), Issuer::new("b"));
    let first = serve(&mut server, 200, &Issuer::jwks(&[&one]), 1).await;
    let jwks = of(&server, HOUR, Duration::ZERO);
    let known = jwks.keys().await.unwrap();
    first.assert_async().await;
    first.remove_async().await;
    let second = serve(&mut server, 200, &Issuer::jwks(&[&one, &two]), 1).await;
    let newer = jwks.other_than(Some(known.clone())).await.unwrap();
    assert_eq!((known.len(), newer.len()), (1, 2));
    // Somebody who still has the first ones gets the second ones without a question.
    assert!(Arc::ptr_eq(&jwks.other_than(Some(known)).await.unwrap(), &newer));
    second.assert_async().await;

    let patient = of(&server, HOUR, HOUR);
    let known = patient.keys().await;
    let mock = serve(&mut server, 200, &Issuer::jwks(&[&two]), 0).await;
    for _ in 0..10 {
        assert!(patient.other_than(known.clone()).await.is_none());
    }
    mock.assert_async().await;
}

#[tokio::test]
async fn old_keys_stay_in_use_while_new_ones_are_fetched_or_cannot_be() {
    let mut server = Server::new_async().await;
    let first = serve(&mut server, 200, &Issuer::jwks(&[&Issuer::new("a")]), 1).await;
    let jwks = of(&server, Duration::ZERO, Duration::ZERO);
    let known = jwks.keys().await.unwrap();
    first.remove_async().await;
    for (status, body) in [(500, "oops"), (200, "{}"), (200, "{\"keys\":[]}"), (302, ""), (404, "")] {
        let broken = serve(&mut server, status, body, 1).await;
        assert!(jwks.other_than(Some(known.clone())).await.is_none(), "{status}");
        broken.assert_async().await;
        broken.remove_async().await;
        assert!(Arc::ptr_eq(&jwks.lock().keys.clone().unwrap(), &known));
    }
    let set = Issuer::jwks(&[&Issuer::new("a"), &Issuer::new("b")]);
    let _renewed = server.mock("GET", "/keys").with_body(&set).create_async().await;
    // They are old: each look starts to fetch, and nobody waits for it.
    let renewed = async {
        while jwks.keys().await.unwrap().len() != 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), renewed).await.unwrap();
}

#[tokio::test]
async fn without_any_keys_nobody_waits_for_an_issuer_that_was_just_found_down() {
    let mut server = Server::new_async().await;
    let down = serve(&mut server, 503, "", 1).await;
    let jwks = of(&server, HOUR, HOUR);
    for _ in 0..3 {
        assert!(jwks.keys().await.is_none());
    }
    down.assert_async().await;
}

#[tokio::test]
async fn a_question_goes_on_when_the_client_that_caused_it_goes_away() {
    let mut server = Server::new_async().await;
    let _mock = serve(&mut server, 200, &Issuer::jwks(&[&Issuer::new("a")]), 1).await;
    let jwks = of(&server, HOUR, HOUR);
    {
        let mut asked = std::pin::pin!(jwks.keys());
        assert!(futures_util::poll!(&mut asked).is_pending());
    }
    assert_eq!(jwks.other_than(None).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_says_nothing_is_given_up() {
    let (_listener, url) = silent();
    let jwks = jwks(&url, HOUR, HOUR);
    let start = Instant::now();
    assert!(jwks.keys().await.is_none());
    assert!(start.elapsed() >= TIMEOUT);
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let mut server = Server::new_async().await;
    let _mock = serve(&mut server, 200, &" ".repeat(1 << 20), 1).await;
    let jwks = of(&server, HOUR, HOUR);
    let error = jwks.ask().await.unwrap_err();
    assert!(error.contains("limit exceeded"), "{error}");
}
