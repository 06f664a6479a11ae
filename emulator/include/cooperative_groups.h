// The cooperative groups that live within one block: the block itself and tiles of a warp.
#pragma once

namespace cooperative_groups {

class thread_block {
public:
    static void sync(PYCNN_EMU_HERE) {
        pycnn_emu_barrier(0, PYCNN_EMU_SITE("thread_block::sync"));
    }
    static unsigned thread_rank() { return pycnn_emu_self->thread; }
    static unsigned size() { return blockDim.x * blockDim.y * blockDim.z; }
    static unsigned num_threads() { return size(); }
    static dim3 group_index() { return dim3(blockIdx); }
    static dim3 thread_index() { return dim3(threadIdx); }
};

inline thread_block this_thread_block() { return thread_block(); }

// `Size` consecutive lanes: 1, 2, 4, 8, 16 or 32.
template <unsigned Size>
class thread_block_tile {
public:
    unsigned thread_rank() const { return pycnn_emu_self->thread % Size; }
    unsigned meta_group_rank() const { return pycnn_emu_self->thread / Size; }
    static constexpr unsigned size() { return Size; }
    static constexpr unsigned num_threads() { return Size; }
    void sync(PYCNN_EMU_HERE) const { __syncwarp(mask(), file, line); }
    template <typename T>
    T shfl(T v, int source, PYCNN_EMU_HERE) const {
        return __shfl_sync(mask(), v, source, Size, file, line);
    }
    template <typename T>
    T shfl_up(T v, unsigned delta, PYCNN_EMU_HERE) const {
        return __shfl_up_sync(mask(), v, delta, Size, file, line);
    }
    template <typename T>
    T shfl_down(T v, unsigned delta, PYCNN_EMU_HERE) const {
        return __shfl_down_sync(mask(), v, delta, Size, file, line);
    }
    template <typename T>
    T shfl_xor(T v, int bits, PYCNN_EMU_HERE) const {
        return __shfl_xor_sync(mask(), v, bits, Size, file, line);
    }
    unsigned ballot(int predicate, PYCNN_EMU_HERE) const {
        return (__ballot_sync(mask(), predicate, file, line) & mask()) >> first_lane();
    }
    int any(int predicate, PYCNN_EMU_HERE) const { return __any_sync(mask(), predicate, file, line); }
    int all(int predicate, PYCNN_EMU_HERE) const { return __all_sync(mask(), predicate, file, line); }

private:
    unsigned first_lane() const { return pycnn_emu_self->thread % 32 / Size * Size; }
    unsigned mask() const { return (Size == 32 ? 0xffffffffu : (1u << Size) - 1) << first_lane(); }
};

template <unsigned Size>
thread_block_tile<Size> tiled_partition(const thread_block&) {
    static_assert(Size <= 32 && (Size & (Size - 1)) == 0, "a tile is a power of two up to 32");
    return {};
}

inline void sync(const thread_block& block, PYCNN_EMU_HERE) { block.sync(file, line); }

}  // namespace cooperative_groups
