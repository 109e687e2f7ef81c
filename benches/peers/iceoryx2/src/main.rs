//! iceoryx2: request and response through shared memory, both sides looking for messages all the time.

use anyhow::{Context, Result, bail};
use iceoryx2::port::client::Client;
use iceoryx2::prelude::*;
use peer_common::{CALLS, LARGE, LARGE_CALLS, Server, Side, begin, measure, ready};
use std::time::{Duration, Instant};

/// Bytes of the request that ends the server.
const END: usize = 3;
/// Longest wait for an answer.
const LIMIT: Duration = Duration::from_secs(20);

fn failed(error: impl std::fmt::Debug) -> anyhow::Error {
    anyhow::anyhow!("{error:?}")
}

fn serve(name: &str) -> Result<()> {
    begin(Side::Server)?;
    let node = NodeBuilder::new()
        .create::<ipc::Service>()
        .map_err(failed)?;
    let service = node
        .service_builder(&name.try_into().map_err(failed)?)
        .request_response::<[u8], u64>()
        .open_or_create()
        .map_err(failed)?;
    let server = service.server_builder().create().map_err(failed)?;
    ready()?;
    loop {
        let Some(request) = server.receive().map_err(failed)? else {
            std::hint::spin_loop();
            continue;
        };
        let bytes = request.payload().len();
        let response = request.loan_uninit().map_err(failed)?;
        response
            .write_payload(bytes as u64)
            .send()
            .map_err(failed)?;
        if bytes == END {
            return Ok(());
        }
    }
}

type Port = Client<ipc::Service, [u8], (), u64, ()>;

/// Asks, and waits for the answer.
fn call(client: &Port, bytes: &[u8]) -> Result<()> {
    let request = client.loan_slice_uninit(bytes.len()).map_err(failed)?;
    let request = request.write_from_slice(bytes);
    answer(request.send().map_err(failed)?, bytes.len())
}

/// As [`call`], with whatever is in the memory that is lent: nothing is copied.
fn call_in_place(client: &Port, bytes: usize) -> Result<()> {
    let request = client.loan_slice_uninit(bytes).map_err(failed)?;
    // SAFETY: bytes of shared memory, which the kernel has filled with something; any value is a byte.
    let request = unsafe { request.assume_init() };
    answer(request.send().map_err(failed)?, bytes)
}

fn answer(
    pending: iceoryx2::pending_response::PendingResponse<ipc::Service, [u8], (), u64, ()>,
    bytes: usize,
) -> Result<()> {
    let mut begun = None;
    for turn in 1_u64.. {
        if let Some(response) = pending.receive().map_err(failed)? {
            if *response.payload() != bytes as u64 {
                bail!("the server counted {} bytes", response.payload());
            }
            return Ok(());
        }
        std::hint::spin_loop();
        // The clock is looked at seldom: it would be part of the figure.
        if turn % (1 << 16) == 0 && begun.get_or_insert_with(Instant::now).elapsed() > LIMIT {
            bail!("no answer within {LIMIT:?}");
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    set_log_level(LogLevel::Error);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, name] = &arguments[..]
        && command == "serve"
    {
        return serve(name);
    }
    let name = format!("vaccel/bench/{}", std::process::id());
    let server = Server::start(&["serve", &name])?;
    begin(Side::Client)?;
    let node = NodeBuilder::new()
        .create::<ipc::Service>()
        .map_err(failed)?;
    let service = node
        .service_builder(&name.as_str().try_into().map_err(failed)?)
        .request_response::<[u8], u64>()
        .open_or_create()
        .map_err(failed)?;
    let client = service
        .client_builder()
        .initial_max_slice_len(LARGE)
        .create()
        .map_err(failed)?;
    measure("empty op, shared memory, spinning, two CPUs", CALLS, || {
        call(&client, &[0])
    })?;
    let large = vec![1; LARGE];
    measure("1 MB in, shared memory", LARGE_CALLS, || {
        call(&client, &large)
    })?;
    measure(
        "1 MB in, shared memory, written in place",
        LARGE_CALLS,
        || call_in_place(&client, LARGE),
    )?;
    // It leaves nothing behind when it ends by itself.
    call(&client, &[0; END]).context("the server does not end")?;
    server.wait()
}
