//! Sends a resource to the agent: names and sizes first, then the bytes in
//! pieces, several of them in flight.

use crate::call;
use crate::content::{self, Hash, SMALLEST};
use crate::error;
use crate::session::{Session, odd_number};
use std::collections::{HashSet, VecDeque};
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use vaccel_plugin::abi::arg::{ARG_BUFFER, ARG_INT64, ARG_UINT8};
use vaccel_plugin::abi::blob::{BLOB_BUFFER, BLOB_FILE, BLOB_MAPPED, vaccel_blob};
use vaccel_plugin::abi::resource::{PATH_LOCAL_DIR, PATH_REMOTE_FILE, vaccel_resource};
use vaccel_plugin::host::report_progress;
use vaccel_plugin::{Error, Result, bail, code, err};
use vaccel_wire::control::{
    BlobHead, MAX_PIECE, RESOURCE_BEGIN, RESOURCE_COMMIT, RESOURCE_DATA, RESOURCE_DETACH,
    RESOURCE_OFFSETS, ResourceData,
};
use vaccel_wire::{FrameBuffer, check_name};

/// Pieces on their way at the same time: enough to hide the way there and back.
const IN_FLIGHT: usize = 4;

/// One file or buffer to send.
struct Blob<'r> {
    type_: u32,
    name: CString,
    size: u64,
    content: Content<'r>,
    /// The file that the bytes are those of.
    origin: Option<File>,
    hash: Option<Hash>,
}

enum Content<'r> {
    Memory(&'r [u8]),
    File(File),
}

/// Sends a resource and registers it with the session; the agent's number.
///
/// # Safety
/// `resource` is a live resource, whose blobs stay as they are.
pub(crate) unsafe fn send(session: &Session, resource: *mut vaccel_resource) -> Result<i64> {
    // SAFETY: as promised by the caller.
    let (id, type_, path_type) =
        unsafe { ((*resource).id, (*resource).type_, (*resource).path_type) };
    if path_type == PATH_REMOTE_FILE {
        bail!(
            ENOTSUP,
            "resource {id} is a URL, which agents do not download: fetch the file and use its path"
        );
    }
    // SAFETY: as promised by the caller.
    let mut blobs = unsafe { collect(resource, path_type) }?;
    if blobs.is_empty() {
        bail!(EINVAL, "resource {id} has no data");
    }
    blobs.iter_mut().for_each(Blob::find_hash);
    let first = attempt(session, id, type_, path_type, &blobs);
    match first {
        // A file may have been changed without any trace in its times.
        Err(e) if e.code() == code::EINVAL && blobs.iter().any(|blob| blob.hash.is_some()) => {
            blobs.iter_mut().for_each(Blob::forget_hash);
            attempt(session, id, type_, path_type, &blobs)
        }
        result => result,
    }
}

fn attempt(
    session: &Session,
    id: i64,
    type_: u32,
    path_type: u32,
    blobs: &[Blob<'_>],
) -> Result<i64> {
    let (number, complete) = begin(session, type_, path_type, blobs)?;
    let sent = if complete {
        Ok(())
    } else {
        offsets(session, number, blobs).and_then(|from| pieces(session, number, blobs, &from))
    };
    let sent = sent.and_then(|()| {
        call::run(&session.link, session.number, RESOURCE_COMMIT, |call| {
            call.scalar(number);
            Ok(())
        })
    });
    if let Err(error) = sent {
        if session.link.connection.is_usable() {
            // The agent need not keep half a resource. When it cannot be told,
            // the end of the session will do.
            let _ = call::run(&session.link, session.number, RESOURCE_DETACH, |call| {
                call.scalar(number);
                Ok(())
            });
        }
        return Err(error.context(format!("cannot send resource {id}")));
    }
    Ok(number)
}

fn begin(session: &Session, type_: u32, path_type: u32, blobs: &[Blob<'_>]) -> Result<(i64, bool)> {
    let (mut number, mut complete) = (0_i64, 0_u8);
    call::run(&session.link, session.number, RESOURCE_BEGIN, |call| {
        call.scalar(type_);
        call.scalar(path_type);
        for blob in blobs {
            call.blob(&BlobHead {
                type_: blob.type_,
                name: &blob.name,
                size: blob.size,
                hash: blob.hash.as_ref().map_or(&[], |hash| &hash[..]),
            });
        }
        call.out_exact(ARG_INT64, &raw mut number);
        call.out_exact(ARG_UINT8, &raw mut complete);
        Ok(())
    })?;
    if number <= 0 {
        return Err(odd_number("resource", number));
    }
    Ok((number, complete != 0))
}

/// Where the agent wants each blob to go on. Agents that keep nothing want everything.
fn offsets(session: &Session, resource: i64, blobs: &[Blob<'_>]) -> Result<Vec<u64>> {
    if blobs.iter().all(|blob| blob.hash.is_none()) {
        return Ok(vec![0; blobs.len()]);
    }
    let mut buffer = FrameBuffer::new();
    let mut builder = buffer.request(RESOURCE_OFFSETS);
    builder.read_scalar(resource).write_allocate(ARG_BUFFER);
    let mut frame = builder
        .finish()
        .map_err(|e| Error::new(e.code(), e.to_string()))?;
    let mut collect = vaccel_transport::Collect::default();
    let connection = &session.link.connection;
    match connection.call(&mut frame, session.number, None, &mut collect) {
        Ok(()) => {}
        Err(e) => {
            let e = error::call(&e);
            if e.code() == code::ENOTSUP && connection.is_usable() {
                return Ok(vec![0; blobs.len()]);
            }
            return Err(e);
        }
    }
    let bytes = collect.outputs.pop().unwrap_or_default();
    let (all, rest) = bytes.as_chunks::<8>();
    let offsets: Vec<u64> = all.iter().map(|at| u64::from_le_bytes(*at)).collect();
    let fits = offsets.iter().zip(blobs).all(|(at, blob)| *at <= blob.size);
    if !rest.is_empty() || offsets.len() != blobs.len() || !fits {
        bail!(
            EREMOTEIO,
            "the agent has more of the resource than there is"
        );
    }
    Ok(offsets)
}

fn pieces(session: &Session, resource: i64, blobs: &[Blob<'_>], from: &[u64]) -> Result<()> {
    let connection = &session.link.connection;
    let mut flying = VecDeque::with_capacity(IN_FLIGHT);
    let mut buffer = FrameBuffer::new();
    let mut space = Vec::new();
    let total = blobs.iter().fold(0u64, |sum, b| sum.saturating_add(b.size));
    let mut done = from.iter().fold(0u64, |sum, at| sum.saturating_add(*at));
    for ((index, blob), &from) in (0..).zip(blobs).zip(from) {
        let mut offset = from;
        while offset < blob.size {
            let bytes = blob.piece(offset, &mut space)?;
            let mut builder = buffer.request(RESOURCE_DATA);
            ResourceData {
                resource,
                blob: index,
                offset,
                bytes,
            }
            .encode(&mut builder);
            let mut frame = builder
                .finish()
                .map_err(|e| Error::new(e.code(), e.to_string()))?;
            if flying.len() == IN_FLIGHT {
                land(flying.pop_front())?;
            }
            let begun = connection.begin(&mut frame, session.number, None);
            flying.push_back(begun.map_err(|e| error::call(&e))?);
            offset += bytes.len() as u64;
            done = done.saturating_add(bytes.len() as u64);
            report_progress(&blob.name, done, total);
        }
    }
    while !flying.is_empty() {
        land(flying.pop_front())?;
    }
    Ok(())
}

fn land(pending: Option<vaccel_transport::Pending<'_>>) -> Result<()> {
    match pending {
        Some(pending) => pending.wait(&mut ()).map_err(|e| error::call(&e)),
        None => Ok(()),
    }
}

impl Blob<'_> {
    /// Finds out the hash where it is worth it. That of memory is computed each time, which
    /// takes less than to send it.
    fn find_hash(&mut self) {
        if self.size < SMALLEST {
            return;
        }
        self.hash = match (&self.content, &self.origin) {
            // Without it everything is sent, and says what is wrong with the file.
            (Content::File(file), _) | (_, Some(file)) => content::of_file(file).ok(),
            (Content::Memory(bytes), None) => Some(*blake3::hash(bytes).as_bytes()),
        };
    }

    fn forget_hash(&mut self) {
        self.hash = None;
        if let Content::File(file) = &self.content {
            content::forget(file);
        }
        self.origin.iter().for_each(content::forget);
    }

    /// The bytes at an offset; at most a piece.
    fn piece<'s>(&'s self, offset: u64, space: &'s mut Vec<u8>) -> Result<&'s [u8]> {
        let left = self.size - offset;
        let len = usize::try_from(left).map_or(MAX_PIECE, |left| left.min(MAX_PIECE));
        match &self.content {
            Content::Memory(bytes) => {
                // The offset is below the size, which came from this slice.
                let at = offset as usize;
                Ok(&bytes[at..at + len])
            }
            Content::File(file) => {
                space.resize(len, 0);
                file.read_exact_at(space, offset).map_err(|e| {
                    Error::from(e).context(format!("cannot read {}", self.name.to_string_lossy()))
                })?;
                Ok(space)
            }
        }
    }
}

/// The files and buffers of a resource.
///
/// # Safety
/// As [`send`].
unsafe fn collect<'r>(resource: *mut vaccel_resource, path_type: u32) -> Result<Vec<Blob<'r>>> {
    // SAFETY: as promised by the caller: as many pointers as it says.
    let list = unsafe {
        let (at, count) = ((*resource).blobs, (*resource).nr_blobs);
        if at.is_null() {
            &[]
        } else {
            std::slice::from_raw_parts(at.cast_const(), count)
        }
    };
    // SAFETY: as promised by the caller.
    let folder = unsafe { folder(resource, path_type) };
    let mut names = HashSet::new();
    let mut blobs = Vec::with_capacity(list.len());
    for (index, &blob) in list.iter().enumerate() {
        // SAFETY: as promised by the caller: each null or a live blob.
        let Some(blob) = (unsafe { blob.as_ref() }) else {
            continue;
        };
        // SAFETY: as above.
        let (type_, content, size) = unsafe { content(blob) }?;
        // SAFETY: as above.
        let origin = unsafe { origin(blob, &content, size) };
        // SAFETY: as above.
        let name = unsafe { name(blob, folder, index) };
        let name = if names.contains(&name) {
            // Files of one name from several folders.
            [format!("{index}/").as_bytes(), &name].concat()
        } else {
            name
        };
        check_name(&name).map_err(|e| Error::invalid(e.to_string()))?;
        names.insert(name.clone());
        blobs.push(Blob {
            type_,
            name: CString::new(name).map_err(|_| err!(EINVAL, "a file name has a zero"))?,
            size,
            content,
            origin,
            hash: None,
        });
    }
    Ok(blobs)
}

/// The folder that a resource is made of.
///
/// # Safety
/// As [`send`].
unsafe fn folder<'r>(resource: *mut vaccel_resource, path_type: u32) -> Option<&'r Path> {
    // SAFETY: as promised by the caller: as many C strings as it says.
    unsafe {
        let (paths, count) = ((*resource).paths, (*resource).nr_paths);
        if path_type != PATH_LOCAL_DIR || paths.is_null() || count == 0 {
            return None;
        }
        path(paths.read())
    }
}

/// # Safety
/// `at` is null or a C string that outlives `'r`.
unsafe fn path<'r>(at: *const libc::c_char) -> Option<&'r Path> {
    if at.is_null() {
        return None;
    }
    // SAFETY: as promised by the caller.
    Some(Path::new(OsStr::from_bytes(
        unsafe { CStr::from_ptr(at) }.to_bytes(),
    )))
}

/// Name of a blob at the agent: its place below the folder, else its own name.
///
/// # Safety
/// `blob` is live.
unsafe fn name(blob: &vaccel_blob, folder: Option<&Path>, index: usize) -> Vec<u8> {
    // SAFETY: as promised by the caller: C strings or null.
    let (own, at) = unsafe { (path(blob.name), path(blob.path)) };
    if let (Some(folder), Some(at)) = (folder, at)
        && let Ok(below) = at.strip_prefix(folder)
    {
        return below.as_os_str().as_bytes().to_vec();
    }
    // A name is no path; what it has of one stays here.
    own.and_then(Path::file_name)
        .or_else(|| at.and_then(Path::file_name))
        .map_or_else(
            || format!("blob.{index}").into_bytes(),
            |name| name.as_bytes().to_vec(),
        )
}

/// # Safety
/// `blob` is live.
unsafe fn content<'r>(blob: &vaccel_blob) -> Result<(u32, Content<'r>, u64)> {
    let type_ = if blob.type_ == BLOB_BUFFER {
        BLOB_BUFFER
    } else {
        BLOB_FILE
    };
    if !blob.data.is_null() && blob.size <= isize::MAX as usize {
        // SAFETY: as promised by the caller: `size` bytes at `data`.
        let bytes = unsafe { std::slice::from_raw_parts(blob.data.cast_const(), blob.size) };
        return Ok((type_, Content::Memory(bytes), blob.size as u64));
    }
    // SAFETY: as promised by the caller.
    let Some(path) = (unsafe { path(blob.path) }).filter(|p| !p.as_os_str().is_empty()) else {
        return if blob.size == 0 {
            Ok((type_, Content::Memory(&[]), 0))
        } else {
            Err(err!(EINVAL, "a blob of {} bytes has no data", blob.size))
        };
    };
    let open = || {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Ok::<_, std::io::Error>((file, size))
    };
    let (file, size) =
        open().map_err(|e| Error::from(e).context(format!("cannot read {}", path.display())))?;
    Ok((type_, Content::File(file), size))
}

/// The file that a blob in memory was mapped from.
///
/// # Safety
/// `blob` is live.
unsafe fn origin(blob: &vaccel_blob, content: &Content<'_>, size: u64) -> Option<File> {
    if blob.type_ != BLOB_MAPPED || !matches!(content, Content::Memory(_)) || size < SMALLEST {
        return None;
    }
    // SAFETY: as promised by the caller.
    let file = File::open(unsafe { path(blob.path) }?).ok()?;
    let meta = file.metadata().ok()?;
    (meta.is_file() && meta.len() == size).then_some(file)
}
