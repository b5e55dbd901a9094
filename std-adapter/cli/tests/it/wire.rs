//! A serial line between two pseudo-terminals, on which a test may cut, put in and alter bytes.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// What happens to bytes on their way.
type Harm = Box<dyn FnMut(&mut Vec<u8>) + Send>;

/// One direction.
#[derive(Clone)]
pub(crate) struct Way {
    harm: Arc<Mutex<Option<Harm>>>,
    to: Arc<File>,
}

impl Way {
    /// From now on.
    pub(crate) fn harm(&self, harm: impl FnMut(&mut Vec<u8>) + Send + 'static) {
        *self.harm.lock().unwrap() = Some(Box::new(harm));
    }

    pub(crate) fn heal(&self) {
        *self.harm.lock().unwrap() = None;
    }

    /// Puts bytes on the line that its end has not sent.
    pub(crate) fn put(&self, bytes: &[u8]) {
        (&*self.to).write_all(bytes).unwrap();
    }
}

/// The line.
pub(crate) struct Wire {
    /// The addresses of its ends.
    pub(crate) ends: [String; 2],
    /// To the second end, and back.
    pub(crate) there: Way,
    pub(crate) back: Way,
    _kept: [OwnedFd; 2],
}

impl Wire {
    pub(crate) fn new() -> Self {
        let [(a, a_kept, a_path), (b, b_kept, b_path)] = [pty(), pty()];
        let (a, b) = (Arc::new(a), Arc::new(b));
        Self {
            ends: [a_path, b_path],
            there: way(&a, &b),
            back: way(&b, &a),
            _kept: [a_kept, b_kept],
        }
    }
}

fn way(from: &Arc<File>, to: &Arc<File>) -> Way {
    let way = Way {
        harm: Arc::default(),
        to: Arc::clone(to),
    };
    let (from, moving) = (Arc::clone(from), way.clone());
    thread::spawn(move || {
        let mut buffer = [0; 256];
        while let Ok(len @ 1..) = (&*from).read(&mut buffer) {
            let mut bytes = buffer[..len].to_vec();
            if let Some(harm) = &mut *moving.harm.lock().unwrap() {
                harm(&mut bytes);
            }
            if (&*moving.to).write_all(&bytes).is_err() {
                return;
            }
        }
    });
    way
}

/// The master, the other end, which is kept open, and its address.
fn pty() -> (File, OwnedFd, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let kept = open(path.as_str(), flags, Mode::empty()).unwrap();
    let mut modes = tcgetattr(&kept).unwrap();
    modes.make_raw();
    tcsetattr(&kept, OptionalActions::Now, &modes).unwrap();
    (master.into(), kept, format!("serial://{path}"))
}
