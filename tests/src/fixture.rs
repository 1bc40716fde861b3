//! Plugins made on the spot: other people's, older and newer ones, faulty ones.
//!
//! Each is a small workspace of its own in the build folder: a copy of plugin-api, altered where the fixture wants that,
//! and a crate with one source file from `tests/fixtures/`. All share one target folder, so that their common dependencies
//! are built once.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// A crate to be built against a copy of plugin-api.
pub struct Fixture {
    name: &'static str,
    source: String,
    alterations: Vec<Alteration>,
    panic: &'static str,
    is_program: bool,
}

/// A piece of a file of plugin-api that is replaced in the copy.
struct Alteration {
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

impl Fixture {
    /// A plugin of that name from a source file in `tests/fixtures/`.
    pub fn plugin(name: &'static str, source: &'static str) -> Self {
        let folder = crate::root().join("tests").join("fixtures");
        Self::plugin_of(name, read(&folder.join(source)))
    }

    /// A plugin of that name from its source.
    pub fn plugin_of(name: &'static str, source: String) -> Self {
        Self {
            name,
            source,
            alterations: Vec::new(),
            panic: "unwind",
            is_program: false,
        }
    }

    /// A program of that name from a source file in `tests/fixtures/`.
    pub fn program(name: &'static str, source: &'static str) -> Self {
        let is_program = true;
        Self {
            is_program,
            ..Self::plugin(name, source)
        }
    }

    /// Replaces a piece of a file of plugin-api.
    #[must_use]
    pub fn alter(mut self, file: &'static str, from: &'static str, to: &'static str) -> Self {
        self.alterations.push(Alteration { file, from, to });
        self
    }

    /// Lets panics end the process.
    #[must_use]
    pub fn aborting(mut self) -> Self {
        self.panic = "abort";
        self
    }

    /// Builds it; returns the library or program.
    ///
    /// # Panics
    /// When it cannot be built: shows what cargo said.
    pub fn build(&self) -> PathBuf {
        // Tests of one program run side by side, and several want the same fixture.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let base = crate::from_xtask("BOMF_FIXTURES_DIR");
        let folder = base.join("sources").join(self.name);
        self.write_sources(&folder);
        // Each has its own place for what it makes, and all share what they have in common.
        let target = base.join("target");
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--release", "--quiet", "--package", self.name])
            .current_dir(&folder)
            .env("CARGO_TARGET_DIR", &target)
            .env_remove("RUSTFLAGS")
            .output()
            .expect("cargo runs this test");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "fixture `{}`:\n{said}", self.name);
        let release = target.join("release");
        match self.is_program {
            true => release.join(format!("{}{}", self.name, std::env::consts::EXE_SUFFIX)),
            false => release.join(format!(
                "{}{}{}",
                std::env::consts::DLL_PREFIX,
                self.name.replace('-', "_"),
                std::env::consts::DLL_SUFFIX
            )),
        }
    }

    fn write_sources(&self, folder: &Path) {
        let root = crate::root();
        let api = root.join("plugin-api");
        for file in files_below(&api) {
            let place = file.strip_prefix(&api).expect("found below it");
            let mut text = read(&file);
            for alteration in self
                .alterations
                .iter()
                .filter(|a| Path::new(a.file) == place)
            {
                let count = text.matches(alteration.from).count();
                assert_eq!(
                    count, 1,
                    "plugin-api/{}: `{}`",
                    alteration.file, alteration.from
                );
                text = text.replace(alteration.from, alteration.to);
            }
            write_if_new(&folder.join(self.api_folder()).join(place), &text);
        }
        for alteration in &self.alterations {
            assert!(
                api.join(alteration.file).is_file(),
                "no file {}",
                alteration.file
            );
        }
        write_if_new(
            &folder.join("Cargo.toml"),
            &self.workspace_manifest(&read(&root.join("Cargo.toml"))),
        );
        write_if_new(
            &folder.join(self.name).join("Cargo.toml"),
            &self.package_manifest(),
        );
        let main = if self.is_program {
            "src/main.rs"
        } else {
            "src/lib.rs"
        };
        write_if_new(&folder.join(self.name).join(main), &self.source);
        // The same versions as in the workspace; cargo drops what is not needed here.
        let lock = folder.join("Cargo.lock");
        let seed = folder.join("Cargo.lock.seed");
        let wanted = read(&root.join("Cargo.lock"));
        if std::fs::read_to_string(&seed).ok().as_deref() != Some(wanted.as_str()) {
            write_if_new(&lock, &wanted);
            write_if_new(&seed, &wanted);
        }
    }

    /// The workspace's own manifest, with other members and no lints.
    fn workspace_manifest(&self, text: &str) -> String {
        let mut kept = Vec::new();
        let mut inside_list = false;
        for line in text.lines() {
            let starts_list =
                line.starts_with("members = [") || line.starts_with("default-members = [");
            if starts_list || inside_list {
                inside_list = !line.trim_end().ends_with(']');
                continue;
            }
            if line.starts_with("[workspace]") {
                kept.push(format!(
                    "[workspace]\nmembers = [\"{}\", \"{}\"]",
                    self.api_folder(),
                    self.name
                ));
            } else if line.contains("path = \"plugin-api\"") {
                kept.push(line.replace("\"plugin-api\"", &format!("\"{}\"", self.api_folder())));
            } else if line.contains("path = ") {
                // Crates that are not copied.
            } else if line.starts_with("panic = ") {
                kept.push(format!("panic = \"{}\"", self.panic));
            } else {
                kept.push(line.to_owned());
            }
        }
        kept.join("\n") + "\n"
    }

    /// Cargo tells crates of one name apart by their folder inside the workspace: with the same folder in two workspaces,
    /// one fixture would get the other's library out of the shared target folder.
    fn api_folder(&self) -> String {
        format!("plugin-api-for-{}", self.name)
    }

    fn package_manifest(&self) -> String {
        let library = match self.is_program {
            true => "",
            false => "[lib]\ncrate-type = [\"cdylib\"]\n",
        };
        format!(
            "[package]\nname = \"{}\"\nversion = \"0.1.0\"\nedition = \"2024\"\nlicense = \"MIT\"\n\n{library}\n\
             [dependencies]\nbomf-plugin-api.workspace = true\nschemars.workspace = true\nserde.workspace = true\n\
             tracing.workspace = true\n",
            self.name
        )
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the repository") {
            let path = entry.expect("the folder can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Cargo goes by the time of the last change: what has not changed is not written.
fn write_if_new(path: &Path, text: &str) {
    if std::fs::read_to_string(path).ok().as_deref() == Some(text) {
        return;
    }
    let parent = path.parent().expect("a file lies in a folder");
    std::fs::create_dir_all(parent).expect("the build folder can be written");
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
