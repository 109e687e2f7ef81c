//! tonic (gRPC): an empty call and one with 1 MB, over a Unix socket and over TCP.

mod service;

use anyhow::{Context, Result, bail};
use peer_common::{CALLS, LARGE, LARGE_CALLS, Server, Side, begin, measure, ready};
use service::{BenchClient, BenchServer};
use std::net::SocketAddr;
use tokio::net::UnixListener;
use tokio::runtime::{Builder, Runtime};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server as TonicServer};

/// One thread a side: each side has one processor.
fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

fn serve(kind: &str, place: &str) -> Result<()> {
    begin(Side::Server)?;
    runtime()?.block_on(async {
        let server = TonicServer::builder().add_service(BenchServer::default());
        match kind {
            "unix" => {
                let listener = UnixListener::bind(place)?;
                ready()?;
                server
                    .serve_with_incoming(UnixListenerStream::new(listener))
                    .await?;
            }
            "tcp" => {
                let address: SocketAddr = place.parse()?;
                let incoming = TcpIncoming::bind(address)
                    .map_err(|e| anyhow::anyhow!("cannot bind: {e}"))?
                    .with_nodelay(Some(true));
                ready()?;
                server.serve_with_incoming(incoming).await?;
            }
            _ => bail!("`{kind}` is no transport"),
        }
        Ok(())
    })
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, kind, place] = &arguments[..]
        && command == "serve"
    {
        return serve(kind, place);
    }
    let folder = std::env::temp_dir().join(format!("peer-tonic-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let socket = folder.join("socket");
    let done = run(&socket.display().to_string());
    let _ = std::fs::remove_dir_all(&folder);
    done
}

fn run(socket: &str) -> Result<()> {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let tcp = port.to_string();
    let _unix_server = Server::start(&["serve", "unix", socket])?;
    let _tcp_server = Server::start(&["serve", "tcp", &tcp])?;
    begin(Side::Client)?;
    let runtime = runtime()?;
    for (kind, uri) in [
        ("unix", format!("unix://{socket}")),
        ("tcp", format!("http://{tcp}")),
    ] {
        let channel = runtime
            .block_on(Endpoint::from_shared(uri)?.tcp_nodelay(true).connect())
            .context("cannot connect")?;
        let mut client = BenchClient::new(channel);
        measure(&format!("empty op, {kind}, two CPUs"), CALLS, || {
            Ok(runtime.block_on(client.nothing())?)
        })?;
        let large = vec![1; LARGE];
        measure(&format!("1 MB in, {kind}"), LARGE_CALLS, || {
            // A message owns its bytes: this copy is what tonic asks of its callers.
            Ok(runtime.block_on(client.take(large.clone()))?)
        })?;
    }
    Ok(())
}
