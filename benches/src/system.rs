//! The systems under test: what each is called, how it is started, and what it should deliver.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::error::BenchError;
use crate::role::ROLE_ARGUMENT;
use crate::workload::Expect;

/// Environment variable with the feeder's URL.
pub const FEED_VARIABLE: &str = "EVENTFLUX_BENCH_FEED";
/// Environment variable with the collector's URL.
pub const OUT_VARIABLE: &str = "EVENTFLUX_BENCH_OUT";

/// The name of the system that the others are compared with.
pub const BASELINE: &str = "handwritten";

/// A system under test.
#[derive(Debug, Clone)]
pub struct System {
    /// Its name in tables.
    pub name: String,
    /// What the collector should receive from it.
    pub expect: Expect,
    launch: Launch,
}

#[derive(Debug, Clone)]
enum Launch {
    /// A role of this executable, with the arguments before the two URLs.
    Role(&'static [&'static str]),
    /// A program that finds the URLs in its environment.
    Program(Vec<OsString>),
    /// A shell command with `{feed}` and `{out}` in it.
    Shell(String),
}

/// Where `eventflux` is and how it is run.
#[derive(Debug, Clone)]
pub struct EventFlux {
    /// The binary.
    pub binary: PathBuf,
    /// `--set` options, as `Stream.property=value`.
    pub settings: Vec<String>,
}

impl EventFlux {
    /// The given binary, or the one built beside this executable.
    ///
    /// # Errors
    /// When there is no file at that path; says how to build it.
    pub fn locate(binary: Option<&Path>, settings: &[String]) -> Result<Self, BenchError> {
        let binary = match binary {
            Some(binary) => binary.to_path_buf(),
            None => this_executable()?.with_file_name("eventflux"),
        };
        if !binary.is_file() {
            return Err(BenchError::Usage(format!(
                "eventflux: there is no binary at {}; build it with `cargo build --release -p \
                 eventflux`, or name another with --eventflux PATH",
                binary.display()
            )));
        }
        Ok(Self { binary, settings: settings.to_vec() })
    }

    /// The system that runs the pipelines of one SQL file.
    #[must_use]
    pub fn running(&self, name: &str, sql: &Path) -> System {
        let mut program: Vec<OsString> = vec![self.binary.clone().into(), "run".into(), sql.into()];
        for setting in &self.settings {
            program.push("--set".into());
            program.push(setting.into());
        }
        System { name: name.to_owned(), expect: Expect::Kept, launch: Launch::Program(program) }
    }
}

impl System {
    /// A program that is part of this benchmark, by name; `None` for an unknown name.
    #[must_use]
    pub fn built_in(name: &str) -> Option<Self> {
        let (expect, role): (Expect, &'static [&'static str]) = match name {
            "relay" => (Expect::All, &["relay"]),
            BASELINE => (Expect::Kept, &["handwritten", "--decoder", "sonic"]),
            "handwritten-serde" => (Expect::Kept, &["handwritten", "--decoder", "serde-json"]),
            _ => return None,
        };
        Some(Self { name: name.to_owned(), expect, launch: Launch::Role(role) })
    }

    /// An external system from `NAME=COMMAND`, where the command has `{feed}` and `{out}`.
    ///
    /// # Errors
    /// When the text has no name, or the command lacks a placeholder.
    pub fn external(definition: &str) -> Result<Self, BenchError> {
        let usable = definition
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .filter(|(_, command)| command.contains("{feed}") && command.contains("{out}"));
        let (name, command) = usable.ok_or_else(|| {
            BenchError::Usage(format!(
                "--command {definition}: write NAME='COMMAND' with {{feed}} and {{out}} in the command"
            ))
        })?;
        Ok(Self { name: name.to_owned(), expect: Expect::Kept, launch: Launch::Shell(command.to_owned()) })
    }

    /// Whether an interrupt should end it with status zero; the others simply die of the signal.
    #[must_use]
    pub fn ends_cleanly(&self) -> bool {
        matches!(self.launch, Launch::Program(_))
    }

    /// The command that starts the system between these two URLs.
    ///
    /// # Errors
    /// When this executable cannot be found.
    pub fn command(&self, feed: &str, out: &str) -> Result<Command, BenchError> {
        let mut command = match &self.launch {
            Launch::Role(arguments) => {
                let mut command = role_command()?;
                command.args(*arguments).args([feed, out]);
                command
            }
            Launch::Program(program) => {
                let mut command = role_command()?;
                command.args(["exec", "--"]).args(program);
                command
            }
            Launch::Shell(template) => {
                let script = template.replace("{feed}", feed).replace("{out}", out);
                let mut command = role_command()?;
                command.args(["exec", "--", "sh", "-c", &script]);
                command
            }
        };
        command.env(FEED_VARIABLE, feed).env(OUT_VARIABLE, out);
        Ok(command)
    }
}

/// This executable with the argument that makes it play a role.
///
/// # Errors
/// When this executable cannot be found.
pub fn role_command() -> Result<Command, BenchError> {
    let mut command = Command::new(this_executable()?);
    command.arg(ROLE_ARGUMENT);
    Ok(command)
}

fn this_executable() -> Result<PathBuf, BenchError> {
    std::env::current_exe().map_err(BenchError::io("finding this executable"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_systems_need_a_name_and_both_urls() {
        let system = System::external("vector=run --from {feed} --to {out}").unwrap();
        assert_eq!(system.name, "vector");
        for wrong in ["vector", "=x {feed} {out}", "vector=x {feed}", "vector=x {out}"] {
            assert!(System::external(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn urls_reach_a_shell_command_by_placeholder_and_by_environment() {
        let system = System::external("x=echo {feed} {out}").unwrap();
        let command = system.command("ws://f", "ws://o").unwrap();
        let script = command.as_std().get_args().last().unwrap();
        assert_eq!(script, "echo ws://f ws://o");
        assert!(
            command
                .as_std()
                .get_envs()
                .any(|(key, value)| { key == FEED_VARIABLE && value.is_some_and(|value| value == "ws://f") })
        );
    }

    #[test]
    fn only_a_relay_delivers_everything() {
        assert_eq!(System::built_in("relay").unwrap().expect, Expect::All);
        assert_eq!(System::built_in(BASELINE).unwrap().expect, Expect::Kept);
        assert!(System::built_in("nothing").is_none());
    }

    #[test]
    fn a_missing_binary_is_named_with_the_way_to_build_it() {
        let error = EventFlux::locate(Some(Path::new("/nowhere/eventflux")), &[]).unwrap_err().to_string();
        assert!(error.contains("/nowhere/eventflux"), "{error}");
        assert!(error.contains("cargo build"), "{error}");
    }
}
