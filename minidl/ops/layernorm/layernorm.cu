// Layer normalisation of rows of x (rows, channels), and its gradients.
//
// Rows' kernels by rows.cuh (WIDTH, LANES, HOLD), the sums over rows by columns.cuh (WIDTH).
#include "columns.cuh"
#include "rows.cuh"

__device__ inline Packed pack_or(const T* values, Int j, A other) {
    if (values) return packed(values, j * WIDTH);
    Packed same;
    for (int i = 0; i < WIDTH; i++) same.at[i] = rounded(other);
    return same;
}

// LANES threads a row | reads x (rows, channels), gamma and beta (channels; null: 1 and 0), writes
// y, mean and inv_std (rows) | any number of channels
KERNEL(forward)(const T* x, const T* gamma, const T* beta, T* y, T* mean, T* inv_std, Int rows,
                Int channels, double epsilon) {
    Row at = row_of(rows, channels);
    Held v = held(x, at);
    A total = 0, gap = 0, square = 0;
    each_pack(at, [&](int k, Int j) {
        Packed some = pack_of(v, k, j);
        for (int i = 0; i < WIDTH; i++) total += number(some.at[i]);
    });
    A near = row_sum(total) / (A)channels;  // rounded; what that leaves is added below
    each_pack(at, [&](int k, Int j) {
        Packed some = pack_of(v, k, j);
        for (int i = 0; i < WIDTH; i++) {
            A d = number(some.at[i]) - near;
            gap += d;
            square += d * d;
        }
    });
    gap = row_sum(gap) / (A)channels;
    A inverse = (A)1 / sqrt(row_sum(square) / (A)channels - gap * gap + (A)epsilon);
    each_pack(at, [&](int k, Int j) {
        Packed some = pack_of(v, k, j), scale = pack_or(gamma, j, 1), shift = pack_or(beta, j, 0);
        for (int i = 0; i < WIDTH; i++) {
            A z = (number(some.at[i]) - near - gap) * inverse;
            some.at[i] = rounded(z * number(scale.at[i]) + number(shift.at[i]));
        }
        store(y, at.begin + j * WIDTH, some);
    });
    if (!at.inside || at.lane != 0) return;
    mean[at.row] = rounded(near + gap);
    inv_std[at.row] = rounded(inverse);
}

// LANES threads a row | reads gy and x (rows, channels), gamma (channels; null: 1), mean and
// inv_std (rows), writes gx | any number of channels
KERNEL(input_gradient)(const T* gy, const T* x, const T* gamma, const T* mean, const T* inv_std,
                       T* gx, Int rows, Int channels) {
    Row at = row_of(rows, channels);
    Held g = held(gy, at), v = held(x, at);
    A middle = at.inside ? number(mean[at.row]) : (A)0;
    A inverse = at.inside ? number(inv_std[at.row]) : (A)0, plain = 0, scaled = 0;
    each_pack(at, [&](int k, Int j) {
        Packed some = pack_of(g, k, j), other = pack_of(v, k, j), scale = pack_or(gamma, j, 1);
        for (int i = 0; i < WIDTH; i++) {
            A value = number(some.at[i]) * number(scale.at[i]);
            plain += value;
            scaled += value * (number(other.at[i]) - middle);
        }
    });
    plain = row_sum(plain) / (A)channels;
    scaled = row_sum(scaled) * inverse * inverse / (A)channels;
    each_pack(at, [&](int k, Int j) {
        Packed some = pack_of(g, k, j), other = pack_of(v, k, j), scale = pack_or(gamma, j, 1);
        for (int i = 0; i < WIDTH; i++) {
            A value = number(some.at[i]) * number(scale.at[i]) - plain;
            some.at[i] = rounded((value - (number(other.at[i]) - middle) * scaled) * inverse);
        }
        store(gx, at.begin + j * WIDTH, some);
    });
}

struct Both { Packed gy, x; A mean, inverse; };

// a block a part of the rows and lanes * WIDTH columns | reads gy and x (rows, channels), mean and
// inv_std (rows), writes sums (2, channels, parts), or where ggamma is not null ggamma and gbeta
// (channels) | one sample, rows not side by side, at most 256 threads, or 512 where a block sees
// all rows
KERNEL(products) __launch_bounds__(512, 2) (const T* __restrict__ gy, const T* __restrict__ x,
        const T* mean, const T* inv_std, double* sums, T* ggamma, T* gbeta, Plan plan) {
    Place at = place_of(plan);
    A s[WIDTH], q[WIDTH];
    for (int k = 0; k < WIDTH; k++) s[k] = q[k] = 0;
    each_row<true, 2>(at, [&](Int row) {
        Int place = at.base + row * plan.width;
        return Both{packed(gy, place), packed(x, place), number(mean[row]), number(inv_std[row])};
    }, [&](Int, const Both& some) {
        for (int k = 0; k < WIDTH; k++) {
            A g = number(some.gy.at[k]);
            s[k] += g * ((number(some.x.at[k]) - some.mean) * some.inverse);
            q[k] += g;
        }
    });
    double v[2 * WIDTH];
    for (int k = 0; k < WIDTH; k++) {
        v[k] = (double)s[k];
        v[WIDTH + k] = (double)q[k];
    }
    const double* room = over_lines<2>(v, plan);
    if (!ggamma) {
        store_sums<2>(room, sums, at, plan);
        return;
    }
    for (int i = threadIdx.x; i < plan.lanes * WIDTH; i += blockDim.x) {
        Int channel = (Int)blockIdx.y * plan.lanes * WIDTH + i;
        const double* found = room + i / WIDTH * (2 * WIDTH) + i % WIDTH;
        if (channel >= plan.channels) continue;
        ggamma[channel] = rounded((A)found[0]);
        gbeta[channel] = rounded((A)found[WIDTH]);
    }
}

// a block a channel | reads sums (2, channels, parts), writes ggamma and gbeta (channels) | any
// number of parts
KERNEL(totals)(const double* sums, T* ggamma, T* gbeta, Plan plan) {
    double s = 0, q = 0;
    each_sum(blockIdx.x, 1, plan, [&](unsigned, unsigned, Int i) {
        s += sums[i];
        q += sums[plan.width * plan.parts + i];
    });
    s = block_sum(s);
    q = block_sum(q);
    if (threadIdx.x != 0) return;
    ggamma[blockIdx.x] = rounded((A)s);
    gbeta[blockIdx.x] = rounded((A)q);
}
