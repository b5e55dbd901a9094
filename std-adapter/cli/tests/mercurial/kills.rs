//! A fetch that is killed goes on where it was.
//!
//! ```sh
//! HGRPC_KILLS=200 cargo test -p hgrpc-cli --test mercurial kills -- --ignored --nocapture
//! ```

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use hgrpc_mercurial::mirror::{MirrorWriter, verify};
use tempfile::TempDir;

use super::hg::tool;
use super::histories::{Random, dump};
use super::repository::made_of;
use super::served::Served;

/// Bytes that may be lost at once.
const CHECKPOINT: u64 = 16 << 10;

/// Passes bytes on, slowly to the client, and counts them.
struct Slow {
    url: String,
    passed: Arc<AtomicU64>,
}

impl Slow {
    fn new(to: &str) -> Self {
        let to = to.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let passed = Arc::new(AtomicU64::new(0));
        let all = Arc::clone(&passed);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, all) = (client.unwrap(), Arc::clone(&all));
                let Ok(server) = TcpStream::connect(&to) else {
                    return;
                };
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || pass(client, server, None));
                thread::spawn(move || pass(back.0, back.1, Some(&all)));
            }
        });
        Self { url, passed }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, count: Option<&AtomicU64>) {
    let mut buffer = [0; 4096];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..len]).is_err() {
            break;
        }
        if let Some(count) = count {
            count.fetch_add(u64::try_from(len).unwrap(), Ordering::Relaxed);
            thread::sleep(Duration::from_millis(3));
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

/// What is safe of a mirror: changesets that are whole, and all revisions.
fn safe(path: &Path) -> (usize, usize) {
    match MirrorWriter::open(path) {
        Ok(writer) => (writer.changesets(), writer.revisions()),
        Err(_) => (0, 0),
    }
}

#[test]
#[ignore = "takes half a minute; .ci/run mercurial runs it"]
fn kills_at_random_lose_no_more_than_a_checkpoint() {
    let kills: u64 = std::env::var("HGRPC_KILLS").map_or(40, |kills| kills.parse().unwrap());
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    let served = Served::memory(made_of(600));
    let checkpoint = CHECKPOINT.to_string();
    let mirror = |url: &str, path: &Path| {
        let mut command = tool(&["hg", "mirror", url, path.to_str().unwrap()]);
        command.args(["--checkpoint", &checkpoint, "--accept-encoding", "identity"]);
        command
    };
    let whole = Slow::new(&served.url);
    assert!(mirror(&whole.url, &at("whole")).status().unwrap().success());
    let undisturbed = whole.passed.load(Ordering::Relaxed);

    let slow = Slow::new(&served.url);
    let mut random = Random::new(kills);
    let mut last = (0, 0);
    let (mut killed, mut progressed, mut runs) = (0, 0, 0);
    let path = at("mirror");
    // Once it is whole it begins anew, until it was killed often enough.
    while killed < kills {
        let mut child = mirror(&slow.url, &path).spawn().unwrap();
        thread::sleep(Duration::from_millis(30 + random.below(500)));
        let has_ended = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        let now = safe(&path);
        assert!(now >= last, "{now:?} after {last:?}");
        progressed += u64::from(now > last);
        last = now;
        if has_ended {
            runs += 1;
            assert!(dump(&path) == dump(&at("whole")));
            std::fs::remove_dir_all(&path).unwrap();
            last = (0, 0);
        } else {
            killed += 1;
        }
    }
    assert!(mirror(&slow.url, &path).status().unwrap().success());
    runs += 1;
    assert!(verify(&path, &mut |_| {}).unwrap().damage.is_empty());
    assert!(dump(&path) == dump(&at("whole")));
    // Of what came, each run needed all of it once; each kill may have cost a checkpoint, what was on
    // its way, and the list of what is new.
    let passed = slow.passed.load(Ordering::Relaxed);
    let most = runs * undisturbed + killed * (CHECKPOINT + (128 << 10));
    println!(
        "{killed} kills, {progressed} of them after progress; {passed} bytes came, {undisturbed} are needed for each of {runs} mirrors"
    );
    assert!(
        passed <= most,
        "{passed} bytes came, {most} at most were to"
    );
    assert!(progressed > killed / 10, "{progressed}");
}
