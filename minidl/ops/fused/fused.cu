// The gradient of a bias and relu: gz, and its sums over rows (see cuda.py, columns.cuh).
#include "columns.cuh"

struct Pair { Packed gy, y; };

// a block a part of the rows and lanes * WIDTH columns | reads gy and y (rows, width), writes gz,
// which may be gy, and sums (1, width, parts), or where `total` is not null the sums of its
// channels there | one sample, at most 256 threads, or 512 where a block sees all rows
KERNEL(rectified) __launch_bounds__(512, 2) (const T* gy, const T* __restrict__ y, T* gz,
        double* sums, T* total, Plan plan) {
    Place at = place_of(plan);
    A s[WIDTH];
    for (int k = 0; k < WIDTH; k++) s[k] = 0;
    each_row<true, 2>(at, [&](Int row) {
        Int place = at.base + row * plan.width;
        return Pair{packed(gy, place), packed(y, place)};
    }, [&](Int row, const Pair& some) {
        Packed result;
        for (int k = 0; k < WIDTH; k++) {
            result.at[k] = number(some.y.at[k]) > 0 ? some.gy.at[k] : rounded(0);
            s[k] += number(result.at[k]);
        }
        store(gz, at.base + row * plan.width, result);
    });
    double v[WIDTH];
    for (int k = 0; k < WIDTH; k++) v[k] = (double)s[k];
    const double* room = over_lines<1>(v, plan);
    if (!total) {
        store_sums<1>(room, sums, at, plan);
        return;
    }
    for (int i = threadIdx.x; i < plan.lanes * WIDTH; i += blockDim.x) {
        Int channel = (Int)blockIdx.y * plan.lanes * WIDTH + i;
        if (channel < plan.channels) total[channel] = rounded((A)room[i]);
    }
}

// a block a channel | reads sums (1, width, parts), writes total (channels) | any number of parts
KERNEL(total)(const double* sums, T* total, Plan plan) {
    double s = 0;
    each_sum(blockIdx.x, 1, plan, [&](unsigned, unsigned, Int i) { s += sums[i]; });
    s = block_sum(s);
    if (threadIdx.x == 0) total[blockIdx.x] = rounded((A)s);
}
