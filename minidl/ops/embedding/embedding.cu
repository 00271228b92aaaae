// Rows of a table that integers choose, their gradient, and integers as rows.
//
// The gradient adds up rows of gy that have the same id. Their places are sorted by id first, each
// block for a range of the table's rows; then groups of threads add up pieces of the sorted list,
// all of one length whatever the ids; at last the pieces of ids that reach over several are joined.
//
// Definitions: IDS, type of the ids; WIDTH, elements that a thread takes at once; INDEX, unsigned
// where it can count all of them.
#include "common.cuh"

#ifndef IDS
#define IDS long long
#define WIDTH 4
#define INDEX unsigned
#endif

typedef Pack<T, WIDTH> Unit;
typedef Pack<A, WIDTH> Sums;

// ---- embedding, one_hot -----------------------------------------------------------------

// a thread a unit of y | reads ids (n) and table (rows, width units), writes y (n, width) |
// addresses are multiples of a unit; rows of ids outside [0, rows) are 0
KERNEL(embedding)(const IDS* ids, const Unit* table, Unit* y, Int n, Int rows, Int width) {
    FOR_EACH(i, n * width) {
        Int at = (INDEX)i / (INDEX)width, id = (Int)ids[at];
        Unit v;
        if (id >= 0 && id < rows) {
            v = table[id * width + (i - at * width)];
        } else {
            for (int k = 0; k < WIDTH; k++) v.at[k] = rounded(A(0));
        }
        y[i] = v;
    }
}

// a thread a unit of y | reads ids (n), writes y (n, width units) | addresses are multiples of a
// unit
KERNEL(one_hot)(const IDS* ids, Unit* y, Int n, Int width) {
    FOR_EACH(i, n * width) {
        Int at = (INDEX)i / (INDEX)width, gap = (Int)ids[at] - (i - at * width) * WIDTH;
        Unit v;
        for (int k = 0; k < WIDTH; k++) v.at[k] = rounded(A(gap == k));
        y[i] = v;
    }
}

// ---- gradient: sorting ------------------------------------------------------------------

struct Entry { Int row, place; };  // of the table, of gy

const int SORTERS = 1024, WARPS = SORTERS / 32, AT_ONCE = 4;

// Call work(id - first, place, lanes with the same id) for every id of this warp's part of ids that
// lies in [first, first + own); lanes stay together. Returns how many of this lane's are in [0,
// first).
template <class Work>
__device__ inline Int scan(const IDS* ids, Int n, Int first, int own, Work work) {
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    Int length = (n + SORTERS - 1) / SORTERS * 32, below = 0;
    Int end = min(n, (warp + 1) * length);
    for (Int begin = warp * length; begin < end; begin += 32 * AT_ONCE) {
        Int id[AT_ONCE];
        for (int k = 0; k < AT_ONCE; k++) {
            Int i = begin + 32 * k + lane;
            id[k] = i < end ? (Int)ids[i] : -1;
        }
        for (int k = 0; k < AT_ONCE; k++) {
            bool inside = id[k] >= first && id[k] < first + own;
            below += id[k] >= 0 && id[k] < first;
            if (!__ballot_sync(0xffffffffu, inside)) continue;
            int row = inside ? (int)(id[k] - first) : -1;
            unsigned same = __match_any_sync(0xffffffffu, row);
            work(row, begin + 32 * k + lane, same, lane);
        }
    }
    return below;
}

// The sum of v over the threads before this one, of SORTERS.
__device__ inline unsigned sum_before(unsigned v) {
    SHARED(unsigned, sums, SORTERS);
    int t = threadIdx.x;
    unsigned total = v;
    for (int step = 1; step < SORTERS; step *= 2) {
        sums[t] = total;
        __syncthreads();
        if (t >= step) total += sums[t - step];
        __syncthreads();
    }
    return total - v;
}

// a block `own` rows of the table | reads ids (n); writes entries (n) sorted by row and place,
// starts (rows + 1), where the entries of each row begin, and 0 into rows of y (rows, width) that
// have none | 1024 threads, own at most 320, own counters for each warp in shared memory
KERNEL(sort)(const IDS* ids, Entry* entries, Int* starts, T* y, Int n, Int rows, Int own_rows,
             Int width) {
    DYNAMIC_SHARED(unsigned, counts);
    Int first = (Int)blockIdx.x * own_rows;
    int own = (int)min(own_rows, rows - first), t = threadIdx.x;
    unsigned* mine = counts + (t >> 5) * own;
    for (int i = t; i < WARPS * own; i += SORTERS) counts[i] = 0;
    __syncthreads();
    Int below = scan(ids, n, first, own, [&](int row, Int, unsigned same, int lane) {
        if (row >= 0 && lane == __ffs(same) - 1) mine[row] += __popc(same);
        __syncwarp();
    });
    Int base = block_sum(below);
    unsigned total = 0;
    if (t < own)
        for (int w = 0; w < WARPS; w++) total += counts[w * own + t];
    unsigned at = sum_before(total);
    if (t < own) {
        starts[first + t] = base + at;
        if (first + t == rows - 1) starts[rows] = base + at + total;
        for (int w = 0; w < WARPS; w++) {
            unsigned count = counts[w * own + t];
            counts[w * own + t] = at;
            at += count;
        }
    }
    __syncthreads();
    scan(ids, n, first, own, [&](int row, Int place, unsigned same, int lane) {
        unsigned at = row < 0 ? 0 : mine[row] + __popc(same & ((1u << lane) - 1));
        __syncwarp();
        if (row >= 0) {
            Entry entry = {first + row, place};
            entries[base + at] = entry;
            if (lane == __ffs(same) - 1) mine[row] += __popc(same);
        }
        __syncwarp();
    });
    __syncthreads();
    // the last warp's counter of a row stands where the next row begins
    for (Int i = t; i < own * width; i += SORTERS) {
        int row = (int)(i / width);
        unsigned end = counts[(WARPS - 1) * own + row];
        unsigned begin = row ? counts[(WARPS - 1) * own + row - 1] : 0;
        if (begin == end) y[first * width + i] = rounded(A(0));
    }
}

// ---- gradient: sums ---------------------------------------------------------------------

const int ADDERS = 128, BATCH = 8;

// lanes of a group: units of a row; groups of a block: pieces of `length` entries; blocks in y:
// units beyond the lanes | reads gy (n, width units), entries, starts; writes rows of y whose
// entries are all in one piece, and of others into partial (pieces, 2, width): [0] what began in a
// piece before, [1] what goes on in the next | 128 threads, lanes a power of 2, at most 128
KERNEL(pieces)(const Unit* gy, const Entry* entries, const Int* starts, Unit* y,
               Sums* partial, Int rows, Int width, Int length, Int lanes) {
    int lane = threadIdx.x % (int)lanes;
    Int piece = (Int)blockIdx.x * (ADDERS / lanes) + threadIdx.x / (int)lanes;
    Int column = blockIdx.y * lanes + lane, first = piece * length;
    Int last = min(starts[rows], first + length);
    if (column >= width || first >= last) return;
    A sum[WIDTH];
    for (int k = 0; k < WIDTH; k++) sum[k] = 0;
    for (Int begin = first; begin < last; begin += BATCH) {
        Entry entry[BATCH + 1];
        Unit v[BATCH];
        for (int b = 0; b <= BATCH; b++) {
            entry[b].row = -1;
            if (begin + b < last) entry[b] = entries[begin + b];
        }
        for (int b = 0; b < BATCH; b++)
            if (begin + b < last) v[b] = gy[entry[b].place * width + column];
        for (int b = 0; b < BATCH && begin + b < last; b++) {
            for (int k = 0; k < WIDTH; k++) sum[k] += number(v[b].at[k]);
            Int row = entry[b].row;
            if (row == entry[b + 1].row) continue;
            bool begins = starts[row] >= first, ends = starts[row + 1] <= last;
            for (int k = 0; k < WIDTH; k++) {
                if (begins && ends) y[row * width + column].at[k] = rounded(sum[k]);
                else partial[(piece * 2 + begins) * width + column].at[k] = sum[k];
                sum[k] = 0;
            }
        }
    }
}

const int JOINERS = 256;

// blocks in x: ends of pieces, in y: units beyond the lanes; lanes of a block: units | reads
// partial (pieces, 2, width), entries, starts; writes rows of y (rows, width) that reach over this
// end and none before it | 256 threads, lanes a power of 2, at most 128
KERNEL(joints)(const Sums* partial, const Entry* entries, const Int* starts, Unit* y,
               Int rows, Int width, Int length, Int lanes) {
    SHARED(double, sums, JOINERS * WIDTH);
    Int piece = blockIdx.x, end = (piece + 1) * length;
    if (end >= starts[rows]) return;
    Int row = entries[end].row;
    if (entries[end - 1].row != row || starts[row] < piece * length) return;
    Int more = (starts[row + 1] - 1) / length - piece;  // pieces after this one
    int lane = threadIdx.x % (int)lanes, own = threadIdx.x / (int)lanes, t = threadIdx.x;
    int groups = JOINERS / (int)lanes;
    Int column = blockIdx.y * lanes + lane;
    double sum[WIDTH];
    for (int k = 0; k < WIDTH; k++) sum[k] = 0;
    if (column < width) {
#pragma unroll 4
        for (Int j = own; j <= more; j += groups) {
            Sums v = partial[((piece + j) * 2 + (j == 0)) * width + column];
            for (int k = 0; k < WIDTH; k++) sum[k] += (double)v.at[k];
        }
    }
    for (int k = 0; k < WIDTH; k++) sums[k * JOINERS + t] = sum[k];
    __syncthreads();
    if (own || column >= width) return;
    for (int k = 0; k < WIDTH; k++) {
        for (int g = 1; g < groups; g++) sum[k] += sums[k * JOINERS + g * lanes + lane];
        y[row * width + column].at[k] = rounded((A)sum[k]);
    }
}
