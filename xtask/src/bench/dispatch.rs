//! What a call costs inside one process.

use super::figure::Figure;
use super::sample::{median, nanoseconds};
use anyhow::{Context, Result, ensure};
use libloading::os::unix::Library as Handle;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use vaccel::{Config, Library, Resource, ResourceType, Session};
use vaccel_abi::arg::{vaccel_arg, vaccel_arg_array};
use vaccel_abi::op::{NoopFn, OP_NOOP, OP_OPENCV, OpencvFn, vaccel_op};
use vaccel_abi::plugin::ResourceFn;
use vaccel_abi::resource::{RESOURCE_DATA, vaccel_resource};
use vaccel_abi::session::vaccel_session;

const ROUNDS: usize = 31;
/// Arguments of the generic call: the code of the operation, and what it is given.
const ARGUMENTS: usize = 16;
/// How many sessions and resources "many" are.
const MANY: usize = 10_000;

pub(crate) fn run() -> Result<Vec<Figure>> {
    // What is measured is the library, not a disk: a session has a folder.
    let memory = Path::new("/dev/shm");
    if std::env::var_os("VACCEL_RUNDIR").is_none() && memory.is_dir() {
        // SAFETY: this program has one thread here.
        unsafe { std::env::set_var("VACCEL_RUNDIR", memory) };
    }
    vaccel::bootstrap_with(&Config {
        plugins: vec!["noop".into()],
        ..Config::default()
    })?;
    let functions = Functions::load()?;
    let session = Session::new()?;
    let mut figures = vec![
        noop(&session)?,
        sessions(&functions)?,
        resource(&functions, &session),
        generic(&functions, &session),
    ];
    figures.extend(lookups(&functions, &session)?);
    Ok(figures)
}

type GenopFn = unsafe extern "C" fn(
    *mut vaccel_session,
    *mut vaccel_arg,
    c_int,
    *mut vaccel_arg,
    c_int,
) -> c_int;

/// Functions that the Rust API has no use for.
struct Functions {
    session_init: unsafe extern "C" fn(*mut vaccel_session, u32) -> c_int,
    session_release: unsafe extern "C" fn(*mut vaccel_session) -> c_int,
    session_get: unsafe extern "C" fn(*mut *mut vaccel_session, i64) -> c_int,
    resource_init: unsafe extern "C" fn(
        *mut vaccel_resource,
        *const c_void,
        usize,
        u32,
        *const c_char,
        bool,
    ) -> c_int,
    resource_release: unsafe extern "C" fn(*mut vaccel_resource) -> c_int,
    resource_get: unsafe extern "C" fn(*mut *mut vaccel_resource, i64) -> c_int,
    register: ResourceFn,
    unregister: ResourceFn,
    genop: GenopFn,
    array_init: unsafe extern "C" fn(*mut vaccel_arg_array, usize) -> c_int,
    array_release: unsafe extern "C" fn(*mut vaccel_arg_array) -> c_int,
    add_u8: unsafe extern "C" fn(*mut vaccel_arg_array, *mut u8) -> c_int,
    add_i32: unsafe extern "C" fn(*mut vaccel_arg_array, *mut i32) -> c_int,
}

impl Functions {
    fn load() -> Result<Self> {
        // SAFETY: the library is open already; nothing new is run.
        let handle = unsafe { Handle::new(Library::get()?.path())? };
        macro_rules! symbol {
            ($name:literal) => {
                // SAFETY: the signature is that of the header.
                *unsafe { handle.get(concat!($name, "\0").as_bytes())? }
            };
        }
        Ok(Self {
            session_init: symbol!("vaccel_session_init"),
            session_release: symbol!("vaccel_session_release"),
            session_get: symbol!("vaccel_session_get_by_id"),
            resource_init: symbol!("vaccel_resource_init_from_buf"),
            resource_release: symbol!("vaccel_resource_release"),
            resource_get: symbol!("vaccel_resource_get_by_id"),
            register: symbol!("vaccel_resource_register"),
            unregister: symbol!("vaccel_resource_unregister"),
            genop: symbol!("vaccel_genop"),
            array_init: symbol!("vaccel_arg_array_init"),
            array_release: symbol!("vaccel_arg_array_release"),
            add_u8: symbol!("vaccel_arg_array_add_uint8"),
            add_i32: symbol!("vaccel_arg_array_add_int32"),
        })
    }
}

/// Fails loudly: a call that fails is faster than one that works.
fn ok(code: c_int) {
    assert!(code == 0, "a call that is measured failed with {code}");
}

/// The function of a plugin for an operation.
fn function(session: &Session, op: u32) -> Result<*mut c_void> {
    // SAFETY: the session is open and served by a plugin that stays loaded.
    let op: *mut vaccel_op = unsafe { (*(*session.as_ptr()).plugin).ops[op as usize] };
    ensure!(!op.is_null(), "the plugin `noop` lacks an operation");
    // SAFETY: not null, so it points at an operation of the plugin.
    Ok(unsafe { (*op).func })
}

/// The floor is the plugin's own function, called through its pointer.
fn noop(session: &Session) -> Result<Figure> {
    let pointer = session.as_ptr();
    // SAFETY: plugins register the operation with this type.
    let bare = unsafe { std::mem::transmute::<*mut c_void, NoopFn>(function(session, OP_NOOP)?) };
    let noop = Library::get()?.functions().noop;
    let (mut floors, mut calls) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        // SAFETY: signature of the operation, with an open session.
        floors.push(nanoseconds(ROUNDS, 100_000, || unsafe {
            black_box(bare(black_box(pointer)));
        }));
        // SAFETY: as above.
        calls.push(nanoseconds(ROUNDS, 100_000, || unsafe {
            black_box(noop(black_box(pointer)));
        }));
    }
    let floor = median(&mut floors);
    Ok(Figure::at_most("noop in process", median(&mut calls), "ns", 10.0).with_floor(floor))
}

/// The floor is making and removing a folder.
fn sessions(functions: &Functions) -> Result<Figure> {
    // SAFETY: the library is up, so this is a C string.
    let rundir = unsafe { CStr::from_ptr((Library::get()?.functions().rundir)()) };
    let folder = PathBuf::from(rundir.to_str()?).join("floor");
    std::fs::create_dir(&folder)
        .and_then(|()| std::fs::remove_dir(&folder))
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let (mut floors, mut values) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        floors.push(nanoseconds(ROUNDS, 200, || {
            let _ = std::fs::create_dir(&folder);
            let _ = std::fs::remove_dir(&folder);
        }));
        values.push(session_cycle(functions));
    }
    Ok(Figure::at_most(
        "session opened and released",
        median(&mut values) / 1e3,
        "us",
        8.0,
    )
    .with_floor(median(&mut floors) / 1e3))
}

fn session_cycle(functions: &Functions) -> f64 {
    let mut place = Box::<vaccel_session>::new_uninit();
    let sess = place.as_mut_ptr();
    // SAFETY: memory for a session that stays where it is.
    nanoseconds(ROUNDS, 200, || unsafe {
        ok((functions.session_init)(sess, 0));
        ok((functions.session_release)(sess));
    })
}

/// Nanoseconds to make, register, unregister and release a resource of 1 MiB.
fn resource_cycle(functions: &Functions, session: &Session, data: &[u8]) -> f64 {
    let mut place = Box::<vaccel_resource>::new_uninit();
    let res = place.as_mut_ptr();
    // SAFETY: memory for a resource, data that outlive it, and an open session.
    nanoseconds(ROUNDS, 5_000, || unsafe {
        let bytes = data.as_ptr().cast();
        let name = std::ptr::null();
        ok((functions.resource_init)(
            res,
            bytes,
            data.len(),
            RESOURCE_DATA,
            name,
            true,
        ));
        ok((functions.register)(res, session.as_ptr()));
        ok((functions.unregister)(res, session.as_ptr()));
        ok((functions.resource_release)(res));
    })
}

fn resource(functions: &Functions, session: &Session) -> Figure {
    let data = vec![1u8; 1 << 20];
    // Memory from the allocator, taken and given back: what one resource needs at least.
    // SAFETY: freed at once.
    let floor = nanoseconds(ROUNDS, 10_000, || unsafe {
        libc::free(black_box(libc::malloc(black_box(96))));
    });
    let mut values: Vec<f64> = (0..5)
        .map(|_| resource_cycle(functions, session, &data))
        .collect();
    Figure::at_most(
        "1 MB resource registered and released",
        median(&mut values),
        "ns",
        100.0,
    )
    .with_floor(floor)
}

/// The floor is the plugin's function with arguments that are there already.
fn generic(functions: &Functions, session: &Session) -> Figure {
    let genop = functions.genop;
    let mut code = OP_OPENCV as u8;
    let mut numbers = [0i32; ARGUMENTS - 1];
    let mut place = std::mem::MaybeUninit::<vaccel_arg_array>::uninit();
    let array = place.as_mut_ptr();
    let sess = session.as_ptr();
    // SAFETY: an array that is made and released, arguments that outlive it.
    let mut build = || unsafe {
        ok((functions.array_init)(array, ARGUMENTS));
        ok((functions.add_u8)(array, &raw mut code));
        for number in &mut numbers {
            ok((functions.add_i32)(array, number));
        }
    };
    build();
    // SAFETY: plugins register the operation with this type; the arguments are there.
    let floor = unsafe {
        let bare =
            function(session, OP_OPENCV).map(|f| std::mem::transmute::<*mut c_void, OpencvFn>(f));
        bare.ok().map(|bare| {
            let count = ARGUMENTS as c_int - 1;
            nanoseconds(ROUNDS, 10_000, || {
                ok(bare(
                    sess,
                    (*array).args.add(1),
                    count,
                    std::ptr::null_mut(),
                    0,
                ));
            })
        })
    };
    // SAFETY: made by `build`.
    ok(unsafe { (functions.array_release)(array) });
    let mut values: Vec<f64> = (0..5)
        .map(|_| {
            nanoseconds(ROUNDS, 5_000, || {
                build();
                // SAFETY: the array was just built.
                unsafe {
                    let nothing = std::ptr::null_mut();
                    ok(genop(sess, (*array).args, ARGUMENTS as c_int, nothing, 0));
                    ok((functions.array_release)(array));
                }
            })
        })
        .collect();
    let figure = Figure::at_most("genop with 16 arguments", median(&mut values), "ns", 150.0);
    match floor {
        Some(floor) => figure.with_floor(floor),
        None => figure,
    }
}

/// The floors are the same calls with one session and one resource.
fn lookups(functions: &Functions, session: &Session) -> Result<Vec<Figure>> {
    let data = vec![1u8; 1 << 20];
    let resource = Resource::from_bytes(vec![0; 16], ResourceType::Data, "first")?;
    // SAFETY: both are alive.
    let (sess_id, res_id) = unsafe { ((*session.as_ptr()).id, (*resource.as_ptr()).id) };
    let find_session = |id| {
        let mut found = std::ptr::null_mut();
        // SAFETY: a place for the result.
        nanoseconds(ROUNDS, 20_000, || {
            // SAFETY: `found` receives a pointer.
            ok(unsafe { (functions.session_get)(&raw mut found, black_box(id)) })
        })
    };
    let find_resource = |id| {
        let mut found = std::ptr::null_mut();
        // SAFETY: a place for the result.
        nanoseconds(ROUNDS, 20_000, || {
            // SAFETY: `found` receives a pointer.
            ok(unsafe { (functions.resource_get)(&raw mut found, black_box(id)) })
        })
    };
    let one = [
        find_session(sess_id),
        find_resource(res_id),
        resource_cycle(functions, session, &data),
        session_cycle(functions),
    ];
    let mut sessions = Vec::with_capacity(MANY);
    let mut resources = Vec::with_capacity(MANY);
    for _ in 0..MANY {
        sessions.push(Session::new()?);
        let more = Resource::from_bytes(vec![0; 16], ResourceType::Data, "more")?;
        more.register(session)?;
        resources.push(more);
    }
    // SAFETY: all are alive.
    let (last_session, last_resource) = unsafe {
        (
            sessions.last().map_or(sess_id, |s| (*s.as_ptr()).id),
            resources.last().map_or(res_id, |r| (*r.as_ptr()).id),
        )
    };
    let many = [
        find_session(last_session),
        find_resource(last_resource),
        resource_cycle(functions, session, &data),
        session_cycle(functions),
    ];
    let names = [
        "session by number, 10 000 open",
        "resource by number, 10 000 alive",
        "resource cycle, 10 000 registered",
        "session cycle, 10 000 open",
    ];
    let all = names.into_iter().zip(one.into_iter().zip(many));
    Ok(all
        .map(|(name, (one, many))| Figure::ratio(name, many, "ns", one, 1.5))
        .collect())
}
