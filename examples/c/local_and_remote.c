/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls the same operation here and on another machine, and compares the times.
 *
 *     VACCEL_PLUGINS=libvaccel-noop.so:libvaccel-rpc.so VACCEL_RPC_ADDRESS=unix:///run/vaccel.sock ./local_and_remote
 *     VACCEL_PLUGINS=libvaccel-onnx.so:libvaccel-rpc.so ./local_and_remote 100 dog.jpg
 */
#include "example.h"

/* The operation: classification of a picture, or nothing where none was given. */
struct work {
    long iterations;
    void *image;
    size_t size;
};

/* Does the work in a session of its own; false, with a message, on error. */
static bool work(const char *where, uint32_t flags, const struct work *w)
{
    struct vaccel_session sess;
    unsigned char text[512] = { 0 };
    int ret = vaccel_session_init(&sess, flags);
    if (ret) {
        fprintf(stderr, "%s: ", where);
        example_fail("opening a session", ret);
        return false;
    }
    uint64_t start = example_now();
    for (long i = 0; !ret && i < w->iterations; i++)
        ret = w->image ? vaccel_image_classification(&sess, w->image, text, NULL, w->size,
                                                     sizeof(text), 0) :
                         vaccel_noop(&sess);
    uint64_t time = example_now() - start;
    if (ret) {
        fprintf(stderr, "%s: ", where);
        example_fail("the operation", ret);
    } else {
        printf("%s (plugin %s): %.1f us each%s%s\n", where, sess.plugin->info->name,
               (double)time / (double)w->iterations / 1e3, *text ? ", " : "", (char *)text);
    }
    int closed = vaccel_session_release(&sess);
    if (closed)
        example_fail("closing the session", closed);
    return !ret && !closed;
}

int main(int argc, char **argv)
{
    if (example_wrong_usage(argc, argv, 0, 2, "[ITERATIONS [IMAGE]]"))
        return EXAMPLE_USAGE;
    struct work w = { .iterations = 100 };
    if (argc > 1 && !example_number(argv[1], 1, 1000000000, &w.iterations))
        return EXAMPLE_USAGE;
    if (argc > 2 && !example_read_file(argv[2], &w.image, &w.size))
        return EXIT_FAILURE;

    bool done = work("here", 0, &w);
    done = work("remote", VACCEL_PLUGIN_REMOTE, &w) && done;
    free(w.image);
    return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
