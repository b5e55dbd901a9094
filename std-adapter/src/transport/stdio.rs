//! This process's standard input and output as a connection.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Connection;
use super::connection::Link;
use super::wake::Wake;

/// Whether a connection has taken them. It keeps them: what is buffered elsewhere, or closed, does
/// not come back.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Takes standard input and output for a connection. In their places come `/dev/null` and the error
/// output: what the program prints does not end up between the frames, children do not read them,
/// and closing the connection closes them.
pub(super) fn take() -> io::Result<Connection> {
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Err(io::Error::new(
            ErrorKind::ResourceBusy,
            "a connection has standard input and output already",
        ));
    }
    io::stdout().flush()?;
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    connection(input, output)
}

/// The connection over two files.
fn connection(input: File, output: File) -> io::Result<Connection> {
    let link = Arc::new(StdioLink { wake: Wake::new()? });
    let reader = StdioReader {
        input,
        link: Arc::clone(&link),
    };
    let writer = StdioWriter {
        output,
        link: Arc::clone(&link),
    };
    Ok(Connection::new(reader, writer, &link, "stdio:".to_owned()))
}

#[derive(Debug)]
struct StdioLink {
    wake: Wake,
}

impl Link for StdioLink {
    fn close(&self) {
        self.wake.wake();
    }
}

struct StdioReader {
    input: File,
    link: Arc<StdioLink>,
}

impl Read for StdioReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.link.wake.wait_readable(&self.input)? {
                return Ok(0);
            }
            match self.input.read(buffer) {
                // Whoever shares the file may have made it non-blocking, and taken what there was.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }
}

struct StdioWriter {
    output: File,
    link: Arc<StdioLink>,
}

impl Write for StdioWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            if self.link.wake.is_woken() {
                return Err(ErrorKind::BrokenPipe.into());
            }
            match self.output.write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.link.wake.wait_writable(&self.output)?;
                }
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::thread;

    use super::*;

    #[test]
    fn bytes_go_through_and_the_end_too() {
        let (input, mut to) = io::pipe().unwrap();
        let (mut from, output) = io::pipe().unwrap();
        let file = |fd: OwnedFd| File::from(fd);
        let connection = connection(file(input.into()), file(output.into())).unwrap();
        assert_eq!(connection.peer(), "stdio:");
        let (mut reader, mut writer, _) = connection.into_parts();
        to.write_all(b"in").unwrap();
        drop(to);
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert_eq!(read, b"in");
        writer.write_all(b"out").unwrap();
        drop(writer);
        read.clear();
        from.read_to_end(&mut read).unwrap();
        assert_eq!(read, b"out");
    }

    #[test]
    fn closing_ends_a_read_that_waits() {
        let (input, _to) = io::pipe().unwrap();
        let (_from, output) = io::pipe().unwrap();
        let file = |fd: OwnedFd| File::from(fd);
        let connection = connection(file(input.into()), file(output.into())).unwrap();
        let (mut reader, mut writer, handle) = connection.into_parts();
        let waiting = thread::spawn(move || reader.read(&mut [0; 9]).unwrap());
        handle.close();
        assert_eq!(waiting.join().unwrap(), 0);
        assert_eq!(
            writer.write(b"x").unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
    }
}
