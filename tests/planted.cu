// Kernels with a defect each, and one without, for tests/test_cuda_kernels.py; 64 threads.
#include "common.cuh"
KERNEL(one_too_far)(const T* x, T* y, Int n) { FOR_EACH(i, n) y[i] = x[i + 1]; }
KERNEL(one_too_far_in_shared)(const T* x, T* y, Int n) {
    DYNAMIC_SHARED(T, all);
    all[threadIdx.x + 1] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = all[threadIdx.x + 1];
}
KERNEL(overflow)(const T* x, T* y, Int n) {
    int large = 0x7fffffff;
    FOR_EACH(i, n) y[i] = (T)(large + (int)i);
}
KERNEL(shift)(const T* x, T* y, Int n) { FOR_EACH(i, n) y[i] = (T)(1 << (int)(i + 40)); }
KERNEL(no_barrier)(const T* x, T* y, Int n) {
    SHARED(T, all, 64);
    all[threadIdx.x] = x[threadIdx.x];
    y[threadIdx.x] = all[63 - threadIdx.x];
}
KERNEL(with_barrier)(const T* x, T* y, Int n) {
    SHARED(T, all, 64);
    all[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = all[63 - threadIdx.x];
}
