// The operations of the plugin. WG is the side of a work group of `sgemm`: WG x WG
// work items compute a tile of 4 WG x 4 WG elements, 16 each.

#define TILE (4 * WG)

// C = alpha A B + beta C, row-major. C is not read when beta is 0. m, n and k are below
// 2^31, so that adding a tile does not overflow.
__kernel __attribute__((reqd_work_group_size(WG, WG, 1)))
void sgemm(const uint m, const uint n, const uint k, const float alpha,
           __global const float *a, const ulong lda,
           __global const float *b, const ulong ldb,
           const float beta, __global float *c, const ulong ldc)
{
    __local float a_tile[WG][TILE]; // by depth, then row
    __local float b_tile[WG][TILE]; // by depth, then column
    const uint x = get_local_id(0), y = get_local_id(1);
    const uint row = get_group_id(1) * TILE, column = get_group_id(0) * TILE;
    float sum[4][4];
    for (uint i = 0; i < 4; i++)
        for (uint j = 0; j < 4; j++)
            sum[i][j] = 0;

    for (uint depth = 0; depth < k; depth += WG) {
        for (uint i = 0; i < 4; i++) {
            const uint r = y + i * WG, q = x + i * WG;
            a_tile[x][r] = row + r < m && depth + x < k
                ? a[(ulong)(row + r) * lda + depth + x] : 0;
            b_tile[y][q] = column + q < n && depth + y < k
                ? b[(ulong)(depth + y) * ldb + column + q] : 0;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        for (uint d = 0; d < WG; d++) {
            float u[4], v[4];
            for (uint i = 0; i < 4; i++) {
                u[i] = a_tile[d][y + i * WG];
                v[i] = b_tile[d][x + i * WG];
            }
            for (uint i = 0; i < 4; i++)
                for (uint j = 0; j < 4; j++)
                    sum[i][j] += u[i] * v[j];
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }

    for (uint i = 0; i < 4; i++)
        for (uint j = 0; j < 4; j++) {
            const uint r = row + y + i * WG, q = column + x + j * WG;
            if (r < m && q < n) {
                __global float *at = c + (ulong)r * ldc + q;
                const float old = beta == 0 ? 0 : beta * *at;
                *at = (k == 0 ? 0 : alpha * sum[i][j]) + old;
            }
        }
}

__kernel void add(__global const float *a, __global const float *b, __global float *c)
{
    const size_t i = get_global_id(0);
    c[i] = a[i] + b[i];
}

__kernel void copy(__global const int *from, __global int *to)
{
    const size_t i = get_global_id(0);
    to[i] = from[i];
}

// Sum and product in one pass over memory.
__kernel void add_multiply(__global const float *a, __global const float *b,
                           __global float *sum, __global float *product)
{
    const size_t i = get_global_id(0);
    const float x = a[i], y = b[i];
    sum[i] = x + y;
    product[i] = x * y;
}

#ifdef DOUBLES
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
// Each work item clips every get_global_size(0)-th element and keeps its own extremes,
// which the host brings together. What is no number stays one and is no extreme.
__kernel void minmax(__global const double *in, const ulong count,
                     const double low, const double high,
                     __global double *clipped, __global double *extremes)
{
    double least = INFINITY, most = -INFINITY;
    for (ulong i = get_global_id(0); i < count; i += get_global_size(0)) {
        const double x = in[i];
        least = x < least ? x : least;
        most = x > most ? x : most;
        clipped[i] = x < low ? low : x > high ? high : x;
    }
    extremes[2 * get_global_id(0)] = least;
    extremes[2 * get_global_id(0) + 1] = most;
}
#endif
