// The vector operations. A grid of any size does all elements, of which there may be
// more than a grid has threads.
#define EACH(i, count)                                                                  \
	for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < (count);     \
	     i += gridDim.x * (size_t)blockDim.x)

extern "C" __global__ void add(const float *a, const float *b, float *c,
			       unsigned long long count)
{
	EACH(i, count)
		c[i] = a[i] + b[i];
}

// Sum and product in one pass over memory.
extern "C" __global__ void add_multiply(const float *a, const float *b, float *sum,
					float *product, unsigned long long count)
{
	EACH(i, count) {
		const float x = a[i], y = b[i];
		sum[i] = x + y;
		product[i] = x * y;
	}
}

// C = beta C for what BLAS leaves alone: rows of `columns` elements, `stride` apart.
extern "C" __global__ void scale(float *c, unsigned long long rows,
				 unsigned long long columns, unsigned long long stride,
				 float beta)
{
	EACH(i, rows * columns) {
		float *at = c + i / columns * stride + i % columns;
		*at = beta == 0 ? 0 : beta * *at;
	}
}

// Each thread clips its elements and keeps its own extremes, which the host brings
// together. What is no number stays one and is no extreme.
extern "C" __global__ void minmax(const double *in, unsigned long long count, double low,
				  double high, double *clipped, double *extremes)
{
	const size_t thread = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
	double least = 1.0 / 0.0, most = -1.0 / 0.0;
	EACH(i, count) {
		const double x = in[i];
		least = x < least ? x : least;
		most = x > most ? x : most;
		clipped[i] = x < low ? low : x > high ? high : x;
	}
	extremes[2 * thread] = least;
	extremes[2 * thread + 1] = most;
}
