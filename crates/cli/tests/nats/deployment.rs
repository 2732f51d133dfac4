//! The files in `deploy`: what they run has no mistakes, and its permissions suffice.

use std::fs;
use std::process::Command;

use eventflux_testkit::nats::{NatsServer, program};
use serde_json::Value;

use super::instance::{Instance, publish};
use super::support::{self, Running, repository};

const PIPELINE: &str = "deploy/gateway.sql";
const SECRETS: [(&str, &str); 3] =
    [("NATS_PASSWORD", "app-password"), ("NATS_OPERATOR_PASSWORD", "operator-password"), ("API_TOKEN", "hunter2")];

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap()
}

/// What stands between two texts of a file.
fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    text.split_once(start).unwrap_or_else(|| panic!("no {start}")).1.split_once(end).unwrap().0
}

#[test]
fn nats_reads_its_configuration_files() {
    for file in ["server.conf", "cluster.conf"] {
        let output = Command::new(program())
            .args(["-t", "-c", file])
            .current_dir(repository().join("deploy/nats"))
            .envs(SECRETS)
            .envs([("NATS_NAME", "nats-1"), ("NATS_ROUTES", "[nats://nats-1:6222, nats://nats-2:6222]")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_command_lines_of_unit_image_and_manifest_are_understood() {
    let unit = read("deploy/systemd/eventflux.service");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let list = |text: &str| {
        let list: Vec<Value> = serde_json::from_str(text).unwrap();
        list.into_iter().map(|word| word.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let image = read("deploy/docker/Dockerfile");
    let manifest = read("deploy/kubernetes/eventflux.yaml");
    let commands = [
        words(between(&unit, "\nExecStartPre=/usr/local/bin/eventflux ", "\n")),
        words(between(&unit, "\nExecStart=/usr/local/bin/eventflux ", "\n")),
        list(between(&image, "\nCMD ", "\n")),
        list(between(&manifest, "args: ", "\n")),
    ];
    for command in commands {
        assert!(command.contains(&"/etc/eventflux/gateway.sql".to_owned()), "{command:?}");
        let mut arguments: Vec<_> = command.iter().map(String::as_str).collect();
        // Only now: what is wrong before it is an error.
        arguments.push("--help");
        let output = Running::start(&arguments, &[]).finish();
        assert_eq!(output.code, Some(0), "{command:?}: {}", output.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pipeline_runs_with_the_permissions_that_the_configuration_of_nats_gives_it() {
    let accounts = read("deploy/nats/accounts.conf")
        .replace("$NATS_PASSWORD", SECRETS[0].1)
        .replace("$NATS_OPERATOR_PASSWORD", SECRETS[1].1);
    let server = NatsServer::start_with(&accounts);
    let instances = [(); 2].map(|()| Instance::start_with(&[PIPELINE], &server.url(), &SECRETS));
    let clients = instances.each_ref().map(|instance| instance.connect("/ws?token=hunter2"));
    for client in &clients {
        client.send(r#"{"type":"subscribe","data":{"channels":["trades.BTC"]}}"#);
        client.expect("subscribe_response");
    }
    let both_are_there = || {
        clients[0].send(r#"{"type":"presence","data":{"channel":"trades.BTC"}}"#);
        let last = clients[0].texts().into_iter().rfind(|text| text.contains("presence_response"));
        last.is_some_and(|text| text.matches("session_id").count() == 2)
    };
    eventflux_testkit::wait::eventually(support::DEADLINE, both_are_there).await;
    let options = async_nats::ConnectOptions::with_user_and_password("operator".to_owned(), SECRETS[1].1.to_owned());
    let nats = options.connect(server.url()).await.unwrap();
    publish(&nats, &[("trades.BTC", r#"{"symbol":"BTC","price":64000.5}"#)]).await;
    for client in &clients {
        client.expect(r#"{"symbol":"BTC","price":64000.5}"#);
    }
    for instance in instances {
        assert_eq!(instance.metric("eventflux_nats_errors_total"), 0.0);
        instance.stop();
    }
}
