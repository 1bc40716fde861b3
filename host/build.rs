//! Hands to the program what it was built from: target, compiler, commit.

use std::process::Command;

fn main() {
    let target = std::env::var("TARGET").expect("cargo sets TARGET for build scripts");
    let rustc = std::env::var("RUSTC").expect("cargo sets RUSTC for build scripts");
    println!("cargo:rustc-env=BOMF_TARGET={target}");
    println!(
        "cargo:rustc-env=BOMF_RUSTC={}",
        output(&rustc, &["--version"])
    );
    println!(
        "cargo:rustc-env=BOMF_COMMIT={}",
        output("git", &["rev-parse", "--short=12", "HEAD"])
    );
    println!("cargo:rerun-if-changed=build.rs");
    // A commit changes one of these; outside a checkout neither is there, and the commit stays unknown.
    for file in ["../.git/HEAD", "../.git/logs/HEAD"] {
        if std::path::Path::new(file).exists() {
            println!("cargo:rerun-if-changed={file}");
        }
    }
}

/// The first line that a command prints, or `unknown`.
fn output(command: &str, arguments: &[&str]) -> String {
    Command::new(command)
        .args(arguments)
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .and_then(|text| text.lines().next().map(str::to_owned))
        .unwrap_or_else(|| "unknown".to_owned())
}
