/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the key points of figures in a picture, with the generic form of the operation.
 *
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./pose_generic scene.jpg
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./pose_generic scene.png models/pose 1 out.png
 */
#include "image.h"

static int call(struct image *i)
{
    return image_generic(i, VACCEL_OP_IMAGE_POSE);
}

int main(int argc, char **argv)
{
    return image_main(argc, argv, "pose estimation", call);
}
