//! Hands the target triple to the manifest.

fn main() {
    let target = std::env::var("TARGET").expect("cargo sets TARGET for build scripts");
    println!("cargo:rustc-env=BOMF_TARGET={target}");
    println!("cargo:rerun-if-changed=build.rs");
}
