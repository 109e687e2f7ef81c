/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells the class of every pixel of a picture.
 *
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./segment scene.jpg
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./segment scene.png models/segment 1 out.png
 */
#include "image.h"

static int call(struct image *i)
{
    return vaccel_image_segmentation(&i->s.sess, i->data, i->picture, i->size, sizeof(i->picture));
}

int main(int argc, char **argv)
{
    return image_main(argc, argv, "segmentation", call);
}
