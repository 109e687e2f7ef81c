/* SPDX-License-Identifier: Apache-2.0 */
/* The models of the example plugin: what they answer is what they were given. */
#ifndef EXAMPLE_IDENTITY_H
#define EXAMPLE_IDENTITY_H

#include <vaccel.h>

int identity_load(struct vaccel_session *sess, struct vaccel_resource *model, const char *options);
int identity_unload(struct vaccel_session *sess, struct vaccel_resource *model);
int identity_run(struct vaccel_session *sess, struct vaccel_resource *model,
                 const struct vaccel_tensor *inputs, size_t nr_inputs,
                 struct vaccel_tensor *outputs, size_t nr_outputs);
int identity_info(struct vaccel_session *sess, struct vaccel_resource *model,
                  struct vaccel_model_info *info);
/* Frees the models that are still loaded. */
void identity_clear(void);

#endif /* EXAMPLE_IDENTITY_H */
