//! Small histories by hand, each of a shape that a mirror once failed at, or might.

use std::fs;
use std::path::Path;

use hgrpc_mercurial::LiveMirror;
use tempfile::TempDir;

use super::compare::assert_equal;
use super::hg::{self, CommandServer};
use super::served::Served;

/// A history, a step a line: `write PATH TEXT`, `commit`, or a command of Mercurial.
const SHAPES: &[(&str, &str)] = &[
    (
        "edits-after-a-removal",
        "write a 1; write b 1; write c 1; write d 1; commit
         write a 2; remove b; commit; write a 3; commit; write d 4; remove c; commit",
    ),
    (
        "a-removal-alone",
        "write a 1; write b 1; commit; remove a; commit",
    ),
    (
        "removed-and-added-again",
        "write a 1; write b 1; commit; remove a; commit; write a 2; write b 2; commit
         remove a; write b 3; commit; write a 1; commit",
    ),
    (
        "all-files-removed",
        "write a 1; write b 1; commit; remove a; remove b; commit; write a 1; commit",
    ),
    (
        "removed-on-one-branch-edited-on-the-other",
        "write a 1; write b 1; commit; remove a; write b 2; commit
         update 0; write a 2; commit; update 1; merge 2; commit; write a 3; write b 3; commit",
    ),
    (
        "merged-and-removed",
        "write a 1; write b 1; write c 1; commit; write a 2; commit
         update 0; write b 2; commit; merge 1; remove --force c; commit; write b 3; commit",
    ),
    (
        "renamed-and-edited",
        "write a 1; write b 1; commit; rename a c; write b 2; commit; write c 2; commit
         rename c a; write a 3; remove b; commit",
    ),
    (
        "copied-and-the-source-removed",
        "write a 1; write x 1; commit; copy a b; write x 2; commit
         remove a; write b 2; commit; copy b a; remove x; commit",
    ),
    (
        "the-same-change-on-two-branches",
        "write a 1; write b 1; commit; write a 2; remove b; commit
         update 0; write a 2; write c 1; commit; merge 1; commit; write c 2; commit",
    ),
    (
        "a-change-taken-back",
        "write a 1; write b 1; commit; write a 2; remove b; commit; write a 1; commit
         write a 2; write b 1; commit",
    ),
    (
        "a-removal-in-each-of-many",
        "write a 1; write b 1; write c 1; write d 1; write e 1; write f 1; commit
         write f 2; remove a; commit; write f 3; remove b; commit; write f 4; remove c; commit
         write f 5; remove d; write g 1; commit; write g 2; remove e; commit",
    ),
    (
        "a-file-becomes-a-directory",
        "write a 1; write b 1; commit; remove a; write a/x 1; write b 2; commit
         remove a/x; write a 2; write b 3; commit",
    ),
    (
        "named-branches-and-a-closed-head",
        "write a 1; write b 1; commit; branch side; write a 2; remove b; commit
         commit --close-branch; update default; write b 2; commit; merge 1 --tool :local; commit",
    ),
    (
        "changesets-without-files",
        "branch empty; commit; write a 1; write b 1; commit; branch more; commit
         remove a; write b 2; commit; branch again; commit",
    ),
];

/// Makes a repository of a history.
fn make(hg: &mut CommandServer, path: &Path, history: &str) {
    fs::create_dir_all(path).unwrap();
    hg.run(path, &["init"]);
    let mut commits = 0;
    for step in history.split([';', '\n']).map(str::trim) {
        let words: Vec<&str> = step.split(' ').collect();
        match words[..] {
            ["write", name, text] => {
                let file = path.join(name);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, format!("{}{text}\n", "line\n".repeat(20))).unwrap();
            }
            ["commit", ref options @ ..] => {
                commits += 1;
                let (message, date) = (format!("commit {commits}"), format!("{commits}000 0"));
                let args = [&["commit", "-A", "-m", &message, "-d", &date], options].concat();
                hg.run(path, &args);
            }
            ["merge", ..] => {
                hg.try_run(path, &words);
                hg.run(path, &["resolve", "--mark", "--all"]);
            }
            _ => drop(hg.try_run(path, &words)),
        }
    }
}

#[test]
fn every_shape_is_mirrored() {
    if hg::hg().is_none() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let mut server = CommandServer::new(directory.path());
    let repositories = directory.path().join("repositories");
    for (name, history) in SHAPES {
        make(&mut server, &repositories.join(name), history);
    }
    let serve = hg::Serve::all(&repositories);
    let mut failed = Vec::new();
    for (name, _) in SHAPES {
        let mirror = directory.path().join(format!("{name}.mirror"));
        let url = format!("{}/{name}", serve.url);
        let output = hg::tool(&["hg", "mirror", &url, mirror.to_str().unwrap()]);
        let output = { output }.output().unwrap();
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            failed.push(format!("{name}: {}", error.trim()));
            continue;
        }
        hg::run_tool(&["hg", "verify", mirror.to_str().unwrap()]);
        let served = Served::new(LiveMirror::open(&mirror).unwrap());
        let ours = directory.path().join(format!("{name}.ours"));
        let theirs = directory.path().join(format!("{name}.theirs"));
        let original = repositories.join(name);
        for (from, to) in [
            (served.url.as_str(), &ours),
            (original.to_str().unwrap(), &theirs),
        ] {
            let to = to.to_str().unwrap();
            server.run(directory.path(), &["clone", "--pull", "-U", from, to]);
        }
        server.run(&ours, &["verify"]);
        assert_equal(&mut server, &ours, &theirs, name);
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
