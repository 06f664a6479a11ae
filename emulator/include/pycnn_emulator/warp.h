// Warp shuffles, votes and reductions: each lane hands in a pointer, the last one to arrive
// computes for all.
#pragma once

namespace pycnn_emu {

constexpr int kLanes = 32;

inline int lane() { return static_cast<int>(pycnn_emu_self->thread % kLanes); }

// Runs `combine(mask, lanes)` once over the `Data` of every lane of `mask`.
template <typename Data, typename Combine>
inline void collective(unsigned mask, Data& data, Combine, Site site) {
    pycnn_emu_collective(
        mask, &data,
        [](unsigned arrived, void* const* lanes) {
            Data* all[kLanes];
            for (int i = 0; i < kLanes; ++i)
                all[i] = arrived >> i & 1 ? static_cast<Data*>(lanes[i]) : nullptr;
            Combine()(arrived, all);
        },
        site);
}

template <typename T>
struct Shuffle {
    T value, result;
    int source;  // lane to read from; -1: outside the segment, which gives the own value
};

template <typename T>
struct RunShuffle {
    void operator()(unsigned mask, Shuffle<T>** lanes) const {
        for (int i = 0; i < kLanes; ++i) {
            if (!lanes[i]) continue;
            int source = lanes[i]->source;
            bool there = source >= 0 && source < kLanes && lanes[source];
            if (!there && source >= 0) pycnn_emu_absent_lane(i, source, mask);
            lanes[i]->result = lanes[there ? source : i]->value;
        }
    }
};

template <typename T>
inline T shuffle(unsigned mask, T value, int source, Site site) {
    Shuffle<T> data{value, value, source};
    collective(mask, data, RunShuffle<T>(), site);
    return data.result;
}

inline int segment_start(int width) { return lane() & ~(width - 1); }

struct Vote {
    unsigned predicate, result;
};
struct RunBallot {
    void operator()(unsigned, Vote** lanes) const {
        unsigned ballot = 0;
        for (int i = 0; i < kLanes; ++i)
            if (lanes[i] && lanes[i]->predicate) ballot |= 1u << i;
        for (int i = 0; i < kLanes; ++i)
            if (lanes[i]) lanes[i]->result = ballot;
    }
};
inline unsigned ballot(unsigned mask, bool predicate, Site site) {
    Vote data{predicate, 0};
    collective(mask, data, RunBallot(), site);
    return data.result;
}

template <typename T>
struct Match {
    T value;
    unsigned result, arrived;
};
template <typename T>
struct RunMatch {
    void operator()(unsigned arrived, Match<T>** lanes) const {
        for (int i = 0; i < kLanes; ++i) {
            if (!lanes[i]) continue;
            lanes[i]->result = 0;
            lanes[i]->arrived = arrived;
            for (int j = 0; j < kLanes; ++j)
                if (lanes[j] && lanes[j]->value == lanes[i]->value) lanes[i]->result |= 1u << j;
        }
    }
};

template <typename T>
struct Reduction {
    T value, result;
};
template <typename T, typename Op>
struct RunReduction {
    void operator()(unsigned, Reduction<T>** lanes) const {
        bool first = true;
        T total{};
        for (int i = 0; i < kLanes; ++i) {
            if (!lanes[i]) continue;
            total = first ? lanes[i]->value : Op()(total, lanes[i]->value);
            first = false;
        }
        for (int i = 0; i < kLanes; ++i)
            if (lanes[i]) lanes[i]->result = total;
    }
};
template <typename T, typename Op>
inline T reduce(unsigned mask, T value, Op, Site site) {
    Reduction<T> data{value, value};
    collective(mask, data, RunReduction<T, Op>(), site);
    return data.result;
}

struct Add { template <typename T> T operator()(T a, T b) const { return a + b; } };
struct Min { template <typename T> T operator()(T a, T b) const { return b < a ? b : a; } };
struct Max { template <typename T> T operator()(T a, T b) const { return a < b ? b : a; } };
struct And { template <typename T> T operator()(T a, T b) const { return a & b; } };
struct Or { template <typename T> T operator()(T a, T b) const { return a | b; } };
struct Xor { template <typename T> T operator()(T a, T b) const { return a ^ b; } };

}  // namespace pycnn_emu

template <typename T>
inline T __shfl_sync(unsigned mask, T value, int source, int width = 32, PYCNN_EMU_HERE) {
    int from = pycnn_emu::segment_start(width) + (source & (width - 1));
    return pycnn_emu::shuffle(mask, value, from, PYCNN_EMU_SITE("__shfl_sync"));
}
template <typename T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, PYCNN_EMU_HERE) {
    int from = pycnn_emu::lane() - static_cast<int>(delta);
    if (from < pycnn_emu::segment_start(width)) from = -1;
    return pycnn_emu::shuffle(mask, value, from, PYCNN_EMU_SITE("__shfl_up_sync"));
}
template <typename T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, PYCNN_EMU_HERE) {
    int from = pycnn_emu::lane() + static_cast<int>(delta);
    if (from >= pycnn_emu::segment_start(width) + width) from = -1;
    return pycnn_emu::shuffle(mask, value, from, PYCNN_EMU_SITE("__shfl_down_sync"));
}
template <typename T>
inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, PYCNN_EMU_HERE) {
    int from = pycnn_emu::lane() ^ bits;
    if (from >= pycnn_emu::segment_start(width) + width) from = -1;
    return pycnn_emu::shuffle(mask, value, from, PYCNN_EMU_SITE("__shfl_xor_sync"));
}

inline void __syncwarp(unsigned mask = 0xffffffffu, PYCNN_EMU_HERE) {
    pycnn_emu_collective(mask, nullptr, nullptr, PYCNN_EMU_SITE("__syncwarp"));
}

inline unsigned __ballot_sync(unsigned mask, int predicate, PYCNN_EMU_HERE) {
    return pycnn_emu::ballot(mask, predicate != 0, PYCNN_EMU_SITE("__ballot_sync"));
}
inline int __any_sync(unsigned mask, int predicate, PYCNN_EMU_HERE) {
    return pycnn_emu::ballot(mask, predicate != 0, PYCNN_EMU_SITE("__any_sync")) != 0;
}
inline int __all_sync(unsigned mask, int predicate, PYCNN_EMU_HERE) {
    return pycnn_emu::ballot(mask, predicate == 0, PYCNN_EMU_SITE("__all_sync")) == 0;
}
inline unsigned __activemask(PYCNN_EMU_HERE) {
    return pycnn_emu_activemask(PYCNN_EMU_SITE("__activemask"));
}

template <typename T>
inline unsigned __match_any_sync(unsigned mask, T value, PYCNN_EMU_HERE) {
    pycnn_emu::Match<T> data{value, 0, 0};
    pycnn_emu::collective(mask, data, pycnn_emu::RunMatch<T>(), PYCNN_EMU_SITE("__match_any_sync"));
    return data.result;
}
template <typename T>
inline unsigned __match_all_sync(unsigned mask, T value, int* all, PYCNN_EMU_HERE) {
    pycnn_emu::Match<T> data{value, 0, 0};
    pycnn_emu::collective(mask, data, pycnn_emu::RunMatch<T>(), PYCNN_EMU_SITE("__match_all_sync"));
    *all = data.result == data.arrived;
    return *all ? mask : 0;
}

#define PYCNN_EMU_REDUCE(name, Op)                                                        \
    template <typename T>                                                                 \
    inline T __reduce_##name##_sync(unsigned mask, T value, PYCNN_EMU_HERE) {             \
        return pycnn_emu::reduce(mask, value, pycnn_emu::Op(),                            \
                                 PYCNN_EMU_SITE("__reduce_" #name "_sync"));              \
    }
PYCNN_EMU_REDUCE(add, Add)
PYCNN_EMU_REDUCE(min, Min)
PYCNN_EMU_REDUCE(max, Max)
PYCNN_EMU_REDUCE(and, And)
PYCNN_EMU_REDUCE(or, Or)
PYCNN_EMU_REDUCE(xor, Xor)
