// Fibers: stacks that a worker switches between, one for every CUDA thread that is blocked.
//
// A fiber never leaves its operating-system thread. The switch saves the callee-saved registers
// only: hand-written on x86-64 and AArch64, ucontext elsewhere.
#pragma once

#include <cstddef>
#include <vector>

namespace pycnn_emu {

struct Fiber {
    void* context = nullptr;  // saved stack pointer (or ucontext_t)
    char* stack = nullptr;    // lowest usable byte
    size_t size = 0;
    bool guarded = false;
};

// Makes `fiber` start in `entry(argument)` on its first switch; entry must never return.
void fiber_prepare(Fiber& fiber, void (*entry)(void*), void* argument);

// Continues `to`; returns when something switches back to `from`.
void fiber_switch(Fiber& from, Fiber& to);

// For AddressSanitizer, which must know of every stack; nothing in other builds. The three say where
// the running thread's own stack is, that a fiber's entry has begun, and that a jump leads out of a
// fiber: before it, with the fiber to be left for, and after it with null.
void fiber_own_stack(Fiber& fiber);
void fiber_begun();
void fiber_jump(const Fiber* to);

// The stacks of one worker in one contiguous mapping, committed as they are first touched.
class Stacks {
public:
    Stacks();
    ~Stacks();
    Stacks(const Stacks&) = delete;
    Stacks& operator=(const Stacks&) = delete;

    Fiber& at(size_t index);  // with its guard page in place
    char* base() const { return base_; }
    size_t size() const { return size_; }
    char* private_page() const { return base_; }  // one page for the worker's own use
    bool in_guard_page(const void* address) const;

private:
    char* base_;
    size_t size_;
    std::vector<Fiber> fibers_;
};

}  // namespace pycnn_emu
