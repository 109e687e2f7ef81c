//! Which requests can run together, and memory that they write their rows into at the same time, each
//! at a place of its own.

use std::ptr;

use vaccel_plugin::Dtype;

use crate::graph::{Input, Output};

/// Bytes of all inputs of a batch together, at most.
const MOST: usize = 64 << 20;

/// Requests of one kind can run together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Index, type, lengths beyond the first.
    pub(crate) inputs: Vec<(usize, Dtype, Vec<i64>)>,
    pub(crate) outputs: Vec<usize>,
}

impl Kind {
    /// Bytes of a row of each input.
    pub(crate) fn row_bytes(&self) -> Option<Vec<usize>> {
        let row = |(_, dtype, rest): &(usize, Dtype, Vec<i64>)| dtype.bytes_for(rest);
        self.inputs.iter().map(row).collect()
    }

    /// What a request has to share with others, and its rows; `None` for one that cannot run with
    /// others.
    pub(crate) fn of(inputs: &[Input<'_>], outputs: &[Output<'_, '_>]) -> Option<(Self, usize)> {
        let rows = *inputs.first()?.shape.dims().first()?;
        let rows = usize::try_from(rows).ok().filter(|rows| *rows > 0)?;
        let mut kind = Self {
            inputs: Vec::with_capacity(inputs.len()),
            outputs: outputs.iter().map(|output| output.port).collect(),
        };
        for input in inputs {
            let (first, rest) = input.shape.dims().split_first()?;
            let row = input.dtype.bytes_for(rest)?;
            // Elements of less than a byte may end within one.
            let whole = row.checked_mul(rows) == Some(input.bytes.len());
            if usize::try_from(*first) != Ok(rows) || !whole || row == 0 {
                return None;
            }
            kind.inputs.push((input.port, input.dtype, rest.to_vec()));
        }
        Some((kind, rows))
    }
}

/// Room for the rows of a batch: one piece of memory for each input, kept from batch to batch, so
/// that its pages are there already.
#[derive(Debug)]
pub(crate) struct Rows {
    inputs: Vec<Column>,
    capacity: usize,
}

#[derive(Debug)]
struct Column {
    /// Never has a length: what was written is known to who wrote it. Of words, so that any element
    /// may be read.
    memory: Vec<u64>,
    /// Where the memory begins.
    begin: *mut u8,
    /// Bytes of a row.
    row: usize,
}

// SAFETY: the memory goes with it, and is written and read by nobody but as `write` and `read` say.
unsafe impl Send for Rows {}
// SAFETY: as above.
unsafe impl Sync for Rows {}

impl Rows {
    /// Room for rows of inputs with so many bytes each: for `rows` of them, or as many as [`MOST`] has
    /// room for; `None` without room for `least`, or without memory.
    pub(crate) fn new(inputs: &[usize], rows: usize, least: usize) -> Option<Self> {
        let row = inputs
            .iter()
            .try_fold(0_usize, |sum, n| sum.checked_add(*n))?;
        let capacity = rows.min(MOST.checked_div(row)?);
        if capacity < least {
            return None;
        }
        let mut columns = Vec::with_capacity(inputs.len());
        for &row in inputs {
            let mut memory: Vec<u64> = Vec::new();
            memory
                .try_reserve_exact((row * capacity).div_ceil(8))
                .ok()?;
            columns.push(Column {
                begin: memory.as_mut_ptr().cast(),
                memory,
                row,
            });
        }
        Some(Self {
            inputs: columns,
            capacity,
        })
    }

    /// Rows that it has room for.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Copies whole rows of an input to the place of row `first`; false when that is beyond the end.
    ///
    /// # Safety
    /// Nobody else may write or read those rows meanwhile.
    pub(crate) unsafe fn write(&self, input: usize, first: usize, bytes: &[u8]) -> bool {
        let Some(column) = self.inputs.get(input) else {
            return false;
        };
        let end = first
            .checked_mul(column.row)
            .and_then(|start| start.checked_add(bytes.len()));
        if end.is_none_or(|end| end > column.memory.capacity() * size_of::<u64>()) {
            return false;
        }
        // SAFETY: within the memory, as was just compared; nobody else is there, as the caller promises.
        unsafe {
            let to = column.begin.add(first * column.row);
            ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
        true
    }

    /// The first rows of an input.
    ///
    /// # Safety
    /// All of them must have been written, and nobody may write them as long as they are read.
    pub(crate) unsafe fn read(&self, input: usize, rows: usize) -> &[u8] {
        let Some(column) = self.inputs.get(input) else {
            return &[];
        };
        let length = column.row * rows.min(self.capacity);
        // SAFETY: within the memory, written, and left alone, as the caller promises.
        unsafe { std::slice::from_raw_parts(column.begin, length) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_several_threads_lie_one_after_the_other() {
        let rows = Rows::new(&[3, 8], 16, 1).unwrap();
        std::thread::scope(|scope| {
            for at in 0..8_usize {
                let rows = &rows;
                // SAFETY: each thread has rows of its own, and they are read afterwards.
                scope.spawn(move || unsafe {
                    assert!(rows.write(0, 2 * at, &[at as u8; 6]));
                    assert!(rows.write(1, 2 * at, &[0x80 | at as u8; 16]));
                });
            }
        });
        // SAFETY: all sixteen rows were written.
        let (first, second) = unsafe { (rows.read(0, 16), rows.read(1, 16)) };
        for at in 0..8_usize {
            assert_eq!(first[6 * at..6 * at + 6], [at as u8; 6]);
            assert_eq!(second[16 * at..16 * at + 16], [0x80 | at as u8; 16]);
        }
        assert!(second.as_ptr().addr().is_multiple_of(8));
    }

    #[test]
    fn there_is_an_end_to_it() {
        let rows = Rows::new(&[1 << 20], 1000, 1).unwrap();
        assert_eq!(rows.capacity(), 64);
        // SAFETY: nobody else has it.
        unsafe {
            assert!(!rows.write(0, 64, &[0; 8]));
            assert!(!rows.write(0, usize::MAX, &[0; 8]));
            assert!(!rows.write(1, 0, &[0; 8]));
            assert!(rows.write(0, 63, &[7; 8]));
        }
        assert!(Rows::new(&[MOST], 8, 2).is_none());
        assert!(Rows::new(&[usize::MAX, 1], 1, 1).is_none());
        assert!(Rows::new(&[0], 1, 1).is_none());
    }
}
