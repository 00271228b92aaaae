// Reductions over the rows of (outer, rows, columns), in one stage or two.
//
// What is reduced is read in units of WIDTH elements that lie side by side: along the columns, or,
// where there is one column, along the rows (FOLDED). The threads of a block are (outer_lanes,
// row_lanes, column_lanes); a block takes the units of one part of the rows. What the row lanes
// have found is merged in shared memory, in an order that follows from the shape alone.
//
// Definitions: KIND, one of the structs below; RESULT, the type of y; WIDTH; FOLDED; PLAIN, 1 where
// the units lie as (outer, rows, columns), 0 where outer and rows have strides; ALIGNED, 1 where a
// unit may be loaded at once; INDEX, unsigned where it can count all elements.
#include "common.cuh"

#ifndef KIND
#define KIND Total
#define RESULT T
#define WIDTH 1
#define FOLDED 0
#define PLAIN 1
#define ALIGNED 1
#define INDEX Int
#endif

const int THREADS = 256;
const Int MOST = 0x7fffffffffffffffLL;

// ---- what is found of elements ----------------------------------------------------------

template <class V> struct Sum { typedef double type; };
template <> struct Sum<long long> { typedef long long type; };
template <> struct Sum<unsigned long long> { typedef long long type; };

template <class V> struct Ends {
    static __device__ V low() { return -infinity(); }
    static __device__ V high() { return infinity(); }
};
template <> struct Ends<long long> {
    static __device__ long long low() { return -MOST - 1; }
    static __device__ long long high() { return MOST; }
};
template <> struct Ends<unsigned long long> {
    static __device__ unsigned long long low() { return 0; }
    static __device__ unsigned long long high() { return ~0ULL; }
};

struct Total {
    Sum<A>::type total;
    __device__ void begin() { total = 0; }
    __device__ void take(A v, Int, A) { total += (Sum<A>::type)v; }
    __device__ void merge(const Total& o) { total += o.total; }
    __device__ RESULT result(double) const { return (RESULT)total; }
};

struct Mean : Total {
    __device__ RESULT result(double count) const { return (RESULT)(total / count); }
};

struct Squares {
    double total;
    __device__ void begin() { total = 0; }
    __device__ void take(A v, Int, A) { total += (double)v * (double)v; }
    __device__ void merge(const Squares& o) { total += o.total; }
    __device__ RESULT result(double) const { return (RESULT)total; }
};

// Distances from the first element: their mean is small where all elements are alike, and where it
// is not, the first element by itself makes the variance large.
struct Variance {
    double total, squares;
    __device__ void begin() { total = squares = 0; }
    __device__ void take(A v, Int, A first) {
        double distance = (double)v - (double)first;
        total += distance;
        squares += distance * distance;
    }
    __device__ void merge(const Variance& o) { total += o.total, squares += o.squares; }
    __device__ RESULT result(double count) const {
        double found = (squares - total * (total / count)) / count;
        return (RESULT)(found < 0 ? 0.0 : found);
    }
};

struct Largest {
    A value;
    __device__ void begin() { value = Ends<A>::low(); }
    __device__ void take(A v, Int, A) { value = v > value || v != v ? v : value; }
    __device__ void merge(const Largest& o) { take(o.value, 0, o.value); }
    __device__ RESULT result(double) const { return (RESULT)value; }
};

struct Smallest {
    A value;
    __device__ void begin() { value = Ends<A>::high(); }
    __device__ void take(A v, Int, A) { value = v < value || v != v ? v : value; }
    __device__ void merge(const Smallest& o) { take(o.value, 0, o.value); }
    __device__ RESULT result(double) const { return (RESULT)value; }
};

struct Place {  // of the first largest element, or of the first NaN
    A value;
    Int place;
    __device__ void begin() { value = Ends<A>::low(), place = MOST; }
    __device__ void take(A v, Int at, A) {
        bool nan = v != v, is_nan = value != value;
        bool better = nan != is_nan ? nan : nan || v == value ? at < place : v > value;
        if (better) value = v, place = at;
    }
    __device__ void merge(const Place& o) { take(o.value, o.place, o.value); }
    __device__ RESULT result(double) const { return (RESULT)place; }
};

typedef KIND Found;

__device__ inline void note(Found& s, T v, Int at, A first) { s.take((A)v, at, first); }
__device__ inline void note(Found& s, const Found& other, Int, A) { s.merge(other); }
__device__ inline A beginning(T v) { return (A)v; }
__device__ inline A beginning(const Found&) { return A(0); }

// ---- a block ----------------------------------------------------------------------------

struct Grid { Int outer, rows, columns, parts, length, outer_lanes, row_lanes, column_lanes; };
struct Axes { Int count; Ints shape, strides; };  // strides in elements

template <class In, int N>
__device__ inline Pack<In, N> unit(const In* from, bool aligned) {
    if (aligned) return *reinterpret_cast<const Pack<In, N>*>(from);
    Pack<In, N> found;
    for (int k = 0; k < N; k++) found.at[k] = from[k];
    return found;
}

// Where unit (o, r, 0) begins.
template <bool STRIDED>
__device__ inline Int place(Int o, Int r, const Grid& g, int width, const Axes& outer,
                            const Axes& rows) {
    if (!STRIDED) return (o * g.rows + r) * g.columns * width;
    return strided((INDEX)o, outer.shape, outer.strides, outer.count)
         + strided((INDEX)r, rows.shape, rows.strides, rows.count);
}

// Merge what the row lanes of a block hold; lane 0 has all of it then.
template <int N> __device__ inline void merge_rows(Found* s, int row, int lanes, int step) {
    SHARED(Found, all, N * THREADS);
    int t = threadIdx.x, half = 1;
    if (lanes == 1) return;
    for (int k = 0; k < N; k++) all[k * THREADS + t] = s[k];
    while (2 * half < lanes) half *= 2;
    for (; half; half /= 2) {
        __syncthreads();
        if (row < half && row + half < lanes)
            for (int k = 0; k < N; k++) {
                s[k].merge(all[k * THREADS + t + half * step]);
                all[k * THREADS + t] = s[k];
            }
    }
}

// Reduce one part; y gets the results where there is one part only.
template <class In, int N, bool FOLD, bool STRIDED>
__device__ inline void reduce(const In* x, Found* partial, RESULT* y, const Grid& g, Int tail,
                              double count, bool aligned, const Axes& outer, const Axes& rows) {
    int columns = (int)g.column_lanes, lanes = (int)g.row_lanes, t = threadIdx.x;
    int lane = t / columns % lanes;
    Int chunks = (g.columns + columns - 1) / columns, block = blockIdx.x;
    Int c = block % chunks * columns + t % columns;
    Int part = block / chunks % g.parts;
    Int own = t / (columns * lanes), o = block / chunks / g.parts * g.outer_lanes + own;
    bool inside = own < g.outer_lanes && o < g.outer && c < g.columns;
    Found s[N];
    for (int k = 0; k < N; k++) s[k].begin();
    if (inside) {
        Int last = min(g.rows, (part + 1) * g.length);
        A first[N];
        Int begin = place<STRIDED>(o, 0, g, N, outer, rows) + c * N;
        for (int k = 0; k < N; k++)
            first[k] = g.rows ? beginning(x[begin + (FOLD ? 0 : k)]) : A(0);
#pragma unroll 4
        for (Int r = part * g.length + lane; r < last; r += lanes) {
            Pack<In, N> v = unit<In, N>(
                x + place<STRIDED>(o, r, g, N, outer, rows) + c * N, aligned);
            for (int k = 0; k < N; k++) note(s[k], v.at[k], FOLD ? r * N + k : r, first[k]);
        }
        if (FOLD && part == g.parts - 1)
            for (Int j = g.rows * N + lane; j < g.rows * N + tail; j += lanes)
                note(s[0], x[j], j, first[0]);
    }
    if (FOLD)
        for (int k = 1; k < N; k++) s[0].merge(s[k]);
    const int held = FOLD ? 1 : N;
    merge_rows<held>(s, lane, lanes, columns);
    if (!inside || lane) return;
    for (int k = 0; k < held; k++) {
        Int column = c * held + k, width = g.columns * held;
        if (g.parts == 1) y[o * width + column] = s[k].result(count);
        else partial[(o * g.parts + part) * width + column] = s[k];
    }
}

// ---- kernels ----------------------------------------------------------------------------

// blocks: chunks of columns, within parts of the rows, within groups of outer | reads x (outer,
// rows, columns) units and a tail of elements, writes y, or partial (outer, parts, columns) | 256
// threads; a tail only where outer is 1 and FOLDED
KERNEL(first)(const T* x, Found* partial, RESULT* y, Grid g, Int tail, double count, Axes outer,
              Axes rows) {
    reduce<T, WIDTH, FOLDED, !PLAIN>(x, partial, y, g, tail, count, ALIGNED, outer, rows);
}

// as above | reads partial (outer, rows, columns), writes y (outer, columns) | one part
KERNEL(second)(const Found* partial, RESULT* y, Grid g, double count) {
    Axes none = {};
    reduce<Found, 1, false, false>(partial, nullptr, y, g, 0, count, true, none, none);
}
