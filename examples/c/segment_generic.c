/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells the class of every pixel of a picture, with the generic form of the operation.
 *
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./segment_generic scene.jpg
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./segment_generic scene.png models/segment 1 out.png
 */
#include "image.h"

static int call(struct image *i)
{
    return image_generic(i, VACCEL_OP_IMAGE_SEGMENT);
}

int main(int argc, char **argv)
{
    return image_main(argc, argv, "segmentation", call);
}
