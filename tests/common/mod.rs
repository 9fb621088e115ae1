//! The command line — how tests run the binary. It never judges what comes of it.

use std::{ffi::OsStr, path::Path};

use assert_cmd::Command;

/// Runs the binary in a directory, whatever is said of colours outside; exit code, stdout, stderr.
pub(super) fn run_in(
    dir: &Path,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> (i32, String, String) {
    let output = Command::cargo_bin("shardarium")
        .unwrap()
        .env_remove("CLICOLOR_FORCE")
        .current_dir(dir)
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}
