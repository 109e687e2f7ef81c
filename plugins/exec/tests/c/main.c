/* Needs middle, which needs deep. */
#include <vaccel.h>

int middle(void);

int answer(struct vaccel_arg *read, size_t nr_read, struct vaccel_arg *write, size_t nr_write)
{
    (void)read;
    (void)nr_read;
    if (nr_write != 1 || write[0].size != sizeof(uint32_t))
        return VACCEL_EINVAL;
    *(uint32_t *)write[0].buf = (uint32_t)middle();
    return VACCEL_OK;
}
