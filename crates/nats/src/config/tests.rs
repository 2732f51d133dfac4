use super::*;
use crate::properties::CONNECTION;

fn read(pairs: &[(&str, &str)]) -> Result<ConnectionConfig, EventFluxError> {
    let url = [("nats.url", "nats://h")];
    let url = if pairs.iter().any(|(key, _)| *key == "nats.url") { &url[..0] } else { &url };
    ConnectionConfig::from_properties(&Properties::from_pairs(CONNECTION, [url, pairs].concat())?)
}

/// Refused for this property, with a text that contains this; the values are not in it.
#[track_caller]
fn assert_refused(pairs: &[(&str, &str)], property: &str, text: &str) {
    let error = read(pairs).unwrap_err();
    assert!(matches!(&error, EventFluxError::Configuration { property: Some(key), .. } if key == property), "{error}");
    assert!(error.to_string().contains(text), "{error}");
}

#[test]
fn defaults_are_those_of_the_table() {
    let expected = ConnectionConfig {
        servers: vec!["nats://h:4222".to_owned()],
        name: None,
        auth: Auth::None,
        tls: Tls::default(),
        connect_timeout: Duration::from_secs(5),
        reconnect: Some(Reconnect {
            delay: Duration::from_millis(250),
            max_delay: Duration::from_secs(8),
            max_attempts: None,
        }),
        ping_interval: Duration::from_secs(20),
        inbox_prefix: "_INBOX".to_owned(),
    };
    assert_eq!(read(&[]).unwrap(), expected);
}

#[test]
fn servers_are_a_list_of_urls() {
    let servers = |text: &str| read(&[("nats.url", text)]).unwrap().servers;
    assert_eq!(
        servers("nats://a:1, tls://b.example,nats://[::1]:3/"),
        ["nats://a:1", "tls://b.example:4222", "nats://[::1]:3"]
    );
    for (text, reason) in [
        ("", "empty entry"),
        ("nats://a,,nats://b", "empty entry"),
        ("nats://a,", "empty entry"),
        ("a:4222", "nats:// or tls://"),
        ("a", "no URL"),
        ("ws://a", "nats:// or tls://"),
        ("http://a:4222", "nats:// or tls://"),
        ("nats:a:4222", "nats:// or tls://"),
        ("nats://", "without a host"),
        ("nats://:4222", "no URL"),
        ("nats://a:port", "no URL"),
        ("nats://a:70000", "no URL"),
        ("nats://a/b", "more than a host and a port"),
        ("nats://a?x=1", "more than a host and a port"),
        ("nats://a:1,nats://a:1", "twice"),
        ("nats://a,nats://a:4222", "twice"),
    ] {
        assert_refused(&[("nats.url", text)], "nats.url", reason);
    }
    let many = vec!["nats://h"; servers::MAX_SERVERS + 1];
    let many: Vec<_> = many.iter().enumerate().map(|(number, url)| format!("{url}{number}")).collect();
    assert_refused(&[("nats.url", &many.join(","))], "nats.url", "more than 64");
}

#[test]
fn credentials_in_a_url_are_refused_and_not_shown() {
    for url in ["nats://user:hush@h", "nats://hush@h", "nats://a,tls://u:hush@h:1", "user:hush@h", "nats://u:hu@sh@h"] {
        let error = read(&[("nats.url", url)]).unwrap_err().to_string();
        assert!(error.contains("nats.user") && error.contains("nats.password"), "{error}");
        assert!(!error.contains("hush") && !error.contains("sh@"), "{error}");
    }
    let error = read(&[("nats.url", "nats://u:hu/sh")]).unwrap_err().to_string();
    assert!(!error.contains("hu"), "{error}");
}

#[test]
fn there_is_one_way_to_say_who_we_are() {
    let seed = nkeys::KeyPair::new_user().seed().unwrap();
    let auth = |pairs: &[(&str, &str)]| read(pairs).unwrap().auth;
    assert_eq!(auth(&[("nats.token", "t")]), Auth::Token(Secret::new("t")));
    assert_eq!(auth(&[("nats.user", "u"), ("nats.password", "p")]), Auth::User("u".to_owned(), Secret::new("p")));
    assert_eq!(auth(&[("nats.nkey", &format!(" {seed}\n"))]), Auth::Nkey(Secret::new(seed.clone())));
    assert_eq!(auth(&[("nats.credentials", "/a/b")]), Auth::Credentials(PathBuf::from("/a/b")));

    assert_refused(&[("nats.user", "u")], "nats.user", "nats.password");
    assert_refused(&[("nats.password", "p")], "nats.password", "nats.user");
    let all = [("nats.token", "hush"), ("nats.user", "u"), ("nats.nkey", &*seed), ("nats.credentials", "/f")];
    for first in 0..all.len() {
        for second in first + 1..all.len() {
            assert_refused(&[all[first], all[second]], all[second].0, all[first].0);
        }
    }
}

#[test]
fn what_is_no_seed_of_a_user_is_refused_and_not_shown() {
    let (user, account) = (nkeys::KeyPair::new_user(), nkeys::KeyPair::new_account());
    let (seed, of_account) = (user.seed().unwrap(), account.seed().unwrap());
    let other = if seed.as_bytes()[20] == b'A' { 'B' } else { 'A' };
    let broken = format!("{}{other}{}", &seed[..20], &seed[21..]);
    for bad in ["SUhush", &of_account, &user.public_key(), &broken, &"é".repeat(29)] {
        let error = read(&[("nats.nkey", bad)]).unwrap_err().to_string();
        assert!(error.contains("nats.nkey") && !error.contains(bad), "{error}");
    }
}

#[test]
fn whoever_says_how_to_do_tls_does_it() {
    let tls = |pairs: &[(&str, &str)]| read(pairs).unwrap().tls;
    let required = Tls { required: true, ..Tls::default() };
    assert_eq!(tls(&[("nats.tls", "true")]), required);
    assert_eq!(tls(&[("nats.tls", "false")]), Tls::default());
    assert_eq!(tls(&[("nats.tls.first", "true")]), Tls { first: true, ..required.clone() });
    assert_eq!(tls(&[("nats.tls.ca", "/ca")]), Tls { ca: Some("/ca".into()), ..required.clone() });
    let identity = [("nats.tls.cert", "/c"), ("nats.tls.key", "/k")];
    assert_eq!(tls(&identity), Tls { identity: Some(("/c".into(), "/k".into())), ..required.clone() });

    assert_refused(&identity[..1], "nats.tls.cert", "nats.tls.key");
    assert_refused(&identity[1..], "nats.tls.key", "nats.tls.cert");
    assert_refused(&[("nats.tls", "false"), ("nats.tls.ca", "/ca")], "nats.tls", "nats.tls.ca");
    assert_refused(&[("nats.tls", "false"), ("nats.tls.first", "true")], "nats.tls", "nats.tls.first");
    let servers = ("nats.url", "nats://a, tls://b");
    assert_refused(&[servers, ("nats.tls", "false")], "nats.tls", "tls://");
    assert_eq!(tls(&[servers, ("nats.tls", "true")]), required);
    assert_eq!(tls(&[servers]), Tls::default());
}

#[test]
fn attempts_are_bounded_as_said_and_at_least_one() {
    let attempts = |text: &str| read(&[("nats.reconnect.max.attempts", text)]).unwrap().reconnect.unwrap().max_attempts;
    assert_eq!((attempts("-1"), attempts("0"), attempts("1"), attempts("7")), (None, Some(1), Some(1), Some(7)));
    let (delay, max) = ("nats.reconnect.delay.ms", "nats.reconnect.max.delay.ms");
    assert_refused(&[(delay, "9000")], delay, max);
    assert_eq!(read(&[(delay, "0"), (max, "0")]).unwrap().reconnect.unwrap().max_delay, Duration::ZERO);
}

#[test]
fn without_reconnect_what_is_about_it_has_no_effect_and_is_refused() {
    assert_eq!(read(&[("nats.reconnect", "false")]).unwrap().reconnect, None);
    for key in ["nats.reconnect.delay.ms", "nats.reconnect.max.delay.ms", "nats.reconnect.max.attempts"] {
        assert_refused(&[("nats.reconnect", "false"), (key, "1")], key, "nats.reconnect");
    }
}

#[test]
fn times_of_nothing_and_bad_prefixes_are_refused() {
    for key in ["nats.connect.timeout", "nats.ping.interval"] {
        assert_refused(&[(key, "0s")], key, "more than nothing");
    }
    for bad in ["", "a b", "a.*", "a.", ">"] {
        assert_refused(&[("nats.inbox.prefix", bad)], "nats.inbox.prefix", "a subject");
        assert!(read(&[("nats.inbox.prefix", bad)]).unwrap_err().to_string().contains("_INBOX_orders"));
    }
    assert_eq!(read(&[("nats.inbox.prefix", "team.inbox")]).unwrap().inbox_prefix, "team.inbox");
}
