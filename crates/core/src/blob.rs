//! Blobs: the files and buffers that resources consist of.

use crate::alloc::Block;
use crate::naming::compose;
pub use crate::naming::{NAME, Naming};
use crate::ptr::Ptr;
use crate::{Error, Result, alloc, err, fail, get, get_bool, lock, log_warn, ptr, set};
use std::ffi::{CStr, CString, OsStr, c_char};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use vaccel_abi::blob::{BLOB_BUFFER, BLOB_FILE, BLOB_MAPPED, BLOB_MAX, vaccel_blob};

/// Two threads that read the same blob must not map its file twice. A blob has
/// no lock of its own, so it borrows one of these, by address.
static READING: [Mutex<()>; 16] = [const { Mutex::new(()) }; 16];

fn reading(blob: Ptr<vaccel_blob>) -> &'static Mutex<()> {
    &READING[(blob.as_ptr().addr() >> 5) % READING.len()]
}

/// `vaccel_blob_init`: a blob for an existing file; nothing is read yet.
///
/// # Errors
/// `EINVAL` for an empty path or something that is no file; `ENOENT` and others
/// of the file system; `ENOMEM`.
pub fn init(blob: Ptr<vaccel_blob>, path: &CStr) -> Result {
    clear(blob);
    let path_ref = as_path(path);
    if path.is_empty() {
        fail!(EINVAL, "the path of the blob is empty");
    }
    let meta = path_ref
        .metadata()
        .map_err(|e| Error::io(path_ref.display(), &e))?;
    if !meta.is_file() {
        fail!(EINVAL, "{} is not a file", path_ref.display());
    }
    // Where pointers have 32 bits a file can be larger than memory: it can be sent, but
    // not be mapped.
    let size = usize::try_from(meta.len()).unwrap_or(usize::MAX);
    let name = path_ref.file_name().unwrap_or(path_ref.as_os_str());
    let name = alloc::string_from(name.as_bytes())?;
    let path = alloc::string(path).inspect_err(|_| {
        // SAFETY: made above.
        unsafe { alloc::free(name) }
    })?;
    set!(blob.type_ = BLOB_FILE);
    set!(blob.name = name);
    set!(blob.path = path);
    set!(blob.size = size);
    Ok(())
}

fn clear(blob: Ptr<vaccel_blob>) {
    blob.write(vaccel_blob {
        type_: BLOB_FILE,
        name: std::ptr::null_mut(),
        path: std::ptr::null_mut(),
        path_owned: false,
        data: std::ptr::null_mut(),
        data_owned: false,
        size: 0,
    });
}

fn as_path(path: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(path.to_bytes()))
}

/// `vaccel_blob_init_from_buf`: a blob of memory, which is not copied and with
/// `owned` freed (libc `free`) with the blob; or, with a folder, a file with that
/// content, mapped, which goes away with the blob.
///
/// # Errors
/// `EINVAL` for no data and for a name that is not a plain file name; those of
/// the file system; `ENOMEM`. The memory stays the caller's then.
pub fn init_from_buf(
    blob: Ptr<vaccel_blob>,
    data: *const u8,
    size: usize,
    owned: bool,
    naming: Naming<'_>,
) -> Result {
    clear(blob);
    if data.is_null() || size == 0 {
        fail!(EINVAL, "a blob needs data");
    }
    let name = compose(naming)?;
    set!(blob.type_ = BLOB_BUFFER);
    set!(blob.name = name);
    set!(blob.data = data.cast_mut());
    set!(blob.size = size);
    let Some(folder) = naming.folder else {
        set!(blob.data_owned = owned);
        return Ok(());
    };
    let result = write_file(blob, as_path(folder), name).and_then(|()| {
        set!(blob.data = std::ptr::null_mut());
        set!(blob.type_ = BLOB_FILE);
        read(blob)
    });
    if let Err(e) = result {
        // Not ours to free after a failure.
        set!(blob.data = std::ptr::null_mut());
        release(blob);
        return Err(e);
    }
    if owned {
        // SAFETY: the caller gave the memory away; it came from libc.
        unsafe { alloc::free(data.cast_mut()) };
    }
    Ok(())
}

/// `vaccel_blob_persist`: writes a blob in memory to a file in `folder`, which
/// goes away with the blob. The data stay where they are.
///
/// # Errors
/// `EINVAL` when the blob has a file already or the name is not a plain file
/// name; those of the file system.
pub fn persist(blob: Ptr<vaccel_blob>, naming: Naming<'_>) -> Result {
    let _guard = lock(reading(blob));
    if get!(blob.type_) != BLOB_BUFFER || !get!(blob.path).is_null() {
        fail!(EINVAL, "the blob has a file already");
    }
    let Some(folder) = naming.folder else {
        fail!(EINVAL, "no folder to write the blob to");
    };
    // SAFETY: the name of an initialised blob is a C string or null.
    let own = unsafe { ptr::optional_text(get!(blob.name)) };
    let name = compose(Naming {
        name: naming.name.or(own),
        room: None,
        ..naming
    })?;
    // SAFETY: made just now.
    let name = unsafe { Block::from_raw(name) };
    write_file(blob, as_path(folder), name.as_ptr())
}

/// Writes the data to a new file and sets path and `path_owned`.
fn write_file(blob: Ptr<vaccel_blob>, folder: &Path, name: *const c_char) -> Result {
    let data = get!(blob.data);
    if data.is_null() {
        fail!(EINVAL, "the blob has no data");
    }
    // SAFETY: made by `compose`.
    let path = folder.join(as_path(unsafe { CStr::from_ptr(name) }));
    // SAFETY: a blob in memory has `size` bytes at `data`.
    let bytes = unsafe { std::slice::from_raw_parts(data, get!(blob.size)) };
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&path)
        .and_then(|mut file| {
            file.write_all(bytes).inspect_err(|_| {
                let _ = std::fs::remove_file(&path);
            })
        });
    written.map_err(|e| Error::io(path.display(), &e))?;
    let c_path = alloc::string_from(path.as_os_str().as_bytes()).inspect_err(|_| {
        let _ = std::fs::remove_file(&path);
    })?;
    set!(blob.path = c_path);
    set!(blob.path_owned = true);
    Ok(())
}

/// `vaccel_blob_read`: maps the file of a FILE blob, which becomes MAPPED. What
/// is in memory already is left as it is.
///
/// # Errors
/// Those of the file system; `ENOMEM` when the file does not fit into memory.
pub fn read(blob: Ptr<vaccel_blob>) -> Result {
    let _guard = lock(reading(blob));
    if get!(blob.type_) != BLOB_FILE {
        return Ok(());
    }
    // SAFETY: the path of an initialised blob is a C string or null.
    let Some(path) = (unsafe { ptr::optional_text(get!(blob.path)) }) else {
        fail!(EINVAL, "the blob has neither data nor a path");
    };
    let path = as_path(path);
    let file = File::open(path).map_err(|e| Error::io(path.display(), &e))?;
    let length = file
        .metadata()
        .map_err(|e| Error::io(path.display(), &e))?
        .len();
    let Some(size) = usize::try_from(length)
        .ok()
        .filter(|&n| isize::try_from(n).is_ok())
    else {
        fail!(
            ENOMEM,
            "{}: {length} bytes do not fit into memory",
            path.display()
        );
    };
    let data = if size == 0 {
        std::ptr::null_mut()
    } else {
        map(&file, size, path)?
    };
    set!(blob.data = data);
    set!(blob.data_owned = true);
    set!(blob.size = size);
    set!(blob.type_ = BLOB_MAPPED);
    Ok(())
}

fn map(file: &File, size: usize, path: &Path) -> Result<*mut u8> {
    // SAFETY: a new private mapping of an open file; nothing else is there.
    let p = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_NORESERVE,
            file.as_raw_fd(),
            0,
        )
    };
    if p == libc::MAP_FAILED {
        let e = std::io::Error::last_os_error();
        let code = match e.raw_os_error() {
            Some(libc::ENOMEM | libc::EOVERFLOW) => vaccel_abi::error::ENOMEM,
            _ => vaccel_abi::error::EIO,
        };
        return Err(Error::new(
            code,
            format!("{}: cannot map {size} bytes: {e}", path.display()),
        ));
    }
    Ok(p.cast())
}

/// `vaccel_blob_data`: the bytes and their number, read first if need be.
///
/// # Errors
/// Those of [`read`].
pub fn data(blob: Ptr<vaccel_blob>) -> Result<(*mut u8, usize)> {
    read(blob)?;
    Ok((get!(blob.data), get!(blob.size)))
}

/// `vaccel_blob_valid`: whether its fields fit together.
#[must_use]
pub fn valid(blob: Ptr<vaccel_blob>) -> bool {
    match get!(blob.type_) {
        BLOB_FILE => !get!(blob.path).is_null(),
        BLOB_BUFFER => !get!(blob.data).is_null() && get!(blob.size) > 0,
        BLOB_MAPPED => !get!(blob.data).is_null() || get!(blob.size) == 0,
        _ => false,
    }
}

/// `vaccel_blob_release`: unmaps or frees what it owns, and removes its file if
/// it made it. Twice is harmless.
pub fn release(blob: Ptr<vaccel_blob>) {
    let data = get!(blob.data);
    if get_bool!(blob.data_owned) && !data.is_null() {
        match get!(blob.type_) {
            // SAFETY: mapped by `read` with this size.
            BLOB_MAPPED => unsafe {
                libc::munmap(data.cast(), get!(blob.size));
            },
            // SAFETY: given away by the caller; it came from libc.
            BLOB_BUFFER => unsafe { alloc::free(data) },
            _ => {}
        }
    }
    // SAFETY: the path of an initialised blob is a C string or null.
    if let Some(path) = unsafe { ptr::optional_text(get!(blob.path)) }
        && get_bool!(blob.path_owned)
    {
        let path = as_path(path);
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                log_warn!("cannot remove {}: {e}", path.display());
            }
            _ => {}
        }
    }
    // SAFETY: the strings of an initialised blob are malloc'ed or null.
    unsafe {
        alloc::free(get!(blob.path));
        alloc::free(get!(blob.name));
    }
    clear(blob);
}

/// `vaccel_blob_delete`: releases and frees a malloc'ed blob.
pub fn delete(blob: Ptr<vaccel_blob>) {
    release(blob);
    // SAFETY: malloc'ed, by contract of `vaccel_blob_delete`.
    unsafe { alloc::free(blob.as_ptr()) };
}

/// A malloc'ed blob for a file, with a path in Rust's form.
///
/// # Errors
/// Those of [`init`].
pub fn from_path(path: PathBuf) -> Result<*mut vaccel_blob> {
    let path = CString::new(std::os::unix::ffi::OsStringExt::into_vec(
        path.into_os_string(),
    ))
    .map_err(|_| err!(EINVAL, "zero in the path of a blob"))?;
    alloc::filled(|blob| init(blob, &path))
}

/// A malloc'ed copy of another blob: a FILE blob names the same file, any other
/// one has its own copy of the bytes.
///
/// # Errors
/// `EINVAL` for a blob that is not valid; `ENOMEM`.
pub fn duplicate(from: Ptr<vaccel_blob>) -> Result<*mut vaccel_blob> {
    if get!(from.type_) >= BLOB_MAX || !valid(from) {
        fail!(EINVAL, "the blob is not valid");
    }
    // SAFETY: the strings of an initialised blob are C strings or null.
    let (name, path) = unsafe {
        (
            ptr::optional_text(get!(from.name)),
            ptr::optional_text(get!(from.path)),
        )
    };
    if get!(from.type_) == BLOB_FILE
        && let Some(path) = path
    {
        return alloc::filled(|blob| init(blob, path));
    }
    // SAFETY: a valid blob in memory has `size` bytes at `data`.
    let bytes = unsafe { std::slice::from_raw_parts(get!(from.data), get!(from.size)) };
    let copy = alloc::copy(bytes)?;
    let naming = Naming {
        name,
        ..Naming::default()
    };
    alloc::filled(|blob| init_from_buf(blob, copy, bytes.len(), true, naming)).inspect_err(|_| {
        // SAFETY: made above and still ours.
        unsafe { alloc::free(copy) }
    })
}

/// `fs_file_read`: the content of a file in malloc'ed memory.
///
/// # Errors
/// Those of the file system; `ENOMEM`.
pub fn read_file(path: &CStr) -> Result<(*mut u8, usize)> {
    let path = as_path(path);
    let io = |e| Error::io(path.display(), &e);
    let mut file = File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(io)?;
    Ok((alloc::copy(&bytes)?, bytes.len()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn from_memory(naming: Naming<'_>) -> Result<Ptr<vaccel_blob>> {
        static DATA: [u8; 5] = *b"bytes";
        let p = alloc::filled(|blob| init_from_buf(blob, DATA.as_ptr(), 5, false, naming))?;
        // SAFETY: just made.
        unsafe { Ptr::new(p, "blob") }
    }

    #[test]
    fn a_blob_is_persisted_once_and_its_file_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let c_folder = CString::new(folder.path().as_os_str().as_bytes()).unwrap();
        let naming = Naming {
            name: Some(c"x"),
            folder: Some(&c_folder),
            randomize: false,
            room: None,
        };
        let blob = from_memory(Naming::default()).unwrap();
        persist(blob, naming).unwrap();
        assert_eq!(std::fs::read(folder.path().join("x")).unwrap(), b"bytes");
        assert!(persist(blob, naming).is_err());
        // An existing file is not overwritten, nor removed by the failure.
        assert_eq!(
            from_memory(naming).unwrap_err().code(),
            vaccel_abi::error::EEXIST
        );
        assert!(folder.path().join("x").exists());
        let copy = duplicate(blob).unwrap();
        delete(blob);
        assert!(!folder.path().join("x").exists());
        // SAFETY: just made.
        let copy = unsafe { Ptr::new(copy, "blob") }.unwrap();
        assert_eq!(data(copy).unwrap().1, 5);
        delete(copy);
    }

    #[test]
    fn an_empty_file_has_no_data_and_is_valid() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let p = from_path(file.path().to_owned()).unwrap();
        // SAFETY: just made.
        let blob = unsafe { Ptr::new(p, "blob") }.unwrap();
        assert_eq!(data(blob).unwrap(), (std::ptr::null_mut(), 0));
        assert!(valid(blob));
        delete(blob);
    }
}
