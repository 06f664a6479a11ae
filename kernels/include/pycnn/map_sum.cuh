// pycnn/map_sum.cuh: in one pass over several operands of the same shape, a result for each element
// and sums over some of the axes: what the gradient of broadcasting is made of.
//
// A kernel file gives the function and two entries; see activation/prelu.cu. The function returns
// a Pair: the element's own result, which is stored if it is asked for, and its term of the sum.
//
//   elementwise_sum_rows      where memory runs along summed axes: a warp a sum
//   elementwise_sum_columns   where memory runs along kept axes: a lane a sum
//
// Few sums are cut into parts, so that there is work for every multiprocessor; elementwise/
// partial_sums.cu adds them. The order depends on the shapes alone: deterministic. The plan is in
// pycnn/plan/_map_sum.py.
#pragma once

#include <pycnn/map.cuh>
#include <pycnn/reduce.cuh>

constexpr int SUM_WARPS = 8;
constexpr int SUM_THREADS = WARP * SUM_WARPS;  // block (WARP, SUM_WARPS)

// Offsets of an element are those along the kept axes plus
// those along the summed ones; the last of VIEWS is that of the mapped result.
template <int VIEWS>
struct SumViews {
    Strided<VIEWS> kept, summed;
    index_t sums, terms;        // sums to be made, and terms of each
    index_t parts, part_terms;  // parts of a sum, and terms of a part
    index_t fixed;              // bit o: operand o is the same in all terms, and is read once
};

// Where sums go: rounded, or parts in the type they were computed in.
struct SumResult {
    scalar_t* total;
    acc_t* partial;  // null unless there are several parts; the parts of a sum are neighbours

    template <int VIEWS>
    __device__ __forceinline__ void store(const SumViews<VIEWS>& v, index_t sum, index_t part,
                                          acc_t value) const {
        if (partial)
            partial[sum * v.parts + part] = value;
        else
            total[sum] = from_acc(value);
    }
};

// The terms first, first + step, ... of one part of the sum whose elements lie from `base` on.
template <typename Function, int VIEWS, typename... Operands>
__device__ __forceinline__ acc_t add_terms(Function function, const SumViews<VIEWS>& v,
                                           const index_t (&base)[VIEWS], index_t part, int first,
                                           int step, scalar_t* mapped, Operands... operands) {
    static_assert(VIEWS == sizeof...(operands) + 1, "a view for every operand and the result");
    int next = 0;
    const auto fetch_fixed = [&](const scalar_t* operand) {
        const int o = next++;
        return v.fixed >> o & 1 ? to_acc(operand[base[o]]) : acc_t(0);
    };
    const acc_t fixed[] = {fetch_fixed(operands)...};
    const index_t begin = part * v.part_terms;
    const index_t end = begin + v.part_terms < v.terms ? begin + v.part_terms : v.terms;
    acc_t sum = 0;
    for (index_t term = begin + first; term < end; term += step) {
        index_t at[VIEWS];
        v.summed.locate(term, at);
        next = 0;
        const auto load_operand = [&](const scalar_t* operand) {
            const int o = next++;
            return v.fixed >> o & 1 ? fixed[o] : to_acc(operand[base[o] + at[o]]);
        };
        const acc_t values[] = {load_operand(operands)...};
        const Pair both = apply(function, values);
        if (mapped) mapped[base[VIEWS - 1] + at[VIEWS - 1]] = from_acc(both.first);
        sum += both.second;
    }
    return sum;
}

// Grid: a warp for every part.
template <typename Function, int VIEWS, typename... Operands>
__device__ __forceinline__ void elementwise_sum_rows(Function function, const SumViews<VIEWS>& v,
                                                     SumResult result, scalar_t* mapped,
                                                     Operands... operands) {
    const index_t warp = static_cast<index_t>(blockIdx.x) * SUM_WARPS + threadIdx.y;
    const index_t sum = warp / v.parts, part = warp - sum * v.parts;
    if (sum >= v.sums) return;
    index_t base[VIEWS];
    v.kept.locate(sum, base);
    const int lane = threadIdx.x;
    const acc_t mine = add_terms(function, v, base, part, lane, WARP, mapped, operands...);
    const acc_t all = lane_reduce(mine, Sum(), WARP);
    if (lane == 0) result.store(v, sum, part, all);
}

// Grid: a block for every WARP sums in x, their parts in y.
template <typename Function, int VIEWS, typename... Operands>
__device__ __forceinline__ void elementwise_sum_columns(Function function, const SumViews<VIEWS>& v,
                                                        SumResult result, scalar_t* mapped,
                                                        Operands... operands) {
    __shared__ acc_t partial[SUM_WARPS][WARP];
    const index_t sum = static_cast<index_t>(blockIdx.x) * WARP + threadIdx.x;
    const int row = threadIdx.y;
    acc_t mine = 0;
    if (sum < v.sums) {
        index_t base[VIEWS];
        v.kept.locate(sum, base);
        mine = add_terms(function, v, base, blockIdx.y, row, SUM_WARPS, mapped, operands...);
    }
    partial[row][threadIdx.x] = mine;
    __syncthreads();
    if (row > 0 || sum >= v.sums) return;
    for (int other = 1; other < SUM_WARPS; ++other) mine += partial[other][threadIdx.x];
    result.store(v, sum, blockIdx.y, mine);
}
