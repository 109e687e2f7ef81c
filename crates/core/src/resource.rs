//! Resources: models, libraries and data.

use crate::blob::{self, NAME, Naming};
use crate::link::{self, Marker};
use crate::ordered::OrderedSet;
use crate::ptr::Ptr;
use crate::registrations::Sessions;
use crate::slab::Slab;
use crate::text::Target;
use crate::url::{self, Location};
use crate::{
    Error, Result, alloc, err, fail, get, lock, log_warn, ptr, register, rundir, runtime, session,
    set,
};
use std::ffi::{CStr, CString, c_char};
use std::mem::offset_of;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use vaccel_abi::blob::vaccel_blob;
use vaccel_abi::resource::{
    PATH_LOCAL_DIR, PATH_LOCAL_FILE, PATH_MAX, PATH_REMOTE_FILE, PathType, RESOURCE_DATA,
    RESOURCE_LIB, RESOURCE_MAX, RESOURCE_MODEL, ResourceType, vaccel_resource,
};
use vaccel_abi::vaccel_id_t;

/// The list of blobs of a resource made from memory, and its only blob, in one
/// allocation: such resources are made for single calls.
#[repr(C)]
struct Single {
    first: *mut vaccel_blob,
    blob: vaccel_blob,
    /// The blob's name, when it fits.
    name: [c_char; NAME],
}

/// What the library keeps of a resource.
#[derive(Default)]
pub(crate) struct Slot {
    /// The program's structure; null when the slot is free.
    pub(crate) resource: AtomicPtr<vaccel_resource>,
    /// Numbers of the sessions it is registered with.
    pub(crate) sessions: Sessions,
    /// The blobs are there.
    pub(crate) prepared: AtomicBool,
    /// Sealed files in memory that blobs of a library point at. Held while files
    /// of the resource are made.
    pub(crate) sealed: Mutex<Vec<OwnedFd>>,
    /// Memory for the next resource of memory that gets this slot; null for none. Only who
    /// has taken the slot, and before that its resource, looks at it.
    spare: AtomicPtr<Single>,
    marker: Marker,
    entry: Marker,
}

pub(crate) static RESOURCES: Slab<Slot> = Slab::new();

/// True when no resource is alive.
#[must_use]
pub fn nobody() -> bool {
    RESOURCES.is_empty()
}

/// `library`, `data` or `model`.
#[must_use]
pub fn type_name(type_: ResourceType) -> &'static str {
    match type_ {
        RESOURCE_LIB => "library",
        RESOURCE_DATA => "data",
        RESOURCE_MODEL => "model",
        _ => "unknown",
    }
}

/// A type as an index.
///
/// # Errors
/// `EINVAL` for an unknown type.
pub fn class_of(type_: ResourceType) -> Result<usize> {
    if type_ >= RESOURCE_MAX {
        fail!(EINVAL, "{type_} is not a type of resource");
    }
    Ok(type_ as usize)
}

/// The slot of a live resource, and its number.
pub(crate) fn slot(res: Ptr<vaccel_resource>) -> Result<&'static Slot> {
    let id = get!(res.id);
    if id > 0
        && let Some(slot) = RESOURCES.get(id)
        && slot.resource.load(Ordering::Acquire) == res.as_ptr()
    {
        return Ok(slot);
    }
    Err(not_alive(id))
}

#[cold]
fn not_alive(id: vaccel_id_t) -> Error {
    if !runtime::is_up() {
        return runtime::why_down();
    }
    err!(
        EINVAL,
        "the resource (id {id}) is not alive: it was not initialised, or released already"
    )
}

/// Slot, number and class of a live resource.
pub(crate) fn identify(res: Ptr<vaccel_resource>) -> Result<(&'static Slot, u32, usize)> {
    let slot = slot(res)?;
    // Numbers of slots are below 2^20.
    Ok((slot, get!(res.id) as u32, class_of(get!(res.type_))?))
}

/// The live resource with a number.
#[must_use]
pub fn by_id(id: vaccel_id_t) -> Option<Ptr<vaccel_resource>> {
    let p = RESOURCES.get(id)?.resource.load(Ordering::Acquire);
    // SAFETY: a structure whose resource is alive; the program keeps it until then.
    unsafe { Ptr::new(p, "resource") }.ok()
}

/// Fills everything with "nothing".
fn clear(res: Ptr<vaccel_resource>) {
    set!(res.id = 0);
    set!(res.remote_id = 0);
    set!(res.type_ = RESOURCE_MAX);
    set!(res.path_type = PATH_MAX);
    set!(res.paths = std::ptr::null_mut());
    set!(res.nr_paths = 0);
    set!(res.rundir = std::ptr::null_mut());
    set!(res.blobs = std::ptr::null_mut());
    set!(res.nr_blobs = 0);
    set!(res.refcount = 0);
    set!(res.plugin_priv = std::ptr::null_mut());
    let p = res.as_ptr();
    // SAFETY: fields of the structure, which the caller vouches for.
    unsafe {
        link::clear(&raw mut (*p).entry);
        link::clear(&raw mut (*p).sessions);
    }
}

/// Gives a resource its number and makes it known, after `fill` has filled it.
fn make(
    res: Ptr<vaccel_resource>,
    type_: ResourceType,
    fill: impl FnOnce(vaccel_id_t, &Slot) -> Result,
) -> Result {
    clear(res);
    runtime::require_up()?;
    let class = class_of(type_)?;
    let (id, slot) = RESOURCES.take(class)?;
    set!(res.id = id);
    set!(res.type_ = type_);
    if let Err(e) = fill(id, slot) {
        free_contents(res, slot);
        clear(res);
        RESOURCES.give_back(id);
        return Err(e);
    }
    // Never used by the library; programs of old may.
    set!(res.sessions_lock = libc::PTHREAD_MUTEX_INITIALIZER);
    let p = res.as_ptr();
    // SAFETY: a list head of the structure; no other thread knows it yet.
    unsafe { slot.entry.fill(&raw mut (*p).entry) };
    slot.resource.store(p, Ordering::Release);
    Ok(())
}

/// `vaccel_resource_init_multi`: a resource of files, one folder, or one or more
/// URLs. Files are looked at when it is registered.
///
/// # Errors
/// `ESESS` when the library is down; `EINVAL` for no or bad paths, unknown types
/// and paths of different kinds; `ENOTSUP` for several folders; those of the
/// file system.
pub fn init(res: Ptr<vaccel_resource>, paths: &[&CStr], type_: ResourceType) -> Result {
    make(res, type_, |_, _| {
        let Some(first) = paths.first() else {
            fail!(EINVAL, "a resource needs a path");
        };
        let kind = locate(first)?.0;
        if kind == PATH_LOCAL_DIR && paths.len() > 1 {
            fail!(ENOTSUP, "a resource can be one folder, not several");
        }
        let list = alloc::zeroed::<*mut c_char>(paths.len())?;
        set!(res.paths = list);
        set!(res.nr_paths = paths.len());
        set!(res.path_type = kind);
        for (i, path) in paths.iter().enumerate() {
            let (this, local) = locate(path)?;
            if this != kind {
                fail!(
                    EINVAL,
                    "files, folders and URLs cannot be mixed in one resource"
                );
            }
            let copy = alloc::string_from(local.as_bytes())?;
            // SAFETY: room for as many as there are paths.
            unsafe { list.add(i).write(copy) };
        }
        Ok(())
    })
}

/// The kind of a path, and the path without `file://`.
fn locate(path: &CStr) -> Result<(PathType, &str)> {
    let Ok(text) = path.to_str() else {
        fail!(EINVAL, "the path {path:?} is not UTF-8");
    };
    match url::parse(text)? {
        Location::Remote(url) => Ok((PATH_REMOTE_FILE, url)),
        Location::Local(local) => {
            let meta = Path::new(local)
                .metadata()
                .map_err(|e| Error::io(local, &e))?;
            if meta.is_dir() {
                Ok((PATH_LOCAL_DIR, local))
            } else if meta.is_file() {
                Ok((PATH_LOCAL_FILE, local))
            } else {
                fail!(EINVAL, "{local} is neither a file nor a folder");
            }
        }
    }
}

/// `vaccel_resource_init_from_buf`: a resource of memory, which is not copied
/// and must outlive it; or, unless `mem_only`, of a file with that content in the
/// run folder.
///
/// # Errors
/// As [`blob::init_from_buf`], `ESESS` when the library is down.
pub fn init_from_buf(
    res: Ptr<vaccel_resource>,
    data: *const u8,
    size: usize,
    type_: ResourceType,
    name: Option<&CStr>,
    mem_only: bool,
) -> Result {
    make(res, type_, |id, slot| {
        let mut naming = Naming {
            name,
            ..Naming::default()
        };
        let folder = if mem_only {
            None
        } else {
            Some(make_rundir(res, id)?)
        };
        naming.folder = folder.as_deref();
        let mut single = slot.spare.load(Ordering::Relaxed);
        slot.spare.store(std::ptr::null_mut(), Ordering::Relaxed);
        if single.is_null() {
            single = alloc::array::<Single>(1)?;
        }
        set!(res.blobs = single.cast());
        // SAFETY: allocated with the size and alignment of the structure; nobody else has it.
        unsafe {
            (&raw mut (*single).first).write(&raw mut (*single).blob);
            let blob = Ptr::new(&raw const (*single).blob, "blob")?;
            naming.room = Some(Ptr::new(&raw const (*single).name, "name")?);
            blob::init_from_buf(blob, data, size, false, naming)?;
        }
        set!(res.nr_blobs = 1);
        slot.prepared.store(true, Ordering::Release);
        Ok(())
    })
}

/// `vaccel_resource_init_from_blobs`: a resource of copies of blobs.
///
/// # Errors
/// `EINVAL` for no or invalid blobs; `ENOMEM`; `ESESS` when the library is down.
pub fn init_from_blobs(
    res: Ptr<vaccel_resource>,
    blobs: &[Ptr<vaccel_blob>],
    type_: ResourceType,
) -> Result {
    make(res, type_, |_, slot| {
        if blobs.is_empty() {
            fail!(EINVAL, "a resource needs at least one blob");
        }
        let list = alloc::zeroed::<*mut vaccel_blob>(blobs.len())?;
        set!(res.blobs = list);
        set!(res.nr_blobs = blobs.len());
        for (i, blob) in blobs.iter().enumerate() {
            let copy = blob::duplicate(*blob)?;
            // SAFETY: room for as many as there are blobs.
            unsafe { list.add(i).write(copy) };
        }
        slot.prepared.store(true, Ordering::Release);
        Ok(())
    })
}

/// Makes the private folder of a resource, if it has none yet.
pub(crate) fn make_rundir(res: Ptr<vaccel_resource>, id: vaccel_id_t) -> Result<CString> {
    // SAFETY: the folder of an initialised resource is a C string or null.
    if let Some(existing) = unsafe { ptr::optional_text(get!(res.rundir)) } {
        return Ok(existing.to_owned());
    }
    let mut path = runtime::rundir()?.to_bytes().to_vec();
    path.extend_from_slice(format!("/resource.{id}").as_bytes());
    let path = CString::new(path).map_err(|_| err!(EINVAL, "zero in the path of the folder"))?;
    rundir::make(rundir::as_path(&path))?;
    set!(res.rundir = alloc::string(&path)?);
    Ok(path)
}

/// The blobs of a resource.
pub(crate) fn blobs(res: Ptr<vaccel_resource>) -> impl Iterator<Item = Ptr<vaccel_blob>> {
    let list = get!(res.blobs);
    let count = if list.is_null() {
        0
    } else {
        get!(res.nr_blobs)
    };
    // SAFETY: as many pointers as the resource says, each null or a live blob.
    (0..count).filter_map(move |i| unsafe { Ptr::new(list.add(i).read(), "blob") }.ok())
}

/// Whether the first file of a resource begins with these bytes.
pub(crate) fn begins_with(res: Ptr<vaccel_resource>, magic: &[u8]) -> bool {
    use std::io::Read as _;
    let Some(blob) = blobs(res).next() else {
        return false;
    };
    if !get!(blob.data).is_null() && get!(blob.size) >= magic.len() {
        // SAFETY: a blob has `size` bytes at `data`.
        return unsafe { std::slice::from_raw_parts(get!(blob.data), magic.len()) } == magic;
    }
    // SAFETY: the path of an initialised blob is a C string or null.
    let Some(path) = (unsafe { ptr::optional_text(get!(blob.path)) }) else {
        return false;
    };
    let mut head = vec![0; magic.len()];
    std::fs::File::open(rundir::as_path(path))
        .and_then(|mut file| file.read_exact(&mut head))
        .is_ok_and(|()| head == magic)
}

/// The paths of a resource.
pub(crate) fn paths<'a>(res: Ptr<vaccel_resource>) -> Vec<&'a CStr> {
    let (list, count) = (get!(res.paths), get!(res.nr_paths));
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: as many C strings as the resource says.
    unsafe {
        (0..count)
            .filter_map(|i| ptr::optional_text(list.add(i).read()))
            .collect()
    }
}

fn free_contents(res: Ptr<vaccel_resource>, slot: &Slot) {
    let single = get!(res.blobs).cast::<Single>();
    let mut list = single;
    for blob in blobs(res) {
        if std::ptr::eq(
            blob.as_ptr(),
            single.wrapping_byte_add(offset_of!(Single, blob)).cast(),
        ) {
            if get!(blob.name) == single.wrapping_byte_add(offset_of!(Single, name)).cast() {
                set!(blob.name = std::ptr::null_mut());
            }
            blob::release(blob);
            if slot.spare.load(Ordering::Relaxed).is_null() {
                slot.spare.store(single, Ordering::Relaxed);
                list = std::ptr::null_mut();
            }
        } else {
            blob::delete(blob);
        }
    }
    // SAFETY: the folder of an initialised resource is a C string or null.
    let folder = unsafe { ptr::optional_text(get!(res.rundir)) };
    let has_folder = folder.is_some();
    if let Some(folder) = folder {
        rundir::remove_all(rundir::as_path(folder));
    }
    // SAFETY: what `init` and its kin have made, freed once: `clear` follows.
    unsafe {
        alloc::free(list);
        for path in paths(res) {
            alloc::free(path.as_ptr().cast_mut());
        }
        alloc::free(get!(res.paths));
        alloc::free(get!(res.rundir));
    }
    slot.prepared.store(false, Ordering::Release);
    if has_folder {
        // Only libraries have sealed files, and links to them in their folder.
        lock(&slot.sealed).clear();
    }
}

/// `vaccel_resource_release`: takes it from all sessions and frees what it holds.
///
/// # Errors
/// `EINVAL` when it is not alive.
pub fn release(res: Ptr<vaccel_resource>) -> Result {
    let slot = slot(res)?;
    let id = get!(res.id);
    let registered: Vec<_> = match refcount(res) {
        0 => Vec::new(),
        _ => lock(&slot.sessions).iter().collect(),
    };
    for session in registered {
        let Some(other) = session::slot_by_id(vaccel_id_t::from(session)) else {
            continue;
        };
        let sess = other.session.load(Ordering::Acquire);
        // SAFETY: a structure whose session is open.
        let Ok(sess) = (unsafe { Ptr::new(sess, "session") }) else {
            continue;
        };
        if let Err(e) = register::unregister(res, sess) {
            log_warn!("releasing resource {id}: {e}");
        }
    }
    slot.resource.store(std::ptr::null_mut(), Ordering::Release);
    free_contents(res, slot);
    clear(res);
    RESOURCES.give_back(id);
    Ok(())
}

/// `vaccel_resource_delete`: releases and frees a malloc'ed resource.
///
/// # Errors
/// Those of [`release`]; the memory is not freed then.
pub fn delete(res: Ptr<vaccel_resource>) -> Result {
    release(res)?;
    // SAFETY: malloc'ed, by contract of `vaccel_resource_delete`.
    unsafe { alloc::free(res.as_ptr()) };
    Ok(())
}

/// `vaccel_resource_refcount`: with how many sessions it is registered.
#[must_use]
pub fn refcount(res: Ptr<vaccel_resource>) -> u32 {
    // SAFETY: a field of the structure, written atomically.
    unsafe { AtomicU32::from_ptr(&raw mut (*res.as_ptr()).refcount) }.load(Ordering::Acquire)
}

/// Shows in the program's structure with how many sessions it is registered. The
/// caller holds the resource's lock.
pub(crate) fn show(res: Ptr<vaccel_resource>, slot: &Slot, sessions: &OrderedSet) {
    let p = res.as_ptr();
    // SAFETY: fields of a structure whose resource is alive; the lock is held.
    unsafe {
        // There are fewer sessions than 2^32.
        let count = sessions.len() as u32;
        AtomicU32::from_ptr(&raw mut (*p).refcount).store(count, Ordering::Release);
        if count == 0 {
            link::clear(&raw mut (*p).sessions);
        } else {
            slot.marker.fill(&raw mut (*p).sessions);
        }
    }
}

/// `vaccel_resource_directory`: the folder of a resource: itself, that of its
/// first file, or its private one.
///
/// # Errors
/// `ENOENT` when it lives in memory or was not downloaded yet; those of
/// [`Target::write`].
pub fn directory(res: Ptr<vaccel_resource>, target: Target) -> Result {
    slot(res)?;
    // SAFETY: the folder of an initialised resource is a C string or null.
    let rundir = unsafe { ptr::optional_text(get!(res.rundir)) };
    let folder = match (get!(res.path_type), paths(res).first(), rundir) {
        (PATH_LOCAL_DIR, Some(path), _) => path.to_bytes(),
        (PATH_LOCAL_FILE, Some(path), _) => match rundir::as_path(path).parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.as_os_str().as_bytes(),
            _ => b".",
        },
        (_, _, Some(rundir)) => rundir.to_bytes(),
        _ => fail!(ENOENT, "resource {} has no folder", get!(res.id)),
    };
    target.write(folder)
}

pub use crate::find::{get_all_by_type, get_by_id, get_by_type, require};
pub use crate::register::{register, sync, unregister};
