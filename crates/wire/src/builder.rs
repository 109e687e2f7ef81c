//! Adds arguments to a frame.

use crate::arg::{NO_NAME, TENSOR};
use crate::frame::Cuts;
use crate::{
    FLAG_ALLOCATE, FLAG_DATA, FLAG_KEPT, FLAG_NULL, FLAG_SHARED, Frame, FrameBuffer, HEADER_LEN,
    Layout, MAX_META, MAX_RANK, Place, Scalar, WireError,
};
use std::ffi::CStr;
use vaccel_abi::arg::{ARG_BUFFER, ARG_STRING, ArgType};

/// Data of at most this many bytes is copied to the head of the frame: cheaper
/// than a piece of its own.
const SMALL: usize = 512;

/// Type, shape and name of a tensor to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorMeta<'t> {
    /// Type of the elements, in the numbers of the operation.
    pub dtype: u16,
    /// Lengths of the dimensions, at most [`MAX_RANK`].
    pub dims: &'t [i64],
    /// Name, without zeros.
    pub name: Option<&'t [u8]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    Read,
    Write,
}

/// Data of an argument.
enum Data<'a, 'c> {
    /// Copied when small, else sent from where it lies.
    Lent(&'a [u8]),
    /// Always copied.
    Copied(&'c [u8]),
}

impl Data<'_, '_> {
    fn len(&self) -> usize {
        match self {
            Self::Lent(bytes) => bytes.len(),
            Self::Copied(bytes) => bytes.len(),
        }
    }
}

/// Adds arguments to a frame: read ones first, then write ones.
///
/// What is wrong is told by [`finish`](Self::finish), once.
#[derive(Debug)]
pub struct FrameBuilder<'b, 'a> {
    buffer: &'b mut FrameBuffer,
    cuts: Cuts<'a>,
    layout: Layout,
    nr_read: u16,
    nr_write: u16,
    error: Option<WireError>,
}

impl<'b, 'a> FrameBuilder<'b, 'a> {
    pub(crate) fn new(buffer: &'b mut FrameBuffer) -> Self {
        Self {
            buffer,
            cuts: Cuts::new(),
            layout: Layout::new(),
            nr_read: 0,
            nr_write: 0,
            error: None,
        }
    }

    /// Adds a number to the read arguments.
    pub fn read_scalar<T: Scalar>(&mut self, value: T) -> &mut Self {
        let bytes = value.to_bytes();
        self.push(List::Read, T::TYPE, 0, Data::Copied(&bytes[..T::SIZE]))
    }

    /// Adds a string to the read arguments, with its zero. It is copied.
    pub fn read_text(&mut self, text: &str) -> &mut Self {
        if text.len() < 256 && !text.contains('\0') {
            let mut bytes = [0; 256];
            bytes[..text.len()].copy_from_slice(text.as_bytes());
            return self.push(
                List::Read,
                ARG_STRING,
                0,
                Data::Copied(&bytes[..=text.len()]),
            );
        }
        let mut bytes = text.replace('\0', " ").into_bytes();
        bytes.push(0);
        self.push(List::Read, ARG_STRING, 0, Data::Copied(&bytes))
    }

    /// Adds a C string to the read arguments.
    pub fn read_c_str(&mut self, text: &'a CStr) -> &mut Self {
        self.read_bytes(ARG_STRING, 0, text.to_bytes_with_nul())
    }

    /// Adds bytes as a BUFFER to the read arguments.
    pub fn read_buffer(&mut self, bytes: &'a [u8]) -> &mut Self {
        self.read_bytes(ARG_BUFFER, 0, bytes)
    }

    /// Adds bytes of any type to the read arguments.
    pub fn read_bytes(&mut self, type_: ArgType, custom_type: u32, bytes: &'a [u8]) -> &mut Self {
        self.push(List::Read, type_, custom_type, Data::Lent(bytes))
    }

    /// Adds a copy of bytes of any type to the read arguments.
    pub fn read_copy(&mut self, type_: ArgType, custom_type: u32, bytes: &[u8]) -> &mut Self {
        self.push(List::Read, type_, custom_type, Data::Copied(bytes))
    }

    /// Says that the bytes of the argument just added lie in shared memory, or are
    /// to be written there.
    fn elsewhere(&mut self, place: Place) -> &mut Self {
        self.last_field(place.encode())
    }

    /// Fills the last field of the descriptor just added.
    fn last_field(&mut self, value: u64) -> &mut Self {
        let at = self.buffer.head.len();
        if self.error.is_none() && at >= crate::DESCRIPTOR_LEN {
            self.buffer.head[at - 8..].copy_from_slice(&value.to_le_bytes());
        }
        self
    }

    /// Adds a tensor that the agent keeps to the read arguments.
    pub fn read_tensor_kept(&mut self, meta: &TensorMeta<'_>, number: i64) -> &mut Self {
        self.tensor(List::Read, meta, FLAG_KEPT, 0)
            .last_field(number.cast_unsigned())
    }

    /// Adds an output tensor that the agent is to keep to a request.
    pub fn write_tensor_keep(&mut self, meta: &TensorMeta<'_>) -> &mut Self {
        self.tensor(List::Write, meta, FLAG_KEPT, 0)
    }

    /// Adds a tensor of `size` bytes that the agent keeps to the write arguments of a reply.
    pub fn write_tensor_kept(
        &mut self,
        meta: &TensorMeta<'_>,
        size: usize,
        number: i64,
    ) -> &mut Self {
        self.tensor(List::Write, meta, FLAG_KEPT, size as u64)
            .last_field(number.cast_unsigned())
    }

    /// Adds a tensor with a copy of its bytes to the write arguments of a reply.
    pub fn write_tensor_copy(&mut self, meta: &TensorMeta<'_>, bytes: &[u8]) -> &mut Self {
        self.tensor(List::Write, meta, FLAG_DATA, bytes.len() as u64)
            .data(Data::Copied(bytes))
    }

    /// Adds `size` bytes of shared memory to the read arguments; not 0.
    pub fn read_shared(
        &mut self,
        type_: ArgType,
        custom_type: u32,
        size: usize,
        place: Place,
    ) -> &mut Self {
        let flags = FLAG_DATA | FLAG_SHARED;
        self.plain(List::Read, type_, flags, custom_type, size as u64)
            .elsewhere(place)
    }

    /// Adds a tensor whose `size` bytes are in shared memory to the read arguments.
    pub fn read_tensor_shared(
        &mut self,
        meta: &TensorMeta<'_>,
        size: usize,
        place: Place,
    ) -> &mut Self {
        self.tensor(List::Read, meta, FLAG_DATA | FLAG_SHARED, size as u64)
            .elsewhere(place)
    }

    /// Adds an output of at most `size` bytes, to be written to shared memory, to a
    /// request.
    pub fn write_capacity_shared(
        &mut self,
        type_: ArgType,
        custom_type: u32,
        size: usize,
        place: Place,
    ) -> &mut Self {
        self.plain(List::Write, type_, FLAG_SHARED, custom_type, size as u64)
            .elsewhere(place)
    }

    /// As [`write_capacity_shared`](Self::write_capacity_shared), for a tensor.
    pub fn write_tensor_capacity_shared(
        &mut self,
        meta: &TensorMeta<'_>,
        size: usize,
        place: Place,
    ) -> &mut Self {
        self.tensor(List::Write, meta, FLAG_SHARED, size as u64)
            .elsewhere(place)
    }

    /// Adds `size` bytes of shared memory to the write arguments: in a request an
    /// output that is read too, in a reply what was written there.
    pub fn write_shared(
        &mut self,
        type_: ArgType,
        custom_type: u32,
        size: usize,
        place: Place,
    ) -> &mut Self {
        let flags = FLAG_DATA | FLAG_SHARED;
        self.plain(List::Write, type_, flags, custom_type, size as u64)
            .elsewhere(place)
    }

    /// As [`write_shared`](Self::write_shared), for a tensor.
    pub fn write_tensor_shared(
        &mut self,
        meta: &TensorMeta<'_>,
        size: usize,
        place: Place,
    ) -> &mut Self {
        self.tensor(List::Write, meta, FLAG_DATA | FLAG_SHARED, size as u64)
            .elsewhere(place)
    }

    /// Adds a null pointer to the read arguments.
    pub fn read_null(&mut self, type_: ArgType) -> &mut Self {
        self.plain(List::Read, type_, FLAG_NULL, 0, 0)
    }

    /// Adds a tensor to the read arguments.
    pub fn read_tensor(&mut self, meta: &TensorMeta<'_>, bytes: &'a [u8]) -> &mut Self {
        self.tensor(List::Read, meta, FLAG_DATA, bytes.len() as u64)
            .data(Data::Lent(bytes))
    }

    /// Adds an output with room for `size` bytes to a request.
    pub fn write_capacity(&mut self, type_: ArgType, custom_type: u32, size: usize) -> &mut Self {
        self.plain(List::Write, type_, 0, custom_type, size as u64)
    }

    /// Adds an output whose size the agent decides to a request.
    pub fn write_allocate(&mut self, type_: ArgType) -> &mut Self {
        self.plain(List::Write, type_, FLAG_ALLOCATE, 0, 0)
    }

    /// Adds a null pointer to the write arguments.
    pub fn write_null(&mut self, type_: ArgType) -> &mut Self {
        self.plain(List::Write, type_, FLAG_NULL, 0, 0)
    }

    /// Adds an output tensor to a request: with room for `capacity` bytes, or
    /// with a size that the agent decides.
    pub fn write_tensor(&mut self, meta: &TensorMeta<'_>, capacity: Option<usize>) -> &mut Self {
        match capacity {
            Some(size) => self.tensor(List::Write, meta, 0, size as u64),
            None => self.tensor(List::Write, meta, FLAG_ALLOCATE, 0),
        }
    }

    /// Adds bytes to the write arguments: in a request an output that is read
    /// too, in a reply what was written.
    pub fn write_bytes(&mut self, type_: ArgType, custom_type: u32, bytes: &'a [u8]) -> &mut Self {
        self.push(List::Write, type_, custom_type, Data::Lent(bytes))
    }

    /// Adds a copy of bytes to the write arguments of a reply.
    pub fn write_copy(&mut self, type_: ArgType, custom_type: u32, bytes: &[u8]) -> &mut Self {
        self.push(List::Write, type_, custom_type, Data::Copied(bytes))
    }

    /// Adds a number to the write arguments of a reply.
    pub fn write_scalar<T: Scalar>(&mut self, value: T) -> &mut Self {
        let bytes = value.to_bytes();
        self.push(List::Write, T::TYPE, 0, Data::Copied(&bytes[..T::SIZE]))
    }

    /// Adds a tensor with its bytes to the write arguments of a reply.
    pub fn write_tensor_data(&mut self, meta: &TensorMeta<'_>, bytes: &'a [u8]) -> &mut Self {
        self.tensor(List::Write, meta, FLAG_DATA, bytes.len() as u64)
            .data(Data::Lent(bytes))
    }

    /// Ends the list of arguments.
    ///
    /// # Errors
    /// What was wrong with the first argument that could not be added.
    pub fn finish(mut self) -> Result<Frame<'b, 'a>, WireError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let meta = self.buffer.head.len() - HEADER_LEN + self.buffer.extensions.len();
        if meta > MAX_META as usize {
            return Err(WireError::TooLarge {
                what: "the meta of a frame",
                size: meta as u64,
                limit: MAX_META.into(),
            });
        }
        Ok(self.close())
    }

    /// [`finish`](Self::finish) for frames that cannot have an error.
    pub(crate) fn close(mut self) -> Frame<'b, 'a> {
        let FrameBuffer {
            head,
            extensions,
            small,
        } = self.buffer;
        head.extend_from_slice(extensions);
        // At most MAX_META: `finish` has checked, and bare frames have little.
        let meta = (head.len() - HEADER_LEN) as u32;
        self.cuts.shift(head.len());
        head.extend_from_slice(small);
        head[24..26].copy_from_slice(&self.nr_read.to_le_bytes());
        head[26..28].copy_from_slice(&self.nr_write.to_le_bytes());
        head[28..32].copy_from_slice(&meta.to_le_bytes());
        head[32..40].copy_from_slice(&(self.layout.end() as u64).to_le_bytes());
        Frame {
            head,
            cuts: self.cuts,
            traced: false,
        }
    }

    fn push(&mut self, list: List, type_: ArgType, custom: u32, data: Data<'a, '_>) -> &mut Self {
        self.plain(list, type_, FLAG_DATA, custom, data.len() as u64)
            .data(data)
    }

    fn tensor(&mut self, list: List, meta: &TensorMeta<'_>, flags: u8, size: u64) -> &mut Self {
        let name = meta.name.unwrap_or(&[]);
        if meta.dims.len() > MAX_RANK || name.len() >= usize::from(NO_NAME) || name.contains(&0) {
            self.fail(WireError::Tensor);
            return self;
        }
        let name_len = if meta.name.is_some() {
            name.len() as u32
        } else {
            NO_NAME.into()
        };
        let word = meta.dims.len() as u32 | name_len << 16;
        self.describe(list, TENSOR, flags, meta.dtype, word, size);
        for d in meta.dims {
            self.buffer.extensions.extend_from_slice(&d.to_le_bytes());
        }
        self.buffer.extensions.extend_from_slice(name);
        self
    }

    /// Adds a descriptor of what is no tensor.
    fn plain(
        &mut self,
        list: List,
        type_: ArgType,
        flags: u8,
        custom: u32,
        size: u64,
    ) -> &mut Self {
        if type_ >= TENSOR {
            self.fail(WireError::field("a descriptor", "type", type_.into()));
        }
        self.describe(list, type_, flags, 0, custom, size)
    }

    /// Adds a descriptor.
    fn describe(
        &mut self,
        list: List,
        type_: ArgType,
        flags: u8,
        dtype: u16,
        word: u32,
        size: u64,
    ) -> &mut Self {
        if list == List::Read && self.nr_write != 0 {
            self.fail(WireError::Order);
        }
        let count = match list {
            List::Read => &mut self.nr_read,
            List::Write => &mut self.nr_write,
        };
        match count.checked_add(1) {
            Some(n) => *count = n,
            None => self.fail(WireError::TooManyArguments),
        }
        let mut d = [0; crate::DESCRIPTOR_LEN];
        // Larger types have been refused.
        d[0] = type_ as u8;
        d[1] = flags;
        d[2..4].copy_from_slice(&dtype.to_le_bytes());
        d[4..8].copy_from_slice(&word.to_le_bytes());
        d[8..16].copy_from_slice(&size.to_le_bytes());
        self.buffer.head.extend_from_slice(&d);
        self
    }

    /// Adds the bytes of the argument just described.
    fn data(&mut self, data: Data<'a, '_>) -> &mut Self {
        if self.error.is_some() {
            return self;
        }
        let end = self.layout.end();
        let range = match self.layout.place(data.len() as u64) {
            Ok(range) => range,
            Err(error) => {
                self.fail(error);
                return self;
            }
        };
        if range.is_empty() {
            return self;
        }
        let small = &mut self.buffer.small;
        small.resize(small.len() + (range.start - end), 0);
        match data {
            Data::Copied(bytes) => small.extend_from_slice(bytes),
            Data::Lent(bytes) if bytes.len() <= SMALL => small.extend_from_slice(bytes),
            Data::Lent(bytes) => self.cuts.push(small.len(), bytes),
        }
        self
    }

    fn fail(&mut self, error: WireError) {
        self.error.get_or_insert(error);
    }
}
