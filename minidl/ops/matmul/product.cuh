// One tile of a matrix product by the threads of a block.
//
// c (BM, BN) = a (BM, k) b (k, BN). Steps of BK go through shared memory, k first there: a step is
// loaded into registers while the one before is multiplied. A thread computes TM x TN elements, in
// runs of RUN rows and RUN columns, so that it reads shared memory 16 bytes at a time; a warp is
// 4 x 8 threads, so that the threads beside each other read the same bytes or neighbouring ones.
#pragma once

#include "common.cuh"

#ifndef BM
#define BM 128
#define BN 128
#define BK 8
#define TM 8
#define TN 8
#endif
#ifndef A_ALONG   // what the packs of a run along: 0 rows' ends (k), 1 the columns' (m)
#define A_ALONG 0
#define A_WIDE 4  // elements of a pack of a
#define B_ALONG 1 // of b: 0 k, 1 n
#define B_WIDE 4
#endif

__device__ constexpr int lesser(int a, int b) { return a < b ? a : b; }

const int THREADS = (BM / TM) * (BN / TN);
const int QUAD = 16 / sizeof(A);  // elements of A in 16 bytes
const int RUN_M = lesser(TM, QUAD), RUN_N = lesser(TN, QUAD);
const int LANES_M = lesser(4, BM / TM), LANES_N = 32 / LANES_M;
const int RESIDENT = sizeof(A) > 4 ? 1 : THREADS > 128 ? 2 : 3;  // blocks of a multiprocessor

// What a thread loads of one factor: packs of WIDE elements of a tile of SIZE x BK, which run
// along k (ALONG 0) or across it (ALONG 1).
template <int SIZE, int ALONG, int WIDE> struct Loader {
    static const int PITCH = SIZE + QUAD;                   // of a line of shared memory
    static const int LINE = (ALONG ? SIZE : BK) / WIDE;     // packs that lie together
    static const int LINES = ALONG ? BK : SIZE;
    static const int APART = THREADS / LINE;                // lines from one pack to the next
    static const int PACKS = (LINES + APART - 1) / APART;   // of a thread
    static const int PART = WIDE < QUAD ? WIDE : QUAD;      // elements stored at once
    static_assert(THREADS % LINE == 0, "the threads take whole lines");

    const T* at;      // of the thread's first pack
    Int jump, step;   // elements to its next pack, and to that of the next BK
    int line, place;  // of the first pack: its line, and where it begins in it
    bool across;      // whether the packs of ALONG 1 are inside
    int inside;       // lines that exist, of ALONG 0
    Pack<T, WIDE> held[PACKS];

    // The tile begins at `first` of `size` rows (columns of b), `apart` from each other.
    __device__ void begin(const T* factor, Int first, Int size, Int apart, Int k, Int k_apart) {
        line = threadIdx.x / LINE;
        place = threadIdx.x % LINE * WIDE;
        Int own = first + (ALONG ? place : line);
        at = factor + own * apart + (k + (ALONG ? line : place)) * k_apart;
        jump = APART * (ALONG ? k_apart : apart);
        step = BK * k_apart;
        across = own < size;
        inside = (int)min(size - first, (Int)SIZE);
    }

    // Load the packs of the next BK, of which `left` exist; zeros where there is nothing.
    __device__ void load(int left) {
#pragma unroll
        for (int i = 0; i < PACKS; i++) {
            int mine = line + i * APART;
            bool there = ALONG ? across && mine < left && mine < BK : mine < inside && place < left;
            if (there) {
                held[i] = *reinterpret_cast<const Pack<T, WIDE>*>(at + i * jump);
            } else {
#pragma unroll
                for (int e = 0; e < WIDE; e++) held[i].at[e] = rounded(0);
            }
        }
        at += step;
    }

    // Write them to shared memory (BK, PITCH).
    __device__ void store(A* shared) const {
#pragma unroll
        for (int i = 0; i < PACKS; i++) {
            int mine = line + i * APART;
            if (LINES % APART && mine >= LINES) continue;
            if (ALONG) {
#pragma unroll
                for (int e = 0; e < WIDE; e += PART) {
                    Pack<A, PART> part;
#pragma unroll
                    for (int f = 0; f < PART; f++) part.at[f] = number(held[i].at[e + f]);
                    *reinterpret_cast<Pack<A, PART>*>(shared + mine * PITCH + place + e) = part;
                }
            } else {
#pragma unroll
                for (int e = 0; e < WIDE; e++)
                    shared[(place + e) * PITCH + mine] = number(held[i].at[e]);
            }
        }
    }
};

typedef Loader<BM, A_ALONG, A_WIDE> LoaderA;
typedef Loader<BN, B_ALONG, B_WIDE> LoaderB;

// Read a thread's `COUNT` numbers of a line: runs of RUN, `apart` from each other.
template <int COUNT, int RUN> __device__ inline void read(A* own, const A* line, int apart) {
#pragma unroll
    for (int i = 0; i < COUNT; i += RUN) {
        Pack<A, RUN> run = *reinterpret_cast<const Pack<A, RUN>*>(line + i / RUN * apart);
#pragma unroll
        for (int e = 0; e < RUN; e++) own[i + e] = run.at[e];
    }
}

// The thread's first row and column in the tile; the others follow in runs.
__device__ inline void own_place(int& row, int& column) {
    int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
    const int ACROSS = BN / TN / LANES_N;  // warps beside each other
    row = (warp / ACROSS * LANES_M + lane / LANES_N) * RUN_M;
    column = (warp % ACROSS * LANES_N + lane % LANES_N) * RUN_N;
}
const int APART_M = BM / TM * RUN_M, APART_N = BN / TN * RUN_N;  // from run to run

// Add to `sum` (TM, TN) the product of `steps` of BK, of which the last holds what is left of `k`.
__device__ inline void multiply(A (&sum)[TM][TN], LoaderA& a, LoaderB& b, int k) {
    SHARED(A, left, 2 * BK * LoaderA::PITCH);
    SHARED(A, right, 2 * BK * LoaderB::PITCH);
    const int SIZE_A = BK * LoaderA::PITCH, SIZE_B = BK * LoaderB::PITCH;
    int row, column, now = 0;
    own_place(row, column);
    a.load(k);
    b.load(k);
    a.store(left);
    b.store(right);
    __syncthreads();
    for (; k > 0; k -= BK, now ^= 1) {
        if (k > BK) {
            a.load(k - BK);
            b.load(k - BK);
        }
        const A *own_a = left + now * SIZE_A + row, *own_b = right + now * SIZE_B + column;
#pragma unroll
        for (int i = 0; i < BK; i++) {
            A u[TM], v[TN];
            read<TM, RUN_M>(u, own_a + i * LoaderA::PITCH, APART_M);
            read<TN, RUN_N>(v, own_b + i * LoaderB::PITCH, APART_N);
#pragma unroll
            for (int r = 0; r < TM; r++)
#pragma unroll
                for (int c = 0; c < TN; c++) sum[r][c] += u[r] * v[c];
        }
        if (k > BK) {
            a.store(left + (now ^ 1) * SIZE_A);
            b.store(right + (now ^ 1) * SIZE_B);
        }
        __syncthreads();
    }
}
