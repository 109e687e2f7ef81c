/*
 * A plugin for tests. What it is like is chosen when it is compiled:
 *   NAME           its name
 *   TYPE           its kind, VACCEL_PLUGIN_CPU by default
 *   TRANSPORT      it is a transport
 *   NO_REMOTE_ID   a transport that forgets to number resources
 *   NEUTRAL        it offers the neutral model calls and not the typed ones
 *   BAD_OP         it registers an operation that does not exist
 *   FAILING_INIT   its init fails
 *   WANTS          the version it was made for
 */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vaccel.h>

#ifndef TYPE
#define TYPE VACCEL_PLUGIN_CPU
#endif
#ifndef WANTS
#define WANTS VACCEL_VERSION
#endif

/* Tests read these. */
atomic_int registrations, unregistrations, session_inits, session_releases, finis;

static int noop(struct vaccel_session *sess)
{
	(void)sess;
	return VACCEL_OK;
}

static int call(const char *path, const char *symbol, struct vaccel_arg *read,
		size_t nr_read, struct vaccel_arg *write, size_t nr_write)
{
	int (*function)(struct vaccel_arg *, size_t, struct vaccel_arg *, size_t);
	if (!strcmp(path, "nothing")) /* for timing */
		return VACCEL_OK;
	void *handle = dlopen(path, RTLD_NOW);
	if (!handle) {
		vaccel_error_set(dlerror());
		return VACCEL_ENOENT;
	}
	*(void **)&function = dlsym(handle, symbol);
	int ret = function ? function(read, nr_read, write, nr_write) : VACCEL_ENOSYS;
	dlclose(handle);
	return ret;
}

static int exec(struct vaccel_session *sess, const char *library,
		const char *symbol, struct vaccel_arg *read, size_t nr_read,
		struct vaccel_arg *write, size_t nr_write)
{
	(void)sess;
	return call(library, symbol, read, nr_read, write, nr_write);
}

static int exec_with_resource(struct vaccel_session *sess,
			      struct vaccel_resource *res, const char *symbol,
			      struct vaccel_arg *read, size_t nr_read,
			      struct vaccel_arg *write, size_t nr_write)
{
	(void)sess;
	return call(res->blobs[0]->path, symbol, read, nr_read, write, nr_write);
}

static int classify(struct vaccel_session *sess, const void *img,
		    unsigned char *out_text, unsigned char *out_imgname,
		    size_t len_img, size_t len_out_text, size_t len_out_imgname)
{
	(void)sess;
	(void)img;
	if (out_imgname)
		snprintf((char *)out_imgname, len_out_imgname, "image %zu %zu %zu",
			 len_img, len_out_text, len_out_imgname);
	if (out_text)
		snprintf((char *)out_text, len_out_text, "text %zu %zu %zu",
			 len_img, len_out_text, len_out_imgname);
	return VACCEL_OK;
}

static int sgemm(struct vaccel_session *sess, int64_t m, int64_t n, int64_t k,
		 float alpha, float *a, int64_t lda, float *b, int64_t ldb,
		 float beta, float *c, int64_t ldc)
{
	(void)sess;
	for (int64_t i = 0; i < m; i++) {
		for (int64_t j = 0; j < n; j++) {
			float sum = 0;
			for (int64_t l = 0; l < k; l++)
				sum += a[i * lda + l] * b[l * ldb + j];
			c[i * ldc + j] = alpha * sum + beta * c[i * ldc + j];
		}
	}
	return VACCEL_OK;
}

static int arraycopy(struct vaccel_session *sess, int *a, int *out, size_t n)
{
	(void)sess;
	memcpy(out, a, n * sizeof(*a));
	return VACCEL_OK;
}

static int mmult(struct vaccel_session *sess, float *a, float *b, float *c,
		 size_t n)
{
	(void)sess;
	for (size_t i = 0; i < n; i++)
		c[i] = a[i] * b[i];
	return VACCEL_OK;
}

static int parallel(struct vaccel_session *sess, float *a, float *b, float *add,
		    float *mult, size_t n)
{
	(void)sess;
	for (size_t i = 0; i < n; i++) {
		add[i] = a[i] + b[i];
		mult[i] = a[i] * b[i];
	}
	return VACCEL_OK;
}

static int vectoradd(struct vaccel_session *sess, float *a, float *b, float *c,
		     size_t len_a, size_t len_b)
{
	(void)sess;
	(void)len_b;
	for (size_t i = 0; i < len_a; i++)
		c[i] = a[i] + b[i];
	return VACCEL_OK;
}

static int minmax(struct vaccel_session *sess, const double *in, int n, int low,
		  int high, double *out, double *min, double *max)
{
	(void)sess;
	*min = in[0];
	*max = in[0];
	for (int i = 0; i < n; i++) {
		if (in[i] < *min)
			*min = in[i];
		if (in[i] > *max)
			*max = in[i];
		out[i] = in[i] < low ? low : in[i] > high ? high : in[i];
	}
	return VACCEL_OK;
}

static int opencv(struct vaccel_session *sess, struct vaccel_arg *read,
		  int nr_read, struct vaccel_arg *write, int nr_write)
{
	(void)sess;
	(void)write;
	(void)nr_write;
	return nr_read > 0 && read[0].size > 0 ? VACCEL_OK : VACCEL_EIO;
}

/* Both forms of a model copy input i to output i; a model named "bad" fails. */
static int bad(struct vaccel_resource *model)
{
	if (!model->blobs || !model->blobs[0]->name ||
	    strcmp(model->blobs[0]->name, "bad"))
		return VACCEL_OK;
	vaccel_error_set("the model is bad");
	return VACCEL_EINVAL;
}

#ifdef NEUTRAL
static char loaded_options[64];

static int model_load(struct vaccel_session *sess, struct vaccel_resource *model,
		      const char *options)
{
	(void)sess;
	snprintf(loaded_options, sizeof(loaded_options), "%s", options ? options : "");
	return bad(model);
}

static int model_unload(struct vaccel_session *sess,
			struct vaccel_resource *model)
{
	(void)sess;
	(void)model;
	return VACCEL_OK;
}

static int model_run(struct vaccel_session *sess, struct vaccel_resource *model,
		     const struct vaccel_tensor *in, size_t nr_in,
		     struct vaccel_tensor *out, size_t nr_out)
{
	(void)sess;
	int ret = bad(model);
	if (ret)
		return ret;
	if (nr_out > nr_in)
		return VACCEL_EINVAL;
	for (size_t i = 0; i < nr_out; i++) {
		if ((in[i].name && strcmp(in[i].name, "x:0")) ||
		    (out[i].name && strcmp(out[i].name, "y"))) {
			vaccel_error_set("no such input or output");
			return VACCEL_ENOENT;
		}
		if (!out[i].data) {
			out[i].data = malloc(in[i].size ? in[i].size : 1);
			out[i].flags = VACCEL_TENSOR_OWNED;
		} else if (out[i].size < in[i].size) {
			out[i].size = in[i].size;
			return VACCEL_ERANGE;
		}
		memcpy(out[i].data, in[i].data, in[i].size);
		out[i].size = in[i].size;
		out[i].dtype = in[i].dtype;
		out[i].rank = in[i].rank;
		memcpy(out[i].dims, in[i].dims, sizeof(in[i].dims));
	}
	return VACCEL_OK;
}

static int model_info(struct vaccel_session *sess, struct vaccel_resource *model,
		      struct vaccel_model_info *info)
{
	(void)sess;
	(void)model;
	info->format = strdup("copy");
	info->backend = strdup(NAME);
	info->inputs = calloc(1, sizeof(*info->inputs));
	info->inputs->name = strdup("x:0");
	info->inputs->dtype = VACCEL_DTYPE_F32;
	info->inputs->rank = 1;
	info->inputs->dims[0] = -1;
	info->nr_inputs = 1;
	info->outputs = calloc(1, sizeof(*info->outputs));
	info->outputs->name = strdup("y");
	info->nr_outputs = 1;
	return VACCEL_OK;
}

static int describe(char **json)
{
	*json = strdup("{\"formats\":[\"copy\"],\"missing\":[]}");
	return VACCEL_OK;
}

static const struct vaccel_plugin_ext ext = {
	.size = sizeof(struct vaccel_plugin_ext),
	.version = VACCEL_PLUGIN_EXT_VERSION,
	.model_load = model_load,
	.model_unload = model_unload,
	.model_run = model_run,
	.model_info = model_info,
	.describe = describe,
};
__attribute__((visibility("default"))) const struct vaccel_plugin_ext
	*vaccel_plugin_ext = &ext;
#else
static int tf_run(struct vaccel_session *sess, struct vaccel_resource *model,
		  const struct vaccel_tf_buffer *options,
		  const struct vaccel_tf_node *in_nodes,
		  struct vaccel_tf_tensor *const *in, int nr_in,
		  const struct vaccel_tf_node *out_nodes,
		  struct vaccel_tf_tensor **out, int nr_out,
		  struct vaccel_tf_status *status)
{
	(void)sess;
	(void)options;
	if (bad(model)) {
		vaccel_tf_status_init(status, 3, "the model is bad");
		return VACCEL_EINVAL;
	}
	if (nr_out > nr_in || strcmp(in_nodes[0].name, "x") || in_nodes[0].id != 1 ||
	    strcmp(out_nodes[0].name, "y"))
		return VACCEL_ENOENT;
	for (int i = 0; i < nr_out; i++) {
		vaccel_tf_tensor_allocate(&out[i], in[i]->nr_dims, in[i]->dims,
					  in[i]->data_type, in[i]->size);
		memcpy(out[i]->data, in[i]->data, in[i]->size);
	}
	vaccel_tf_status_init(status, 0, "Success");
	return VACCEL_OK;
}

static int torch_sgemm(struct vaccel_session *sess, struct vaccel_torch_tensor **a,
		       struct vaccel_torch_tensor **b,
		       struct vaccel_torch_tensor **c, int m, int n, int k,
		       struct vaccel_torch_tensor **out)
{
	int64_t dims[] = { m, n };
	(void)c;
	vaccel_torch_tensor_allocate(out, 2, dims, VACCEL_TORCH_FLOAT,
				     sizeof(float) * m * n);
	return sgemm(sess, m, n, k, 1, (*a)->data, k, (*b)->data, n, 0,
		     (*out)->data, n);
}
#endif

static struct vaccel_op ops[] = {
	VACCEL_OP_INIT(ops[0], VACCEL_OP_NOOP, noop),
	VACCEL_OP_INIT(ops[1], VACCEL_OP_EXEC, exec),
	VACCEL_OP_INIT(ops[2], VACCEL_OP_EXEC_WITH_RESOURCE, exec_with_resource),
	VACCEL_OP_INIT(ops[3], VACCEL_OP_IMAGE_CLASSIFY, classify),
	VACCEL_OP_INIT(ops[4], VACCEL_OP_BLAS_SGEMM, sgemm),
	VACCEL_OP_INIT(ops[5], VACCEL_OP_FPGA_ARRAYCOPY, arraycopy),
	VACCEL_OP_INIT(ops[6], VACCEL_OP_FPGA_MMULT, mmult),
	VACCEL_OP_INIT(ops[7], VACCEL_OP_FPGA_PARALLEL, parallel),
	VACCEL_OP_INIT(ops[8], VACCEL_OP_FPGA_VECTORADD, vectoradd),
	VACCEL_OP_INIT(ops[9], VACCEL_OP_MINMAX, minmax),
	VACCEL_OP_INIT(ops[10], VACCEL_OP_OPENCV, opencv),
#ifndef NEUTRAL
	VACCEL_OP_INIT(ops[11], VACCEL_OP_TF_MODEL_RUN, tf_run),
	VACCEL_OP_INIT(ops[12], VACCEL_OP_TORCH_SGEMM, torch_sgemm),
#endif
};

static int init(void)
{
#ifdef FAILING_INIT
	vaccel_error_set("the device is asleep; wake it");
	return VACCEL_ENODEV;
#endif
#ifdef BAD_OP
	ops[0].type = VACCEL_OP_MAX + 7;
#endif
	return vaccel_plugin_register_ops(ops, sizeof(ops) / sizeof(ops[0]));
}

static int fini(void)
{
	finis++;
	return VACCEL_OK;
}

#if defined(TRANSPORT) || !defined(BARE)
static int session_init(struct vaccel_session *sess, uint32_t flags)
{
	(void)flags;
#ifdef TRANSPORT
	sess->remote_id = 1000 + sess->id;
#else
	(void)sess;
#endif
	session_inits++;
	return VACCEL_OK;
}

static int session_release(struct vaccel_session *sess)
{
	(void)sess;
	session_releases++;
	return VACCEL_OK;
}
#endif

static int resource_register(struct vaccel_resource *res,
			     struct vaccel_session *sess)
{
	(void)sess;
#if defined(TRANSPORT) && !defined(NO_REMOTE_ID)
	res->remote_id = 2000 + res->id;
#else
	(void)res;
#endif
	registrations++;
	return VACCEL_OK;
}

static int resource_unregister(struct vaccel_resource *res,
			       struct vaccel_session *sess)
{
	(void)res;
	(void)sess;
	unregistrations++;
	return VACCEL_OK;
}

VACCEL_PLUGIN(.name = NAME, .version = "1.2.3", .vaccel_version = WANTS,
	      .type = TYPE, .init = init, .fini = fini,
#ifdef TRANSPORT
	      .is_virtio = true,
#endif
#if defined(TRANSPORT) || !defined(BARE)
	      .session_init = session_init, .session_release = session_release,
#endif
#ifndef BARE
	      .resource_register = resource_register,
	      .resource_unregister = resource_unregister,
#endif
)
