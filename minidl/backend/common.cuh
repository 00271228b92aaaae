// What all kernels share: types, index loops, sums over a block.
//
// T is the type of the arrays' elements, set by -DREAL=...; A is the one that is computed in.
// Kernels get addresses, Int (64 bits), double, and structs by value.
#pragma once

#ifdef HOST  // compiled for the CPU, by the tests
#include "host.h"
#else
#include <cuda_fp16.h>
#include <cuda_bf16.h>
#define SHARED(type, name, count) __shared__ type name[count]
#define DYNAMIC_SHARED(type, name) \
    extern __shared__ __align__(16) unsigned char name##_bytes[]; \
    type* name = reinterpret_cast<type*>(name##_bytes)
#endif

#ifndef REAL
#define REAL float
#endif

typedef long long Int;
typedef REAL T;

// What is computed with elements of a type is computed in: halves in float32, integers in 64 bits.
template <class V> struct Wide { typedef long long type; };
template <> struct Wide<float> { typedef float type; };
template <> struct Wide<double> { typedef double type; };
template <> struct Wide<__half> { typedef float type; };
template <> struct Wide<__nv_bfloat16> { typedef float type; };
template <> struct Wide<unsigned long long> { typedef unsigned long long type; };
typedef Wide<T>::type A;

// N elements that are loaded and stored at once; their address is a multiple of their size.
template <class V, int N> struct alignas(sizeof(V) * N) Pack { V at[N]; };

struct Ints { Int at[8]; };  // shapes, strides, axes

#ifndef KERNEL
#define KERNEL(name) extern "C" __global__ void name
#endif

// Every i of [0, n), spread over all threads of the grid.
#define FOR_EACH(i, n) \
    for (Int i = blockIdx.x * (Int)blockDim.x + threadIdx.x; i < (n); \
         i += (Int)gridDim.x * blockDim.x)

__device__ inline A number(T x) { return (A)x; }
__device__ inline T rounded(A x) { return (T)x; }

// ---- constants --------------------------------------------------------------------------

__device__ inline A infinity() { return (A)__longlong_as_double(0x7ff0000000000000LL); }
__device__ inline A not_a_number() { return (A)__longlong_as_double(0x7ff8000000000000LL); }

// ---- over a block -----------------------------------------------------------------------

// The sum of v over the block's threads, in a fixed order, for every thread; blockDim.x is a
// multiple of 32. All threads must get here, and may again.
template <class V> __device__ V block_sum(V v) {
    SHARED(V, partial, 32);
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
    for (int offset = 16; offset; offset >>= 1) v += __shfl_xor_sync(0xffffffffu, v, offset);
    __syncthreads();  // a call before may still be reading
    if (lane == 0) partial[warp] = v;
    __syncthreads();
    V total = partial[0];
    for (int w = 1; w < warps; w++) total += partial[w];
    return total;
}

// ---- indices ----------------------------------------------------------------------------

// Where element i of a C-contiguous array of a shape lies in one of other strides (in elements).
template <class Index>
__device__ Int strided(Index i, const Ints& shape, const Ints& strides, int axes) {
    Int place = 0;
    for (int a = axes - 1; a > 0; a--) {
        Index length = (Index)shape.at[a], rest = i / length;
        place += (Int)(i - rest * length) * strides.at[a];
        i = rest;
    }
    return axes ? place + (Int)i * strides.at[0] : place;
}
