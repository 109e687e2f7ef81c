//! ttrpc (rustprotobuf, blocking): an empty call and one with 1 MB, over a Unix socket.

use anyhow::{Context, Result};
use peer_common::{CALLS, LARGE, LARGE_CALLS, Server, Side, begin, measure, ready};
use protobuf::well_known_types::{empty::Empty, wrappers::BytesValue};
use std::collections::HashMap;
use std::sync::Arc;
use ttrpc::proto::Request;
use ttrpc::{MethodHandler, TtrpcContext};

const SERVICE: &str = "vaccel.Bench";

/// What protoc's plugin for ttrpc generates for a service of two methods.
struct Service;

impl Service {
    fn nothing(&self, _: &TtrpcContext, _: Empty) -> ttrpc::Result<Empty> {
        Ok(Empty::new())
    }

    fn take(&self, _: &TtrpcContext, value: BytesValue) -> ttrpc::Result<Empty> {
        std::hint::black_box(value.value.len());
        Ok(Empty::new())
    }
}

struct Nothing {
    service: Arc<Service>,
}

impl MethodHandler for Nothing {
    fn handler(&self, ctx: TtrpcContext, req: Request) -> ttrpc::Result<()> {
        ttrpc::request_handler!(self, ctx, req, Empty, nothing);
        Ok(())
    }
}

struct Take {
    service: Arc<Service>,
}

impl MethodHandler for Take {
    fn handler(&self, ctx: TtrpcContext, req: Request) -> ttrpc::Result<()> {
        ttrpc::request_handler!(self, ctx, req, BytesValue, take);
        Ok(())
    }
}

struct Client {
    client: ttrpc::Client,
}

impl Client {
    fn nothing(&self, ctx: ttrpc::context::Context, req: &Empty) -> ttrpc::Result<Empty> {
        let mut cres = Empty::new();
        ttrpc::client_request!(self, ctx, req, SERVICE, "Nothing", cres);
        Ok(cres)
    }

    fn take(&self, ctx: ttrpc::context::Context, req: &BytesValue) -> ttrpc::Result<Empty> {
        let mut cres = Empty::new();
        ttrpc::client_request!(self, ctx, req, SERVICE, "Take", cres);
        Ok(cres)
    }
}

fn serve(address: &str) -> Result<()> {
    begin(Side::Server)?;
    let service = Arc::new(Service);
    let mut methods: HashMap<String, Box<dyn MethodHandler + Send + Sync>> = HashMap::new();
    let nothing = Nothing {
        service: Arc::clone(&service),
    };
    methods.insert(format!("/{SERVICE}/Nothing"), Box::new(nothing));
    methods.insert(format!("/{SERVICE}/Take"), Box::new(Take { service }));
    let mut server = ttrpc::Server::new()
        .bind(address)?
        .register_service(methods);
    server.start()?;
    ready()?;
    loop {
        // Ended by the client.
        std::thread::park();
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, address] = &arguments[..]
        && command == "serve"
    {
        return serve(address);
    }
    let folder = std::env::temp_dir().join(format!("peer-ttrpc-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let address = format!("unix://{}", folder.join("socket").display());
    let done = run(&address);
    let _ = std::fs::remove_dir_all(&folder);
    done
}

fn run(address: &str) -> Result<()> {
    let _server = Server::start(&["serve", address])?;
    begin(Side::Client)?;
    let client = Client {
        client: ttrpc::Client::connect(address).context("cannot connect")?,
    };
    let limit = || ttrpc::context::with_timeout(20_000_000_000);
    measure("empty op, unix, two CPUs", CALLS, || {
        client.nothing(limit(), &Empty::new())?;
        Ok(())
    })?;
    let mut large = BytesValue::new();
    large.value = vec![1; LARGE];
    measure("1 MB in, unix", LARGE_CALLS, || {
        client.take(limit(), &large)?;
        Ok(())
    })
}
