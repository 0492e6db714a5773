//! What the subcommands share: exit codes, messages, sizes and times as people read them.

use std::error::Error;
use std::process::ExitCode;

use stockade::ops::OpsError;

/// Says what went wrong. Gives 2 where the data can't be read, 1 where the data is sound and the target or the output
/// is not.
pub(crate) fn failed(error: &OpsError) -> ExitCode {
    eprintln!("error: {}", with_causes(error));
    ExitCode::from(if error.is_about_the_target() { 1 } else { 2 })
}

/// The error with everything that caused it, in one line; a cause that the message names already is not repeated.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let why = error.to_string();
        if !text.contains(&why) {
            text.push_str(": ");
            text.push_str(&why);
        }
        cause = error.source();
    }
    text
}

/// Bytes with a unit, one digit behind the point.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    let mut tenths = u128::from(bytes) * 10 / 1024;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// How long something took or is ago, in its two largest units.
pub(crate) fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        let sizes = [0, 1023, 1024, 1536, 1 << 20, (1 << 30) - 1, 5 << 40, u64::MAX].map(size);
        let expected =
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "1023.9 MiB", "5.0 TiB", "16777215.9 TiB"];
        assert_eq!(sizes, expected);
    }

    #[test]
    fn spans_have_their_two_largest_units() {
        let spans = [7, 59_999, 61_000, 3_600_000, 90_000_000].map(span);
        assert_eq!(spans, ["7 ms", "59 s", "1 min 1 s", "1 h 0 min", "1 d 1 h"]);
    }
}
