//! Structure layouts on 64-bit machines: what compiled C programs and plugins rely on.
#![cfg(target_pointer_width = "64")]
// The size of a pthread mutex, and with it some offsets, is the C library's.
#![cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "riscv64")
))]

use std::mem::{align_of, offset_of, size_of};

macro_rules! layout {
    ($t:ty, size $size:literal, align $align:literal, { $($field:ident: $off:literal + $len:literal),* $(,)? }) => {
        assert_eq!(size_of::<$t>(), $size, concat!("size of ", stringify!($t)));
        assert_eq!(align_of::<$t>(), $align, concat!("alignment of ", stringify!($t)));
        $(
            assert_eq!(offset_of!($t, $field), $off, concat!("offset of ", stringify!($t), ".", stringify!($field)));
            assert_eq!(field_size(|v: *const $t| {
                // SAFETY: never called; the closure only names the type of the field.
                unsafe { &raw const (*v).$field }
            }), $len, concat!("size of ", stringify!($t), ".", stringify!($field)));
        )*
    };
}

fn field_size<S, F>(_: impl Fn(*const S) -> *const F) -> usize {
    size_of::<F>()
}

#[test]
fn every_public_structure_has_the_layout_of_the_c_library() {
    layout!(vaccel_abi::arg::vaccel_arg, size 32, align 8, {
        buf: 0 + 8,
        size: 8 + 8,
        type_: 16 + 4,
        custom_type_id: 20 + 4,
        owned: 24 + 1,
    });
    layout!(vaccel_abi::completion::vaccel_async_options, size 32, align 8, {
        size: 0 + 8,
        timeout_ms: 8 + 8,
        completed: 16 + 8,
        arg: 24 + 8,
    });
    layout!(vaccel_abi::completion::vaccel_call, size 48, align 8, {
        size: 0 + 8,
        timeout_ms: 8 + 8,
        flags: 16 + 4,
        run: 24 + 8,
        done: 32 + 8,
        priv_: 40 + 8,
    });
    layout!(vaccel_abi::arg::vaccel_arg_array, size 40, align 8, {
        args: 0 + 8,
        count: 8 + 8,
        capacity: 16 + 8,
        position: 24 + 8,
        owned: 32 + 1,
    });
    layout!(vaccel_abi::arg::vaccel_arg_list, size 32, align 8, {
        size: 0 + 4,
        list: 8 + 8,
        curr_idx: 16 + 4,
        idcs_allocated_space: 24 + 8,
    });
    layout!(vaccel_abi::log::SLogConfig, size 2312, align 4, {
        file_name: 0 + 256,
        file_path: 256 + 2048,
        color_format: 2304 + 4,
        flags: 2310 + 2,
    });
    layout!(vaccel_abi::config::vaccel_config, size 32, align 8, {
        plugins: 0 + 8,
        log_level: 8 + 4,
        log_file: 16 + 8,
        profiling_enabled: 24 + 1,
        version_ignore: 25 + 1,
    });
    layout!(vaccel_abi::blob::vaccel_blob, size 56, align 8, {
        type_: 0 + 4,
        name: 8 + 8,
        path: 16 + 8,
        path_owned: 24 + 1,
        data: 32 + 8,
        data_owned: 40 + 1,
        size: 48 + 8,
    });
    layout!(vaccel_abi::list::vaccel_list_entry, size 16, align 8, {
        next: 0 + 8,
        prev: 8 + 8,
    });
    layout!(vaccel_abi::op::vaccel_op, size 24, align 8, {
        type_: 0 + 4,
        func: 8 + 8,
        owner: 16 + 8,
    });
    layout!(vaccel_abi::resource::vaccel_resource, size 152, align 8, {
        id: 0 + 8,
        remote_id: 8 + 8,
        type_: 16 + 4,
        path_type: 20 + 4,
        paths: 24 + 8,
        nr_paths: 32 + 8,
        rundir: 40 + 8,
        blobs: 48 + 8,
        nr_blobs: 56 + 8,
        entry: 64 + 16,
        sessions: 80 + 16,
        sessions_lock: 96 + 40,
        refcount: 136 + 4,
        plugin_priv: 144 + 8,
    });
    layout!(vaccel_abi::session::vaccel_session, size 4264, align 8, {
        id: 0 + 8,
        remote_id: 8 + 8,
        hint: 16 + 4,
        is_virtio: 20 + 1,
        rundir: 21 + 4096,
        entry: 4120 + 16,
        resources: 4136 + 48,
        resource_counts: 4184 + 24,
        resources_lock: 4208 + 40,
        plugin: 4248 + 8,
        priv_: 4256 + 8,
    });
    layout!(vaccel_abi::tensor::vaccel_tf_buffer, size 16, align 8, {
        data: 0 + 8,
        size: 8 + 8,
    });
    layout!(vaccel_abi::tensor::vaccel_tf_node, size 16, align 8, {
        name: 0 + 8,
        id: 8 + 4,
    });
    layout!(vaccel_abi::tensor::vaccel_tf_tensor, size 40, align 8, {
        data: 0 + 8,
        size: 8 + 8,
        owned: 16 + 1,
        nr_dims: 20 + 4,
        dims: 24 + 8,
        data_type: 32 + 4,
    });
    layout!(vaccel_abi::tensor::vaccel_tf_status, size 16, align 8, {
        code: 0 + 1,
        message: 8 + 8,
    });
    layout!(vaccel_abi::tensor::vaccel_tflite_tensor, size 40, align 8, {
        data: 0 + 8,
        size: 8 + 8,
        owned: 16 + 1,
        nr_dims: 20 + 4,
        dims: 24 + 8,
        data_type: 32 + 4,
    });
    layout!(vaccel_abi::tensor::vaccel_torch_buffer, size 16, align 8, {
        data: 0 + 8,
        size: 8 + 8,
    });
    layout!(vaccel_abi::tensor::vaccel_torch_tensor, size 48, align 8, {
        data: 0 + 8,
        size: 8 + 8,
        owned: 16 + 1,
        nr_dims: 24 + 8,
        dims: 32 + 8,
        data_type: 40 + 4,
    });
    layout!(vaccel_abi::plugin::vaccel_plugin_info, size 96, align 8, {
        name: 0 + 8,
        version: 8 + 8,
        vaccel_version: 16 + 8,
        init: 24 + 8,
        fini: 32 + 8,
        is_virtio: 40 + 1,
        type_: 44 + 4,
        session_init: 48 + 8,
        session_release: 56 + 8,
        session_update: 64 + 8,
        resource_register: 72 + 8,
        resource_unregister: 80 + 8,
        resource_sync: 88 + 8,
    });
    layout!(vaccel_abi::plugin::vaccel_plugin, size 224, align 8, {
        dl_handle: 0 + 8,
        entry: 8 + 16,
        ops: 24 + 192,
        info: 216 + 8,
    });
    layout!(vaccel_abi::prof::vaccel_prof_sample, size 16, align 8, {
        start: 0 + 8,
        time: 8 + 8,
    });
    layout!(vaccel_abi::prof::vaccel_prof_region, size 40, align 8, {
        name: 0 + 8,
        name_owned: 8 + 1,
        nr_entries: 16 + 8,
        samples: 24 + 8,
        size: 32 + 8,
    });
}
