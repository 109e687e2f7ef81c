/* A library as users of exec write them. */
#include <stdlib.h>
#include <vaccel.h>

static int calls;

/* write[0] (UINT32) = the sum of all bytes of the read arguments. */
int sum(struct vaccel_arg *read, size_t nr_read, struct vaccel_arg *write, size_t nr_write)
{
    uint32_t total = 0;
    if (nr_write < 1 || write[0].size != sizeof(total))
        return VACCEL_EINVAL;
    for (size_t i = 0; i < nr_read; i++)
        for (size_t j = 0; j < read[i].size; j++)
            total += ((const unsigned char *)read[i].buf)[j];
    *(uint32_t *)write[0].buf = total;
    return VACCEL_OK;
}

/* write[0] (UINT32) = how often this was called since the library was loaded. */
int count(struct vaccel_arg *read, size_t nr_read, struct vaccel_arg *write, size_t nr_write)
{
    (void)read;
    (void)nr_read;
    if (nr_write < 1 || write[0].size != sizeof(uint32_t))
        return VACCEL_EINVAL;
    *(uint32_t *)write[0].buf = (uint32_t)++calls;
    return VACCEL_OK;
}

/* Adds one to every byte of the argument that it reads and writes. */
int in_place(struct vaccel_arg *read, size_t nr_read, struct vaccel_arg *write, size_t nr_write)
{
    if (nr_read != 1 || nr_write != 1 || read[0].buf != write[0].buf)
        return VACCEL_EINVAL;
    for (size_t i = 0; i < write[0].size; i++)
        ((unsigned char *)write[0].buf)[i]++;
    return VACCEL_OK;
}

/* Says how much it wrote. */
int shorten(struct vaccel_arg *read, size_t nr_read, struct vaccel_arg *write, size_t nr_write)
{
    (void)read;
    (void)nr_read;
    if (nr_write < 1)
        return VACCEL_EINVAL;
    write[0].size = 1;
    return VACCEL_OK;
}

int busy(struct vaccel_arg *read, size_t nr_read, struct vaccel_arg *write, size_t nr_write)
{
    (void)read; (void)nr_read; (void)write; (void)nr_write;
    return VACCEL_EBUSY;
}

int minus_seven(struct vaccel_arg *read, size_t nr_read, struct vaccel_arg *write, size_t nr_write)
{
    (void)read; (void)nr_read; (void)write; (void)nr_write;
    return -7;
}
