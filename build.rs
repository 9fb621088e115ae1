//! The build script — decides nothing about scenarios: it lists the files of `scenarios/`, so that a file put there
//! is built in. It never reads one.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

#[expect(clippy::disallowed_methods, reason = "cargo talks to build scripts by its environment")]
fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=scenarios");
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo names the package's directory"));
    let mut files = Vec::new();
    find(&root.join("scenarios"), &mut files)?;
    files.sort();
    let entries: String = files.iter().map(|path| entry(&root, path)).collect();
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo names an output directory"));
    fs::write(out.join("scenarios.rs"), format!("&[\n{entries}]"))
}

/// Every scenario file below a folder.
fn find(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.extension().and_then(|ending| ending.to_str()) {
            _ if path.is_dir() => find(&path, files)?,
            Some("toml") => files.push(path),
            _ => {}
        }
    }
    Ok(())
}

fn entry(root: &Path, path: &Path) -> String {
    let name = path.file_stem().unwrap_or_default();
    let below = path.parent().and_then(|folder| folder.strip_prefix(root.join("scenarios")).ok());
    let folder = below.unwrap_or(Path::new("")).to_string_lossy().replace('\\', "/");
    // Where the package lies is asked when it is compiled: it may have been moved since this script ran.
    let file = path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/");
    let text = format!("include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {:?}))", format!("/{file}"));
    format!("    Builtin {{ folder: {folder:?}, name: {name:?}, text: {text} }},\n")
}
