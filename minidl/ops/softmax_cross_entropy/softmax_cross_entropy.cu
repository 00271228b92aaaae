// Softmax along rows of x (rows, classes), its logarithm, losses, and all gradients (see rows.cuh).
//
// Every row's largest element is taken out before the exponential. Definitions: WIDTH, LANES, HOLD;
// LABEL, the type of labels. A label that is no class gives NaN.
#include "rows.cuh"

#ifndef LABEL
#define LABEL long long
#endif

// ---- sums of a row ------------------------------------------------------------------------

struct Exponentials { A largest, total; };  // total: the sum of exp(x - largest)

__device__ inline Exponentials exponentials(const Held& x, const Row& at) {
    A largest = -infinity(), total = 0;
    each_pack(at, [&](int k, Int j) {
        Packed some = pack_of(x, k, j);
        for (int i = 0; i < WIDTH; i++) {
            A v = number(some.at[i]);
            largest = v > largest ? v : largest;
        }
    });
    largest = over_row(largest, [](A a, A b) { return a > b ? a : b; });
    each_pack(at, [&](int k, Int j) {
        Packed some = pack_of(x, k, j);
        for (int i = 0; i < WIDTH; i++) total += exp(number(some.at[i]) - largest);
    });
    return {largest, row_sum(total)};
}

// The sum of term(a, b) over a row's elements of two arrays.
template <class Term>
__device__ inline A sum_of(const Held& a, const Held& b, const Row& at, Term term) {
    A total = 0;
    each_pack(at, [&](int k, Int j) {
        Packed some = pack_of(a, k, j), other = pack_of(b, k, j);
        for (int i = 0; i < WIDTH; i++) total += term(number(some.at[i]), number(other.at[i]));
    });
    return row_sum(total);
}

// Writes value(a, b, class) for a row's elements of two arrays.
template <class Value>
__device__ inline void write(const Held& a, const Held& b, T* y, const Row& at, Value value) {
    each_pack(at, [&](int k, Int j) {
        Packed some = pack_of(a, k, j), other = pack_of(b, k, j), result;
        for (int i = 0; i < WIDTH; i++)
            result.at[i] = rounded(value(number(some.at[i]), number(other.at[i]), j * WIDTH + i));
        store(y, at.begin + j * WIDTH, result);
    });
}

// The label of a row if it is a class, else -1.
__device__ inline Int label_of(const LABEL* t, Int row, Int classes) {
    Int label = (Int)t[row];
    return label >= 0 && label < classes ? label : -1;
}

// ---- softmax and its logarithm ------------------------------------------------------------

// LANES threads a row | reads x (rows, classes), writes y | any number of classes
KERNEL(softmax)(const T* x, T* y, Int rows, Int classes) {
    Row at = row_of(rows, classes);
    Held v = held(x, at);
    Exponentials e = exponentials(v, at);
    write(v, v, y, at, [&](A a, A, Int) { return exp(a - e.largest) / e.total; });
}

// LANES threads a row | reads x (rows, classes), writes y | any number of classes
KERNEL(log_softmax)(const T* x, T* y, Int rows, Int classes) {
    Row at = row_of(rows, classes);
    Held v = held(x, at);
    Exponentials e = exponentials(v, at);
    A rest = log(e.total);
    write(v, v, y, at, [&](A a, A, Int) { return a - e.largest - rest; });
}

// LANES threads a row | reads gy and y (rows, classes), writes gx | any number of classes
KERNEL(softmax_gradient)(const T* gy, const T* y, T* gx, Int rows, Int classes) {
    Row at = row_of(rows, classes);
    Held g = held(gy, at), v = held(y, at);
    A total = sum_of(g, v, at, [](A a, A b) { return a * b; });
    write(g, v, gx, at, [&](A a, A b, Int) { return b * (a - total); });
}

// LANES threads a row | reads gy and y (rows, classes), writes gx | any number of classes
KERNEL(log_softmax_gradient)(const T* gy, const T* y, T* gx, Int rows, Int classes) {
    Row at = row_of(rows, classes);
    Held g = held(gy, at), v = held(y, at);
    A total = sum_of(g, g, at, [](A a, A) { return a; });
    write(g, v, gx, at, [&](A a, A b, Int) { return a - exp(b) * total; });
}

// ---- cross-entropy ------------------------------------------------------------------------

// LANES threads a row | reads x (rows, classes) and t (rows), writes loss and log_sum (rows) | any
// labels
KERNEL(loss_labels)(const T* x, const LABEL* t, T* loss, T* log_sum, Int rows, Int classes,
                    double smoothing) {
    Row at = row_of(rows, classes);
    Held v = held(x, at);
    Exponentials e = exponentials(v, at);
    A rest = log(e.total), s = (A)smoothing, plain = 0;
    if (smoothing > 0)
        plain = sum_of(v, v, at, [&](A a, A) { return a - e.largest - rest; });
    if (!at.inside || at.lane != 0) return;
    Int label = label_of(t, at.row, classes);
    A own = label < 0 ? not_a_number() : number(x[at.begin + label]) - e.largest - rest;
    loss[at.row] = rounded(-(((A)1 - s) * own + s / (A)classes * plain));
    log_sum[at.row] = rounded(e.largest + rest);
}

// LANES threads a row | reads x and t (rows, classes), writes loss and log_sum (rows) | any number
// of classes
KERNEL(loss_probabilities)(const T* x, const T* t, T* loss, T* log_sum, Int rows, Int classes,
                           double smoothing) {
    Row at = row_of(rows, classes);
    Held v = held(x, at), p = held(t, at);
    Exponentials e = exponentials(v, at);
    A rest = log(e.total), high = (A)(1 - smoothing), low = (A)(smoothing / (double)classes);
    A total = sum_of(v, p, at, [&](A a, A b) {
        return (high * b + low) * (a - e.largest - rest);
    });
    if (!at.inside || at.lane != 0) return;
    loss[at.row] = rounded(-total);
    log_sum[at.row] = rounded(e.largest + rest);
}

// LANES threads a row | reads gy and log_sum (rows), x (rows, classes), t (rows), writes gx | any
// labels
KERNEL(gradient_labels)(const T* gy, const T* x, const LABEL* t, const T* log_sum, T* gx, Int rows,
                        Int classes, double smoothing) {
    Row at = row_of(rows, classes);
    if (!at.inside) return;
    Held v = held(x, at);
    A g = number(gy[at.row]), logs = number(log_sum[at.row]);
    A low = (A)(smoothing / (double)classes), high = (A)(1 - smoothing);
    Int label = label_of(t, at.row, classes);
    write(v, v, gx, at, [&](A a, A, Int c) {
        A value = g * (exp(a - logs) - low);
        return c == label ? value - g * high : value;
    });
}

// LANES threads a row | reads gy and log_sum (rows), x and t (rows, classes), writes gx | any
// number of classes
KERNEL(gradient_probabilities)(const T* gy, const T* x, const T* t, const T* log_sum, T* gx,
                               Int rows, Int classes, double smoothing) {
    Row at = row_of(rows, classes);
    Held v = held(x, at), p = held(t, at);
    A low = (A)(smoothing / (double)classes), high = (A)(1 - smoothing);
    A total = (A)smoothing + high * sum_of(p, p, at, [](A a, A) { return a; });
    if (!at.inside) return;
    A g = number(gy[at.row]), logs = number(log_sum[at.row]);
    write(v, p, gx, at, [&](A a, A b, Int) {
        return g * (exp(a - logs) * total - (high * b + low));
    });
}

// ---- of log-probabilities -----------------------------------------------------------------

// a thread a row | reads x (rows, classes) and t (rows), writes loss (rows) | any labels
KERNEL(nll)(const T* x, const LABEL* t, T* loss, Int rows, Int classes) {
    FOR_EACH(row, rows) {
        Int label = label_of(t, row, classes);
        loss[row] = rounded(label < 0 ? not_a_number() : -number(x[row * classes + label]));
    }
}

// LANES threads a row | reads gy and t (rows), writes gx (rows, classes) | any labels
KERNEL(nll_gradient)(const T* gy, const LABEL* t, T* gx, Int rows, Int classes) {
    Row at = row_of(rows, classes);
    if (!at.inside) return;
    A g = number(gy[at.row]);
    Int label = label_of(t, at.row, classes);
    each_pack(at, [&](int, Int j) {
        Packed result;
        for (int i = 0; i < WIDTH; i++)
            result.at[i] = rounded(j * WIDTH + i == label ? -g : (A)0);
        store(gx, at.begin + j * WIDTH, result);
    });
}
