//! Asynchronous halves that do as a script says, and futures that are dropped as it says.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use embedded_io_async::{ErrorType, Read, Write};

/// What may happen next, in no order: both ends ask, and must not be in step with it.
#[derive(Clone)]
pub(crate) struct Script(pub(crate) Rc<RefCell<(Vec<u8>, u64)>>);

impl Script {
    pub(crate) fn new(steps: &[u8]) -> Self {
        Self(Rc::new(RefCell::new((steps.to_vec(), 0))))
    }

    pub(crate) fn next(&self) -> u8 {
        let (steps, turn) = &mut *self.0.borrow_mut();
        *turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let at = (*turn >> 33) as usize % steps.len().max(1);
        steps.get(at).copied().unwrap_or(99)
    }
}

/// One direction. A step of the script is how many bytes are moved at most; 0: not yet.
#[derive(Clone)]
pub(crate) struct Pipe {
    pub(crate) bytes: Rc<RefCell<VecDeque<u8>>>,
    script: Script,
    /// Bytes that fit.
    room: usize,
}

impl Pipe {
    pub(crate) fn new(script: &Script, room: usize) -> Self {
        Self {
            bytes: Rc::default(),
            script: script.clone(),
            room,
        }
    }
}

impl ErrorType for Pipe {
    type Error = Infallible;
}

impl Read for Pipe {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        assert!(!buffer.is_empty());
        poll_fn(|_| {
            let mut bytes = self.bytes.borrow_mut();
            let most = usize::from(self.script.next());
            let len = buffer.len().min(most).min(bytes.len());
            if len == 0 {
                return Poll::Pending;
            }
            for (to, from) in buffer.iter_mut().zip(bytes.drain(..len)) {
                *to = from;
            }
            Poll::Ready(Ok(len))
        })
        .await
    }
}

impl Write for Pipe {
    async fn write(&mut self, buffer: &[u8]) -> Result<usize, Infallible> {
        assert!(!buffer.is_empty());
        poll_fn(|_| {
            let mut bytes = self.bytes.borrow_mut();
            let most = usize::from(self.script.next());
            let len = buffer.len().min(most).min(self.room - bytes.len());
            if len == 0 {
                return Poll::Pending;
            }
            bytes.extend(&buffer[..len]);
            Poll::Ready(Ok(len))
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        poll_fn(|_| match self.script.next() {
            0 => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        })
        .await
    }
}

/// Polls both in turn until both are done.
pub(crate) fn run(
    mut a: Pin<&mut dyn Future<Output = ()>>,
    mut b: Pin<&mut dyn Future<Output = ()>>,
) {
    let mut context = Context::from_waker(Waker::noop());
    let (mut a_done, mut b_done) = (false, false);
    for _ in 0..200_000 {
        a_done = a_done || a.as_mut().poll(&mut context).is_ready();
        b_done = b_done || b.as_mut().poll(&mut context).is_ready();
        if a_done && b_done {
            return;
        }
    }
    panic!("they never end: {a_done} {b_done}");
}

/// Drops the future at one of its `await`s if the script says so; `None`: it was.
pub(crate) async fn cut<F: Future>(script: &Script, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if script.next().is_multiple_of(3) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

pub(crate) async fn yield_now() {
    let mut is_back = false;
    poll_fn(|_| match std::mem::replace(&mut is_back, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// Asks for the same again and again, until it is done.
macro_rules! in_pieces {
    ($script:expr, $future:expr) => {
        loop {
            if let Some(output) = $crate::scripted::cut($script, $future).await {
                break output;
            }
            // The other end's turn.
            $crate::scripted::yield_now().await;
        }
    };
}

pub(crate) use in_pieces;
