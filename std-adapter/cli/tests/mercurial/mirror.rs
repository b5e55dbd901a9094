//! Mirrors: fetched from Mercurial's server, served to Mercurial's client.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hgrpc_mercurial::mirror::{
    FetchError, FetchOptions, Mirror, MirrorError, MirrorWriter, Report, verify,
};
use hgrpc_mercurial::{Client, Commands, MemoryRepository, Repository};
use hgrpc_std::blocking::{Call, Failure, Reply};
use tempfile::TempDir;

use super::hg;
use super::repository::{MADE, made, made_of, repository};
use super::served::{Served, Tool};

/// What two repositories must agree on: all changesets with all that is said of them, bookmarks,
/// the files of all heads.
fn told(repository: &Path) -> [String; 3] {
    let template =
        "{node} {p1.node} {p2.node} {phase} {branch} {author} {date|hgdate} {files} {desc|json}\\n";
    // Pulled in another order they have other numbers.
    let sorted = |text: String| {
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        lines.join("\n")
    };
    [
        sorted(hg::run(repository, &["log", "-T", template])),
        sorted(hg::run(
            repository,
            &["bookmarks", "-T", "{bookmark} {node}\\n"],
        )),
        sorted(hg::run(
            repository,
            &["heads", "-T", "{node} {manifest}\\n"],
        )),
    ]
}

/// The files of two working directories are the same.
fn assert_same_files(a: &Path, b: &Path) {
    let mut count = 0;
    for line in hg::run(a, &["manifest"]).lines() {
        let (a, b) = (a.join(line), b.join(line));
        let is_link = fs::symlink_metadata(&a).unwrap().is_symlink();
        if is_link {
            assert_eq!(fs::read_link(&a).unwrap(), fs::read_link(&b).unwrap());
        } else {
            assert!(fs::read(&a).unwrap() == fs::read(&b).unwrap(), "{line}");
        }
        count += 1;
    }
    assert!(count > 40);
}

/// A mirror in which nothing is damaged; what was found.
fn whole(mirror: &Path) -> Report {
    let report = verify(mirror, &mut |_| {}).unwrap();
    assert!(report.damage.is_empty(), "{:?}", report.damage);
    report
}

fn mirror_serve_clone_pull(encoding: &str) {
    if hg::hg().is_none() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    let (original, copy) = (at("original"), at("copy"));
    hg::run(
        directory.path(),
        &["clone", repository().path.to_str().unwrap(), "original"],
    );
    fs::copy(
        repository().path.join(".hg/hgrc"),
        original.join(".hg/hgrc"),
    )
    .unwrap();
    // A local clone has no bookmarks of its own, and everything is public in it.
    hg::run(&original, &["bookmark", "-r", "v1.0", "mark"]);
    hg::run(&original, &["phase", "--draft", "--force", "heads(all())"]);
    let serve = hg::Serve::new(&original);
    let mirror = at("mirror");
    let fetch = || {
        let path = mirror.to_str().unwrap();
        hg::run_tool(&[
            "hg",
            "mirror",
            &serve.url,
            path,
            "--accept-encoding",
            encoding,
        ])
    };
    let first = fetch();
    assert!(
        first.starts_with(&format!("{} new changesets", MADE + 8)),
        "{first}"
    );
    assert!(fetch().starts_with("0 new changesets"));
    let verified = hg::run_tool(&["hg", "verify", mirror.to_str().unwrap()]);
    assert!(verified.contains("all with the hashes"), "{verified}");

    let tool = Tool::serve(&mirror, &["--encoding", encoding]);
    hg::run(directory.path(), &["clone", &tool.url, "copy"]);
    hg::run(&copy, &["verify"]);
    assert_eq!(told(&copy), told(&original));
    hg::run(&original, &["update", "--clean", "-r", "default"]);
    hg::run(&copy, &["update", "--clean", "-r", "default"]);
    assert_eq!(hg::run(&copy, &["id"]), hg::run(&original, &["id"]));
    assert_same_files(&original, &copy);

    // A commit, which also removes a file, comes through the mirror that is being served.
    fs::write(original.join("new"), "new\n").unwrap();
    hg::run(&original, &["remove", "binary"]);
    hg::run(&original, &["commit", "-A", "-m", "one more"]);
    hg::run(&original, &["bookmark", "-f", "-r", "tip", "mark"]);
    assert!(fetch().starts_with("1 new changesets"));
    hg::run(&copy, &["pull", "-u", &tool.url]);
    hg::run(&copy, &["verify"]);
    assert_eq!(told(&copy), told(&original));
    assert_same_files(&original, &copy);
}

#[test]
fn a_mirror_clones_and_pulls_with_identity() {
    mirror_serve_clone_pull("identity");
}

#[test]
fn a_mirror_clones_and_pulls_with_zlib() {
    mirror_serve_clone_pull("zlib");
}

#[test]
fn a_mirror_clones_and_pulls_with_zstd() {
    mirror_serve_clone_pull("zstd-8mb");
}

/// H-05: Mercurial's server cannot do this.
#[test]
fn an_empty_repository_clones() {
    if hg::hg().is_none() {
        return;
    }
    let directory = TempDir::new().unwrap();
    hg::run(directory.path(), &["init", "empty"]);
    let serve = hg::Serve::new(&directory.path().join("empty"));
    let mirror = directory.path().join("mirror");
    hg::run_tool(&["hg", "mirror", &serve.url, mirror.to_str().unwrap()]);
    assert_eq!(hg::run_tool(&["hg", "heads", &serve.url]), "");
    assert_eq!(hg::run_tool(&["hg", "log", &serve.url]), "");
    let tool = Tool::serve(&mirror, &[]);
    hg::run(directory.path(), &["clone", &tool.url, "copy"]);
    hg::run(&directory.path().join("copy"), &["verify"]);
    // And grows.
    let empty = directory.path().join("empty");
    fs::write(empty.join("a"), "a\n").unwrap();
    hg::run(&empty, &["commit", "-A", "-m", "first"]);
    hg::run_tool(&["hg", "mirror", &serve.url, mirror.to_str().unwrap()]);
    let copy = directory.path().join("copy");
    hg::run(&copy, &["pull", "-u", &tool.url]);
    assert_eq!(fs::read_to_string(copy.join("a")).unwrap(), "a\n");
}

/// H-06: of this repository Mercurial's server gives no clone, and ours does.
#[test]
fn a_history_that_removes_files_clones() {
    if hg::hg().is_none() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let original = directory.path().join("original");
    hg::run(directory.path(), &["init", "original"]);
    for (name, removed) in [("a", None), ("b", Some("a")), ("a", Some("b"))] {
        fs::write(original.join(name), name).unwrap();
        if let Some(removed) = removed {
            hg::run(&original, &["remove", removed]);
        }
        hg::run(&original, &["commit", "-A", "-m", name]);
    }
    let serve = hg::Serve::new(&original);
    let refused = hg::talk(directory.path(), &["clone", &serve.url, "theirs"], "");
    assert!(refused.contains("No such manifest entry"), "{refused}");
    let mirror = directory.path().join("mirror");
    hg::run_tool(&["hg", "mirror", &serve.url, mirror.to_str().unwrap()]);
    let tool = Tool::serve(&mirror, &[]);
    hg::run(directory.path(), &["clone", &tool.url, "ours"]);
    let ours = directory.path().join("ours");
    hg::run(&ours, &["verify"]);
    // What a publishing server gives away is public.
    hg::run(&original, &["phase", "--public", "tip"]);
    assert_eq!(told(&ours), told(&original));
}

#[test]
fn one_writes_while_others_read() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("mirror");
    let mut writer = MirrorWriter::open(&path).unwrap();
    assert!(matches!(
        MirrorWriter::open(&path),
        Err(MirrorError::Locked(_))
    ));
    let reader = Mirror::open(&path).unwrap();
    let served = Served::memory(made());
    let client = Client::connect(&served.url, Default::default()).unwrap();
    let fetched = writer.fetch(&client, &mut |_, _| {}).unwrap();
    assert_eq!(fetched.complete, u64::from(MADE));
    assert!(reader.is_empty());
    assert_eq!(Mirror::open(&path).unwrap().len(), MADE);
    drop(writer);
    assert!(MirrorWriter::open(&path).is_ok());
    let mirror = Mirror::open(&path).unwrap();
    assert_eq!(
        whole(&path).revisions,
        u64::from(MADE) + u64::try_from(mirror.revisions()).unwrap()
    );
}

#[test]
fn what_is_no_mirror_is_left_alone() {
    let directory = TempDir::new().unwrap();
    assert!(matches!(
        Mirror::open(directory.path()),
        Err(MirrorError::NotAMirror(_))
    ));
    fs::write(directory.path().join("letter"), "dear").unwrap();
    assert!(matches!(
        MirrorWriter::open(directory.path()),
        Err(MirrorError::NotAMirror(_))
    ));
    // One of an older version has to be made anew.
    for line in ["hgrpc mirror 1\n", "hgrpc mirror 3\n"] {
        fs::write(directory.path().join("hgrpc-mirror"), line).unwrap();
        let error = Mirror::open(directory.path()).unwrap_err();
        assert!(matches!(error, MirrorError::Version { .. }), "{error}");
        assert!(
            error.to_string().contains("mirror the repository anew"),
            "{error}"
        );
    }
}

/// A fetch that is killed at any time leaves the mirror as it was, or further, and can go on.
#[test]
fn a_killed_fetch_leaves_a_mirror() {
    struct Enough;
    const MANY: u32 = 3000;
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("mirror");
    let served = Served::memory(made_of(MANY));
    let client = Client::connect(&served.url, Default::default()).unwrap();
    let mut seen = Vec::new();
    for after in [10, 2500, 3500, 2900, u32::MAX] {
        let mut writer = MirrorWriter::open(&path).unwrap();
        let mut count = 0;
        // Like a kill: nothing of the writer runs after it.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            // What is not saved is lost: nothing but whole thousands is.
            let options = FetchOptions::default().with_checkpoint(u64::MAX, Duration::MAX);
            let fetched = writer.fetch_with(&client, options, &mut |_, _| {
                count += 1;
                if count > after {
                    std::panic::resume_unwind(Box::new(Enough));
                }
            });
            fetched.unwrap()
        }));
        assert_eq!(result.is_err(), after != u32::MAX);
        drop(writer);
        whole(&path);
        seen.push(Mirror::open(&path).unwrap().len());
    }
    assert!(seen.is_sorted(), "{seen:?}");
    assert_eq!((seen.first(), seen.last()), (Some(&0), Some(&MANY)));
    assert!(seen.iter().any(|&len| len > 0 && len < MANY), "{seen:?}");
}

/// What a fetch has left that failed is not made to count by the next one of the same writer.
#[test]
fn a_failed_fetch_is_begun_again() {
    let directory = TempDir::new().unwrap();
    let mut commands = Commands::new(Arc::new(made()));
    let served = Served::commands(commands.clone());
    let refuse = |_: &mut Call, _: &mut Reply| Err(Failure::command("not today"));
    commands.router = commands.router.command("filesdata", refuse);
    let failing = Served::commands(commands);
    let [client, failing] =
        [&served, &failing].map(|s| Client::connect(&s.url, Default::default()).unwrap());

    let mut all = MirrorWriter::open(directory.path().join("all")).unwrap();
    all.fetch(&client, &mut |_, _| {}).unwrap();
    let path = directory.path().join("mirror");
    let mut writer = MirrorWriter::open(&path).unwrap();
    for _ in 0..2 {
        let failed = writer.fetch(&failing, &mut |_, _| {});
        assert!(matches!(failed, Err(FetchError::Client(_))), "{failed:?}");
        assert!(Mirror::open(&path).unwrap().is_empty());
    }
    let fetched = writer.fetch(&client, &mut |_, _| {}).unwrap();
    assert_eq!(fetched.complete, u64::from(MADE));
    assert_eq!(writer.changesets(), all.changesets());
    assert_eq!(writer.revisions(), all.revisions());
    drop(writer);
    let mirror = Mirror::open(&path).unwrap();
    assert_eq!(mirror.len(), MADE);
    assert_eq!(mirror.revisions(), all.revisions());
    whole(&path);
}

#[test]
fn another_repository_is_not_mixed_in() {
    let directory = TempDir::new().unwrap();
    let mut writer = MirrorWriter::open(directory.path().join("mirror")).unwrap();
    let served = Served::memory(made());
    let client = Client::connect(&served.url, Default::default()).unwrap();
    writer.fetch(&client, &mut |_, _| {}).unwrap();
    let other = MemoryRepository::new();
    other.commit(Default::default()).unwrap();
    let served = Served::memory(other);
    let client = Client::connect(&served.url, Default::default()).unwrap();
    let refused = writer.fetch(&client, &mut |_, _| {});
    assert!(matches!(refused, Err(FetchError::Unrelated)), "{refused:?}");
}
