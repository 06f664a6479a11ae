// pycnn/welford.cuh: count, mean and variance of values that come in batches, in one pass.
//
// A running mean and sum of squared deviations (Welford 1962), merged pairwise (Chan, Golub,
// LeVeque 1979): no difference of large sums ever loses the variance. Means are kept relative to a
// pivot, one of the values themselves, so that a mean of 10000 with a deviation of 1 keeps all its
// digits too. The pivot is no further from the mean than sqrt(count) deviations, so what rounding
// takes away is small beside the deviation whatever the data.
//
// Where squares leave the range of acc_t, the values are gone through once more, times a power of
// two (`far_unit`), which changes nothing else.
//
// The order of the merges depends on the launch's shape alone: same bits every time.
#pragma once

constexpr unsigned FULL_MASK = 0xffffffffu;
constexpr int LANES = 32;

// What brings values whose squares overflow into range: half the exponents there are, and more for
// their number.
template <typename T>
__device__ __forceinline__ T far_unit();
template <>
__device__ __forceinline__ float far_unit<float>() { return 0x1p-90f; }
template <>
__device__ __forceinline__ double far_unit<double>() { return 0x1p-700; }

// Of no values: Moments().
struct alignas(16) Moments {
    static constexpr bool COMMUTES = false;  // which of two is merged into the other shows
    acc_t count, pivot;
    acc_t mean;     // of the values less the pivot
    acc_t squares;  // sum of (value - mean)^2

    // Those of N values, a power of two, whose bit is set in `there`, times `unit`.
    template <int N>
    __device__ __forceinline__ void add(const acc_t (&value)[N], unsigned there, acc_t unit) {
        if (there == (1u << N) - 1)
            add_of<N, true>(value, there, unit);
        else if (there != 0)
            add_of<N, false>(value, there, unit);
    }

    // Whether all are there is known at compile time: most batches are whole, and have no tests.
    template <int N, bool WHOLE>
    __device__ __forceinline__ void add_of(const acc_t (&value)[N], unsigned there, acc_t unit) {
        if (count == 0) {
#pragma unroll
            for (int k = N - 1; k >= 0; --k)
                if (WHOLE ? k == 0 : there >> k & 1) pivot = value[k] * unit;
        }
        const acc_t some = WHOLE ? acc_t(N) : acc_t(__popc(there));
        acc_t sum = 0, spread = 0;
#pragma unroll
        for (int k = 0; k < N; ++k)
            if (WHOLE || there >> k & 1) sum += value[k] * unit - pivot;
        const acc_t middle = WHOLE ? sum * (acc_t(1) / N) : sum / some;
#pragma unroll
        for (int k = 0; k < N; ++k) {
            const acc_t off = (value[k] * unit - pivot) - middle;
            if (WHOLE || there >> k & 1) spread += off * off;
        }
        include(some, middle - mean, spread);
    }

    // Values that are `apart` from the mean on average.
    __device__ __forceinline__ void include(acc_t some, acc_t apart, acc_t spread) {
        const acc_t total = count + some, share = some / total;
        mean += apart * share;
        squares += spread + apart * apart * (count * share);
        count = total;
    }

    // By value: all of it comes at once, where one number after the other met in four banks.
    __device__ __forceinline__ void merge(Moments other) {
        if (other.count == 0) return;
        if (count == 0)
            *this = other;
        else
            include(other.count, (other.pivot - pivot) + (other.mean - mean), other.squares);
    }

    __device__ __forceinline__ Moments of_lane(int distance) const {
        Moments other;
        other.count = __shfl_xor_sync(FULL_MASK, count, distance);
        other.pivot = __shfl_xor_sync(FULL_MASK, pivot, distance);
        other.mean = __shfl_xor_sync(FULL_MASK, mean, distance);
        other.squares = __shfl_xor_sync(FULL_MASK, squares, distance);
        return other;
    }

    // Whether nothing overflowed; of NaN and infinities never.
    __device__ __forceinline__ bool fits() const { return squares < limits<acc_t>::infinity(); }

    // 1 / sqrt(variance + eps), of all the values there are (no n - 1), which are `unit` times
    // those that eps belongs to. hypot, as the square of the second would be 0.
    __device__ __forceinline__ acc_t rstd(acc_t eps, acc_t unit = 1) const {
        if (unit == 1) return acc_t(1) / sqrt(squares / count + eps);
        return acc_t(1) / hypot(sqrt(squares / count), sqrt(eps) * unit);
    }
    // The mean as one number, and what rounding to one number took away.
    __device__ __forceinline__ acc_t whole_mean() const { return pivot + mean; }
    __device__ __forceinline__ acc_t rest_of_mean() const {
        const acc_t sum = pivot + mean, added = sum - pivot;
        return (pivot - (sum - added)) + (mean - added);
    }
};

// A part as it is of values times `unit`; those of a negative count are times far_unit already.
__device__ __forceinline__ Moments in_units(Moments part, acc_t unit) {
    const acc_t has = part.count < 0 ? far_unit<acc_t>() : acc_t(1);
    part.count = fabs(part.count);
    if (has != unit) {
        const acc_t factor = unit / has;
        part.pivot *= factor;
        part.mean *= factor;
        part.squares = part.squares * factor * factor;
    }
    return part;
}

// Two sums that are wanted together.
struct alignas(2 * sizeof(acc_t)) SumPair {
    static constexpr bool COMMUTES = true;
    acc_t first, second;

    __device__ __forceinline__ void merge(const SumPair& other) {
        first += other.first;
        second += other.second;
    }
    __device__ __forceinline__ SumPair of_lane(int distance) const {
        SumPair other;
        other.first = __shfl_xor_sync(FULL_MASK, first, distance);
        other.second = __shfl_xor_sync(FULL_MASK, second, distance);
        return other;
    }
};

// Over `size` neighbouring lanes, a power of two; all of them get the same bits.
template <typename State>
__device__ __forceinline__ State merge_lanes(State mine, int size = LANES) {
    for (int distance = 1; distance < size; distance *= 2) {
        State other = mine.of_lane(distance);
        if (!State::COMMUTES && (threadIdx.x & distance)) {  // the same order in both lanes
            const State own = mine;
            mine = other;
            other = own;
        }
        mine.merge(other);  // one merge for all: two would be gone through one behind the other
    }
    return mine;
}

// Over a block of whole warps along x, then y; all threads get the same bits. `shared`: a State
// for each warp.
template <typename State>
__device__ __forceinline__ State merge_block(State mine, State* shared) {
    const int thread = threadIdx.y * blockDim.x + threadIdx.x;
    const int warps = blockDim.x * blockDim.y / LANES;
    mine = merge_lanes(mine);
    if (warps == 1) return mine;
    if (thread % LANES == 0) shared[thread / LANES] = mine;
    __syncthreads();
    mine = thread % LANES < warps ? shared[thread % LANES] : State();
    __syncthreads();  // all have read before the next one writes
    return merge_lanes(mine);
}
