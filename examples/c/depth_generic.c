/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Estimates the distance of every pixel of a picture, with the generic form of the operation.
 *
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./depth_generic scene.jpg
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./depth_generic scene.png models/depth 1 out.png
 */
#include "example.h"

int main(int argc, char **argv)
{
    if (example_wrong_usage(argc, argv, 1, 4, "IMAGE [MODEL [ITERATIONS [PICTURE]]]"))
        return EXAMPLE_USAGE;
    long iterations = 1;
    if (argc > 3 && !example_number(argv[3], 1, 1000000, &iterations))
        return EXAMPLE_USAGE;

    int status = EXIT_FAILURE;
    struct example_session s;
    void *image;
    size_t size;
    if (!example_read_file(argv[1], &image, &size))
        return EXIT_FAILURE;
    if (!example_open(&s, argc > 2 ? argv[2] : NULL))
        goto free_image;

    unsigned char picture[512] = { 0 };
    struct example_call call;
    int ret = example_call_init(&call, VACCEL_OP_IMAGE_DEPTH);
    if (!ret)
        ret = vaccel_arg_array_add_buffer(&call.read, image, size);
    if (!ret)
        ret = vaccel_arg_array_add_uchar_array(&call.write, picture, sizeof(picture));
    for (long i = 0; !ret && i < iterations; i++)
        ret = example_call_run(&call, &s.sess);
    if (ret) {
        example_fail("depth estimation", ret);
        goto release;
    }
    if (example_picture((char *)picture, argc > 4 ? argv[4] : NULL))
        status = EXIT_SUCCESS;
release:
    example_call_release(&call);
    if (!example_close(&s))
        status = EXIT_FAILURE;
free_image:
    free(image);
    return status;
}
