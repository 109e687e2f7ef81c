//! Sessions: their number, their flags, and many threads.

use crate::arguments::exec;
use crate::case::{Case, expect, noise};
use serde_json::json;
use vaccel::{Input, Output, Resource, ResourceType, Result, Session, hint};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("session/opened and closed 300 times", |_| {
            for _ in 0..300 {
                Session::new()?.noop()?;
            }
            Ok(json!(null))
        }),
        Case::new("session/hint", |_| {
            Session::with_hint(hint::ANY)?.noop()?;
            Ok(json!(null))
        }),
        Case::new("session/keeps its resources to itself", |_| {
            let (one, other) = (Session::new()?, Session::new()?);
            let made = Resource::from_bytes(noise(100, 1), ResourceType::Data, "own")?;
            made.register(&one)?;
            let mut text = [0u8; 4096];
            let mut write = [Output::buffer(&mut text)];
            exec(&other, "resources", &[], &mut write)?;
            Ok(json!(write[0].size()))
        }),
        Case::new("session/8 threads of one session", |s| {
            threads(&vec![s.clone(); 8])
        }),
        Case::new("session/8 threads with one each", |_| {
            let sessions = (0..8).map(|_| Session::new()).collect::<Result<Vec<_>>>()?;
            threads(&sessions)
        }),
    ]
}

/// As many as nobody should need, all open at once.
pub(crate) fn many() -> Vec<Case> {
    const MANY: usize = 10_000;
    vec![Case::new("session/10 000 at once", |_| {
        let sessions = (0..MANY)
            .map(|_| Session::new())
            .collect::<Result<Vec<_>>>()?;
        for session in &sessions {
            session.noop()?;
        }
        let mut numbers: Vec<i64> = sessions.iter().map(Session::id).collect();
        numbers.sort_unstable();
        numbers.dedup();
        expect(&numbers.len(), &MANY)?;
        Ok(json!(MANY))
    })]
}

fn threads(sessions: &[Session]) -> Result<serde_json::Value> {
    let work = |session: &Session, seed: u64| -> Result<()> {
        for round in 0..100 {
            let data = noise((round * 997) % 20_000, seed + round as u64);
            let mut back = vec![0; data.len()];
            exec(
                session,
                "echo",
                &[Input::buffer(&data)],
                &mut [Output::buffer(&mut back)],
            )?;
            expect(&(back == data), &true)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = sessions
            .iter()
            .zip(0..)
            .map(|(session, seed)| scope.spawn(move || work(session, seed * 1000)))
            .collect();
        running
            .into_iter()
            .try_for_each(|thread| match thread.join() {
                Ok(result) => result,
                Err(_) => expect(&"a panic", &"none"),
            })
    })?;
    Ok(json!(sessions.len()))
}
