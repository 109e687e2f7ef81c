/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names what a picture shows, with the generic form of the operation.
 *
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./classify_generic dog.jpg
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./classify_generic seven.png models/classify 1 out.png
 */
#include "image.h"

static int call(struct image *i)
{
    return image_generic(i, VACCEL_OP_IMAGE_CLASSIFY);
}

int main(int argc, char **argv)
{
    return image_main(argc, argv, "classification", call);
}
