// Dropout by counter-based masks, the same as on the CPU (see op.py).
//
// Philox 4x32-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011. Definitions:
// WIDTH, elements that are loaded at once, 4 or 1; INDEX, unsigned where it can count all elements;
// SHARE, whether neighbouring elements have one word (0) or one each (1).
#include "packs.cuh"

#ifndef INDEX
#define INDEX unsigned
#endif
#ifndef SHARE
#define SHARE 1
#endif

struct Words { unsigned at[4]; };

// The words of counter (block, 0, count, 0); key holds the seed and the count.
__device__ inline Words philox(unsigned block, const unsigned long long* key) {
    unsigned c0 = block, c1 = 0, c2 = (unsigned)key[1], c3 = 0;
    unsigned k0 = (unsigned)key[0], k1 = (unsigned)(key[0] >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        unsigned low0 = c0 * 0xD2511F53u, high0 = __umulhi(c0, 0xD2511F53u);
        unsigned low1 = c2 * 0xCD9E8D57u, high1 = __umulhi(c2, 0xCD9E8D57u);
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}

__device__ inline T scaled(T x, unsigned word, unsigned limit, A scale) {
    return rounded(number(x) * (word < limit ? scale : (A)0));
}

// a thread 4 neighbours at a time | reads x (n) and key (seed, count), writes y (n) | WIDTH 4 needs
// addresses that are multiples of 4 elements
KERNEL(single)(const T* x, const unsigned long long* key, T* y, Int n, Int limit, double scale) {
    FOR_EACH(i, (n + 3) / 4) {
        Words words = philox((unsigned)i, key);
        if (WIDTH == 4 && 4 * i + 4 <= n) {
            Packed some = packed(x, 4 * i);
            for (int k = 0; k < WIDTH; k++)
                some.at[k] = scaled(some.at[k], words.at[k], (unsigned)limit, (A)scale);
            store(y, 4 * i, some);
            continue;
        }
        for (int k = 0; k < 4; k++)
            if (4 * i + k < n)
                y[4 * i + k] = scaled(x[4 * i + k], words.at[k], (unsigned)limit, (A)scale);
    }
}

// a thread WIDTH neighbours at a time | reads x (n) of a shape and key, writes y (n) | strides are
// those of the mask, 0 along axes that share a draw; WIDTH 4 needs a last axis of a multiple of 4
KERNEL(grouped)(const T* x, const unsigned long long* key, T* y, Int n, Int limit, double scale,
               Int axes, Ints shape, Ints strides) {
    FOR_EACH(i, n / WIDTH) {
        Int place = strided((INDEX)(i * WIDTH), shape, strides, (int)axes);
        Words words = philox((unsigned)(place >> 2), key);
        Packed some = packed(x, i * WIDTH);
        for (int k = 0; k < WIDTH; k++) {
            unsigned word = words.at[0];
            int which = (int)(place & 3) + SHARE * k;
            for (int w = 1; w < 4; w++) word = which == w ? words.at[w] : word;
            some.at[k] = scaled(some.at[k], word, (unsigned)limit, (A)scale);
        }
        store(y, i * WIDTH, some);
    }
}
