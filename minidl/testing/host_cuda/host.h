// CUDA's language on the CPU: enough of it to run minidl's kernels with a C++ compiler.
//
// The blocks of a grid run one after the other. The threads of a block are fibers (ucontext): each
// runs until a barrier of the block or of its warp (a shuffle is two of these) and waits there for
// the others. The order of their turns is chosen from outside, so that a missing barrier shows as
// another result. Shared memory is filled with rubbish before every block.
//
// With ENGINE this compiles to what runs the grid; it is compiled once, and every library of kernels
// is linked with it.
#pragma once

#include <algorithm>
#include <cfloat>
#include <climits>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define SWITCH_BEGIN(save, bottom, size) __sanitizer_start_switch_fiber(save, bottom, size)
#define SWITCH_END(save, bottom, size) __sanitizer_finish_switch_fiber(save, bottom, size)
#else
#define SWITCH_BEGIN(save, bottom, size) (void)(save)
#define SWITCH_END(save, bottom, size) (void)(save)
#endif

#define KERNEL(name) static void name  // static: libc has functions of such names
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__
#define __grid_constant__

struct dim3 { unsigned x = 1, y = 1, z = 1; };
struct float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct double2 { double x, y; };
struct uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

// ---- half types -------------------------------------------------------------------------

typedef _Float16 __half;

struct __nv_bfloat16 {  // the upper half of a float32, rounded to nearest even
    uint16_t bits;
    __nv_bfloat16() = default;
    template <class V> explicit __nv_bfloat16(V value) {
        float f = (float)value;
        uint32_t u;
        memcpy(&u, &f, 4);
        bits = std::isnan(f) ? 0x7fff : (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
    }
    operator float() const {
        uint32_t u = (uint32_t)bits << 16;
        float f;
        memcpy(&f, &u, 4);
        return f;
    }
};

// ---- fibers -----------------------------------------------------------------------------

enum State { READY, AT_WARP, AT_BLOCK, DONE };  // of a thread: may run, waits, has returned

struct LateCopy { void* to; const void* from; int bytes, taken; };

struct Fiber {
    std::vector<LateCopy> copies;    // asynchronous copies that have not been waited for
    std::vector<size_t> groups;  // how many there were when each group was closed
    ucontext_t context;
    char* stack = nullptr;
    State state = READY;
    void* sanitizer = nullptr;
};

struct Host {
    dim3 grid, block, at;       // at: the present block
    unsigned thread = 0;        // the present thread
    std::vector<Fiber> fibers;
    ucontext_t scheduler;
    void* sanitizer = nullptr;
    const void* bottom = nullptr;
    size_t size = 0;
    void (*body)(void**) = nullptr;
    void** arguments = nullptr;  // of the body
    unsigned char* dynamic = nullptr;  // an allocation of its own, so that its end is watched
    size_t dynamic_size = 0;
    std::vector<std::pair<void*, size_t>> shared;  // static shared arrays seen so far
    uint64_t exchange[1024][2];  // values of a shuffle
    unsigned order = 0;          // how the threads are ordered
};
extern Host host;
const size_t STACK = 128 << 10;

struct Coordinates {
    unsigned x, y, z;
};
#define threadIdx (Coordinates{host.thread, 0, 0})
#define blockIdx (Coordinates{host.at.x, host.at.y, host.at.z})
#define blockDim (host.block)
#define gridDim (host.grid)
const int warpSize = 32;

void wait_at(State barrier);
bool remember(void* memory, size_t size);
void run_grid(const unsigned* dims, size_t dynamic, void (*body)(void**), void** arguments);

#ifdef ENGINE
Host host;

void wait_at(State barrier) {
    Fiber& fiber = host.fibers[host.thread];
    fiber.state = barrier;
    SWITCH_BEGIN(&fiber.sanitizer, host.bottom, host.size);
    swapcontext(&fiber.context, &host.scheduler);
    SWITCH_END(fiber.sanitizer, &host.bottom, &host.size);
}

inline void fiber_main() {
    SWITCH_END(nullptr, &host.bottom, &host.size);
    host.body(host.arguments);
    Fiber& fiber = host.fibers[host.thread];
    fiber.state = DONE;
    SWITCH_BEGIN(nullptr, host.bottom, host.size);
    swapcontext(&fiber.context, &host.scheduler);
}

inline void poison(void* memory, size_t size) { memset(memory, 0xcd, size); }

inline void begin_block() {
    unsigned count = host.block.x;
    if (host.fibers.size() < count) host.fibers.resize(count);
    for (auto& [memory, size] : host.shared) poison(memory, size);
    if (host.dynamic) poison(host.dynamic, host.dynamic_size);
    for (unsigned i = 0; i < count; i++) {
        Fiber& fiber = host.fibers[i];
        if (!fiber.stack) fiber.stack = (char*)malloc(STACK);
        fiber.state = READY;
        fiber.copies.clear();
        fiber.groups.clear();
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack;
        fiber.context.uc_stack.ss_size = STACK;
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, fiber_main, 0);
    }
}

// Let the threads [first, last) run on if all of them that have not returned wait at a barrier.
inline bool release(unsigned first, unsigned last, State barrier) {
    bool any = false;
    for (unsigned i = first; i < last; i++) {
        if (host.fibers[i].state != barrier && host.fibers[i].state != DONE) return false;
        any = any || host.fibers[i].state == barrier;
    }
    for (unsigned i = first; i < last; i++)
        if (host.fibers[i].state == barrier) host.fibers[i].state = READY;
    return any;
}

inline void run_block() {
    begin_block();
    unsigned count = host.block.x;
    for (unsigned round = 0;; round++) {
        for (unsigned i = 0; i < count; i++) {
            unsigned turn = (host.order + round) % 3;  // forwards, backwards, from the middle
            host.thread = turn == 0 ? i : turn == 1 ? count - 1 - i : (i + count / 2) % count;
            Fiber& fiber = host.fibers[host.thread];
            if (fiber.state != READY) continue;
            SWITCH_BEGIN(&host.sanitizer, fiber.stack, STACK);
            swapcontext(&host.scheduler, &fiber.context);
            SWITCH_END(host.sanitizer, nullptr, nullptr);
        }
        bool released = release(0, count, AT_BLOCK);
        for (unsigned first = 0; first < count; first += 32)
            if (release(first, std::min(first + 32, count), AT_WARP)) released = true;
        if (released) continue;
        for (unsigned i = 0; i < count; i++)
            if (host.fibers[i].state != DONE) {
                fprintf(stderr, "threads of a block wait at different barriers\n");
                abort();
            }
        return;
    }
}

// dims: the grid's three, threads, and the order of their turns.
void run_grid(const unsigned* dims, size_t dynamic, void (*body)(void**), void** arguments) {
    host.grid = {dims[0], dims[1], dims[2]};
    host.block = {dims[3], 1, 1};
    host.order = dims[4];
    host.dynamic = dynamic ? (unsigned char*)malloc(dynamic) : nullptr;
    host.dynamic_size = dynamic;
    host.body = body, host.arguments = arguments;
    for (unsigned z = 0; z < dims[2]; z++)
        for (unsigned y = 0; y < dims[1]; y++)
            for (unsigned x = 0; x < dims[0]; x++) {
                host.at = {x, y, z};
                run_block();
            }
    free(host.dynamic);
}

bool remember(void* memory, size_t size) {
    host.shared.emplace_back(memory, size);
    poison(memory, size);
    return true;
}
#endif

// ---- barriers, shared memory, shuffles --------------------------------------------------

inline void __syncthreads() { wait_at(AT_BLOCK); }
inline void __syncwarp(unsigned = 0xffffffffu) { wait_at(AT_WARP); }
inline void __threadfence() {}
inline void __threadfence_block() {}

#define SHARED(type, name, count) \
    alignas(16) static unsigned char name##_bytes[sizeof(type) * (count)]; \
    static bool name##_known = remember(name##_bytes, sizeof(name##_bytes)); (void)name##_known; \
    type* name = reinterpret_cast<type*>(name##_bytes)
#define DYNAMIC_SHARED(type, name) \
    type* name = reinterpret_cast<type*>(host.dynamic)

// Every lane of the warp puts its value down, all meet, and each takes another's.
template <class V> V taken_from(V value, unsigned lane) {
    static_assert(sizeof(V) <= 16, "values of at most 16 bytes");
    unsigned self = host.thread, base = self & ~31u;
    memcpy(host.exchange[self], &value, sizeof(V));
    wait_at(AT_WARP);
    V other = value;
    if (base + lane < host.block.x) memcpy(&other, host.exchange[base + lane], sizeof(V));
    wait_at(AT_WARP);
    return other;
}
template <class V> V __shfl_sync(unsigned, V v, int lane, int = 32) {
    return taken_from(v, lane & 31);
}
template <class V> V __shfl_xor_sync(unsigned, V v, int mask, int = 32) {
    return taken_from(v, (host.thread & 31) ^ mask);
}
template <class V> V __shfl_down_sync(unsigned, V v, unsigned delta, int = 32) {
    unsigned lane = host.thread & 31;
    return taken_from(v, lane + delta < 32 ? lane + delta : lane);
}
template <class V> V __shfl_up_sync(unsigned, V v, unsigned delta, int = 32) {
    unsigned lane = host.thread & 31;
    return taken_from(v, lane >= delta ? lane - delta : lane);
}
inline unsigned __ballot_sync(unsigned, bool vote) {
    unsigned all = 0, base = host.thread & ~31u;
    host.exchange[host.thread][0] = vote;
    wait_at(AT_WARP);
    for (unsigned i = 0; i < 32 && base + i < host.block.x; i++)
        all |= (unsigned)(host.exchange[base + i][0] & 1) << i;
    wait_at(AT_WARP);
    return all;
}
template <class V> unsigned __match_any_sync(unsigned, V value) {
    unsigned same = 0;
    for (int lane = 0; lane < 32; lane++) {
        V other = taken_from(value, lane);
        bool there = (host.thread & ~31u) + lane < host.block.x;
        same |= (unsigned)(there && other == value) << lane;
    }
    return same;
}

// ---- asynchronous copies (cp.async) -------------------------------------------------------

// Nothing arrives before the thread waits for it; until then its place holds NaN. The first `taken`
// bytes are copied, the others are 0.
inline void queue_copy(void* to, const void* from, int bytes, int taken) {
    memset(to, 0xff, bytes);
    host.fibers[host.thread].copies.push_back({to, from, bytes, taken});
}
inline void close_copies() {
    Fiber& fiber = host.fibers[host.thread];
    fiber.groups.push_back(fiber.copies.size());
}
// Waits for all groups but the last `left`.
inline void finish_copies(size_t left) {
    Fiber& fiber = host.fibers[host.thread];
    if (fiber.groups.size() <= left) return;
    size_t groups = fiber.groups.size() - left, count = fiber.groups[groups - 1];
    for (size_t i = 0; i < count; i++) {
        const LateCopy& copy = fiber.copies[i];
        memcpy(copy.to, copy.from, copy.taken);
        memset((char*)copy.to + copy.taken, 0, copy.bytes - copy.taken);
    }
    fiber.copies.erase(fiber.copies.begin(), fiber.copies.begin() + count);
    fiber.groups.erase(fiber.groups.begin(), fiber.groups.begin() + groups);
    for (size_t& group : fiber.groups) group -= count;
}

// ---- registers of a warp (mma, ldmatrix) ---------------------------------------------------

// Every lane puts its registers down, all meet, and each may read those of all lanes until it
// calls this again. Two places are used in turns: no lane is more than one call ahead.
inline const unsigned (*registers_of_warp(const unsigned (&own)[6]))[6] {
    static unsigned places[2][1024][6];
    static unsigned turns[1024];
    unsigned self = host.thread, turn = turns[self]++ & 1;
    memcpy(places[turn][self], own, sizeof own);
    turns[self] &= 1;
    wait_at(AT_WARP);
    return places[turn] + (self & ~31u);
}
inline void pointers_of_warp(const void* own, const unsigned char* (&all)[32]) {
    unsigned words[6] = {};
    memcpy(words, &own, sizeof own);
    const unsigned (*lanes)[6] = registers_of_warp(words);
    for (int i = 0; i < 32; i++) memcpy(&all[i], lanes[i], sizeof own);
}

// ---- arithmetic -------------------------------------------------------------------------

inline double __longlong_as_double(long long bits) {
    double value;
    memcpy(&value, &bits, 8);
    return value;
}
inline float __int_as_float(int bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}
inline int __float_as_int(float value) {
    int bits;
    memcpy(&bits, &value, 4);
    return bits;
}
inline unsigned __float_as_uint(float value) { return (unsigned)__float_as_int(value); }
inline float __uint_as_float(unsigned bits) { return __int_as_float((int)bits); }
inline unsigned __umulhi(unsigned a, unsigned b) {
    return (unsigned)((uint64_t)a * b >> 32);
}
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline float __fdividef(float a, float b) { return a / b; }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
template <class V> V __ldg(const V* place) { return *place; }
using std::isinf;
using std::isfinite;
using std::isnan;
using std::max;
using std::min;
