// Pooling of images, channels last: maxima with their places, means, and both gradients.
//
// Definitions: PLACE, the type of the places; INDEX, unsigned where it can count all elements;
// WIDTH, channels that a thread takes at once.
#include "common.cuh"

#ifndef PLACE
#define PLACE unsigned char
#define INDEX unsigned
#define WIDTH 4
#endif

typedef Pack<T, WIDTH> Some;
typedef Pack<PLACE, WIDTH> Places;

// Images (height, width), results (rows, columns); packs of WIDTH channels to a pixel; a window
// (kh, kw), its step and where the first one begins; whether means count what lies outside.
struct Shape {
    Int height, width, rows, columns, packs, kh, kw, sh, sw, top, left, everything;
};

// Which pack of which pixel of which image an item is, and which row of all (image, row) it is in.
struct Item { INDEX image; int row, column, pack; };
__device__ inline Item item_of(INDEX i, Int rows, Int columns, Int packs) {
    INDEX pixel = i / (INDEX)packs, line = pixel / (INDEX)columns;
    return {line / (INDEX)rows, (int)(line % (INDEX)rows), (int)(pixel % (INDEX)columns),
            (int)(i % (INDEX)packs)};
}

// The elements [first, last) of an axis that a window covers, and the windows that cover one.
struct Span { int first, last; };
__device__ inline Span covered(int window, Int step, Int before, Int length, Int size) {
    int start = window * (int)step - (int)before;
    return {max(start, 0), min(start + (int)length, (int)size)};
}
__device__ inline Span covering(int place, Int step, Int before, Int length, Int count) {
    int moved = place + (int)before;
    return {max(0, (moved - (int)length + (int)step) / (int)step),
            min((int)count, moved / (int)step + 1)};
}

// What an element counts in the mean of a window.
__device__ inline A share(Span h, Span w, const Shape& s) {
    Int inside = (Int)(h.last - h.first) * (w.last - w.first);
    return A(1) / (A)(s.everything ? s.kh * s.kw : inside);
}

// ---- maxima -----------------------------------------------------------------------------

// a thread WIDTH channels of a result | reads x (N H W C), writes y (N P Q C) and place, which
// counts in the window | addresses are multiples of WIDTH elements; sides below 2^31
KERNEL(max_pool)(const T* x, T* y, PLACE* place, Int n, Shape s) {
    const Some* source = reinterpret_cast<const Some*>(x);
    FOR_EACH(i, n) {
        Item at = item_of((INDEX)i, s.rows, s.columns, s.packs);
        Span h = covered(at.row, s.sh, s.top, s.kh, s.height);
        Span w = covered(at.column, s.sw, s.left, s.kw, s.width);
        int here = (h.first - at.row * (int)s.sh + (int)s.top) * (int)s.kw
                 + w.first - at.column * (int)s.sw + (int)s.left;
        int next_line = (int)s.kw - (w.last - w.first);
        A best[WIDTH];
        int best_place[WIDTH];
#pragma unroll
        for (int k = 0; k < WIDTH; k++) best[k] = -infinity(), best_place[k] = here;
        for (int row = h.first; row < h.last; row++, here += next_line) {
            const Some* line = source + (at.image * s.height + row) * s.width * s.packs + at.pack;
#pragma unroll 4
            for (int column = w.first; column < w.last; column++, here++) {
                Some some = line[column * s.packs];
#pragma unroll
                for (int k = 0; k < WIDTH; k++) {
                    A value = number(some.at[k]);
                    bool better = value > best[k] || value != value;
                    best[k] = better ? value : best[k];
                    best_place[k] = better ? here : best_place[k];
                }
            }
        }
        Some result;
        Places places;
#pragma unroll
        for (int k = 0; k < WIDTH; k++)
            result.at[k] = rounded(best[k]), places.at[k] = (PLACE)best_place[k];
        reinterpret_cast<Some*>(y)[i] = result;
        reinterpret_cast<Places*>(place)[i] = places;
    }
}

// a thread WIDTH channels of a pixel of gx | reads gy (N P Q C) and place, writes gx (N H W C): the
// sum, in order, of gy over the windows whose maximum it is | as above
KERNEL(max_pool_gradient)(const T* gy, const PLACE* place, T* gx, Int n, Shape s) {
    const Some* source = reinterpret_cast<const Some*>(gy);
    const Places* places = reinterpret_cast<const Places*>(place);
    FOR_EACH(i, n) {
        Item at = item_of((INDEX)i, s.height, s.width, s.packs);
        Span p = covering(at.row, s.sh, s.top, s.kh, s.rows);
        Span q = covering(at.column, s.sw, s.left, s.kw, s.columns);
        A total[WIDTH] = {};
        for (int row = p.first; row < p.last; row++)
            for (int column = q.first; column < q.last; column++) {
                Int from = ((at.image * s.rows + row) * s.columns + column) * s.packs + at.pack;
                int here = (at.row - row * (int)s.sh + (int)s.top) * (int)s.kw
                         + at.column - column * (int)s.sw + (int)s.left;
                Some some = source[from];
                Places best = places[from];
#pragma unroll
                for (int k = 0; k < WIDTH; k++)
                    total[k] += (int)best.at[k] == here ? number(some.at[k]) : A(0);
            }
        Some result;
#pragma unroll
        for (int k = 0; k < WIDTH; k++) result.at[k] = rounded(total[k]);
        reinterpret_cast<Some*>(gx)[i] = result;
    }
}

// ---- means ------------------------------------------------------------------------------

// a thread WIDTH channels of a result | reads x (N H W C), writes y (N P Q C) | as above
KERNEL(average_pool)(const T* x, T* y, Int n, Shape s) {
    const Some* source = reinterpret_cast<const Some*>(x);
    FOR_EACH(i, n) {
        Item at = item_of((INDEX)i, s.rows, s.columns, s.packs);
        Span h = covered(at.row, s.sh, s.top, s.kh, s.height);
        Span w = covered(at.column, s.sw, s.left, s.kw, s.width);
        A total[WIDTH] = {};
        for (int row = h.first; row < h.last; row++) {
            const Some* line = source + (at.image * s.height + row) * s.width * s.packs + at.pack;
#pragma unroll 4
            for (int column = w.first; column < w.last; column++) {
                Some some = line[column * s.packs];
#pragma unroll
                for (int k = 0; k < WIDTH; k++) total[k] += number(some.at[k]);
            }
        }
        A part = share(h, w, s);
        Some result;
#pragma unroll
        for (int k = 0; k < WIDTH; k++) result.at[k] = rounded(total[k] * part);
        reinterpret_cast<Some*>(y)[i] = result;
    }
}

// a thread WIDTH channels of a pixel of gx | reads gy (N P Q C), writes gx (N H W C): the sum, in
// order, of what it counts in the windows that it lies in | as above
KERNEL(average_pool_gradient)(const T* gy, T* gx, Int n, Shape s) {
    const Some* source = reinterpret_cast<const Some*>(gy);
    FOR_EACH(i, n) {
        Item at = item_of((INDEX)i, s.height, s.width, s.packs);
        Span p = covering(at.row, s.sh, s.top, s.kh, s.rows);
        Span q = covering(at.column, s.sw, s.left, s.kw, s.columns);
        A total[WIDTH] = {};
        for (int row = p.first; row < p.last; row++) {
            Span h = covered(row, s.sh, s.top, s.kh, s.height);
            for (int column = q.first; column < q.last; column++) {
                Span w = covered(column, s.sw, s.left, s.kw, s.width);
                A part = share(h, w, s);
                Int from = ((at.image * s.rows + row) * s.columns + column) * s.packs + at.pack;
                Some some = source[from];
#pragma unroll
                for (int k = 0; k < WIDTH; k++) total[k] += number(some.at[k]) * part;
            }
        }
        Some result;
#pragma unroll
        for (int k = 0; k < WIDTH; k++) result.at[k] = rounded(total[k]);
        reinterpret_cast<Some*>(gx)[i] = result;
    }
}
