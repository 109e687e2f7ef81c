#![allow(clippy::unwrap_used, missing_docs)]
mod support;
use std::time::Instant;
use support::*;
use vaccel_plugin::Dtype;
#[test]
fn go() {
    for line in std::fs::read_to_string("/tmp/onnx-check/real.txt")
        .unwrap()
        .lines()
    {
        let f: Vec<&str> = line.split_whitespace().collect();
        let shape: Vec<i64> = f[2].split('x').map(|d| d.parse().unwrap()).collect();
        let x = Tensor::new("", Dtype::F32, &shape, &std::fs::read(f[1]).unwrap());
        let outs: Vec<Vec<f32>> = f[3]
            .split(',')
            .map(|p| {
                std::fs::read(p)
                    .unwrap()
                    .chunks(4)
                    .map(|c| f32::from_ne_bytes(c.try_into().unwrap()))
                    .collect()
            })
            .collect();
        for threads in [1, 2] {
            let mut s = Session::new();
            s.add_files(&[std::path::Path::new(f[0])]);
            let t = Instant::now();
            if let Err(e) = s.load(0, &format!("threads={threads}")) {
                println!("{} LOAD {e:?}", f[0]);
                break;
            }
            let load = t.elapsed();
            let want = vec![""; outs.len()];
            let mut times = vec![];
            let mut cpu = vec![];
            let mut diff = 0f32;
            let mut big = 0f32;
            for _ in 0..8 {
                let c0 = cpu_ms();
                let t = Instant::now();
                let y = match s.run(0, std::slice::from_ref(&x), &want) {
                    Ok(y) => y,
                    Err(e) => {
                        println!("{} RUN {e:?}", f[0]);
                        break;
                    }
                };
                times.push(t.elapsed().as_secs_f64() * 1e3);
                cpu.push(cpu_ms() - c0);
                for (y, w) in y.iter().zip(&outs) {
                    let y: Vec<f32> = if y.dtype == Dtype::F32 {
                        y.values()
                    } else {
                        continue;
                    };
                    assert_eq!(y.len(), w.len());
                    diff = y
                        .iter()
                        .zip(w)
                        .map(|(a, b)| (a - b).abs())
                        .fold(diff, f32::max);
                    big = w.iter().fold(big, |a, b| a.max(b.abs()));
                }
            }
            if times.is_empty() {
                break;
            }
            times.sort_by(f64::total_cmp);
            cpu.sort_by(f64::total_cmp);
            println!(
                "{} load {:.0} ms, {threads} thr: best {:.1} median {:.1} ms, cpu best {:.1}; maxdiff {diff:e} of {big:e}",
                f[0].rsplit('/').next().unwrap(),
                load.as_secs_f64() * 1e3,
                times[0],
                times[times.len() / 2],
                cpu[0]
            );
        }
    }
}
fn cpu_ms() -> f64 {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t) };
    t.tv_sec as f64 * 1e3 + t.tv_nsec as f64 / 1e6
}
