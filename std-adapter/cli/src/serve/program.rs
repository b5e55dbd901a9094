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
use std::time::Duration;

use hgrpc_std::tokio::{Call, Data, Failure, Reply};
use tokio::sync::watch::Sender;
use tokio_util::sync::CancellationToken;

use super::builtin;
use super::capabilities::Arg;
use super::command::{Answer, Command};
use super::limit::Limit;
use super::places::{Full, Places};
use guard::Guard;

/// A program that is offered, as the command line says.
#[derive(Debug)]
pub(super) struct Program {
    name: String,
    words: Vec<String>,
    limit: Limit,
}

/// What the command line says of commands.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) programs: Vec<Program>,
    /// How long a call may take of a built-in command, and of those that are not named.
    times: BTreeMap<String, Option<Duration>>,
    time: Option<Duration>,
}

impl Offer {
    /// How long a call of a built-in command may take.
    pub(super) fn time(&self, builtin: &str) -> Option<Duration> {
        self.times.get(builtin).copied().unwrap_or(self.time)
    }
}

/// Reads all `--command` and `--limit`.
pub(super) fn parse(commands: &[String], limits: &[String]) -> Result<Offer, String> {
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
    let mut times = BTreeMap::new();
    for (name, limits) in own {
        let result = match programs.get_mut(name) {
            Some(program) => program.limit.apply(limits),
            None if builtin::has(name) => builtin_time(name, limits).map(|time| {
                times.insert(name.to_owned(), time);
            }),
            None => Err(format!("there is no --command {name:?}")),
        };
        result.map_err(|error| format!("--limit \"{name}:{limits}\": {error}"))?;
    }
    Ok(Offer {
        programs: programs.into_values().collect(),
        times,
        time: common.time,
    })
}

/// The time of a built-in command, which has no other limit.
fn builtin_time(name: &str, limits: &str) -> Result<Option<Duration>, String> {
    if limits.split(',').any(|limit| !limit.starts_with("time=")) {
        return Err(format!("{name} is a built-in command, it takes only time"));
    }
    let mut limit = Limit::DEFAULT;
    limit.apply(limits)?;
    Ok(limit.time)
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
    places: Arc<Places>,
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
                places: Places::new(program.limit.running, program.limit.of_peer()),
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
                let _place = self.places.take(call.peer().origin()).map_err(|full| {
                    let (of, limit) = match full {
                        Full::All => ("", limit.running),
                        Full::Each => (" by one peer", limit.of_peer()),
                    };
                    Failure::server(format_args!(
                        "too many calls of {name} at once{of}, limit {limit}"
                    ))
                })?;
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

    fn parsed(commands: &[&str], limits: &[&str]) -> Result<Offer, String> {
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
        let offer = parsed(
            &["b=sh -c 'echo $0 =' x", "a=true"],
            &[
                "running=3",
                "b:output=1K",
                "b:running=1",
                "time=5",
                "echo:time=0",
            ],
        )
        .unwrap();
        let [a, b] = &offer.programs[..] else {
            panic!("{offer:?}")
        };
        assert_eq!(offer.time("echo"), None);
        assert_eq!(offer.time("sleep"), Some(Duration::from_secs(5)));
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
            (&[], &["echo:running=1"], "it takes only time"),
        ] {
            let found = parsed(commands, limits).unwrap_err();
            assert!(found.contains(error), "{found}");
        }
    }
}
