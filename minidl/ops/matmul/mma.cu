// Matrix products c = a b on tensor cores, of factors with any strides.
//
// Definitions: those of mma.cuh and RELU; A_ALONG and B_ALONG, whether a factor's tiles lie along k
// (1) or across it (0), best as the factor does; A_WIDE and B_WIDE, how many of its elements that
// lie together so are copied at once, C_WIDE, how many are written.
#include "mma_results.cuh"

#ifndef A_ALONG
#define A_ALONG 1
#define B_ALONG 0
#endif
#ifndef A_WIDE
#define A_WIDE (16 / (int)sizeof(T))
#define B_WIDE (16 / (int)sizeof(T))
#define C_WIDE (16 / (int)sizeof(T))
#endif

// Lengths, stages of the sum that a block takes, elements from one row (a) or column (b) and from
// one k to the next; the matrices of a stack: axes, shape, strides of a and b.
struct Product {
    Int m, n, k, share, a_row, a_k, b_k, b_column, axes;
    Ints shape, a_lead, b_lead;
};

struct Factors {
    const T *a, *b;  // of row m and column n
    Int a_row, a_k, b_k, b_column;
    int rows, columns, depth;  // how many there are from there

    __device__ void prepare(int) {}

    __device__ void load(T* a_tile, T* b_tile, int tile) const {
        copy_factor<A_ALONG, TILE_M, A_WIDE>(a_tile, a, a_row, a_k, rows, tile * TILE_K);
        copy_factor<B_ALONG, TILE_N, B_WIDE>(b_tile, b, b_column, b_k, columns, tile * TILE_K);
    }

    template <bool ALONG, int LENGTH, int WIDE>
    __device__ void copy_factor(T* tile, const T* from, Int across, Int along, int count, int k
                                ) const {
        if constexpr (ALONG) {
            int column = k + column_of<TILE_K, WIDE>();
            from += column * along;
            copy_tile<LENGTH, TILE_K, pitch(true, LENGTH), WIDE>(tile, [&](int r, bool& inside) {
                inside = r < count && column < depth;
                return from + r * across;
            });
        } else {
            int column = column_of<LENGTH, WIDE>();
            from += k * along + column * across;
            copy_tile<TILE_K, LENGTH, pitch(false, LENGTH), WIDE>(tile, [&](int r, bool& inside) {
                inside = k + r < depth && column < count;
                return from + r * along;
            });
        }
    }
};

// a block TILE_M by TILE_N elements (grid x), a share of the sum (y), a matrix (z) | reads a and b,
// bias (n) or null; writes c, C-contiguous, or partial (gridDim.y, c) | m, n, k below 2^31
KERNEL(product) __launch_bounds__(THREADS) (const T* a, const T* b, const T* bias, T* c,
                                            float* partial, Product p) {
    DYNAMIC_SHARED(float, memory);
    int tiles_n = (int)((p.n + TILE_N - 1) / TILE_N);
    Int n = blockIdx.x % tiles_n * (Int)TILE_N, m = blockIdx.x / tiles_n * (Int)TILE_M;
    Factors loader = {a + strided((Int)blockIdx.z, p.shape, p.a_lead, (int)p.axes) + m * p.a_row,
                      b + strided((Int)blockIdx.z, p.shape, p.b_lead, (int)p.axes)
                          + n * p.b_column,
                      p.a_row, p.a_k, p.b_k, p.b_column, (int)(p.m - m), (int)(p.n - n), (int)p.k};
    int tiles = (int)((p.k + TILE_K - 1) / TILE_K), first = min((int)(blockIdx.y * p.share), tiles);
    Sums sums = {};
    add_tiles<A_ALONG, B_ALONG>(sums, loader, reinterpret_cast<T*>(memory), first,
                                min(first + (int)p.share, tiles));
    gather_sums(sums, memory);

    if (partial) partial += blockIdx.y * (gridDim.z * p.m * p.n);
    for (int e = threadIdx.x; e < TILE_M * (TILE_N / C_WIDE); e += THREADS) {
        int r = e / (TILE_N / C_WIDE), column = e % (TILE_N / C_WIDE) * C_WIDE;
        if (m + r >= p.m || n + column >= p.n) continue;
        write<C_WIDE>(memory + r * RESULT_PITCH + column, bias, nullptr, c, partial, n + column,
                      (blockIdx.z * p.m + m + r) * p.n + n + column);
    }
}

// a thread a result | reads partial (shares, n), b (channels) and more (n) or null, writes y (n) |
// shares are added in order, in float64
KERNEL(finish)(const float* partial, const T* b, const T* more, T* y, Int n, Int channels,
               Int shares) {
    add_shares(partial, b, more, y, n, channels, shares);
}
