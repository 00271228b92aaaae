// Affine warps of images with either interpolation, and their transposed map.
//
// The transposed map is gathered: a pixel of gx looks for the pixels of gy that were made of it, by
// the inverse of the matrix, whose box is a little too large, and takes from each of these what
// the warp itself would have given it. So there is one sum per element, in one order.
//
// Definitions: MATRIX, the type of the matrix; INDEX, unsigned where it can count all elements;
// WIDTH, channels that a thread takes at once (3 where there are 3).
#include "common.cuh"

#ifndef MATRIX
#define MATRIX T
#define INDEX unsigned
#define WIDTH 4
#endif

template <class V> struct Pack<V, 3> { V at[3]; };
typedef Pack<T, WIDTH> Some;

struct Shape { Int rows, columns, packs, mode, rounded; };  // packs of WIDTH channels to a pixel
struct Item { INDEX image; int row, column, pack; };
__device__ inline Item item_of(INDEX i, const Shape& s) {
    INDEX pixel = i / (INDEX)s.packs, line = pixel / (INDEX)s.columns;
    return {line / (INDEX)s.rows, (int)(line % (INDEX)s.rows), (int)(pixel % (INDEX)s.columns),
            (int)(i % (INDEX)s.packs)};
}

// Two rows of the matrix: u = of[0] i + of[1] j + of[2], v = of[3] i + of[4] j + of[5].
struct Map { double of[6]; };
__device__ inline Map map_of(const MATRIX* matrix, Int image) {
    Map m;
    for (int k = 0; k < 6; k++) m.of[k] = (double)matrix[image * 6 + k];
    return m;
}

const double FAR = 1e9;  // pixels; a matrix may hold anything, NaN too
enum { NEAREST, REFLECT, WRAP, CONSTANT, ITSELF };

// The largest whole number that is not above a place, within reach.
__device__ inline int below(double place) {
    return place > -FAR ? (int)floor(min(place, FAR)) : (int)-FAR;
}

// A place, or the middle of the pixel that is nearest.
__device__ inline double place_of(double place, const Shape& s) {
    return s.rounded ? floor(place + 0.5) : place;
}

// The pixel that stands for pixel i, -1 for none.
__device__ inline int stand_in(int i, int size, int mode) {
    if (mode == ITSELF || (i >= 0 && i < size)) return i;
    if (mode == NEAREST) return i < 0 ? 0 : size - 1;
    if (mode == CONSTANT) return -1;
    int period = mode == REFLECT ? 2 * size : size;
    i = (i % period + period) % period;
    return i < size ? i : 2 * size - 1 - i;
}

// a thread WIDTH channels of a pixel of y | reads x (N H W C) and matrix (N 6), writes y (N H W C)
// | addresses are multiples of WIDTH elements, of one where it is 3; sides below 2^30
KERNEL(affine_warp)(const T* x, const MATRIX* matrix, T* y, Int n, double fill, Shape s) {
    const Some* source = reinterpret_cast<const Some*>(x);
    FOR_EACH(i, n) {
        Item at = item_of((INDEX)i, s);
        Map m = map_of(matrix, at.image);
        double u = place_of(m.of[0] * at.row + m.of[2] + m.of[1] * at.column, s);
        double v = place_of(m.of[3] * at.row + m.of[5] + m.of[4] * at.column, s);
        int first[2] = {below(u), below(v)}, row[2], column[2];
        A down = (A)(u - first[0]), across = (A)(v - first[1]);
        for (int k = 0; k < 2; k++) {
            row[k] = stand_in(first[0] + k, (int)s.rows, (int)s.mode);
            column[k] = stand_in(first[1] + k, (int)s.columns, (int)s.mode);
        }
        A total[WIDTH] = {};
#pragma unroll
        for (int corner = 0; corner < 4; corner++) {
            int r = row[corner / 2], c = column[corner % 2];
            A part = (corner / 2 ? down : 1 - down) * (corner % 2 ? across : 1 - across);
            Some some;
            bool missing = r < 0 || c < 0;
            if (!missing) some = source[((at.image * s.rows + r) * s.columns + c) * s.packs
                                        + at.pack];
#pragma unroll
            for (int k = 0; k < WIDTH; k++)
                total[k] += part * (missing ? (A)fill : number(some.at[k]));
        }
        Some result;
#pragma unroll
        for (int k = 0; k < WIDTH; k++) result.at[k] = rounded(total[k]);
        reinterpret_cast<Some*>(y)[i] = result;
    }
}

// ---- the transposed map -----------------------------------------------------------------

// An axis of gx: the pixel that is looked for, the places that it has a part in, and the mode by
// which those beyond the edges count.
struct Wanted { int pixel, size, mode; double first, last; };

// What a pixel has of a place; false where it has no part in it.
__device__ inline bool part_of(double place, const Wanted& w, double* part) {
    int lower = below(place);
    double rest = place - lower;
    bool one = stand_in(lower, w.size, w.mode) == w.pixel;
    bool other = stand_in(lower + 1, w.size, w.mode) == w.pixel;
    *part = (one ? 1 - rest : 0) + (other ? rest : 0);
    return one || other;
}

// Narrow [first, last] to the j for which start + step j lies in [low, high], or a little more.
__device__ inline void narrow(int* first, int* last, double start, double step, double low,
                              double high, double slack) {
    low -= start + slack, high -= start - slack;
    if (step == 0) {
        if (low > 0 || high < 0) *last = *first - 1;
        return;
    }
    double a = low / step, b = high / step;
    *first = (int)min(max((double)*first, ceil(min(a, b) - 1e-3)), *last + 1.0);
    *last = (int)max(min((double)*last, floor(max(a, b) + 1e-3)), *first - 1.0);
}

// Add up what the wanted pixel has of those of gy (H W packs).
__device__ inline void gather(const Some* gy, const Map& m, const Wanted& u, const Wanted& v,
                              const Shape& s, double slack, bool all, double* total) {
    int top = 0, bottom = (int)s.rows - 1;
    double a = m.of[0], b = m.of[1], c = m.of[3], d = m.of[4], determinant = a * d - b * c;
    if (!all && fabs(determinant) > 1e-6 * (fabs(a) + fabs(b)) * (fabs(c) + fabs(d))) {
        // i = (d (u - m2) - b (v - m5)) / determinant, which is monotonous in u and in v
        double low = (min(d * (u.first - m.of[2]), d * (u.last - m.of[2]))
                      + min(-b * (v.first - m.of[5]), -b * (v.last - m.of[5])));
        double high = (max(d * (u.first - m.of[2]), d * (u.last - m.of[2]))
                       + max(-b * (v.first - m.of[5]), -b * (v.last - m.of[5])));
        double wide = (fabs(b) + fabs(d)) * slack;
        narrow(&top, &bottom, 0, determinant, low, high, wide);
    }
    for (int i = top; i <= bottom; i++) {
        double down = a * i + m.of[2], across = c * i + m.of[5];
        int first = 0, last = (int)s.columns - 1;
        if (!all) {
            narrow(&first, &last, down, b, u.first, u.last, slack);
            narrow(&first, &last, across, d, v.first, v.last, slack);
        }
        for (int j = first; j <= last; j++) {
            double of_row, of_column;
            if (!part_of(place_of(down + b * j, s), u, &of_row)) continue;
            if (!part_of(place_of(across + d * j, s), v, &of_column)) continue;
            Some some = gy[(i * s.columns + j) * s.packs];
#pragma unroll
            for (int k = 0; k < WIDTH; k++)
                total[k] += of_row * of_column * (double)number(some.at[k]);
        }
    }
}

// The places on an axis that the image leads to.
struct Reach { double first, last; };
__device__ inline Reach reach(const double* row, const Shape& s) {
    double down = row[0] * (double)(s.rows - 1), across = row[1] * (double)(s.columns - 1);
    return {row[2] + min(down, 0.0) + min(across, 0.0), row[2] + max(down, 0.0) + max(across, 0.0)};
}

// The first and the last of the copies of an axis, side by side, that a reach touches.
struct Copies { int first, last; };
__device__ inline Copies copies(Reach r, int size, int mode) {
    if (mode == NEAREST || mode == CONSTANT) return {0, 0};
    return {(int)floor((r.first - 1) / size), (int)floor((r.last + 1) / size)};
}

__device__ inline Wanted wanted(int pixel, int size, int mode, int copy, Reach r) {
    if (mode == NEAREST) {
        double first = pixel ? pixel - 1 : r.first - 1;
        double last = pixel < size - 1 ? pixel + 1 : r.last + 1;
        return {pixel, size, mode, first, last};
    }
    int own = copy * size + (mode == REFLECT && copy & 1 ? size - 1 - pixel : pixel);
    return {own, size, ITSELF, own - 1.0, own + 1.0};
}

// a thread WIDTH channels of a pixel of gx | reads gy (N H W C) and matrix (N 6), writes gx (N H W
// C) | as above; slow where a matrix holds NaN or leads to a million pixels
KERNEL(affine_warp_gradient)(const T* gy, const MATRIX* matrix, T* gx, Int n, Shape s) {
    FOR_EACH(i, n) {
        Item at = item_of((INDEX)i, s);
        Map m = map_of(matrix, at.image);
        const Some* image = reinterpret_cast<const Some*>(gy)
                          + at.image * s.rows * s.columns * s.packs + at.pack;
        int rows = (int)s.rows, columns = (int)s.columns, mode = (int)s.mode;
        Reach u = reach(m.of, s), v = reach(m.of + 3, s);
        double total[WIDTH] = {}, most = FAR / 1000, slack = 1e-9;
        for (int k = 0; k < 6; k++) slack += 1e-9 * fabs(m.of[k]) * (double)(s.rows + s.columns);
        bool near = u.first > -most && u.last < most && v.first > -most && v.last < most;
        double apart = (u.last - u.first) / rows * (v.last - v.first) / columns;
        if (near && (apart < (double)s.rows * s.columns || mode == NEAREST || mode == CONSTANT)) {
            Copies down = copies(u, rows, mode), across = copies(v, columns, mode);
            for (int one = down.first; one <= down.last; one++)
                for (int other = across.first; other <= across.last; other++)
                    gather(image, m, wanted(at.row, rows, mode, one, u),
                           wanted(at.column, columns, mode, other, v), s, slack, false, total);
        } else {
            gather(image, m, {at.row, rows, mode, 0, 0}, {at.column, columns, mode, 0, 0}, s, 0,
                   true, total);
        }
        Some result;
#pragma unroll
        for (int k = 0; k < WIDTH; k++) result.at[k] = rounded((A)total[k]);
        reinterpret_cast<Some*>(gx)[i] = result;
    }
}
