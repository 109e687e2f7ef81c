/* A library for exec: one function that doubles a number. */
#include <vaccel.h>

int twice(struct vaccel_arg *read, size_t nr_read, struct vaccel_arg *write,
	  size_t nr_write)
{
	struct vaccel_arg_array in, out;
	int32_t number;
	int ret = vaccel_arg_array_wrap(&in, read, nr_read);

	if (!ret)
		ret = vaccel_arg_array_wrap(&out, write, nr_write);
	if (!ret)
		ret = vaccel_arg_array_get_int32(&in, &number);
	if (ret)
		return ret;
	number *= 2;
	return vaccel_arg_array_set_int32(&out, &number);
}
