//! Whether a program can be run, so that a slip is noticed when the server begins.

use std::env;
use std::path::Path;

use rustix::fs::{Access, access};

/// Looks a program up as the operating system will.
pub(super) fn check(program: &str) -> Result<(), String> {
    let is_file = |path: &Path| path.is_file();
    let may_run = |path: &Path| access(path, Access::EXEC_OK).is_ok();
    if program.contains('/') {
        let path = Path::new(program);
        return match (is_file(path), may_run(path)) {
            (true, true) => Ok(()),
            (true, false) => Err(format!("{program:?} may not be run")),
            (false, _) => Err(format!("there is no program {program:?}")),
        };
    }
    let paths = env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let is_found = env::split_paths(&paths)
        .map(|directory| directory.join(program))
        .any(|path| is_file(&path) && may_run(&path));
    match is_found {
        true => Ok(()),
        false => Err(format!("there is no program {program:?} in PATH")),
    }
}
