//! A process that ends the programs when the server cannot: when it was killed.
//!
//! It is this program again (`hgrpc --serve-guard DIRECTORY`). It reads from the server which programs
//! run; when that ends, it ends those that are left, with all that they have started, and removes the
//! directory of the argument files. A server that ends by itself has left none. A guard that is killed
//! itself is replaced.
//!
//! ```text
//!   +MARK          a program is about to be started, whose family has this mark
//!   =MARK GROUP    it leads this process group
//!   -MARK          it has ended
//! ```

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{self, BufRead, PipeWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hgrpc_std::transport::Family;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tempfile::TempDir;

use crate::serve::log;

/// How long programs may take to end when they are asked to.
const GRACE: Duration = Duration::from_secs(1);

/// The least time between two guards.
const PAUSE: Duration = Duration::from_secs(1);

/// The server's end.
pub(super) struct Guard {
    shared: Arc<Shared>,
    /// Waits for the guard's end, and starts another.
    keeper: Option<JoinHandle<()>>,
    directory: TempDir,
    next_file: AtomicU64,
}

struct Shared {
    state: Mutex<State>,
    directory: PathBuf,
}

#[derive(Default)]
struct State {
    /// None: there is no guard.
    pipe: Option<PipeWriter>,
    /// The programs that run: their families' marks, and their process groups.
    running: BTreeMap<String, Option<u32>>,
    /// The server is done with it.
    is_over: bool,
}

/// A program that the guard ends if the server is killed; dropped, no more.
pub(super) struct Guarded<'a> {
    guard: &'a Guard,
    mark: String,
}

impl Guard {
    pub(super) fn start() -> io::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("hgrpc-")
            // How many calls there are, and when, is nobody else's business.
            .permissions(Permissions::from_mode(0o700))
            .tempdir()?;
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            directory: directory.path().to_owned(),
        });
        let child = shared.start()?;
        let kept = Arc::clone(&shared);
        let keeper = thread::Builder::new()
            .name("guard".into())
            .spawn(move || kept.keep(child))?;
        Ok(Self {
            shared,
            keeper: Some(keeper),
            directory,
            next_file: AtomicU64::new(0),
        })
    }

    /// Tells the guard of a program that is about to be started.
    pub(super) fn watch(&self, family: &Family) -> Guarded<'_> {
        let mark = family.mark().to_owned();
        let mut state = self.shared.state();
        state.running.insert(mark.clone(), None);
        state.tell(format_args!("+{mark}"));
        Guarded { guard: self, mark }
    }

    /// A path for a file that nobody else can read.
    pub(super) fn file(&self) -> PathBuf {
        let number = self.next_file.fetch_add(1, Ordering::Relaxed);
        self.directory.path().join(format!("{number}.cbor"))
    }
}

impl Guarded<'_> {
    /// The program was started, and leads this process group.
    pub(super) fn has_group(&self, id: u32) {
        let mut state = self.guard.shared.state();
        state.running.insert(self.mark.clone(), Some(id));
        state.tell(format_args!("={} {id}", self.mark));
    }
}

impl State {
    fn tell(&mut self, line: std::fmt::Arguments<'_>) {
        if let Some(pipe) = &mut self.pipe {
            // Without a guard the server does its own part still.
            let _ = pipe.write_all(format!("{line}\n").as_bytes());
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a guard, and tells it of the programs that run.
    fn start(&self) -> io::Result<Child> {
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new(std::env::current_exe()?);
        // It outlives what this server is a part of.
        Family::leave(&mut command);
        let child = command
            .arg(ASKED)
            .arg(&self.directory)
            .stdin(reader)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C is for the server.
            .process_group(0)
            .spawn()?;
        let mut state = self.state();
        // Otherwise it ends at once.
        state.pipe = Some(writer).filter(|_| !state.is_over);
        for (mark, group) in state.running.clone() {
            state.tell(format_args!("+{mark}"));
            if let Some(group) = group {
                state.tell(format_args!("={mark} {group}"));
            }
        }
        Ok(child)
    }

    /// Has a guard at all times, until the server is done.
    fn keep(&self, mut child: Child) {
        loop {
            let began = Instant::now();
            let status = child.wait();
            let mut state = self.state();
            state.pipe = None;
            if state.is_over {
                return;
            }
            drop(state);
            let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            log::line(format_args!(
                "the process that guards programs has ended ({how}), another takes its place"
            ));
            thread::sleep(PAUSE.saturating_sub(began.elapsed()));
            let Some(next) = self.restart() else {
                return;
            };
            child = next;
        }
    }

    /// Starts a guard, as often as it takes; none if the server is done.
    fn restart(&self) -> Option<Child> {
        let mut is_said = false;
        loop {
            if self.state().is_over {
                return None;
            }
            match self.start() {
                Ok(child) => return Some(child),
                Err(error) if !is_said => log::line(format_args!(
                    "nothing guards programs: if the server is killed, they go on ({error})"
                )),
                Err(_) => {}
            }
            is_said = true;
            thread::sleep(PAUSE);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.is_over = true;
        // With this the guard ends.
        state.pipe = None;
        drop(state);
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

impl Drop for Guarded<'_> {
    fn drop(&mut self) {
        let mut state = self.guard.shared.state();
        state.running.remove(&self.mark);
        state.tell(format_args!("-{}", self.mark));
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
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        // Whoever ends all processes at once means the server, whose end is this one's.
        let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
    }
    let mut running: BTreeMap<String, Option<u32>> = BTreeMap::new();
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let (sign, rest) = line.split_at_checked(1).unwrap_or_default();
        match (sign, rest.split_once(' ')) {
            ("+", _) => drop(running.insert(rest.to_owned(), None)),
            ("=", Some((mark, group))) => {
                running.insert(mark.to_owned(), group.parse().ok());
            }
            ("-", _) => drop(running.remove(rest)),
            _ => {}
        }
    }
    end(running);
    if let Some(directory) = std::env::args_os().nth(2) {
        remove(Path::new(&directory));
    }
}

fn end(running: BTreeMap<String, Option<u32>>) {
    if running.is_empty() {
        return;
    }
    let groups: Vec<u32> = running.values().flatten().copied().collect();
    let mut family = Family::of(running.into_keys());
    for group in groups {
        family.add_group(group);
    }
    family.terminate();
    let deadline = Instant::now() + GRACE;
    while !family.is_empty() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    family.kill();
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
