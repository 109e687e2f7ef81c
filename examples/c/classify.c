/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names what a picture shows.
 *
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./classify dog.jpg
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./classify seven.png models/classify 1 out.png
 */
#include "image.h"

static int call(struct image *i)
{
    return vaccel_image_classification(&i->s.sess, i->data, i->text, i->picture, i->size,
                                       sizeof(i->text), sizeof(i->picture));
}

int main(int argc, char **argv)
{
    return image_main(argc, argv, "classification", call);
}
