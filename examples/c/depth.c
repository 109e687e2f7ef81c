/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Estimates the distance of every pixel of a picture.
 *
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./depth scene.jpg
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./depth scene.png models/depth 1 out.png
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
    for (long i = 0; i < iterations; i++) {
        int ret = vaccel_image_depth(&s.sess, image, picture, size, sizeof(picture));
        if (ret) {
            example_fail("depth estimation", ret);
            goto close;
        }
    }
    if (example_picture((char *)picture, argc > 4 ? argv[4] : NULL))
        status = EXIT_SUCCESS;
close:
    if (!example_close(&s))
        status = EXIT_FAILURE;
free_image:
    free(image);
    return status;
}
