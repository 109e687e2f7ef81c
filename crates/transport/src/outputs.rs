//! Where the outputs of a call go.

use vaccel_wire::{Arg, Args};

/// Memory for one output.
#[derive(Debug, Clone, Copy)]
pub struct Destination {
    pub(crate) at: *mut u8,
    pub(crate) room: usize,
}

impl Destination {
    /// Memory at a pointer, with room for so many bytes. It need not hold
    /// values yet.
    ///
    /// # Safety
    /// It must be valid for writes, and not be borrowed by anything, until the
    /// call that it was given to has returned.
    #[must_use]
    pub unsafe fn new(at: *mut u8, room: usize) -> Self {
        Self { at, room }
    }

    /// No memory: for an output without bytes.
    #[must_use]
    pub fn none() -> Self {
        Self {
            at: std::ptr::NonNull::dangling().as_ptr(),
            room: 0,
        }
    }
}

/// Why there is no place for an output.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlaceError {
    /// The reply does not fit the request, and in what.
    Misfit(String),
    /// There is no memory for so many bytes.
    NoMemory(usize),
}

impl From<String> for PlaceError {
    fn from(text: String) -> Self {
        Self::Misfit(text)
    }
}

/// Takes the outputs of a call.
pub trait Outputs {
    /// Where the bytes of a write argument of the reply go. Called once for
    /// each, in order, before any byte is written; `arg.size` is how many bytes
    /// there are, and the memory must have room for them.
    ///
    /// # Errors
    /// Says in what the reply does not fit the request.
    fn place(&mut self, arg: &Arg<'_>) -> Result<Destination, PlaceError>;

    /// True when it looks at [`Arg::shared`] itself: what lies in shared memory is
    /// checked and copied by nobody else.
    fn takes_shared(&self) -> bool {
        false
    }

    /// True when it looks at [`Arg::kept`] itself: of what the agent keeps no bytes come.
    fn takes_kept(&self) -> bool {
        false
    }

    /// Called once when the agent reports an error: its write arguments, if it
    /// sent any, say what an output would have needed or hold a status.
    fn failed(&mut self, status: i32, args: &Args<'_>, payload: &[u8]) {
        let _ = (status, args, payload);
    }
}

/// For calls without outputs.
impl Outputs for () {
    fn place(&mut self, arg: &Arg<'_>) -> Result<Destination, PlaceError> {
        Err(format!("output {} was not asked for", arg.index).into())
    }
}

/// Collects outputs in memory of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collect {
    /// The bytes of each output, in order.
    pub outputs: Vec<Vec<u8>>,
    /// The most bytes that one output may have: the agent decides their number.
    pub limit: usize,
}

impl Default for Collect {
    /// Up to 64 MiB an output.
    fn default() -> Self {
        Self {
            outputs: Vec::new(),
            limit: 64 << 20,
        }
    }
}

impl Outputs for Collect {
    fn place(&mut self, arg: &Arg<'_>) -> Result<Destination, PlaceError> {
        if arg.size > self.limit {
            return Err(format!(
                "output {} has {} bytes, and at most {} are taken",
                arg.index, arg.size, self.limit
            )
            .into());
        }
        let mut bytes = vec![0; arg.size];
        // SAFETY: the vector's own memory, which stays where it is when the
        // vector itself is moved, and is not touched before the call returns.
        let destination = unsafe { Destination::new(bytes.as_mut_ptr(), bytes.len()) };
        self.outputs.push(bytes);
        Ok(destination)
    }
}

/// Copies the outputs of a reply from its payload to their destinations.
pub(crate) fn deliver(
    args: &Args<'_>,
    payload: &[u8],
    outputs: &mut dyn Outputs,
) -> Result<(), PlaceError> {
    for arg in args.writes() {
        let to = checked(&arg, outputs)?;
        let bytes = arg.bytes(payload);
        // SAFETY: whoever made the destination vouches for it; it has room, and
        // memory that came from a reader cannot overlap with it.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to.at, bytes.len()) };
    }
    Ok(())
}

/// Asks for the destination of an output, and checks its size.
pub(crate) fn checked(arg: &Arg<'_>, outputs: &mut dyn Outputs) -> Result<Destination, PlaceError> {
    if arg.shared.is_some() && !outputs.takes_shared() {
        return Err(format!("output {} is in shared memory, unasked", arg.index).into());
    }
    if arg.kept.is_some() && !outputs.takes_kept() {
        return Err(format!("output {} is kept by the agent, unasked", arg.index).into());
    }
    let to = outputs.place(arg)?;
    if arg.range.len() > to.room {
        return Err(format!(
            "output {} has {} bytes, and there is room for {}",
            arg.index,
            arg.range.len(),
            to.room
        )
        .into());
    }
    Ok(to)
}
