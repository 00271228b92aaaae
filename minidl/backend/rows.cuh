// Rows of x (rows, length) that LANES threads share: a part of a warp, or a whole block.
//
// A thread takes WIDTH elements at a time. Where HOLD such packs are enough for it they stay in
// registers, so that x is read once; with HOLD 0 they are read anew, from the cache mostly.
#pragma once
#include "packs.cuh"

#ifndef LANES
#define LANES 32
#endif
#ifndef HOLD
#define HOLD 4
#endif

struct Row {  // of a thread
    Int row, begin, packs;  // where it begins, how many packs it has (none beyond the last row)
    int lane;
    bool inside;
};

__device__ inline Row row_of(Int rows, Int length) {
    Row at;
    Int thread = (Int)blockIdx.x * blockDim.x + threadIdx.x;
    at.row = thread / LANES;
    at.lane = (int)(thread % LANES);
    at.inside = at.row < rows;
    at.begin = at.row * length;
    at.packs = at.inside ? length / WIDTH : 0;
    return at;
}

struct Held { const T* row; Packed kept[HOLD ? HOLD : 1]; };

// Calls use(k, j) for this thread's packs: j counts those of the row, k those that it holds.
template <class Use> __device__ inline void each_pack(const Row& at, Use use) {
#pragma unroll
    for (int k = 0; k < HOLD; k++)
        if (at.lane + k * LANES < at.packs) use(k, (Int)(at.lane + k * LANES));
    if (HOLD == 0)
        for (Int j = at.lane; j < at.packs; j += LANES) use(0, j);
}

__device__ inline Held held(const T* x, const Row& at) {
    Held h;
    h.row = x + at.begin;
    if (HOLD) each_pack(at, [&](int k, Int j) { h.kept[k] = packed(h.row, j * WIDTH); });
    return h;
}

// The k-th pack of those that are held, the j-th of the row.
__device__ inline Packed pack_of(const Held& h, int k, Int j) {
    return HOLD ? h.kept[k] : packed(h.row, j * WIDTH);
}

// What op makes of v of all threads that share a row, for each of them. All must get here.
template <class Op> __device__ A over_row(A v, Op op) {
    for (int offset = (LANES < 32 ? LANES : 32) / 2; offset; offset >>= 1)
        v = op(v, __shfl_xor_sync(0xffffffffu, v, offset));
    if (LANES <= 32) return v;
    SHARED(A, partial, 32);
    __syncthreads();  // a call before may still be reading
    if ((threadIdx.x & 31) == 0) partial[threadIdx.x >> 5] = v;
    __syncthreads();
    v = partial[0];
    for (int w = 1; w < (int)blockDim.x >> 5; w++) v = op(v, partial[w]);
    return v;
}

__device__ inline A row_sum(A v) {
    return over_row(v, [](A a, A b) { return a + b; });
}
