/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/plugin.h
 * Plugins: kinds, loading them, and writing one.
 *
 * A plugin is a shared library that exports the data symbol `vaccel_plugin`.
 * Written in C:
 *
 *     #include <vaccel.h>
 *
 *     static int my_noop(struct vaccel_session *sess)
 *     {
 *         (void)sess;
 *         return VACCEL_OK;
 *     }
 *
 *     static struct vaccel_op ops[] = {
 *         VACCEL_OP_INIT(ops[0], VACCEL_OP_NOOP, my_noop),
 *     };
 *
 *     static int init(void)
 *     {
 *         return vaccel_plugin_register_ops(ops, sizeof(ops) / sizeof(ops[0]));
 *     }
 *
 *     static int fini(void)
 *     {
 *         return VACCEL_OK;
 *     }
 *
 *     VACCEL_PLUGIN(.name = "my", .version = "1.0.0", .vaccel_version = VACCEL_VERSION,
 *                   .type = VACCEL_PLUGIN_CPU, .init = init, .fini = fini)
 *
 * Compile it with `cc -shared -fPIC -o libvaccel-my.so my.c $(pkg-config
 * --cflags --libs vaccel)` and run programs with `VACCEL_PLUGINS=libvaccel-my.so`.
 *
 * An operation may be called by several threads at once. It returns VACCEL_OK
 * or an error code, and says why with vaccel_error_set().
 */
#ifndef VACCEL_PLUGIN_H
#define VACCEL_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vaccel/core.h>
#include <vaccel/list.h>
#include <vaccel/op.h>
#include <vaccel/ops/model.h>
#include <vaccel/resource.h>
#include <vaccel/session.h>
#include <vaccel/tensor.h>
#include <vaccel/utils/enum.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a plugin is: bits, to be combined with `|`. Also what a session asks for. */
typedef enum {
    VACCEL_PLUGIN_CPU = 1,         /**< runs on the processor */
    VACCEL_PLUGIN_GPU = 2,         /**< runs on a GPU */
    VACCEL_PLUGIN_FPGA = 4,        /**< runs on an FPGA */
    VACCEL_PLUGIN_SOFTWARE = 8,    /**< needs no device */
    VACCEL_PLUGIN_TENSORFLOW = 16, /**< runs TensorFlow models */
    VACCEL_PLUGIN_TORCH = 32,      /**< runs Torch models */
    VACCEL_PLUGIN_JETSON = 64,     /**< runs on an NVIDIA Jetson */
    VACCEL_PLUGIN_GENERIC = 128,   /**< serves several kinds */
    VACCEL_PLUGIN_DEBUG = 256,     /**< for tests */
    VACCEL_PLUGIN_REMOTE = 16384,  /**< hands calls to another machine */
    VACCEL_PLUGIN_ALL = 65535,     /**< all bits, that of REMOTE too */
    VACCEL_PLUGIN_MAX = 65536      /**< past the last bit */
} vaccel_plugin_type_t;

/** What a plugin says of itself. Strings are static. */
struct vaccel_plugin_info {
    const char *name;           /**< short name; required */
    const char *version;        /**< version of the plugin; required */
    const char *vaccel_version; /**< VACCEL_VERSION; required */
    int (*init)(void);          /**< called after loading, registers the operations; required */
    int (*fini)(void);          /**< called before unloading; required */
    bool is_virtio;             /**< true for a transport */
    vaccel_plugin_type_t type;  /**< VACCEL_PLUGIN_* bits */

    /** Transport: opens the remote session and sets `remote_id` of the session. */
    int (*session_init)(struct vaccel_session *sess, uint32_t flags);
    /** Transport: closes the remote session. */
    int (*session_release)(struct vaccel_session *sess);
    /** Transport: changes the flags of the remote session. */
    int (*session_update)(struct vaccel_session *sess, uint32_t flags);
    /** Takes a resource. Required of a transport, which sets `remote_id` of the resource. */
    int (*resource_register)(struct vaccel_resource *res, struct vaccel_session *sess);
    /** Gives a resource back. */
    int (*resource_unregister)(struct vaccel_resource *res, struct vaccel_session *sess);
    /** Brings the bytes of blob 0 up to date. */
    int (*resource_sync)(struct vaccel_resource *res, struct vaccel_session *sess);
};

/** A plugin. Its memory is part of the plugin's library. */
struct vaccel_plugin {
    void *dl_handle;                      /**< the library's own */
    struct vaccel_list_entry entry;       /**< the library's own */
    struct vaccel_op *ops[VACCEL_OP_MAX]; /**< the operations; NULL where not offered */
    const struct vaccel_plugin_info *info; /**< what the plugin says of itself */
};

/** In `flags` of struct vaccel_call: somebody wants to hear of its end without asking. */
#define VACCEL_CALL_WATCHED 1

/**
 * One call on its way through a plugin that can do more than one thing at a time.
 *
 * The library makes it, and keeps it until `call_forget` of the plugin has returned.
 */
struct vaccel_call {
    size_t size;         /**< sizeof(struct vaccel_call) when the library was compiled */
    uint64_t timeout_ms; /**< milliseconds that it may take; 0 for the plugin's own default */
    uint32_t flags;      /**< VACCEL_CALL_WATCHED, or 0 */
    /**
     * Calls one operation of the plugin, on this thread. The plugin's function sends it
     * off and returns; what it returns, this returns.
     */
    int (*run)(struct vaccel_call *call);
    /**
     * To be called once, from any thread, when the call is over, with the code and,
     * where it failed, why (or NULL); not when `call_submit` returns an error. Nothing
     * of the program's may be touched afterwards.
     */
    void (*done)(struct vaccel_call *call, int code, const char *message);
    void *priv;          /**< the plugin's own */
};

/** Version of struct vaccel_plugin_ext. */
#define VACCEL_PLUGIN_EXT_VERSION 1

/**
 * Operations beyond the fixed table: what VACCEL_PLUGIN_EXT exports.
 *
 * NULL means "not offered". Later versions add members at the end; `size` says
 * which are there.
 */
struct vaccel_plugin_ext {
    size_t size;      /**< sizeof(struct vaccel_plugin_ext) when the plugin was compiled */
    uint32_t version; /**< VACCEL_PLUGIN_EXT_VERSION */

    /** Loads a model; see vaccel_model_load(). */
    int (*model_load)(struct vaccel_session *sess, struct vaccel_resource *model, const char *options);
    /** Unloads a model; see vaccel_model_unload(). */
    int (*model_unload)(struct vaccel_session *sess, struct vaccel_resource *model);
    /** Runs a model; see vaccel_model_run() and struct vaccel_tensor for who owns what. */
    int (*model_run)(struct vaccel_session *sess, struct vaccel_resource *model, const struct vaccel_tensor *inputs, size_t nr_inputs, struct vaccel_tensor *outputs, size_t nr_outputs);
    /** Describes a loaded model; all strings and arrays malloc'ed. */
    int (*model_info)(struct vaccel_session *sess, struct vaccel_resource *model, struct vaccel_model_info *info);
    /**
     * Describes the plugin: writes a malloc'ed JSON object with its devices,
     * formats, whether its runtime was found and what to install when not.
     */
    int (*describe)(char **json);
    /**
     * Gives memory that calls of the session need not copy, aligned to 64 bytes;
     * VACCEL_ENOTSUP when there is none. See vaccel_buffer_alloc().
     */
    int (*buffer_alloc)(struct vaccel_session *sess, size_t size, void **buf);
    /** Takes it back; VACCEL_ENOENT for memory that is not of buffer_alloc. */
    int (*buffer_free)(struct vaccel_session *sess, void *buf);
    /**
     * Keeps a copy of a tensor where the plugin computes and writes its number, not 0;
     * VACCEL_ENOTSUP when it cannot, and then the library keeps it.
     *
     * A plugin with these three functions takes `handle` instead of `data` in the
     * inputs of model_run, and may set `handle` instead of `data` in outputs that have
     * VACCEL_TENSOR_KEEP. Its tensors go with their session.
     */
    int (*tensor_keep)(struct vaccel_session *sess, const struct vaccel_tensor *tensor, uint64_t *handle);
    /** Reads a kept tensor; `out` is an output as of model_run. */
    int (*tensor_fetch)(struct vaccel_session *sess, uint64_t handle, struct vaccel_tensor *out);
    /** Frees a kept tensor; calls that use it meanwhile end as if it were there. */
    int (*tensor_free)(struct vaccel_session *sess, uint64_t handle);
    /**
     * Sends a call off by way of its `run`, without waiting for its end. The five
     * functions of calls are offered together, or none; without them calls are made by
     * threads of the library.
     */
    int (*call_submit)(struct vaccel_session *sess, struct vaccel_call *call);
    /**
     * Ends a call: `done` is called with VACCEL_ECANCELED before this returns, unless it
     * was or is being called. This and the following three may be called for calls that
     * are over, and by several threads.
     */
    int (*call_cancel)(struct vaccel_call *call);
    /**
     * Lets calls go on, on this thread, until this one is over or the milliseconds are;
     * with 0 it only looks. VACCEL_ETIMEDOUT when it is not over.
     */
    int (*call_drive)(struct vaccel_call *call, uint64_t timeout_ms);
    /** From now on `done` is to be called although nobody calls `call_drive`. */
    int (*call_watch)(struct vaccel_call *call);
    /** The call is over, and nobody asks for it any more. */
    int (*call_forget)(struct vaccel_call *call);
    /** Sets the milliseconds that calls of a session may take; 0 for the default. */
    int (*session_timeout)(struct vaccel_session *sess, uint64_t timeout_ms);
    /**
     * Says what a model is, without loading it: writes a malloc'ed JSON object with
     * `format` ("onnx", "tflite", ...), `model` (what errors call it), and where its
     * description says so `task` and `backend`. With a NULL resource, the model that
     * image operation `op` would take by default. Models of any format are judged,
     * whether this plugin runs them or not; VACCEL_PLUGINS=auto asks for it.
     */
    int (*model_judge)(struct vaccel_session *sess, struct vaccel_resource *model, vaccel_op_type_t op, char **json);
    /** Sets the span that calls of a session are made in; see vaccel_session_set_trace(). */
    int (*session_trace)(struct vaccel_session *sess, const char *traceparent);
};

/**
 * Loads a plugin.
 *
 * @param lib  path; or file name, searched like any shared library; or a word such
 *             as `noop` for libvaccel-noop.so
 * @return     VACCEL_OK; VACCEL_EINVAL, also for a plugin made for another
 *             major version; VACCEL_EBACKEND when the library is not
 *             initialised; VACCEL_ENOENT when it cannot be opened;
 *             VACCEL_ELIBBAD when it is not a plugin; VACCEL_EEXIST when it is
 *             loaded already; or the error of its init()
 */
int vaccel_plugin_load(const char *lib);

/** Loads the plugins of a list separated by `:`. The first failure ends it. */
int vaccel_plugin_parse_and_load(const char *lib_str);

/**
 * Registers the operations of a plugin. Called by the plugin's init().
 *
 * @param ops     the operations, all of one owner; they must stay valid
 * @param nr_ops  their number, 1 to VACCEL_OP_MAX
 * @return        VACCEL_OK; VACCEL_EINVAL
 */
int vaccel_plugin_register_ops(struct vaccel_op *ops, size_t nr_ops);

/*
 * The plugin that is being compiled: defined by VACCEL_PLUGIN, hidden inside its
 * library. It is declared for code that goes into a shared library (-fPIC), or
 * where VACCEL_PLUGIN_SOURCE is defined. Elsewhere there is no such object, and
 * generators of bindings, which read the preprocessed headers, must not see one.
 */
#if defined(VACCEL_PLUGIN_SOURCE) || (defined(__PIC__) && !defined(__PIE__))
extern struct vaccel_plugin vaccel_this_plugin;
#else
#define vaccel_this_plugin vaccel_plugins_are_compiled_with_fPIC
#endif

#ifdef __cplusplus
#define VACCEL_PLUGIN_C extern "C"
#else
/** Language linkage of what the macros below define. */
#define VACCEL_PLUGIN_C
#endif

/**
 * Defines and exports the plugin; used once, at file scope, without a semicolon.
 *
 * The arguments initialise a struct vaccel_plugin_info: `.name = "my", ...`.
 * In C++ before C++20 they are given in order, without names.
 */
#define VACCEL_PLUGIN(...)                                                                      \
    static const struct vaccel_plugin_info vaccel_this_plugin_info = { __VA_ARGS__ };           \
    VACCEL_PLUGIN_C __attribute__((visibility("hidden"))) struct vaccel_plugin vaccel_this_plugin; \
    struct vaccel_plugin vaccel_this_plugin = { NULL, { NULL, NULL }, { NULL }, &vaccel_this_plugin_info }; \
    VACCEL_PLUGIN_C __attribute__((visibility("default"))) const struct vaccel_plugin *vaccel_plugin; \
    const struct vaccel_plugin *vaccel_plugin = &vaccel_this_plugin;

/**
 * Exports operations beyond the fixed table; used once, at file scope, without
 * a semicolon.
 *
 * The arguments initialise struct vaccel_plugin_ext from `model_load` on:
 * `.model_load = my_load, ...`. In C++ they are given in order, without names;
 * those left out at the end are NULL, so that a longer table breaks no source.
 */
#define VACCEL_PLUGIN_EXT(...)                                                                  \
    _Pragma("GCC diagnostic push")                                                              \
    _Pragma("GCC diagnostic ignored \"-Wmissing-field-initializers\"")                          \
    static const struct vaccel_plugin_ext vaccel_this_plugin_ext = {                            \
        sizeof(struct vaccel_plugin_ext), VACCEL_PLUGIN_EXT_VERSION, __VA_ARGS__                \
    };                                                                                          \
    _Pragma("GCC diagnostic pop")                                                               \
    VACCEL_PLUGIN_C __attribute__((visibility("default"))) const struct vaccel_plugin_ext *vaccel_plugin_ext; \
    const struct vaccel_plugin_ext *vaccel_plugin_ext = &vaccel_this_plugin_ext;

/** Name of a single kind, for example `VACCEL_PLUGIN_GPU`; "unknown" for several. Static string. */
static inline const char *vaccel_plugin_type_name(vaccel_plugin_type_t type)
{
    return type == VACCEL_PLUGIN_CPU        ? "VACCEL_PLUGIN_CPU" :
           type == VACCEL_PLUGIN_GPU        ? "VACCEL_PLUGIN_GPU" :
           type == VACCEL_PLUGIN_FPGA       ? "VACCEL_PLUGIN_FPGA" :
           type == VACCEL_PLUGIN_SOFTWARE   ? "VACCEL_PLUGIN_SOFTWARE" :
           type == VACCEL_PLUGIN_TENSORFLOW ? "VACCEL_PLUGIN_TENSORFLOW" :
           type == VACCEL_PLUGIN_TORCH      ? "VACCEL_PLUGIN_TORCH" :
           type == VACCEL_PLUGIN_JETSON     ? "VACCEL_PLUGIN_JETSON" :
           type == VACCEL_PLUGIN_GENERIC    ? "VACCEL_PLUGIN_GENERIC" :
           type == VACCEL_PLUGIN_DEBUG      ? "VACCEL_PLUGIN_DEBUG" :
           type == VACCEL_PLUGIN_REMOTE     ? "VACCEL_PLUGIN_REMOTE" :
           type == VACCEL_PLUGIN_ALL        ? "VACCEL_PLUGIN_ALL" :
                                              "unknown";
}

/** Writes the name of a single kind to `buf`; see vaccel_enum_to_str(). */
static inline char *vaccel_plugin_type_to_str(vaccel_plugin_type_t type, char *buf, size_t size)
{
    return vaccel_enum_to_str(vaccel_plugin_type_name(type), buf, size);
}

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_PLUGIN_H */
