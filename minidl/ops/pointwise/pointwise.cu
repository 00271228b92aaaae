// One expression of up to four arrays, element by element.
//
// Definitions: EXPRESSION of v0 to v3 (elements as A) and p0, p1 (attributes as A); COUNT of the
// arrays; IN0 to IN3, their types; RESULT, the type of y; INDEX, unsigned where it can count all
// elements; WIDTH, elements that a thread takes at once.
#include "common.cuh"

#ifndef EXPRESSION
#define EXPRESSION (v0 < 0 ? (A)0 : v0)
#define COUNT 1
#define IN0 T
#define RESULT T
#define INDEX unsigned
#define WIDTH 4
#endif
#if COUNT < 2
#define IN1 T
#endif
#if COUNT < 3
#define IN2 T
#endif
#if COUNT < 4
#define IN3 T
#endif

struct Strides { Ints of[4]; };

__device__ inline A sign(A x) { return x > 0 ? (A)1 : x < 0 ? (A)-1 : x; }

__device__ inline RESULT value(A v0, A v1, A v2, A v3, A p0, A p1) {
    return (RESULT)(EXPRESSION);
}

// a thread WIDTH elements at a time | reads x0 to x3 (n each), writes y (n), which may be one of
// them | arrays are C-contiguous, addresses multiples of WIDTH elements
KERNEL(same)(const IN0* x0, const IN1* x1, const IN2* x2, const IN3* x3, RESULT* y, Int n,
             double p0, double p1) {
    FOR_EACH(i, n / WIDTH) {
        Pack<IN0, WIDTH> a = reinterpret_cast<const Pack<IN0, WIDTH>*>(x0)[i];
        Pack<IN1, WIDTH> b;
        Pack<IN2, WIDTH> c;
        Pack<IN3, WIDTH> d;
        if (COUNT > 1) b = reinterpret_cast<const Pack<IN1, WIDTH>*>(x1)[i];
        if (COUNT > 2) c = reinterpret_cast<const Pack<IN2, WIDTH>*>(x2)[i];
        if (COUNT > 3) d = reinterpret_cast<const Pack<IN3, WIDTH>*>(x3)[i];
        Pack<RESULT, WIDTH> r;
        for (int k = 0; k < WIDTH; k++)
            r.at[k] = value((A)a.at[k], COUNT > 1 ? (A)b.at[k] : A(0),
                            COUNT > 2 ? (A)c.at[k] : A(0), COUNT > 3 ? (A)d.at[k] : A(0),
                            (A)p0, (A)p1);
        reinterpret_cast<Pack<RESULT, WIDTH>*>(y)[i] = r;
    }
    FOR_EACH(j, n % WIDTH) {
        Int i = n - 1 - j;
        y[i] = value((A)x0[i], COUNT > 1 ? (A)x1[i] : A(0), COUNT > 2 ? (A)x2[i] : A(0),
                     COUNT > 3 ? (A)x3[i] : A(0), (A)p0, (A)p1);
    }
}

// a thread an element | reads x0 to x3, each by its own strides, writes y (n) of a shape | up to 8
// axes; y is C-contiguous
KERNEL(spread)(const IN0* x0, const IN1* x1, const IN2* x2, const IN3* x3, RESULT* y, Int n,
               double p0, double p1, Int axes, Ints shape, Strides strides) {
    FOR_EACH(i, n)
        y[i] = value((A)x0[strided((INDEX)i, shape, strides.of[0], axes)],
                     COUNT > 1 ? (A)x1[strided((INDEX)i, shape, strides.of[1], axes)] : A(0),
                     COUNT > 2 ? (A)x2[strided((INDEX)i, shape, strides.of[2], axes)] : A(0),
                     COUNT > 3 ? (A)x3[strided((INDEX)i, shape, strides.of[3], axes)] : A(0),
                     (A)p0, (A)p1);
}
