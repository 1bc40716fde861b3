//! Time from the start of the binary to its end with 50 plugin manifests in the way; libraries are opened only when named.
//!
//!     cargo bench -p bomf --bench startup

use std::path::Path;
use std::process::Command;
use std::time::Instant;

const MANIFESTS: usize = 50;
const ROUNDS: usize = 40;

fn main() {
    let folder = std::env::temp_dir().join(format!("bomf-startup-{}", std::process::id()));
    (0..MANIFESTS).for_each(|number| write_plugin(&folder, number));
    println!("median of {ROUNDS} starts");
    let plugins = folder.display().to_string();
    for arguments in [
        vec!["--version"],
        vec!["--plugins", &plugins, "plugins", "list", "--json"],
    ] {
        let mut times: Vec<f64> = (0..ROUNDS).map(|_| start(&arguments, &folder)).collect();
        times.sort_by(f64::total_cmp);
        let what = arguments.join(" ").replace(&plugins, "FOLDER");
        println!("{:>6.1} ms  bomf {what}", 1e3 * times[ROUNDS / 2]);
    }
    std::fs::remove_dir_all(&folder).expect("a folder of our own");
}

/// Seconds of one call.
fn start(arguments: &[&str], folder: &Path) -> f64 {
    let start = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_bomf"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("BOMF_PLUGINS")
        .output()
        .expect("the binary that was just built");
    let seconds = start.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&output.stdout);
    let found = said.matches("\"one of many\"").count();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        arguments.len() == 1 || found == MANIFESTS,
        "{found} plugins in {said}"
    );
    seconds
}

/// A plugin with a metric that has some options, as `bomf plugins pack` writes its manifest.
fn write_plugin(folder: &Path, number: usize) {
    let folder = folder.join(format!("plugin-{number}"));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let options: Vec<String> = (0..12)
        .map(|i| {
            format!(
                r#""option_{i}":{{"type":"number","default":{i},"description":"{}"}}"#,
                "What it does. ".repeat(8)
            )
        })
        .collect();
    let manifest = format!(
        "library = \"libplugin.so\"\ndigest = \"blake3:{:064x}\"\nname = \"one-of-many-{number}\"\nversion = \"0.1.0\"\n\
         api_version = \"1.0\"\nplatform = \"{}\"\nlicense = \"MIT\"\npreload = []\n\n[[provides]]\nkind = \"metric\"\n\
         name = \"metric-{number}\"\naliases = []\nsummary = \"one of many\"\noptions = '''{{\"type\":\"object\",\"properties\":{{{}}}}}'''\n\
         needs_gram = false\n\n[[provides.scores]]\nname = \"score\"\ndirection = \"maximize\"\nrange = [0.0, 1.0]\ndetail = false\n",
        0,
        env!("BOMF_TARGET"),
        options.join(","),
    );
    std::fs::write(folder.join("plugin.toml"), manifest).expect("a temporary folder");
    std::fs::write(folder.join("libplugin.so"), "never opened").expect("a temporary folder");
}
