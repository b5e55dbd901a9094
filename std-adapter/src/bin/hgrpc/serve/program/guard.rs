//! A process that ends the programs when the server cannot: when it was killed.
//!
//! It is this program again (`hgrpc --serve-guard DIRECTORY`). It reads from the server which process
//! groups run; when that ends, it ends those that are left, and removes the directory of the
//! argument files. A server that ends by itself has left none.

use std::collections::BTreeSet;
use std::io::{self, BufRead, PipeWriter, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tempfile::TempDir;

/// How long programs may take to end when they are asked to.
const GRACE: Duration = Duration::from_secs(1);

/// The server's end.
pub(super) struct Guard {
    /// Closed first of all, so that the guard ends.
    pipe: Mutex<Option<PipeWriter>>,
    child: Mutex<Child>,
    directory: TempDir,
    next_file: std::sync::atomic::AtomicU64,
}

/// A process group that the guard ends if the server is killed; dropped, no more.
pub(super) struct Guarded<'a> {
    guard: &'a Guard,
    id: Pid,
}

impl Guard {
    pub(super) fn start() -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("hgrpc-").tempdir()?;
        let (reader, writer) = io::pipe()?;
        let child = Command::new(std::env::current_exe()?)
            .arg(ASKED)
            .arg(directory.path())
            .stdin(reader)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C is for the server.
            .process_group(0)
            .spawn()?;
        Ok(Self {
            pipe: Mutex::new(Some(writer)),
            child: Mutex::new(child),
            directory,
            next_file: Default::default(),
        })
    }

    /// Tells the guard of a process group.
    pub(super) fn watch(&self, id: Pid) -> Guarded<'_> {
        self.tell('+', id);
        Guarded { guard: self, id }
    }

    fn tell(&self, sign: char, id: Pid) {
        let pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut pipe) = pipe.as_ref() {
            // Without a guard the server does its own part still.
            let _ = pipe.write_all(format!("{sign}{}\n", id.as_raw_nonzero()).as_bytes());
        }
    }

    /// A path for a file that nobody else can read.
    pub(super) fn file(&self) -> PathBuf {
        let number = self
            .next_file
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.directory.path().join(format!("{number}.cbor"))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(
            self.pipe
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let _ = self
            .child
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .wait();
    }
}

impl Drop for Guarded<'_> {
    fn drop(&mut self) {
        self.guard.tell('-', self.id);
    }
}

/// The guard's first argument; the directory of the argument files is the second. Not a subcommand,
/// since it is nothing for people.
const ASKED: &str = "--serve-guard";

/// Whether this process is to be a guard.
pub(crate) fn is_wanted() -> bool {
    std::env::args_os().nth(1).is_some_and(|arg| arg == ASKED)
}

/// The guard's end.
pub(crate) fn run() {
    let mut groups = BTreeSet::new();
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        match (line.strip_prefix('+'), line.strip_prefix('-')) {
            (Some(id), _) => drop(groups.insert(id.to_owned())),
            (_, Some(id)) => drop(groups.remove(id)),
            _ => {}
        }
    }
    let ids = groups.iter().filter_map(|id| id.parse().ok());
    end(ids.filter_map(Pid::from_raw).collect());
    if let Some(directory) = std::env::args_os().nth(2) {
        remove(Path::new(&directory));
    }
}

fn end(mut groups: Vec<Pid>) {
    for &group in &groups {
        let _ = kill_process_group(group, Signal::TERM);
    }
    let deadline = Instant::now() + GRACE;
    while !groups.is_empty() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
        groups.retain(|&group| test_kill_process_group(group).is_ok());
    }
    for group in groups {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Removes the server's files, and nothing else whatever the argument says.
fn remove(directory: &Path) {
    let Ok(entries) = directory.read_dir() else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path
            .extension()
            .is_some_and(|extension| extension == "cbor")
        {
            let _ = std::fs::remove_file(path);
        }
    }
    let _ = std::fs::remove_dir(directory);
}
