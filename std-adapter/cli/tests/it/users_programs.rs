//! Programs that `hgrpc call` and `hgrpc serve` start, as users meet them: nothing is left of them.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::served::{Served, binary, eventually, ids, is_running};
use rustix::process::{Pid, Signal, kill_process};

fn call(address: &str, args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .args(["call", "--timeout", "60s", address])
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// A server as a program, which starts three others before: one that stays, one that is left behind by
/// its parent, and one that does not end when it is asked to.
fn program(file: &Path) -> String {
    let file = file.display();
    let server = binary();
    let script = format!(
        "sleep 100 & echo $! >>{file}; (sleep 100 & echo $! >>{file}); \
         (trap \"\" TERM; sleep 100 & echo $! >>{file}; wait) & \
         while [ $(wc -l <{file}) -lt 3 ]; do sleep 0.01; done; exec {} serve stdio:",
        server.display()
    );
    format!("exec:sh -c '{script}'")
}

#[test]
fn a_program_that_is_called_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ids");
    let output = call(&program(&file), &["echo", "msg=x"])
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"b'x'\n");
    for id in ids(&file, 3) {
        // It waits for them: they are gone when it is.
        assert!(!is_running(id), "{id} goes on");
    }
}

#[test]
fn a_call_that_is_interrupted_leaves_nothing() {
    for how in [Signal::INT, Signal::TERM] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ids");
        let mut child = call(&program(&file), &["sleep", "ms=60000"])
            .spawn()
            .unwrap();
        let ids = ids(&file, 3);
        signal(&child, how);
        child.wait().unwrap();
        for id in ids {
            eventually("it ends", || !is_running(id));
        }
    }
}

/// What becomes a daemon on purpose is not the call's: as the connection that `ssh` keeps for later.
#[test]
fn a_daemon_of_a_program_that_is_called_stays() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ids");
    let address = format!(
        "exec:sh -c 'setsid sleep 100 </dev/null >/dev/null 2>&1 & echo $! >{}; exec {} serve stdio:'",
        file.display(),
        binary().display()
    );
    assert!(
        call(&address, &["echo", "msg=x"])
            .status()
            .unwrap()
            .success()
    );
    let id = ids(&file, 1)[0];
    assert!(is_running(id));
    kill_process(Pid::from_raw(id).unwrap(), Signal::KILL).unwrap();
}

/// A program that starts one in a session of its own, and one that its parent leaves there.
fn wanderer(file: &Path) -> String {
    let file = file.display();
    format!(
        "slow=sh -c 'echo $$ >>{file}; \
         setsid sh -c \"echo \\$\\$ >>{file}; exec sleep 100\" & \
         (setsid setsid sh -c \"echo \\$\\$ >>{file}; exec sleep 100\" &) ; sleep 100'"
    )
}

/// Starts a call of it; the three processes.
fn start(served: &Served, file: &Path) -> (Child, Vec<i32>) {
    let child = call(&served.address, &["slow"]).spawn().unwrap();
    (child, ids(file, 3))
}

fn all_end(ids: &[i32]) {
    for &id in ids {
        eventually("it ends", || !is_running(id));
    }
}

#[test]
fn a_server_that_is_killed_leaves_no_session_behind() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ids");
    let served = Served::tcp(&["--command", &wanderer(&file)]);
    let (mut call, ids) = start(&served, &file);
    served.signal(Signal::KILL);
    all_end(&ids);
    call.wait().unwrap();
}

#[test]
fn a_client_that_is_killed_leaves_no_session_behind() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ids");
    let served = Served::tcp(&["--command", &wanderer(&file)]);
    let (mut call, ids) = start(&served, &file);
    call.kill().unwrap();
    call.wait().unwrap();
    all_end(&ids);
}

/// The process that guards the programs of a server.
fn guard(served: &Served) -> Option<i32> {
    let server = served.id().as_raw_nonzero();
    let children = fs::read_dir(format!("/proc/{server}/task")).ok()?;
    let children = children.flatten().filter_map(|task| {
        // A child is one of the thread's that has started it.
        fs::read_to_string(task.path().join("children")).ok()
    });
    let children: Vec<i32> = children
        .flat_map(|ids| {
            let ids: Vec<i32> = ids.split_whitespace().flat_map(str::parse).collect();
            ids
        })
        .collect();
    children.into_iter().find(|&id| {
        let line = fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
        is_running(id) && line.split('\0').any(|word| word == "--serve-guard")
    })
}

#[test]
fn a_guard_that_dies_is_noticed_and_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ids");
    let served = Served::tcp(&["--command", &wanderer(&file)]);
    let first = guard(&served).unwrap();
    let (mut call, ids) = start(&served, &file);
    kill_process(Pid::from_raw(first).unwrap(), Signal::KILL).unwrap();
    served.expect_log("the process that guards programs has ended (signal: 9 (SIGKILL))");
    eventually("there is another", || {
        guard(&served).is_some_and(|id| id != first)
    });
    // It knows of what has begun before.
    served.signal(Signal::KILL);
    all_end(&ids);
    call.wait().unwrap();
}

#[test]
fn a_guard_works_on_when_all_are_asked_to_end() {
    let served = Served::tcp(&["--command", "slow=sleep 100"]);
    let id = guard(&served).unwrap();
    eventually("it is ready", || {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
        caught & (1 << (Signal::TERM.as_raw() - 1)) != 0
    });
    for how in [Signal::TERM, Signal::INT, Signal::HUP] {
        kill_process(Pid::from_raw(id).unwrap(), how).unwrap();
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(guard(&served), Some(id), "{}", served.log());
    assert_eq!(served.log(), "");
}

#[test]
fn files_of_arguments_are_in_a_folder_of_their_own() {
    let program = "where=sh -c 'stat -c %a \"$(dirname \"$HGRPC_ARGS_FILE\")\"'";
    let served = Served::tcp(&["--command", program]);
    let output = call(&served.address, &["where", "--raw"])
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "700\n");
}
