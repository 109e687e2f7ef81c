//! Products of every engine that is installed, against their definition in f64.
#![allow(clippy::unwrap_used)]

use vaccel_blas::BlasSettings;
use vaccel_blas::engine::Engine;
use vaccel_plugin::testing::skipped;
use vaccel_plugin::{Sgemm, code};

/// The engines to test: the built-in one always, the others where they are installed.
/// Those that are not are named, so that nobody takes them for tested.
fn engines() -> Vec<(String, Engine)> {
    let mut found = Vec::new();
    for (name, threads) in [
        ("gemm", ""),
        ("gemm", "1"),
        ("gemm", "2"),
        ("openblas", ""),
        ("openblas", "1"),
        ("blis", "1"),
        ("mkl", "1"),
    ] {
        match Engine::open(&BlasSettings::parse(name, threads).unwrap()) {
            Ok(engine) => found.push((format!("{name} {threads}"), engine)),
            Err(error) => {
                assert_eq!(error.code(), code::ENOENT, "{name}");
                assert!(error.message().contains("install"), "{error}");
                skipped("blas", &format!("{name}: {error}"));
            }
        }
    }
    assert!(found.len() >= 3, "the built-in product is always there");
    found
}

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        // Xorshift (Marsaglia 2003), the 64-bit generator.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> usize {
        (self.next() % end) as usize
    }

    fn factor(&mut self) -> f32 {
        [0.0, 1.0, -1.0, 0.5, 2.75][self.below(5)]
    }

    fn fill(&mut self, count: usize) -> Vec<f32> {
        (0..count)
            .map(|_| (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0)
            .collect()
    }
}

/// Elements of a matrix whose last row ends where it ends.
fn elements(rows: usize, columns: usize, stride: usize) -> usize {
    if rows == 0 {
        0
    } else {
        (rows - 1) * stride + columns
    }
}

/// A product of random matrices is what its definition says; looks at one element of so many.
fn check(name: &str, engine: &Engine, numbers: &mut Numbers, [m, n, k]: [usize; 3], every: usize) {
    let (lda, ldb, ldc) = (
        (k + numbers.below(4)).max(1),
        (n + numbers.below(4)).max(1),
        (n + numbers.below(4)).max(1),
    );
    let (alpha, beta) = (numbers.factor(), numbers.factor());
    let mut a = numbers.fill(elements(m, k, lda));
    let b = numbers.fill(elements(k, n, ldb));
    let mut c = numbers.fill(elements(m, n, ldc));
    // What is not read may be anything.
    if beta == 0.0 {
        c.fill(f32::NAN);
    }
    if alpha == 0.0 {
        a.fill(f32::NAN);
    }
    let old = c.clone();
    let call = Sgemm {
        m,
        n,
        k,
        alpha,
        a: &a,
        lda,
        b: &b,
        ldb,
        beta,
        c: &mut c,
        ldc,
    };
    engine.multiply(call).unwrap();
    let what = format!("{name}: {m} {n} {k}, {lda} {ldb} {ldc}, {alpha} {beta}");
    for (at, &got) in c.iter().enumerate().step_by(every) {
        let (i, j) = (at / ldc, at % ldc);
        if j >= n {
            // Between the rows nothing is written.
            assert_eq!(got.to_bits(), old[at].to_bits(), "{what}");
            continue;
        }
        let (mut sum, mut scale) = (0.0_f64, 1e-30_f64);
        if alpha != 0.0 {
            for l in 0..k {
                let product = f64::from(a[i * lda + l]) * f64::from(b[l * ldb + j]);
                sum += f64::from(alpha) * product;
                scale += (f64::from(alpha) * product).abs();
            }
        }
        if beta != 0.0 {
            sum += f64::from(beta) * f64::from(old[at]);
            scale += (f64::from(beta) * f64::from(old[at])).abs();
        }
        // Each of k additions may round once.
        let limit = scale * f64::from(f32::EPSILON) * (k as f64 + 4.0);
        assert!(
            (f64::from(got) - sum).abs() <= limit,
            "{what}: element {i}, {j} is {got}, not {sum}"
        );
    }
}

#[test]
fn products_equal_their_definition_for_all_sizes_strides_and_factors() {
    for (name, engine) in engines() {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        for round in 0..150 {
            // Some are large enough for several threads.
            let most = if round % 10 == 0 { 200 } else { 24 };
            let sizes = [(); 3].map(|()| numbers.below(most));
            check(&name, &engine, &mut numbers, sizes, 1);
        }
    }
}

#[test]
fn large_products_are_made_of_blocks_and_equal_their_definition_too() {
    for (name, engine) in engines() {
        let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
        for sizes in [[1536, 1536, 1536], [1540, 2049, 1600], [1536, 1027, 1023]] {
            check(&name, &engine, &mut numbers, sizes, 509);
        }
    }
}

#[test]
fn matrices_beyond_their_slices_are_refused() {
    for (name, engine) in engines() {
        let (a, b, mut c) = ([1.0; 6], [1.0; 6], [0.0; 4]);
        let mut product = |m, k, lda, ldb, ldc| {
            engine.multiply(Sgemm {
                m,
                n: 2,
                k,
                alpha: 1.0,
                a: &a,
                lda,
                b: &b,
                ldb,
                beta: 0.0,
                c: &mut c,
                ldc,
            })
        };
        product(2, 3, 3, 2, 2).unwrap();
        for (m, k, lda, ldb, ldc) in [
            (3, 2, 2, 2, 2),
            (2, 3, 4, 2, 2),
            (2, 3, 2, 2, 2),
            (2, 3, 3, 3, 2),
            (2, 3, 3, 2, 1),
            (2, 3, 3, 2, usize::MAX),
        ] {
            let error = product(m, k, lda, ldb, ldc).unwrap_err();
            assert_eq!(error.code(), code::EINVAL, "{name}: {error}");
        }
    }
}

#[test]
fn a_library_that_is_not_there_or_is_no_blas_is_explained() {
    let open = |path: &str| Engine::open(&BlasSettings::parse(path, "").unwrap()).unwrap_err();
    let error = open("/nonexistent/libblas.so");
    assert_eq!(error.code(), code::ENOENT);
    assert!(
        error.message().contains("/nonexistent/libblas.so"),
        "{error}"
    );
    // SAFETY: reads the address of a function of the C library.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: as above; the structure is the caller's.
    let found = unsafe { libc::dladdr(libc::malloc as *const libc::c_void, &raw mut info) };
    assert_ne!(found, 0);
    // SAFETY: dladdr has filled it with a C string.
    let libc = unsafe { std::ffi::CStr::from_ptr(info.dli_fname) };
    let error = open(libc.to_str().unwrap());
    assert!(error.message().contains("cblas_sgemm"), "{error}");
}

#[test]
fn the_engine_is_the_one_that_was_named() {
    for (name, engine) in engines() {
        let name = name.split(' ').next().unwrap();
        assert!(engine.to_string().contains(name), "{name}: {engine}");
    }
}
