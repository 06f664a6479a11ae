// pycnn/emulated_mma.cuh: what <pycnn/mma.cuh> means, in plain C++ for the emulator.
//
// The lanes of a warp meet, and the last one to arrive computes for all of them.
#pragma once

#include <cuda_fp16.h>

namespace pycnn_emu {

template <int Count>
struct MatrixLoad {
    const char* row;
    unsigned* registers;
    void* pc;
};

template <int Count, bool Transposed>
struct RunMatrixLoad {
    PYCNN_EMU_UNCHECKED void operator()(unsigned, MatrixLoad<Count>** lanes) const {
        for (int source = 0; source < 8 * Count; ++source) {
            uint16_t row[8];
#ifdef PYCNN_EMU_CHECKED
            pycnn_emu_lane_access(source, lanes[source]->row, sizeof(row), kRead,
                                  lanes[source]->pc);
#endif
            __builtin_memcpy(row, lanes[source]->row, sizeof(row));
            int tile = source / 8, r = source % 8;
            for (int c = 0; c < 8; ++c) {
                int along = Transposed ? r : c, across = Transposed ? c : r;
                auto* pair = reinterpret_cast<uint16_t*>(
                    &lanes[4 * across + along / 2]->registers[tile]);
                pair[along % 2] = row[c];
            }
        }
    }
};

template <int Count, bool Transposed>
__attribute__((noinline)) PYCNN_EMU_UNCHECKED void ldmatrix(unsigned (&registers)[Count],
                                                            const void* row) {
    MatrixLoad<Count> data{static_cast<const char*>(row), registers, __builtin_return_address(0)};
    collective(0xffffffffu, data, RunMatrixLoad<Count, Transposed>(), Site{"ldmatrix", "", 0});
}

template <typename Sum>
struct MatrixProduct {
    Sum* d;
    const unsigned* a;
    const unsigned* b;
};

// Fragments to matrices and back: which lane and register hold an element.
template <typename Element, int K, int PerRegister, typename ElementOfB>
struct RunMatrixProduct {
    template <typename Sum>
    void operator()(unsigned, MatrixProduct<Sum>** lanes) const {
        Sum a[16][K], b[K][8], d[16][8];
        for (int lane = 0; lane < 32; ++lane) {
            int group = lane / 4, pair = lane % 4;
            for (int e = 0; e < 4 * PerRegister; ++e) {
                int row = group + e / PerRegister % 2 * 8;
                int k = pair * PerRegister + e % PerRegister + e / (2 * PerRegister) * (K / 2);
                a[row][k] = Element::get(lanes[lane]->a, e);
            }
            for (int e = 0; e < 2 * PerRegister; ++e) {
                int k = pair * PerRegister + e % PerRegister + e / PerRegister * (K / 2);
                b[k][group] = ElementOfB::get(lanes[lane]->b, e);
            }
            for (int e = 0; e < 4; ++e) d[group + e / 2 * 8][pair * 2 + e % 2] = lanes[lane]->d[e];
        }
        for (int row = 0; row < 16; ++row)
            for (int k = 0; k < K; ++k)
                for (int column = 0; column < 8; ++column)
                    d[row][column] += a[row][k] * b[k][column];
        for (int lane = 0; lane < 32; ++lane)
            for (int e = 0; e < 4; ++e)
                lanes[lane]->d[e] = d[lane / 4 + e / 2 * 8][lane % 4 * 2 + e % 2];
    }
};

template <typename Format>
struct Element16 {
    static float get(const unsigned* registers, int e) {
        return Format::widen(static_cast<uint16_t>(registers[e / 2] >> (16 * (e % 2))));
    }
};
struct ElementTf32 {  // the hardware ignores the low 13 bits
    static float get(const unsigned* registers, int e) {
        return bit_cast<float>(registers[e] & 0xffffe000u);
    }
};

template <typename Element, int K, int PerRegister, typename ElementOfB = Element, typename Sum>
inline void matrix_product(Sum (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    MatrixProduct<Sum> data{d, a, b};
    collective(0xffffffffu, data, RunMatrixProduct<Element, K, PerRegister, ElementOfB>(),
               Site{"mma.sync", "", 0});
}

template <typename Format>
inline void mma16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    matrix_product<Element16<Format>, 16, 2>(d, a, b);
}

template <typename T>
struct ElementByte {
    static T get(const unsigned* registers, int e) {
        return static_cast<T>(registers[e / 4] >> (8 * (e % 4)));
    }
};

inline void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    matrix_product<ElementTf32, 8, 1>(d, a, b);
}

// Unsigned, as sums may wrap around.
template <typename A, typename B>
inline void mma_int8(int (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    matrix_product<ElementByte<A>, 32, 4, ElementByte<B>>(reinterpret_cast<unsigned (&)[4]>(d), a, b);
}

}  // namespace pycnn_emu
