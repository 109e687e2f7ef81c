/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Estimates the distance of every pixel of a picture, with the generic form of the operation.
 *
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./depth_generic scene.jpg
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./depth_generic scene.png models/depth 1 out.png
 */
#include "image.h"

static int call(struct image *i)
{
    return image_generic(i, VACCEL_OP_IMAGE_DEPTH);
}

int main(int argc, char **argv)
{
    return image_main(argc, argv, "depth estimation", call);
}
