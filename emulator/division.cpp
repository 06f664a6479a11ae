#include "division.h"

#include <cstdint>
#include <cstring>

#include <ucontext.h>

namespace pycnn_emu {

#if defined(__x86_64__) && defined(__linux__)

namespace {

constexpr int kRegisters[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                REG_R12, REG_R13, REG_R14, REG_R15};
constexpr int kRsp = 4, kRbp = 5;

// DIV or IDIV: how wide, of which operand, and where the next instruction begins.
class Division {
public:
    explicit Division(greg_t* registers)
        : registers_(registers), at_(reinterpret_cast<const uint8_t*>(registers[REG_RIP])) {
        bool narrow = false;
        for (; *at_ == 0x66 || *at_ == 0x2e || *at_ == 0x3e; ++at_) narrow |= *at_ == 0x66;
        if ((*at_ & 0xf0) == 0x40) rex_ = *at_++;
        uint8_t opcode = *at_++;
        modrm_ = *at_++;
        int operation = modrm_ >> 3 & 7;
        known = (opcode & 0xfe) == 0xf6 && (operation == 6 || operation == 7);
        is_signed = operation == 7;
        width = opcode == 0xf6 ? 1 : rex_ & 8 ? 8 : narrow ? 2 : 4;
        if (known) read_operand();
    }

    bool known, is_signed;
    int width;  // bytes
    uint64_t divisor = 0;
    const uint8_t* next() const { return at_; }

private:
    uint64_t value(int number) const {
        return static_cast<uint64_t>(registers_[kRegisters[number]]);
    }

    void read_operand() {
        int mode = modrm_ >> 6, number = (modrm_ & 7) | (rex_ & 1) << 3;
        if (mode == 3) {
            bool high = width == 1 && !rex_ && number >= 4;  // AH, CH, DH, BH
            uint64_t whole = high ? value(number - 4) >> 8 : value(number);
            std::memcpy(&divisor, &whole, static_cast<size_t>(width));
            return;
        }
        uint64_t address = 0;
        bool relative = false;
        if ((modrm_ & 7) == kRsp) {
            uint8_t sib = *at_++;
            int index = (sib >> 3 & 7) | (rex_ & 2) << 2, base = (sib & 7) | (rex_ & 1) << 3;
            if (index != kRsp) address += value(index) << (sib >> 6);
            if ((sib & 7) == kRbp && mode == 0)
                mode = 2;  // no base, and four bytes of offset
            else
                address += value(base);
        } else if ((modrm_ & 7) == kRbp && mode == 0) {
            relative = true;
            mode = 2;
        } else {
            address += value(number);
        }
        if (mode == 1) address += static_cast<uint64_t>(int64_t{static_cast<int8_t>(*at_++)});
        if (mode == 2) {
            int32_t offset;
            std::memcpy(&offset, at_, sizeof(offset));
            at_ += sizeof(offset);
            address += static_cast<uint64_t>(int64_t{offset});
        }
        if (relative) address += reinterpret_cast<uint64_t>(at_);
        std::memcpy(&divisor, reinterpret_cast<const void*>(address), static_cast<size_t>(width));
    }

    greg_t* registers_;
    const uint8_t* at_;
    uint8_t rex_ = 0, modrm_ = 0;
};

// Writes the low bytes of a register as the instruction would: four clear the upper half.
void write(greg_t& whole, uint64_t value, int width) {
    auto bits = static_cast<uint64_t>(whole);
    if (width >= 4) bits = 0;
    std::memcpy(&bits, &value, static_cast<size_t>(width));
    whole = static_cast<greg_t>(bits);
}

}  // namespace

// The code that NVIDIA's assembler makes of a division ends with a choice of all bits set where the
// divisor is zero, for quotients and remainders of every width; and it divides absolute values, so
// that the smallest number by -1 is itself.
bool finish_division(void* context) {
    greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
    Division division(registers);
    uint64_t all = division.width == 8 ? ~uint64_t{0} : (uint64_t{1} << 8 * division.width) - 1;
    uint64_t quotient = all, remainder = all;
    if (!division.known) return false;
    if (division.divisor == all && division.is_signed) {
        quotient = all / 2 + 1;
        remainder = 0;
    } else if (division.divisor != 0) {
        return false;
    }
    if (division.width == 1) {
        write(registers[REG_RAX], quotient | remainder << 8, 2);
    } else {
        write(registers[REG_RAX], quotient, division.width);
        write(registers[REG_RDX], remainder, division.width);
    }
    registers[REG_RIP] = reinterpret_cast<greg_t>(division.next());
    return true;
}

#else

// AArch64 traps on neither; its quotient of a division by zero is 0.
bool finish_division(void*) { return false; }

#endif

}  // namespace pycnn_emu
