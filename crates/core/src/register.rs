//! Registering resources with sessions.

use crate::plugin::Plugin;
use crate::ptr::Ptr;
use crate::registrations::{Claim, Thread};
use crate::resource::{self, Slot};
use crate::{
    Error, Result, alloc, blob, choice, download, err, fail, get, last_error, lock, log_debug, op,
    plugin, ptr, rundir, runtime, session, set,
};
use std::ffi::CStr;
use std::io::Write as _;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use vaccel_abi::blob::{BLOB_BUFFER, BLOB_FILE, vaccel_blob};
use vaccel_abi::error::ENOMEM;
use vaccel_abi::plugin::ResourceFn;
use vaccel_abi::resource::{
    PATH_LOCAL_DIR, PATH_LOCAL_FILE, PATH_REMOTE_FILE, RESOURCE_MODEL, vaccel_resource,
};
use vaccel_abi::session::vaccel_session;

/// Most files that a folder may hold, and deepest nesting.
const MAX_FILES: usize = 1 << 16;
const MAX_DEPTH: usize = 64;

/// `vaccel_resource_register`: makes a resource known to a session and its
/// plugin. A second time is a no-op.
///
/// # Errors
/// `EINVAL` when one of them is not alive or a folder is empty; `ENOTSUP` for a
/// URL in a local session; `EREMOTEIO` when a transport gives no number; those of
/// the file system and the plugin. The resource is not registered then.
pub fn register(res: Ptr<vaccel_resource>, sess: Ptr<vaccel_session>) -> Result {
    let (r, id, class) = resource::identify(res)?;
    let s = session::slot(sess)?;
    let Some(plugin) = s.plugin() else {
        fail!(EINVAL, "session {} is not open", get!(sess.id));
    };
    prepare(res, r, plugin.is_transport())?;
    let callback = plugin.info().resource_register;
    if plugin.is_transport() && callback.is_none() {
        fail!(
            ENOTSUP,
            "transport plugin `{}` cannot register resources",
            plugin.name()
        );
    }
    if class == RESOURCE_MODEL as usize {
        s.choices.models_changed(None);
    }
    let link = || {
        // Numbers of slots are below 2^20.
        let number = get!(sess.id) as u32;
        s.registered
            .link((id, class), &r.sessions, number, |resources, sessions| {
                session::show(sess, s, resources, class);
                resource::show(res, r, sessions);
            });
    };
    let Some(callback) = callback else {
        link();
        return Ok(());
    };
    last_error::begin_call();
    match s.registered.claim(id, class, this_thread()) {
        Claim::Granted => {}
        Claim::Done => {
            log_debug!(
                "resource {id} is registered with session {} already",
                get!(sess.id)
            );
            return Ok(());
        }
        Claim::OwnUnderway => fail!(
            EINPROGRESS,
            "resource {id} is just being registered by this thread"
        ),
    }
    let result = if plugin.is_loaded() {
        call(plugin, callback, res, sess)
    } else {
        Err(err!(ENODEV, "plugin `{}` was unloaded", plugin.name()))
    };
    match &result {
        Ok(()) => link(),
        Err(_) => s.registered.give_up(id),
    }
    result
}

fn call(
    plugin: &crate::plugin::Plugin,
    callback: ResourceFn,
    res: Ptr<vaccel_resource>,
    sess: Ptr<vaccel_session>,
) -> Result {
    // SAFETY: a function of a loaded plugin, called with a live resource and session.
    let result = unsafe { callback(res.as_ptr(), sess.as_ptr()) };
    if result != 0 {
        return Err(plugin.error("registering a resource", result));
    }
    if plugin.is_transport() && get!(res.remote_id) <= 0 {
        fail!(
            EREMOTEIO,
            "transport plugin `{}` registered resource {} without a remote number",
            plugin.name(),
            get!(res.id)
        );
    }
    Ok(())
}

fn this_thread() -> Thread {
    thread_local!(static OWN: u8 = const { 0 });
    OWN.with(|own| std::ptr::from_ref(own).addr())
}

/// `vaccel_resource_unregister`.
///
/// # Errors
/// `EINVAL` when it is not registered with the session; those of the plugin, but
/// the resource is no longer registered then either.
pub fn unregister(res: Ptr<vaccel_resource>, sess: Ptr<vaccel_session>) -> Result {
    let (r, id, class) = resource::identify(res)?;
    let s = session::slot(sess)?;
    let number = get!(sess.id) as u32;
    let was = s
        .registered
        .unlink((id, class), &r.sessions, number, |resources, sessions| {
            session::show(sess, s, resources, class);
            resource::show(res, r, sessions);
        });
    if !was {
        fail!(
            EINVAL,
            "resource {id} is not registered with session {}",
            get!(sess.id)
        );
    }
    let plugin = s.plugin();
    let Some(plugin) = plugin else { return Ok(()) };
    last_error::begin_call();
    let returned = match plugin.info().resource_unregister {
        // SAFETY: a function of a loaded plugin, called with a live resource and session.
        Some(callback) if !plugin.has_ended() => unsafe { callback(res.as_ptr(), sess.as_ptr()) },
        _ => 0,
    };
    let result = match returned {
        0 => Ok(()),
        code => Err(plugin.error("unregistering a resource", code)),
    };
    s.choices.models_changed(Some(id));
    let of_others = class == RESOURCE_MODEL as usize || choice::plugin::is_it(plugin);
    if of_others && !plugin.is_transport() {
        forget_elsewhere(plugin, res, sess);
    }
    result
}

/// Takes a resource back from the other backends: they may have served operations
/// of the session, and keep what they loaded by numbers that are used again.
fn forget_elsewhere(own: &Plugin, res: Ptr<vaccel_resource>, sess: Ptr<vaccel_session>) {
    for other in plugin::all() {
        if !std::ptr::eq(other, own)
            && op::is_backend_of_ours(other)
            && let Some(callback) = other.info().resource_unregister
        {
            // SAFETY: a function of a loaded plugin, called with a live resource and session.
            let _ = unsafe { callback(res.as_ptr(), sess.as_ptr()) };
        }
    }
}

/// `vaccel_resource_sync`: brings a buffer up to date with the remote side. In a
/// local session there is nothing to do unless the plugin wants to.
///
/// # Errors
/// `EPERM` when it is not registered with the session, `EINVAL` when it is not a
/// buffer, `ENOTSUP` when the transport cannot; those of the plugin.
pub fn sync(res: Ptr<vaccel_resource>, sess: Ptr<vaccel_session>) -> Result {
    resource::require(sess, res, get!(res.type_))?;
    let s = session::slot(sess)?;
    match resource::blobs(res).next() {
        None => fail!(EINVAL, "resource {} has no data", get!(res.id)),
        Some(blob) if get!(blob.type_) != BLOB_BUFFER => {
            fail!(
                EINVAL,
                "resource {} is not a buffer in memory",
                get!(res.id)
            );
        }
        Some(_) => {}
    }
    let Some(plugin) = s.plugin() else {
        fail!(EINVAL, "session {} is not open", get!(sess.id));
    };
    match plugin.info().resource_sync {
        _ if !plugin.is_loaded() => fail!(ENODEV, "plugin `{}` was unloaded", plugin.name()),
        None if plugin.is_transport() => {
            fail!(
                ENOTSUP,
                "transport plugin `{}` cannot sync resources",
                plugin.name()
            )
        }
        None => Ok(()),
        Some(callback) => {
            // SAFETY: a function of a loaded plugin, called with a live resource and session.
            let result = unsafe { callback(res.as_ptr(), sess.as_ptr()) };
            match result {
                0 => Ok(()),
                code => Err(plugin.error("syncing a resource", code)),
            }
        }
    }
}

/// Makes the blobs of a resource before its first registration; `mapped`: their
/// content is needed, because it goes to another machine.
fn prepare(res: Ptr<vaccel_resource>, r: &Slot, mapped: bool) -> Result {
    if !mapped && r.prepared.load(Ordering::Acquire) {
        return Ok(());
    }
    let _guard = lock(&r.sealed);
    if !r.prepared.load(Ordering::Acquire) {
        match get!(res.path_type) {
            // The other machine is told the URL.
            PATH_REMOTE_FILE if mapped => return Ok(()),
            PATH_LOCAL_FILE | PATH_LOCAL_DIR | PATH_REMOTE_FILE => load(res, r)?,
            other => fail!(
                EINVAL,
                "resource {} has an unknown kind of path {other}",
                get!(res.id)
            ),
        }
    }
    if mapped {
        for blob in resource::blobs(res) {
            match blob::read(blob) {
                // Larger than memory: the transport finds its path and sends it piece by piece.
                Err(e) if e.code() == ENOMEM && get!(blob.type_) == BLOB_FILE => {
                    log_debug!("{e}; it is sent without being mapped");
                }
                result => result?,
            }
        }
    }
    Ok(())
}

fn load(res: Ptr<vaccel_resource>, r: &Slot) -> Result {
    let mut list: Vec<PathBuf> = Vec::new();
    let paths = resource::paths(res);
    let kind = get!(res.path_type);
    if kind == PATH_REMOTE_FILE {
        let folder = resource::make_rundir(res, get!(res.id))?;
        list = download::all(&paths, rundir::as_path(&folder))?;
    } else if kind == PATH_LOCAL_DIR {
        for folder in paths {
            let folder = rundir::as_path(folder);
            walk(folder, 0, &mut list)?;
            if list.is_empty() {
                fail!(EINVAL, "the folder {} has no files", folder.display());
            }
        }
    } else {
        list.extend(paths.iter().map(|path| rundir::as_path(path).to_owned()));
    }
    if kind == PATH_LOCAL_FILE && runtime::has_rundir()? {
        resource::make_rundir(res, get!(res.id))?;
    }
    let blobs = alloc::zeroed::<*mut vaccel_blob>(list.len())?;
    for (i, path) in list.iter().enumerate() {
        match blob::from_path(path.clone()) {
            Ok(blob) => {
                if kind == PATH_REMOTE_FILE {
                    // SAFETY: a blob made this moment. The file goes with the resource.
                    unsafe { (*blob).path_owned = true };
                }
                // SAFETY: room for as many as there are files.
                unsafe { blobs.add(i).write(blob) };
            }
            Err(e) => {
                // SAFETY: the first `i` were made just before and nobody else has them.
                unsafe {
                    for made in 0..i {
                        if let Ok(blob) = Ptr::new(blobs.add(made).read(), "blob") {
                            blob::delete(blob);
                        }
                    }
                    alloc::free(blobs);
                }
                return Err(e);
            }
        }
    }
    set!(res.blobs = blobs);
    set!(res.nr_blobs = list.len());
    r.prepared.store(true, Ordering::Release);
    Ok(())
}

/// All files below a folder, sorted, so that every machine sees the same order.
/// Linked files count; linked folders do not, so there is an end.
fn walk(folder: &Path, depth: usize, list: &mut Vec<PathBuf>) -> Result {
    if depth > MAX_DEPTH {
        fail!(
            ELOOP,
            "{} is nested more than {MAX_DEPTH} folders deep",
            folder.display()
        );
    }
    let io = |e: std::io::Error| Error::io(folder.display(), &e);
    let mut entries: Vec<_> = std::fs::read_dir(folder)
        .and_then(Iterator::collect::<std::io::Result<_>>)
        .map_err(io)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type().map_err(io)?;
        let path = entry.path();
        if kind.is_dir() {
            walk(&path, depth + 1, list)?;
        } else if path.is_file() {
            list.push(path);
            if list.len() > MAX_FILES {
                fail!(EMLINK, "the folder has more than {MAX_FILES} files");
            }
        }
    }
    Ok(())
}

/// Gives the blobs of a library that live in memory a path from which the
/// loader can load them: a sealed file in memory, which nobody can change any
/// more, through a link in the resource's folder; or a file there. Where there is
/// no folder, the path is that of the memory itself.
///
/// The name is new each time, because the loader takes equal names for the same
/// library.
///
/// # Errors
/// Those of the file system.
pub fn make_loadable(res: Ptr<vaccel_resource>) -> Result {
    static GENERATION: AtomicU64 = AtomicU64::new(0);
    let r = resource::slot(res)?;
    let mut sealed = lock(&r.sealed);
    for blob in resource::blobs(res) {
        if get!(blob.type_) != BLOB_BUFFER || !get!(blob.path).is_null() {
            continue;
        }
        runtime::require_up()?;
        // SAFETY: the name of an initialised blob is a C string or null.
        let name = unsafe { ptr::optional_text(get!(blob.name)) }.unwrap_or(c"library");
        let folder = if runtime::has_rundir()? {
            Some(resource::make_rundir(res, get!(res.id))?)
        } else {
            None
        };
        let generation = GENERATION.fetch_add(1, Ordering::Relaxed);
        let Some(folder) = folder else {
            let (fd, path) = seal(blob)?;
            set!(blob.path = alloc::string_from(distinct(&path, generation).as_bytes())?);
            sealed.push(fd);
            continue;
        };
        let unique = format!("{generation}.{}", name.to_string_lossy());
        match link_sealed(blob, &rundir::as_path(&folder).join(&unique)) {
            Ok(fd) => sealed.push(fd),
            Err(e) => {
                log_debug!("no sealed file in memory ({e}); writing the library to a file");
                let unique = std::ffi::CString::new(unique)
                    .map_err(|_| err!(EINVAL, "zero in the name of a library"))?;
                blob::persist(
                    blob,
                    blob::Naming {
                        name: Some(&unique),
                        folder: Some(&folder),
                        randomize: false,
                        room: None,
                    },
                )?;
            }
        }
    }
    Ok(())
}

/// Puts a blob into a sealed file in memory; its descriptor and path.
fn seal(blob: Ptr<vaccel_blob>) -> Result<(OwnedFd, String)> {
    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
    let io = |e: rustix::io::Errno| Error::io("memfd", &e.into());
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = memfd_create("vaccel-library", flags).map_err(io)?;
    // SAFETY: a blob in memory has `size` bytes at `data`.
    let bytes = unsafe { std::slice::from_raw_parts(get!(blob.data), get!(blob.size)) };
    let mut file = std::fs::File::from(fd);
    file.write_all(bytes).map_err(|e| Error::io("memfd", &e))?;
    fcntl_add_seals(
        &file,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )
    .map_err(io)?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok((file.into(), path))
}

/// As [`seal`], through a link of this path, which goes away with the resource.
fn link_sealed(blob: Ptr<vaccel_blob>, path: &Path) -> Result<OwnedFd> {
    let (fd, sealed) = seal(blob)?;
    std::os::unix::fs::symlink(sealed, path).map_err(|e| Error::io(path.display(), &e))?;
    let c_path: *mut std::ffi::c_char = alloc::string_from(path.as_os_str().as_bytes())?;
    set!(blob.path = c_path);
    set!(blob.path_owned = true);
    Ok(fd)
}

/// The same file under a name that no other generation has: descriptors have
/// numbers that come again. Each bit of the generation is a `/` or a `./`.
fn distinct(path: &str, generation: u64) -> String {
    let (folder, file) = path.rsplit_once('/').unwrap_or((".", path));
    let bits = u64::BITS - generation.leading_zeros();
    let steps = (0..bits).map(|bit| {
        if generation >> bit & 1 == 1 {
            "./"
        } else {
            "/"
        }
    });
    format!("{folder}/{}{file}", steps.collect::<String>())
}

/// The path of a library's first file.
///
/// # Errors
/// `EINVAL` when there is none.
pub fn library_path<'a>(res: Ptr<vaccel_resource>) -> Result<&'a CStr> {
    let first = resource::blobs(res).next();
    // SAFETY: the path of an initialised blob is a C string or null.
    let path = first.and_then(|blob| unsafe { ptr::optional_text(get!(blob.path)) });
    path.filter(|p| !p.is_empty())
        .ok_or_else(|| err!(EINVAL, "library resource {} has no file", get!(res.id)))
}
