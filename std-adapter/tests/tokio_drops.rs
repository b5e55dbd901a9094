//! Futures of both sides, dropped at random points: no byte of another call is lost, doubled or
//! changed, and the connection goes on.
#![cfg(feature = "tokio")]

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use hgrpc::{REVISIONS, Revision};
use hgrpc_std::encoding::SUPPORTED;
use hgrpc_std::tokio::{
    Call, CallError, Client, Config, ConnectionError, Data, Failure, Peer, Reply, Response, Router,
    Server, Upload,
};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

/// A guard against hanging.
const LONG: Duration = Duration::from_secs(60);

/// Polls a future so many times, then drops it.
async fn polled<F: Future>(times: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = times;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // What is dropped next need not wait for anything.
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Makes a future again and again, and drops it after a few polls, until one is done; without any
/// patience, it is made once and never dropped.
macro_rules! in_the_end {
    ($patience:expr, $attempt:expr) => {{
        let mut patience = $patience.iter().cycle();
        loop {
            let Some(times) = patience.next() else {
                break $attempt.await;
            };
            if let Some(output) = polled(*times, $attempt).await {
                break output;
            }
            tokio::task::yield_now().await;
        }
    }};
}

/// A call's bytes: they differ by seed and position.
fn pattern(seed: u8, len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| {
            let mixed = (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (mixed >> 32).to_le_bytes()[0].wrapping_add(seed)
        })
        .collect()
}

/// When one side gives a call up, in bytes that it has seen.
type Until = Option<usize>;

/// What a handler does in the middle of its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    DropReply,
    Fail,
    /// Ends well, though there is more data.
    Finish,
}

/// How the client takes the answer.
#[derive(Clone, Copy, Debug)]
enum Taking {
    Pieces,
    Reads(usize),
}

/// How the client gives the data.
#[derive(Clone, Copy, Debug)]
enum Giving {
    Bytes,
    Reader,
    Hand(usize),
}

#[derive(Clone, Debug)]
struct Plan {
    len: usize,
    giving: Giving,
    taking: Taking,
    /// Polls after which the future that sends the request is dropped.
    sending: Option<usize>,
    /// Polls after which the client's futures are dropped and made again.
    patience: Vec<usize>,
    /// Where the client drops the response.
    response_until: Until,
    /// Where the client drops the upload, if by hand.
    upload_until: Until,
    /// The same of the handler's futures.
    handler_patience: Vec<usize>,
    handler_until: Until,
    fault: Fault,
}

fn plan() -> impl Strategy<Value = Plan> {
    let rarely = |most: usize| proptest::option::weighted(0.25, 0..most);
    let giving = prop_oneof![
        Just(Giving::Bytes),
        Just(Giving::Reader),
        (1usize..5000).prop_map(Giving::Hand)
    ];
    let taking = prop_oneof![Just(Taking::Pieces), (1usize..3000).prop_map(Taking::Reads)];
    let fault = prop_oneof![
        Just(Fault::DropReply),
        Just(Fault::Fail),
        Just(Fault::Finish)
    ];
    let len = prop_oneof![0usize..100, 0usize..200_000];
    let client = (len, giving, taking, rarely(4), vec(1usize..4, 0..4));
    let ends = (rarely(100_000), rarely(100_000), rarely(100_000));
    (client, ends, vec(1usize..4, 0..4), fault).prop_map(
        |(
            (len, giving, taking, sending, patience),
            (response_until, upload_until, handler_until),
            handler_patience,
            fault,
        )| Plan {
            len,
            giving,
            taking,
            sending,
            patience,
            response_until,
            upload_until,
            handler_patience,
            handler_until,
            fault,
        },
    )
}

/// Gives the data back, with its futures dropped now and then, up to its fault.
async fn cat(plan: Plan, mut data: Data, mut reply: Reply) -> Result<(), Failure> {
    let patience = &plan.handler_patience;
    let mut seen = 0;
    loop {
        if plan.handler_until.is_some_and(|until| seen >= until) {
            match plan.fault {
                Fault::DropReply => return Ok(()),
                Fault::Fail => return Err(Failure::command("on purpose")),
                Fault::Finish => break,
            }
        }
        let Some(piece) = in_the_end!(patience, data.next())? else {
            break;
        };
        seen += piece.len();
        let mut rest = &piece[..];
        while !rest.is_empty() {
            let len = in_the_end!(patience, reply.write(rest))?;
            rest = &rest[len..];
        }
    }
    Ok(reply.finish()?)
}

fn router(plans: &[Plan]) -> Router {
    let plans = plans.to_vec();
    Router::new()
        .command("cat", move |call: Call, data: Data, reply: Reply| {
            let plans = plans.clone();
            async move {
                let number: usize = call.arg("number")?;
                cat(plans[number].clone(), data, reply).await
            }
        })
        .command("echo", |call: Call| async move {
            Ok::<_, Failure>(call.arg_bytes("msg")?.into_owned())
        })
}

/// What became of a call.
#[derive(Debug)]
enum Outcome {
    /// The client dropped it.
    Dropped,
    /// The bytes that came, and how the response ended.
    Answered(Vec<u8>, Result<(), CallError>),
}

async fn give(
    mut upload: Upload,
    sent: &[u8],
    step: usize,
    patience: &[usize],
    until: Until,
) -> bool {
    let mut given = 0;
    while given < sent.len() {
        if until.is_some_and(|until| given >= until) {
            return false;
        }
        let piece = &sent[given..sent.len().min(given + step)];
        match in_the_end!(patience, upload.write(piece)) {
            Ok(len) => given += len,
            // The response has ended before the data.
            Err(_) => return true,
        }
    }
    upload.finish();
    true
}

async fn next(response: &mut Response, taking: Taking) -> Result<Option<Bytes>, CallError> {
    let most = match taking {
        Taking::Pieces => return response.next_piece().await,
        Taking::Reads(most) => most,
    };
    let mut buffer = vec![0; most];
    let len = response.read(&mut buffer).await;
    match len.map_err(|error| CallError::from_io(error).unwrap())? {
        0 => Ok(None),
        len => Ok(Some(Bytes::copy_from_slice(&buffer[..len]))),
    }
}

async fn take(mut response: Response, taking: Taking, patience: &[usize], until: Until) -> Outcome {
    let mut all = Vec::new();
    loop {
        if until.is_some_and(|until| all.len() >= until) {
            return Outcome::Dropped;
        }
        let piece = in_the_end!(patience, next(&mut response, taking));
        match piece {
            Ok(Some(piece)) => all.extend_from_slice(&piece),
            Ok(None) => return Outcome::Answered(all, Ok(())),
            Err(error) => return Outcome::Answered(all, Err(error)),
        }
    }
}

async fn call(client: &Client, number: usize, plan: &Plan) -> (Outcome, bool) {
    let sent = pattern(u8::try_from(number).unwrap(), plan.len);
    let request = client.call("cat").value("number", &number);
    let sending = plan.sending.unwrap_or(usize::MAX);
    let (upload, response) = match plan.giving {
        Giving::Bytes => {
            let request = request.bytes(sent.clone());
            (None, polled(sending, request.send()).await)
        }
        Giving::Reader => {
            let request = request.data(std::io::Cursor::new(sent.clone()));
            (None, polled(sending, request.send()).await)
        }
        Giving::Hand(step) => match polled(sending, request.open()).await {
            None => (None, None),
            Some(Err(error)) => (None, Some(Err(error))),
            Some(Ok((upload, response))) => (Some((upload, step)), Some(Ok(response))),
        },
    };
    let response = match response {
        None => return (Outcome::Dropped, true),
        Some(Err(error)) => return (Outcome::Answered(Vec::new(), Err(error)), true),
        Some(Ok(response)) => response,
    };
    let giving = async {
        match upload {
            None => true,
            Some((upload, step)) => {
                give(upload, &sent, step, &plan.patience, plan.upload_until).await
            }
        }
    };
    let taking = take(response, plan.taking, &plan.patience, plan.response_until);
    let (is_given, outcome) = tokio::join!(giving, taking);
    (outcome, is_given)
}

/// What came is what was sent, as far as it came, and all of it where nobody gave up.
fn check(number: usize, plan: &Plan, outcome: &Outcome, is_given: bool, is_cut: bool) {
    let Outcome::Answered(bytes, result) = outcome else {
        assert!(plan.sending.is_some() || plan.response_until.is_some());
        return;
    };
    let sent = pattern(u8::try_from(number).unwrap(), plan.len);
    assert!(
        sent.starts_with(bytes),
        "call {number}: {} of {} bytes, and wrong",
        bytes.len(),
        plan.len
    );
    let has_fault = plan.handler_until.is_some_and(|until| until <= plan.len);
    match result {
        Ok(()) => assert!(
            bytes.len() == sent.len() || (has_fault && plan.fault == Fault::Finish),
            "call {number}: {} of {} bytes",
            bytes.len(),
            plan.len
        ),
        Err(CallError::Command(_) | CallError::Server(_)) => assert!(has_fault, "{result:?}"),
        Err(CallError::Source(_)) => assert!(!is_given, "{result:?}"),
        Err(CallError::Connection(_)) => assert!(is_cut, "{result:?}"),
        Err(other) => panic!("call {number}: {other}"),
    }
}

#[derive(Clone, Debug)]
struct Run {
    plans: Vec<Plan>,
    capacity: usize,
    revision: Revision,
    is_compressed: bool,
    buffer: usize,
    /// Polls after which a side's connection is dropped.
    cut_client: Option<usize>,
    cut_server: Option<usize>,
}

fn run() -> impl Strategy<Value = Run> {
    (
        vec(plan(), 1..8),
        1usize..5000,
        proptest::sample::select(REVISIONS.to_vec()),
        any::<bool>(),
        1usize..50_000,
        proptest::option::weighted(0.1, 0usize..60),
        proptest::option::weighted(0.1, 0usize..60),
    )
        .prop_map(
            |(plans, capacity, revision, is_compressed, buffer, cut_client, cut_server)| Run {
                plans,
                capacity,
                revision,
                is_compressed,
                buffer,
                cut_client,
                cut_server,
            },
        )
}

async fn play(run: Run) {
    let (here, there) = tokio::io::duplex(run.capacity);
    let mut builder = Server::builder(router(&run.plans)).revision(run.revision);
    if run.is_compressed {
        builder = builder.encodes(SUPPORTED);
    }
    let server = builder.build();
    let served = server.clone();
    let serving = tokio::spawn(async move {
        let serving = served.serve_connection(there, Peer::UNKNOWN);
        polled(run.cut_server.unwrap_or(usize::MAX), serving).await
    });
    let mut config = Config::new(run.revision);
    config.limits.buffer = run.buffer;
    let (client, driver) = Client::new(here, &config);
    let driving = tokio::spawn(polled(run.cut_client.unwrap_or(usize::MAX), driver));
    let is_cut = run.cut_client.is_some() || run.cut_server.is_some();

    let calls = run.plans.iter().enumerate();
    let calls = calls.map(|(number, plan)| call(&client, number, plan));
    for (number, (outcome, is_given)) in join_all(calls).await.iter().enumerate() {
        check(number, &run.plans[number], outcome, *is_given, is_cut);
    }
    if !is_cut {
        let msg = vec![7; 70_000];
        let response = client.call("echo").arg("msg", &msg).send().await.unwrap();
        assert!(response.read_bytes(70_000).await.unwrap() == msg);
    }
    drop(client);
    let driven = driving.await.unwrap();
    let served = serving.await.unwrap();
    if !is_cut {
        let driven = driven.expect("it is not cut");
        assert_eq!(driven.to_string(), "this end closed the connection");
        match served.expect("it is not cut") {
            // It was still answering a call that the client had dropped.
            Ok(()) | Err(ConnectionError::Write(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let stats = server.stats();
    assert_eq!(stats.connections, 0, "{stats:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_other_call_notices_what_is_dropped(run in run(), threads in any::<bool>()) {
        let mut builder = if threads {
            tokio::runtime::Builder::new_multi_thread()
        } else {
            tokio::runtime::Builder::new_current_thread()
        };
        let runtime = builder.worker_threads(2).enable_all().build().unwrap();
        let played = async move { timeout(LONG, tokio::spawn(play(run))).await };
        runtime.block_on(played).expect("it hangs").unwrap();
    }
}
