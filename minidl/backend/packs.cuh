// WIDTH elements at a time.
#pragma once
#include "common.cuh"

#ifndef WIDTH
#define WIDTH 4
#endif

typedef Pack<T, WIDTH> Packed;

// The elements from a place on; it is a multiple of WIDTH.
__device__ inline Packed packed(const T* x, Int place) {
    return *reinterpret_cast<const Packed*>(x + place);
}

__device__ inline void store(T* y, Int place, const Packed& values) {
    *reinterpret_cast<Packed*>(y + place) = values;
}
