/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Estimates the distance of every pixel of a picture.
 *
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./depth scene.jpg
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./depth scene.png models/depth 1 out.png
 */
#include "image.h"

static int call(struct image *i)
{
    return vaccel_image_depth(&i->s.sess, i->data, i->picture, i->size, sizeof(i->picture));
}

int main(int argc, char **argv)
{
    return image_main(argc, argv, "depth estimation", call);
}
