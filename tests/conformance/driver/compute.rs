//! Pictures, matrices, and the operations that FPGAs do.

use crate::case::{Case, expect, noise, summary};
use serde_json::json;
use vaccel::{Result, Session, Sgemm};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![Case::new("noop", |s| {
        s.noop()?;
        Ok(json!(null))
    })];
    // Sizes around those at which a transport may change its way.
    for size in [1, 100, 4096, 65_537, 1 << 20, (3 << 20) + 7] {
        cases.extend(images(size));
    }
    cases.push(Case::new("image/refused", |s| {
        s.image_classify(b"poison and more")?;
        Ok(json!(null))
    }));
    cases.push(Case::new("image/refused, no text", |s| {
        s.image_detect(b"poison")?;
        Ok(json!(null))
    }));
    for (m, n, k) in [(1, 1, 1), (3, 5, 7), (17, 1, 33), (128, 96, 64)] {
        for beta in [0.0, 1.0, -0.5] {
            cases.push(Case::new(
                format!("sgemm/{m}x{n}x{k}, beta {beta}"),
                move |s| sgemm(s, m, n, k, beta),
            ));
        }
    }
    for len in [1, 1000, 300_000] {
        cases.push(Case::new(format!("minmax/{len}"), move |s| minmax(s, len)));
        cases.push(Case::new(format!("fpga/{len}"), move |s| fpga(s, len)));
    }
    cases.push(Case::new("fpga/mmult", |s| {
        let n = 24;
        let (a, b) = (numbers(n * n, 1), numbers(n * n, 2));
        let c = s.fpga_mmult(n, &a, &b)?;
        Ok(summary(&bytes(&c)))
    }));
    cases
}

fn images(size: usize) -> Vec<Case> {
    let image = move || noise(size, size as u64);
    vec![
        Case::new(format!("image/classify {size}"), move |s| {
            let answer = s.image_classify(&image())?;
            Ok(json!([answer.text, answer.picture]))
        }),
        Case::new(format!("image/labels {size}"), move |s| {
            let answer = s.image_labels(&image())?;
            Ok(json!([answer.text, answer.picture]))
        }),
        Case::new(format!("image/detect {size}"), move |s| {
            Ok(json!(s.image_detect(&image())?.picture))
        }),
        Case::new(format!("image/segment {size}"), move |s| {
            Ok(json!(s.image_segment(&image())?.picture))
        }),
        Case::new(format!("image/pose {size}"), move |s| {
            Ok(json!(s.image_pose(&image())?.picture))
        }),
        Case::new(format!("image/depth {size}"), move |s| {
            Ok(json!(s.image_depth(&image())?.picture))
        }),
    ]
}

/// Small whole numbers: sums of products are exact, in any order.
fn numbers(len: usize, seed: u64) -> Vec<f32> {
    noise(len, seed)
        .iter()
        .map(|&b| f32::from(b % 16) - 7.0)
        .collect()
}

fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}

/// Rows with gaps between them, which must stay as they were.
fn sgemm(session: &Session, m: usize, n: usize, k: usize, beta: f32) -> Result<serde_json::Value> {
    let sizes = Sgemm {
        alpha: 2.0,
        beta,
        lda: k + 1,
        ldb: n + 2,
        ldc: n + 3,
        ..Sgemm::new(m, n, k)
    };
    let (a, b) = (numbers(m * sizes.lda, 1), numbers(k * sizes.ldb, 2));
    let before = numbers(m * sizes.ldc, 3);
    let mut c = before.clone();
    session.sgemm(&sizes, &a, &b, &mut c)?;
    for i in 0..m {
        for j in 0..sizes.ldc {
            let at = i * sizes.ldc + j;
            let wanted = if j < n {
                let dot: f32 = (0..k)
                    .map(|p| a[i * sizes.lda + p] * b[p * sizes.ldb + j])
                    .sum();
                2.0 * dot + beta * before[at]
            } else {
                before[at]
            };
            expect(&(i, j, c[at]), &(i, j, wanted))?;
        }
    }
    Ok(summary(&bytes(&c)))
}

fn minmax(session: &Session, len: usize) -> Result<serde_json::Value> {
    let data: Vec<f64> = noise(len, 4)
        .iter()
        .map(|&b| f64::from(b) - 100.0)
        .collect();
    let answer = session.minmax(&data, -20, 50)?;
    let clipped: Vec<f64> = data.iter().map(|x| x.clamp(-20.0, 50.0)).collect();
    expect(&answer.clipped, &clipped)?;
    Ok(json!([answer.min, answer.max]))
}

fn fpga(session: &Session, len: usize) -> Result<serde_json::Value> {
    let ints: Vec<i32> = noise(len, 5).iter().map(|&b| i32::from(b) << 20).collect();
    expect(&session.fpga_arraycopy(&ints)?, &ints)?;
    let (a, b) = (numbers(len, 6), numbers(len, 7));
    let sum: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
    let product: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a * b).collect();
    expect(&session.fpga_vadd(&a, &b)?, &sum)?;
    expect(&session.fpga_parallel(&a, &b)?, &(sum, product))?;
    Ok(json!(len))
}
