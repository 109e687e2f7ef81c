//! An existing client against our agent: every method of the service, on every address.
#![allow(clippy::unwrap_used)]

mod common;

use common::{blob, call, exec, model, on_every_address, resource};
use vaccel_abi::arg::{
    ARG_FLOAT32, ARG_FLOAT32_ARRAY, ARG_INT32, ARG_INT64, ARG_STRING, ARG_UCHAR_ARRAY, ARG_UINT32,
};
use vaccel_abi::op::{OP_BLAS_SGEMM, OP_EXEC, OP_EXEC_WITH_RESOURCE, OP_IMAGE_DETECT, OP_NOOP};
use vaccel_reference::digest;
use vaccel_ttrpc_tests::vaccel::{
    Arg, BlobType, DestroySessionRequest, GetProfilerRequest, ImageClassificationRequest, Node,
    RegisterResourceRequest, ResourceType, SyncResourceRequest, Tensor,
    TensorflowLiteModelRunRequest, TensorflowModelRunRequest, TfliteTensor, TorchModelRunRequest,
    UnregisterResourceRequest, UpdateSessionRequest,
};
use vaccel_ttrpc_tests::{Client, arg, buffer, code_of, errno_of, room};

const ENOENT: u32 = 2;

#[test]
fn sessions_are_opened_changed_and_closed() {
    on_every_address(|client| {
        let (service, session_id) = (&client.service, client.session);
        assert!(session_id > 0);
        let update = UpdateSessionRequest {
            session_id,
            flags: vaccel_abi::plugin::PLUGIN_GENERIC,
            ..Default::default()
        };
        service.update_session(Client::time(), &update).unwrap();
        client.genop(OP_NOOP as u8, vec![], vec![]).unwrap();
        let destroy = DestroySessionRequest {
            session_id,
            ..Default::default()
        };
        service.destroy_session(Client::time(), &destroy).unwrap();
        let error = client.genop(OP_NOOP as u8, vec![], vec![]).unwrap_err();
        assert_eq!(code_of(&error), Some(13));
        assert!(errno_of(&error).is_some(), "{error:?}");
        assert!(service.destroy_session(Client::time(), &destroy).is_err());
    });
}

#[test]
fn arguments_go_there_and_back_and_output_buffers_are_not_looked_at() {
    on_every_address(|client| {
        for size in [1, 64, 4096, 1 << 20] {
            let bytes: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let back = exec(client, "echo", vec![buffer(&bytes)], vec![room(size)]);
            assert!(back == [bytes]);
        }
        // What is shorter than its room comes back in all of it.
        let back = exec(client, "echo", vec![buffer(&[7; 3])], vec![room(8)]);
        assert_eq!(back, [[7, 7, 7, 0, 0, 0, 0, 0]]);
        let many: Vec<Arg> = (0..100).map(|i| buffer(&[i])).collect();
        let rooms = (0..100).map(|_| room(1)).collect();
        let back = exec(client, "reverse", many, rooms);
        assert_eq!(back.concat(), (0..100).rev().collect::<Vec<u8>>());
    });
}

#[test]
fn a_string_without_its_zero_is_a_string() {
    on_every_address(|client| {
        let mut read = call("fail", vec![arg(ARG_INT32, 5_i32.to_le_bytes().to_vec())]);
        read.push(arg(ARG_STRING, b"no zero".to_vec()));
        let error = client.genop(OP_EXEC as u8, read, vec![]).unwrap_err();
        assert_eq!(errno_of(&error), Some(5));
        assert!(format!("{error:?}").contains("no zero"), "{error:?}");
    });
}

#[test]
fn a_product_of_matrices_adds_to_what_was_there() {
    on_every_address(|client| {
        let floats = |list: &[f32]| {
            list.iter()
                .flat_map(|x| x.to_le_bytes())
                .collect::<Vec<u8>>()
        };
        let integer = |n: i64| arg(ARG_INT64, n.to_le_bytes().to_vec());
        let scalar = |x: f32| arg(ARG_FLOAT32, x.to_le_bytes().to_vec());
        let read = vec![
            integer(2),
            integer(2),
            integer(2),
            scalar(1.0),
            arg(ARG_FLOAT32_ARRAY, floats(&[1.0, 2.0, 3.0, 4.0])),
            integer(2),
            arg(ARG_FLOAT32_ARRAY, floats(&[5.0, 6.0, 7.0, 8.0])),
            integer(2),
            scalar(0.5),
            integer(2),
        ];
        let c = arg(ARG_FLOAT32_ARRAY, floats(&[2.0, 2.0, 4.0, 4.0]));
        let back = client.genop(OP_BLAS_SGEMM as u8, read, vec![c]).unwrap();
        assert_eq!(back, [floats(&[20.0, 23.0, 45.0, 52.0])]);
    });
}

#[test]
fn pictures_are_classified_and_searched() {
    on_every_address(|client| {
        let request = ImageClassificationRequest {
            session_id: client.session,
            image: b"a picture".to_vec(),
            ..Default::default()
        };
        let response = client
            .service
            .image_classification(Client::time(), &request);
        let expected = format!("classification of 9 bytes, {:016x}\0", digest(b"a picture"));
        assert_eq!(response.unwrap().tags, expected.as_bytes());
        let out = arg(ARG_UCHAR_ARRAY, vec![0; 100]);
        let read = vec![buffer(b"a picture")];
        let back = client
            .genop(OP_IMAGE_DETECT as u8, read, vec![out])
            .unwrap();
        assert!(back[0].starts_with(b"detection of 9 bytes"));
    });
}

#[test]
fn resources_are_sent_attached_read_back_and_given_back() {
    on_every_address(|client| {
        let service = &client.service;
        let pieces = vec![blob(BlobType::BUFFER, "state", b"0123456789")];
        let request = resource(client, ResourceType::DATA, pieces);
        let resource_id = service
            .register_resource(Client::time(), &request)
            .unwrap()
            .resource_id;
        assert!(resource_id > 0);
        let sync = SyncResourceRequest {
            resource_id,
            ..Default::default()
        };
        let blobs = service.sync_resource(Client::time(), &sync).unwrap().blobs;
        assert_eq!(blobs[0].data, b"0123456789");
        assert_eq!((blobs[0].size, &blobs[0].name[..]), (10, "state"));
        assert_eq!(blobs[0].type_, BlobType::BUFFER.into());

        let files = vec![
            blob(BlobType::FILE, "a.so", b"code"),
            blob(BlobType::FILE, "/usr/lib/b.so", b"more"),
        ];
        let request = resource(client, ResourceType::LIB, files);
        let library = service
            .register_resource(Client::time(), &request)
            .unwrap()
            .resource_id;
        let listed = exec(client, "resources", vec![], vec![room(4096)]);
        let listed = String::from_utf8_lossy(&listed[0]);
        for name in ["a.so 4", "b.so 4", "state 10"] {
            assert!(listed.contains(name), "{listed}");
        }
        let symbol = arg(ARG_STRING, b"library\0".to_vec());
        let number = arg(ARG_INT64, library.to_le_bytes().to_vec());
        let read = vec![number, symbol];
        let sum = client
            .genop(OP_EXEC_WITH_RESOURCE as u8, read, vec![room(8)])
            .unwrap();
        assert_eq!(sum, [digest(b"code").to_le_bytes()]);

        // To a second session, and from both.
        let other = service
            .create_session(Client::time(), &Default::default())
            .unwrap()
            .session_id;
        let attach = RegisterResourceRequest {
            resource_id,
            session_id: other,
            ..Default::default()
        };
        let again = service.register_resource(Client::time(), &attach).unwrap();
        assert_eq!(again.resource_id, resource_id);
        for session_id in [client.session, other] {
            let back = UnregisterResourceRequest {
                resource_id,
                session_id,
                ..Default::default()
            };
            service.unregister_resource(Client::time(), &back).unwrap();
        }
        let error = service.sync_resource(Client::time(), &sync).unwrap_err();
        assert_eq!(errno_of(&error), Some(ENOENT));
    });
}

#[test]
fn models_of_each_framework_are_loaded_run_and_unloaded() {
    on_every_address(|client| {
        let (service, session_id) = (&client.service, client.session);
        let on = model(client);
        let model_id = on.model_id;
        let data: Vec<u8> = (0..24).collect();
        let tensor = |type_| Tensor {
            data: data.clone(),
            dims: vec![2, 3],
            type_,
            ..Default::default()
        };

        let loaded = service.tensorflow_model_load(Client::time(), &on).unwrap();
        assert_eq!(loaded.status.code, 0);
        let node = Node {
            name: "t0".into(),
            ..Default::default()
        };
        let run = TensorflowModelRunRequest {
            session_id,
            model_id,
            in_nodes: vec![node.clone()],
            out_nodes: vec![node],
            in_tensors: vec![tensor(1)],
            ..Default::default()
        };
        let ran = service.tensorflow_model_run(Client::time(), &run).unwrap();
        assert_eq!((ran.out_tensors, ran.status.code), (vec![tensor(1)], 0));
        let unloaded = service
            .tensorflow_model_unload(Client::time(), &on)
            .unwrap();
        assert_eq!(unloaded.status.code, 0);

        service
            .tensorflow_lite_model_load(Client::time(), &on)
            .unwrap();
        // A float, which is 1 in C and one more in messages.
        let tensor_lite = TfliteTensor {
            data: data.clone(),
            dims: vec![2, 3],
            type_: 2,
            ..Default::default()
        };
        let run = TensorflowLiteModelRunRequest {
            session_id,
            model_id,
            in_tensors: vec![tensor_lite.clone()],
            nr_out_tensors: 1,
            ..Default::default()
        };
        let ran = service
            .tensorflow_lite_model_run(Client::time(), &run)
            .unwrap();
        assert_eq!(ran.out_tensors, [tensor_lite]);
        service
            .tensorflow_lite_model_unload(Client::time(), &on)
            .unwrap();

        service.torch_model_load(Client::time(), &on).unwrap();
        let run = TorchModelRunRequest {
            session_id,
            model_id,
            in_tensors: vec![tensor(7)],
            nr_out_tensors: 1,
            ..Default::default()
        };
        let ran = service.torch_model_run(Client::time(), &run).unwrap();
        assert_eq!(ran.out_tensors, [tensor(7)]);
    });
}

#[test]
fn times_of_a_session_are_told() {
    on_every_address(|client| {
        for _ in 0..3 {
            client.genop(OP_NOOP as u8, vec![], vec![]).unwrap();
        }
        let wait = vec![arg(ARG_UINT32, 20_u32.to_le_bytes().to_vec())];
        exec(client, "wait", wait, vec![]);
        let request = GetProfilerRequest {
            session_id: client.session,
            ..Default::default()
        };
        let told = client
            .service
            .get_profiler(Client::time(), &request)
            .unwrap();
        let regions = &told.profiler.regions;
        assert_eq!(regions["noop"].samples.len(), 3);
        let [sample] = &regions["exec"].samples[..] else {
            panic!("{regions:?}");
        };
        assert!(sample.start > 0 && sample.time >= 20_000_000);
    });
}

#[test]
fn a_slow_call_holds_up_no_other_one_on_the_connection() {
    on_every_address(|client| {
        let number = || vec![arg(ARG_UINT32, 7_u32.to_le_bytes().to_vec())];
        std::thread::scope(|scope| {
            // Fails in the end where what releases it is held up by it.
            let slow = scope.spawn(|| exec(client, "hold", number(), vec![]));
            exec(client, "held", number(), vec![]);
            let threads: Vec<_> = (0..8_u8)
                .map(|i| {
                    scope.spawn(move || {
                        for _ in 0..20 {
                            let back = exec(client, "echo", vec![buffer(&[i; 9])], vec![room(9)]);
                            assert_eq!(back, [[i; 9]]);
                        }
                    })
                })
                .collect();
            threads
                .into_iter()
                .for_each(|thread| thread.join().unwrap());
            assert!(!slow.is_finished(), "nobody has released it");
            exec(client, "release", number(), vec![]);
            slow.join().unwrap();
        });
    });
}
