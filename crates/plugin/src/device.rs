//! Memory of a device, for plugins whose operations run on one.
//!
//! A device implements [`Memory`]. What an operation needs of it are [`Pieces`]: they go back
//! when the operation is through, also when it fails, and are kept for the next one, because
//! devices take their time to allocate.

use crate::error::Result;
use crate::memory::{Element, bytes_of, bytes_of_mut};

/// Pieces that are kept for the next operation.
const SPARES: usize = 16;

/// A device that has memory of its own.
pub trait Memory {
    /// How the device knows a piece of its memory.
    type Handle: Copy;

    /// The pieces that are kept.
    fn spares(&mut self) -> &mut Spares<Self::Handle>;

    /// New memory of that many bytes, at least one.
    ///
    /// # Errors
    /// What the device says.
    fn allocate(&mut self, size: usize) -> Result<Self::Handle>;

    /// Frees memory.
    ///
    /// # Safety
    /// [`allocate`](Self::allocate) gave it, and nothing uses it any more.
    unsafe fn release(&mut self, handle: Self::Handle);

    /// Copies to the device, and returns when that is done.
    ///
    /// # Errors
    /// What the device says.
    ///
    /// # Safety
    /// [`allocate`](Self::allocate) gave room for at least so many bytes, and there is one.
    unsafe fn write(&mut self, to: Self::Handle, bytes: &[u8]) -> Result<()>;

    /// Copies from the device what earlier operations have written there.
    ///
    /// # Errors
    /// What the device says.
    ///
    /// # Safety
    /// As for [`write`](Self::write).
    unsafe fn read(&mut self, from: Self::Handle, bytes: &mut [u8]) -> Result<()>;
}

/// A piece of a device's memory.
#[derive(Debug)]
struct Piece<H> {
    handle: H,
    size: usize,
}

/// Memory that is kept for the next operation, the oldest first.
#[derive(Debug)]
pub struct Spares<H> {
    pieces: Vec<Piece<H>>,
    most: usize,
}

impl<H> Spares<H> {
    /// None yet, and never more than `most` bytes of all together.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self {
            pieces: Vec::new(),
            most,
        }
    }

    fn take(&mut self, size: usize) -> Option<Piece<H>> {
        // Not one that is much too large: the next operation may need it.
        let fits = |p: &Piece<H>| p.size >= size && p.size / 4 <= size;
        let at = self.pieces.iter().position(fits)?;
        Some(self.pieces.swap_remove(at))
    }

    /// The oldest, where there are more than there may be.
    fn surplus(&mut self, count: usize, bytes: usize) -> Option<H> {
        let sum = self.pieces.iter().map(|p| p.size).sum::<usize>();
        let too_many = self.pieces.len() > count || sum > bytes;
        too_many.then(|| self.pieces.remove(0).handle)
    }
}

/// Frees all memory that a device keeps: before it is let go.
pub fn release_spares<M: Memory>(device: &mut M) {
    while let Some(handle) = device.spares().surplus(0, 0) {
        // SAFETY: it was kept, so that no operation has it.
        unsafe { device.release(handle) };
    }
}

/// The memory of one operation, by numbers in the order in which it was taken.
///
/// Goes back when this is dropped.
pub struct Pieces<'a, M: Memory> {
    device: &'a mut M,
    taken: Vec<Piece<M::Handle>>,
}

impl<M: Memory> std::fmt::Debug for Pieces<'_, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sizes = self.taken.iter().map(|piece| piece.size);
        f.debug_list().entries(sizes).finish()
    }
}

impl<'a, M: Memory> Pieces<'a, M> {
    /// None yet.
    pub fn new(device: &'a mut M) -> Self {
        Self {
            device,
            taken: Vec::new(),
        }
    }

    /// The device, to have it work on them.
    pub fn device(&mut self) -> &mut M {
        self.device
    }

    /// Memory for at least so many bytes, whatever is in it; its number.
    ///
    /// # Errors
    /// When the device has no more, also without those that are kept.
    pub fn empty(&mut self, size: usize) -> Result<usize> {
        let size = size.max(1);
        let piece = match self.device.spares().take(size) {
            Some(piece) => piece,
            None => self.allocate(size)?,
        };
        self.taken.push(piece);
        Ok(self.taken.len() - 1)
    }

    /// Memory with these numbers in it; its number.
    ///
    /// # Errors
    /// As [`empty`](Self::empty), and when they cannot be copied.
    pub fn with<T: Element>(&mut self, numbers: &[T]) -> Result<usize> {
        let at = self.empty(size_of_val(numbers))?;
        if !numbers.is_empty() {
            // SAFETY: the piece has been taken for as many bytes.
            unsafe {
                self.device
                    .write(self.taken[at].handle, bytes_of(numbers))?;
            }
        }
        Ok(at)
    }

    /// What the device knows a piece by.
    ///
    /// # Panics
    /// When no piece has that number, as `read` does.
    #[must_use]
    pub fn handle(&self, at: usize) -> M::Handle {
        self.taken[at].handle
    }

    /// Copies numbers from a piece.
    ///
    /// # Errors
    /// When they cannot be copied.
    ///
    /// # Panics
    /// When the piece has not so many bytes.
    pub fn read<T: Element>(&mut self, at: usize, to: &mut [T]) -> Result<()> {
        let piece = &self.taken[at];
        assert!(
            size_of_val(to) <= piece.size,
            "the piece of memory is too small"
        );
        if to.is_empty() {
            return Ok(());
        }
        // SAFETY: checked above.
        unsafe { self.device.read(piece.handle, bytes_of_mut(to)) }
    }

    fn allocate(&mut self, size: usize) -> Result<Piece<M::Handle>> {
        // A little more, so that it serves further operations.
        let size = size.checked_next_power_of_two().unwrap_or(size);
        let handle = match self.device.allocate(size) {
            Err(_) if !self.device.spares().pieces.is_empty() => {
                // What is kept may be what is missing.
                release_spares(self.device);
                self.device.allocate(size)?
            }
            other => other?,
        };
        Ok(Piece { handle, size })
    }
}

impl<M: Memory> Drop for Pieces<'_, M> {
    fn drop(&mut self) {
        for piece in self.taken.drain(..) {
            let spares = self.device.spares();
            spares.pieces.push(piece);
            let most = spares.most;
            while let Some(handle) = self.device.spares().surplus(SPARES, most) {
                // SAFETY: it was kept, so that no operation has it.
                unsafe { self.device.release(handle) };
            }
        }
    }
}

/// `EINVAL` unless all arrays of an operation are equally long.
///
/// # Errors
/// With all lengths.
pub fn equally_long(lengths: &[usize]) -> Result<()> {
    if lengths.windows(2).any(|pair| pair[0] != pair[1]) {
        crate::bail!(
            EINVAL,
            "arrays of {lengths:?} elements; all must be equally long"
        );
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A device whose memory is in this process, of limited size.
    struct Small {
        spares: Spares<u32>,
        memory: BTreeMap<u32, Vec<u8>>,
        allocated: u32,
        room: usize,
    }

    impl Small {
        fn new(room: usize, most: usize) -> Self {
            Self {
                spares: Spares::new(most),
                memory: BTreeMap::new(),
                allocated: 0,
                room,
            }
        }

        fn used(&self) -> usize {
            self.memory.values().map(Vec::len).sum()
        }
    }

    impl Memory for Small {
        type Handle = u32;

        fn spares(&mut self) -> &mut Spares<u32> {
            &mut self.spares
        }

        fn allocate(&mut self, size: usize) -> Result<u32> {
            if self.used() + size > self.room {
                crate::bail!(ENOMEM, "{size} bytes");
            }
            self.allocated += 1;
            self.memory.insert(self.allocated, vec![0; size]);
            Ok(self.allocated)
        }

        unsafe fn release(&mut self, handle: u32) {
            assert!(self.memory.remove(&handle).is_some(), "freed twice");
        }

        unsafe fn write(&mut self, to: u32, bytes: &[u8]) -> Result<()> {
            self.memory.get_mut(&to).unwrap()[..bytes.len()].copy_from_slice(bytes);
            Ok(())
        }

        unsafe fn read(&mut self, from: u32, bytes: &mut [u8]) -> Result<()> {
            bytes.copy_from_slice(&self.memory[&from][..bytes.len()]);
            Ok(())
        }
    }

    #[test]
    fn numbers_come_back_as_they_were_and_nothing_needs_no_copy() {
        let mut device = Small::new(1 << 20, 1 << 20);
        let mut pieces = Pieces::new(&mut device);
        let first = pieces.with(&[1.5_f32, -2.0]).unwrap();
        let none = pieces.with::<f64>(&[]).unwrap();
        let second = pieces.with(&[i64::MIN]).unwrap();
        let (mut floats, mut long) = ([0.0_f32; 2], [0_i64]);
        pieces.read(first, &mut floats).unwrap();
        pieces.read::<f64>(none, &mut []).unwrap();
        pieces.read(second, &mut long).unwrap();
        assert_eq!((floats, long), ([1.5, -2.0], [i64::MIN]));
    }

    #[test]
    fn the_next_operation_has_the_memory_of_the_last_one() {
        let mut device = Small::new(1 << 20, 1 << 20);
        for _ in 0..10 {
            let mut pieces = Pieces::new(&mut device);
            pieces.empty(1000).unwrap();
            pieces.empty(600).unwrap();
        }
        assert_eq!(device.allocated, 2);
        // Those are too large to be spent on a few bytes.
        Pieces::new(&mut device).empty(100).unwrap();
        assert_eq!(device.allocated, 3);
    }

    #[test]
    fn no_more_is_kept_than_may_be_and_all_is_freed_at_the_end() {
        let mut device = Small::new(1 << 20, 4096);
        let mut pieces = Pieces::new(&mut device);
        for _ in 0..40 {
            pieces.empty(512).unwrap();
        }
        drop(pieces);
        assert_eq!(device.used(), 4096);
        let mut pieces = Pieces::new(&mut device);
        for _ in 0..40 {
            pieces.empty(1).unwrap();
        }
        drop(pieces);
        assert!(device.memory.len() <= SPARES);
        release_spares(&mut device);
        assert_eq!(device.used(), 0);
    }

    #[test]
    fn what_is_kept_is_freed_where_memory_is_short_and_then_the_device_says_no() {
        let mut device = Small::new(1024, 1024);
        Pieces::new(&mut device).empty(1024).unwrap();
        let mut pieces = Pieces::new(&mut device);
        pieces.empty(64).unwrap();
        let error = pieces.empty(1024).unwrap_err();
        assert_eq!(error.code(), crate::code::ENOMEM);
        drop(pieces);
        assert_eq!(device.used(), 64);
    }

    #[test]
    fn arrays_of_other_lengths_are_refused_with_all_of_them() {
        equally_long(&[]).unwrap();
        equally_long(&[3, 3, 3]).unwrap();
        let error = equally_long(&[3, 3, 4]).unwrap_err();
        assert!(error.message().contains("[3, 3, 4]"), "{error}");
    }
}
