// Local response normalisation over neighbouring channels of x (rows, channels), and its gradient.
//
// Definition: INDEX, unsigned where it can count all elements.
#include "common.cuh"

#ifndef INDEX
#define INDEX unsigned
#endif

const int TILE = 1024;  // elements that a block of the gradient takes

// scale^-beta; the common exponents are roots, which are fast.
__device__ inline A inverse_power(A scale, A beta) {
    if (beta == (A)0.5) return (A)1 / sqrt(scale);
    if (beta != (A)0.75) return pow(scale, -beta);
    A root = sqrt(scale);
    return (A)1 / (root * sqrt(root));
}

// Where the neighbours of element i begin and end, those of its row at most `radius` away.
struct Range { Int first, last; };

__device__ inline Range around(Int i, Int channels, Int radius) {
    Int c = (Int)((INDEX)i % (INDEX)channels);
    return {i - (c < radius ? c : radius),
            i + (channels - 1 - c < radius ? channels - 1 - c : radius)};
}

// a thread an element | reads x (n), writes scale and y (n) | any number of channels
KERNEL(forward)(const T* __restrict__ x, T* scale, T* y, Int n, Int channels, Int radius,
                double bias, double alpha, double beta) {
    FOR_EACH(i, n) {
        Range near = around(i, channels, radius);
        A total = 0;
        for (Int k = near.first; k <= near.last; k++) total += number(x[k]) * number(x[k]);
        total = (A)bias + (A)alpha * total;
        scale[i] = rounded(total);
        y[i] = rounded(inverse_power(total, (A)beta) * number(x[i]));
    }
}

__device__ inline A term(const T* gy, const T* x, const T* scale, Int i, A beta) {
    A s = number(scale[i]);
    return number(gy[i]) * number(x[i]) * inverse_power(s, beta) / s;
}

// a block TILE elements | reads gy, x and scale (n), writes gx (n); factor is 2 alpha beta | the
// terms of the tile and of `halo` elements on either side lie in dynamic shared memory, others are
// computed by each thread that needs them
KERNEL(gradient)(const T* __restrict__ gy, const T* __restrict__ x, const T* __restrict__ scale,
                 T* gx, Int n, Int channels, Int radius, Int halo, double factor, double beta) {
    DYNAMIC_SHARED(A, terms);
    Int begin = (Int)blockIdx.x * TILE, end = begin + TILE < n ? begin + TILE : n;
    Int low = begin - halo > 0 ? begin - halo : 0, high = end + halo < n ? end + halo : n;
    for (Int i = low + threadIdx.x; i < high; i += blockDim.x)
        terms[i - low] = term(gy, x, scale, i, (A)beta);
    __syncthreads();
    for (Int i = begin + threadIdx.x; i < end; i += blockDim.x) {
        Range near = around(i, channels, radius);
        A total = 0;
        for (Int k = near.first; k <= near.last; k++)
            total += k >= low && k < high ? terms[k - low] : term(gy, x, scale, k, (A)beta);
        A power = inverse_power(number(scale[i]), (A)beta);
        gx[i] = rounded(number(gy[i]) * power - (A)factor * number(x[i]) * total);
    }
}
