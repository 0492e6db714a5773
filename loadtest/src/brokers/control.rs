//! Stops a broker and starts it again: by commands, or by killing a server that this process has started for itself.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Failure;

/// Longest wait for a broker to answer on its port.
const UP_MAX: Duration = Duration::from_secs(60);
/// How often it is looked.
const POLL: Duration = Duration::from_millis(50);

/// How a broker is stopped and started.
pub(crate) enum Control {
    /// By commands of the shell.
    Commands { stop: String, start: String, address: String },
    /// A server of this process's own.
    Own(OwnNats),
}

impl Control {
    pub(crate) fn stop(&mut self) -> Result<(), Failure> {
        match self {
            Self::Commands { stop, .. } => shell(stop),
            Self::Own(server) => {
                server.kill();
                Ok(())
            }
        }
    }

    /// Returns once it answers.
    pub(crate) fn start(&mut self) -> Result<(), Failure> {
        match self {
            Self::Commands { start, address, .. } => {
                shell(start)?;
                wait_for(address)
            }
            Self::Own(server) => server.start(),
        }
    }
}

/// A NATS server with JetStream on a free port of the loopback, with its data in a temporary directory. It never outlives
/// this value, and is killed with SIGKILL: what it has acknowledged is in the system's memory then.
pub(crate) struct OwnNats {
    program: PathBuf,
    port: u16,
    data: TempDir,
    child: Option<Child>,
}

impl OwnNats {
    pub(crate) fn start_new(program: &Path) -> Result<Self, Failure> {
        let data = tempfile::Builder::new().prefix("stockade-loadtest-nats-").tempdir()?;
        let mut server = Self { program: program.to_owned(), port: free_port()?, data, child: None };
        server.start()?;
        Ok(server)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)).to_string()
    }

    /// Whether its program can be run.
    #[cfg(test)]
    pub(crate) fn is_installed(program: &Path) -> bool {
        let version =
            Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    }

    pub(super) fn start(&mut self) -> Result<(), Failure> {
        let mut command = Command::new(&self.program);
        command.args(["-a", "127.0.0.1", "-p", &self.port.to_string(), "-js", "-sd"]).arg(self.data.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn();
        self.child = Some(child.map_err(|error| format!("{}: {error}", self.program.display()))?);
        wait_for(&self.address())
    }

    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It fails only when the process has ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for OwnNats {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody listens on at this moment.
pub(crate) fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn shell(command: &str) -> Result<(), Failure> {
    let output = Command::new("sh").args(["-c", command]).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{command}` failed ({}): {}", output.status, said.trim()).into())
}

fn wait_for(address: &str) -> Result<(), Failure> {
    let until = Instant::now() + UP_MAX;
    while TcpStream::connect(address).is_err() {
        if Instant::now() > until {
            return Err(format!("nothing answers at {address} after {} s", UP_MAX.as_secs()).into());
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_is_an_error_with_what_it_said() {
        assert!(shell("true").is_ok());
        let error = shell("echo no such node >&2; exit 3").unwrap_err().to_string();
        assert!(error.contains("no such node") && error.contains('3'), "{error}");
    }

    #[test]
    fn a_broker_is_started_once_it_answers() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut control = Control::Commands { stop: "true".to_owned(), start: "true".to_owned(), address };
        assert!(control.stop().is_ok() && control.start().is_ok());
    }
}
