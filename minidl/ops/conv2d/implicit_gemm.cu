// Convolutions as products of matrices that are never laid out: a tile's elements are gathered from
// the images while the tile before is multiplied on tensor cores (mma.cuh).
//
// Definitions: those of mma.cuh and RELU; BACKWARD, whether `correlate` spreads gy (1) or convolves
// x (0); WIDTH_C and WIDTH_K, how many channels of x and of y are
// copied at once (they divide the channels of a group, and addresses are multiples of them); INDEX,
// int where it can count all elements, else Int.
#include "mma_results.cuh"

#ifndef BACKWARD
#define BACKWARD 0
#endif
#ifndef WIDTH_C
#define WIDTH_C (16 / (int)sizeof(T))
#define WIDTH_K (16 / (int)sizeof(T))
#endif
#ifndef INDEX
#define INDEX int
#endif

const int FAR = 1 << 29;  // a row that no image has, also after adding another one

// Of the rows or of the columns: lengths of x and y, and attributes; `pad` is that before x.
struct Axis { Int in, out, window, stride, pad, dilation; };

// x (images, rows.in, columns.in, channels), w (rows.window, columns.window, channels / groups,
// filters), y (images, rows.out, columns.out, filters). Each block takes `share` tiles of the sum.
struct Geometry { Int images, channels, filters, groups, share; Axis rows, columns; };

// ---- one axis of a correlation --------------------------------------------------------------

// Result u of `count` lies at origin + u * spread. It meets, with tap m of `taps`, the element
// first + u * step + m * gap of `size`, and row tap + m * every of the window.
struct Line { int count, origin, spread, step, first, gap, taps, tap, every, size; };

__device__ inline Line convolving(const Axis& a) {
    return {(int)a.out, 0, 1, (int)a.stride, (int)-a.pad, (int)a.dilation, (int)a.window, 0, 1,
            (int)a.in};
}

// The elements of gx whose padded place is `phase` modulo the stride meet the same taps.
__device__ inline Line spreading(const Axis& a, int phase) {
    int stride = (int)a.stride, dilation = (int)a.dilation;
    int pad = (int)a.pad, window = (int)a.window;
    int common = stride, rest = dilation;
    while (rest) { int next = common % rest; common = rest; rest = next; }
    int every = stride / common, tap = 0;
    while (tap < every && (Int)tap * dilation % stride != phase) tap++;
    int taps = tap < every && tap < window ? (window - tap + every - 1) / every : 0;
    int origin = ((phase - pad) % stride + stride) % stride;
    int count = a.in > origin ? ((int)a.in - origin + stride - 1) / stride : 0;
    int first = taps ? (origin + pad - tap * dilation) / stride : 0;
    return {count, origin, stride, 1, first, -(dilation / common), taps, tap, every, (int)a.out};
}

// Division of numbers below 2^31 by one that is used again and again.
struct Divisor { unsigned by, factor, shift; };

__device__ inline Divisor divisor(int by) {
    unsigned power = 31;
    while (power < 63 && (1u << (power - 31)) < (unsigned)by) power++;
    return {(unsigned)by, (unsigned)(((1ULL << power) + by - 1) / by), power - 32};
}
__device__ inline int divided(int n, const Divisor& d) {
    return d.by == 1 ? n : (int)(__umulhi((unsigned)n, d.factor) >> d.shift);
}

// Where a result's window begins: element `base` of the images, at a row and a column (FAR where
// there is no such result), and which pixel of the results it is.
struct Pixel { INDEX base, place; int row, column; };

__device__ inline Pixel pixel_of(int number, int count, const Line& rows, const Line& columns,
                                 const Divisor& by_rows, const Divisor& by_columns, Int channels,
                                 Int height, Int width) {
    if (number >= count) return {0, 0, FAR, FAR};
    int line = divided(number, by_columns), v = number - line * columns.count;
    int image = divided(line, by_rows), u = line - image * rows.count;
    int row = u * rows.step + rows.first, column = v * columns.step + columns.first;
    return {(INDEX)((((Int)image * rows.size + row) * columns.size + column) * channels),
            (INDEX)((image * height + u * rows.spread + rows.origin) * width
                    + v * columns.spread + columns.origin), row, column};
}

// A tap of the window and a channel of the group, as steps from a window's first element.
struct Tap { INDEX offset; int row, column, i, j, channel; };

__device__ inline Tap tap_of(int k, int count, const Line& rows, const Line& columns,
                             const Divisor& by_depth, const Divisor& by_taps, Int channels) {
    int t = divided(k, by_depth), channel = k - t * (int)by_depth.by;
    int i = divided(t, by_taps), j = t - i * columns.taps, row = i * rows.gap;
    return {(INDEX)(((Int)row * columns.size + j * columns.gap) * channels + channel),
            k < count ? row : FAR, j * columns.gap, i, j, channel};
}

__device__ inline bool meets(const Pixel& p, const Tap& t, const Line& rows, const Line& columns) {
    return (unsigned)(p.row + t.row) < (unsigned)rows.size
        && (unsigned)(p.column + t.column) < (unsigned)columns.size;
}

// ---- convolution and its input gradient -----------------------------------------------------

constexpr int FROM = BACKWARD ? WIDTH_K : WIDTH_C, INTO = BACKWARD ? WIDTH_C : WIDTH_K;
constexpr bool ALONG_W = BACKWARD;

struct Correlation {
    const T *images, *weights;
    const Pixel* pixels;
    Line rows, columns;
    Divisor by_depth, by_taps;
    Int channels, filters;    // of an element of the images, of the weights
    int depth, width, count;  // summed channels of a group, its results, length of the sum
    int n, window;

    __device__ void prepare(int) {}

    __device__ Tap tap(int k) const {
        return tap_of(k, count, rows, columns, by_depth, by_taps, channels);
    }

    __device__ void load(T* a, T* b, int tile) const {
        int k = tile * TILE_K;
        Tap mine = tap(k + column_of<TILE_K, FROM>());
        copy_tile<TILE_M, TILE_K, pitch(true, TILE_M), FROM>(a, [&](int r, bool& inside) {
            Pixel p = pixels[r];
            inside = meets(p, mine, rows, columns);
            return images + ((Int)p.base + mine.offset);
        });
        if constexpr (ALONG_W) {
            Tap other = tap(k + column_of<TILE_K, WIDTH_K>());
            Int row = (Int)(rows.tap + other.i * rows.every) * window + columns.tap
                    + other.j * columns.every;
            const T* from = weights + (row * width + n) * filters + other.channel;
            copy_tile<TILE_N, TILE_K, pitch(true, TILE_N), WIDTH_K>(b, [&](int r, bool& inside) {
                inside = other.row != FAR && n + r < width;
                return from + r * filters;
            });
        } else {
            int column = n + column_of<TILE_N, WIDTH_K>();
            const T* from = weights + k * filters + column;
            copy_tile<TILE_K, TILE_N, pitch(false, TILE_N), WIDTH_K>(b, [&](int r, bool& inside) {
                inside = k + r < count && column < width;
                return from + r * filters;
            });
        }
    }
};

// a block TILE_M pixels by TILE_N channels (grid x), a share of the sum (y), a group and phase of
// the stride (z) | reads x (or gy), w, b and more or null; writes y (or gx), or partial
// (gridDim.y, y) | fewer than 2^31 pixels
KERNEL(correlate) __launch_bounds__(THREADS) (const T* x, const T* w, const T* b, const T* more,
                                              T* y, float* partial, Geometry g) {
    DYNAMIC_SHARED(float, memory);
    SHARED(Pixel, pixels, TILE_M);
    int group = blockIdx.z % (int)g.groups, phase = blockIdx.z / (int)g.groups;
    int depth = (int)((BACKWARD ? g.filters : g.channels) / g.groups);
    int width = (int)((BACKWARD ? g.channels : g.filters) / g.groups);
    Line rows = BACKWARD ? spreading(g.rows, phase / (int)g.columns.stride) : convolving(g.rows);
    Line columns = BACKWARD ? spreading(g.columns, phase % (int)g.columns.stride)
                            : convolving(g.columns);
    int tiles_n = (width + TILE_N - 1) / TILE_N, n = blockIdx.x % tiles_n * TILE_N;
    int count = (int)g.images * rows.count * columns.count;
    Int m = blockIdx.x / tiles_n * (Int)TILE_M;
    if (m >= count) return;  // another phase has more pixels

    Int channels = BACKWARD ? g.filters : g.channels, outputs = BACKWARD ? g.channels : g.filters;
    Int height = BACKWARD ? g.rows.in : g.rows.out, line = BACKWARD ? g.columns.in : g.columns.out;
    Divisor by_rows = divisor(rows.count), by_columns = divisor(columns.count);
    for (int r = threadIdx.x; r < TILE_M; r += THREADS)
        pixels[r] = pixel_of((int)min(m + r, (Int)count), count, rows, columns, by_rows,
                             by_columns, channels, height, line);
    int sum = rows.taps * columns.taps * depth;
    Correlation loader = {x + (Int)group * depth,
                          w + (BACKWARD ? (Int)group * depth : (Int)group * width), pixels, rows,
                          columns, divisor(depth), divisor(max(columns.taps, 1)), channels,
                          g.filters, depth, width, sum, n, (int)g.columns.window};
    int tiles = (sum + TILE_K - 1) / TILE_K, first = min((int)(blockIdx.y * g.share), tiles);
    Sums sums = {};
    add_tiles<true, ALONG_W>(sums, loader, reinterpret_cast<T*>(memory), first,
                             min(first + (int)g.share, tiles));
    gather_sums(sums, memory);

    if (partial) partial += blockIdx.y * (g.images * height * line * outputs);
    for (int e = threadIdx.x; e < TILE_M * (TILE_N / INTO); e += THREADS) {
        int r = e / (TILE_N / INTO), c = e % (TILE_N / INTO) * INTO;
        if (m + r >= count || n + c >= width) continue;
        Int channel = (Int)group * width + n + c;
        write<INTO>(memory + r * RESULT_PITCH + c, b, more, y, partial, channel,
                    (Int)pixels[r].place * outputs + channel);
    }
}

// ---- weight gradient ------------------------------------------------------------------------

struct Weights {
    const T *x, *gy;
    Pixel (*pixels)[TILE_K];  // of two tiles
    Line rows, columns;
    Divisor by_rows, by_columns;
    Int channels, filters;
    int count, width, n;
    Tap tap;

    __device__ void prepare(int tile) const {
        for (int r = threadIdx.x; r < TILE_K; r += THREADS)
            pixels[tile & 1][r] = pixel_of((int)min((Int)tile * TILE_K + r, (Int)count), count,
                                           rows, columns, by_rows, by_columns, channels, 0, 0);
    }

    __device__ void load(T* a, T* b, int tile) const {
        int k = tile * TILE_K, column = n + column_of<TILE_N, WIDTH_K>();
        copy_tile<TILE_K, TILE_M, pitch(false, TILE_M), WIDTH_C>(a, [&](int r, bool& inside) {
            Pixel p = pixels[tile & 1][r];
            inside = meets(p, tap, rows, columns);
            return x + ((Int)p.base + tap.offset);
        });
        const T* from = gy + k * filters + column;
        copy_tile<TILE_K, TILE_N, pitch(false, TILE_N), WIDTH_K>(b, [&](int r, bool& inside) {
            inside = k + r < count && column < width;
            return from + r * filters;
        });
    }
};

// a block TILE_M taps and channels of x by TILE_N filters (grid x), a share of the pixels (y), a
// group (z) | reads x and gy, writes gw, or partial (gridDim.y, gw) | fewer than 2^31 pixels
KERNEL(weight_gradient) __launch_bounds__(THREADS) (const T* x, const T* gy, T* gw, float* partial,
                                                    Geometry g) {
    DYNAMIC_SHARED(float, memory);
    SHARED(Pixel, pixels, 2 * TILE_K);
    int depth = (int)(g.channels / g.groups), width = (int)(g.filters / g.groups);
    int group = blockIdx.z, height = (int)(g.rows.window * g.columns.window) * depth;
    int tiles_n = (width + TILE_N - 1) / TILE_N, n = blockIdx.x % tiles_n * TILE_N;
    int m = blockIdx.x / tiles_n * TILE_M, count = (int)(g.images * g.rows.out * g.columns.out);
    Line rows = convolving(g.rows), columns = convolving(g.columns);
    Weights loader = {x + (Int)group * depth, gy + (Int)group * width,
                      reinterpret_cast<Pixel (*)[TILE_K]>(pixels), rows, columns,
                      divisor(rows.count), divisor(columns.count), g.channels, g.filters, count,
                      width, n,
                      tap_of(m + column_of<TILE_M, WIDTH_C>(), height, rows, columns,
                             divisor(depth), divisor(columns.taps), g.channels)};
    int tiles = (count + TILE_K - 1) / TILE_K, first = min((int)(blockIdx.y * g.share), tiles);
    Sums sums = {};
    add_tiles<false, false>(sums, loader, reinterpret_cast<T*>(memory), first,
                            min(first + (int)g.share, tiles));
    gather_sums(sums, memory);

    if (partial) partial += blockIdx.y * (height * g.filters);
    for (int e = threadIdx.x; e < TILE_M * (TILE_N / WIDTH_K); e += THREADS) {
        int r = e / (TILE_N / WIDTH_K), c = e % (TILE_N / WIDTH_K) * WIDTH_K;
        if (m + r >= height || n + c >= width) continue;
        write<WIDTH_K>(memory + r * RESULT_PITCH + c, nullptr, nullptr, gw, partial, 0,
                       (m + r) * g.filters + (Int)group * width + n + c);
    }
}

// ---- the second stage -----------------------------------------------------------------------

// a thread a result | reads partial (shares, n), b (channels) and more (n) or null, writes y (n) |
// shares are added in order, in float64
KERNEL(finish)(const float* partial, const T* b, const T* more, T* y, Int n, Int channels,
               Int shares) {
    add_shares(partial, b, more, y, n, channels, shares);
}
