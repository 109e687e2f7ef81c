//! What multiplies: the built-in product, or an installed BLAS.

use crate::library::Cblas;
use crate::settings::{Choice, Settings};
use vaccel_plugin::{Result, Sgemm, bail};

/// Products with fewer multiplications than this run on one thread: starting
/// others would take longer.
const PARALLEL_FROM: usize = 128 * 128 * 128;

/// What multiplies.
#[derive(Debug)]
pub struct Engine(Kind);

#[derive(Debug)]
enum Kind {
    /// The crate `gemm`, with this many threads for large products; 0: all processors.
    BuiltIn(usize),
    Library(Cblas),
}

impl std::fmt::Display for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Kind::BuiltIn(_) => f.write_str("gemm 0.19"),
            Kind::Library(library) => f.write_str(library.file()),
        }
    }
}

impl Engine {
    /// Opens what the settings name; the built-in product is always there.
    ///
    /// # Errors
    /// `ENOENT` with the remedy when the library is not installed.
    pub fn open(settings: &Settings) -> Result<Self> {
        Ok(Self(match &settings.choice {
            Choice::BuiltIn => Kind::BuiltIn(settings.threads.unwrap_or(0)),
            choice => Kind::Library(Cblas::open(choice, settings.threads)?),
        }))
    }

    /// C = alpha A B + beta C, row-major. C is not read when beta is 0, A and B are not
    /// when alpha is 0: as BLAS has it, what is not read may be NaN.
    ///
    /// # Errors
    /// `EINVAL` when a matrix does not lie within its slice.
    pub fn multiply(&self, call: Sgemm<'_>) -> Result<()> {
        if call.m == 0 || call.n == 0 {
            return Ok(());
        }
        holds("C", call.c.len(), call.m, call.n, call.ldc)?;
        if call.k == 0 || call.alpha == 0.0 {
            scale(call);
            return Ok(());
        }
        holds("A", call.a.len(), call.m, call.k, call.lda)?;
        holds("B", call.b.len(), call.k, call.n, call.ldb)?;
        match &self.0 {
            Kind::BuiltIn(threads) => {
                built_in(call, *threads);
                Ok(())
            }
            Kind::Library(library) => library.multiply(call),
        }
    }
}

/// `EINVAL` unless `rows` rows of `columns` elements, `stride` apart, lie within `len`.
fn holds(name: &str, len: usize, rows: usize, columns: usize, stride: usize) -> Result<()> {
    let end = (rows - 1)
        .checked_mul(stride)
        .and_then(|start| start.checked_add(columns));
    if stride < columns || end.is_none_or(|end| end > len) {
        bail!(
            EINVAL,
            "{name} is {rows} x {columns} with {stride} from row to row: that is not within its {len} elements"
        );
    }
    Ok(())
}

/// C = beta C, without reading C when beta is 0.
fn scale(call: Sgemm<'_>) {
    for row in call.c.chunks_mut(call.ldc).take(call.m) {
        for c in &mut row[..call.n] {
            *c = if call.beta == 0.0 {
                0.0
            } else {
                call.beta * *c
            };
        }
    }
}

/// Columns of C, and products that are added up at a time, of large matrices: what is packed of B
/// for them stays in a cache. With vectors of 512 bits it is 5 % faster without.
const BLOCK: usize = 512;
/// From this side on all three count as large.
const LARGE: usize = 1536;

/// True where the product is computed in vectors of 512 bits.
fn has_wide_vectors() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    {
        std::arch::is_x86_feature_detected!("avx512f")
    }
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
    {
        false
    }
}

fn built_in(call: Sgemm<'_>, threads: usize) {
    let work = call.m.saturating_mul(call.n).saturating_mul(call.k);
    let parallelism = if work >= PARALLEL_FROM && threads != 1 {
        gemm::Parallelism::Rayon(threads)
    } else {
        gemm::Parallelism::None
    };
    let large = call.m.min(call.n).min(call.k) >= LARGE;
    let block = if large && !has_wide_vectors() {
        BLOCK
    } else {
        usize::MAX
    };
    for column in (0..call.n).step_by(block) {
        let n = block.min(call.n - column);
        for inner in (0..call.k).step_by(block) {
            let k = block.min(call.k - inner);
            // What has been added up so far stays.
            let beta = if inner == 0 { call.beta } else { 1.0 };
            // SAFETY: `multiply` has checked that every element the product reads and writes
            // is inside its slice, and `c` is borrowed exclusively; columns, inner indices
            // and sizes of a block lie within the whole. Slices are at most isize::MAX
            // bytes, so the strides fit.
            unsafe {
                gemm::gemm(
                    call.m,
                    n,
                    k,
                    call.c.as_mut_ptr().add(column),
                    1,
                    call.ldc as isize,
                    beta != 0.0,
                    call.a.as_ptr().add(inner),
                    1,
                    call.lda as isize,
                    call.b.as_ptr().add(inner * call.ldb + column),
                    1,
                    call.ldb as isize,
                    beta,
                    call.alpha,
                    false,
                    false,
                    false,
                    parallelism,
                );
            }
        }
    }
}
