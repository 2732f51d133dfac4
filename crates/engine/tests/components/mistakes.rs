//! What an author reads after a mistake: the place, the pointer, the reason, and the way out.

use eventflux_engine::{EventFlux, SourceFile};

use crate::stand_in::{input, plan, remarks};
use crate::support::World;

#[test]
fn mistakes_in_a_config() {
    let cases: [(&str, &[&str]); 19] = [
        ("", &["1:68 /components/in/config: 'mode' is required, and missing (give it a value: server, client)"]),
        (
            r#""mode": "sever","#,
            &[
                "2:9 /components/in/config/mode: 'mode': 'sever' is not allowed (did you mean 'server'? use server, client)",
            ],
        ),
        (
            r#""mode": "server","#,
            &[
                "1:68 /components/in/config: 'server.http_port' is required with mode 'server', and missing (give it a value: a whole number from 0 to 65535)",
            ],
        ),
        (
            r#""mode": "client", "client": {},"#,
            &[
                "2:19 /components/in/config/client: 'client.url' is required with mode 'client', and missing (give it a value: a URL that starts with ws:// or wss://)",
            ],
        ),
        (
            r#""mode": "server", "server": {"http_port": "8080"},"#,
            &[
                "2:43 /components/in/config/server/http_port: 'server.http_port': a text is not allowed (use a whole number from 0 to 65535)",
            ],
        ),
        (
            r#""mode": "server", "server": {"http_port": 70000},"#,
            &[
                "2:43 /components/in/config/server/http_port: 'server.http_port': 70000 is not allowed (use a whole number from 0 to 65535)",
            ],
        ),
        (
            r#""mode": "server", "server": {"http_port": 80.5},"#,
            &[
                "2:43 /components/in/config/server/http_port: 'server.http_port': 80.5 is not allowed (use a whole number from 0 to 65535)",
            ],
        ),
        (
            r#""mode": "server", "server": {"htpp_port": 1, "http_port": 1},"#,
            &[
                "2:30 /components/in/config/server/htpp_port: 'server.htpp_port' is not known here (did you mean 'http_port'?)",
            ],
        ),
        (
            r#""mode": "server", "http_port": 1, "server": {"http_port": 1},"#,
            &["2:19 /components/in/config/http_port: 'http_port' is not known here (it belongs to 'server.http_port')"],
        ),
        (
            r#""mode": "server", "server": 8080,"#,
            &["2:29 /components/in/config/server: section 'server': a number is not allowed (use an object {...})"],
        ),
        (
            r#""mode": "client", "client": {"url": "http://a/"},"#,
            &[
                "2:37 /components/in/config/client/url: 'client.url': this text is not allowed (use a URL that starts with ws:// or wss://)",
            ],
        ),
        (
            // Sections of the other mode are validated all the same.
            r#""mode": "client", "client": {"url": "ws://a/"}, "server": {"http_port": -1},"#,
            &[
                "2:73 /components/in/config/server/http_port: 'server.http_port': -1 is not allowed (use a whole number from 0 to 65535)",
            ],
        ),
        (
            r#""mode": "client", "client": {"url": "ws://a/", "reconnect": {"initial_interval": 5, "enabled": "yes"}},"#,
            &[
                "2:82 /components/in/config/client/reconnect/initial_interval: 'client.reconnect.initial_interval': a number is not allowed (use a duration such as 500ms, 5s, 2m or 1h)",
                "2:96 /components/in/config/client/reconnect/enabled: 'client.reconnect.enabled': a text is not allowed (use true or false)",
            ],
        ),
        (
            r#""mode": "client", "client": {"url": "ws://a/", "reconnect": {"multiplier": 3}},"#,
            &[
                "2:76 /components/in/config/client/reconnect/multiplier: 'client.reconnect.multiplier': 3 is not supported: pauses double with each attempt, and each is random up to that (write 2, or remove it)",
            ],
        ),
        (
            r#""mode": "client", "client": {"url": "ws://a/"}, "auth": {"type": "bearer"},"#,
            &[
                "2:49 /components/in/config/auth: 'auth.bearer_token_env' is required with auth.type 'bearer', and missing (give it a value: the name of an environment variable: letters, digits and '_'; the secret itself belongs into the variable)",
            ],
        ),
        (
            r#""mode": "client", "client": {"url": "ws://a/"}, "backpressure": {"on_full": "dropp_oldest"},"#,
            &[
                "2:77 /components/in/config/backpressure/on_full: 'backpressure.on_full': 'dropp_oldest' is not allowed (did you mean 'drop_oldest'? use drop_oldest, drop_newest, block)",
            ],
        ),
        (
            r#""mode": "client", "client": {"url": "ws://a/"}, "bidirectional": {"request_timeout": "soon"},"#,
            &[
                "2:86 /components/in/config/bidirectional/request_timeout: 'bidirectional.request_timeout': 'soon' is not allowed (use a duration such as 500ms, 5s, 2m or 1h)",
            ],
        ),
        (
            r#""mode": "client", "client": {"url": "ws://a/", "url": "ws://b/"},"#,
            &["2:48 /components/in/config/client/url: 'url' is given twice (keep one of them)"],
        ),
        (
            // What only the planner can tell stands at the field.
            r#""mode": "client", "client": {"url": "${env:EVENTFLUX_NOBODY_SETS_THIS}"},"#,
            &[
                "2:37 /components/in/config/client/url: property 'websocket.url': environment variable EVENTFLUX_NOBODY_SETS_THIS is not set (set it, or write ${env:EVENTFLUX_NOBODY_SETS_THIS:default})",
            ],
        ),
    ];
    for (config, expected) in cases {
        assert_eq!(remarks(&input(config)), expected, "{config}");
    }
}

#[test]
fn mistakes_in_the_shape_of_a_file() {
    let kinds = "\"type\": \"input\", \"name\": \"udp\"";
    let cases: [(&str, Vec<String>); 12] = [
        ("", vec!["- -: this file is empty (write {\"components\": {...}}, or SQL statements)".into()]),
        ("{", vec!["1:1 -: this is not JSON: unterminated object".into()]),
        ("7", vec!["1:1 -: a component file: a number is not allowed (use {\"components\": {...}}, a list of components, or one)".into()]),
        ("{}", vec!["1:1 -: there is nothing to run: 'components' is missing (add \"components\": {...})".into()]),
        (
            r#"{"component": {}}"#,
            vec![
                "1:1 -: there is nothing to run: 'components' is missing (add \"components\": {...})".into(),
                "1:2 /component: 'component' is not known here (did you mean 'components'?)".into(),
            ],
        ),
        (r#"{"components": 7}"#, vec!["1:16 /components: 'components': a number is not allowed (use an object {...})".into()]),
        (r#"[7]"#, vec!["1:2 /0: a component: a number is not allowed (use an object {...})".into()]),
        (
            r#"[{"name": "udp"}]"#,
            vec![format!("1:2 /0: this component has no 'type' (say what it is, for example {kinds})")],
        ),
        (
            r#"[{"type": "input", "name": "websocket"}]"#,
            vec!["1:28 /0/name: there is no input 'websocket' (did you mean 'websocket_input'?)".into()],
        ),
        (
            r#"[{"type": "output", "name": "websocket_input"}]"#,
            vec!["1:29 /0/name: there is no output 'websocket_input' (did you mean 'websocket'?)".into()],
        ),
        (
            r#"[{"type": "sink", "name": "kafka"}]"#,
            vec!["1:11 /0/type: there is no component of type 'sink' (use one of input, processor, output, storage)".into()],
        ),
        (
            r#"[{"type": "input", "name": 7, "confg": {}}]"#,
            vec![
                "1:28 /0/name: 'name': a number is not allowed (use a text \"...\")".into(),
                "1:31 /0/confg: 'confg' of a component is not known here (did you mean 'config'?)".into(),
            ],
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(remarks(text), expected, "{text}");
    }
}

#[test]
fn mistakes_in_ports() {
    let cases: [(&str, &str, &[&str]); 12] = [
        (
            "udp",
            "",
            &[
                "1:34 /config: input 'udp': 'ports.outputs' is required, and missing (add \"outputs\": [{\"name\": \"out\", \"subject\": \"raw.data\"}])",
            ],
        ),
        (
            "udp",
            r#", "ports": {"inputs": [{"name": "i", "subject": "x"}], "outputs": [{"name": "o", "subject": "s"}]}"#,
            &["1:66 /config/ports/inputs: input 'udp' reads no subject (remove these ports)"],
        ),
        ("udp", r#", "ports": []"#, &["1:65 /config/ports: 'ports': a list is not allowed (use an object {...})"]),
        (
            "udp",
            r#", "ports": {"output": []}"#,
            &["1:66 /config/ports/output: 'ports.output' is not known here (did you mean 'outputs'?)"],
        ),
        (
            "udp",
            r#", "ports": {"outputs": {}}"#,
            &["1:77 /config/ports/outputs: 'ports.outputs': an object is not allowed (use a list [...])"],
        ),
        (
            "udp",
            r#", "ports": {"outputs": [{"name": "o"}]}"#,
            &["1:78 /config/ports/outputs/0: this port has no subject (add \"subject\": \"raw.data\")"],
        ),
        (
            "udp",
            r#", "ports": {"outputs": [{"name": "o", "subject": "raw.*"}]}"#,
            &[
                "1:103 /config/ports/outputs/0/subject: a subject with wildcards is not supported (name each subject with a port of its own)",
            ],
        ),
        (
            "udp",
            r#", "ports": {"outputs": [{"name": "o", "subject": "raw data"}]}"#,
            &[
                "1:103 /config/ports/outputs/0/subject: this is no name of a subject (use words with points between them, such as raw.data)",
            ],
        ),
        (
            "udp",
            r#", "ports": {"outputs": [{"name": "o", "subject": "s", "type": "mqtt"}]}"#,
            &[
                "1:116 /config/ports/outputs/0/type: there is no port of type 'mqtt' (use \"nats\", or leave the type out)",
            ],
        ),
        (
            "udp",
            r#", "ports": {"outputs": [{"name": "o", "subject": "s", "kind": "nats"}]}"#,
            &[
                "1:108 /config/ports/outputs/0/kind: 'kind' of a port is not known here (use one of name, subject, type, description)",
            ],
        ),
        (
            "udp",
            r#", "ports": {"outputs": [{"name": "o", "subject": "s"}, {"name": "o", "subject": "t"}, {"name": "p", "subject": "s"}]}"#,
            &[
                "1:118 /config/ports/outputs/1/name: two ports of 'outputs' have the name 'o' (give one of them another name)",
                "1:165 /config/ports/outputs/2/subject: two ports of 'outputs' have the subject 's' (remove one of them)",
            ],
        ),
        (
            "websocket_input",
            r#", "mode": "client", "client": {"url": "ws://a/"}, "bidirectional": {"enabled": false}, "ports": {"outputs": [{"name": "ws_control", "subject": "c"}]}"#,
            &[
                "1:173 /config/ports/outputs/0/name: port 'ws_control' has nothing to give: 'bidirectional.enabled' is false (remove the port, or set bidirectional.enabled to true)",
            ],
        ),
    ];
    for (name, config, expected) in cases {
        let config = if name == "udp" {
            format!(r#""port": 123456{config}"#).replace("123456", "1")
        } else {
            config[2..].to_owned()
        };
        let text = format!(r#"{{"type": "input", "name": "{name}", "config": {{{config}}}}}"#);
        assert_eq!(remarks(&text), expected, "{text}");
    }
}

#[test]
fn a_subject_that_is_misspelt_gets_the_open_end_that_may_be_meant() {
    let text = input(r#""mode": "client", "client": {"url": "ws://a/"},"#);
    let text = text.replacen("\"subject\": \"s\"", "\"subject\": \"raw.data\"", 1);
    let text = text.replacen("\"subject\": \"s\"", "\"subject\": \"raw.dta\"", 1);
    assert_eq!(
        remarks(&text),
        [
            "warning: 3:48 /components/in/config/ports/outputs/0/subject: nothing in this file reads stream 'raw.data' (did you mean 'raw.dta'?)",
            "warning: 4:108 /components/out/config/ports/inputs/0/subject: nothing in this file writes to stream 'raw.dta' (did you mean 'raw.data'?)",
        ]
    );
}

#[test]
fn a_circle_of_filters_is_refused_at_its_port() {
    let filter = |from: &str, to: &str| {
        format!(
            r#"{{"type": "processor", "name": "json_filter", "config": {{"criteria": {{"path": "$.a", "operator": "exists"}},
"ports": {{"inputs": [{{"name": "i", "subject": "{from}"}}], "outputs": [{{"name": "o", "subject": "{to}"}}]}}}}}}"#
        )
    };
    let found = remarks(&format!("[{},\n{}]", filter("a", "b"), filter("b", "a")));
    assert_eq!(
        found,
        [
            "4:91 /1/config/ports/outputs/0/subject: this query closes a circle: 'a' already leads to 'b' (insert into another stream)"
        ]
    );
}

#[test]
fn a_connector_that_is_not_there_is_reported_at_the_component() {
    let file = SourceFile::new("f.json", input(r#""mode": "client", "client": {"url": "ws://a/"},"#));
    let mistakes = EventFlux::from_file(file, &[], &World::new().context()).unwrap_err().to_string();
    assert!(mistakes.contains("there is no source of type 'websocket'"), "{mistakes}");
    assert!(mistakes.contains("^ /components/in/name"), "{mistakes}");
}

#[test]
fn mistakes_are_shown_with_place_line_and_pointer() {
    let mistakes = plan(&input(r#""mode": "server", "server": {"http_port": true},"#)).unwrap_err();
    let expected = "error: 'server.http_port': true is not allowed
 --> test.json:2:43
  |
2 | \"mode\": \"server\", \"server\": {\"http_port\": true},
  |                                           ^^^^ /components/in/config/server/http_port
  |
  = help: use a whole number from 0 to 65535
";
    assert_eq!(mistakes.to_string(), expected);
}

#[test]
fn secrets_in_the_wrong_place_are_not_shown() {
    let base = r#""mode": "client", "client": {"url": "ws://a/"}, "#;
    for wrong in [
        r#""auth": {"type": "bearer", "bearer_token": "hunter2-hunter2"},"#,
        r#""auth": {"type": "bearer", "bearer_token_env": "hunter2-hunter2"},"#,
        r#""auth": {"type": "basic", "basic_auth": {"username": "hunter2", "password": "hunter2"}},"#,
        r#""pasword": {"value": "hunter2"},"#,
    ] {
        let mistakes = plan(&input(&format!("{base}{wrong}"))).unwrap_err();
        assert!(!mistakes.to_string().contains("hunter2"), "{mistakes}");
    }
    let credentials = r#""mode": "client", "client": {"url": "ws://ann:hunter2@a/", "reconnect": {"multiplier": 3}},"#;
    let mistakes = plan(&input(credentials)).unwrap_err().to_string();
    assert!(!mistakes.contains("hunter2"), "{mistakes}");
}

#[test]
fn limits_have_names_and_are_kept() {
    let many = |count: usize| {
        vec![
            r#"{"type":"input","name":"udp","config":{"port":1,"ports":{"outputs":[{"name":"o","subject":"s"}]}}}"#;
            count
        ]
        .join(",")
    };
    assert!(remarks(&format!("[{}]", many(1001))).iter().any(|line| line.contains("more than 1000 components")));
    let ports: Vec<_> = (0..65).map(|index| format!(r#"{{"name":"p{index}","subject":"s{index}"}}"#)).collect();
    let text =
        format!(r#"{{"type":"input","name":"udp","config":{{"port":1,"ports":{{"outputs":[{}]}}}}}}"#, ports.join(","));
    assert!(remarks(&text)[0].contains("'ports.outputs' has more than 64 ports"));
    let wide = |side: &str| {
        (0..60).map(|index| format!(r#"{{"name":"p{index}","subject":"{side}{index}"}}"#)).collect::<Vec<_>>().join(",")
    };
    let filter = format!(
        r#"{{"type":"processor","name":"json_filter","config":{{"criteria":{{"path":"$","operator":"exists"}},"ports":{{"inputs":[{}],"outputs":[{}]}}}}}}"#,
        wide("a"),
        wide("b")
    );
    let filters = vec![filter; 4].join(",");
    assert!(remarks(&format!("[{filters}]")).iter().any(|line| line.contains("more than 10000 streams and queries")));
    let mistakes: Vec<_> = (0..500).map(|index| format!("\"x{index}\": 1")).collect();
    assert_eq!(remarks(&format!("{{\"components\": {{{}}}}}", mistakes.join(","))).len(), 201);
    let large = format!("[{}]", " ".repeat(2 * 1024 * 1024));
    assert!(remarks(&large)[0].contains("larger than"), "{:?}", remarks(&large));
}
