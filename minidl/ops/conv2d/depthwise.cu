// Convolutions of every channel by itself, one filter each.
//
// w is (KH, KW, channels). A thread takes WIDE channels of PIXELS neighbouring results of a row;
// what these need of a row of the input is loaded once. Definitions: KH, KW, the window; STRIDE and
// DILATION along a row; ROWS, rows of the window that a block of the weight gradient takes, LANES,
// threads of it beside each other; INDEX, unsigned where it can count all threads' work.
#include "common.cuh"

#ifndef WIDE
#define KH 3
#define KW 3
#define STRIDE 1
#define DILATION 1
#define WIDE 4
#define PIXELS 4
#define ROWS 3
#define LANES 16
#define INDEX unsigned
#endif

typedef Pack<T, WIDE> Channels;

struct Window {
    Int height, width, channels, p, q, stride, dilation, top, left;  // stride, dilation: of rows
};

const int THREADS = 256, WORKERS = THREADS / LANES;
const int SPAN = (PIXELS - 1) * STRIDE + (KW - 1) * DILATION + 1;  // inputs from first to last

struct Place {
    Int image, line, group, pack;
};

// Number `index` of work: channels first, then groups of PIXELS, lines, images.
__device__ inline Place place_of(INDEX index, Int packs, Int groups, Int lines) {
    INDEX pixels = index / (INDEX)packs, all = pixels / (INDEX)groups, image = all / (INDEX)lines;
    return {(Int)image, (Int)(all - image * (INDEX)lines), (Int)(pixels - all * (INDEX)groups),
            (Int)(index - pixels * (INDEX)packs)};
}

struct Vector { A at[WIDE]; };

__device__ inline Vector channels_at(const T* place) {
    Channels found = *reinterpret_cast<const Channels*>(place);
    Vector read;
#pragma unroll
    for (int e = 0; e < WIDE; e++) read.at[e] = number(found.at[e]);
    return read;
}

// The channels of pixel `column` of a line, 0 where the line has none.
__device__ inline Vector pixel(const T* line, Int column, Int width, Int channels) {
    if (column >= 0 && column < width) return channels_at(line + column * channels);
    return Vector{};
}

__device__ inline void add_product(Vector& sum, const Vector& x, const Vector& w) {
#pragma unroll
    for (int e = 0; e < WIDE; e++) sum.at[e] += x.at[e] * w.at[e];
}

__device__ inline void put(T* y, Int at, const Vector& sum, const T* more, Int relu) {
    Channels result, also;
    if (more) also = *reinterpret_cast<const Channels*>(more + at);
#pragma unroll
    for (int e = 0; e < WIDE; e++) {
        A v = sum.at[e];
        if (more) v += number(also.at[e]);
        result.at[e] = rounded(relu && v < 0 ? (A)0 : v);
    }
    *reinterpret_cast<Channels*>(y + at) = result;
}

// a thread PIXELS results of a line x WIDE channels | reads x (n, height, width, channels), w, b
// (channels) and more (as y), writes y (n, p, q, channels) | WIDE divides channels; arrays lie at
// multiples of it
KERNEL(forward)(const T* x, const T* w, const T* b, const T* more, T* y, Int relu, Int count,
                Window g) {
    Int packs = g.channels / WIDE, groups = (g.q + PIXELS - 1) / PIXELS;
    FOR_EACH(index, count) {
        Place to = place_of((INDEX)index, packs, groups, g.p);
        Int c = to.pack * WIDE, first = to.group * PIXELS;
        Vector sum[PIXELS], start = b ? channels_at(b + c) : Vector{};
#pragma unroll
        for (int r = 0; r < PIXELS; r++) sum[r] = start;
        for (int i = 0; i < KH; i++) {
            Int h = to.line * g.stride + i * g.dilation - g.top, v = first * STRIDE - g.left;
            if (h < 0 || h >= g.height) continue;
            const T* line = x + (to.image * g.height + h) * g.width * g.channels + c;
            Vector in[SPAN];
#pragma unroll
            for (int s = 0; s < SPAN; s++) in[s] = pixel(line, v + s, g.width, g.channels);
#pragma unroll
            for (int j = 0; j < KW; j++) {
                Vector tap = channels_at(w + (i * KW + j) * g.channels + c);
#pragma unroll
                for (int r = 0; r < PIXELS; r++)
                    add_product(sum[r], in[r * STRIDE + j * DILATION], tap);
            }
        }
        Int at = ((to.image * g.p + to.line) * g.q + first) * g.channels + c;
#pragma unroll
        for (int r = 0; r < PIXELS; r++)
            if (first + r < g.q) put(y, at + r * g.channels, sum[r], more, relu);
    }
}

// Results of gy that PIXELS inputs meet, the first of them a multiple of STRIDE from the border:
// input r and tap j meet the one at (r - j DILATION) / STRIDE from the first, if that is whole.
const int BEFORE = (KW - 1) * DILATION / STRIDE;
const int MET = BEFORE + (PIXELS - 1) / STRIDE + 1;

// a thread PIXELS inputs of a line x WIDE channels | reads gy (n, p, q, channels), w, b (channels)
// and more (as gx), writes gx (n, height, width, channels) | as forward; STRIDE divides PIXELS
KERNEL(input_gradient)(const T* gy, const T* w, const T* b, const T* more, T* gx, Int count,
                       Window g) {
    Int early = g.left % STRIDE;  // columns before the first, so that groups begin at a multiple
    Int packs = g.channels / WIDE, groups = (g.width + early + PIXELS - 1) / PIXELS;
    FOR_EACH(index, count) {
        Place to = place_of((INDEX)index, packs, groups, g.height);
        Int c = to.pack * WIDE, first = to.group * PIXELS - early;
        Int v = (first + g.left) / STRIDE - BEFORE;
        Vector sum[PIXELS], start = b ? channels_at(b + c) : Vector{};
#pragma unroll
        for (int r = 0; r < PIXELS; r++) sum[r] = start;
        for (int i = 0; i < KH; i++) {
            int from = (int)(to.line + g.top - i * g.dilation), u = from / (int)g.stride;
            if (from < 0 || u >= g.p || u * (int)g.stride != from) continue;
            const T* line = gy + (to.image * g.p + u) * g.q * g.channels + c;
            Vector in[MET];
#pragma unroll
            for (int s = 0; s < MET; s++) in[s] = pixel(line, v + s, g.q, g.channels);
#pragma unroll
            for (int j = 0; j < KW; j++) {
                Vector tap = channels_at(w + (i * KW + j) * g.channels + c);
#pragma unroll
                for (int r = 0; r < PIXELS; r++)
                    if ((r - j * DILATION) % STRIDE == 0)
                        add_product(sum[r], in[BEFORE + (r - j * DILATION) / STRIDE], tap);
            }
        }
        Int at = ((to.image * g.height + to.line) * g.width + first) * g.channels + c;
#pragma unroll
        for (int r = 0; r < PIXELS; r++)
            if (first + r >= 0 && first + r < g.width)
                put(gx, at + r * g.channels, sum[r], more, 0);
    }
}

// The sum over the workers of a block, by halves, for worker 0; all threads must get here.
__device__ inline Vector over_workers(Vector own) {
    SHARED(Vector, sums, THREADS);
    sums[threadIdx.x] = own;
    for (int half = WORKERS / 2; half; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half * LANES)
#pragma unroll
            for (int e = 0; e < WIDE; e++)
                sums[threadIdx.x].at[e] += sums[threadIdx.x + half * LANES].at[e];
    }
    __syncthreads();
    Vector total = sums[threadIdx.x % LANES];
    __syncthreads();
    return total;
}

// x LANES packs of channels, y a part of the results, z ROWS rows of the window; WORKERS threads
// take groups of PIXELS in turn | reads x and gy, writes partial (parts, KH, KW, channels) | as
// forward; blocks of THREADS; `count` groups (image, line, group), `length` of them a part
KERNEL(weight_gradient)(const T* x, const T* gy, A* partial, Int count, Int length, Window g) {
    int lane = threadIdx.x % LANES, top = blockIdx.z * ROWS;
    Int pack = blockIdx.x * (Int)LANES + lane, c = pack * WIDE, groups = (g.q + PIXELS - 1) / PIXELS;
    bool real = c < g.channels;
    Int stop = real ? min(count, (blockIdx.y + 1) * length) : 0;
    Vector sum[ROWS * KW] = {};
    for (Int index = blockIdx.y * length + threadIdx.x / LANES; index < stop; index += WORKERS) {
        Place from = place_of((INDEX)index, 1, groups, g.p);
        Int first = from.group * PIXELS, v = first * STRIDE - g.left;
        const T* line = gy + (from.image * g.p + from.line) * g.q * g.channels + c;
        Vector out[PIXELS];
#pragma unroll
        for (int r = 0; r < PIXELS; r++) out[r] = pixel(line, first + r, g.q, g.channels);
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            Int h = from.line * g.stride + (top + i) * g.dilation - g.top;
            if (h < 0 || h >= g.height) continue;
            const T* source = x + (from.image * g.height + h) * g.width * g.channels + c;
            Vector in[SPAN];
#pragma unroll
            for (int s = 0; s < SPAN; s++) in[s] = pixel(source, v + s, g.width, g.channels);
#pragma unroll
            for (int j = 0; j < KW; j++)
#pragma unroll
                for (int r = 0; r < PIXELS; r++)
                    add_product(sum[i * KW + j], in[r * STRIDE + j * DILATION], out[r]);
        }
    }
#pragma unroll
    for (int tap = 0; tap < ROWS * KW; tap++) {
        Vector total = over_workers(sum[tap]);
        if (threadIdx.x < LANES && real && top + tap / KW < KH) {
            A* to = partial + ((Int)blockIdx.y * KH * KW + top * KW + tap) * g.channels + c;
#pragma unroll
            for (int e = 0; e < WIDE; e++) to[e] = total.at[e];
        }
    }
}
