//! Runs Mercurial.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take before a test fails instead of hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

const CONFIG: &str = "\
[ui]
username = Test <test@example.com>
interactive = false
merge = :union
[experimental]
httppeer.advertise-v2 = true
web.apiserver = true
web.api.http-v2 = true
[web]
allow-push = *
push_ssl = false
";

/// Where Mercurial is; `None`, and a line that says so, if it is not there.
pub(crate) fn hg() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/mercurial/bin/hg");
        let named = env::var_os("HGRPC_HG").map(PathBuf::from);
        let candidates = named.into_iter().chain([venv, PathBuf::from("hg")]);
        candidates.into_iter().find(|hg| {
            let output = Command::new(hg).arg("version").arg("-q").output();
            output.is_ok_and(|output| output.stdout.ends_with(b"version 6.0.3)\n"))
        })
    });
    if found.is_none() {
        assert!(
            env::var_os("HGRPC_CI").is_none(),
            "Mercurial 6.0.3 is missing"
        );
        eprintln!("skipped: Mercurial 6.0.3 is missing (HGRPC_HG names it)");
    }
    found.as_deref()
}

/// A command of Mercurial, with a configuration of its own and nobody else's.
pub(crate) fn command(directory: &Path) -> Command {
    static RC: OnceLock<PathBuf> = OnceLock::new();
    let rc = RC.get_or_init(|| {
        let path = env::temp_dir().join(format!("hgrpc-test-{}.rc", std::process::id()));
        fs::write(&path, CONFIG).unwrap();
        path
    });
    let mut command = Command::new(hg().unwrap());
    command
        .current_dir(directory)
        .env("HGRCPATH", rc)
        .env("HGPLAIN", "1")
        .env_remove("http_proxy")
        .stdin(Stdio::null());
    command
}

/// Runs Mercurial; its output as text. It has to succeed.
pub(crate) fn run(directory: &Path, args: &[&str]) -> String {
    let output = command(directory).args(args).output().unwrap();
    done(&format!("hg {}", args.join(" ")), &output)
}

/// The output of a program that has to succeed.
pub(crate) fn done(what: &str, output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{what}: {out}{error}");
    out
}

/// Runs Mercurial with this on its standard input; all that it says, whatever its exit status.
pub(crate) fn talk(directory: &Path, args: &[&str], input: &str) -> String {
    let mut child = command(directory)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// A process that is ended with the test.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `hg serve` of a repository.
pub(crate) struct Serve {
    pub(crate) url: String,
    _process: Process,
}

impl Serve {
    pub(crate) fn new(repository: &Path) -> Self {
        Self::with(repository, &[])
    }

    /// Serves all repositories of a directory, each under its name.
    pub(crate) fn all(directory: &Path) -> Self {
        let config = directory.join("web.conf");
        let text = format!(
            "[paths]\n/ = {}/*\n[web]\nrefreshinterval = 0\n",
            directory.display()
        );
        fs::write(&config, text).unwrap();
        Self::with(directory, &["--web-conf", config.to_str().unwrap()])
    }

    pub(crate) fn with(repository: &Path, options: &[&str]) -> Self {
        // A port that was free a moment ago; Mercurial does not tell which one it takes.
        let probe = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = probe.local_addr().unwrap().port();
        drop(probe);
        let child = command(repository)
            .args(["serve", "--address", "127.0.0.1"])
            .args(["--port", &port.to_string()])
            .args(options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let process = Process(child);
        let until = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "hg serve does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        Self {
            url: format!("http://127.0.0.1:{port}"),
            _process: process,
        }
    }
}

/// Mercurial, started once for many commands: its command server.
pub(crate) struct CommandServer {
    directory: PathBuf,
    input: ChildStdin,
    output: ChildStdout,
    _process: Process,
}

impl CommandServer {
    pub(crate) fn new(directory: &Path) -> Self {
        let mut child = command(directory)
            .args(["serve", "--cmdserver", "pipe"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut server = Self {
            directory: directory.to_owned(),
            input,
            output,
            _process: Process(child),
        };
        server.chunk().unwrap();
        server
    }

    /// What comes next: the channel and its bytes, or how many bytes are wanted of the input.
    fn chunk(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.output.read_exact(&mut head)?;
        let [channel, len @ ..] = head;
        if channel.is_ascii_uppercase() {
            return Ok((channel, Vec::new()));
        }
        let mut bytes = vec![0; u32::from_be_bytes(len).try_into().unwrap()];
        self.output.read_exact(&mut bytes)?;
        Ok((channel, bytes))
    }

    /// Runs a command in a directory: its exit status, its output, its error output.
    pub(crate) fn try_run<A: AsRef<OsStr>>(
        &mut self,
        directory: &Path,
        args: &[A],
    ) -> (i32, Vec<u8>, String) {
        let mut line = [b"--cwd\0", directory.as_os_str().as_bytes()].concat();
        for arg in args {
            line.push(0);
            line.extend(arg.as_ref().as_bytes());
        }
        let len = u32::try_from(line.len()).unwrap().to_be_bytes();
        let request = [b"runcommand\n", &len[..], &line].concat();
        self.input.write_all(&request).unwrap();
        let (mut out, mut error) = (Vec::new(), Vec::new());
        loop {
            match self.chunk() {
                // Some commands end Mercurial with an error of its own.
                Err(_) => {
                    *self = Self::new(&self.directory.clone());
                    return (255, out, "Mercurial has failed".to_owned());
                }
                Ok((b'o', bytes)) => out.extend(bytes),
                Ok((b'r', bytes)) => {
                    let status = i32::from_be_bytes(bytes.try_into().unwrap());
                    return (status, out, String::from_utf8_lossy(&error).into_owned());
                }
                Ok((channel, _)) if channel.is_ascii_uppercase() => {
                    self.input.write_all(&[0; 4]).unwrap();
                }
                Ok((_, bytes)) => error.extend(bytes),
            }
        }
    }

    /// Runs a command that has to succeed; its output.
    pub(crate) fn run<A: AsRef<OsStr>>(&mut self, directory: &Path, args: &[A]) -> Vec<u8> {
        let (status, out, error) = self.try_run(directory, args);
        let words: Vec<_> = args.iter().map(AsRef::as_ref).collect();
        let text = String::from_utf8_lossy(&out);
        assert_eq!(status, 0, "hg {words:?}: {text}{error}");
        out
    }
}

/// The tool.
pub(crate) fn tool(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hgrpc"));
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs the tool; its output as text. It has to succeed.
pub(crate) fn run_tool(args: &[&str]) -> String {
    done(
        &format!("hgrpc {}", args.join(" ")),
        &tool(args).output().unwrap(),
    )
}
