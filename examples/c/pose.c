/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the key points of figures in a picture.
 *
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./pose scene.jpg
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./pose scene.png models/pose 1 out.png
 */
#include "image.h"

static int call(struct image *i)
{
    return vaccel_image_pose(&i->s.sess, i->data, i->picture, i->size, sizeof(i->picture));
}

int main(int argc, char **argv)
{
    return image_main(argc, argv, "pose estimation", call);
}
