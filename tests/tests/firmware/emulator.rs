//! Boards in QEMU.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

fn firmware() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("firmware")
}

/// What is missing for the tests here, once asked.
fn missing() -> Option<&'static str> {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    let found = MISSING.get_or_init(|| {
        if Command::new("qemu-system-arm")
            .arg("--version")
            .output()
            .is_err()
        {
            return Some("no qemu-system-arm".into());
        }
        let targets = [
            "thumbv7em-none-eabihf",
            "thumbv7m-none-eabi",
            "thumbv6m-none-eabi",
        ];
        let toolchain = Command::new(firmware().join("toolchain"))
            .args(targets)
            .output();
        match toolchain {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().into()),
            Err(error) => Some(format!("tests/firmware/toolchain: {error}")),
        }
    });
    found.as_deref()
}

/// Whether firmware can be built and run. If not, says why; with HGRPC_CI that is a failure.
pub(crate) fn is_possible() -> bool {
    let Some(why) = missing() else {
        return true;
    };
    assert!(std::env::var_os("HGRPC_CI").is_none(), "{why}");
    println!("skipped: {why}");
    false
}

/// Builds a program, if that has not been done, and gives its path.
pub(crate) fn build(program: &str, options: &[&str]) -> PathBuf {
    let output = Command::new(firmware().join("emulate"))
        .arg("--build")
        .args(options)
        .arg(program)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{program} does not build");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// A board that runs. It ends with this value.
pub(crate) struct Emulator {
    child: Child,
    monitor: BufReader<UnixStream>,
    /// Where its serial line is: an address, without a link.
    pub(crate) address: String,
    /// What it writes through semihosting.
    output: PathBuf,
    _folder: tempfile::TempDir,
}

/// What carries the serial line.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Line {
    Tcp,
    Unix,
}

impl Emulator {
    /// Starts a board's program.
    pub(crate) fn start(program: &str) -> Self {
        Self::run(program, &build(program, &[]), Line::Tcp)
    }

    /// Starts this build of a board's program.
    pub(crate) fn run(program: &str, elf: &Path, line: Line) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("output");
        let socket = folder.path().join("serial");
        let serial = match line {
            Line::Tcp => "tcp:127.0.0.1:0,server=on,wait=off,nodelay=on".into(),
            Line::Unix => format!("unix:{},server=on,wait=off", socket.display()),
        };
        let monitor = folder.path().join("monitor");
        let listener = UnixListener::bind(&monitor).unwrap();
        let machine = program.trim_end_matches("-client");
        let child = Command::new("qemu-system-arm")
            .args(["-machine", machine])
            .args(["-display", "none", "-serial", &serial])
            .args(["-monitor", &format!("unix:{}", monitor.display())])
            .args(["-semihosting-config", "enable=on,target=native"])
            .arg("-kernel")
            .arg(elf)
            .stdin(Stdio::null())
            .stdout(File::create(&output).unwrap())
            .spawn()
            .unwrap();
        let (monitor, _) = listener.accept().unwrap();
        let mut emulator = Self {
            child,
            monitor: BufReader::new(monitor),
            address: String::new(),
            output,
            _folder: folder,
        };
        let filename = emulator.serial();
        emulator.address = match line {
            Line::Tcp => format!("tcp://127.0.0.1:{}", port(&filename)),
            Line::Unix => format!("unix://{}", socket.display()),
        };
        emulator
    }

    /// What QEMU says of the serial line, which it has opened by then.
    fn serial(&mut self) -> String {
        self.command("info chardev");
        let mut line = String::new();
        loop {
            line.clear();
            assert!(
                self.monitor.read_line(&mut line).unwrap() > 0,
                "QEMU has ended"
            );
            if let Some(filename) = line.strip_prefix("serial0: ") {
                return filename.into();
            }
        }
    }

    /// The line's address with a link over it. How long a board may be silent is more than 10
    /// seconds: what the host asks waits behind all data that it has written before, and on a busy
    /// machine an emulated UART of one byte takes that long for 100 KB.
    pub(crate) fn linked(&self) -> String {
        format!("{}?link=cobs&patience=120", self.address)
    }

    fn command(&mut self, command: &str) {
        writeln!(self.monitor.get_mut(), "{command}").unwrap();
    }

    /// Presses the board's reset button.
    pub(crate) fn reset(&mut self) {
        self.command("system_reset");
    }

    /// What the board has written through semihosting.
    pub(crate) fn output(&self) -> Vec<u8> {
        fs::read(&self.output).unwrap()
    }

    /// Waits until the board's program ends QEMU; gives the exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

/// The port that QEMU has chosen.
fn port(filename: &str) -> u16 {
    let (_, rest) = filename.split_once("tcp:127.0.0.1:").unwrap();
    rest.split(',').next().unwrap().parse().unwrap()
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
