/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the objects in a picture.
 *
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./detect scene.jpg
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./detect scene.png models/detect 1 out.png
 */
#include "image.h"

static int call(struct image *i)
{
    return vaccel_image_detection(&i->s.sess, i->data, i->picture, i->size, sizeof(i->picture));
}

int main(int argc, char **argv)
{
    return image_main(argc, argv, "detection", call);
}
