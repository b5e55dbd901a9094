//! Histories at random, of everything that Mercurial can put into one: mirrored step by step and at
//! once, verified, served, cloned by Mercurial, and compared in all that its commands print.
//!
//! ```sh
//! HGRPC_HISTORIES=2000 cargo test -p hgrpc-cli --test mercurial histories -- --ignored
//! HGRPC_HISTORIES=17..18 …          # only this one
//! ```

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use hgrpc_mercurial::mirror::{FetchError, FetchOptions};
use hgrpc_mercurial::{
    Changeset, Client, LiveMirror, Log, Manifest, Mirror, MirrorWriter, Node, Repository,
};
use tempfile::TempDir;

use super::compare::assert_equal;
use super::hg::{self, CommandServer};
use super::served::Served;

/// A source of numbers that are the same for a seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.next() % most.max(1)
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let len = u64::try_from(items.len()).unwrap();
        items.get(usize::try_from(self.below(len)).unwrap())
    }

    /// Any byte.
    pub(crate) fn byte(&mut self) -> u8 {
        let [byte, ..] = self.below(256).to_le_bytes();
        byte
    }

    /// A lower-case letter, one of the first six.
    fn letter(&mut self) -> u8 {
        let [letter, ..] = self.below(6).to_le_bytes();
        b'a' + letter
    }

    /// An index below `end`.
    pub(crate) fn index(&mut self, end: u16) -> usize {
        usize::try_from(self.below(end.into())).unwrap()
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.byte()).collect()
    }
}

/// Makes a history, a command at a time.
struct Maker<'a> {
    hg: &'a mut CommandServer,
    path: PathBuf,
    random: Random,
    commits: u64,
}

const MARKERS: [&str; 2] = [
    "--config",
    "experimental.evolution=createmarkers,allowunstable",
];

impl Maker<'_> {
    /// A command that may be refused, as for what is merged already.
    fn hg(&mut self, args: &[&str]) -> String {
        let (_, out, _) = self.hg.try_run(&self.path, args);
        String::from_utf8_lossy(&out).into_owned()
    }

    fn hg_bytes(&mut self, args: &[OsString]) {
        self.hg.try_run(&self.path, args);
    }

    /// A name of any bytes that may be in one.
    fn name(&mut self) -> Vec<u8> {
        let plain = self.random.one_in(2);
        let len = 1 + self.random.below(if plain { 3 } else { 9 });
        let mut name = Vec::new();
        while u64::try_from(name.len()).unwrap() < len {
            let byte = match plain {
                true => self.random.letter(),
                false => self.random.byte(),
            };
            if !matches!(byte, 0 | b'\n' | b'\r' | b'/') {
                name.push(byte);
            }
        }
        // Names that stand for directories, and those that Mercurial keeps for itself.
        if name.iter().all(|byte| *byte == b'.') || name.starts_with(b".hg") {
            name.insert(0, b'n');
        }
        match self.random.below(4) {
            0 => [b"dir/", &name[..]].concat(),
            1 => [b"d \xe9/deep/", &name[..]].concat(),
            _ => name,
        }
    }

    /// The tracked files that are there.
    fn files(&mut self) -> Vec<Vec<u8>> {
        let args = ["files", "-T", "{path}\\0"];
        let (_, out, _) = self.hg.try_run(&self.path, &args);
        let names = out.split(|&byte| byte == 0).filter(|name| !name.is_empty());
        let names: Vec<_> = names.map(<[u8]>::to_vec).collect();
        names
            .into_iter()
            .filter(|name| self.at(name).symlink_metadata().is_ok())
            .collect()
    }

    fn at(&self, name: &[u8]) -> PathBuf {
        self.path.join(OsString::from_vec(name.to_vec()))
    }

    fn contents(&mut self) -> Vec<u8> {
        match self.random.below(12) {
            0 => Vec::new(),
            1 => {
                let len = self.random.index(3000);
                self.random.bytes(len)
            }
            2 => [b"\x01\n", &self.random.bytes(5)[..]].concat(),
            3 if self.commits == 3 => self.random.bytes((1 << 20) + 4321),
            _ => {
                let lines = 1 + self.random.below(30);
                let mut text = Vec::new();
                for _ in 0..lines {
                    text.extend(format!("line {}\n", self.random.below(40)).bytes());
                }
                text
            }
        }
    }

    fn write(&mut self, name: &[u8], contents: &[u8]) {
        let path = self.at(name);
        if let Some(parent) = path.parent() {
            // A file may be where a directory would be.
            if fs::create_dir_all(parent).is_err() {
                return;
            }
        }
        if path
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.is_symlink())
        {
            let _ = fs::remove_file(&path);
        }
        let _ = fs::write(path, contents);
    }

    fn change_files(&mut self) {
        for _ in 0..1 + self.random.below(4) {
            let files = self.files();
            let name = self.random.pick(&files).cloned();
            let (Some(name), false) = (name, self.random.one_in(3)) else {
                let (name, contents) = (self.name(), self.contents());
                self.write(&name, &contents);
                continue;
            };
            let path = self.at(&name);
            match self.random.below(9) {
                0 | 1 => drop(fs::remove_file(path)),
                2 => {
                    let to = self.name();
                    self.copy("rename", &name, &to);
                }
                3 => {
                    let to = self.name();
                    self.copy("copy", &name, &to);
                    let contents = self.contents();
                    if self.random.one_in(2) {
                        self.write(&to, &contents);
                    }
                }
                4 => {
                    let is_file = path.symlink_metadata().is_ok_and(|m| m.is_file());
                    if is_file {
                        let mode = if self.random.one_in(2) { 0o755 } else { 0o644 };
                        let _ = fs::set_permissions(path, fs::Permissions::from_mode(mode));
                    }
                }
                5 => {
                    let _ = fs::remove_file(&path);
                    let _ = symlink("where it leads", &path);
                }
                _ => {
                    let mut contents = fs::read(&path).unwrap_or_default();
                    contents.extend(format!("more {}\n", self.random.below(100)).bytes());
                    self.write(&name, &contents);
                }
            }
        }
    }

    fn copy(&mut self, command: &str, from: &[u8], to: &[u8]) {
        let from = OsString::from_vec([b"path:", from].concat());
        let to = OsString::from_vec(to.to_vec());
        self.hg_bytes(&[command.into(), "--".into(), from, to]);
    }

    fn commit(&mut self, options: &[&str]) {
        self.commits += 1;
        let message = match self.random.below(5) {
            0 => format!("n\u{e4}me {}\n\n  with\\more\n\u{1}", self.commits),
            _ => format!("commit {}", self.commits),
        };
        let zone = [0, -7200, 3600, 20_700][self.random.index(4)];
        let date = format!("{} {zone}", self.random.below(2_000_000_000));
        let user = ["a <a@example.com>", "\u{fc}ser", "x"][self.random.index(3)];
        let args = ["commit", "-A", "-m", &message, "-d", &date, "-u", user];
        self.hg(&[&args[..], options].concat());
    }

    /// A changeset at random.
    fn revision(&mut self) -> String {
        let out = self.hg(&["log", "-T", "{node}\n"]);
        let all: Vec<&str> = out.lines().collect();
        self.random
            .pick(&all)
            .map_or("null".into(), |node| (*node).to_owned())
    }

    fn step(&mut self) {
        match self.random.below(24) {
            0 | 1 => {
                let to = self.revision();
                self.hg(&["update", "--clean", "-r", &to]);
                self.change_files();
                self.commit(&[]);
            }
            2..=4 => {
                let heads = self.hg(&["log", "-r", "head() - .", "-T", "{node}\n"]);
                let heads: Vec<&str> = heads.lines().collect();
                let Some(other) = self.random.pick(&heads).map(|head| (*head).to_owned()) else {
                    self.change_files();
                    return self.commit(&[]);
                };
                let tool = [":local", ":other", ":union"][self.random.index(3)];
                self.hg(&["merge", "-r", &other, "--tool", tool]);
                if self.random.one_in(3) {
                    self.change_files();
                }
                self.hg(&["resolve", "--mark", "--all"]);
                self.commit(&[]);
            }
            5 => {
                let name = ["stable", "br\u{e4}nch with blanks", "x", "default"];
                let name = name[self.random.index(4)];
                self.hg(&["branch", "--force", name]);
                if self.random.one_in(2) {
                    self.change_files();
                }
                self.commit(&[]);
            }
            6 => {
                self.change_files();
                self.commit(&["--close-branch"]);
            }
            7 => {
                let (name, at) = (format!("tag {}", self.random.below(4)), self.revision());
                self.hg(&["tag", "--force", "-r", &at, &name, "-d", "1000 0"]);
            }
            8 => drop(self.hg(&["tag", "--remove", "tag 1", "-d", "1000 0"])),
            9 | 10 => {
                let (name, at) = (
                    format!("m\u{e4}rk {}", self.random.below(3)),
                    self.revision(),
                );
                if at == "null" {
                    return;
                }
                self.hg(&["bookmark", "--force", "-r", &at, &name]);
            }
            11 => drop(self.hg(&["bookmark", "--delete", "m\u{e4}rk 1"])),
            12 => {
                let phase = ["--public", "--draft", "--secret"][self.random.index(3)];
                let at = self.revision();
                self.hg(&["phase", phase, "--force", "-r", &at]);
            }
            13 => self.commit(&["--config", "ui.allowemptycommit=true"]),
            14 => {
                self.change_files();
                let mut args = vec!["commit", "--amend", "-A", "-m", "amended", "-d", "5 0"];
                args.extend(MARKERS);
                self.hg(&args);
            }
            15 => {
                let tips = self.hg(&["log", "-r", "head() and draft() - .", "-T", "{node}\n"]);
                let tips: Vec<&str> = tips.lines().collect();
                if let Some(node) = self.random.pick(&tips).map(|node| (*node).to_owned()) {
                    self.hg(&[&["debugobsolete", &node], &MARKERS[..]].concat());
                }
            }
            16 => {
                let from = self.revision();
                self.hg(&["graft", "-r", &from, "--tool", ":other", "-d", "77 0"]);
                self.hg(&["graft", "--abort"]);
            }
            _ => {
                self.change_files();
                self.commit(&[]);
            }
        }
        // A merge that was refused leaves nothing behind.
        if self.hg(&["parents", "-T", "{node}\n"]).lines().count() > 1 {
            self.commit(&[]);
            self.hg(&["update", "--clean", "."]);
        }
    }
}

/// Makes a repository of a history at random.
pub(crate) fn make(hg: &mut CommandServer, path: &Path, seed: u64, steps: u64) {
    fs::create_dir_all(path).unwrap();
    hg.run(path, &["init"]);
    let mut maker = Maker {
        hg,
        path: path.to_owned(),
        random: Random::new(seed),
        commits: 0,
    };
    for _ in 0..steps {
        maker.step();
    }
}

/// All that a mirror has, by its names.
pub(crate) fn dump(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mirror = Mirror::open(directory).unwrap();
    let mut all = BTreeMap::new();
    for number in 0..mirror.len() {
        let node = mirror.node(number);
        let text = mirror.changeset(number).unwrap();
        let parents = mirror.parents(number).map(|p| p.map(|p| mirror.node(p)));
        let phase = mirror.phase(number);
        all.insert(format!("{node} {parents:?} {phase:?}"), text.clone());
        let manifest = Changeset::parse_manifest(&text).unwrap();
        if manifest.is_null() {
            continue;
        }
        let mut keep = |log: Log<'_>, node: &Node| {
            let name = match log {
                Log::Manifest => String::new(),
                Log::File(path) => path.escape_ascii().to_string(),
            };
            let parents = mirror.revision(log, node).unwrap().unwrap().parents;
            let text = mirror.text(log, node).unwrap().read_all().unwrap();
            all.insert(format!("{name} {node} {parents:?}"), text.clone());
            text
        };
        let text = keep(Log::Manifest, &manifest);
        for entry in Manifest::new(&text).entries() {
            let entry = entry.unwrap();
            keep(Log::File(entry.path), &entry.node);
        }
    }
    for (name, node) in mirror.bookmarks() {
        all.insert(
            format!("bookmark {}", name.escape_ascii()),
            node.to_hex().into(),
        );
    }
    all.insert(
        "publishing".to_owned(),
        vec![u8::from(mirror.is_publishing())],
    );
    all
}

fn mirror(url: &str, directory: &Path, drops_missing: bool) {
    let client = Client::connect(url, Default::default()).unwrap();
    let mut writer = MirrorWriter::open(directory).unwrap();
    let options = FetchOptions::default().with_missing_dropped(drops_missing);
    match writer.fetch_with(&client, options, &mut |_, _| {}) {
        // All that was there has been rewritten: for a mirror that is another repository.
        Err(FetchError::Unrelated) => {
            drop(writer);
            fs::remove_dir_all(directory).unwrap();
            mirror(url, directory, drops_missing);
        }
        fetched => drop(fetched.unwrap()),
    }
}

/// One history, from its making to the comparison.
fn history(hg: &mut CommandServer, serve: &hg::Serve, repositories: &Path, seed: u64) {
    let what = format!("history {seed}");
    let name = format!("history-{seed}");
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    let original = repositories.join(&name);
    fs::create_dir_all(&original).unwrap();
    hg.run(&original, &["init"]);
    let mut random = Random::new(seed);
    let is_publishing = random.one_in(3);
    fs::write(
        original.join(".hg/hgrc"),
        format!("[phases]\npublish = {is_publishing}\n"),
    )
    .unwrap();
    let url = format!("{}/{name}", serve.url);
    let steps = 8 + random.below(25);
    let fetches = 1 + random.below(4);
    let mut maker = Maker {
        hg,
        path: original.clone(),
        random,
        commits: 0,
    };
    for _ in 0..steps {
        maker.step();
        if maker.random.below(steps) < fetches {
            mirror(&url, &at("steps"), true);
        }
    }
    let hg = maker.hg;
    mirror(&url, &at("steps"), true);
    let once = at("once");
    hg::run_tool(&["hg", "mirror", &url, once.to_str().unwrap()]);
    for mirror in ["steps", "once"] {
        hg::run_tool(&["hg", "verify", at(mirror).to_str().unwrap()]);
    }
    let [steps, at_once] = ["steps", "once"].map(|name| dump(&at(name)));
    assert_eq!(
        steps.keys().collect::<Vec<_>>(),
        at_once.keys().collect::<Vec<_>>(),
        "{what}"
    );
    assert!(steps == at_once, "{what}");

    let served = Served::new(LiveMirror::open(&once).unwrap());
    let (ours, theirs) = (at("ours"), at("theirs"));
    for (from, to) in [
        (served.url.as_str(), &ours),
        (original.to_str().unwrap(), &theirs),
    ] {
        let to = to.to_str().unwrap();
        let args = ["clone", "--pull", "-U", from, to];
        hg.run(directory.path(), &args);
    }
    hg.run(&ours, &["verify"]);
    assert_equal(hg, &ours, &theirs, &what);
    fs::remove_dir_all(&original).unwrap();
}

/// The seeds to try.
fn seeds() -> Range<u64> {
    let text = std::env::var("HGRPC_HISTORIES").unwrap_or_else(|_| "50".to_owned());
    match text.split_once("..") {
        Some((from, to)) => from.parse().unwrap()..to.parse().unwrap(),
        None => 0..text.parse().unwrap(),
    }
}

#[test]
#[ignore = "takes minutes; .ci/run mercurial runs it"]
fn histories_at_random_come_out_equal() {
    if hg::hg().is_none() {
        return;
    }
    let seeds = seeds();
    let next = AtomicU64::new(seeds.start);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut directory = TempDir::new().unwrap();
                directory.disable_cleanup(std::env::var_os("HGRPC_KEEP").is_some());
                let repositories = directory.path().join("repositories");
                fs::create_dir(&repositories).unwrap();
                let mut server = CommandServer::new(directory.path());
                let serve = hg::Serve::all(&repositories);
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    // Its number is told when it fails.
                    println!("history {seed}");
                    history(&mut server, &serve, &repositories, seed);
                }
            });
        }
    });
}
