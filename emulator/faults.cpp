#include "faults.h"

#include <cerrno>
#include <iterator>
#include <memory>
#include <mutex>

#include <pthread.h>
#include <ucontext.h>

#include "division.h"
#include "worker.h"

namespace pycnn_emu {

namespace {

constexpr int kFaults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
constexpr size_t kStackSize = 64 * 1024;

struct sigaction previous_fault[std::size(kFaults)];
struct sigaction previous_tick;

const void* program_counter([[maybe_unused]] void* context) {
#if defined(__linux__) && defined(__x86_64__)
    return reinterpret_cast<void*>(
        static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]);
#elif defined(__linux__) && defined(__aarch64__)
    return reinterpret_cast<void*>(static_cast<ucontext_t*>(context)->uc_mcontext.pc);
#else
    return nullptr;  // a thread then keeps the processor until it waits for something
#endif
}

void on_fault(int signal, siginfo_t* info, void* context) {
    Worker* worker = Worker::current();
    if (worker && worker->running()) {
        if (signal == SIGFPE && finish_division(context)) return;
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, signal);
        pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
        worker->fault(signal, info->si_addr, program_counter(context));
    }
    // Not ours: whoever was there before sees it when the instruction runs again. If that comes back
    // to us, as it does when each holds the other for the one before, the process is to end.
    static volatile std::sig_atomic_t passed_on = 0;
    struct sigaction last {};
    for (size_t i = 0; i < std::size(kFaults); ++i)
        if (kFaults[i] == signal)
            sigaction(signal, passed_on ? &last : &previous_fault[i], nullptr);
    passed_on = 1;
}

void on_tick(int signal, siginfo_t* info, void* context) {
    Worker* worker = Worker::current();
    int error = errno;
    if (worker && worker->running())
        worker->tick(program_counter(context));
    else if (previous_tick.sa_flags & SA_SIGINFO && info->si_code != SI_TKILL)
        previous_tick.sa_sigaction(signal, info, context);
    else if (previous_tick.sa_handler != SIG_DFL && previous_tick.sa_handler != SIG_IGN &&
             info->si_code != SI_TKILL)
        previous_tick.sa_handler(signal);
    errno = error;
}

bool is_ours(int signal, void (*handler)(int, siginfo_t*, void*)) {
    struct sigaction now {};
    sigaction(signal, nullptr, &now);
    return now.sa_flags & SA_SIGINFO && now.sa_sigaction == handler;
}

// Since others (faulthandler) may have put theirs in the place of ours.
void install() {
    static std::mutex mutex;
    if (is_ours(SIGSEGV, on_fault) && is_ours(kTick, on_tick)) return;
    std::lock_guard<std::mutex> lock(mutex);
    struct sigaction action {};
    sigemptyset(&action.sa_mask);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (size_t i = 0; i < std::size(kFaults); ++i)
        if (!is_ours(kFaults[i], on_fault)) sigaction(kFaults[i], &action, &previous_fault[i]);
    // On the fiber's own stack: the handler switches to another fiber, and returns much later.
    action.sa_sigaction = on_tick;
    action.sa_flags = SA_SIGINFO | SA_RESTART | SA_NODEFER;
    if (!is_ours(kTick, on_tick)) sigaction(kTick, &action, &previous_tick);
}

// One for each thread that ever launched, unless it has one already.
class AlternateStack {
public:
    void set() {
        stack_t now{};
        sigaltstack(nullptr, &now);
        if (!(now.ss_flags & SS_DISABLE)) return;
        if (!memory_) memory_.reset(new char[kStackSize]);  // not cleared: few ever use it
        now = {};
        now.ss_sp = memory_.get();
        now.ss_size = kStackSize;
        sigaltstack(&now, nullptr);
    }
    ~AlternateStack() {
        stack_t now{};
        sigaltstack(nullptr, &now);
        if (!memory_ || now.ss_sp != memory_.get()) return;
        now = {};
        now.ss_flags = SS_DISABLE;
        sigaltstack(&now, nullptr);
    }

private:
    std::unique_ptr<char[]> memory_;
};

}  // namespace

void handle_faults() {
    static thread_local AlternateStack stack;
    install();
    stack.set();
}

}  // namespace pycnn_emu
