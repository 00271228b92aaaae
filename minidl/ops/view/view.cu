// Elements that move: chosen by an index, put beside each other, into a border, or back.
//
// Definitions: UNIT, the unsigned type of as many bytes as a thread moves at once (shapes, strides
// and offsets count units); INDEX, unsigned where it can count all elements. Where numbers are
// added, WIDTH, elements of T that a thread takes at once.
#include "common.cuh"

#ifndef UNIT
#define UNIT uint4
#define INDEX unsigned
#define WIDTH 4
#endif

// Numbers that are looked up by a variable: as grid constants they are not copied by each thread.
#define LISTED const __grid_constant__ Ints

struct Fill { unsigned char bytes[16]; };

// ---- indices ----------------------------------------------------------------------------

// Where element i of a shape lies; along the axis `at`, a table says how far off.
__device__ inline Int place(INDEX i, const Ints& shape, const Ints& strides, int axes,
                            const Int* table, int at) {
    Int found = 0;
    for (int a = axes - 1; a >= 0; a--) {
        INDEX length = (INDEX)shape.at[a], rest = a ? i / length : 0, own = i - rest * length;
        found += a == at ? table[own] : (Int)own * strides.at[a];
        i = rest;
    }
    return found;
}

// a thread a unit of y | reads x by strides and by a table along the axis `at`, writes y (n) of a
// shape | up to 8 axes; the table has shape[at] offsets inside x
KERNEL(take)(const UNIT* x, const Int* table, UNIT* y, Int n, Int axes, LISTED shape,
             LISTED strides, Int at) {
    FOR_EACH(i, n) y[i] = x[place((INDEX)i, shape, strides, (int)axes, table, (int)at)];
}

// ---- into a larger array ----------------------------------------------------------------

// a thread a unit of y | reads x by strides, writes y (n) of a shape: x where each coordinate is
// start + step j with 0 <= j < count, else the fill | up to 8 axes
KERNEL(inlaid)(const UNIT* x, UNIT* y, Int n, Int axes, LISTED shape, LISTED starts,
               LISTED steps, LISTED counts, LISTED strides, Fill fill) {
    UNIT around;
    unsigned char* bytes = reinterpret_cast<unsigned char*>(&around);
    for (int k = 0; k < (int)sizeof(UNIT); k++) bytes[k] = fill.bytes[k];
    FOR_EACH(i, n) {
        INDEX left = (INDEX)i;
        Int from = 0;
        bool inside = true;
        for (int a = (int)axes - 1; a >= 0; a--) {
            INDEX length = (INDEX)shape.at[a], rest = a ? left / length : 0;
            Int gap = (Int)(left - rest * length) - starts.at[a], step = steps.at[a];
            Int j = step == 1 ? gap : gap / step;
            inside = inside && j * step == gap && j >= 0 && j < counts.at[a];
            from += j * strides.at[a];
            left = rest;
        }
        y[i] = inside ? x[from] : around;
    }
}

// a thread a unit | writes 0 into y (n) | -
KERNEL(zeros)(UNIT* y, Int n) {
    UNIT zero = {};
    FOR_EACH(i, n) y[i] = zero;
}

typedef Pack<T, WIDTH> Unit;

// a thread a unit of gx that is chosen | reads gy, writes gx where it is chosen: along the axis
// `at`, targets says how far off, and sources[firsts[j]] to sources[firsts[j + 1]] how far off in
// gy what adds up lies, other axes have strides | n units of a shape, up to 8 axes; a thread adds
// up all gradients of its unit
KERNEL(added)(const Unit* gy, Unit* gx, const Int* targets, const Int* firsts,
              const Int* sources, Int n, Int axes, LISTED shape, LISTED to, LISTED from, Int at) {
    FOR_EACH(i, n) {
        INDEX left = (INDEX)i;
        Int target = 0, source = 0, j = 0;
        for (int a = (int)axes - 1; a >= 0; a--) {
            INDEX length = (INDEX)shape.at[a], rest = a ? left / length : 0;
            INDEX own = left - rest * length;
            target += a == at ? targets[own] : (Int)own * to.at[a];
            source += a == at ? 0 : (Int)own * from.at[a];
            if (a == at) j = own;
            left = rest;
        }
        A sum[WIDTH];
        for (int k = 0; k < WIDTH; k++) sum[k] = 0;
        for (Int e = firsts[j]; e < firsts[j + 1]; e++) {
            Unit v = gy[source + sources[e]];
            for (int k = 0; k < WIDTH; k++) sum[k] += number(v.at[k]);
        }
        Unit v;
        for (int k = 0; k < WIDTH; k++) v.at[k] = rounded(sum[k]);
        gx[target] = v;
    }
}

// ---- concat -----------------------------------------------------------------------------

struct Copy { Int x, y, n, axes; Ints shape, from, to; };  // addresses, units
struct Copies { Copy at[16]; };

// blocks in y: arrays; a thread a unit | reads each x by its strides, writes it to its place in y |
// up to 16 arrays of up to 8 axes
KERNEL(concat)(Copies copies) {
    const Copy& copy = copies.at[blockIdx.y];
    const UNIT* x = reinterpret_cast<const UNIT*>(copy.x);
    UNIT* y = reinterpret_cast<UNIT*>(copy.y);
    FOR_EACH(i, copy.n)
        y[strided((INDEX)i, copy.shape, copy.to, (int)copy.axes)] =
            x[strided((INDEX)i, copy.shape, copy.from, (int)copy.axes)];
}
