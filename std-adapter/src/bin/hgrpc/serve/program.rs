//! Programs as commands: `--command NAME=PROGRAM ARGS`.
//!
//! ```text
//!   request's data ──▶ [input]  ──▶ standard input  ┐
//!   response       ◀── [output] ◀── standard output │ the program,
//!   text output    ◀──    "     ◀── error output    │ a process group of its own
//!   progress       ◀──    "     ◀── descriptor 3    ┘
//!   a task              all of these; time limits, ends the group, reaps. It outlives the call's
//!                       own, which the connection's end drops
//!   a thread            waits for its end: nothing else does that without reaping it
//! ```

mod environment;
mod find;
mod group;
pub(crate) mod guard;
mod input;
mod lines;
mod output;
mod run;
mod watch;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use hgrpc_std::tokio::{Call, Data, Failure, Reply};
use tokio::sync::Semaphore;
use tokio::sync::watch::Sender;
use tokio_util::sync::CancellationToken;

use super::capabilities::Arg;
use super::command::{Answer, Command};
use super::limit::Limit;
use guard::Guard;

/// A program that is offered, as the command line says.
#[derive(Debug)]
pub(super) struct Program {
    name: String,
    words: Vec<String>,
    limit: Limit,
}

/// Reads all `--command` and `--limit`.
pub(super) fn parse(commands: &[String], limits: &[String]) -> Result<Vec<Program>, String> {
    let mut common = Limit::DEFAULT;
    let mut own: Vec<(&str, &str)> = Vec::new();
    for text in limits {
        match text.split_once(':') {
            Some((name, limits)) => own.push((name, limits)),
            None => common
                .apply(text)
                .map_err(|error| format!("--limit {text:?}: {error}"))?,
        }
    }
    let mut programs: BTreeMap<String, Program> = BTreeMap::new();
    for text in commands {
        let program = program(text, common).map_err(|e| format!("--command {text:?}: {e}"))?;
        if let Some(other) = programs.insert(program.name.clone(), program) {
            return Err(format!(
                "--command {text:?}: there are two {:?}",
                other.name
            ));
        }
    }
    for (name, limits) in own {
        let result = match programs.get_mut(name) {
            Some(program) => program.limit.apply(limits),
            None => Err(format!("there is no --command {name:?}")),
        };
        result.map_err(|error| format!("--limit \"{name}:{limits}\": {error}"))?;
    }
    Ok(programs.into_values().collect())
}

fn program(text: &str, limit: Limit) -> Result<Program, String> {
    let (name, line) = text.split_once('=').ok_or("it is not NAME=PROGRAM ARGS")?;
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err("the command has no name".to_owned());
    }
    let words = shlex::split(line).ok_or("a quote is not closed, or a backslash ends it")?;
    match words.first() {
        Some(program) if !program.is_empty() => find::check(program)?,
        _ => return Err("the program is missing".to_owned()),
    }
    Ok(Program {
        name: name.to_owned(),
        words,
        limit,
    })
}

/// What all programs share.
struct Common {
    guard: Guard,
    /// Calls that run listen to it.
    busy: Arc<Sender<()>>,
}

/// A program that can be called.
pub(super) struct Offered {
    program: Program,
    /// One for each call that may run at once.
    slots: Semaphore,
    common: Arc<Common>,
}

/// All programs, ready to be called.
pub(super) struct Programs;

impl Programs {
    /// Makes them ready: nothing is started where there are none.
    pub(super) fn start(
        programs: Vec<Program>,
        busy: &Arc<Sender<()>>,
    ) -> io::Result<Vec<(String, Arc<dyn Command>)>> {
        if programs.is_empty() {
            return Ok(Vec::new());
        }
        let common = Arc::new(Common {
            guard: Guard::start()?,
            busy: Arc::clone(busy),
        });
        let offer = |program: Program| -> (String, Arc<dyn Command>) {
            let offered = Offered {
                slots: Semaphore::new(program.limit.running.min(Semaphore::MAX_PERMITS)),
                common: Arc::clone(&common),
                program,
            };
            (offered.program.name.clone(), Arc::new(offered))
        };
        Ok(programs.into_iter().map(offer).collect())
    }
}

impl Command for Offered {
    fn run(self: Arc<Self>, call: Call, data: Data, reply: Reply) -> Answer {
        Box::pin(async move {
            let abandoned = CancellationToken::new();
            let _guard = abandoned.clone().drop_guard();
            // A task of its own: the program is ended in order where the connection's end drops
            // what waits for it here.
            let running = tokio::spawn(async move {
                let Common { guard, busy } = &*self.common;
                let _busy = busy.subscribe();
                let Program { name, limit, .. } = &self.program;
                let Ok(_slot) = self.slots.try_acquire() else {
                    return Err(Failure::server(format_args!(
                        "too many calls of {name} at once, limit {}",
                        limit.running
                    )));
                };
                run::run(&self.program, guard, &call, data, reply, &abandoned).await
            });
            running
                .await
                .map_err(|_| Failure::server("the command panicked"))?
        })
    }

    fn args(&self) -> Vec<(&'static str, Arg)> {
        Vec::new()
    }

    fn limit(&self) -> Option<Limit> {
        Some(self.program.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(commands: &[&str], limits: &[&str]) -> Result<Vec<Program>, String> {
        let owned = |texts: &[&str]| {
            texts
                .iter()
                .map(|&text| text.to_owned())
                .collect::<Vec<_>>()
        };
        parse(&owned(commands), &owned(limits))
    }

    #[test]
    fn programs_and_their_limits_are_read() {
        let programs = parsed(
            &["b=sh -c 'echo $0 =' x", "a=true"],
            &["running=3", "b:output=1K", "b:running=1"],
        )
        .unwrap();
        let [a, b] = &programs[..] else {
            panic!("{programs:?}")
        };
        assert_eq!((a.name.as_str(), a.limit.running), ("a", 3));
        assert_eq!(b.words, ["sh", "-c", "echo $0 =", "x"]);
        assert_eq!((b.limit.running, b.limit.output), (1, Some(1024)));
    }

    #[test]
    fn slips_are_named() {
        for (commands, limits, error) in [
            (&["cat"][..], &[][..], "it is not NAME=PROGRAM ARGS"),
            (&["=cat"], &[], "the command has no name"),
            (&["a="], &[], "the program is missing"),
            (&["a='b"], &[], "a quote is not closed"),
            (&["a=no-such-program-here"], &[], "there is no program"),
            (&["a=/etc/passwd"], &[], "may not be run"),
            (&["a=true", "a=false"], &[], "there are two \"a\""),
            (&["a=true"], &["b:time=1s"], "there is no --command \"b\""),
            (&["a=true"], &["a:time=x"], "is not a duration"),
        ] {
            let found = parsed(commands, limits).unwrap_err();
            assert!(found.contains(error), "{found}");
        }
    }
}
