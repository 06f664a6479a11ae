#include "fiber.h"

#include <cstdint>
#include <new>

#include <sys/mman.h>
#include <unistd.h>

#if !defined(__x86_64__) && !defined(__aarch64__)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define PYCNN_EMU_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PYCNN_EMU_ASAN 1
#endif
#endif
#ifdef PYCNN_EMU_ASAN
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#endif

namespace pycnn_emu {

namespace {

constexpr size_t kStackSize = 320 * 1024;
// Stacks begin at different places within their slots: were they a power of two apart, the tops of
// all would fall into the same few sets of the cache, and each switch would miss it.
constexpr size_t kStagger = 17 * 64;
constexpr size_t kMaxStagger = 60 * 1024;
constexpr size_t kMaxFibers = 1024;  // threads of the largest block

size_t page_size() {
    static const size_t size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    return size;
}

}  // namespace

#ifdef PYCNN_EMU_ASAN
// What an abandoned fiber left on its stack is no object any more, nor what stacks left that lay
// here before these.
static void forget_frames(char* stack, size_t size) { __asan_unpoison_memory_region(stack, size); }
#else
static void forget_frames(char*, size_t) {}
#endif

#if defined(__x86_64__)

extern "C" void pycnn_emu_switch(void** save, void* load);
extern "C" void pycnn_emu_start();

asm(R"(
    .text
    .globl pycnn_emu_switch
    .hidden pycnn_emu_switch
pycnn_emu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .globl pycnn_emu_start
    .hidden pycnn_emu_start
pycnn_emu_start:
    movq %r12, %rdi
    xorl %ebp, %ebp
    callq *%r13
    ud2
)");

void fiber_prepare(Fiber& fiber, void (*entry)(void*), void* argument) {
    forget_frames(fiber.stack, fiber.size);
    auto top = reinterpret_cast<uintptr_t>(fiber.stack + fiber.size) & ~uintptr_t{63};
    auto** sp = reinterpret_cast<void**>(top);
    *--sp = nullptr;                                    // keeps the stack aligned at the call
    *--sp = nullptr;
    *--sp = reinterpret_cast<void*>(&pycnn_emu_start);  // where the first switch returns to
    *--sp = nullptr;                                    // rbp
    *--sp = nullptr;                                    // rbx
    *--sp = argument;                                   // r12
    *--sp = reinterpret_cast<void*>(entry);             // r13
    *--sp = nullptr;                                    // r14
    *--sp = nullptr;                                    // r15
    fiber.context = sp;
}

static void switch_stacks(Fiber& from, Fiber& to) { pycnn_emu_switch(&from.context, to.context); }

#elif defined(__aarch64__)

extern "C" void pycnn_emu_switch(void** save, void* load);
extern "C" void pycnn_emu_start();

asm(".text\n.align 4\n"
    ".globl pycnn_emu_switch\npycnn_emu_switch:\n"
    "  sub sp, sp, #160\n"
    "  stp x19, x20, [sp, #0]\n  stp x21, x22, [sp, #16]\n  stp x23, x24, [sp, #32]\n"
    "  stp x25, x26, [sp, #48]\n  stp x27, x28, [sp, #64]\n  stp x29, x30, [sp, #80]\n"
    "  stp d8, d9, [sp, #96]\n  stp d10, d11, [sp, #112]\n"
    "  stp d12, d13, [sp, #128]\n  stp d14, d15, [sp, #144]\n"
    "  mov x9, sp\n  str x9, [x0]\n  mov sp, x1\n"
    "  ldp x19, x20, [sp, #0]\n  ldp x21, x22, [sp, #16]\n  ldp x23, x24, [sp, #32]\n"
    "  ldp x25, x26, [sp, #48]\n  ldp x27, x28, [sp, #64]\n  ldp x29, x30, [sp, #80]\n"
    "  ldp d8, d9, [sp, #96]\n  ldp d10, d11, [sp, #112]\n"
    "  ldp d12, d13, [sp, #128]\n  ldp d14, d15, [sp, #144]\n"
    "  add sp, sp, #160\n  ret\n"
    ".globl pycnn_emu_start\npycnn_emu_start:\n"
    "  mov x0, x19\n  mov x29, xzr\n  blr x20\n  brk #0\n");

void fiber_prepare(Fiber& fiber, void (*entry)(void*), void* argument) {
    forget_frames(fiber.stack, fiber.size);
    auto top = reinterpret_cast<uintptr_t>(fiber.stack + fiber.size) & ~uintptr_t{63};
    auto** sp = reinterpret_cast<void**>(top) - 20;
    for (int i = 0; i < 20; ++i) sp[i] = nullptr;
    sp[0] = argument;                                    // x19
    sp[1] = reinterpret_cast<void*>(entry);              // x20
    sp[11] = reinterpret_cast<void*>(&pycnn_emu_start);  // x30
    fiber.context = sp;
}

static void switch_stacks(Fiber& from, Fiber& to) { pycnn_emu_switch(&from.context, to.context); }

#else

namespace {

void start_fiber(unsigned entry_lo, unsigned entry_hi, unsigned arg_lo, unsigned arg_hi) {
    auto join = [](unsigned lo, unsigned hi) {
        return static_cast<uintptr_t>((static_cast<uint64_t>(hi) << 32) | lo);
    };
    auto entry = reinterpret_cast<void (*)(void*)>(join(entry_lo, entry_hi));
    entry(reinterpret_cast<void*>(join(arg_lo, arg_hi)));
}

ucontext_t& context_of(Fiber& fiber) {
    if (!fiber.context) fiber.context = new ucontext_t;
    return *static_cast<ucontext_t*>(fiber.context);
}

}  // namespace

void fiber_prepare(Fiber& fiber, void (*entry)(void*), void* argument) {
    forget_frames(fiber.stack, fiber.size);
    ucontext_t& context = context_of(fiber);
    getcontext(&context);
    context.uc_stack.ss_sp = fiber.stack;
    context.uc_stack.ss_size = fiber.size;
    context.uc_link = nullptr;
    auto e = static_cast<uint64_t>(reinterpret_cast<uintptr_t>(entry));
    auto a = static_cast<uint64_t>(reinterpret_cast<uintptr_t>(argument));
    makecontext(&context, reinterpret_cast<void (*)()>(start_fiber), 4, static_cast<unsigned>(e),
                static_cast<unsigned>(e >> 32), static_cast<unsigned>(a),
                static_cast<unsigned>(a >> 32));
}

static void switch_stacks(Fiber& from, Fiber& to) {
    swapcontext(&context_of(from), &context_of(to));
}

#endif

#ifdef PYCNN_EMU_ASAN

void fiber_switch(Fiber& from, Fiber& to) {
    void* frames = nullptr;
    __sanitizer_start_switch_fiber(&frames, to.stack, to.size);
    switch_stacks(from, to);
    __sanitizer_finish_switch_fiber(frames, nullptr, nullptr);
}

void fiber_own_stack(Fiber& fiber) {
    pthread_attr_t attributes;
    void* lowest = nullptr;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
    pthread_attr_getstack(&attributes, &lowest, &fiber.size);
    pthread_attr_destroy(&attributes);
    fiber.stack = static_cast<char*>(lowest);
}

void fiber_begun() { __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr); }

void fiber_jump(const Fiber* to) {
    if (to)
        __sanitizer_start_switch_fiber(nullptr, to->stack, to->size);
    else
        __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
}

#else

void fiber_switch(Fiber& from, Fiber& to) { switch_stacks(from, to); }
void fiber_own_stack(Fiber&) {}
void fiber_begun() {}
void fiber_jump(const Fiber*) {}

#endif

Stacks::Stacks() : size_(page_size() + kMaxFibers * kStackSize), fibers_(kMaxFibers) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#ifdef MAP_NORESERVE
    flags |= MAP_NORESERVE;
#endif
    void* memory = mmap(nullptr, size_, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<char*>(memory);
    forget_frames(base_, size_);
}

Stacks::~Stacks() { munmap(base_, size_); }

Fiber& Stacks::at(size_t index) {
    Fiber& fiber = fibers_[index];
    if (!fiber.guarded) {
        char* lowest = base_ + page_size() + index * kStackSize;
        mprotect(lowest, page_size(), PROT_NONE);
        fiber.stack = lowest + page_size();
        fiber.size = kStackSize - page_size() - index * kStagger % kMaxStagger;
        fiber.guarded = true;
    }
    return fiber;
}

bool Stacks::in_guard_page(const void* address) const {
    auto* p = static_cast<const char*>(address);
    if (p < base_ + page_size() || p >= base_ + size_) return false;
    return static_cast<size_t>(p - base_ - page_size()) % kStackSize < page_size();
}

}  // namespace pycnn_emu
