// Windows of images as the rows of a matrix, and back.
//
// cols (n p q, groups, KH, KW, c): row (image, u, v) holds the window of output u, v, group by
// group. WIDE is the number of channels that a thread takes at once; INDEX is unsigned where it can
// count all packs.
#include "common.cuh"

#ifndef WIDE
#define WIDE 4
#endif
#ifndef INDEX
#define INDEX unsigned
#endif

typedef Pack<T, WIDE> Channels;

struct Window {
    Int height, width, channels, p, q, kh, kw, stride_h, stride_w, dilation_h, dilation_w, top,
        left, groups;
};

// Divide i by n and leave the rest in i.
__device__ inline INDEX split(INDEX& i, Int n) {
    INDEX whole = i / (INDEX)n;
    i -= whole * (INDEX)n;
    return whole;
}

// a thread WIDE channels of cols | reads x (n, height, width, channels), writes cols, zeros where a
// window reaches over the border | WIDE divides the channels of a group; x and cols lie at
// multiples of WIDE
KERNEL(im2col)(const T* x, T* cols, Int packs, Window g) {
    Int depth = g.channels / g.groups / WIDE;
    FOR_EACH(index, packs) {
        INDEX c = (INDEX)index, tap = split(c, depth);
        Int i, j, group, u, v;
        INDEX rest = split(tap, g.kw);
        j = (Int)tap;
        INDEX row = split(rest, g.kh);
        i = (Int)rest;
        INDEX pixel = split(row, g.groups);
        group = (Int)row;
        INDEX line = split(pixel, g.q);
        v = (Int)pixel;
        INDEX image = split(line, g.p);
        u = (Int)line;
        Int h = u * g.stride_h + i * g.dilation_h - g.top;
        Int w = v * g.stride_w + j * g.dilation_w - g.left;
        Channels found;
        if (h >= 0 && h < g.height && w >= 0 && w < g.width) {
            Int place = (((Int)image * g.height + h) * g.width + w) * (g.channels / WIDE);
            found = reinterpret_cast<const Channels*>(x)[place + group * depth + (Int)c];
        } else {
#pragma unroll
            for (int e = 0; e < WIDE; e++) found.at[e] = rounded(0);
        }
        reinterpret_cast<Channels*>(cols)[index] = found;
    }
}

// The number of the step that begins at a place, -1 where none does.
__device__ inline Int step(Int place, Int stride) {
    INDEX rest = (INDEX)place;
    INDEX found = split(rest, stride);
    return place < 0 || rest ? -1 : (Int)found;
}

// a thread WIDE channels of x | reads cols, bias (channels) and more (as x), writes x, the sum of
// all places of cols that came from it + bias + more | as im2col
KERNEL(col2im)(const T* cols, T* x, const T* bias, const T* more, Int packs, Window g) {
    Int depth = g.channels / g.groups / WIDE;
    FOR_EACH(index, packs) {
        INDEX channel = (INDEX)index, pixel = split(channel, g.channels / WIDE);
        INDEX line = split(pixel, g.width), image = split(line, g.height);
        INDEX c = channel, group = split(c, depth);
        A sum[WIDE] = {};
        for (Int i = 0; i < g.kh; i++) {
            Int from = (Int)line + g.top - i * g.dilation_h, u = step(from, g.stride_h);
            if (u < 0 || u >= g.p) continue;
            for (Int j = 0; j < g.kw; j++) {
                Int at = (Int)pixel + g.left - j * g.dilation_w, v = step(at, g.stride_w);
                if (v < 0 || v >= g.q) continue;
                Int row = ((Int)image * g.p + u) * g.q + v;
                Int tap = ((row * g.groups + (Int)group) * g.kh + i) * g.kw + j;
                Channels found = reinterpret_cast<const Channels*>(cols)[tap * depth + (Int)c];
#pragma unroll
                for (int e = 0; e < WIDE; e++) sum[e] += number(found.at[e]);
            }
        }
        Channels result, also;
        if (more) also = reinterpret_cast<const Channels*>(more)[index];
#pragma unroll
        for (int e = 0; e < WIDE; e++) {
            if (bias) sum[e] += number(bias[channel * WIDE + e]);
            if (more) sum[e] += number(also.at[e]);
            result.at[e] = rounded(sum[e]);
        }
        reinterpret_cast<Channels*>(x)[index] = result;
    }
}
