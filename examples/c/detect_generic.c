/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the objects in a picture, with the generic form of the operation.
 *
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./detect_generic scene.jpg
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./detect_generic scene.png models/detect 1 out.png
 */
#include "image.h"

static int call(struct image *i)
{
    return image_generic(i, VACCEL_OP_IMAGE_DETECT);
}

int main(int argc, char **argv)
{
    return image_main(argc, argv, "detection", call);
}
