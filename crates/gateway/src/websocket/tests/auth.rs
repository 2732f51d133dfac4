//! Who clients are, and what they may use.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::poll_immediate;

use super::super::{DECISION_TIMEOUT, MAX_FAILURES, WsMessageType};
use super::*;

fn guarded() -> (WebSocketManager, TestClock) {
    let clock = TestClock::new();
    (manager().with_auth_handler(Handler).with_clock(clock.clone()), clock)
}

fn auth(token: &str) -> Value {
    json!({"type": "auth", "data": {"token": token}})
}

fn success(messages: &[Value]) -> Option<bool> {
    let response = messages.iter().find(|message| message["type"] == "auth_response")?;
    response["data"]["success"].as_bool()
}

#[test]
fn a_token_of_the_handshake_says_who_the_client_is() {
    let (manager, _) = guarded();
    let client = Client::add(&manager, info(1).with_token("token-ann")).unwrap();
    assert_eq!(manager.user(client.id).as_deref(), Some("ann"));
    client.subscribe(&[CHANNEL]).unwrap();
    assert_eq!(broadcast(&manager, 1), 1);
}

#[test]
fn a_wrong_token_is_refused_with_the_handlers_reason_but_without_the_token() {
    let (manager, _) = guarded();
    let info = info(1).with_token("hunter2");
    assert!(!format!("{info:?}").contains("hunter2"));
    let error = Client::add(&manager, info).err();
    assert_eq!(error, Some(WsError::AuthenticationFailed("Authentication failed: *** is unknown".to_owned())));
    let stats = run(manager.get_stats());
    assert_eq!((stats.active_connections, stats.failed_connections), (0, 1));
}

#[test]
fn a_client_without_a_token_has_to_authenticate_by_a_message() {
    let (manager, _) = guarded();
    let mut client = Client::new(&manager);
    assert_eq!(client.subscribe(&[CHANNEL]), Err(WsError::AuthenticationRequired));
    assert_eq!(codes(&client.ask(&subscribe_message(&[CHANNEL]))), ["authentication_required"]);
    let refused = client.ask(&auth("wrong"));
    assert_eq!(success(&refused), Some(false));
    assert_eq!(refused[0]["data"]["error"], "Authentication failed: Invalid credentials");
    assert_eq!(manager.user(client.id), None);
    let accepted = client.ask(&auth("token-ann"));
    assert_eq!((success(&accepted), &accepted[0]["data"]["user_id"]), (Some(true), &json!("ann")));
    client.subscribe(&[CHANNEL]).unwrap();
}

#[test]
fn the_program_can_bring_the_token_later() {
    let (manager, _) = guarded();
    let mut client = Client::new(&manager);
    let failed = run(manager.authenticate(client.id, "wrong")).unwrap_err();
    assert!(matches!(failed, WsError::AuthenticationFailed(_)));
    assert_eq!(run(manager.authenticate(client.id, "token-ann")), Ok("ann".to_owned()));
    let told = client.read();
    assert_eq!(told.iter().map(|message| &message["data"]["success"]).collect::<Vec<_>>(), [false, true]);
    assert_eq!(run(manager.authenticate(client.id, "token-ann")), Ok("ann".to_owned()));
    let other = run(manager.authenticate(client.id, "token-carl")).unwrap_err();
    assert_eq!(other, WsError::AuthenticationFailed("the token is another user's".to_owned()));
    assert_eq!(manager.user(client.id).as_deref(), Some("ann"));
    let nobody = run(manager.authenticate(Uuid::new_v4(), "token-ann"));
    assert_eq!(nobody, Err(WsError::ConnectionNotFound));
}

#[test]
fn a_client_that_does_not_authenticate_in_time_is_closed() {
    let (manager, clock) = guarded();
    let mut client = Client::new(&manager);
    clock.pass(9, &manager);
    assert_eq!(client.closed(), None);
    clock.pass(1, &manager);
    assert_eq!(codes(&client.read()), ["authentication_timeout"]);
    assert_eq!(client.closed(), Some((1008, "authentication timeout".to_owned())));
}

#[test]
fn each_channel_needs_a_permission() {
    let (manager, _) = guarded();
    let mut ann = Client::add(&manager, info(1).with_token("token-ann")).unwrap();
    let told = ann.ask(&subscribe_message(&["secrets", CHANNEL]));
    assert_eq!(told[0]["data"]["subscribed"], json!([CHANNEL]));
    assert_eq!(told[1]["data"], json!({"code": "permission_denied", "message": "Permission denied for 'secrets'"}));
    let denied = WsError::PermissionDenied { channel: "secrets".to_owned(), user: Some("ann".to_owned()) };
    assert_eq!(ann.subscribe(&["news", "secrets"]), Err(denied));
    assert_eq!(run(manager.broadcast("news", WsMessage::event(json!(1)))), Ok(0));
    let bob = Client::add(&manager, info(1).with_token("token-bob")).unwrap();
    assert!(matches!(bob.subscribe(&[CHANNEL]), Err(WsError::PermissionDenied { channel, .. }) if channel == CHANNEL));
}

#[test]
fn a_pattern_reaches_nothing_unless_the_handler_knows_patterns() {
    let (manager, _) = guarded();
    let mut ann = Client::add(&manager, info(1).with_token("token-ann")).unwrap();
    assert_eq!(codes(&ann.ask(&subscribe_message(&["*", "sec*"]))), ["permission_denied"; 2]);
    assert!(matches!(ann.subscribe(&["s*"]), Err(WsError::PermissionDenied { .. })));
    let open = self::manager();
    Client::new(&open).subscribe(&["*"]).unwrap();

    let manager = self::manager().with_auth_handler(Patterns);
    let ann = Client::add(&manager, info(1).with_token("ann")).unwrap();
    ann.subscribe(&["agent-*"]).unwrap();
    assert_eq!(broadcast(&manager, 1), 1);
    assert!(ann.subscribe(&["*"]).is_err());
}

/// Allows patterns and no channels.
struct Patterns;

#[async_trait::async_trait]
impl AuthHandler for Patterns {
    async fn authenticate(&self, token: &str) -> Result<String, String> {
        Ok(token.to_owned())
    }

    async fn check_permission(&self, _user_id: &str, _channel: &str) -> bool {
        false
    }

    async fn check_pattern(&self, _user_id: &str, pattern: &str) -> bool {
        pattern == "agent-*"
    }
}

#[test]
fn a_message_for_a_channel_needs_the_same_permission() {
    let manager = manager().with_auth_handler(Handler).with_messages(&[WsMessageType::Request, WsMessageType::Event]);
    let mut ann = Client::add(&manager, info(1).with_token("token-ann")).unwrap();
    let request =
        |channel: &str| json!({"type": "request", "correlation_id": "r", "metadata": {"channel": channel}}).to_string();
    assert_eq!(run(manager.receive(ann.id, &request("secrets"))), Ok(None));
    let told = ann.read();
    assert_eq!((codes(&told), &told[0]["correlation_id"]), (vec!["permission_denied"], &json!("r")));
    // The correlation id is free again.
    let received = run(manager.receive(ann.id, &request("news"))).unwrap().unwrap();
    assert_eq!(received.channel.as_deref(), Some("news"));
}

#[test]
fn who_guesses_is_locked_out_and_others_are_not() {
    let (manager, clock) = guarded();
    let attempt = |host, token| Client::add(&manager, info(host).with_token(token)).map(drop);
    for _ in 0..MAX_FAILURES {
        attempt(1, "guess").unwrap_err();
    }
    let locked = WsError::AuthenticationFailed("too many failures from this address".to_owned());
    assert_eq!(attempt(1, "token-ann"), Err(locked));
    attempt(2, "token-ann").unwrap();
    clock.pass(60, &manager);
    attempt(1, "token-ann").unwrap();
}

#[test]
fn a_user_id_that_is_none_is_not_accepted() {
    let manager = manager().with_auth_handler(Handler);
    for user in ["", "a\nb", &"x".repeat(257)] {
        let error = Client::add(&manager, info(1).with_token(format!("token-{user}"))).err();
        let Some(WsError::AuthenticationFailed(reason)) = error else { panic!("{error:?}") };
        assert!(reason.starts_with("the user id of the auth handler is"), "{reason}");
    }
}

#[test]
fn without_a_handler_everybody_is_welcome_and_tokens_mean_nothing() {
    let manager = manager();
    let mut client = Client::add(&manager, info(1).with_token("any")).unwrap();
    assert_eq!(manager.user(client.id), None);
    assert_eq!(success(&client.ask(&auth("any"))), Some(true));
    client.subscribe(&["secrets"]).unwrap();
    assert!(run(manager.authenticate(client.id, "any")).is_err());
}

/// Answers when it is told to; counts how often it was asked.
#[derive(Default)]
struct Slow {
    answers: Mutex<Vec<futures_util::future::AbortHandle>>,
    asked: AtomicUsize,
}

impl Slow {
    /// Waits until it is released.
    async fn wait(&self) {
        let (handle, registration) = futures_util::future::AbortHandle::new_pair();
        self.answers.lock().unwrap().push(handle);
        self.asked.fetch_add(1, Ordering::Relaxed);
        let never = std::future::pending::<()>();
        futures_util::future::Abortable::new(never, registration).await.unwrap_err();
    }

    fn release(&self) {
        self.answers.lock().unwrap().drain(..).for_each(|answer| answer.abort());
    }
}

#[async_trait::async_trait]
impl AuthHandler for Slow {
    async fn authenticate(&self, token: &str) -> Result<String, String> {
        self.wait().await;
        Ok(token.to_owned())
    }

    async fn check_permission(&self, _user_id: &str, _channel: &str) -> bool {
        self.wait().await;
        true
    }
}

fn slow() -> (WebSocketManager, TestClock, Arc<Slow>) {
    let (clock, handler) = (TestClock::new(), Arc::new(Slow::default()));
    let config = WebSocketConfig { ping_interval: Duration::ZERO, ..Default::default() };
    let manager = WebSocketManager::new(config).with_auth_handler(handler.clone()).with_clock(clock.clone());
    (manager, clock, handler)
}

#[test]
fn nothing_else_of_a_client_is_carried_out_while_a_decision_is_made() {
    let (manager, _, handler) = slow();
    let mut client = Client::new(&manager);
    let [auth, subscribe] = [auth("ann"), subscribe_message(&[CHANNEL])].map(|message| message.to_string());
    let mut first = Box::pin(manager.receive(client.id, &auth));
    let mut second = Box::pin(manager.receive(client.id, &subscribe));
    assert!(run(poll_immediate(first.as_mut())).is_none());
    assert!(run(poll_immediate(second.as_mut())).is_none());
    assert!(client.read().is_empty());
    handler.release();
    run(first).unwrap();
    assert_eq!(success(&client.read()), Some(true));
    assert!(run(poll_immediate(second.as_mut())).is_none());
    handler.release();
    run(second).unwrap();
    assert_eq!(client.read()[0]["type"], "subscribe_response");
}

#[test]
fn a_decision_that_takes_too_long_is_a_no() {
    let (manager, clock, _handler) = slow();
    let mut client = Client::new(&manager);
    let auth = auth("ann").to_string();
    let mut call = Box::pin(manager.receive(client.id, &auth));
    assert!(run(poll_immediate(call.as_mut())).is_none());
    clock.pass(DECISION_TIMEOUT.as_secs() - 1, &manager);
    assert!(run(poll_immediate(call.as_mut())).is_none());
    clock.pass(1, &manager);
    run(call).unwrap();
    let told = client.read();
    assert_eq!(success(&told), Some(false));
    assert_eq!(told[0]["data"]["error"], "Authentication failed: Temporarily unavailable");
}

#[test]
fn a_decision_that_is_dropped_is_a_no() {
    let (manager, _, handler) = slow();
    let mut client = Client::new(&manager);
    let [auth, subscribe] = [auth("ann"), subscribe_message(&[CHANNEL])].map(|message| message.to_string());
    assert!(run(poll_immediate(Box::pin(manager.receive(client.id, &auth)))).is_none());
    assert_eq!(success(&client.read()), Some(false));
    let mut call = Box::pin(manager.receive(client.id, &auth));
    assert!(run(poll_immediate(call.as_mut())).is_none());
    handler.release();
    run(call).unwrap();
    assert_eq!(success(&client.read()), Some(true));
    assert!(run(poll_immediate(Box::pin(manager.receive(client.id, &subscribe)))).is_none());
    assert_eq!(codes(&client.read()), ["permission_denied"]);
}

#[test]
fn a_connection_that_is_removed_waits_for_no_decision() {
    let (manager, _, handler) = slow();
    let client = Client::new(&manager);
    let auth = auth("ann").to_string();
    let mut call = Box::pin(manager.receive(client.id, &auth));
    assert!(run(poll_immediate(call.as_mut())).is_none());
    run(manager.remove_connection(client.id));
    assert_eq!(run(call), Ok(None));
    assert_eq!(handler.asked.load(Ordering::Relaxed), 1);
}

#[test]
fn one_message_costs_no_more_questions_than_there_may_be_subscriptions() {
    let config = WebSocketConfig { max_subscriptions_per_connection: 3, ..Default::default() };
    let handler = Arc::new(Counting::default());
    let manager = WebSocketManager::new(config).with_auth_handler(handler.clone());
    let mut client = Client::add(&manager, info(1).with_token("ann")).unwrap();
    let channels: Vec<_> = (0..100).map(|number| format!("c{number}")).collect();
    let names: Vec<_> = channels.iter().map(String::as_str).collect();
    let told = client.ask(&subscribe_message(&names));
    assert_eq!(told[0]["data"]["subscribed"], json!(["c0", "c1", "c2"]));
    assert_eq!(handler.0.load(Ordering::Relaxed), 3);
}

#[derive(Default)]
struct Counting(AtomicUsize);

#[async_trait::async_trait]
impl AuthHandler for Counting {
    async fn authenticate(&self, token: &str) -> Result<String, String> {
        Ok(token.to_owned())
    }

    async fn check_permission(&self, _user_id: &str, _channel: &str) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        true
    }
}
