// pycnn/philox.cuh: Philox4x32-10, a random number generator that is a function of a counter.
//
// Four 32-bit numbers from a 128-bit counter and a 64-bit key: the same on every machine, whatever
// thread asks, so that what was drawn once can be drawn again instead of being stored.
// Source: Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3, SC 2011.
#pragma once

struct Philox {
    unsigned word[4];

    // Counter: `low` in its lower half, `high` in its upper one.
    __device__ __forceinline__ Philox(unsigned long long low, unsigned long long high,
                                      unsigned long long key) {
        word[0] = static_cast<unsigned>(low), word[1] = static_cast<unsigned>(low >> 32);
        word[2] = static_cast<unsigned>(high), word[3] = static_cast<unsigned>(high >> 32);
        unsigned k0 = static_cast<unsigned>(key), k1 = static_cast<unsigned>(key >> 32);
#pragma unroll
        for (int round = 0; round < 10; ++round, k0 += 0x9e3779b9u, k1 += 0xbb67ae85u) {
            const unsigned high0 = __umulhi(0xd2511f53u, word[0]), low0 = 0xd2511f53u * word[0];
            const unsigned high1 = __umulhi(0xcd9e8d57u, word[2]), low1 = 0xcd9e8d57u * word[2];
            word[0] = high1 ^ word[1] ^ k0, word[1] = low1;
            word[2] = high0 ^ word[3] ^ k1, word[3] = low0;
        }
    }

    // Selected, not indexed: an index would move the words to local memory.
    __device__ __forceinline__ unsigned operator[](int i) const {
        return i & 2 ? (i & 1 ? word[3] : word[2]) : (i & 1 ? word[1] : word[0]);
    }
};
