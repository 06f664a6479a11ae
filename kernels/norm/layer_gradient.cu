// norm/layer_gradient.cu: gradients of layer norm of rows of whole vectors, which are read once.
//
// Computes   dx as layer.cu; dbias[j] = sum of dy, dweight[j] = sum of dy * z over all rows
// Layout     contiguous; rows of whole vectors of 16 bytes; weight contiguous
// Launch     layer_gradient_lanes  block (4 to 32 lanes of a row, rows)
//            layer_gradient_block  block (64 to 512 threads of a row, rows)
//            both up to 512 threads with two vectors of a row each, and a block a multiprocessor, up
//            to 144, that take rows in turns, as many at once as a block has
//            layer_gradient_merge  block (32, 16): 32 sums, of the blocks' parts
// Traffic    |dy| + |x| + |dx| bytes, 128 bits an access, and two numbers a column and block, written
//            and read; weight once a block. 23 flop an element
// Range      rows of up to 16 kB, any number of them. Moments are sums of differences from the first
//            element and of their squares; where it is more than four deviations from the mean, or
//            squares overflow, a row is summed up once more, centred or scaled. Where an address is
//            no multiple of 16 bytes, elements come and go one by one. Sums over rows are a thread's,
//            then the block's, then of all blocks, in an order that the shape and the number of
//            multiprocessors decide: deterministic
// Siblings   layer_vectors.cu for rows of up to 32 kB, layer.cu for any axes, strides and lengths;
//            both read dy and x once more for dweight and dbias (gradient.cu)
// Source     as layer.cu
//
// entry layer_gradient_lanes  dx, and a block's sums over rows, a few lanes a row
// entry layer_gradient_block  dx, and a block's sums over rows, many threads a row
// entry layer_gradient_merge  dweight and dbias
// variant SCALAR = floating
#include <pycnn/kernel.cuh>
#include <pycnn/row_parameters.cuh>
#include <pycnn/statistic.cuh>
#include <pycnn/welford.cuh>

constexpr int THREADS = 512;
constexpr int COUNT = 2;    // vectors of a thread, of each operand
constexpr int MERGED = 16;  // threads that share the parts of a sum
constexpr int PARTS = 9;    // of each of them
constexpr int WIDE = 16 / sizeof(acc_t);  // numbers of 16 bytes

struct LayerGradient {
    int rows, length, weight_wide;
    double eps;
};

struct MergeParams {
    int length, blocks, dweight_wide, dbias_wide;
};

// Over the elements of a row: differences from a pivot, their squares, weighted dy, and its product
// with the differences.
struct alignas(4 * sizeof(acc_t)) RowSums {
    acc_t off, squares, dy, product;
};

// Over `size` neighbouring lanes, a power of two from 4 on; all get the same bits. Each quarter adds
// up one of the four.
__device__ __forceinline__ RowSums reduced(const RowSums& mine, int size) {
    const int lane = static_cast<int>(threadIdx.x) & (size - 1);
    const bool upper = lane & size / 2, odd = lane & size / 4;
    const acc_t first = (upper ? mine.dy : mine.off) +
                        exchange(upper ? mine.off : mine.dy, size / 2);
    const acc_t second = (upper ? mine.product : mine.squares) +
                         exchange(upper ? mine.squares : mine.product, size / 2);
    acc_t own = (odd ? second : first) + exchange(odd ? first : second, size / 4);
#pragma unroll
    for (int distance = WARP / 8; distance > 0; distance /= 2)
        if (distance <= size / 8) own += exchange(own, distance);
    const auto of = [&](int quarter) {
        return __shfl_sync(FULL_MASK, own, quarter * (size / 4), size);
    };
    return {of(0), of(1), of(2), of(3)};
}

// The threads of a row: lanes of a warp, or several warps.
template <bool LANES_ONLY>
struct RowTeam {
    RowSums* partial;  // shared, one for each warp
    int thread_rank = threadIdx.x, size = blockDim.x;

    __device__ __forceinline__ explicit RowTeam(RowSums* shared) : partial(shared) {}

    __device__ __forceinline__ RowSums reduce(const RowSums& mine) const {
        if constexpr (LANES_ONLY) return reduced(mine, size);
        const int warps = size / WARP;
        RowSums all = reduced(mine, WARP);
        RowSums* const own = partial + threadIdx.y * warps;
        if (thread_rank % WARP == 0) own[thread_rank / WARP] = all;
        __syncthreads();  // sums of all warps are there
        all = own[0];
#pragma unroll 1
        for (int warp = 1; warp < warps; ++warp) {
            const RowSums other = own[warp];
            all.off += other.off;
            all.squares += other.squares;
            all.dy += other.dy;
            all.product += other.product;
        }
        return all;
    }

    // Of all teams that must stay together; then all have read what was reduced.
    __device__ __forceinline__ bool any(bool of_mine) const {
        if constexpr (LANES_ONLY) return __any_sync(FULL_MASK, of_mine);
        return __syncthreads_or(of_mine);
    }
};

// Nothing of the range of float16 overflows.
#if PYCNN_JOIN(PYCNN_IS_, SCALAR) == 1
constexpr bool MAY_OVERFLOW = false;
#else
constexpr bool MAY_OVERFLOW = true;
#endif

// Values times `unit` less `pivot`, and what their moments make of them.
struct RowScale {
    acc_t pivot, unit = 1, mean, squares;
    acc_t share;  // 1 / number of them

    __device__ __forceinline__ acc_t off(acc_t x) const { return x * unit - pivot; }

    // Takes the sums; true if they lose too much or overflow: once more with another pivot or unit.
    __device__ __forceinline__ bool again(const RowSums& all) {
        const acc_t endless = limits<acc_t>::infinity();
        mean = all.off * share;
        squares = all.squares - all.off * mean;
        const bool near = squares >= all.squares * acc_t(1.0 / 16);
        const bool fits = squares < endless;
        if (near && fits && fabs(all.product) < endless) return false;
        acc_t by = 1;
        if (!fits && unit == 1)
            by = far_unit<acc_t>();
        else if (fits && !near)
            pivot += mean;
        else if (fits && squares * share > 1)
            by = power_near(acc_t(1) / sqrt(squares * share));
        if (MAY_OVERFLOW) unit *= by;
        if (MAY_OVERFLOW) pivot *= by;
        return true;
    }
    __device__ __forceinline__ acc_t rstd(acc_t eps) const {
        const acc_t variance = squares > 0 ? squares * share : squares * 0;
        if (unit != 1) return acc_t(1) / hypot(sqrt(variance), sqrt(eps) * unit);
        if constexpr (sizeof(scalar_t) == 2)
            if (variance + eps > 0x1p-126f) return short_inverse_root(variance + eps);
        return acc_t(1) / sqrt(variance + eps);
    }
};

struct alignas(16) Wide {
    acc_t at[WIDE];
};

// Shared, for one thing after the other.
struct Room {
    union {
        Wide weights[COUNT][VEC_SIZE / WIDE][THREADS];  // of a thread: neighbours have neighbours
        Wide sums[2 * VEC_SIZE / WIDE][THREADS / 2];
    };
};

// Sums of a thread's columns, of all its rows.
struct ColumnSums {
    acc_t dy[COUNT][VEC_SIZE] = {}, product[COUNT][VEC_SIZE] = {};

    // Over the rows of the block, to those of the first.
    __device__ __forceinline__ void merge(Wide (*room)[THREADS / 2]) {
        const int y = threadIdx.y, at = y * blockDim.x + threadIdx.x;
        int half;
        for (int rows = blockDim.y; rows > 1; rows = half) {
            half = (rows + 1) / 2;
            const int other = at - half * static_cast<int>(blockDim.x);
#pragma unroll
            for (int k = 0; k < COUNT; ++k) {
                __syncthreads();  // nobody reads what was there before
                if (y >= half && y < rows)
#pragma unroll
                    for (int i = 0; i < VEC_SIZE; ++i) {
                        room[i / WIDE][other].at[i % WIDE] = dy[k][i];
                        room[(VEC_SIZE + i) / WIDE][other].at[i % WIDE] = product[k][i];
                    }
                __syncthreads();  // sums of the other half are there
                if (y < rows - half)
#pragma unroll
                    for (int i = 0; i < VEC_SIZE; ++i) {
                        dy[k][i] += room[i / WIDE][at].at[i % WIDE];
                        product[k][i] += room[(VEC_SIZE + i) / WIDE][at].at[i % WIDE];
                    }
            }
        }
    }
};

// Numbers to where 16 bytes begin.
__device__ __forceinline__ void put(acc_t* to, const acc_t (&value)[VEC_SIZE]) {
#pragma unroll
    for (int i = 0; i < VEC_SIZE; i += WIDE) {
        Wide wide;
#pragma unroll
        for (int j = 0; j < WIDE; ++j) wide.at[j] = value[i + j];
        *reinterpret_cast<Wide*>(to + i) = wide;
    }
}

// A vector of a row, asked for.
template <bool WHOLE>
__device__ __forceinline__ Vec asked(const scalar_t* from) {
    Vec vec;
    if constexpr (WHOLE) {
        const uint4 words = __ldg(reinterpret_cast<const uint4*>(from));  // no halves of registers
        memcpy(&vec, &words, sizeof(words));
    } else {
#pragma unroll
        for (int i = 0; i < VEC_SIZE; ++i) vec.at[i] = ldg(from + i);
    }
    return vec;
}

template <bool LANES_ONLY, bool WHOLE>
__device__ __forceinline__ void gradient(const scalar_t* __restrict__ dy,
                                         const scalar_t* __restrict__ x, const void* weight,
                                         scalar_t* __restrict__ dx, acc_t* __restrict__ parts,
                                         const LayerGradient& p, RowSums* partial, Room& room) {
    using Values = const acc_t (&)[VEC_SIZE];
    const RowTeam<LANES_ONLY> team(partial);
    const acc_t eps = static_cast<acc_t>(p.eps), share = acc_t(1) / p.length;
    const int own = threadIdx.x * VEC_SIZE, apart = blockDim.x * VEC_SIZE;
    const int first = blockIdx.x * blockDim.y, step = gridDim.x * blockDim.y;
    const int y = threadIdx.y;
    const auto place = [&](int row) { return static_cast<index_t>(row) * p.length + own; };
    Vec of_dy[COUNT], of_x[COUNT];
    const auto has = [&](int row, int k) { return row < p.rows && own + k * apart < p.length; };
    const auto ask = [&](int row, Vec(&its_dy)[COUNT], Vec(&its_x)[COUNT]) {
#pragma unroll
        for (int k = 0; k < COUNT; ++k)
            if (has(row, k)) {
                its_dy[k] = asked<WHOLE>(dy + place(row) + k * apart);
                its_x[k] = asked<WHOLE>(x + place(row) + k * apart);
            }
    };
    ask(first + y, of_dy, of_x);
    const Parameters<WHOLE> weights = {weight, p.weight_wide, 1};
#pragma unroll
    for (int k = 0; k < COUNT; ++k)
        if (y == 0 && own + k * apart < p.length) {
            acc_t value[VEC_SIZE];
            weights.load(own + k * apart, value);
#pragma unroll
            for (int i = 0; i < VEC_SIZE; ++i)
                room.weights[k][i / WIDE][threadIdx.x].at[i % WIDE] = value[i];
        }
    __syncthreads();  // weights are there
    ColumnSums sums;
    for (int begin = first; begin < p.rows; begin += step) {  // the same for all of a block
        RowScale scale;
        scale.pivot = begin + y < p.rows ? to_acc(ldg(x + place(begin + y) - own)) : acc_t(0);
        scale.share = share;
        Vec next_dy[COUNT], next_x[COUNT];
        ask(begin + y + step, next_dy, next_x);  // while this row is worked on
        // body(k, dy, weighted dy, differences from the pivot)
        const auto each = [&](auto body) {
#pragma unroll
            for (int k = 0; k < COUNT; ++k) {
                if (!has(begin + y, k)) continue;
                acc_t of[VEC_SIZE], g[VEC_SIZE], off[VEC_SIZE];
                const Vec its_dy = hidden(of_dy[k]), its_x = hidden(of_x[k]);
                unpack(its_dy.at, of);
                unpack(its_x.at, off);
#pragma unroll
                for (int i = 0; i < VEC_SIZE; ++i) {
                    g[i] = of[i] * room.weights[k][i / WIDE][threadIdx.x].at[i % WIDE];
                    off[i] = scale.off(off[i]);
                }
                body(k, of, g, off);
            }
        };
        RowSums all;
#pragma unroll 1
        for (int pass = 0; true; ++pass) {
            RowSums mine = {};
            each([&](int, Values, Values g, Values off) {
#pragma unroll
                for (int i = 0; i < VEC_SIZE; ++i) {
                    mine.off += off[i];
                    mine.squares += off[i] * off[i];
                    mine.dy += g[i];
                    mine.product += g[i] * off[i];
                }
            });
            all = team.reduce(mine);
            const bool again = scale.again(all) && pass < 3;
            if (!team.any(again)) break;
        }
        const acc_t rstd = scale.rstd(eps), lag = scale.mean * rstd;
        const acc_t by = rstd * scale.unit, shift = by * (all.dy * share);
        const acc_t tilt = by * ((all.product - scale.mean * all.dy) * rstd * share);
        each([&](int k, Values of, Values g, Values off) {
            Vec vec;
#pragma unroll
            for (int i = 0; i < VEC_SIZE; ++i) {
                const acc_t z = off[i] * rstd - lag;
                sums.dy[k][i] += of[i];
                sums.product[k][i] += of[i] * z;
                vec.at[i] = from_acc(g[i] * by - (z * tilt + shift));
            }
            scalar_t* const to = dx + place(begin + y) + k * apart;
            if constexpr (WHOLE)
                *reinterpret_cast<Vec*>(to) = vec;
            else
#pragma unroll
                for (int i = 0; i < VEC_SIZE; ++i) to[i] = vec.at[i];
        });
#pragma unroll
        for (int k = 0; k < COUNT; ++k) {
            of_dy[k] = next_dy[k];
            of_x[k] = next_x[k];
        }
    }
    sums.merge(room.sums);
    if (y > 0) return;
    parts += blockIdx.x * (2 * static_cast<index_t>(p.length)) + own;
#pragma unroll
    for (int k = 0; k < COUNT; ++k) {
        if (own + k * apart >= p.length) continue;
        put(parts + k * apart, sums.dy[k]);
        put(parts + p.length + k * apart, sums.product[k]);
    }
}

#define OPERANDS                                                                            \
    const scalar_t *__restrict__ dy, const scalar_t *__restrict__ x, const void *weight,    \
        scalar_t *__restrict__ dx, acc_t *__restrict__ parts, LayerGradient p

// Shared memory stands before the question about alignment: else both answers would have their own.
#define GRADIENT(LANES_ONLY)                                                                \
    __shared__ RowSums partial[LANES_ONLY ? 1 : THREADS / WARP];                            \
    __shared__ Room room;                                                                   \
    by_alignment([&](auto whole) {                                                          \
        gradient<LANES_ONLY, whole.value>(dy, x, weight, dx, parts, p, partial, room);      \
    }, dy, x, dx, weight);

extern "C" __global__ void __launch_bounds__(THREADS, 1) layer_gradient_lanes(OPERANDS) {
    GRADIENT(true)
}

extern "C" __global__ void __launch_bounds__(THREADS, 1) layer_gradient_block(OPERANDS) {
    GRADIENT(false)
}

extern "C" __global__ void __launch_bounds__(WARP * MERGED, 1)
layer_gradient_merge(const acc_t* __restrict__ parts, void* dweight, void* dbias, MergeParams p) {
    __shared__ acc_t shared[MERGED][WARP];
    const int column = blockIdx.x * WARP + threadIdx.x, all = 2 * p.length;
    acc_t part[PARTS], sum = 0;
#pragma unroll
    for (int i = 0; i < PARTS; ++i) {
        const int block = threadIdx.y + i * MERGED;
        const bool there = column < all && block < p.blocks;
        part[i] = there ? ldg(parts + static_cast<index_t>(block) * all + column) : acc_t(0);
    }
#pragma unroll
    for (int i = 0; i < PARTS; ++i) sum += part[i];
    shared[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();  // so much of each sum is there
    if (threadIdx.y > 0 || column >= all) return;
    sum = 0;
#pragma unroll
    for (int y = 0; y < MERGED; ++y) sum += shared[y][threadIdx.x];
    if (column < p.length)
        store_parameter(dbias, column, p.dbias_wide, sum);
    else
        store_parameter(dweight, column - p.length, p.dweight_wide, sum);
}
