//! A damaged mirror: every flip, truncation and deletion is found, never served, and mended.
//!
//! ```sh
//! # Mends every single flip, too, and tries 300 on a large mirror: some minutes in a release build.
//! HGRPC_DAMAGE=all cargo test --release -p hgrpc-cli --test mercurial damage -- --ignored
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hgrpc_mercurial::mirror::{FetchOptions, Mirror, MirrorWriter, verify};
use hgrpc_mercurial::{
    Changeset, Client, Commit, FileKind, LiveMirror, Log, Manifest, MemoryRepository, Node,
    Repository,
};
use tempfile::TempDir;

use super::hg::tool;
use super::histories::{Random, dump};
use super::repository::made_of;
use super::served::{Served, Tool};

/// Four changesets, one with a file of more than 1 MiB that compresses well.
fn small() -> MemoryRepository {
    let repository = MemoryRepository::new();
    let mut parent = Node::NULL;
    for number in 0..4u8 {
        let mut changes = BTreeMap::new();
        let text = format!("{}{number}\n", "line\n".repeat(4));
        let plain = |text: Vec<u8>| Some((text, FileKind::Plain));
        changes.insert(b"file".to_vec(), plain(text.into_bytes()));
        if number == 2 {
            changes.insert(b"large".to_vec(), plain(vec![b'x'; (1 << 20) + 5]));
        }
        let about = Changeset {
            user: b"somebody".to_vec(),
            description: vec![b'0' + number],
            ..Changeset::default()
        };
        let parents = [parent, Node::NULL];
        parent = repository
            .commit(Commit {
                parents,
                about,
                changes,
            })
            .unwrap();
    }
    repository.set_bookmark("mark", parent);
    repository.set_draft([parent]);
    repository
}

/// The files of a mirror, under their names.
fn files(mirror: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for folder in [mirror.to_owned(), mirror.join("large")] {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.strip_prefix(mirror).unwrap().to_owned();
                all.insert(name, fs::read(path).unwrap());
            }
        }
    }
    all
}

/// Writes the files of a mirror anew.
fn restore(mirror: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    let _ = fs::remove_dir_all(mirror);
    fs::create_dir_all(mirror.join("large")).unwrap();
    for (name, contents) in files {
        fs::write(mirror.join(name), contents).unwrap();
    }
}

/// All logs that there are, and the revisions of each.
type Names = Vec<(Option<Vec<u8>>, Node)>;

/// What is right, to compare what is served with.
struct Right {
    files: BTreeMap<PathBuf, Vec<u8>>,
    dump: BTreeMap<String, Vec<u8>>,
    names: Names,
    texts: Vec<Vec<u8>>,
    changesets: Vec<Vec<u8>>,
    bookmarks: BTreeMap<Vec<u8>, Node>,
}

impl Right {
    fn new(path: &Path) -> Self {
        let mirror = Mirror::open(path).unwrap();
        let mut names: Names = Vec::new();
        let mut changesets = Vec::new();
        for number in 0..mirror.len() {
            let text = mirror.changeset(number).unwrap();
            let manifest = Changeset::parse_manifest(&text).unwrap();
            changesets.push(text);
            names.push((None, manifest));
            let text = mirror.text(Log::Manifest, &manifest).unwrap();
            for entry in Manifest::new(&text.read_all().unwrap()).entries() {
                let entry = entry.unwrap();
                names.push((Some(entry.path.to_vec()), entry.node));
            }
        }
        names.sort();
        names.dedup();
        let texts = names.iter().map(|name| read(&mirror, name).unwrap());
        Self {
            files: files(path),
            dump: dump(path),
            texts: texts.collect(),
            changesets,
            bookmarks: mirror.bookmarks(),
            names,
        }
    }

    /// Nothing but what is right is read of a mirror, or nothing at all.
    fn assert_nothing_wrong_is_served(&self, path: &Path, what: &str) {
        let Ok(mirror) = Mirror::open(path) else {
            return;
        };
        assert_eq!(mirror.bookmarks(), self.bookmarks, "{what}");
        assert_eq!(
            usize::try_from(mirror.len()).unwrap(),
            self.changesets.len()
        );
        for (number, text) in (0..).zip(&self.changesets) {
            if let Ok(found) = mirror.changeset(number) {
                assert!(found == *text, "{what}: changeset {number}");
            }
        }
        for (name, text) in self.names.iter().zip(&self.texts) {
            if let Some(found) = read(&mirror, name) {
                assert!(found == *text, "{what}: {name:?}");
            }
        }
    }
}

fn read(mirror: &Mirror, (path, node): &(Option<Vec<u8>>, Node)) -> Option<Vec<u8>> {
    let log = path.as_deref().map_or(Log::Manifest, Log::File);
    mirror.text(log, node).ok()?.read_all().ok()
}

fn repair(path: &Path, client: &Client) {
    let options = FetchOptions::default();
    MirrorWriter::repair(path, client, options, &mut |_, _| {}).unwrap();
}

fn mirrored(repository: MemoryRepository, path: &Path) -> (Served, Client) {
    let served = Served::memory(repository);
    let client = Client::connect(&served.url, Default::default()).unwrap();
    let mut writer = MirrorWriter::open(path).unwrap();
    writer.fetch(&client, &mut |_, _| {}).unwrap();
    (served, client)
}

/// One kind of damage, done to a file of the mirror.
fn damage(path: &Path, right: &Right, client: &Client, what: &str, is_mended: bool) {
    let report = verify(path, &mut |_| {});
    // Nothing but a mirror that is gone as a whole is an error.
    assert!(
        report
            .as_ref()
            .is_ok_and(|report| !report.damage.is_empty()),
        "{what}: {report:?}"
    );
    right.assert_nothing_wrong_is_served(path, what);
    if is_mended {
        repair(path, client);
        let report = verify(path, &mut |_| {}).unwrap();
        assert!(report.damage.is_empty(), "{what}: {:?}", report.damage);
        assert!(dump(path) == right.dump, "{what}");
        restore(path, &right.files);
    }
}

fn all() -> bool {
    std::env::var_os("HGRPC_DAMAGE").is_some()
}

#[test]
#[ignore = "takes a minute; .ci/run mercurial runs it"]
fn damage_of_every_bit_of_a_small_mirror() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("mirror");
    let (_served, client) = mirrored(small(), &path);
    let right = Right::new(&path);
    let (mut tried, every) = (0usize, if all() { 1 } else { 61 });
    for (name, contents) in &right.files {
        let at = path.join(name);
        fs::remove_file(&at).unwrap();
        damage(&path, &right, &client, &format!("{name:?} deleted"), true);
        for len in 0..contents.len() {
            fs::write(&at, &contents[..len]).unwrap();
            tried += 1;
            let what = format!("{name:?} cut to {len} bytes");
            damage(&path, &right, &client, &what, tried % every == 0);
        }
        let mut wrong = contents.clone();
        for bit in 0..contents.len() * 8 {
            wrong[bit / 8] ^= 1 << (bit % 8);
            fs::write(&at, &wrong).unwrap();
            wrong[bit / 8] ^= 1 << (bit % 8);
            tried += 1;
            let what = format!("bit {bit} of {name:?} flipped");
            damage(&path, &right, &client, &what, tried % every == 0);
        }
        restore(&path, &right.files);
    }
    // What was meant to be tried was.
    let bytes: usize = right.files.values().map(Vec::len).sum();
    assert!(
        tried == 9 * bytes && bytes > 1_000 && right.files.len() == 6,
        "{tried} {:?}",
        right.files.keys()
    );
}

#[test]
#[ignore = "takes a minute; .ci/run mercurial runs it"]
fn damage_at_random_of_a_large_mirror() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("mirror");
    let (changesets, times) = if all() { (3000, 300) } else { (600, 8) };
    let (_served, client) = mirrored(made_of(changesets), &path);
    let right = Right::new(&path);
    let mut random = Random::new(7);
    let names: Vec<_> = right
        .files
        .keys()
        .filter(|name| !right.files[*name].is_empty())
        .collect();
    for number in 0..times {
        // The two files that have most of it, mostly.
        let name = names
            .iter()
            .filter(|name| name.to_str().unwrap().contains(".0"))
            .nth(usize::try_from(random.below(2)).unwrap())
            .filter(|_| number % 5 != 0)
            .unwrap_or(&names[usize::try_from(random.below(names.len() as u64)).unwrap()]);
        let mut contents = right.files[*name].clone();
        let at = usize::try_from(random.below(contents.len() as u64)).unwrap();
        let what = if random.one_in(5) {
            contents.truncate(at);
            format!("{name:?} cut to {at} bytes")
        } else {
            contents[at] ^= 1 << random.below(8);
            format!("a bit of byte {at} of {name:?} flipped")
        };
        fs::write(path.join(name), contents).unwrap();
        damage(&path, &right, &client, &what, true);
    }
}

/// Changesets whose files do not compress, so that they fill blocks of their own.
fn incompressible() -> MemoryRepository {
    let repository = MemoryRepository::new();
    let mut random = Random::new(3);
    let mut parent = Node::NULL;
    for number in 0..30 {
        let text = (0..20_000).map(|_| random.byte()).collect();
        let about = Changeset {
            user: b"somebody".to_vec(),
            ..Changeset::default()
        };
        let change = Some((text, FileKind::Plain));
        let commit = Commit {
            parents: [parent, Node::NULL],
            about,
            changes: [(format!("file {}", number % 7).into_bytes(), change)].into(),
        };
        parent = repository.commit(commit).unwrap();
    }
    repository
}

/// The tool says what is damaged, does not serve it, and mends it.
#[test]
fn damage_is_told_by_the_tool() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("mirror");
    let (served, client) = mirrored(incompressible(), &path);
    let right = Right::new(&path);
    let at = path.to_str().unwrap();
    let run = |args: &[&str]| {
        let output = tool(&[&["hg"], args].concat()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code().unwrap(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    // The end of the texts: opening it does not meet that.
    let mut texts = right.files[Path::new("texts.0")].clone();
    let last = texts.len() - 1;
    texts[last] ^= 0x10;
    fs::write(path.join("texts.0"), texts).unwrap();
    let (code, out, error) = run(&["verify", at]);
    assert_eq!(code, 1, "{out}{error}");
    assert!(out.contains("texts.0 is damaged at byte "), "{out}");
    assert!(error.contains("--repair URL DIR` mends it"), "{error}");
    let (code, out, _) = run(&["verify", at, "--json"]);
    assert_eq!(code, 1);
    assert!(
        out.contains("\"damage\":") && out.contains("texts.0"),
        "{out}"
    );
    let tool = Tool::serve(&path, &[]);
    let asking = Client::connect(&tool.url, Default::default()).unwrap();
    let mut writer = MirrorWriter::open(directory.path().join("other")).unwrap();
    let refused = writer
        .fetch(&asking, &mut |_, _| {})
        .unwrap_err()
        .to_string();
    assert!(refused.contains("is damaged at byte"), "{refused}");
    drop(tool);
    let bundle = directory.path().join("x.hg");
    let (code, _, error) = run(&["bundle", at, bundle.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(
        error.contains("texts.0 is damaged") && !bundle.exists(),
        "{error}"
    );
    let (code, out, error) = run(&["mirror", &served.url, at, "--repair"]);
    assert_eq!(code, 0, "{out}{error}");
    let (code, out, _) = run(&["verify", at]);
    assert_eq!(code, 0, "{out}");
    assert!(dump(&path) == right.dump);

    // A state that is damaged is not served at all, nor fetched into.
    let state = path.join("state");
    let mut wrong = fs::read(&state).unwrap();
    wrong[30] ^= 1;
    fs::write(&state, wrong).unwrap();
    assert!(LiveMirror::open(&path).is_err());
    for args in [&["serve", at][..], &["mirror", &served.url, at]] {
        let (code, _, error) = run(args);
        assert_eq!((code, error.lines().count()), (1, 1), "{error}");
        assert!(error.contains("state is damaged at byte 0"), "{error}");
        assert!(error.contains("--repair"), "{error}");
    }
    repair(&path, &client);
    assert!(dump(&path) == right.dump);
}
