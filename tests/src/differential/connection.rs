//! One random connection.

use super::Counts;
use super::answers::{Context, Open, Waiting};
use super::judge::store::{Arena, Table};
use super::pair::{
    Backing, ByValue, Chosen, Fixed, Pair, Setup, Streaming0003, Streaming0005, Streaming0006,
    StreamingByValue, Typed0003, Typed0005, Typed0006, table_and_arena,
};
use super::peer::Peer;
use super::receive::Seen;
use super::rng::Rng;
use hgrpc::{REVISIONS, Revision};
use hgrpc_std::requests::GrowableRequests;

/// Runs the connection of this seed; with `trace` every step is printed.
///
/// # Errors
/// What the servers did not agree on.
pub fn run(seed: u64, trace: bool, counts: &mut Counts) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let mut context = Context {
        rng: &mut rng,
        counts,
        trace,
    };
    match context.rng.chance(30) {
        true => in_revision::<GrowableRequests>(&mut context),
        false => in_revision::<Fixed>(&mut context),
    }
}

fn in_revision<T: Backing>(context: &mut Context<'_>) -> Result<(), String> {
    let revision = context.rng.pick(&REVISIONS);
    match (context.rng.below(4), revision) {
        (0, _) => connection::<ByValue, T>(revision, context),
        (1, _) => connection::<StreamingByValue, T>(revision, context),
        (2, Revision::R0003) => connection::<Typed0003, T>(revision, context),
        (2, Revision::R0005) => connection::<Typed0005, T>(revision, context),
        (2, _) => connection::<Typed0006, T>(revision, context),
        (_, Revision::R0003) => connection::<Streaming0003, T>(revision, context),
        (_, Revision::R0005) => connection::<Streaming0005, T>(revision, context),
        (_, _) => connection::<Streaming0006, T>(revision, context),
    }
}

fn connection<C: Chosen, T: Backing>(
    revision: Revision,
    context: &mut Context<'_>,
) -> Result<(), String> {
    let setup = Setup::random(context.rng);
    if context.trace {
        println!("{revision}: {setup:?}");
    }
    let mut buffers: Vec<Vec<u8>> = (0..8).map(|_| vec![0; setup.room + 8]).collect();
    let spare = buffers.iter_mut().map(Vec::as_mut_slice).collect();
    let (table, mut arena) = table_and_arena(setup.size, setup.is_growable);
    let (requests, mut memory) = T::make(setup.size);
    let mut pair = Pair::<C, T>::new(setup, revision, requests, table, spare);
    context.counts.add(&format!("connections of {revision}"));
    let mut waiting = Waiting::default();
    serve(&mut pair, &mut *arena, &mut memory, &mut waiting, context)?;
    if context.rng.chance(20) {
        let revision = match C::IS_TYPED {
            true => revision,
            false => context.rng.pick(&REVISIONS),
        };
        context.counts.add("restarts");
        let store: (Box<dyn Table>, Box<dyn Arena>) =
            table_and_arena(setup.size, setup.is_growable);
        arena = store.1;
        pair.restart(revision, store.0, &mut memory);
        for open in &mut waiting.opens {
            open.is_dead = true;
        }
        waiting.refusals.clear();
        pair.compare_state()?;
        serve(&mut pair, &mut *arena, &mut memory, &mut waiting, context)?;
    }
    Ok(())
}

/// Input until it ends or breaks, and answers meanwhile.
fn serve<C: Chosen, T: Backing>(
    pair: &mut Pair<'_, C, T>,
    arena: &mut dyn Arena,
    memory: &mut T::Memory,
    waiting: &mut Waiting,
    context: &mut Context<'_>,
) -> Result<(), String> {
    let mut peer = Peer::new(context.rng, pair.revision());
    let step = context.rng.pick(&[1, 8, 64, 1000]);
    let eagerness = context.rng.below(100);
    let mut errors = 0;
    for _ in 0..=context.rng.below(16) {
        let mut wire = Vec::new();
        let active: Vec<u16> = waiting
            .opens
            .iter()
            .filter(|open| !open.is_dead)
            .map(|open| open.id)
            .collect();
        for _ in 0..=context.rng.below(3) {
            peer.send(context.rng, &active, &mut wire);
        }
        if context.rng.chance(1) {
            wire.truncate(context.rng.below(wire.len() + 1));
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            let (chunk, behind) = rest.split_at(context.rng.below(step.min(rest.len())) + 1);
            rest = behind;
            let goes_on = receive(pair, chunk, arena, memory, waiting, context, &mut errors)?;
            if !goes_on {
                return Ok(());
            }
        }
        while context.rng.chance(eagerness)
            && !(waiting.opens.is_empty() && waiting.refusals.is_empty())
        {
            pair.act(waiting, context)?;
            if context.rng.chance(10) {
                pair.compare_state()?;
            }
        }
        if errors > 3 {
            break;
        }
    }
    for _ in 0..context.rng.below(20) {
        pair.act(waiting, context)?;
    }
    pair.compare_state()
}

/// One piece of input; `false` if no more can come.
fn receive<C: Chosen, T: Backing>(
    pair: &mut Pair<'_, C, T>,
    chunk: &[u8],
    arena: &mut dyn Arena,
    memory: &mut T::Memory,
    waiting: &mut Waiting,
    context: &mut Context<'_>,
    errors: &mut usize,
) -> Result<bool, String> {
    if context.trace {
        println!("input {}", crate::bytes::hex(chunk));
    }
    let (mut first_input, mut second_input) = (chunk, chunk);
    loop {
        let mut echo = None;
        if context.rng.chance(10) && !pair.lanes.is_empty() {
            let index = context.rng.below(pair.lanes.len());
            let lane = &pair.lanes[index];
            let is_plain = lane.second.stream().encoding().name() == "identity";
            let is_free = is_plain && lane.joined.is_none() && !lane.is_stale && !lane.is_ended;
            echo = is_free.then_some(index);
        }
        let first = pair.next_of_first(&mut first_input, arena, echo);
        let second = pair.next_of_second(&mut second_input, memory, echo);
        let (first, second) = match (first, second) {
            (None, None) => break,
            (Some(first), Some(second)) => (first, second),
            (first, second) => {
                let [first, second] = [first.map(|said| said.seen), second.map(|said| said.seen)];
                return Err(format!("event:\n  first  {first:?}\n  second {second:?}"));
            }
        };
        if first.seen != second.seen {
            return Err(format!(
                "event:\n  first  {:?}\n  second {:?}",
                first.seen, second.seen
            ));
        }
        if context.trace {
            println!(" {:?}", first.seen);
        }
        if first.echo != second.echo {
            return Err(format!(
                "answer at once:\n  first  {:?}\n  second {:?}",
                first.echo, second.echo
            ));
        }
        match &first.seen {
            Seen::Command { id, .. } => {
                context.counts.add("event command");
                match (first.echo, first.reply, second.reply) {
                    (None, Some(first), Some(second)) => {
                        waiting.opens.push(Open::new(*id, first, second));
                    }
                    (Some(Ok(_)), ..) => context.counts.add("answers at once"),
                    (Some(Err(error)), ..) => context.counts.add(&format!("misuse {error}")),
                    _ => {}
                }
                if let Some(index) = echo {
                    let lane = &mut pair.lanes[index];
                    lane.is_ended = lane.first.is_ended();
                }
            }
            Seen::Data { .. } => context.counts.add("event data"),
            Seen::Refused { id, reason, .. } => {
                context.counts.add(&format!("refusal {reason}"));
                if let (Some(first), Some(second)) = (first.refusal, second.refusal) {
                    waiting.refusals.push((first, second));
                }
                // A command that runs: its answer has come to nothing.
                for open in waiting.opens.iter_mut().filter(|open| open.id == *id) {
                    open.is_dead = true;
                }
                for lane in &mut pair.lanes {
                    if lane.joined == Some(*id) {
                        lane.joined = None;
                        lane.is_stale = true;
                    }
                }
            }
            Seen::Error(error) => {
                context.counts.add(&format!("error {error}"));
                *errors += 1;
                if *error == "frame-too-large" {
                    return Ok(false);
                }
            }
        }
        if first_input.len() != second_input.len() {
            return Err("one of the servers took less of the input".into());
        }
        if context.rng.chance(20) {
            pair.compare_state()?;
        }
    }
    if !(first_input.is_empty() && second_input.is_empty()) {
        return Err("input is left".into());
    }
    if context.rng.chance(20) {
        pair.compare_state()?;
    }
    Ok(true)
}
