//! Messages of clients that the pipeline answers.

use eventflux_gateway::auth::Grants;
use eventflux_gateway::{Accepts, Address, Ending, HubConfig, Inbound, Problem};
use serde_json::json;

use crate::support::{Client, World, grants, seconds};

fn ask(client: &mut Client, correlation: &str) -> Option<String> {
    client.say(json!({"type": "sum", "data": [1, 2], "correlation_id": correlation}));
    client.delivered.pop().and_then(|inbound| inbound.request)
}

fn answer(world: &World, request: &str, payload: &str) -> Result<usize, Problem> {
    world.publish_to(Address::Request(request), payload).map(|published| published.delivered)
}

#[test]
fn an_answer_reaches_the_client_that_asked_and_no_other() {
    let world = World::events();
    let (mut ann, mut bob) = (world.client(), world.client());
    let (to_ann, to_bob) = (ask(&mut ann, "1").unwrap(), ask(&mut bob, "1").unwrap());
    assert_ne!(to_ann, to_bob);
    assert_eq!(answer(&world, &to_bob, "3"), Ok(1));
    assert_eq!(
        (ann.hear().len(), bob.hear()),
        (0, vec![json!({"type": "sum.result", "data": 3, "correlation_id": "1"})])
    );
    assert_eq!(answer(&world, &to_ann, "4"), Ok(1));
    assert_eq!(ann.hear()[0]["data"], 4);
}

#[test]
fn a_message_for_the_pipeline_is_passed_on_as_it_is() {
    let world = World::new("channels", HubConfig::default());
    let mut client = world.client();
    client.say(r#"{"type":"event","data":{"n": 1.50},"metadata":{"channel":"a"}}"#);
    let expected = Inbound {
        kind: "event".to_owned(),
        payload: r#"{"n": 1.50}"#.into(),
        channel: Some("a".to_owned()),
        correlation: None,
        request: None,
    };
    assert_eq!(client.delivered, [expected]);
}

#[test]
fn what_the_pipeline_does_not_take_or_the_client_may_not_send_is_refused() {
    let world = World::events();
    world.hub.accept(Accepts { kinds: vec!["sum".to_owned(), "other".to_owned()], any: false });
    let mut client = world.user(None, grants(&["sum"]));
    client.say(json!({"type": "sum", "data": 1}));
    client.say(json!({"type": "other", "data": 1}));
    client.say(json!({"type": "unheard_of", "data": 1}));
    assert_eq!(client.delivered.len(), 1);
    let codes: Vec<_> = client.hear().iter().map(|error| error["data"]["code"].clone()).collect();
    assert_eq!(codes, ["PERMISSION_DENIED", "UNKNOWN_TYPE"]);
}

#[test]
fn a_request_without_an_answer_fails_at_its_deadline_and_a_late_answer_is_dropped() {
    let world = World::events();
    let mut client = world.client();
    let first = ask(&mut client, "1").unwrap();
    world.pass(seconds(10));
    let second = ask(&mut client, "2").unwrap();
    assert_eq!(client.session.deadline(), Some(world.now() + seconds(20)));
    world.pass(seconds(20));
    client.timers();
    let heard = client.hear();
    assert_eq!((heard.len(), &heard[0]["data"]["code"]), (1, &json!("REQUEST_TIMEOUT")));
    assert_eq!(heard[0]["correlation_id"], "1");
    assert_eq!(answer(&world, &first, "3"), Ok(1));
    assert!(client.hear().is_empty());
    assert_eq!(world.metric("websocket_answers_late_total"), 1);
    assert_eq!(answer(&world, &second, "3"), Ok(1));
    assert_eq!(client.hear_types(), ["sum.result"]);
    assert_eq!(client.session.deadline(), None);
}

#[test]
fn an_answer_that_came_in_time_counts_though_the_client_did_not_read() {
    let world = World::events();
    let mut client = world.client();
    let request = ask(&mut client, "1").unwrap();
    answer(&world, &request, "3").unwrap();
    world.pass(seconds(31));
    client.timers();
    assert_eq!(client.hear_types(), ["sum.result"]);
}

#[test]
fn an_answer_is_given_once() {
    let world = World::events();
    let mut client = world.client();
    let request = ask(&mut client, "1").unwrap();
    answer(&world, &request, "3").unwrap();
    answer(&world, &request, "4").unwrap();
    assert_eq!(client.hear().iter().map(|message| message["data"].clone()).collect::<Vec<_>>(), [3]);
}

#[test]
fn a_guessed_request_reaches_nobody() {
    let world = World::events();
    let (mut ann, mut bob) = (world.client(), world.client());
    ask(&mut ann, "1").unwrap();
    let guessed = format!("{}/2", ann.session.id());
    answer(&world, &guessed, "3").unwrap();
    assert_eq!(answer(&world, "00000000-0000-0000-0000-000000000000/1", "3"), Ok(0));
    for nonsense in ["", "1", "x/1", "/", &format!("{}/x", ann.session.id())] {
        assert!(matches!(answer(&world, nonsense, "3"), Err(Problem::Unsupported(_))), "{nonsense}");
    }
    assert!(ann.hear().is_empty() && bob.hear().is_empty());
}

#[test]
fn the_same_correlation_id_waits_once() {
    let world = World::events();
    let mut client = world.client();
    let request = ask(&mut client, "1").unwrap();
    assert_eq!(ask(&mut client, "1"), None);
    assert_eq!(client.hear()[0]["data"]["code"], "DUPLICATE_REQUEST");
    answer(&world, &request, "3").unwrap();
    client.hear();
    assert!(ask(&mut client, "1").is_some());
}

#[test]
fn as_many_requests_wait_as_allowed() {
    let world = World::new("events", HubConfig { max_requests: 2, ..HubConfig::default() });
    let mut client = world.client();
    let first = ask(&mut client, "1").unwrap();
    ask(&mut client, "2").unwrap();
    assert_eq!(ask(&mut client, "3"), None);
    assert_eq!(client.hear()[0]["data"]["code"], "BUSY");
    answer(&world, &first, "3").unwrap();
    client.hear();
    assert!(ask(&mut client, "3").is_some());
}

#[test]
fn an_answer_that_is_no_json_is_refused() {
    let world = World::events();
    let mut client = world.client();
    let request = ask(&mut client, "1").unwrap();
    assert!(matches!(answer(&world, &request, "no json"), Err(Problem::InvalidMessage(_))));
    assert!(client.hear().is_empty());
}

#[test]
fn answers_to_a_client_that_does_not_read_them_are_bounded() {
    let world = World::new("events", HubConfig { max_reply_bytes: 1000, ..HubConfig::default() });
    let mut client = world.client();
    for n in 0..20 {
        let request = ask(&mut client, &n.to_string()).unwrap();
        answer(&world, &request, &json!("x".repeat(100)).to_string()).unwrap();
    }
    assert_eq!(client.session.ending(), Some(Ending::TooSlow));
}

#[test]
fn answers_to_a_client_that_is_gone_reach_nobody() {
    let world = World::events();
    let mut client = world.user(Some("ann"), Grants::everything());
    let request = ask(&mut client, "1").unwrap();
    drop(client);
    assert_eq!(answer(&world, &request, "3"), Ok(0));
}
