// Vectors of a weight scaled down to a largest norm.
//
// Definitions: WIDTH, elements that a thread takes at once; SPREAD, 1 where they have norms of
// their own, 0 where they are of one vector.
#include "common.cuh"

#ifndef WIDTH
#define WIDTH 4
#define SPREAD 1
#endif

typedef Pack<T, WIDTH> Unit;

// a thread a unit | reads w (before, reduced, after) and squares (before, after), the squared norms
// of its vectors, writes y, which may be w | width: units of a row, of `after` with SPREAD, else of
// (reduced, after = 1); rows: reduced with SPREAD, else 1; addresses are multiples of a unit
KERNEL(scaled)(const Unit* w, const double* squares, Unit* y, Int n, Int rows, Int width,
               double max_value, double epsilon) {
    FOR_EACH(i, n) {
        Int row = i / width, column = i - row * width;
        Int first = SPREAD ? (row / rows * width + column) * WIDTH : row;
        Unit v = w[i];
        for (int k = 0; k < WIDTH; k++) {
            double norm = sqrt(squares[SPREAD ? first + k : first]);
            double kept = norm > max_value ? max_value : norm;  // a NaN goes through
            v.at[k] = rounded(number(v.at[k]) * (A)(kept / (epsilon + norm)));
        }
        y[i] = v;
    }
}
