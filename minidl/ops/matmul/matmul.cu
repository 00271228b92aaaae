// Matrix products c = a b of any strides, whole or in parts of k that are added up afterwards.
//
// Definitions: BM, BN, BK, TM, TN, the tile (see `product.cuh`); A_ALONG, A_WIDE, B_ALONG, B_WIDE,
// how the factors lie; C_WIDE, elements of c stored at once.
#include "product.cuh"

#ifndef C_WIDE
#define C_WIDE 4
#endif

const int WRITE = lesser(C_WIDE, RUN_N);
const int BAND = 8;  // rows of tiles that are computed together, so that the caches serve them

struct Leads { Ints of[5]; };  // strides of a, b, c, bias and more over the leading axes

__device__ inline A finished(A v, Int relu) { return relu && v < 0 ? (A)0 : v; }

// Where a block's tile begins: matrix z, row and column. The grid walks through bands of BAND rows
// of tiles, column by column in each.
struct Tile {
    Int z, row, column;
    __device__ Tile(Int m, Int n) {
        unsigned rows = (unsigned)((m + BM - 1) / BM), columns = (unsigned)((n + BN - 1) / BN);
        unsigned x = blockIdx.x % (rows * columns);
        unsigned band = x / (BAND * columns), within = x % (BAND * columns);
        unsigned high = min(rows - band * BAND, (unsigned)BAND);
        z = blockIdx.x / (rows * columns);
        row = (band * BAND + within % high) * (Int)BM;
        column = within / high * (Int)BN;
    }
};

// Add to `sum` the block's tile of a b, over `k` from `start` on.
__device__ inline void multiply_tile(A (&sum)[TM][TN], const T* a, const T* b, const Tile& tile,
                                     Int start, int k, const Ints& sizes, const Ints& strides,
                                     int axes, const Ints& lead, const Leads& leads) {
    LoaderA left;
    LoaderB right;
    left.begin(a + strided((unsigned)tile.z, lead, leads.of[0], axes), tile.row, sizes.at[0],
               strides.at[0], start, strides.at[1]);
    right.begin(b + strided((unsigned)tile.z, lead, leads.of[1], axes), tile.column, sizes.at[1],
                strides.at[3], start, strides.at[2]);
    multiply(sum, left, right, k);
}

// Write the thread's elements as far as they exist.
template <class Put> __device__ void for_own(Int first_row, Int first_column, Int m, Int n,
                                             Put put) {
    int row, column;
    own_place(row, column);
#pragma unroll
    for (int r = 0; r < TM; r++) {
        Int i = first_row + row + r / RUN_M * APART_M + r % RUN_M;
        if (i >= m) continue;
#pragma unroll
        for (int c = 0; c < TN; c += WRITE) {
            Int j = first_column + column + c / RUN_N * APART_N + c % RUN_N;
            if (j < n) put(i, j, r, c);
        }
    }
}

// x the tiles of all matrices of c | reads a (lead, m, k), b (lead, k, n), bias (lead, n), more
// (lead, m, n) by strides, writes c (lead, m, n) = a b + bias + more | sizes: m, n, k, below 2^31;
// strides: of m and k in a, of k and n in b, of m in c and in more; c, bias and more lie along n
KERNEL(product) __launch_bounds__(THREADS, RESIDENT)(const T* a, const T* b, T* c, const T* bias,
                                                     const T* more, Int relu, Ints sizes,
                                                     Ints strides, Int axes, Ints lead,
                                                     Leads leads) {
    A sum[TM][TN] = {};
    Tile tile(sizes.at[0], sizes.at[1]);
    multiply_tile(sum, a, b, tile, 0, (int)sizes.at[2], sizes, strides, axes, lead, leads);
    unsigned z = (unsigned)tile.z;
    c += strided(z, lead, leads.of[2], axes);
    if (bias) bias += strided(z, lead, leads.of[3], axes);
    if (more) more += strided(z, lead, leads.of[4], axes);
    for_own(tile.row, tile.column, sizes.at[0], sizes.at[1], [&](Int i, Int j, int r, int s) {
        Pack<T, WRITE> result, also, offset;
        if (bias) offset = *reinterpret_cast<const Pack<T, WRITE>*>(bias + j);
        if (more) also = *reinterpret_cast<const Pack<T, WRITE>*>(more + i * strides.at[5] + j);
#pragma unroll
        for (int e = 0; e < WRITE; e++) {
            A v = sum[r][s + e];
            if (bias) v += number(offset.at[e]);
            if (more) v += number(also.at[e]);
            result.at[e] = rounded(finished(v, relu));
        }
        *reinterpret_cast<Pack<T, WRITE>*>(c + i * strides.at[4] + j) = result;
    });
}

// x the tiles of all matrices, y a part of k | reads a and b as `product` does, writes partial
// (parts, lead, m, n) from part `first` on | sizes: m, n, k, length of a part (of BKs), lead m n
KERNEL(product_parts) __launch_bounds__(THREADS, RESIDENT)(const T* a, const T* b, A* partial,
                                                           Int first, Ints sizes, Ints strides,
                                                           Int axes, Ints lead, Leads leads) {
    A sum[TM][TN] = {};
    Tile tile(sizes.at[0], sizes.at[1]);
    Int start = blockIdx.y * sizes.at[3];
    multiply_tile(sum, a, b, tile, start, (int)min(sizes.at[2] - start, sizes.at[3]), sizes,
                  strides, axes, lead, leads);
    Int n = sizes.at[1];
    partial += (first + blockIdx.y) * sizes.at[4] + tile.z * sizes.at[0] * n;
    for_own(tile.row, tile.column, sizes.at[0], n, [&](Int i, Int j, int r, int s) {
        Pack<A, WRITE> result;
#pragma unroll
        for (int e = 0; e < WRITE; e++) result.at[e] = sum[r][s + e];
        *reinterpret_cast<Pack<A, WRITE>*>(partial + i * n + j) = result;
    });
}

// 8 warps, each lane an element, warp w the parts w, w + 8 ... | reads partial (parts, lead m n),
// bias and more as `product` does, writes c | blocks of 256 threads; sizes: m, n, parts, lead m n
KERNEL(add_parts)(const A* partial, T* c, const T* bias, const T* more, Int relu, Ints sizes,
                  Ints strides, Int axes, Ints lead, Leads leads) {
    SHARED(double, sums, 256);
    Int m = sizes.at[0], n = sizes.at[1], parts = sizes.at[2], all = sizes.at[3];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    for (Int start = blockIdx.x * (Int)32; start < all; start += gridDim.x * (Int)32) {
        Int at = start + lane;
        double sum = 0;
        if (at < all) {
#pragma unroll 4
            for (Int p = warp; p < parts; p += 8) sum += partial[p * all + at];
        }
        sums[threadIdx.x] = sum;
        __syncthreads();
        if (warp == 0 && at < all) {
            for (int w = 1; w < 8; w++) sum += sums[w * 32 + lane];
            Int z = at / (m * n), i = at / n % m, j = at % n;
            if (bias) sum += (double)number(bias[strided(z, lead, leads.of[3], axes) + j]);
            Int from = strided(z, lead, leads.of[4], axes) + i * strides.at[5] + j;
            if (more) sum += (double)number(more[from]);
            c[strided(z, lead, leads.of[2], axes) + i * strides.at[4] + j] =
                rounded(finished((A)sum, relu));
        }
        __syncthreads();
    }
}
