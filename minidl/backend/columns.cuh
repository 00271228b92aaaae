// Passes over x (samples, rows, width) in which a thread keeps to WIDTH neighbouring columns.
//
// Several rows may be laid side by side, so that narrow ones can be loaded 16 bytes at a time:
// width is a multiple of `channels`. A block takes a part of a sample's rows, `length` of them, and
// `lanes` times WIDTH columns; its other threads take further rows. blockIdx.x counts the parts of
// all samples, blockIdx.y the columns.
#pragma once
#include "packs.cuh"

struct Plan { Int rows, width, channels, size, length, parts, lanes; };  // size: of a group

const int MOST_LINES = 256;  // warps of a block times lanes, at most

struct Place {        // of a thread
    Int sample, part, column;
    Int start, first, last;  // of the part; its rows are first, first + step... below last
    Int base;         // where its column of the sample's first row lies
    int step, lane;
};

__device__ inline Place place_of(const Plan& plan) {
    Place at;
    int lanes = (int)plan.lanes;
    at.lane = (int)threadIdx.x & (lanes - 1);
    at.step = (int)blockDim.x / lanes;
    at.sample = blockIdx.x / (unsigned)plan.parts;
    at.part = blockIdx.x % (unsigned)plan.parts;
    at.column = ((Int)blockIdx.y * lanes + at.lane) * WIDTH;
    at.start = at.part * plan.length;
    at.last = at.start + plan.length < plan.rows ? at.start + plan.length : plan.rows;
    at.first = at.column < plan.width ? at.start + (int)threadIdx.x / lanes : at.last;
    at.base = at.sample * plan.rows * plan.width + at.column;
    return at;
}

// The channel of a thread's column k.
__device__ inline unsigned channel_of(const Place& at, int k, const Plan& plan) {
    return (unsigned)(at.column + k) % (unsigned)plan.channels;
}

// Calls use(row, load(row)) for the rows of a thread, forwards or from the part's end.
template <bool FORWARDS, int UNROLL, class Load, class Use>
__device__ inline void each_row(const Place& at, Load load, Use use) {
    Int i = at.first, mirror = at.start + at.last - 1;
    for (; i + (UNROLL - 1) * at.step < at.last; i += UNROLL * at.step) {
        decltype(load(i)) loaded[UNROLL];
#pragma unroll
        for (int u = 0; u < UNROLL; u++) {
            Int row = i + u * at.step;
            loaded[u] = load(FORWARDS ? row : mirror - row);
        }
#pragma unroll
        for (int u = 0; u < UNROLL; u++) {
            Int row = i + u * at.step;
            use(FORWARDS ? row : mirror - row, loaded[u]);
        }
    }
    for (; i < at.last; i += at.step) {
        Int row = FORWARDS ? i : mirror - i;
        use(row, load(row));
    }
}

// ---- sums over a block's rows -------------------------------------------------------------

// COUNT sums of each column, COUNT * WIDTH numbers of every thread, over the threads of a block
// that share the columns. They lie in shared memory then, those of a lane side by side.
template <int COUNT> __device__ double* over_lines(double* v, const Plan& plan) {
    const int N = COUNT * WIDTH;
    SHARED(double, room, MOST_LINES * N);
    int lanes = (int)plan.lanes, all = lanes * N, warps = blockDim.x >> 5;
    for (int offset = 16; offset >= lanes; offset >>= 1)
        for (int k = 0; k < N; k++) v[k] += __shfl_xor_sync(0xffffffffu, v[k], offset);
    int lane = threadIdx.x & 31;
    if (lane < lanes)
        for (int k = 0; k < N; k++) room[((threadIdx.x >> 5) * lanes + lane) * N + k] = v[k];
    __syncthreads();
    for (int i = threadIdx.x; i < all; i += blockDim.x) {
        double total = 0;
        for (int w = 0; w < warps; w++) total += room[w * all + i];
        room[i] = total;
    }
    __syncthreads();
    return room;
}

// Writes the sums of a block into sums (samples, COUNT, width, parts).
template <int COUNT>
__device__ void store_sums(const double* room, double* sums, const Place& at, const Plan& plan) {
    const int N = COUNT * WIDTH;
    for (int i = threadIdx.x; i < plan.lanes * N; i += blockDim.x) {
        int k = i % N;
        Int column = ((Int)blockIdx.y * plan.lanes + i / N) * WIDTH + k % WIDTH;
        if (column < plan.width)
            sums[((at.sample * COUNT + k / WIDTH) * plan.width + column) * plan.parts + at.part] =
                room[i];
    }
}

// ---- sums over the parts ------------------------------------------------------------------

// Calls use(channel, part, place) for this thread's share of the sums (width, parts) that belong to
// `size` channels from the first one on; place counts from the sums' begin.
template <class Use>
__device__ inline void each_sum(unsigned first, unsigned size, const Plan& plan, Use use) {
    unsigned parts = (unsigned)plan.parts, row = size * parts, channels = (unsigned)plan.channels;
    unsigned count = (unsigned)plan.width / channels * row;
    for (unsigned i = threadIdx.x; i < count; i += blockDim.x) {
        unsigned beside = i / row, rest = i % row;
        use(first + rest / parts, rest % parts,
            ((Int)beside * channels + first) * parts + rest);
    }
}
