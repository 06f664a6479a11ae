#include "ptx_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace pycnn_emu {

namespace {

constexpr uint32_t kLanes = 32, kColumns = 8;
constexpr uint32_t kMaxRows = 16;

uint32_t bits_of(Element e) {
    switch (e) {
        case Element::kF16:
        case Element::kBf16: return 16;
        case Element::kTf32:
        case Element::kF32:
        case Element::kS32: return 32;
        case Element::kF64: return 64;
        case Element::kS8:
        case Element::kU8:
        case Element::kE4m3:
        case Element::kE5m2: return 8;
        case Element::kS4:
        case Element::kU4: return 4;
        default: return 1;
    }
}

bool is_integer(Element e) {
    return (e >= Element::kS8 && e <= Element::kB1) || e == Element::kS32;
}

double small_float(uint32_t bits, int exponent_bits, int mantissa_bits, bool has_infinity) {
    int bias = (1 << (exponent_bits - 1)) - 1;
    int exponent = static_cast<int>(bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
    int mantissa = static_cast<int>(bits) & ((1 << mantissa_bits) - 1);
    double sign = bits >> (exponent_bits + mantissa_bits) & 1 ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1) {
        if (has_infinity)
            return mantissa ? std::numeric_limits<double>::quiet_NaN()
                            : sign * std::numeric_limits<double>::infinity();
        if (mantissa == (1 << mantissa_bits) - 1) return std::numeric_limits<double>::quiet_NaN();
    }
    if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
    return sign * std::ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
}

double single(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
}

double floating(Element e, const uint32_t* word, uint32_t bits) {
    switch (e) {
        case Element::kF16: return small_float(bits, 5, 10, true);
        case Element::kBf16: return single(bits << 16);
        case Element::kTf32: return single(bits & 0xffffe000u);  // the hardware reads no more
        case Element::kF32: return single(bits);
        case Element::kE4m3: return small_float(bits, 4, 3, false);
        case Element::kE5m2: return small_float(bits, 5, 2, true);
        default: {
            double value;
            std::memcpy(&value, word, sizeof(value));
            return value;
        }
    }
}

int64_t integer(Element e, uint32_t bits) {
    switch (e) {
        case Element::kS8: return static_cast<int8_t>(bits);
        case Element::kS4: return static_cast<int32_t>(bits << 28) >> 28;
        case Element::kS32: return static_cast<int32_t>(bits);
        default: return bits;
    }
}

// Rounded to nearest even; the sum is a float64.
uint32_t half_of(double value) {
    uint32_t sign = std::signbit(value) ? 0x8000u : 0;
    if (std::isnan(value)) return 0x7fff;
    double size = std::fabs(value);
    if (size >= 65520) return sign | 0x7c00;
    int exponent;
    std::frexp(size, &exponent);
    int unit = size == 0 ? -24 : std::max(exponent - 11, -24);
    auto steps = static_cast<uint32_t>(std::nearbyint(std::ldexp(size, -unit)));
    // As the bits of a half: a carry out of the mantissa goes on into the exponent.
    return sign | (unit == -24 ? steps : steps + (static_cast<uint32_t>(unit + 24) << 10));
}

// Registers of A and B hold `per` neighbours along k, four lanes a row; the rows 8 apart come
// first, then the k that are 4 * per apart (PTX ISA, "Matrix fragments for mma").
struct Fragment {
    uint32_t words;  // 32-bit words of an element's register
    uint32_t per;    // elements in a register
    uint32_t count;  // registers
};

Fragment fragment(Element e, uint32_t elements) {
    uint32_t bits = bits_of(e), per = bits < 32 ? 32 / bits : 1;
    return Fragment{bits == 64 ? 2u : 1u, per, elements / kLanes / per};
}

template <typename Visit>
void visit(const Fragment& f, Element e, uint32_t rows, const uint32_t* words, uint32_t lane,
           Visit put) {
    uint32_t bits = bits_of(e), group = lane / 4, quarter = lane % 4;
    uint32_t mask = bits < 32 ? (1u << bits) - 1 : ~0u;
    for (uint32_t r = 0; r < f.count; ++r) {
        uint32_t row = group + (rows == 16 ? 8 * (r & 1) : 0);
        uint32_t block = rows == 16 ? r >> 1 : r;
        for (uint32_t j = 0; j < f.per; ++j)
            put(row, quarter * f.per + j + 4 * f.per * block, words + r * f.words,
                words[r * f.words] >> (bits < 32 ? j * bits : 0) & mask);
    }
}

// Where the i-th element of a lane's C or D is.
struct Place {
    uint32_t row, column;
};
Place accumulator(uint32_t lane, uint32_t i) {
    return Place{lane / 4 + 8 * (i >> 1), lane % 4 * 2 + (i & 1)};
}

template <typename T, uint32_t max_depth>
struct Matrices {
    T a[kMaxRows][max_depth], b[kColumns][max_depth];
};

template <typename M, typename Read>
void gather(Product* const* lanes, M& m, const Fragment& fa, const Fragment& fb,
            Read read) {
    const Product& p = *lanes[0];
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
        const uint32_t* words = lanes[lane]->words;
        visit(fa, p.a, p.rows, words, lane, [&](uint32_t row, uint32_t k, const uint32_t* w,
                                                uint32_t bits) { m.a[row][k] = read(p.a, w, bits); });
        // B is laid out as its transpose would be in a matrix of eight rows.
        visit(fb, p.b, 8, words + fa.count * fa.words, lane,
              [&](uint32_t column, uint32_t k, const uint32_t* w, uint32_t bits) {
                  m.b[column][k] = read(p.b, w, bits);
              });
    }
}

void multiply_floats(Product* const* lanes, const Fragment& fa, const Fragment& fb) {
    Matrices<double, 32> m;
    gather(lanes, m, fa, fb, floating);
    const Product& p = *lanes[0];
    uint32_t first = fa.count * fa.words + fb.count * fb.words;
    uint32_t elements = p.rows * kColumns / kLanes;
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
        uint32_t* words = lanes[lane]->words;
        uint32_t out[8] = {};
        for (uint32_t i = 0; i < elements; ++i) {
            Place at = accumulator(lane, i);
            const uint32_t* c = words + first;
            double sum = p.c == Element::kF64   ? floating(p.c, c + 2 * i, 0)
                         : p.c == Element::kF16 ? floating(p.c, c, c[i / 2] >> (16 * (i & 1)) & 0xffff)
                                                : floating(p.c, c, c[i]);
            for (uint32_t k = 0; k < p.depth; ++k) {
                double x = m.a[at.row][k], y = m.b[at.column][k];
                sum = p.d == Element::kF64 ? std::fma(x, y, sum) : sum + x * y;
            }
            if (p.d == Element::kF64) {
                std::memcpy(out + 2 * i, &sum, sizeof(sum));
            } else if (p.d == Element::kF16) {
                out[i / 2] |= half_of(sum) << (16 * (i & 1));
            } else {
                auto value = static_cast<float>(sum);
                std::memcpy(out + i, &value, sizeof(value));
                if (std::isnan(value)) out[i] = 0x7fffffffu;
            }
        }
        std::memcpy(words, out, sizeof(out));
    }
}

void multiply_integers(Product* const* lanes, const Fragment& fa, const Fragment& fb) {
    Matrices<int32_t, 256> m;
    gather(lanes, m, fa, fb, [](Element e, const uint32_t*, uint32_t bits) {
        return static_cast<int32_t>(integer(e, bits));
    });
    const Product& p = *lanes[0];
    uint32_t first = fa.count + fb.count, elements = p.rows * kColumns / kLanes;
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
        uint32_t* words = lanes[lane]->words;
        uint32_t out[4] = {};
        for (uint32_t i = 0; i < elements; ++i) {
            Place at = accumulator(lane, i);
            int64_t sum = static_cast<int32_t>(words[first + i]);
            for (uint32_t k = 0; k < p.depth; ++k) {
                int64_t x = m.a[at.row][k], y = m.b[at.column][k];
                sum += p.a != Element::kB1 ? x * y : p.operation ? (x & y) : (x ^ y);
            }
            if (p.saturated)
                sum = std::min<int64_t>(std::max<int64_t>(sum, std::numeric_limits<int32_t>::min()),
                                        std::numeric_limits<int32_t>::max());
            out[i] = static_cast<uint32_t>(sum);
        }
        std::memcpy(words, out, elements * sizeof(uint32_t));
    }
}

}  // namespace

void multiply_matrices(Product* const* lanes) {
    const Product& p = *lanes[0];
    Fragment fa = fragment(p.a, p.rows * p.depth), fb = fragment(p.b, p.depth * kColumns);
    if (is_integer(p.a))
        multiply_integers(lanes, fa, fb);
    else
        multiply_floats(lanes, fa, fb);
}

void load_tiles(TileRow* const* lanes) {
    const TileRow& first = *lanes[0];
    for (uint32_t tile = 0; tile < first.tiles; ++tile) {
        uint16_t elements[8][8];
        for (uint32_t row = 0; row < 8; ++row)
            std::memcpy(elements[row], lanes[tile * 8 + row]->row, 16);
        for (uint32_t lane = 0; lane < kLanes; ++lane) {
            uint32_t row = lane / 4, column = lane % 4 * 2;
            uint16_t low = first.transposed ? elements[column][row] : elements[row][column];
            uint16_t high = first.transposed ? elements[column + 1][row] : elements[row][column + 1];
            lanes[lane]->words[tile] = low | static_cast<uint32_t>(high) << 16;
        }
    }
}

void store_tiles(TileRow* const* lanes) {
    const TileRow& first = *lanes[0];
    for (uint32_t tile = 0; tile < first.tiles; ++tile) {
        uint16_t elements[8][8];
        for (uint32_t lane = 0; lane < kLanes; ++lane) {
            uint32_t row = lane / 4, column = lane % 4 * 2, word = lanes[lane]->words[tile];
            auto low = static_cast<uint16_t>(word), high = static_cast<uint16_t>(word >> 16);
            (first.transposed ? elements[column][row] : elements[row][column]) = low;
            (first.transposed ? elements[column + 1][row] : elements[row][column + 1]) = high;
        }
        for (uint32_t row = 0; row < 8; ++row)
            std::memcpy(lanes[tile * 8 + row]->row, elements[row], 16);
    }
}

}  // namespace pycnn_emu
