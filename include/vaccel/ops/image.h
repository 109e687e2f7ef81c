/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/ops/image.h
 * Operations on pictures.
 *
 * A picture is a whole JPEG or PNG file in memory. The model is the
 * VACCEL_RESOURCE_MODEL that is registered with the session, or else a default
 * of the plugin. An annotated picture is a file in the directory of the session
 * and goes away with it; a path that does not fit into `out_imgname` is
 * VACCEL_ERANGE.
 *
 * A plugin implements VACCEL_OP_IMAGE_* with functions of the same signatures.
 * All functions return VACCEL_OK; VACCEL_EINVAL for NULL or an empty picture;
 * VACCEL_ENOTSUP when the plugin does not offer the operation; or the error of the
 * plugin.
 */
#ifndef VACCEL_OPS_IMAGE_H
#define VACCEL_OPS_IMAGE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vaccel_session;

/**
 * Names what a picture shows.
 *
 * @param sess             an open session
 * @param img              the picture
 * @param out_text         gets the answer as zero-terminated text; may be NULL
 * @param out_imgname      gets the path of an annotated picture, zero-terminated;
 *                         may be NULL
 * @param len_img          bytes at `img`
 * @param len_out_text     bytes at `out_text`; what does not fit is cut
 * @param len_out_imgname  bytes at `out_imgname`
 */
int vaccel_image_classification(struct vaccel_session *sess, const void *img,
                                unsigned char *out_text, unsigned char *out_imgname,
                                size_t len_img, size_t len_out_text, size_t len_out_imgname);

/**
 * Finds the objects in a picture.
 *
 * @param sess             an open session
 * @param img              the picture
 * @param out_imgname      gets the path of a picture with the objects marked,
 *                         zero-terminated; may be NULL
 * @param len_img          bytes at `img`
 * @param len_out_imgname  bytes at `out_imgname`
 */
int vaccel_image_detection(struct vaccel_session *sess, const void *img,
                           unsigned char *out_imgname, size_t len_img, size_t len_out_imgname);

/** Tells the class of every pixel of a picture; parameters as vaccel_image_detection(). */
int vaccel_image_segmentation(struct vaccel_session *sess, const void *img,
                              unsigned char *out_imgname, size_t len_img, size_t len_out_imgname);

/** Finds the key points of figures in a picture; parameters as vaccel_image_detection(). */
int vaccel_image_pose(struct vaccel_session *sess, const void *img, unsigned char *out_imgname,
                      size_t len_img, size_t len_out_imgname);

/** Estimates the distance of every pixel of a picture; parameters as vaccel_image_detection(). */
int vaccel_image_depth(struct vaccel_session *sess, const void *img, unsigned char *out_imgname,
                       size_t len_img, size_t len_out_imgname);

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_OPS_IMAGE_H */
