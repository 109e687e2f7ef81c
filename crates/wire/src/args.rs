//! The arguments of a received frame.

use crate::arg::{NO_NAME, TENSOR};
use crate::bytes::{u16_at, u32_at, u64_at};
use crate::{
    Arg, DESCRIPTOR_LEN, FLAG_ALLOCATE, FLAG_DATA, FLAG_KEPT, FLAG_NULL, FLAG_SHARED, Header, Kind,
    Layout, Limits, MAX_RANK, Place, TRACE_LEN, Tensor, Trace, WireError,
};

/// The arguments of a received frame, checked, in place.
#[derive(Debug, Clone)]
pub struct Args<'m> {
    reads: ArgIter<'m>,
    writes: ArgIter<'m>,
    capacity: u64,
    shared: u64,
    trace: Option<Trace>,
}

impl<'m> Args<'m> {
    /// Checks the meta of a frame against its header.
    ///
    /// Afterwards every argument's range lies within `payload_len` bytes, the
    /// ranges do not overlap, and sizes fit this machine.
    ///
    /// # Errors
    /// Says which descriptor is wrong and how.
    pub fn decode(header: &Header, meta: &'m [u8], limits: &Limits) -> Result<Self, WireError> {
        let given = meta.len() as u64;
        let length = |what, needed| WireError::Length {
            what,
            needed,
            given,
        };
        let table = header.nr_args() * DESCRIPTOR_LEN;
        if meta.len() != header.meta_len as usize || meta.len() < table {
            return Err(length("the meta", header.meta_len.max(table as u32).into()));
        }
        let (descriptors, extensions) = meta.split_at(table);
        let (read, write) = descriptors.split_at(usize::from(header.nr_read) * DESCRIPTOR_LEN);
        let reads = ArgIter {
            descriptors: read,
            extensions,
            layout: Layout::new(),
            index: 0,
            shared: limits.shared,
        };
        let mut walk = reads.clone();
        let mut shared: u64 = 0;
        while let Some(arg) = walk.step(0)? {
            if arg.shared.is_some() {
                shared = shared.saturating_add(arg.size as u64);
            }
            // A read argument is there, null, or a tensor that the agent has.
            let kept = header.kind == Kind::Request && arg.size == 0 && arg.kept > Some(0);
            if arg.flags & !FLAG_SHARED != FLAG_DATA && arg.flags != FLAG_NULL && !kept {
                return Err(WireError::Flags {
                    index: arg.index,
                    flags: arg.flags,
                });
            }
        }
        if shared > limits.frame {
            return Err(WireError::TooLarge {
                what: "what a request has in shared memory",
                size: shared,
                limit: limits.frame,
            });
        }
        let writes = ArgIter {
            descriptors: write,
            index: 0,
            ..walk
        };
        let mut walk = writes.clone();
        let mut capacity: u64 = 0;
        while let Some(arg) = walk.step(header.nr_read.into())? {
            let right = match (header.kind, arg.flags) {
                (_, FLAG_DATA | FLAG_NULL) => true,
                (_, f) if f == FLAG_DATA | FLAG_SHARED => true,
                (Kind::Request, 0 | FLAG_SHARED) => true,
                (Kind::Request, FLAG_ALLOCATE) => arg.size == 0,
                (Kind::Request, FLAG_KEPT) => arg.size == 0 && arg.kept == Some(0),
                (Kind::Reply, FLAG_KEPT) => header.status() == 0 && arg.kept > Some(0),
                // Sizes that would have been needed.
                (Kind::Reply, 0) => header.status() != 0,
                _ => false,
            };
            if !right {
                return Err(WireError::Flags {
                    index: usize::from(header.nr_read) + arg.index,
                    flags: arg.flags,
                });
            }
            capacity = capacity.saturating_add(arg.size as u64);
        }
        let mut trace = None;
        if header.kind == Kind::Request && walk.extensions.len() == TRACE_LEN {
            trace = Trace::decode(walk.extensions)?;
        } else if !walk.extensions.is_empty() {
            let used = (meta.len() - walk.extensions.len()) as u64;
            return Err(length("the meta", used));
        }
        if walk.layout.end() as u64 != header.payload_len {
            return Err(WireError::Length {
                what: "the payload",
                needed: walk.layout.end() as u64,
                given: header.payload_len,
            });
        }
        if header.kind == Kind::Request && capacity > limits.outputs {
            return Err(WireError::TooLarge {
                what: "the room for the outputs of a request",
                size: capacity,
                limit: limits.outputs,
            });
        }
        Ok(Self {
            reads,
            writes,
            capacity,
            shared,
            trace,
        })
    }

    /// The read arguments, in order.
    #[must_use]
    pub fn reads(&self) -> ArgIter<'m> {
        self.reads.clone()
    }

    /// The write arguments, in order.
    #[must_use]
    pub fn writes(&self) -> ArgIter<'m> {
        self.writes.clone()
    }

    /// Bytes of all write arguments together: what the outputs of a request
    /// need when each is as large as it may be.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Bytes of the read arguments in shared memory, all together.
    #[must_use]
    pub fn shared(&self) -> u64 {
        self.shared
    }

    /// The trace that a request belongs to.
    #[must_use]
    pub fn trace(&self) -> Option<Trace> {
        self.trace
    }

    /// The message of an error reply; empty when there is none. Bytes that are
    /// not UTF-8 are replaced, control characters too: it goes to logs.
    #[must_use]
    pub fn message(&self, payload: &[u8]) -> String {
        let Some(arg) = self.reads().next() else {
            return String::new();
        };
        let bytes = arg.bytes(payload);
        let bytes = bytes.split(|&b| b == 0).next().unwrap_or(&[]);
        let bytes = &bytes[..bytes.len().min(crate::frame::MAX_MESSAGE)];
        String::from_utf8_lossy(bytes)
            .chars()
            .map(|c| {
                if c.is_control() && c != '\n' {
                    '\u{fffd}'
                } else {
                    c
                }
            })
            .collect()
    }
}

/// Goes through read or write arguments.
#[derive(Debug, Clone)]
pub struct ArgIter<'m> {
    descriptors: &'m [u8],
    extensions: &'m [u8],
    layout: Layout,
    index: usize,
    /// Shared memory is in use.
    shared: bool,
}

impl<'m> ArgIter<'m> {
    /// The next argument, checked. `before` is how many of the frame come
    /// before this list, for messages.
    fn step(&mut self, before: usize) -> Result<Option<Arg<'m>>, WireError> {
        let Some((d, rest)) = self.descriptors.split_at_checked(DESCRIPTOR_LEN) else {
            return Ok(None);
        };
        self.descriptors = rest;
        let index = self.index;
        self.index += 1;

        let field = |name, value| WireError::field("a descriptor", name, value);
        let type_ = u32::from(d[0]);
        if type_ > TENSOR {
            return Err(field("type", d[0].into()));
        }
        let flags = d[1];
        let dtype = u16_at(d, 2);
        let word = u32_at(d, 4);
        let size = u64_at(d, 8);
        let known = FLAG_NULL | FLAG_DATA | FLAG_ALLOCATE | FLAG_SHARED | FLAG_KEPT;
        let is_kept = flags & FLAG_KEPT != 0;
        let misplaced = flags & FLAG_SHARED != 0
            && (!self.shared || flags & (FLAG_NULL | FLAG_ALLOCATE) != 0 || size == 0)
            || is_kept && (flags != FLAG_KEPT || type_ != TENSOR);
        if flags & !known != 0 || misplaced {
            return Err(WireError::Flags {
                index: before + index,
                flags,
            });
        }
        if flags & FLAG_NULL != 0 && size != 0 {
            return Err(field("size where the pointer is null", size));
        }
        let shared = (flags & FLAG_SHARED != 0).then(|| Place::decode(u64_at(d, 16)));
        let last = u64_at(d, 16);
        let kept = if is_kept {
            let number = i64::try_from(last);
            Some(number.map_err(|_| field("number of a kept tensor", last))?)
        } else if shared.is_none() && last != 0 {
            return Err(field("offset in shared memory", last));
        } else {
            None
        };
        let range = if flags & FLAG_DATA != 0 && shared.is_none() {
            self.layout.place(size)?
        } else {
            0..0
        };
        let tensor = if type_ == TENSOR {
            Some(self.extension(dtype, word)?)
        } else if dtype != 0 {
            return Err(field("dtype of what is no tensor", dtype.into()));
        } else {
            None
        };
        Ok(Some(Arg {
            index,
            type_,
            flags,
            custom_type: if type_ == TENSOR { 0 } else { word },
            size: usize::try_from(size).map_err(|_| WireError::Overflow)?,
            range,
            shared,
            kept,
            tensor,
        }))
    }

    fn extension(&mut self, dtype: u16, word: u32) -> Result<Tensor<'m>, WireError> {
        let rank = (word & 0xffff) as usize;
        if rank > MAX_RANK {
            return Err(WireError::field("a descriptor", "rank", rank as u64));
        }
        let name_len = (word >> 16) as u16;
        let named = name_len != NO_NAME;
        let needed = rank * 8 + if named { usize::from(name_len) } else { 0 };
        let Some((extension, rest)) = self.extensions.split_at_checked(needed) else {
            return Err(WireError::Length {
                what: "shape and name of a tensor",
                needed: needed as u64,
                given: self.extensions.len() as u64,
            });
        };
        self.extensions = rest;
        let (dims, name) = extension.split_at(rank * 8);
        if name.contains(&0) {
            return Err(WireError::Tensor);
        }
        Ok(Tensor {
            dtype,
            dims,
            name: named.then_some(name),
        })
    }
}

impl<'m> Iterator for ArgIter<'m> {
    type Item = Arg<'m>;

    fn next(&mut self) -> Option<Arg<'m>> {
        // `Args::decode` has walked over all of them without error.
        self.step(0).ok().flatten()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let n = self.descriptors.len() / DESCRIPTOR_LEN;
        (n, Some(n))
    }
}

impl ExactSizeIterator for ArgIter<'_> {}
