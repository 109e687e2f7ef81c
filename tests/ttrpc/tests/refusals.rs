//! An existing client that asks for what is wrong, or not its own.
#![allow(clippy::unwrap_used)]

mod common;

use common::{agent, blob, call, model, on_every_address, resource};
use vaccel_abi::arg::ARG_UINT8;
use vaccel_abi::op::{OP_EXEC, OP_MODEL_LOAD, OP_NOOP};
use vaccel_ttrpc_tests::vaccel::{
    Arg, BlobType, DestroySessionRequest, GenopRequest, GetProfilerRequest,
    RegisterResourceRequest, ResourceType, SyncResourceRequest, Tensor, TorchModelRunRequest,
    UnregisterResourceRequest,
};
use vaccel_ttrpc_tests::{Client, arg, buffer, errno_of, room};

const EINVAL: u32 = 22;
const ENOENT: u32 = 2;
const ENOTSUP: u32 = 95;

#[test]
fn what_is_wrong_is_refused_and_the_connection_goes_on() {
    on_every_address(|client| {
        let errno = |code: u8, read: Vec<Arg>, write: Vec<Arg>| {
            errno_of(&client.genop(code, read, write).unwrap_err())
        };
        let exec = OP_EXEC as u8;
        // Operations that do not exist, and one of ours whose tensors are not carried.
        assert_eq!(errno(250, vec![], vec![]), Some(ENOTSUP));
        assert!(errno(OP_MODEL_LOAD as u8, vec![], vec![]).is_some());
        // Types that do not exist, sizes that are not those of the bytes.
        let with = |change: &dyn Fn(&mut Arg)| {
            let mut arg = buffer(b"12345678");
            change(&mut arg);
            call("echo", vec![arg])
        };
        for read in [
            with(&|arg| arg.arg_type = -1),
            with(&|arg| arg.arg_type = 31),
            with(&|arg| arg.arg_type = i32::MAX),
            with(&|arg| arg.size = 9),
            with(&|arg| arg.size = u32::MAX),
            with(&|arg| arg.size = 7),
        ] {
            assert_eq!(errno(exec, read, vec![room(8)]), Some(EINVAL));
        }
        // More room than requests may have.
        let mut giant = room(1);
        giant.size = u32::MAX;
        assert!(errno(exec, call("echo", vec![buffer(b"1")]), vec![giant]).is_some());
        // Parts of arguments.
        let mut part = buffer(b"1");
        part.parts = 2;
        assert_eq!(errno(exec, call("echo", vec![part]), vec![]), Some(ENOTSUP));
        // Nothing at all, and an operation of two bytes.
        for read_args in [vec![], vec![arg(ARG_UINT8, vec![0, 0])]] {
            let request = GenopRequest {
                session_id: client.session,
                read_args,
                ..Default::default()
            };
            let error = client.service.genop(Client::time(), &request).unwrap_err();
            assert_eq!(errno_of(&error), Some(EINVAL));
        }
        // An answer that is larger than its room.
        let read = call("echo", vec![buffer(&[1; 100])]);
        assert!(errno(exec, read, vec![room(10)]).is_some());
        let back = client.genop(exec, call("echo", vec![buffer(b"on")]), vec![room(2)]);
        assert_eq!(back.unwrap(), [b"on"]);
    });
}

#[test]
fn wrong_resources_and_tensors_are_refused() {
    on_every_address(|client| {
        let register = |request: &RegisterResourceRequest| {
            let result = client.service.register_resource(Client::time(), request);
            errno_of(&result.unwrap_err())
        };
        let data = ResourceType::DATA;
        for name in ["../escape", "a/../../escape", "a//b", "."] {
            let blobs = vec![blob(BlobType::FILE, name, b"x")];
            assert_eq!(
                register(&resource(client, data, blobs)),
                Some(EINVAL),
                "{name}"
            );
        }
        let mut short = blob(BlobType::BUFFER, "b", b"1234");
        short.size = 5;
        assert_eq!(register(&resource(client, data, vec![short])), Some(EINVAL));
        assert_eq!(register(&resource(client, data, vec![])), Some(EINVAL));
        let mut path = resource(client, data, vec![]);
        path.paths = vec!["/etc/passwd".into()];
        assert_eq!(register(&path), Some(ENOTSUP));

        let model_id = model(client).model_id;
        let tensor = |dims: Vec<i64>, type_: i32, size: usize| Tensor {
            data: vec![0; size],
            dims,
            type_,
            ..Default::default()
        };
        for tensor in [
            tensor(vec![i64::MAX; 8], 1, 4),
            tensor(vec![-1], 1, 4),
            tensor(vec![1; 9], 1, 4),
            tensor(vec![1; 100_000], 1, 4),
            tensor(vec![2], -1, 4),
            tensor(vec![2], 99, 4),
            tensor(vec![1000], 1, 4),
        ] {
            let run = TorchModelRunRequest {
                session_id: client.session,
                model_id,
                in_tensors: vec![tensor],
                nr_out_tensors: 1,
                ..Default::default()
            };
            assert!(
                client
                    .service
                    .torch_model_run(Client::time(), &run)
                    .is_err()
            );
        }
        let run = TorchModelRunRequest {
            session_id: client.session,
            model_id,
            nr_out_tensors: u64::MAX,
            ..Default::default()
        };
        let error = client
            .service
            .torch_model_run(Client::time(), &run)
            .unwrap_err();
        assert_eq!(errno_of(&error), Some(EINVAL));
        client.genop(OP_NOOP as u8, vec![], vec![]).unwrap();
    });
}

#[test]
fn sessions_and_resources_of_other_clients_mean_nothing() {
    let agent = agent();
    let owner = Client::new(&agent.address()).unwrap();
    let on = model(&owner);
    let stranger = Client::new(&agent.address()).unwrap();
    let service = &stranger.service;
    let destroy = DestroySessionRequest {
        session_id: owner.session,
        ..Default::default()
    };
    assert!(service.destroy_session(Client::time(), &destroy).is_err());
    let sync = SyncResourceRequest {
        resource_id: on.model_id,
        ..Default::default()
    };
    let error = service.sync_resource(Client::time(), &sync).unwrap_err();
    assert_eq!(errno_of(&error), Some(ENOENT));
    let attach = RegisterResourceRequest {
        resource_id: on.model_id,
        session_id: stranger.session,
        ..Default::default()
    };
    let error = service
        .register_resource(Client::time(), &attach)
        .unwrap_err();
    assert_eq!(errno_of(&error), Some(ENOENT));
    let back = UnregisterResourceRequest {
        resource_id: on.model_id,
        session_id: stranger.session,
        ..Default::default()
    };
    assert!(service.unregister_resource(Client::time(), &back).is_err());
    assert!(service.torch_model_load(Client::time(), &on).is_err());
    let profile = GetProfilerRequest {
        session_id: owner.session,
        ..Default::default()
    };
    assert!(service.get_profiler(Client::time(), &profile).is_err());
    // The owner has lost nothing.
    owner.service.torch_model_load(Client::time(), &on).unwrap();
}
