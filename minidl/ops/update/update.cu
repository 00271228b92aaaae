// All parameters of a model in one launch: steps of the optimizers, and what stands around them.
//
// A table by value has a row per array: its first block, its size, the addresses of the array in
// every column and, with PENALTIES, the bits of two factors. A block takes `chunk` elements.
//
// Definitions: FIELDS of a row; WIDTH, elements that a thread takes at once; RULE, the optimizer,
// one of the structs below; PRESENT, bit k set where the call has slot k; PENALTIES, SCALED,
// LIMITED, 1 where gradients are changed so; IF_FINITE, 1 where all stays as it is unless the
// gradients are finite; APART, 1 where results are not written over what they replace; HYPER and
// SCALE, the types of hyper and of the loss scale.
#include "common.cuh"

#ifndef FIELDS
#define FIELDS 4
#define WIDTH 4
#endif
#ifndef RULE
#define RULE Sgd
#define PRESENT 0
#define PENALTIES 0
#define SCALED 0
#define LIMITED 0
#define APART 0
#define HYPER double
#endif
#ifndef IF_FINITE
#define IF_FINITE 0
#endif
#ifndef SCALE
#define SCALE float
#endif

struct Table { Int at[480]; }; struct Doubles { double at[8]; };
struct Part { int row; Int begin, end; };

// ---- tables -----------------------------------------------------------------------------

// What this block takes: a binary search by first blocks.
__device__ inline Part part_of(const Table& table, Int rows, Int chunk) {
    int low = 0, high = (int)rows;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (table.at[middle * FIELDS] <= (Int)blockIdx.x) low = middle;
        else high = middle;
    }
    Int begin = ((Int)blockIdx.x - table.at[low * FIELDS]) * chunk;
    return {low, begin, min(begin + chunk, table.at[low * FIELDS + 1])};
}

__device__ inline T* column(const Table& table, int row, int k) {
    return reinterpret_cast<T*>(table.at[row * FIELDS + 2 + k]);
}

__device__ inline double factor(const Table& table, int row, int k) {
    return __longlong_as_double(table.at[row * FIELDS + FIELDS - 2 + k]);
}

template <int N> __device__ inline Pack<T, N> loaded(const T* x, Int i) {
    return *reinterpret_cast<const Pack<T, N>*>(x + i);
}

template <int N> __device__ inline void stored(T* y, Int i, const Pack<T, N>& v) {
    *reinterpret_cast<Pack<T, N>*>(y + i) = v;
}

// Call work.run<N>(i) for all elements of a part, N at a time.
template <class Work> __device__ inline void over(const Part& part, Work& work) {
    Int whole = (part.end - part.begin) / WIDTH * WIDTH;
#pragma unroll 2
    for (Int i = part.begin + (Int)threadIdx.x * WIDTH; i < part.begin + whole;
         i += (Int)blockDim.x * WIDTH)
        work.template run<WIDTH>(i);
    if (WIDTH > 1)
        for (Int i = part.begin + whole + threadIdx.x; i < part.end; i += blockDim.x)
            work.template run<1>(i);
}

// ---- gradients --------------------------------------------------------------------------

__device__ inline A sign(A x) { return x > 0 ? (A)1 : x < 0 ? (A)-1 : x; }

// g + l1 sign(p) + 2 l2 p
__device__ inline A pulled(A g, A p, const A* pulls) {
    return PENALTIES ? g + (pulls[0] * sign(p) + pulls[1] * p) : g;
}

// ---- rules ------------------------------------------------------------------------------

// `prepare` works out the numbers n of a step from hyper and the attributes a (n[0] and a[0] are
// weight decay's); `step` changes the slots s and returns what is taken from the parameter.
#define HAS(k) (PRESENT >> (k) & 1)

struct Plain {  // the rate and the attributes as they are
    static __device__ void prepare(const HYPER* hyper, const double* a, double* n) {
        n[1] = hyper[0], n[2] = a[1], n[3] = a[2], n[4] = a[3];
    }
};

struct Sgd : Plain {  // slots: velocity
    static __device__ A step(A g, A* s, const A* n) {
        A step = n[1] * g;
        if (!HAS(0)) return step;
        s[0] = n[2] * s[0] - step;
        return n[4] * step - n[3] * s[0];
    }
};

struct Rmsprop : Plain {  // slots: mean square, mean, velocity
    static __device__ A step(A g, A* s, const A* n) {
        s[0] += n[2] * (g * g - s[0]);
        A spread = s[0];
        if (HAS(1)) {
            s[1] += n[2] * (g - s[1]);
            spread = fabs(spread - s[1] * s[1]);  // rounding may bring it below 0
        }
        A step = n[1] * g / sqrt(spread + n[4]);
        if (HAS(2)) step = s[2] = n[3] * s[2] + step;
        return step;
    }
};

struct Adam {  // slots: mean, mean square, largest mean square
    static __device__ void prepare(const HYPER* hyper, const double* a, double* n) {
        double t = hyper[1];
        n[1] = hyper[0] * sqrt(1 - pow(a[2], t)) / (1 - pow(a[1], t));
        n[2] = 1 - a[1], n[3] = 1 - a[2], n[4] = a[3];
    }
    static __device__ A step(A g, A* s, const A* n) {
        s[0] += n[2] * (g - s[0]);
        s[1] += n[3] * (g * g - s[1]);
        A spread = s[1];
        if (HAS(2)) spread = s[2] = spread > s[2] || spread != spread ? spread : s[2];
        return n[1] * s[0] / (sqrt(spread) + n[4]);
    }
};

struct Nadam {  // slots: mean, mean square
    static __device__ double momentum(double b, double t) { return b * (1 - 0.5 * pow(0.96, t)); }
    static __device__ void prepare(const HYPER* hyper, const double* a, double* n) {
        double rate = hyper[0], t = hyper[1], before = hyper[2];
        double u = momentum(a[1], t), next = momentum(a[1], t + 1);
        n[1] = rate * next / (1 - before * u * next);
        n[2] = rate * (1 - u) / (1 - before * u);
        n[3] = 1 / (1 - pow(a[2], t));
        n[4] = 1 - a[1], n[5] = 1 - a[2], n[6] = a[3];
    }
    static __device__ A step(A g, A* s, const A* n) {
        s[0] += n[4] * (g - s[0]);
        s[1] += n[5] * (g * g - s[1]);
        return (n[1] * s[0] + n[2] * g) / (sqrt(n[3] * s[1]) + n[6]);
    }
};

struct Adagrad : Plain {  // slots: sum of squares
    static __device__ A step(A g, A* s, const A* n) {
        s[0] += g * g;
        return n[1] * g / sqrt(s[0] + n[2]);
    }
};

struct Adadelta : Plain {  // slots: mean square, mean square of steps
    static __device__ A step(A g, A* s, const A* n) {
        s[0] += n[2] * (g * g - s[0]);
        A step = g * sqrt((s[1] + n[3]) / (s[0] + n[3]));
        s[1] += n[2] * (step * step - s[1]);
        return n[1] * step;
    }
};

// ---- steps ------------------------------------------------------------------------------

const int NUMBERS = 7, SLOTS = HAS(0) + HAS(1) + HAS(2);

struct Step {
    T* y[1 + SLOTS];        // parameter and slots, as they become
    const T* x[1 + SLOTS];  // as they are
    const T* g;
    A n[NUMBERS], pulls[2], scale, limit;
    __device__ A sought(A gradient, A p) const {  // a NaN goes through
        A found = pulled(gradient, p, pulls) * (SCALED ? scale : A(1));
        return !LIMITED ? found : found < -limit ? -limit : found > limit ? limit : found;
    }
    template <int N> __device__ void run(Int i) {
        Pack<T, N> v[1 + SLOTS], gradient = loaded<N>(g, i);
        for (int c = 0; c <= SLOTS; c++) v[c] = loaded<N>(x[c], i);
        for (int k = 0; k < N; k++) {
            A p = number(v[0].at[k]), s[3];
            for (int slot = 0, c = 1; slot < 3; slot++)
                if (HAS(slot)) s[slot] = number(v[c++].at[k]);
            A step = RULE::step(sought(number(gradient.at[k]), p), s, n);
            v[0].at[k] = rounded(p - (n[0] * p + step));
            for (int slot = 0, c = 1; slot < 3; slot++)
                if (HAS(slot)) v[c++].at[k] = rounded(s[slot]);
        }
        for (int c = 0; c <= SLOTS; c++) stored<N>(y[c], i, v[c]);
    }
};

struct Unchanged {
    T* y[1 + SLOTS];
    const T* x[1 + SLOTS];
    template <int N> __device__ void run(Int i) {
        for (int c = 0; c <= SLOTS; c++) stored<N>(y[c], i, loaded<N>(x[c], i));
    }
};

// a block a chunk of a row | columns: parameter, slots, gradient, and with APART the parameter and
// slots to read; reads hyper, attributes, scale (1) with SCALED | arrays aligned to WIDTH elements
KERNEL(update)(const HYPER* hyper, Table table, Int rows, Int chunk, Doubles attributes,
               const double* scale, double limit) {
    SHARED(double, numbers, 8);
    if (threadIdx.x == 0) {  // powers of float64 are slow, so one thread works them out
        RULE::prepare(hyper, attributes.at, numbers);
        numbers[0] = (double)hyper[0] * attributes.at[0];
    }
    __syncthreads();
    Part part = part_of(table, rows, chunk);
    Step work;
    for (int k = 0; k < NUMBERS; k++) work.n[k] = (A)numbers[k];
    for (int c = 0; c <= SLOTS; c++) {
        work.y[c] = column(table, part.row, c);
        work.x[c] = column(table, part.row, APART ? 2 + SLOTS + c : c);
    }
    work.g = column(table, part.row, 1 + SLOTS);
    for (int k = 0; k < 2; k++) work.pulls[k] = PENALTIES ? (A)factor(table, part.row, k) : A(0);
    work.scale = SCALED ? (A)scale[0] : A(1), work.limit = (A)limit;
    if (!IF_FINITE || scale[0] == scale[0]) {
        over(part, work);
    } else if (APART) {
        Unchanged copy;
        for (int c = 0; c <= SLOTS; c++) copy.y[c] = work.y[c], copy.x[c] = work.x[c];
        over(part, copy);
    }
}

// ---- sums -------------------------------------------------------------------------------

struct GradientSquares {
    const T *p, *g;
    A pulls[2];
    double total;
    template <int N> __device__ void run(Int i) {
        Pack<T, N> gradient = loaded<N>(g, i), parameter;
        if (PENALTIES) parameter = loaded<N>(p, i);
        for (int k = 0; k < N; k++) {
            double v = (double)pulled(number(gradient.at[k]),
                                      PENALTIES ? number(parameter.at[k]) : A(0), pulls);
            total += v * v;
        }
    }
};

// a block a chunk of a row | columns: parameter, gradient; writes sums[at + block], squares of the
// gradients with penalties | arrays aligned to WIDTH elements
KERNEL(squares)(Table table, Int rows, Int chunk, double* sums, Int at) {
    Part part = part_of(table, rows, chunk);
    GradientSquares work = {column(table, part.row, 0), column(table, part.row, 1), {0, 0}, 0};
    for (int k = 0; k < 2; k++) work.pulls[k] = PENALTIES ? (A)factor(table, part.row, k) : A(0);
    over(part, work);
    double total = block_sum(work.total);
    if (threadIdx.x == 0) sums[at + blockIdx.x] = total;
}

struct Lengths {
    const T* x;
    double lengths, squares;
    template <int N> __device__ void run(Int i) {
        Pack<T, N> v = loaded<N>(x, i);
        for (int k = 0; k < N; k++) {
            double value = (double)number(v.at[k]);
            lengths += fabs(value);
            squares += value * value;
        }
    }
};

// a block a chunk of a row | column: x, with two factors; writes sums[at + block] = l1 sum |x| +
// l2 sum x^2 | arrays aligned to WIDTH elements
KERNEL(penalties)(Table table, Int rows, Int chunk, double* sums, Int at) {
    Part part = part_of(table, rows, chunk);
    Lengths work = {column(table, part.row, 0), 0, 0};
    over(part, work);
    double lengths = block_sum(work.lengths), squares = block_sum(work.squares);
    double l1 = factor(table, part.row, 0), l2 = factor(table, part.row, 1);
    if (threadIdx.x == 0)
        sums[at + blockIdx.x] = (l1 != 0 ? l1 * lengths : 0) + (l2 != 0 ? l2 * squares : 0);
}

__device__ inline double all_of(const double* sums, Int n) {  // in the first thread
    double sum = 0;
    for (Int i = threadIdx.x; i < n; i += blockDim.x) sum += sums[i];
    return block_sum(sum);
}

// one block | reads sums (n), writes y (1), their sum | -
KERNEL(total)(const double* sums, Int n, double* y) {
    double sum = all_of(sums, n);
    if (threadIdx.x == 0) y[0] = sum;
}

// one block | reads squares (n), writes y (1), what brings a vector with this sum of squares down
// to norm, NaN with IF_FINITE where the sum is not finite | -
KERNEL(limit)(const double* squares, Int n, double* y, double norm) {
    double length = sqrt(all_of(squares, n));
    if (threadIdx.x) return;
    y[0] = length > norm || length != length ? norm / length : 1;
    if (IF_FINITE && !isfinite(length)) y[0] = length - length;
}

// ---- blend ------------------------------------------------------------------------------

struct Blend {
    T* y;
    const T *x, *z;
    double keep, take;
    template <int N> __device__ void run(Int i) {
        Pack<T, N> a = loaded<N>(x, i), b = loaded<N>(z, i);
        for (int k = 0; k < N; k++)  // in float32, keep and take would not add up to 1
            a.at[k] = (T)(A)(keep * (double)number(a.at[k]) + take * (double)number(b.at[k]));
        stored<N>(y, i, a);
    }
};

// a block a chunk of a row | columns: y, which may be x, then x and z | arrays aligned to WIDTH
// elements
KERNEL(blend)(Table table, Int rows, Int chunk, double keep, double take) {
    Part part = part_of(table, rows, chunk);
    Blend work = {column(table, part.row, 0), column(table, part.row, 1),
                  column(table, part.row, 2), keep, take};
    over(part, work);
}

// ---- loss scale -------------------------------------------------------------------------

struct Divide {
    T* y;
    const T* x;
    A scale;
    double faults;
    template <int N> __device__ void run(Int i) {
        Pack<T, N> v = loaded<N>(x, i);
        for (int k = 0; k < N; k++) {
            A value = number(v.at[k]);
            faults += isfinite(value) ? 0 : 1;
            v.at[k] = rounded(value / scale);
        }
        stored<N>(y, i, v);
    }
};

// a block a chunk of a row | columns: y, which may be x, then x; writes sums[at + block], how many
// elements of x are not finite | arrays aligned to WIDTH elements
KERNEL(divide)(Table table, Int rows, Int chunk, double* sums, Int at, const SCALE* scale) {
    Part part = part_of(table, rows, chunk);
    Divide work = {column(table, part.row, 0), column(table, part.row, 1), (A)scale[0], 0};
    over(part, work);
    double faults = block_sum(work.faults);
    if (threadIdx.x == 0) sums[at + blockIdx.x] = faults;
}

// one block | reads faults (n), scale and streak (1), which may be written over by those of the
// next step | -
KERNEL(rescale)(const double* faults, Int n, const SCALE* scale, const SCALE* streak,
                SCALE* next_scale, SCALE* next_streak, double growth, double backoff,
                double every) {
    double found = all_of(faults, n);
    if (threadIdx.x) return;
    bool finite = found == 0, grows = finite && streak[0] + 1 >= every;
    next_scale[0] = (SCALE)(scale[0] * (grows ? growth : finite ? 1 : backoff));
    next_streak[0] = grows || !finite ? 0 : streak[0] + 1;
}
