// Matrix products of tiles on tensor cores, fed by copies that run beside the arithmetic.
//
// A block computes a tile (TILE_M, TILE_N) of a product, TILE_K of the sum at a time; its warps
// share the tile in parts (WARP_M, WARP_N). A kernel brings a loader, which says where the elements
// of the two factors lie; the rest is here: stages in shared memory, fragments, sums.
//
// float32 is multiplied as TF32 (10 bits of mantissa, rounded), or, with EXACT, as the three
// products of its upper and lower parts that matter (an infinity then gives NaN); halves as they
// are. Sums are float32. float64 compiles and computes nothing: `accepts` refuses it.
//
// A tile in shared memory lies in one of two ways: ALONG the sum, its rows being rows of the result
// (or columns of the second factor), or across it, its rows being steps of the sum. Rows are padded
// so that the lanes of a warp that read together meet different banks.
//
// Layouts of fragments: PTX ISA, sections on mma.m16n8k8, mma.m16n8k16 and ldmatrix.
#pragma once
#include "common.cuh"

#ifndef TILE_M
#define TILE_M 128
#define TILE_N 64
#define WARP_M 64
#define WARP_N 32
#define STAGES 3
#endif
#ifndef EXACT
#define EXACT 0
#endif

constexpr bool SPLIT = EXACT && sizeof(T) == 4;
constexpr int TILE_K = 128 / (int)sizeof(T);  // 128 bytes
constexpr int UNIT = 16 / (int)sizeof(T);     // elements of 16 bytes
constexpr int STEP = 2 * UNIT;                // of the sum, in one instruction
constexpr int WARPS_M = TILE_M / WARP_M;
constexpr int THREADS = WARPS_M * (TILE_N / WARP_N) * 32;
constexpr int ROWS = WARP_M / 16, COLUMNS = WARP_N / 8;  // fragments of a warp's part

// Elements from one row of a tile to the next.
__device__ constexpr int pitch(bool along, int length) {
    return along ? TILE_K + UNIT : length + (sizeof(T) == 2 ? UNIT : 2 * UNIT);
}
__device__ constexpr int tile_size(bool along, int length) {
    return (along ? length : TILE_K) * pitch(along, length);
}

struct Sums { float at[ROWS][COLUMNS][4]; };

// ---- copies that run beside the arithmetic ------------------------------------------------

#ifndef HOST
__device__ inline unsigned shared_address(const void* place) {
    return (unsigned)__cvta_generic_to_shared(place);
}
template <int BYTES> __device__ inline void begin_copy(void* to, const void* from, int taken) {
    if constexpr (BYTES == 16)
        asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;"
                     :: "r"(shared_address(to)), "l"(from), "r"(taken) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;"
                     :: "r"(shared_address(to)), "l"(from), "r"(taken), "n"(BYTES) : "memory");
}
__device__ inline void close_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int LEFT> __device__ inline void wait_for_groups() {
    asm volatile("cp.async.wait_group %0;" :: "n"(LEFT) : "memory");
}
#else
template <int BYTES> void begin_copy(void* to, const void* from, int taken) {
    queue_copy(to, from, BYTES, taken);
}
inline void close_group() { close_copies(); }
template <int LEFT> void wait_for_groups() { finish_copies(LEFT); }
#endif

// Begins to copy BYTES to shared memory, or zeros; `wait_for_groups` ends it.
template <int BYTES> __device__ inline void copy(T* to, const T* from, bool inside) {
    if constexpr (BYTES >= 4)
        begin_copy<BYTES>(to, from, inside ? BYTES : 0);
    else  // a single half: there is no such copy
        *to = inside ? *from : T(0.0f);
}

// Begins to copy a tile; `place(row, inside)` says where a thread's WIDTH elements of a row begin.
// A thread is always at the same column of the tile, the one that `column_of` returns.
template <int LENGTH, int WIDTH> __device__ inline int column_of() {
    return (int)(threadIdx.x % (LENGTH / WIDTH)) * WIDTH;
}
template <int HEIGHT, int LENGTH, int PITCH, int WIDTH, class Place>
__device__ inline void copy_tile(T* tile, Place place) {
    constexpr int PER_ROW = LENGTH / WIDTH, STRIDE = THREADS / PER_ROW;
    static_assert(THREADS % PER_ROW == 0, "threads take whole rows");
    int first = (int)threadIdx.x / PER_ROW;
    T* to = tile + first * PITCH + column_of<LENGTH, WIDTH>();
#pragma unroll
    for (int r = 0; r < HEIGHT; r += STRIDE) {
        if (HEIGHT % STRIDE && r + first >= HEIGHT) break;
        bool inside = true;
        const T* from = place(r + first, inside);
        copy<WIDTH * (int)sizeof(T)>(to + r * PITCH, from, inside);
    }
}

// ---- fragments ------------------------------------------------------------------------------

#ifndef HOST
// Four matrices of 8 rows of 16 bytes; lane 8 i + r says where row r of matrix i lies.
template <bool TRANSPOSED> __device__ inline void load_matrices(unsigned (&to)[4], const T* row) {
    if constexpr (TRANSPOSED)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                     : "r"(shared_address(row)) : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                     : "r"(shared_address(row)) : "memory");
}
__device__ inline unsigned as_tf32(float x) {
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
}
#define MMA(kind) \
    asm volatile("mma.sync.aligned." kind " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, " \
                 "{%0, %1, %2, %3};" : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
__device__ inline void mma(float (&c)[4], const unsigned (&a)[4], const unsigned* b, float) {
    MMA("m16n8k8.row.col.f32.tf32.tf32.f32");
}
__device__ inline void mma(float (&c)[4], const unsigned (&a)[4], const unsigned* b, __half) {
    MMA("m16n8k16.row.col.f32.f16.f16.f32");
}
__device__ inline void mma(float (&c)[4], const unsigned (&a)[4], const unsigned* b,
                           __nv_bfloat16) {
    MMA("m16n8k16.row.col.f32.bf16.bf16.f32");
}
__device__ inline void mma(float (&c)[4], const unsigned (&a)[4], const unsigned* b, double) {}
#else
template <bool TRANSPOSED> void load_matrices(unsigned (&to)[4], const T* row) {
    const unsigned char* rows[32];
    pointers_of_warp(row, rows);
    int lane = threadIdx.x % 32;
    for (int i = 0; i < 4; i++)
        for (int half = 0; half < 2; half++) {
            int down = lane / 4, right = lane % 4 * 2 + half;
            if (TRANSPOSED) std::swap(down, right);
            memcpy((char*)&to[i] + 2 * half, rows[8 * i + down] + 2 * right, 2);
        }
}
inline unsigned as_tf32(float x) {
    unsigned bits = __float_as_uint(x);
    if (isnan(x)) return 0x7fffffff;
    return isinf(x) ? bits : (bits + 0x1000) & 0xffffe000u;
}
inline float part(unsigned word, int, float) { return __uint_as_float(word & 0xffffe000u); }
inline double part(unsigned, int, double) { return 0; }
template <class Half> float part(unsigned word, int at, Half) {
    Half parts[2];
    memcpy(parts, &word, 4);
    return (float)parts[at];
}
template <class V> void mma(float (&c)[4], const unsigned (&a)[4], const unsigned* b, V) {
    constexpr int PER_WORD = sizeof(V) == 2 ? 2 : 1, DEPTH = 8 * PER_WORD;
    unsigned own[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    const unsigned (*lanes)[6] = registers_of_warp(own);
    int lane = threadIdx.x % 32;
    for (int e = 0; e < 4; e++) {
        int row = lane / 4 + e / 2 * 8, column = lane % 4 * 2 + e % 2;
        double sum = c[e];
        for (int k = 0; k < DEPTH; k++) {
            int at = k / PER_WORD % 4, upper = k / (4 * PER_WORD);
            sum += (double)part(lanes[row % 8 * 4 + at][row / 8 + 2 * upper], k % PER_WORD, V())
                 * part(lanes[column * 4 + at][4 + upper], k % PER_WORD, V());
        }
        c[e] = (float)sum;
    }
}
#endif

// Registers of a fragment as they are multiplied, and with EXACT what rounding took from them.
template <int N> struct Fragment { unsigned at[N], rest[N]; };

template <int N> __device__ inline void round_fragment(Fragment<N>& f) {
    if constexpr (sizeof(T) == 4) {
#pragma unroll
        for (int i = 0; i < N; i++) {
            float x = __uint_as_float(f.at[i]);
            f.at[i] = as_tf32(x);
            if (SPLIT) f.rest[i] = as_tf32(x - __uint_as_float(f.at[i]));
        }
    }
}

// Rows [m, m + 16) of the first factor, steps [k, k + STEP) of the sum.
template <bool ALONG> __device__ inline void load_first(Fragment<4>& f, const T* tile, int m,
                                                        int k) {
    constexpr int PITCH = pitch(ALONG, TILE_M);
    int lane = threadIdx.x % 32;
    if constexpr (ALONG) {
        load_matrices<false>(f.at, tile + (m + lane % 16) * PITCH + k + lane / 16 * UNIT);
    } else if constexpr (sizeof(T) == 2) {
        load_matrices<true>(f.at, tile + (k + lane % 8 + lane / 16 * 8) * PITCH + m
                                  + lane / 8 % 2 * 8);
    } else if constexpr (sizeof(T) == 4) {
        const T* at = tile + (k + lane % 4) * PITCH + m + lane / 4;
#pragma unroll
        for (int i = 0; i < 4; i++)
            f.at[i] = __float_as_uint((float)at[i / 2 * 4 * PITCH + i % 2 * 8]);
    }
    round_fragment(f);
}

// Columns [n, n + 16) of the second factor: registers 0, 1 are those of the first 8 columns.
template <bool ALONG> __device__ inline void load_second(Fragment<4>& f, const T* tile, int n,
                                                         int k) {
    constexpr int PITCH = pitch(ALONG, TILE_N);
    int lane = threadIdx.x % 32;
    if constexpr (ALONG) {
        load_matrices<false>(f.at, tile + (n + lane % 8 + lane / 16 * 8) * PITCH + k
                                   + lane / 8 % 2 * UNIT);
    } else if constexpr (sizeof(T) == 2) {
        load_matrices<true>(f.at, tile + (k + lane % 16) * PITCH + n + lane / 16 * 8);
    } else if constexpr (sizeof(T) == 4) {
        const T* at = tile + (k + lane % 4) * PITCH + n + lane / 4;
#pragma unroll
        for (int i = 0; i < 4; i++)
            f.at[i] = __float_as_uint((float)at[i % 2 * 4 * PITCH + i / 2 * 8]);
    }
    round_fragment(f);
}

// Adds the product with 8 columns, whose registers begin at `at`. Tensor cores cut digits off what
// they add to a sum, which in long sums costs more than the lower parts bring: with EXACT each
// product is added by itself, rounded (Ootomo and Yokota, "Recovering single precision accuracy
// from Tensor Cores while surpassing the FP32 theoretical peak performance", 2022).
__device__ inline void add_product(float (&sum)[4], const Fragment<4>& a, const Fragment<4>& b,
                                   int at) {
    if constexpr (SPLIT) {
        float product[4] = {0, 0, 0, 0};
        mma(product, a.rest, b.at + at, T());
        mma(product, a.at, b.rest + at, T());
        mma(product, a.at, b.at + at, T());
#pragma unroll
        for (int e = 0; e < 4; e++) sum[e] += product[e];
    } else {
        mma(sum, a.at, b.at + at, T());
    }
}

// ---- the product of two tiles in shared memory ---------------------------------------------

template <bool ALONG_A, bool ALONG_B>
__device__ inline void multiply(Sums& sums, const T* a, const T* b) {
    int warp = threadIdx.x / 32, m = warp % WARPS_M * WARP_M, n = warp / WARPS_M * WARP_N;
#pragma unroll
    for (int k = 0; k < TILE_K; k += STEP) {
        Fragment<4> first[ROWS], second[COLUMNS / 2];
#pragma unroll
        for (int i = 0; i < ROWS; i++) load_first<ALONG_A>(first[i], a, m + 16 * i, k);
#pragma unroll
        for (int j = 0; j < COLUMNS / 2; j++) load_second<ALONG_B>(second[j], b, n + 16 * j, k);
#pragma unroll
        for (int i = 0; i < ROWS; i++)
#pragma unroll
            for (int j = 0; j < COLUMNS; j++)
                add_product(sums.at[i][j], first[i], second[j / 2], j % 2 * 2);
    }
}

// Adds up the products of tiles [first, last). `loader.load(a, b, tile)` begins the copies of one;
// `loader.prepare(tile)` comes before it, with a barrier between, and may write tables for it: two
// in turns, since tile + 1 is prepared while `load` reads what was written for `tile`.
template <bool ALONG_A, bool ALONG_B, class Loader>
__device__ inline void add_tiles(Sums& sums, Loader& loader, T* memory, int first, int last) {
    constexpr int A = tile_size(ALONG_A, TILE_M), STAGE = A + tile_size(ALONG_B, TILE_N);
    for (int s = 0; s < STAGES - 1; s++) {
        loader.prepare(first + s);
        __syncthreads();
        T* at = memory + s * STAGE;
        if (first + s < last) loader.load(at, at + A, first + s);
        close_group();  // an empty one, too: groups are counted
    }
    loader.prepare(first + STAGES - 1);
    int reading = 0, writing = STAGES - 1;
    for (int tile = first; tile < last; tile++) {
        wait_for_groups<STAGES - 2>();
        __syncthreads();  // all copies of this tile are there, and nobody reads the one before
        int next = tile + STAGES - 1;
        T* at = memory + writing * STAGE;
        if (next < last) loader.load(at, at + A, next);
        close_group();
        loader.prepare(next + 1);
        multiply<ALONG_A, ALONG_B>(sums, memory + reading * STAGE, memory + reading * STAGE + A);
        reading = reading + 1 == STAGES ? 0 : reading + 1;
        writing = writing + 1 == STAGES ? 0 : writing + 1;
    }
    wait_for_groups<0>();
    __syncthreads();
}
