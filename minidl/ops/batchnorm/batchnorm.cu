// Batch and group normalisation, forward: sums of x, statistics, y (see cuda.py, columns.cuh).
//
// Sums are those of x - near and of its square, near being the first row of the sample: within a
// thread in A and of differences from its own first row, then in double. So a mean much larger
// than the deviation costs no digits. Statistics and parameters are of type A: halves have theirs in
// float32. Definitions: WIDTH; RELU, whether y is limited from below.
#include "columns.cuh"

#ifndef RELU
#define RELU 0
#endif

const int AHEAD = WIDTH > 4 ? 2 : 4;  // rows that are loaded before the first one is used

// ---- sums ---------------------------------------------------------------------------------

// The sums of x - near and of its square over a thread's rows, for its columns.
__device__ inline void moments_of(const T* x, const Place& at, const Plan& plan, double* v) {
    A shift[WIDTH], s[WIDTH], q[WIDTH];
    for (int k = 0; k < WIDTH; k++) shift[k] = s[k] = q[k] = 0;
    if (at.first < at.last) {
        Packed first = packed(x, at.base + at.first * plan.width);
        for (int k = 0; k < WIDTH; k++) shift[k] = number(first.at[k]);
    }
    each_row<true, AHEAD>(at, [&](Int row) { return packed(x, at.base + row * plan.width); },
                   [&](Int, const Packed& some) {
        for (int k = 0; k < WIDTH; k++) {
            A d = number(some.at[k]) - shift[k];
            s[k] += d;
            q[k] += d * d;
        }
    });
    double n = at.first < at.last ? (double)((at.last - at.first + at.step - 1) / at.step) : 0;
    for (int k = 0; k < WIDTH; k++) {
        unsigned channel = channel_of(at, k, plan);
        double near = (double)number(x[at.sample * plan.rows * plan.width + channel]);
        double d = n ? (double)shift[k] - near : 0;
        v[k] = (double)s[k] + n * d;
        v[WIDTH + k] = (double)q[k] + 2 * d * (double)s[k] + n * d * d;
    }
}

// ---- statistics ---------------------------------------------------------------------------

// Writes mean, var, inv_std and lost at a place, from the sums of x - near over count elements.
__device__ inline void conclude(double s, double q, double count, double near, double epsilon,
                                A* mean, A* var, A* inv_std, A* lost, Int place) {
    double gap = s / count, spread = q / count - gap * gap;
    if (spread < 0) spread = 0;
    A middle = (A)(near + gap);
    mean[place] = middle;
    if (var) var[place] = (A)spread;
    inv_std[place] = (A)(1 / sqrt(spread + epsilon));
    lost[place] = (A)((double)middle - (near + gap));
}

// ---- y ------------------------------------------------------------------------------------

struct Terms { A mean[WIDTH], factor[WIDTH], offset[WIDTH]; };

__device__ inline A applied(A x, A mean, A factor, A offset) {
    A y = fma(x - mean, factor, offset);
    return RELU && y < 0 ? (A)0 : y;
}

// Writes y for a thread's rows.
__device__ inline void apply(const T* x, T* y, const Terms& terms, const Place& at,
                             const Plan& plan) {
    each_row<false, AHEAD>(at, [&](Int row) { return packed(x, at.base + row * plan.width); },
                    [&](Int row, const Packed& some) {
        Packed result;
        for (int k = 0; k < WIDTH; k++)
            result.at[k] = rounded(applied(number(some.at[k]), terms.mean[k], terms.factor[k],
                                           terms.offset[k]));
        store(y, at.base + row * plan.width, result);
    });
}

// The terms of a thread's columns; they are those that backward takes, offset too where it is kept.
__device__ inline Terms terms_of(const A* mean, const A* inv_std, const A* lost, const A* gamma,
                                 const A* beta, A* offset, const Place& at, const Plan& plan) {
    Terms terms;
    unsigned size = (unsigned)plan.size, groups = (unsigned)plan.channels / size;
    for (int k = 0; k < WIDTH; k++) {
        unsigned channel = channel_of(at, k, plan);
        Int place = at.sample * groups + channel / size;
        double scale = gamma ? (double)gamma[channel] : 1;
        double shift = beta ? (double)beta[channel] : 0;
        terms.mean[k] = mean[place];
        terms.factor[k] = (A)((double)inv_std[place] * scale);
        terms.offset[k] = (A)(shift + (double)lost[place] * (double)terms.factor[k]);
        if (!offset) continue;
        if (at.part == 0 && at.column < plan.width && threadIdx.x < plan.lanes)
            offset[channel] = terms.offset[k];
    }
    return terms;
}

// ---- kernels ------------------------------------------------------------------------------

// a block a part of a sample's rows and lanes * WIDTH columns | reads x (samples, rows, width),
// writes sums (samples, 2, width, parts) | at most 256 threads
KERNEL(moments) __launch_bounds__(256, 4) (const T* __restrict__ x, double* sums, Plan plan) {
    Place at = place_of(plan);
    double v[2 * WIDTH];
    moments_of(x, at, plan, v);
    store_sums<2>(over_lines<2>(v, plan), sums, at, plan);
}

// a block a group of a sample | reads sums (samples, 2, width, parts) and the first rows of x,
// writes mean, var (null: not), inv_std and lost (samples, groups) | any number of parts
KERNEL(statistics)(const double* sums, const T* x, A* mean, A* var, A* inv_std, A* lost, Plan plan,
                   double epsilon) {
    Int groups = plan.channels / plan.size, sample = blockIdx.x / (unsigned)groups;
    Int first = blockIdx.x % (unsigned)groups * plan.size, all = plan.width * plan.parts;
    const T* row = x + sample * plan.rows * plan.width;
    const double* plain = sums + sample * 2 * all;
    double near = (double)number(row[first]), s = 0, q = 0;
    each_sum((unsigned)first, (unsigned)plan.size, plan, [&](unsigned channel, Int part, Int i) {
        double d = (double)number(row[channel]) - near, one = plain[i];
        Int left = plan.rows - part * plan.length;
        double n = (double)(left < plan.length ? left : plan.length);
        s += one + n * d;
        q += plain[all + i] + 2 * d * one + n * d * d;
    });
    s = block_sum(s);
    q = block_sum(q);
    double count = (double)plan.rows * (double)(plan.width / groups);
    if (threadIdx.x == 0)
        conclude(s, q, count, near, epsilon, mean, var, inv_std, lost, blockIdx.x);
}

// as `moments` | reads x, the statistics (samples, groups), gamma and beta (channels; null: 1 and
// 0), writes y, and offset (channels) unless it is null | at most 256 threads
KERNEL(normalise) __launch_bounds__(256, 4) (const T* __restrict__ x, const A* mean,
        const A* inv_std, const A* lost, const A* gamma, const A* beta, A* offset,
        T* __restrict__ y, Plan plan) {
    Place at = place_of(plan);
    if (at.column >= plan.width) return;
    apply(x, y, terms_of(mean, inv_std, lost, gamma, beta, offset, at, plan), at, plan);
}

// a block lanes * WIDTH channels and all rows | reads x, gamma and beta (null: 1 and 0), writes y,
// the statistics (channels), and offset unless it is null | one sample, one part, size 1, at most
// 512 threads
KERNEL(whole) __launch_bounds__(512) (const T* x, const A* gamma, const A* beta, T* y, A* mean,
        A* var, A* inv_std, A* lost, A* offset, Plan plan, double epsilon) {
    Place at = place_of(plan);
    double v[2 * WIDTH];
    moments_of(x, at, plan, v);
    const double* room = over_lines<2>(v, plan);
    for (int i = threadIdx.x; i < plan.lanes * WIDTH; i += blockDim.x) {
        Int channel = (Int)blockIdx.y * plan.lanes * WIDTH + i;
        const double* found = room + i / WIDTH * (2 * WIDTH) + i % WIDTH;
        if (channel < plan.channels)
            conclude(found[0], found[WIDTH], (double)plan.rows, (double)number(x[channel]),
                     epsilon, mean, var, inv_std, lost, channel);
    }
    __syncthreads();
    if (at.column >= plan.width) return;
    apply(x, y, terms_of(mean, inv_std, lost, gamma, beta, offset, at, plan), at, plan);
}

// as `moments` | reads x (rows, width), mean and var (channels), gamma and beta (null: 1 and 0),
// writes y and inv_std (channels) | one sample, at most 256 threads, or 512 where a block sees all
KERNEL(inference) __launch_bounds__(512, 2) (const T* __restrict__ x, const A* mean, const A* var,
        const A* gamma, const A* beta, A* inv_std, T* __restrict__ y, Plan plan, double epsilon) {
    Place at = place_of(plan);
    if (at.column >= plan.width) return;
    Terms terms;
    for (int k = 0; k < WIDTH; k++) {
        unsigned channel = channel_of(at, k, plan);
        A inverse = (A)1 / sqrt(var[channel] + (A)epsilon);
        terms.mean[k] = mean[channel];
        terms.factor[k] = gamma ? inverse * gamma[channel] : inverse;
        terms.offset[k] = beta ? beta[channel] : (A)0;
        if (at.part == 0 && threadIdx.x < plan.lanes) inv_std[channel] = inverse;
    }
    apply(x, y, terms, at, plan);
}
