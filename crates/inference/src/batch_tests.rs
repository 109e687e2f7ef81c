//! Many callers, one queue; the runs are held up by the tests themselves, never by a clock.
#![allow(clippy::unwrap_used)]

use super::*;
use std::sync::mpsc;
use std::thread;

/// Longer than any test: who waits for it to pass fails.
const FOREVER: Duration = Duration::from_secs(600);

fn queue(max_batch: usize) -> Arc<Queue> {
    Arc::new(Queue::new(Batching {
        max_batch,
        window: FOREVER,
    }))
}

/// Calls with rows of these numbers and gives what came out; the "model" doubles.
fn call(queue: &Queue, values: &[f32], run: Run<'_>) -> Result<Vec<f32>> {
    let bytes = vaccel_plugin::bytes_of(values);
    let inputs = [Input {
        port: 0,
        dtype: Dtype::F32,
        shape: Shape::new(&[values.len() as i64]).unwrap(),
        bytes,
    }];
    let mut out = TensorOut::allocating(None);
    let mut outputs = [Output {
        port: 0,
        to: &mut out,
    }];
    queue.run(&inputs, &mut outputs, run)?;
    assert_eq!(out.shape(), [values.len() as i64]);
    out.view().unwrap().to_vec::<f32>()
}

fn numbers(input: &Input<'_>) -> Vec<f32> {
    let floats = input.bytes.as_chunks().0.iter();
    floats.map(|&b| f32::from_ne_bytes(b)).collect()
}

/// A value below 0 makes a run fail, whoever it is of.
fn double(inputs: &[Input<'_>], outputs: &mut [Output<'_, '_>]) -> Result<()> {
    let values = numbers(&inputs[0]);
    if values.iter().any(|v| *v < 0.0) {
        bail!(EINVAL, "a value below 0");
    }
    let doubled: Vec<f32> = values.iter().map(|v| v * 2.0).collect();
    let shape = [doubled.len() as i64];
    outputs[0].to.write_slice(&shape, &doubled)
}

/// One number, however many rows come in.
fn sum(inputs: &[Input<'_>], outputs: &mut [Output<'_, '_>]) -> Result<()> {
    let sum: f32 = numbers(&inputs[0]).iter().sum();
    outputs[0].to.write_slice(&[1], &[sum])
}

fn facts(queue: &Queue, name: &str) -> u64 {
    queue.facts()[name].as_u64().unwrap()
}

/// Waits for others to have come so far; not for a time.
fn until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never came");
        thread::yield_now();
    }
}

/// Does something while a run of somebody else is under way, who computes `run`, and then lets it
/// end. What was done, and what the other got.
fn during_a_run<'s, T>(
    scope: &'s thread::Scope<'s, '_>,
    queue: &'s Queue,
    run: fn(&[Input<'_>], &mut [Output<'_, '_>]) -> Result<()>,
    act: impl FnOnce() -> T,
) -> (T, Vec<f32>) {
    let (end, ended) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel::<()>();
    let ended = Mutex::new(ended);
    let first = scope.spawn(move || {
        call(queue, &[0.5], &|inputs, outputs| {
            begin.send(()).unwrap();
            ended.lock().unwrap().recv().unwrap();
            run(inputs, outputs)
        })
    });
    begun.recv().unwrap();
    let done = act();
    end.send(()).unwrap();
    let got = first.join().unwrap().unwrap();
    (done, got)
}

/// Callers with these values while a run of somebody else is under way; what each got.
fn beside_a_run(queue: &Arc<Queue>, values: &[f32]) -> Vec<Result<Vec<f32>>> {
    thread::scope(|scope| {
        let (callers, first) = during_a_run(scope, queue, double, || {
            let requests = facts(queue, "requests");
            let callers: Vec<_> = values
                .iter()
                .map(|value| scope.spawn(move || call(queue, &[*value], &double)))
                .collect();
            until(|| {
                let state = queue.lock();
                let waiting: usize = state.open.iter().map(|open| open.rows).sum();
                facts(queue, "requests") == requests + values.len() as u64
                    && waiting == values.len()
            });
            callers
        });
        assert_eq!(first, [1.0]);
        callers.into_iter().map(|c| c.join().unwrap()).collect()
    })
}

#[test]
fn a_lone_caller_never_waits_and_its_memory_is_not_copied() {
    let queue = queue(8);
    let values = [1.0_f32, 2.0];
    let own = vaccel_plugin::bytes_of(&values).as_ptr();
    for _ in 0..10 {
        // With a window of ten minutes: one that waited would not come to its end.
        let got = call(&queue, &values, &|inputs, outputs| {
            assert_eq!(inputs[0].bytes.as_ptr(), own);
            double(inputs, outputs)
        });
        assert_eq!(got.unwrap(), [2.0, 4.0]);
    }
    assert_eq!((facts(&queue, "requests"), facts(&queue, "runs")), (10, 10));
    assert_eq!(facts(&queue, "joined"), 0);
}

#[test]
fn who_comes_during_a_run_runs_together_when_it_is_over_and_gets_its_own_rows() {
    let queue = queue(32);
    let values: Vec<f32> = (1..=9).map(|v| v as f32).collect();
    let got = beside_a_run(&queue, &values);
    for (value, got) in values.iter().zip(got) {
        assert_eq!(got.unwrap(), [value * 2.0]);
    }
    assert_eq!((facts(&queue, "requests"), facts(&queue, "runs")), (10, 2));
    assert_eq!(facts(&queue, "joined"), 8);
}

#[test]
fn a_full_batch_does_not_wait_for_the_run_under_way() {
    let queue = &queue(3);
    thread::scope(|scope| {
        during_a_run(scope, queue, double, || {
            let callers: Vec<_> = (1..=3)
                .map(|v| scope.spawn(move || call(queue, &[v as f32], &double).unwrap()))
                .collect();
            // They come to their ends although the first has not.
            for (at, caller) in callers.into_iter().enumerate() {
                assert_eq!(caller.join().unwrap(), [(at + 1) as f32 * 2.0]);
            }
        });
    });
    assert_eq!(facts(queue, "runs"), 2);
}

#[test]
fn one_who_makes_the_batch_fail_fails_alone() {
    let queue = queue(32);
    let values = [1.0, -1.0, 3.0, 4.0];
    let got = beside_a_run(&queue, &values);
    for (value, got) in values.iter().zip(got) {
        match got {
            Ok(got) => assert_eq!(got, [value * 2.0]),
            Err(e) => assert!(*value < 0.0 && e.message().contains("below 0"), "{e}"),
        }
    }
    assert_eq!(facts(&queue, "failed"), 1);
    // The first, the batch, and each of its four callers.
    assert_eq!(facts(&queue, "runs"), 6);
    assert_eq!(call(&queue, &[7.0], &double).unwrap(), [14.0]);
}

#[test]
fn a_panic_of_the_leader_leaves_nobody_waiting() {
    let queue = &queue(32);
    thread::scope(|scope| {
        let ((leader, joined), _) = during_a_run(scope, queue, double, || {
            let leader = scope.spawn(move || {
                let run: Run<'_> = &|_, _| panic!("as a test wants it");
                let call = catch_unwind(AssertUnwindSafe(|| call(queue, &[1.0], run)));
                call.is_err()
            });
            until(|| !queue.lock().open.is_empty());
            let joined = scope.spawn(move || call(queue, &[2.0], &double).unwrap());
            until(|| queue.lock().open.iter().any(|open| open.rows == 2));
            (leader, joined)
        });
        assert!(leader.join().unwrap());
        assert_eq!(joined.join().unwrap(), [4.0]);
    });
    assert_eq!(queue.lock().running, 0);
}

#[test]
fn results_that_are_not_rows_are_computed_for_each_alone_from_then_on() {
    let queue = &queue(32);
    let got: Vec<_> = thread::scope(|scope| {
        let (callers, _) = during_a_run(scope, queue, sum, || {
            let callers = [3.0, 4.0].map(|v| scope.spawn(move || call(queue, &[v], &sum).unwrap()));
            until(|| queue.lock().open.iter().any(|open| open.rows == 2));
            callers
        });
        callers.into_iter().map(|c| c.join().unwrap()).collect()
    });
    assert_eq!(got, [vec![3.0], vec![4.0]]);
    assert!(queue.lock().not_rows);
    assert_eq!(call(queue, &[5.0], &sum).unwrap(), [5.0]);
}

#[test]
fn requests_of_other_shapes_or_types_never_share_a_run() {
    let f32s = |dims: &[i64], bytes: &'static [u8]| Input {
        port: 0,
        dtype: Dtype::F32,
        shape: Shape::new(dims).unwrap(),
        bytes,
    };
    let (two, wide) = (f32s(&[1, 2], &[0; 8]), f32s(&[1, 3], &[0; 12]));
    let several = f32s(&[3, 2], &[0; 24]);
    let kind = |input: &Input<'_>| Kind::of(std::slice::from_ref(input), &[]).unwrap();
    assert_ne!(kind(&two).0, kind(&wide).0);
    assert_eq!((kind(&two).0, 3), (kind(&several).0, kind(&several).1));
    let other = Input {
        dtype: Dtype::I32,
        ..two.clone()
    };
    assert_ne!(kind(&two).0, kind(&other).0);
    // Without rows, or with another number of them for each input, nothing can be joined.
    for odd in [
        f32s(&[], &[0; 4]),
        f32s(&[0, 2], &[]),
        f32s(&[1, 2], &[0; 7]),
    ] {
        assert!(Kind::of(&[odd], &[]).is_none());
    }
    assert!(Kind::of(&[two, several], &[]).is_none());
}
