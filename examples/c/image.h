/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs that look at a picture share: all but the call. */
#ifndef EXAMPLE_IMAGE_H
#define EXAMPLE_IMAGE_H

#include "example.h"

/* A picture and what an operation says of it. */
struct image {
    struct example_session s;
    void *data; /* an encoded picture: JPEG, PNG */
    size_t size;
    unsigned char text[512];    /* labels; only classification writes here */
    unsigned char picture[512]; /* path of the annotated picture */
};

/* The operation in generic form; the name of the picture goes before the text. */
static inline int image_generic(struct image *i, vaccel_op_type_t op)
{
    struct example_call call;
    int ret = example_call_init(&call, op);
    if (!ret)
        ret = vaccel_arg_array_add_buffer(&call.read, i->data, i->size);
    if (!ret)
        ret = vaccel_arg_array_add_uchar_array(&call.write, i->picture, sizeof(i->picture));
    if (!ret && op == VACCEL_OP_IMAGE_CLASSIFY)
        ret = vaccel_arg_array_add_uchar_array(&call.write, i->text, sizeof(i->text));
    if (!ret)
        ret = example_call_run(&call, &i->s.sess);
    example_call_release(&call);
    return ret;
}

/* Reads the picture, opens a session with the model, makes the calls and prints the result. */
static inline int image_main(int argc, char **argv, const char *what, int (*call)(struct image *))
{
    if (example_wrong_usage(argc, argv, 1, 4, "IMAGE [MODEL [ITERATIONS [PICTURE]]]"))
        return EXAMPLE_USAGE;
    long iterations = 1;
    if (argc > 3 && !example_number(argv[3], 1, 1000000, &iterations))
        return EXAMPLE_USAGE;

    int status = EXIT_FAILURE;
    static struct image i;
    if (!example_read_file(argv[1], &i.data, &i.size))
        return EXIT_FAILURE;
    if (!example_open(&i.s, argc > 2 ? argv[2] : NULL))
        goto free_image;

    int ret = VACCEL_OK;
    for (long n = 0; !ret && n < iterations; n++)
        ret = call(&i);
    if (ret) {
        example_fail(what, ret);
    } else {
        if (*i.text)
            printf("%s: %s\n", what, (char *)i.text);
        if (example_picture((char *)i.picture, argc > 4 ? argv[4] : NULL))
            status = EXIT_SUCCESS;
    }
    if (!example_close(&i.s))
        status = EXIT_FAILURE;
free_image:
    free(i.data);
    return status;
}

#endif /* EXAMPLE_IMAGE_H */
