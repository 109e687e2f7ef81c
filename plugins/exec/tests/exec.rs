//! Libraries by path, with the default settings.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Exec, arg, compile};
use vaccel_plugin::abi::arg::vaccel_arg;
use vaccel_plugin::code;

#[test]
fn a_function_reads_and_writes_the_callers_arguments() {
    let dir = tempfile::tempdir().unwrap();
    let library = compile(dir.path(), "sum", &[]);
    let (library, exec) = (library.to_str().unwrap(), Exec::new());
    let (mut a, mut b, mut total) = ([1_u8, 2, 3], [10_u8], [0_u32]);
    let mut read = [arg(&mut a), arg(&mut b)];
    let mut write = [arg(&mut total)];
    let code = exec.exec(Some(library), Some("sum"), &mut read, &mut write);
    assert_eq!((code, total), (0, [16]));

    let mut both = [arg(&mut a)];
    let shared: *mut [vaccel_arg; 1] = &raw mut both;
    // SAFETY: the same list twice, as C programs pass it; both views are given
    // straight to the C function.
    let code = unsafe { exec.exec(Some(library), Some("in_place"), &mut *shared, &mut *shared) };
    assert_eq!((code, a), (0, [2, 3, 4]));

    let mut write = [arg(&mut a)];
    assert_eq!(
        exec.exec(Some(library), Some("shorten"), &mut [], &mut write),
        0
    );
    assert_eq!(write[0].size, 1);
}

#[test]
fn what_the_function_returns_is_the_code() {
    let dir = tempfile::tempdir().unwrap();
    let library = compile(dir.path(), "sum", &[]);
    let (library, exec) = (library.to_str().unwrap(), Exec::new());
    let call = |symbol| exec.exec(Some(library), Some(symbol), &mut [], &mut []);
    assert_eq!(call("busy"), code::EBUSY);
    assert_eq!(call("minus_seven"), code::EIO);
    assert_eq!(call("sum"), code::EINVAL);
}

#[test]
fn a_library_stays_loaded_between_calls() {
    let dir = tempfile::tempdir().unwrap();
    let library = compile(dir.path(), "sum", &[]);
    let (library, exec) = (library.to_str().unwrap(), Exec::new());
    assert_eq!(exec.number(library, "count"), Ok(1));
    assert_eq!(exec.number(library, "count"), Ok(2));
    // The file may go; what is loaded stays.
    std::fs::remove_file(library).unwrap();
    assert_eq!(exec.number(library, "count"), Ok(3));
    assert!(common::is_mapped(library));
    drop(exec);
    assert!(!common::is_mapped(library), "unloaded with the plugin");
}

#[test]
fn names_that_are_no_library_or_function_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let library = compile(dir.path(), "sum", &[]);
    let (library, exec) = (library.to_str().unwrap(), Exec::new());
    let call = |library, symbol| exec.exec(library, symbol, &mut [], &mut []);
    assert_eq!(call(Some(""), Some("getpid")), code::EINVAL);
    assert_eq!(call(None, Some("sum")), code::EINVAL);
    assert_eq!(call(Some(library), None), code::EINVAL);
    assert_eq!(call(Some(library), Some("")), code::EINVAL);
    assert_eq!(call(Some(library), Some("product")), code::ENOENT);
    assert_eq!(call(Some("/nonexistent/lib.so"), Some("sum")), code::ENOENT);
    assert_eq!(
        call(Some("libnosuchlibrary.so"), Some("sum")),
        code::ELIBBAD
    );
    let text = dir.path().join("text.so");
    std::fs::write(&text, "no library").unwrap();
    assert_eq!(
        call(Some(text.to_str().unwrap()), Some("sum")),
        code::ELIBBAD
    );
}

#[test]
fn many_threads_call_one_library() {
    let dir = tempfile::tempdir().unwrap();
    let library = compile(dir.path(), "sum", &[]);
    let (library, exec) = (library.to_str().unwrap(), Exec::new());
    let (f, session) = (
        exec.plugin
            .op::<vaccel_plugin::abi::op::ExecFn>(vaccel_plugin::Op::Exec),
        exec.session.as_ptr().expose_provenance(),
    );
    let name = std::ffi::CString::new(library).unwrap();
    std::thread::scope(|scope| {
        for t in 0..4_u8 {
            let name = &name;
            scope.spawn(move || {
                for i in 0..500_u32 {
                    let (mut a, mut total) = ([t, i as u8], [0_u32]);
                    let (mut read, mut write) = ([arg(&mut a)], [arg(&mut total)]);
                    // SAFETY: the session outlives the scope.
                    let code = unsafe {
                        f(
                            std::ptr::with_exposed_provenance_mut(session),
                            name.as_ptr(),
                            c"sum".as_ptr(),
                            read.as_mut_ptr(),
                            1,
                            write.as_mut_ptr(),
                            1,
                        )
                    };
                    assert_eq!(code, 0);
                    assert_eq!(total[0], u32::from(t) + u32::from(i as u8));
                }
            });
        }
    });
}
