//! Calls an agent through the library and prints what came back, a line for each case.
//!
//! Settings come from the environment, as for any program. usage: plugin-driver CASE...

use std::time::Instant;
use vaccel::{Input, Model, Output, Resource, ResourceType, Result, Session, Sgemm};

fn exec(
    session: &Session,
    function: &str,
    read: &[Input<'_>],
    write: &mut [Output<'_>],
) -> Result<()> {
    // SAFETY: the functions of the server keep to the sizes of the arguments.
    unsafe { session.exec("/the/library", function, read, write) }
}

fn run(case: &str, session: &Session) -> Result<String> {
    match case {
        "noop" => session.noop().map(|()| "done".to_owned()),
        "update" => session.update(0).map(|()| "done".to_owned()),
        "echo" => {
            let bytes: Vec<u8> = (0..1_000_000).map(|i| (i % 251) as u8).collect();
            let mut back = vec![0; bytes.len()];
            let write = &mut [Output::buffer(&mut back)];
            exec(session, "echo", &[Input::buffer(&bytes)], write)?;
            Ok((back == bytes).to_string())
        }
        "sgemm" => {
            let sizes = Sgemm {
                beta: 0.5,
                ..Sgemm::new(2, 2, 2)
            };
            let mut c = [2.0, 2.0, 4.0, 4.0];
            session.sgemm(&sizes, &[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0, 7.0, 8.0], &mut c)?;
            Ok(format!("{c:?}"))
        }
        "classify" => Ok(session.image_classify(b"a picture")?.text),
        "library" => {
            let library = Resource::from_bytes(b"code".to_vec(), ResourceType::Library, "lib.so")?;
            library.register(session)?;
            let mut sum = [0; 8];
            let write = &mut [Output::buffer(&mut sum)];
            // SAFETY: as above.
            unsafe { session.exec_with_resource(&library, "library", &[], write) }?;
            library.unregister(session)?;
            Ok(format!("{:016x}", u64::from_le_bytes(sum)))
        }
        "sync" => {
            let state = Resource::from_bytes(b"0123".to_vec(), ResourceType::Data, "state")?;
            state.register(session)?;
            Ok(String::from_utf8_lossy(&state.sync(session)?).into_owned())
        }
        "folder" => {
            let Ok(folder) = tempfile::tempdir() else {
                return Ok("no folder".to_owned());
            };
            if std::fs::write(folder.path().join("file"), b"x").is_err() {
                return Ok("no file".to_owned());
            }
            Resource::open(folder.path(), ResourceType::Data)?.register(session)?;
            Ok("sent".to_owned())
        }
        "model" => {
            let file = Resource::from_bytes(b"file".to_vec(), ResourceType::Model, "model")?;
            file.register(session)?;
            Model::load(session, &file, "").map(|_| "loaded".to_owned())
        }
        "unknown" => exec(session, "unknown", &[], &mut []).map(|()| "done".to_owned()),
        "no-details" => exec(session, "no-details", &[], &mut []).map(|()| "done".to_owned()),
        "wait" => {
            let millis = 1000_u32;
            exec(session, "wait", &[Input::scalar(&millis)], &mut [])?;
            Ok("waited".to_owned())
        }
        "threads" => {
            let session = Session::new()?;
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8_u8)
                    .map(|i| {
                        let session = &session;
                        scope.spawn(move || {
                            (0..50).all(|_| {
                                let mut back = [0; 9];
                                let write = &mut [Output::buffer(&mut back)];
                                let read = [i; 9];
                                exec(session, "echo", &[Input::buffer(&read)], write).is_ok()
                                    && back == read
                            })
                        })
                    })
                    .collect();
                let all = threads.into_iter().all(|t| t.join().unwrap_or(false));
                Ok(all.to_string())
            })
        }
        other => Ok(format!("there is no case {other}")),
    }
}

fn main() {
    let begun = Instant::now();
    let session = match Session::new() {
        Ok(session) => session,
        Err(e) => {
            let time = begun.elapsed().as_millis();
            println!("session: {} {} after {time} ms", e.name, e.message);
            return;
        }
    };
    for case in std::env::args().skip(1) {
        match run(&case, &session) {
            Ok(value) => println!("{case}: {value}"),
            Err(e) => println!("{case}: {} {}", e.name, e.message),
        }
    }
}
