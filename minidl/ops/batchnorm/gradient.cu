// Batch and group normalisation, backward: sums of gy and gy (x - mean), their coefficients, gx
// (see cuda_gradient.py, columns.cuh).
//
// gx = t factor + (x - mean) b + c, t being gy, or with relu gy where (x - mean) factor + offset,
// with the numbers of forward, is above 0. Definitions: WIDTH; RELU.
#include "columns.cuh"

#ifndef RELU
#define RELU 0
#endif

const int AHEAD = WIDTH > 4 ? 1 : 2;  // rows that are loaded before the first one is used

struct Terms { A mean[WIDTH], factor[WIDTH], offset[WIDTH]; };
struct Pair { Packed x, gy; };
struct Triple { Packed x, gy, more; };

__device__ inline Int group_of(const Place& at, unsigned channel, const Plan& plan) {
    unsigned size = (unsigned)plan.size, groups = (unsigned)plan.channels / size;
    return at.sample * groups + channel / size;
}

__device__ inline Terms terms_of(const A* gamma, const A* mean, const A* inv_std, const A* offset,
                                 const Place& at, const Plan& plan) {
    Terms terms;
    for (int k = 0; k < WIDTH; k++) {
        unsigned channel = channel_of(at, k, plan);
        Int place = group_of(at, channel, plan);
        double scale = gamma ? (double)gamma[channel] : 1;
        terms.mean[k] = mean[place];
        terms.factor[k] = (A)((double)inv_std[place] * scale);
        terms.offset[k] = RELU ? offset[channel] : (A)0;
    }
    return terms;
}

// What relu hands on.
__device__ inline A passed(A gy, A d, A factor, A offset) {
    return !RELU || fma(d, factor, offset) > 0 ? gy : (A)0;
}

// ---- sums ---------------------------------------------------------------------------------

// The sums of t and of t (x - mean) over a thread's rows, for its columns.
__device__ inline void products_of(const T* gy, const T* x, const Terms& terms, const Place& at,
                                   const Plan& plan, double* v) {
    A s[WIDTH], q[WIDTH];
    for (int k = 0; k < WIDTH; k++) s[k] = q[k] = 0;
    each_row<true, AHEAD>(at, [&](Int row) {
        Int place = at.base + row * plan.width;
        return Pair{packed(x, place), packed(gy, place)};
    }, [&](Int, const Pair& some) {
        for (int k = 0; k < WIDTH; k++) {
            A d = number(some.x.at[k]) - terms.mean[k];
            A t = passed(number(some.gy.at[k]), d, terms.factor[k], terms.offset[k]);
            s[k] += t;
            q[k] += t * d;
        }
    });
    for (int k = 0; k < WIDTH; k++) {
        v[k] = (double)s[k];
        v[WIDTH + k] = (double)q[k];
    }
}

// Writes b and c of a group from its sums of gamma t and gamma t z / inverse over count elements.
__device__ inline void conclude(double plain, double scaled, double inverse, double rest,
                                double count, A* terms, Int groups, Int sample, Int group) {
    double b = -scaled * inverse * inverse * inverse / count;
    terms[sample * 2 * groups + group] = (A)b;
    terms[(sample * 2 + 1) * groups + group] = (A)(rest * b - plain * inverse / count);
}

// The same of a channel that is a group; terms may be null. Writes ggamma and gbeta, too.
__device__ inline void conclude_channel(double s, double q, const A* gamma, const A* inv_std,
                                        const A* lost, A* terms, A* ggamma, A* gbeta,
                                        const Plan& plan, Int channel) {
    double inverse = (double)inv_std[channel];
    double rest = lost ? (double)lost[channel] : 0;
    double scale = gamma ? (double)gamma[channel] : 1, product = q + rest * s;
    ggamma[channel] = (A)(product * inverse);
    gbeta[channel] = (A)s;
    double count = (double)plan.rows * (double)(plan.width / plan.channels);
    if (terms)
        conclude(scale * s, scale * product, inverse, rest, count, terms, plan.channels, 0,
                 channel);
}

// ---- gx -----------------------------------------------------------------------------------

// Writes gx for a thread's rows; more is added unless it is null.
__device__ inline void apply(const T* gy, const T* x, const T* more, T* gx, const Terms& terms,
                             const A* coefficients, const Place& at, const Plan& plan) {
    A b[WIDTH], c[WIDTH];
    Int groups = plan.channels / plan.size;
    for (int k = 0; k < WIDTH; k++) {
        Int place = group_of(at, channel_of(at, k, plan), plan) + at.sample * groups;
        b[k] = coefficients[place];
        c[k] = coefficients[place + groups];
    }
    each_row<false, AHEAD>(at, [&](Int row) {
        Int place = at.base + row * plan.width;
        Triple some;
        some.x = packed(x, place);
        some.gy = packed(gy, place);
        if (more) some.more = packed(more, place);
        return some;
    }, [&](Int row, const Triple& some) {
        Packed result;
        for (int k = 0; k < WIDTH; k++) {
            A d = number(some.x.at[k]) - terms.mean[k];
            A t = passed(number(some.gy.at[k]), d, terms.factor[k], terms.offset[k]);
            A value = fma(t, terms.factor[k], fma(d, b[k], c[k]));
            result.at[k] = rounded(more ? value + number(some.more.at[k]) : value);
        }
        store(gx, at.base + row * plan.width, result);
    });
}

// ---- kernels ------------------------------------------------------------------------------

// a block a part of a sample's rows and lanes * WIDTH columns | reads gy and x (samples, rows,
// width), mean and inv_std (samples, groups), gamma (channels; null: 1), with RELU offset
// (channels), writes sums (samples, 2, width, parts) | at most 256 threads
KERNEL(products) __launch_bounds__(256, 4) (const T* __restrict__ gy, const T* __restrict__ x,
        const A* gamma, const A* mean, const A* inv_std, const A* offset, double* sums,
        Plan plan) {
    Place at = place_of(plan);
    double v[2 * WIDTH];
    products_of(gy, x, terms_of(gamma, mean, inv_std, offset, at, plan), at, plan, v);
    store_sums<2>(over_lines<2>(v, plan), sums, at, plan);
}

// a block a channel | reads sums (2, width, parts), gamma (null: 1), inv_std, lost (null: 0), all
// others (channels), writes ggamma, gbeta, and b and c into terms (2, channels) unless that is null
// | one sample, size 1
KERNEL(channels)(const double* sums, const A* gamma, const A* inv_std, const A* lost, A* terms,
                 A* ggamma, A* gbeta, Plan plan) {
    Int all = plan.width * plan.parts;
    double s = 0, q = 0;
    each_sum(blockIdx.x, 1, plan, [&](unsigned, unsigned, Int i) {
        s += sums[i];
        q += sums[all + i];
    });
    s = block_sum(s);
    q = block_sum(q);
    if (threadIdx.x == 0)
        conclude_channel(s, q, gamma, inv_std, lost, terms, ggamma, gbeta, plan, blockIdx.x);
}

// a block a group of a sample | reads sums (samples, 2, width, parts), gamma (channels; null: 1),
// inv_std and lost (samples, groups), writes b and c into terms (samples, 2, groups) | any number
// of parts
KERNEL(groups)(const double* sums, const A* gamma, const A* inv_std, const A* lost, A* terms,
               Plan plan) {
    Int count = plan.channels / plan.size, all = plan.width * plan.parts;
    Int sample = blockIdx.x / (unsigned)count, group = blockIdx.x % (unsigned)count;
    const double* plain = sums + sample * 2 * all;
    double s = 0, q = 0, rest = (double)lost[blockIdx.x];
    each_sum((unsigned)(group * plan.size), (unsigned)plan.size, plan,
             [&](unsigned channel, unsigned, Int i) {
        double scale = gamma ? (double)gamma[channel] : 1;
        s += scale * plain[i];
        q += scale * (plain[all + i] + rest * plain[i]);
    });
    s = block_sum(s);
    q = block_sum(q);
    if (threadIdx.x == 0)
        conclude(s, q, (double)inv_std[blockIdx.x], rest,
                 (double)plan.rows * (double)(plan.width / count), terms, count, sample, group);
}

// a block a channel | reads sums (samples, 2, width, parts), inv_std and lost (samples, groups),
// writes ggamma and gbeta (channels) | any number of samples
KERNEL(parameters)(const double* sums, const A* inv_std, const A* lost, A* ggamma, A* gbeta,
                   Plan plan, Int samples) {
    Int all = plan.width * plan.parts, groups = plan.channels / plan.size;
    Int each = plan.width / plan.channels * plan.parts;
    double s = 0, q = 0;
    for (Int i = threadIdx.x; i < samples * each; i += blockDim.x) {
        Int sample = i / each, rest = i % each, beside = rest / plan.parts;
        Int place = sample * groups + blockIdx.x / (unsigned)plan.size;
        const double* plain = sums + sample * 2 * all
            + (beside * plan.channels + blockIdx.x) * plan.parts + rest % plan.parts;
        s += plain[0];
        q += (plain[all] + (double)lost[place] * plain[0])
            * (double)inv_std[place];
    }
    s = block_sum(s);
    q = block_sum(q);
    if (threadIdx.x != 0) return;
    ggamma[blockIdx.x] = (A)q;
    gbeta[blockIdx.x] = (A)s;
}

// as `products` | reads terms (samples, 2, groups), too, and more (null: 0), writes gx | at most
// 256 threads
KERNEL(input) __launch_bounds__(256, 4) (const T* __restrict__ gy, const T* __restrict__ x,
        const A* gamma, const A* mean, const A* inv_std, const A* offset, const A* terms,
        const T* __restrict__ more, T* __restrict__ gx, Plan plan) {
    Place at = place_of(plan);
    if (at.column >= plan.width) return;
    apply(gy, x, more, gx, terms_of(gamma, mean, inv_std, offset, at, plan), terms, at, plan);
}

// a block lanes * WIDTH channels and all rows | reads what `products`, `channels` and `input` read,
// writes ggamma, gbeta, and gx and terms (2, channels) unless gx is null | one sample, one part,
// size 1, at most 512 threads
KERNEL(whole) __launch_bounds__(512) (const T* gy, const T* x, const A* gamma, const A* mean,
        const A* inv_std, const A* lost, const A* offset, A* terms, const T* more, T* gx,
        A* ggamma, A* gbeta, Plan plan) {
    Place at = place_of(plan);
    double v[2 * WIDTH];
    Terms own = terms_of(gamma, mean, inv_std, offset, at, plan);
    products_of(gy, x, own, at, plan, v);
    const double* room = over_lines<2>(v, plan);
    for (int i = threadIdx.x; i < plan.lanes * WIDTH; i += blockDim.x) {
        Int channel = (Int)blockIdx.y * plan.lanes * WIDTH + i;
        const double* found = room + i / WIDTH * (2 * WIDTH) + i % WIDTH;
        if (channel < plan.channels)
            conclude_channel(found[0], found[WIDTH], gamma, inv_std, lost, terms, ggamma, gbeta,
                             plan, channel);
    }
    __syncthreads();
    if (at.column < plan.width && gx) apply(gy, x, more, gx, own, terms, at, plan);
}
