//! Calls that are submitted and waited for later.

use crate::case::{Case, expect, noise};
use crate::models::load;
use serde_json::json;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;
use vaccel::{Argument, Pending, Result, Session, Sgemm, Tensor};

const MANY: usize = 1000;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("async/many, taken from the last to the first", |s| {
            let mut calls: Vec<_> = (0..MANY).map(|i| product(s, i)).collect::<Result<_>>()?;
            while let Some(call) = calls.pop() {
                expect(&call.wait()?, &vec![3.0 * calls.len() as f32])?;
            }
            Ok(json!(MANY))
        }),
        Case::new("async/many, as futures", |s| {
            let calls: Vec<_> = (0..MANY).map(|i| product(s, i)).collect::<Result<_>>()?;
            for (i, c) in block_on(All::new(calls)).into_iter().enumerate() {
                expect(&c?, &vec![3.0 * i as f32])?;
            }
            Ok(json!(MANY))
        }),
        Case::new("async/large arrays", |s| {
            let data =
                |i: u64| -> Vec<f64> { noise(300_000, i).iter().map(|&b| f64::from(b)).collect() };
            let calls: Vec<_> = (0..8)
                .map(|i| s.minmax_async(data(i), 10, 200))
                .collect::<Result<_>>()?;
            for (i, call) in calls.into_iter().enumerate() {
                let clipped: Vec<f64> = data(i as u64)
                    .iter()
                    .map(|x| x.clamp(10.0, 200.0))
                    .collect();
                expect(&call.wait()?.clipped, &clipped)?;
            }
            Ok(json!(8))
        }),
        Case::new("async/pictures", |s| {
            let calls: Vec<_> = (1..20)
                .map(|i| s.image_classify_async(noise(i * 1000, i as u64)))
                .collect::<Result<_>>()?;
            let texts: Vec<_> = calls
                .into_iter()
                .map(|call| call.wait().map(|answer| answer.text))
                .collect::<Result<_>>()?;
            Ok(json!(texts))
        }),
        Case::new("async/refused", |s| {
            s.image_classify_async(b"poison and more".to_vec())?
                .wait()?;
            Ok(json!(null))
        }),
        Case::new("async/every image operation", |s| {
            let image = || noise(5000, 3);
            let calls = [
                (s.image_detect_async(image())?, s.image_detect(&image())?),
                (s.image_segment_async(image())?, s.image_segment(&image())?),
                (s.image_pose_async(image())?, s.image_pose(&image())?),
                (s.image_depth_async(image())?, s.image_depth(&image())?),
            ];
            for (call, blocking) in calls {
                expect(&call.wait()?, &blocking)?;
            }
            Ok(json!(null))
        }),
        Case::new("model/many submitted, as futures", |s| {
            let model = Arc::new(load(s, b"file", "count=2")?);
            let input = |i: u64| Tensor::from_slice(&[2], &[i, i + 1]);
            let calls = (0..MANY as u64)
                .map(|i| {
                    model.run_async(vec![("t0".into(), input(i)?), ("".into(), input(i + 7)?)])
                })
                .collect::<Result<Vec<_>>>()?;
            // The calls keep it loaded.
            drop(model);
            for (i, outputs) in block_on(All::new(calls)).into_iter().enumerate() {
                let (outputs, i) = (outputs?, i as u64);
                expect(&outputs[0].as_slice::<u64>()?, &[i, i + 1].as_slice())?;
                expect(&outputs[1].as_slice::<u64>()?, &[i + 7, i + 8].as_slice())?;
            }
            Ok(json!(MANY))
        }),
        Case::new("model/submitted without its input", |s| {
            let model = Arc::new(load(s, b"file", "count=2")?);
            let one = Tensor::from_slice(&[1], &[1.0f32])?;
            model.run_async(vec![("t0".into(), one)])?.wait()?;
            Ok(json!(null))
        }),
        Case::new("async/dropped calls harm nobody", |s| {
            for _ in 0..4 {
                let calls: Vec<_> = (0..100).map(|i| product(s, i)).collect::<Result<_>>()?;
                drop(calls);
                expect(&product(s, 5)?.wait()?, &vec![15.0])?;
            }
            s.noop()?;
            Ok(json!(null))
        }),
        Case::new("async/functions with arguments of their own", |s| {
            let calls = [0, 1, 64, 100_000].map(|size| {
                let (read, write) = (noise(size, 7), Argument::room_for_bytes(size + 3));
                // SAFETY: the functions of the reference plugin keep to the sizes of arguments.
                let call = unsafe {
                    s.exec_async(
                        "/reference/library",
                        "echo",
                        vec![Argument::buffer(&read)],
                        vec![write],
                    )
                };
                (read, call)
            });
            for (read, call) in calls {
                let written = call?.wait()?;
                expect(&written[0].bytes(), &&read[..])?;
            }
            let read = vec![Argument::scalar(34), Argument::string(c"so it is")];
            // SAFETY: as above.
            let call = unsafe { s.exec_async("/reference/library", "fail", read, vec![])? };
            let failed = call.wait().err();
            Ok(json!(failed.map(|e| e.code)))
        }),
        Case::new("async/what is over is not cancelled", |s| {
            let call = product(s, 7)?;
            while !call.is_over() {
                std::thread::yield_now();
            }
            call.cancel()?;
            expect(&call.wait()?, &vec![21.0])?;
            Ok(json!(null))
        }),
        Case::new("async/waiting so long gives it back or the result", |s| {
            let mut call = product(s, 9)?;
            loop {
                match call.wait_timeout(Duration::from_millis(1))? {
                    Ok(c) => break expect(&c, &vec![27.0])?,
                    Err(back) => call = back,
                }
            }
            Ok(json!(null))
        }),
    ]
}

/// 3 i, as a product of 1 x 1 matrices.
fn product(session: &Session, i: usize) -> Result<Pending<Vec<f32>>> {
    let sizes = Sgemm::new(1, 1, 1);
    session.sgemm_async(&sizes, vec![i as f32], vec![3.0], vec![0.0])
}

/// All of some calls: those that are ready are taken when any of them wakes.
struct All<T> {
    calls: Vec<Option<Pending<T>>>,
    results: Vec<Option<Result<T>>>,
}

impl<T> All<T> {
    fn new(calls: Vec<Pending<T>>) -> Self {
        Self {
            results: calls.iter().map(|_| None).collect(),
            calls: calls.into_iter().map(Some).collect(),
        }
    }
}

impl<T> Unpin for All<T> {}

impl<T> Future for All<T> {
    type Output = Vec<Result<T>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        for (call, result) in this.calls.iter_mut().zip(&mut this.results) {
            if let Some(pending) = call
                && let Poll::Ready(value) = Pin::new(pending).poll(context)
            {
                (*call, *result) = (None, Some(value));
            }
        }
        if this.calls.iter().any(Option::is_some) {
            return Poll::Pending;
        }
        Poll::Ready(this.results.drain(..).flatten().collect())
    }
}

/// The smallest executor there is.
fn block_on<F: Future + Unpin>(mut future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match Pin::new(&mut future).poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}
