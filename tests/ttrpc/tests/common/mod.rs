//! Clients of an agent of ours with the reference plugin.
#![allow(dead_code, clippy::unwrap_used, missing_docs, unreachable_pub)]

use vaccel_abi::arg::ARG_STRING;
use vaccel_abi::op::OP_EXEC;
use vaccel_tests::{Agent, reference_plugin, stage};
use vaccel_ttrpc_tests::vaccel::{
    Arg, Blob, BlobType, ModelRequest, RegisterResourceRequest, ResourceType,
};
use vaccel_ttrpc_tests::{Client, arg};

pub fn agent() -> Agent {
    let plugin = reference_plugin().unwrap();
    let addresses = ["tcp://127.0.0.1:0"];
    Agent::start(&stage().unwrap(), plugin.to_str().unwrap(), &addresses, &[]).unwrap()
}

/// Does something with a client on each address.
pub fn on_every_address(work: impl Fn(&Client)) {
    let agent = agent();
    assert_eq!(agent.addresses().len(), 2);
    for address in agent.addresses() {
        work(&Client::new(address).unwrap());
    }
}

pub fn exec(client: &Client, symbol: &str, read: Vec<Arg>, write: Vec<Arg>) -> Vec<Vec<u8>> {
    client
        .genop(OP_EXEC as u8, call(symbol, read), write)
        .unwrap()
}

/// Arguments of exec.
pub fn call(symbol: &str, read: Vec<Arg>) -> Vec<Arg> {
    let text = |text: &str| arg(ARG_STRING, [text.as_bytes(), b"\0"].concat());
    let mut all = vec![text("library"), text(symbol)];
    all.extend(read);
    all
}

pub fn blob(kind: BlobType, name: &str, data: &[u8]) -> Blob {
    Blob {
        type_: kind.into(),
        name: name.into(),
        data: data.to_vec(),
        size: u32::try_from(data.len()).unwrap(),
        ..Default::default()
    }
}

pub fn resource(client: &Client, kind: ResourceType, blobs: Vec<Blob>) -> RegisterResourceRequest {
    RegisterResourceRequest {
        blobs,
        resource_type: kind.into(),
        session_id: client.session,
        ..Default::default()
    }
}

pub fn model(client: &Client) -> ModelRequest {
    let blobs = vec![blob(BlobType::FILE, "model", b"file")];
    let request = resource(client, ResourceType::MODEL, blobs);
    let registered = client.service.register_resource(Client::time(), &request);
    ModelRequest {
        session_id: client.session,
        model_id: registered.unwrap().resource_id,
        ..Default::default()
    }
}
