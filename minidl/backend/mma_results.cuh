// Where the tiles of a product on tensor cores go (mma.cuh), and what is done to them on the way.
//
// Definition: RELU, whether results end in max(y, 0).
#pragma once
#include "mma.cuh"

#ifndef RELU
#define RELU 0
#endif

constexpr int RESULT_PITCH = TILE_N + 8;  // floats; lanes of a half warp meet different banks

// Writes the sums of all warps into shared memory as a tile of float32; ends with a barrier.
__device__ inline void gather_sums(const Sums& sums, float* tile) {
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float* at = tile + (warp % WARPS_M * WARP_M + lane / 4) * RESULT_PITCH
                + warp / WARPS_M * WARP_N + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < ROWS; i++)
#pragma unroll
        for (int j = 0; j < COLUMNS; j++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const float* c = sums.at[i][j] + 2 * half;
                *reinterpret_cast<Pack<float, 2>*>(
                    at + (16 * i + 8 * half) * RESULT_PITCH + 8 * j) = {c[0], c[1]};
            }
    __syncthreads();
}

__device__ inline T finished(float sum, const T* b, const T* more, Int channel, Int at) {
    A v = sum;
    if (b) v += number(b[channel]);
    if (more) v += number(more[at]);
    return rounded(RELU && v < 0 ? (A)0 : v);
}

// Writes WIDTH results at element `at` of y, of channels from `channel` on; sums only, to
// `partial`, where others are to be added.
template <int WIDTH>
__device__ inline void write(const float* sums, const T* b, const T* more, T* y, float* partial,
                             Int channel, Int at) {
    constexpr int READ = WIDTH < 4 ? WIDTH : 4;
    Pack<T, WIDTH> result, added;
    if (more && !partial) added = *reinterpret_cast<const Pack<T, WIDTH>*>(more + at);
#pragma unroll
    for (int i = 0; i < WIDTH; i += READ) {
        Pack<float, READ> part = *reinterpret_cast<const Pack<float, READ>*>(sums + i);
        if (partial) *reinterpret_cast<Pack<float, READ>*>(partial + at + i) = part;
#pragma unroll
        for (int j = 0; j < READ && !partial; j++)
            result.at[i + j] = finished(part.at[j], b, more ? added.at : nullptr, channel + i + j,
                                        i + j);
    }
    if (!partial) *reinterpret_cast<Pack<T, WIDTH>*>(y + at) = result;
}

// Adds up the shares of sums (shares, n), in order; b (channels) and more (n) may be null.
__device__ inline void add_shares(const float* partial, const T* b, const T* more, T* y, Int n,
                                  Int channels, Int shares) {
    FOR_EACH(i, n) {
        double sum = 0;
        for (Int s = 0; s < shares; s++) sum += partial[s * n + i];
        y[i] = finished((float)sum, b, more, b ? i % channels : 0, i);
    }
}
