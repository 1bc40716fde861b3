//! Folders that appear whole or not at all, whoever else writes there.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::Path;

use fusion::write::{Folder, Layout, SHARD_SIZE, Spec};
use fusion::{Dtype, Error};

fn make(out: &Path) -> Result<(), Error> {
    let folder = Folder::begin(out)?;
    for name in ["a", "b", "c"] {
        folder.write(name, name.as_bytes())?;
    }
    folder.finish()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn code(outcome: Result<impl Sized, Error>) -> String {
    outcome.err().unwrap().code.to_string()
}

#[test]
fn whoever_finishes_leaves_all_of_it() {
    let here = tempfile::tempdir().unwrap();
    for round in 0..100 {
        let out = here.path().join(round.to_string());
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let both = [(); 2].map(|()| scope.spawn(|| make(&out)));
            both.map(|one| one.join().unwrap()).into()
        });
        // Both may find the other at work only if one of them ended.
        assert!(outcomes.iter().any(Result::is_ok), "{outcomes:?}");
        assert_eq!(names(&out), ["a", "b", "c"], "{outcomes:?}");
    }
    assert_eq!(names(here.path()).len(), 100, "nothing else is left");
}

#[test]
fn one_writes_and_the_next_finds_it_there() {
    let here = tempfile::tempdir().unwrap();
    let out = here.path().join("out");
    let first = Folder::begin(&out).unwrap();
    assert_eq!(code(Folder::begin(&out)), "write::locked");
    first.finish().unwrap();
    assert_eq!(names(&out), [""; 0]);
    // An empty folder is an empty place, and a `/` behind a name is no other name.
    make(&here.path().join("out/")).unwrap();
    assert_eq!(names(&out), ["a", "b", "c"]);
    assert_eq!(code(make(&out)), "write::exists");
    for path in [".", "..", "/"] {
        assert_eq!(code(make(Path::new(path))), "write::name", "{path}");
    }
}

#[test]
fn what_no_fusion_left_behind_stays() {
    let here = tempfile::tempdir().unwrap();
    let (out, unfinished) = (here.path().join("x"), here.path().join("x.unfinished"));
    std::fs::create_dir(&unfinished).unwrap();
    std::fs::write(unfinished.join("notes.txt"), "mine").unwrap();
    assert_eq!(code(make(&out)), "write::unfinished");
    assert_eq!(names(&unfinished), ["notes.txt"]);
    // A killed process leaves its mark.
    std::fs::write(unfinished.join("lock"), "").unwrap();
    make(&out).unwrap();
    assert_eq!(names(here.path()), ["x"]);
    assert_eq!(names(&out), ["a", "b", "c"]);
}

#[test]
fn a_tensor_cannot_be_called_as_the_metadata() {
    let spec = Spec {
        name: "__metadata__".to_owned(),
        dtype: Dtype::F32,
        shape: vec![2],
    };
    let layout = Layout::new(&[spec], &BTreeMap::new(), "model", SHARD_SIZE);
    assert_eq!(code(layout), "write::name");
}
