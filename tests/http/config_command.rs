//! `stockade config`: what a file may say, and what it is told when it says something else.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn stockade(args: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stockade"));
    command.args(args).env_clear().envs(environment.iter().copied());
    command.output().expect("the command runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A file with this content, in a directory that lives as long as it is held.
fn file(content: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("stockade.toml");
    std::fs::write(&path, content).expect("the file is written");
    (dir, path)
}

fn check(path: &Path) -> (Option<i32>, String) {
    let output = stockade(&["config", "check", &path.display().to_string()], &[]);
    (output.status.code(), text(&output.stderr))
}

#[test]
fn the_example_is_good() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/deploy/stockade.toml");
    assert_eq!(check(&example), (Some(0), String::new()));
}

#[test]
fn the_printed_defaults_read_back_to_themselves() {
    let printed = text(&stockade(&["config", "print", "--defaults"], &[]).stdout);
    assert!(
        printed.contains("\nlisten = \"127.0.0.1:8080\"\n") && printed.contains("\ntask_dead_letters_max = ")
    );
    let (_dir, path) = file(&printed);
    assert_eq!(check(&path), (Some(0), String::new()));
    let again = stockade(&["config", "print", "--config", &path.display().to_string()], &[]);
    assert_eq!(text(&again.stdout), printed);
}

#[test]
fn everything_that_is_wrong_is_said_at_once_with_its_line() {
    let (_dir, path) = file(
        "[server]\nlisten = \"localhost\"\nconections_max = 5\nidle_timeout_ms = 0\n\n[limit]\na = 1\n\n\
         [engine]\ndurability = { buffered_ms = 0 }\nlisten = 1\n",
    );
    let (code, said) = check(&path);
    assert_eq!(code, Some(2));
    let expected = [
        ":2: server.listen is \"localhost\": it must be an address with a port",
        ":3: unknown key server.conections_max; did you mean server.connections_max?",
        ":4: server.idle_timeout_ms is 0: it must be a whole number from 1 to 3,600,000",
        ":6: unknown section [limit]; did you mean [limits]?",
        ":10: engine.durability is a table: it must be \"synced\", \"memory\" or { buffered_ms = N }",
        ":11: unknown key engine.listen; did you mean server.listen?",
    ];
    for line in expected {
        assert!(said.contains(line), "{line} is not in:\n{said}");
    }
    assert_eq!(said.lines().count(), expected.len(), "{said}");
}

#[test]
fn what_is_wrong_between_keys_and_in_the_form_is_said_too() {
    let (_dir, path) = file("[engine]\narchive_after_ms = 1\n");
    let (code, said) = check(&path);
    assert_eq!(code, Some(2));
    assert!(said.contains(":2: engine.archive_after_ms is 1: it must be 0 or at least"), "{said}");
    let (_dir, path) = file("[server]\nlisten = \n");
    let (code, said) = check(&path);
    assert_eq!(code, Some(2));
    assert!(said.contains("stockade.toml:2: "), "{said}");
    let (code, said) = check(Path::new("/nonexistent/stockade.toml"));
    assert_eq!(code, Some(2));
    assert!(said.contains("can't read /nonexistent/stockade.toml"), "{said}");
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_repeated() {
    let (_dir, path) =
        file("[auth]\nkeys = [{ kid = \"a\", alg = \"HS256\", secret = \"hunter2-hunter2\" }]\n");
    let (code, said) = check(&path);
    assert_eq!(code, Some(2));
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn subscriptions_are_checked_with_their_settings_and_printed_without_secrets() {
    let (_dir, path) = file(
        "[relay.subscriptions.erp]\nevents = [\"OrderEaten\"]\nsink = { kind = \"pull\" }\n\
         [relay.subscriptions.wms]\nin_flight_max = 0\nsink = { kind = \"pull\" }\n\
         [relay.subscriptions.crm]\n[relay.subscriptions.crm.sink]\nkind = \"rabbitmq\"\naddress = \"a:1\"\nexchange = \"e\"\n\
         password = \"hunter2-hunter2\"\n",
    );
    let (code, said) = check(&path);
    assert_eq!(code, Some(2));
    assert!(
        said.contains(":1: relay.subscriptions.crm.sink.password: a secret can't stand in the configuration"),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");
    let (_dir, path) = file(
        "[relay.subscriptions.erp]\nevents = [\"OrderEaten\"]\nsink = { kind = \"pull\" }\n\
         [relay.subscriptions.wms]\nin_flight_max = 0\nsink = { kind = \"pull\" }\n[search]\nmode = \"sideways\"\nrefresh_ms = 5\n",
    );
    let (code, said) = check(&path);
    assert_eq!(code, Some(2));
    for part in [
        "search.mode is \"sideways\": it must be \"fallback\" or \"on\" or \"off\"",
        "search.refresh_ms is 5",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let good = "[relay.subscriptions.crm]\nevents = [\"OrderPaid\"]\n[relay.subscriptions.crm.sink]\nkind = \"rabbitmq\"\n\
        address = \"rabbit.internal:5671\"\nexchange = \"orders\"\nqueue = \"crm\"\npassword_file = \"/run/rabbit.password\"\n";
    let (_dir, path) = file(good);
    assert_eq!(check(&path), (Some(0), String::new()), "files of secrets are not read");
    let printed = text(&stockade(&["config", "print", "--config", &path.display().to_string()], &[]).stdout);
    assert!(printed.contains("password_file = \"/run/rabbit.password\""), "{printed}");
    let (_again, path) = file(&printed);
    assert_eq!(check(&path), (Some(0), String::new()), "what is printed reads back");
    let (_dir, path) = file(
        "[relay.subscriptions.erp]\nevents = [\"OrderEaten\"]\nsink = { kind = \"pull\" }\n\
        [relay.subscriptions.wms]\nin_flight_max = 0\nsink = { kind = \"pull\" }\n",
    );
    let (_, said) = check(&path);
    assert!(
        said.contains("relay.subscriptions.erp.events: ")
            && said.contains("relay.subscriptions.wms.in_flight_max: "),
        "{said}"
    );
    let (_dir, path) = file("[search]\nmode = \"on\"\n[engine]\nstore = false\n");
    assert_eq!(check(&path).0, Some(2), "there is nothing to search in");
}

#[test]
fn the_environment_goes_before_the_file() {
    let (_dir, path) = file("[server]\nlisten = \"127.0.0.1:1\"\nin_flight_max = 7\n");
    let path = path.display().to_string();
    let print = ["config", "print", "--config", path.as_str()];
    let environment = [
        ("STOCKADE__SERVER__LISTEN", "127.0.0.1:2"),
        ("STOCKADE__SERVER__TRUSTED_PROXIES", "10.0.0.0/8,fd00::/8"),
        ("STOCKADE__ENGINE__DURABILITY", "{ buffered_ms = 20 }"),
        ("UNRELATED", "x"),
    ];
    let printed = text(&stockade(&print, &environment).stdout);
    for line in [
        "listen = \"127.0.0.1:2\"",
        "in_flight_max = 7",
        "trusted_proxies = [\"10.0.0.0/8\", \"fd00::/8\"]",
        "durability = { buffered_ms = 20 }",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line} is not in:\n{printed}");
    }
    let wrong = stockade(&print, &[("STOCKADE__SERVER__LISTN", "1"), ("STOCKADE__ENGINE__TICK_MS", "x")]);
    assert_eq!(wrong.status.code(), Some(2));
    let said = text(&wrong.stderr);
    assert!(
        said.contains("STOCKADE__SERVER__LISTN: unknown key server.listn; did you mean server.listen?"),
        "{said}"
    );
    assert!(
        said.contains("STOCKADE__ENGINE__TICK_MS: engine.tick_ms is \"x\": it must be a whole number"),
        "{said}"
    );
}
