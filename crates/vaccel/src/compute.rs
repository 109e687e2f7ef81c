//! Arithmetic: matrices, vectors, extremes.

use crate::error::{Error, Result};
use crate::session::Session;

/// Sizes and factors of [`Session::sgemm`]: C = alpha A B + beta C, all row-major.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgemm {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A and rows of B.
    pub k: usize,
    /// Factor of the product.
    pub alpha: f32,
    /// Factor of what C holds before; with 0, that is not looked at.
    pub beta: f32,
    /// Distance between rows of A, elements, at least `k`.
    pub lda: usize,
    /// Distance between rows of B, elements, at least `n`.
    pub ldb: usize,
    /// Distance between rows of C, elements, at least `n`.
    pub ldc: usize,
}

impl Sgemm {
    /// C = A B for matrices without gaps between rows.
    #[must_use]
    pub fn new(m: usize, n: usize, k: usize) -> Self {
        Self {
            m,
            n,
            k,
            alpha: 1.0,
            beta: 0.0,
            lda: k,
            ldb: n,
            ldc: n,
        }
    }
}

/// What [`Session::minmax`] finds.
#[derive(Debug, Clone, PartialEq)]
pub struct Minmax {
    /// The elements, clipped to the thresholds.
    pub clipped: Vec<f64>,
    /// The smallest element.
    pub min: f64,
    /// The largest element.
    pub max: f64,
}

impl Sgemm {
    /// m, n, k and the distances of rows as C takes them, checked against the matrices.
    pub(crate) fn numbers(&self, a: &[f32], b: &[f32], c: &[f32]) -> Result<[i64; 6]> {
        let &Self {
            m,
            n,
            k,
            lda,
            ldb,
            ldc,
            ..
        } = self;
        check_matrix("A", m, k, lda, a.len())?;
        check_matrix("B", k, n, ldb, b.len())?;
        check_matrix("C", m, n, ldc, c.len())?;
        let mut numbers = [0; 6];
        for (number, value) in numbers.iter_mut().zip([m, n, k, lda, ldb, ldc]) {
            *number = i64::try_from(value).map_err(|_| Error::invalid("a matrix is too large"))?;
        }
        Ok(numbers)
    }
}

impl Session {
    /// Multiplies matrices: C = alpha A B + beta C.
    ///
    /// # Errors
    /// `EINVAL` when a slice is too short for the sizes or a row distance too small.
    pub fn sgemm(&self, sizes: &Sgemm, a: &[f32], b: &[f32], c: &mut [f32]) -> Result<()> {
        let [m, n, k, lda, ldb, ldc] = sizes.numbers(a, b, c)?;
        // SAFETY: the session is open; the slices were checked against the sizes;
        // A and B are only read.
        let code = unsafe {
            (self.library().functions().sgemm)(
                self.as_ptr(),
                m,
                n,
                k,
                sizes.alpha,
                a.as_ptr().cast_mut(),
                lda,
                b.as_ptr().cast_mut(),
                ldb,
                sizes.beta,
                c.as_mut_ptr(),
                ldc,
            )
        };
        self.library().check("sgemm", code)
    }

    /// Finds the smallest and the largest element, and clips all to `low..=high`.
    ///
    /// # Errors
    /// `EINVAL` for no data or more than `i32::MAX` elements.
    pub fn minmax(&self, data: &[f64], low: i32, high: i32) -> Result<Minmax> {
        let count = i32::try_from(data.len())
            .map_err(|_| Error::invalid("minmax takes at most 2147483647 elements"))?;
        let mut found = Minmax {
            clipped: vec![0.0; data.len()],
            min: 0.0,
            max: 0.0,
        };
        // SAFETY: the session is open; input and output have `count` elements.
        let code = unsafe {
            (self.library().functions().minmax)(
                self.as_ptr(),
                data.as_ptr(),
                count,
                low,
                high,
                found.clipped.as_mut_ptr(),
                &raw mut found.min,
                &raw mut found.max,
            )
        };
        self.library().check("minmax", code)?;
        Ok(found)
    }

    /// Copies an array on the device.
    ///
    /// # Errors
    /// `ENOTSUP` when the plugin has no such operation.
    pub fn fpga_arraycopy(&self, a: &[i32]) -> Result<Vec<i32>> {
        let mut out = vec![0; a.len()];
        // SAFETY: the session is open; both arrays have the length given.
        let code = unsafe {
            (self.library().functions().fpga_arraycopy)(
                self.as_ptr(),
                a.as_ptr().cast_mut(),
                out.as_mut_ptr(),
                a.len(),
            )
        };
        self.library().check("fpga_arraycopy", code)?;
        Ok(out)
    }

    /// Multiplies two square matrices of `n` by `n`, row-major.
    ///
    /// # Errors
    /// `EINVAL` when a slice does not have `n * n` elements.
    pub fn fpga_mmult(&self, n: usize, a: &[f32], b: &[f32]) -> Result<Vec<f32>> {
        if n.checked_mul(n) != Some(a.len()) || a.len() != b.len() {
            return Err(Error::invalid(format!(
                "fpga_mmult needs two matrices of {n} x {n}, not {} and {} elements",
                a.len(),
                b.len()
            )));
        }
        let mut out = vec![0.0; a.len()];
        // SAFETY: the session is open; all three matrices have the length given.
        let code = unsafe {
            (self.library().functions().fpga_mmult)(
                self.as_ptr(),
                a.as_ptr().cast_mut(),
                b.as_ptr().cast_mut(),
                out.as_mut_ptr(),
                a.len(),
            )
        };
        self.library().check("fpga_mmult", code)?;
        Ok(out)
    }

    /// Adds and multiplies two arrays element by element: (sums, products).
    ///
    /// # Errors
    /// `EINVAL` when the lengths differ.
    pub fn fpga_parallel(&self, a: &[f32], b: &[f32]) -> Result<(Vec<f32>, Vec<f32>)> {
        same_length("fpga_parallel", a, b)?;
        let (mut sums, mut products) = (vec![0.0; a.len()], vec![0.0; a.len()]);
        // SAFETY: the session is open; all four arrays have the length given.
        let code = unsafe {
            (self.library().functions().fpga_parallel)(
                self.as_ptr(),
                a.as_ptr().cast_mut(),
                b.as_ptr().cast_mut(),
                sums.as_mut_ptr(),
                products.as_mut_ptr(),
                a.len(),
            )
        };
        self.library().check("fpga_parallel", code)?;
        Ok((sums, products))
    }

    /// Adds two arrays element by element.
    ///
    /// # Errors
    /// `EINVAL` when the lengths differ.
    pub fn fpga_vadd(&self, a: &[f32], b: &[f32]) -> Result<Vec<f32>> {
        same_length("fpga_vadd", a, b)?;
        let mut out = vec![0.0; a.len()];
        // SAFETY: the session is open; all three arrays have the length given.
        let code = unsafe {
            (self.library().functions().fpga_vadd)(
                self.as_ptr(),
                a.as_ptr().cast_mut(),
                b.as_ptr().cast_mut(),
                out.as_mut_ptr(),
                a.len(),
                b.len(),
            )
        };
        self.library().check("fpga_vadd", code)?;
        Ok(out)
    }
}

fn same_length(what: &str, a: &[f32], b: &[f32]) -> Result<()> {
    if a.len() == b.len() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{what} needs arrays of one length, not {} and {}",
        a.len(),
        b.len()
    )))
}

/// Checks that `rows` rows of `columns` elements, `distance` apart, lie within `length`.
fn check_matrix(
    name: &str,
    rows: usize,
    columns: usize,
    distance: usize,
    length: usize,
) -> Result<()> {
    if distance < columns.max(1) {
        return Err(Error::invalid(format!(
            "the rows of {name} are {distance} apart and {columns} long"
        )));
    }
    let needed = match rows.checked_sub(1) {
        None => Some(0),
        Some(before_last) => before_last
            .checked_mul(distance)
            .and_then(|n| n.checked_add(columns)),
    };
    match needed {
        Some(needed) if needed <= length => Ok(()),
        _ => Err(Error::invalid(format!(
            "{name} needs {rows} rows of {columns} elements, {distance} apart; there are {length} elements"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_row_need_not_be_padded() {
        assert!(check_matrix("A", 3, 2, 5, 12).is_ok());
        assert!(check_matrix("A", 3, 2, 5, 11).is_err());
    }

    #[test]
    fn sizes_that_overflow_are_refused() {
        assert!(check_matrix("A", usize::MAX, 2, usize::MAX, 100).is_err());
    }
}
