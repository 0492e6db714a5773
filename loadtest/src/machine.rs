//! What the test runs on: a figure without it says nothing.

use std::fs;
use std::path::Path;

/// Cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The processor's name, where the system tells it.
pub(crate) fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        info.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        })
    };
    field("model name").or_else(|| field("Processor")).unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// The type of the file system that a path is on, where the system tells it.
pub(crate) fn filesystem(path: &Path) -> String {
    let unknown = || "unknown".to_owned();
    let Ok(path) = path.canonicalize() else { return unknown() };
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let on = mounts.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (mount, kind) = (fields.next()?, fields.next()?);
        path.starts_with(mount).then_some((mount.len(), kind))
    });
    // Of mounts over each other the last one counts.
    on.max_by_key(|(len, _)| *len).map_or_else(unknown, |(_, kind)| kind.to_owned())
}

/// Memory of this process that is resident, in bytes, where the system tells it.
pub(crate) fn resident_bytes() -> Option<u64> {
    resident_bytes_of("self")
}

/// The same of another process, by its id.
pub(crate) fn resident_bytes_of(process: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_described() {
        assert!(cores() >= 1);
        assert!(!cpu().is_empty());
        assert!(!filesystem(Path::new("/")).is_empty());
    }
}
