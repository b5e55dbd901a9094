//! A program and all that it starts.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

/// The variable that programs and what they start have in common: marks, with spaces between them.
const VARIABLE: &str = "HGRPC_FAMILY";

/// Programs and all that they have started.
///
/// On Linux its members are found by a mark in their environment, or by a parent that has it: also
/// those that have left the program's process group or session, or whose parent has ended. Only what
/// runs as another user, or has both a new environment and no parent left, is not found. Elsewhere
/// only [process groups](Self::add_group) are known.
///
/// ```no_run
/// use std::process::Command;
/// use hgrpc_std::transport::Family;
///
/// let family = Family::new();
/// let mut command = Command::new("make");
/// family.adopt(&mut command);
/// let mut make = command.spawn()?;
/// family.terminate();
/// make.wait()?;
/// assert!(family.is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Family {
    marks: Vec<String>,
    groups: Vec<Pid>,
}

/// Which of its members are meant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Members {
    /// All.
    All,
    /// Those that this one has started, in this process's session or one of its own: not those that
    /// became daemons, as a connection that `ssh` keeps for later.
    StartedBy(Pid),
}

impl Default for Family {
    fn default() -> Self {
        Self::new()
    }
}

impl Family {
    /// Members are found wherever they are.
    pub(crate) const FINDS_MEMBERS: bool = cfg!(any(target_os = "linux", target_os = "android"));

    /// A family without members.
    pub fn new() -> Self {
        use std::hash::{BuildHasher, Hasher, RandomState};
        let [a, b] = [(); 2].map(|()| RandomState::new().build_hasher().finish());
        Self::of([format!("{a:016x}{b:016x}")])
    }

    /// The families that have these [marks](Self::mark), together.
    pub fn of(marks: impl IntoIterator<Item = String>) -> Self {
        Self {
            marks: marks.into_iter().collect(),
            groups: Vec::new(),
        }
    }

    /// Makes all of a process group members, by its number, until its leader is reaped.
    pub fn add_group(&mut self, id: u32) {
        let id = i32::try_from(id).ok().and_then(Pid::from_raw);
        self.groups.extend(id);
    }

    /// What the members' environments have in common, so that another process can find them; one
    /// word.
    pub fn mark(&self) -> &str {
        self.marks.first().map_or("", String::as_str)
    }

    /// Makes a program that is about to be started a member.
    pub fn adopt(&self, command: &mut Command) {
        // A member of an outer family remains one.
        let mut marks = std::env::var_os(VARIABLE).unwrap_or_default();
        if !marks.is_empty() {
            marks.push(" ");
        }
        marks.push(self.mark());
        command.env(VARIABLE, marks);
    }

    /// Makes a program that is about to be started a member of no family, not even of those that this
    /// process is of.
    pub fn leave(command: &mut Command) {
        command.env_remove(VARIABLE);
    }

    /// Asks all members to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM, Members::All);
        self.signal_groups(Signal::TERM);
    }

    /// Ends all members, and what they start meanwhile.
    pub fn kill(&self) {
        self.kill_those(Members::All);
    }

    /// Returns whether it has no member that runs. One of a group that was not reaped may count.
    pub fn is_empty(&self) -> bool {
        let mut groups = self.groups.iter();
        groups.all(|&group| test_kill_process_group(group).is_err())
            && system::members(self, Members::All).is_empty()
    }

    fn signal_groups(&self, signal: Signal) {
        for &group in &self.groups {
            // It fails where nobody is left.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Sends a signal to members that are in none of the groups; whether there were any.
    pub(crate) fn signal(&self, signal: Signal, members: Members) -> bool {
        let mut members = system::members(self, members);
        members.retain(|member| !system::is_of(member, &self.groups));
        for member in &members {
            system::signal(member, signal);
        }
        !members.is_empty()
    }

    /// Ends members, and what they start meanwhile.
    pub(crate) fn kill_those(&self, members: Members) {
        self.signal_groups(Signal::KILL);
        // Each look finds what was started since the last one.
        const LOOKS: u8 = 20;
        for _ in 0..LOOKS {
            if !self.signal(Signal::KILL, members) {
                return;
            }
        }
    }

    /// Asks members to end, and kills those that have not after this time.
    pub(crate) fn end_those(&self, members: Members, grace: Duration) {
        const PAUSE: Duration = Duration::from_millis(20);
        let deadline = Instant::now() + grace;
        self.signal_groups(Signal::TERM);
        self.signal(Signal::TERM, members);
        while Instant::now() < deadline {
            if system::members(self, members).is_empty() {
                break;
            }
            thread::sleep(PAUSE);
        }
        self.kill_those(members);
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    //! What `/proc` says.

    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;

    use rustix::io::Errno;
    use rustix::process::{
        Pid, PidfdFlags, Signal, getpid, kill_process, pidfd_open, pidfd_send_signal,
    };

    use super::{Family, Members, VARIABLE};

    /// A process.
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Process {
        id: Pid,
        parent: i32,
        group: i32,
        session: i32,
        /// With its number, what tells it from a later process.
        began: u64,
    }

    /// A process that has not ended.
    fn process(id: Pid) -> Option<Process> {
        let stat = fs::read(format!("/proc/{}/stat", id.as_raw_nonzero())).ok()?;
        // Behind the program's name, which may hold anything.
        let end = stat.iter().rposition(|&byte| byte == b')')?;
        let fields: Vec<&str> = std::str::from_utf8(stat.get(end + 1..)?)
            .ok()?
            .split_ascii_whitespace()
            .collect();
        let number = |index: usize| fields.get(index)?.parse().ok();
        let is_over = matches!(fields.first(), Some(&("Z" | "X")));
        (!is_over).then_some(())?;
        Some(Process {
            id,
            parent: number(1)?,
            group: number(2)?,
            session: number(3)?,
            began: fields.get(19)?.parse().ok()?,
        })
    }

    /// Whether it has one of these marks.
    fn is_marked(process: &Process, family: &Family) -> bool {
        let path = format!("/proc/{}/environ", process.id.as_raw_nonzero());
        let Ok(environment) = fs::read(path) else {
            return false;
        };
        let mut marks = environment
            .split(|&byte| byte == 0)
            .filter_map(|entry| entry.strip_prefix(VARIABLE.as_bytes())?.strip_prefix(b"="))
            .flat_map(|marks| marks.split(|&byte| byte == b' '));
        marks.any(|mark| family.marks.iter().any(|own| own.as_bytes() == mark))
    }

    /// The members that run.
    pub(super) fn members(family: &Family, which: Members) -> Vec<Process> {
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        let mut others: BTreeMap<i32, Vec<Process>> = BTreeMap::new();
        let mut found = Vec::new();
        let names = entries.flatten().map(|entry| entry.file_name());
        for id in names.filter_map(|name| Pid::from_raw(name.to_str()?.parse().ok()?)) {
            let Some(process) = process(id).filter(|process| process.id != getpid()) else {
                continue;
            };
            match is_marked(&process, family) {
                true => found.push(process),
                false => others.entry(process.parent).or_default().push(process),
            }
        }
        // Children of members are members. The list grows while it is walked.
        let mut next = 0;
        let mut seen = BTreeSet::new();
        while let Some(member) = found.get(next) {
            let id = member.id.as_raw_nonzero().get();
            next += 1;
            if seen.insert(id) {
                found.extend(others.remove(&id).unwrap_or_default());
            }
        }
        if let Members::StartedBy(leader) = which {
            // 0 for a session that began outside this process's namespace, which `getsid` cannot say.
            let own = process(getpid()).map_or(0, |process| process.session);
            let sessions = [own, leader.as_raw_nonzero().get()];
            found.retain(|member| member.id != leader && sessions.contains(&member.session));
        }
        found
    }

    /// Whether it is in one of these process groups.
    pub(super) fn is_of(member: &Process, groups: &[Pid]) -> bool {
        (groups.iter()).any(|group| group.as_raw_nonzero().get() == member.group)
    }

    /// Sends it a signal, if it is still the same process.
    pub(super) fn signal(member: &Process, signal: Signal) {
        let is_same = || process(member.id).is_some_and(|now| now.began == member.began);
        // Its end is no error.
        let _ = match pidfd_open(member.id, PidfdFlags::empty()) {
            Ok(file) if is_same() => pidfd_send_signal(file, signal),
            Err(Errno::NOSYS) if is_same() => kill_process(member.id, signal),
            _ => Ok(()),
        };
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod system {
    //! There is no way to look.

    use rustix::process::{Pid, Signal};

    use super::{Family, Members};

    pub(super) fn members(_: &Family, _: Members) -> Vec<()> {
        Vec::new()
    }

    pub(super) fn is_of(_: &(), _: &[Pid]) -> bool {
        false
    }

    pub(super) fn signal(_: &(), _: Signal) {}
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Stdio};

    use super::*;

    /// A shell that has started this, and said so.
    fn shell(family: &Family, script: &str) -> Child {
        let mut command = Command::new("sh");
        family.adopt(&mut command);
        let script = format!("{script} & echo; wait; sleep 100");
        let mut child = command
            .args(["-c", &script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        child
    }

    fn count(family: &Family, members: Members) -> usize {
        system::members(family, members).len()
    }

    fn eventually(is_so: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !is_so() {
            assert!(Instant::now() < end);
            thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn members_are_found_wherever_they_went() {
        let (family, other) = (Family::new(), Family::new());
        // A child, one without the mark, and an orphan in a session of its own.
        let script = "sleep 100 & env -i sleep 100 & (setsid sleep 100 &)";
        let mut child = shell(&family, script);
        let mut neighbour = shell(&other, "sleep 100");
        eventually(|| count(&family, Members::All) == 4);
        let leader = Pid::from_child(&child);
        // Until the shell in between has gone, its orphan counts, too.
        eventually(|| count(&family, Members::StartedBy(leader)) == 2);
        let both = Family::of([family.mark().to_owned(), other.mark().to_owned()]);
        eventually(|| count(&both, Members::All) == 6);
        family.terminate();
        child.wait().unwrap();
        eventually(|| family.is_empty());
        assert!(!other.is_empty());
        other.kill();
        neighbour.wait().unwrap();
        assert!(both.is_empty());
    }
}
