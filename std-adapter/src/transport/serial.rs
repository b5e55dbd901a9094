//! Serial ports and pseudo-terminals, opened as they are to be used.
//!
//! With `rustix`, which is here already: it sets any speed the system has, and what it opens can be
//! polled together with other files, which the crate `serialport` does not offer without `unsafe`.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{
    ControlModes, InputModes, OptionalActions, QueueSelector, tcflush, tcgetattr, tcsetattr,
};

use super::{Flow, SerialSettings};

/// Opens a serial port for this process alone. It does not block.
pub(super) fn open_port(path: &Path, settings: SerialSettings) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = open(path, flags, Mode::empty()).map_err(taken)?;
    if !rustix::termios::isatty(&file) {
        let message = "it is not a serial port";
        return Err(io::Error::new(ErrorKind::InvalidInput, message));
    }
    // Against programs that look at it; the other against those that do not.
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(taken)?;
    let _ = rustix::termios::ioctl_tiocexcl(&file);
    set(&file, settings)?;
    Ok(file)
}

/// Why a port cannot be had.
fn taken(error: Errno) -> io::Error {
    match error {
        Errno::BUSY | Errno::WOULDBLOCK => {
            io::Error::new(ErrorKind::ResourceBusy, "another program has it open")
        }
        error => error.into(),
    }
}

/// 8 data bits, no parity, 1 stop bit; bytes as they are.
fn set(file: &OwnedFd, settings: SerialSettings) -> io::Result<()> {
    let mut modes = tcgetattr(file)?;
    modes.make_raw();
    modes.input_modes -= InputModes::IXOFF | InputModes::IXANY;
    modes.control_modes -= ControlModes::CSIZE | ControlModes::CSTOPB | ControlModes::PARENB;
    modes.control_modes |= ControlModes::CS8 | ControlModes::CREAD | ControlModes::CLOCAL;
    modes
        .control_modes
        .set(ControlModes::CRTSCTS, settings.flow == Flow::Hardware);
    modes.set_speed(settings.baud)?;
    tcsetattr(file, OptionalActions::Now, &modes)?;
    // What cannot be set is left out without an error.
    let found = tcgetattr(file)?;
    if found.output_speed() != settings.baud {
        let message = format!("it does not do {} baud", settings.baud);
        return Err(io::Error::new(ErrorKind::InvalidInput, message));
    }
    Ok(())
}

/// Forgets what has come and was not read.
pub(super) fn discard_input(file: &OwnedFd) {
    let _ = tcflush(file, QueueSelector::IFlush);
}

/// A new pseudo-terminal: its master, which does not block; its other end, and that one's path.
///
/// While the other end is held, the master does not hang up when somebody closes it elsewhere: as
/// on a real line, nothing tells that the peer has gone.
pub(super) fn open_pty() -> io::Result<(OwnedFd, OwnedFd, PathBuf)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    rustix::io::ioctl_fionbio(&master, true)?;
    let path = PathBuf::from(OsString::from_vec(
        ptsname(&master, Vec::new())?.into_bytes(),
    ));
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let other = open(&path, flags, Mode::empty())?;
    set(&other, SerialSettings::default())?;
    Ok((master, other, path))
}
