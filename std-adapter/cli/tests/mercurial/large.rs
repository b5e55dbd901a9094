//! A file that is larger than the memory that anybody has for it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hgrpc_mercurial::{
    Changeset, FileKind, Log, Manifest, ManifestEntry, Node, NodeHasher, Phase, Repository,
    Revision, Text,
};
use tempfile::TempDir;

use super::hg::{Process, run_tool, tool};
use super::served::{Served, Tool};

const PATH: &[u8] = b"disk.img";

/// Most memory of a process, in KiB.
const MOST: u64 = 64 << 10;

/// One changeset with one file, whose text is made as it is read.
struct OneLargeFile {
    len: u64,
    file: Node,
    manifest: (Node, Vec<u8>),
    changeset: (Node, Vec<u8>),
}

/// What is in the file: nothing that repeats within a window of any encoding.
struct Noise(u64);

impl Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for chunk in buffer.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            chunk.copy_from_slice(&mixed.to_le_bytes()[..chunk.len()]);
        }
        Ok(buffer.len())
    }
}

impl OneLargeFile {
    fn contents(len: u64) -> impl Read + Send + 'static {
        io::BufReader::with_capacity(1 << 16, Noise(7)).take(len)
    }

    fn new(len: u64) -> Self {
        let mut hasher = NodeHasher::new([Node::NULL; 2]);
        io::copy(&mut Self::contents(len), &mut hasher).unwrap();
        let file = hasher.finish();
        let entry = ManifestEntry {
            path: PATH,
            node: file,
            kind: FileKind::Plain,
        };
        let manifest = Manifest::emit([entry]);
        let manifest = (Node::of_revision([Node::NULL; 2], &manifest), manifest);
        let changeset = Changeset {
            manifest: manifest.0,
            user: b"somebody".to_vec(),
            files: vec![PATH.to_vec()],
            ..Changeset::default()
        };
        let changeset = changeset.emit();
        let changeset = (Node::of_revision([Node::NULL; 2], &changeset), changeset);
        Self {
            len,
            file,
            manifest,
            changeset,
        }
    }
}

impl Repository for OneLargeFile {
    fn len(&self) -> u32 {
        1
    }

    fn node(&self, _: u32) -> Node {
        self.changeset.0
    }

    fn number(&self, node: &Node) -> Option<u32> {
        (*node == self.changeset.0).then_some(0)
    }

    fn parents(&self, _: u32) -> [Option<u32>; 2] {
        [None; 2]
    }

    fn phase(&self, _: u32) -> Phase {
        Phase::Public
    }

    fn changeset(&self, _: u32) -> io::Result<Vec<u8>> {
        Ok(self.changeset.1.clone())
    }

    fn bookmarks(&self) -> BTreeMap<Vec<u8>, Node> {
        BTreeMap::new()
    }

    fn has_log(&self, log: Log<'_>) -> bool {
        matches!(log, Log::Manifest | Log::File(PATH))
    }

    fn revision(&self, log: Log<'_>, node: &Node) -> io::Result<Option<Revision>> {
        let is_there = match log {
            Log::Manifest => *node == self.manifest.0,
            Log::File(_) => *node == self.file,
        };
        Ok(is_there.then_some(Revision {
            parents: [Node::NULL; 2],
            linked: 0,
        }))
    }

    fn text(&self, log: Log<'_>, _: &Node) -> io::Result<Text> {
        Ok(match log {
            Log::Manifest => self.manifest.1.clone().into(),
            Log::File(_) => Text::new(self.len, Self::contents(self.len)),
        })
    }
}

/// The most memory that a process has had, in KiB; `None` if it has ended.
fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Runs the tool to its end; the most memory that it had.
fn measured(args: &[&str]) -> u64 {
    let child = tool(args).stdout(Stdio::null()).spawn().unwrap();
    let mut child = Process(child);
    let mut most = 0;
    loop {
        if let Some(status) = child.0.try_wait().unwrap() {
            assert!(status.success(), "{args:?}: {status}");
            return most;
        }
        most = most.max(peak(child.0.id()).unwrap_or(0));
        thread::sleep(Duration::from_millis(5));
    }
}

fn passes(len: u64) {
    if !Path::new("/proc/self/status").exists() {
        return eprintln!("skipped: this system does not tell how much memory a process has");
    }
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (first, second) = (at("first"), at("second"));
    let made = Served::new(Arc::new(OneLargeFile::new(len)));
    let client = measured(&["hg", "mirror", &made.url, &first]);
    // From one file to another: our server, our client, the hash checked as it streams.
    let server = Tool::serve(first.as_ref(), &[]);
    let again = measured(&["hg", "mirror", &server.url, &second]);
    let shown = measured(&["hg", "cat", &server.url, "disk.img"]);
    let served = peak(server.id()).unwrap();
    for peak in [client, again, shown, served] {
        assert!(
            peak > 0 && peak <= MOST,
            "{client} {again} {shown} {served} KiB"
        );
    }
    eprintln!("{len} bytes: client {client}, {again} and {shown} KiB, server {served} KiB at most");
    let verified = run_tool(&["hg", "verify", &second]);
    assert!(verified.starts_with("3 revisions"), "{verified}");
}

#[test]
fn a_large_file_passes_in_little_memory() {
    passes(96 << 20);
}

/// As the other, at full size: a minute, and 2 GiB of disk.
#[test]
#[ignore = "takes a minute and 2 GiB of disk"]
fn a_gigabyte_passes_in_little_memory() {
    passes(1 << 30);
}
