//! The binary — decides nothing: it hands arguments in and an exit code out. It never prints.

use std::process::ExitCode;

fn main() -> ExitCode {
    serve_arenas_by_mmap();
    shardarium::cli::main(std::env::args_os()).into()
}

/// Has glibc serve blocks of 128 kB and more by `mmap`, now and always.
///
/// tantivy asks for six zeroed megabytes a segment and touches little of them. Fresh pages are zero already;
/// from its heap, where glibc's moving threshold would put them after the first is freed, glibc clears them
/// by hand: two thirds of a run's time.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "mallopt has no safe form; called before any other thread exists")]
fn serve_arenas_by_mmap() {
    // SAFETY: mallopt takes two integers and has no precondition but that no other thread allocates.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, 128 * 1024) };
}

/// Other allocators decide for themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn serve_arenas_by_mmap() {}
