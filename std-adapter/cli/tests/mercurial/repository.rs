//! Repositories to speak about: one that Mercurial makes, with all that may be in one, on top of
//! a thousand changesets and more that are made in memory and cloned.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use hgrpc_mercurial::{Changeset, Commit, FileKind, MemoryRepository, Node};
use tempfile::TempDir;

use super::hg;
use super::served::Served;

/// Changesets of the part that is made in memory.
pub(crate) const MADE: u32 = 1100;

/// A thousand changesets and more: files that change, now and then a merge, a removal, a new branch.
pub(crate) fn made() -> MemoryRepository {
    made_of(MADE)
}

/// As many changesets of the same kind.
pub(crate) fn made_of(changesets: u32) -> MemoryRepository {
    let repository = MemoryRepository::new();
    let mut tip = Node::NULL;
    let mut fork = None;
    for number in 0..changesets {
        let mut changes = BTreeMap::new();
        let path = format!("dir{}/file{:02}", number % 7, number % 40);
        let text = format!("{}line {number}\n", "same\n".repeat(30));
        changes.insert(
            path.clone().into_bytes(),
            Some((text.into_bytes(), FileKind::Plain)),
        );
        if number % 97 == 96 {
            // Files come and go: their history goes on where it ended.
            changes.insert(path.into_bytes(), None);
        }
        let mut parents = [tip, Node::NULL];
        match number % 50 {
            20 => fork = Some(tip),
            30 => parents = [fork.unwrap_or(tip), Node::NULL],
            _ => {}
        }
        if number % 50 == 30 {
            fork = Some(tip);
        }
        if let (40, Some(other)) = (number % 50, fork.take_if(|_| number % 50 == 40)) {
            parents = [tip, other];
        }
        let about = Changeset {
            user: b"Somebody <somebody@example.com>".to_vec(),
            seconds: i64::from(number) * 60,
            description: format!("changeset {number}\n\nand more about it").into_bytes(),
            ..Changeset::default()
        };
        let commit = Commit {
            parents,
            about,
            changes,
        };
        tip = repository.commit(commit).unwrap();
    }
    repository
}

/// A repository of Mercurial's that may be served, but not changed: copy it for that.
pub(crate) struct Repository {
    pub(crate) path: PathBuf,
    _directory: TempDir,
}

/// Pseudo-random bytes: nothing that compresses, or that is text.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// The repository, made once.
pub(crate) fn repository() -> &'static Repository {
    static MADE: OnceLock<Repository> = OnceLock::new();
    MADE.get_or_init(|| {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("original");
        let served = Served::memory(made());
        hg::run(directory.path(), &["clone", &served.url, "original"]);
        add_everything(&path);
        Repository {
            path,
            _directory: directory,
        }
    })
}

/// Adds what Mercurial can do to a repository, by itself.
fn add_everything(path: &Path) {
    let hg = |args: &[&str]| hg::run(path, args);
    let write = |name: &str, contents: &[u8]| fs::write(path.join(name), contents).unwrap();
    hg(&["phase", "--public", "tip"]);
    write("binary", b"\0\x01\xff\n\x01\n not text");
    // What begins like metadata is escaped by some.
    write("escaped", b"\x01\nno metadata\n");
    write("empty", b"");
    write("caf\u{e9} & more", "n\u{e4}me\n".as_bytes());
    write("large", &noise(3 << 20));
    write("script", b"#!/bin/sh\n");
    fs::set_permissions(path.join("script"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("script", path.join("link")).unwrap();
    hg(&[
        "commit",
        "-A",
        "-m",
        "all kinds of files",
        "-u",
        "N\u{e4}me <n@example.com>",
    ]);
    hg(&["bookmark", "before"]);
    hg(&["tag", "v1.0"]);
    hg(&["copy", "binary", "copied"]);
    hg(&["rename", "script", "renamed"]);
    hg(&["remove", "empty"]);
    write("binary", b"\0\x02 changed");
    let mut large = noise(3 << 20);
    large.splice(1 << 20..(1 << 20) + 10, *b"something else in the middle");
    write("large", &large);
    hg(&["commit", "-m", "copies, renames, removed files"]);
    hg(&["branch", "stable"]);
    write("on-stable", b"1\n");
    hg(&["commit", "-A", "-m", "a branch", "-d", "1234567890 -7200"]);
    hg(&["update", "default"]);
    write("on-default", b"2\n");
    hg(&[
        "commit",
        "-A",
        "-m",
        "two heads\n\nwith a long description: \\ backslash, \u{fc}",
    ]);
    hg(&["merge", "stable"]);
    hg(&["commit", "-m", "a merge"]);
    hg(&["phase", "--public", "tip"]);
    hg(&["bookmark", "draft-work"]);
    write("on-default", b"3\n");
    hg(&["commit", "-m", "a draft"]);
    hg(&["update", "v1.0"]);
    write("other", b"4\n");
    hg(&[
        "commit",
        "-A",
        "-m",
        "another head, a draft too",
        "--config",
        "ui.username=\"x\"",
    ]);
    fs::write(path.join(".hg/hgrc"), "[phases]\npublish = false\n").unwrap();
}
