#include "ptx.h"

#include <cfenv>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstring>

#include "checker.h"
#include "ptx_calls.h"
#include "units.h"

namespace pycnn_emu {

namespace {

const PtxKernel& kernel() {
    return *static_cast<const PtxKernel*>(Worker::current()->launch().args[3]);
}

}  // namespace

const Site& site_of(uint32_t number) { return kernel().site(number); }

void fail(const char* kind, std::string message, uint32_t site) {
    Report report;
    report.kind = kind;
    report.message = std::move(message);
    report.where = at(pc_of(site));
    Worker::current()->fail(std::move(report));
}

namespace {

__attribute__((always_inline)) inline void access_as(Self* self, uint64_t address, uint32_t size,
                                                     int kind, uint32_t site) {
    if (address - reinterpret_cast<uintptr_t>(self->stacks) < self->stacks_size) return;
    Worker& worker = Worker::of(*self);
    Checker* checker = worker.checker();
    if (!checker) return;  // of a call that both builds make
    worker.step(pc_of(site));
    checker->access(self->thread, reinterpret_cast<const void*>(address), size, kind, pc_of(site));
}

// Of which there are most: plain, of a size that the compiler knows.
template <uint32_t size, int kind>
void plain_access(Self* self, uint64_t address, uint32_t site) {
    access_as(self, address, size, kind, site);
}

}  // namespace

void ptx_access(Self* self, uint64_t address, uint32_t size, uint32_t access, uint32_t site) {
    // Loads and stores that others may watch hand over what a fence before them has ordered.
    static constexpr int kKinds[] = {kRead, kWrite, kAtomic, kRead | kVolatile, kWrite | kVolatile,
                                     kAtomic | kOfBarrier, kRead | kVolatile | kOfBarrier};
    access_as(self, address, size, kKinds[access], site);
}

namespace {

// What pycnn/emulator/ptx/special.py and memory.py know of Self.
static_assert(offsetof(Self, blockIdx) == 12 && offsetof(Self, blockDim) == 24);
static_assert(offsetof(Self, gridDim) == 36 && offsetof(Self, thread) == 48);
static_assert(offsetof(Self, dynamic_shared) == 56 && offsetof(Self, stacks) == 72);
static_assert(offsetof(Self, stacks_size) == 80 && offsetof(Self, dynamic_size) == 88);
static_assert(offsetof(Self, poll) == 96);
static_assert(kDynamicSpan == 256 * 1024);
static_assert(Worker::arena_size() == 256 * 1024 + 4 * 1024 * 1024);

// ---- Memory -----------------------------------------------------------------------------------

// A cas writes only where it finds what it expects.
void compare(uint64_t address, const void* expected, uint32_t size, uint32_t site) {
    Self* self = pycnn_emu_self;
    if (address - reinterpret_cast<uintptr_t>(self->stacks) < self->stacks_size) return;
    pycnn_emu_compare_access(reinterpret_cast<const void*>(address), expected, size,
                             const_cast<void*>(pc_of(site)));
}

void local(uint64_t address, uint32_t size, uint32_t site, uint64_t base, uint64_t extent) {
    uint64_t offset = address - base;
    if (offset <= extent && size <= extent - offset) return;
    auto at = static_cast<long long>(offset);
    fail("out_of_bounds",
         format("%u bytes at byte %lld of a thread's local memory, which has %llu", size, at,
                static_cast<unsigned long long>(extent)),
         site);
}

void fence() { pycnn_emu_fence(); }
void fence_block() { pycnn_emu_fence_block(); }

// ---- The block ---------------------------------------------------------------------------------

enum How : uint32_t { kSync, kArrive, kCount, kAll, kAny };

uint32_t barrier(uint32_t how, uint32_t number, uint32_t count, uint32_t predicate, uint32_t site) {
    Worker* worker = Worker::current();
    auto yes = static_cast<int>(predicate);
    bool whole = number == 0 && (count == 0 || count == worker->threads());
    pycnn_emu_votes votes =
        whole && !kernel().some_arrive()
            ? worker->barrier(yes, site_of(site))
            : worker->units().named.arrive(*worker, number, count, how != kArrive, yes, site_of(site));
    return static_cast<uint32_t>(how == kCount ? votes.count : how == kAll ? votes.all : votes.any);
}

void poll(uint32_t site) { Worker::current()->give_way(pc_of(site)); }

// ---- Asynchronous copies -----------------------------------------------------------------------

void copy_async(uint64_t to, uint64_t from, uint32_t size, uint32_t source, uint32_t site) {
    if (source > size || (to | from) % size)
        fail("misaligned",
             format("cp.async of %u of %u bytes to or from an address that is no multiple of its size",
                    source, size),
             site);
    auto* target = reinterpret_cast<void*>(to);
    if (Worker::current()->checker()) {
        pycnn_emu_copy_async(target, reinterpret_cast<const void*>(from), size, source,
                             const_cast<void*>(pc_of(site)));
        return;
    }
    std::memcpy(target, reinterpret_cast<const void*>(from), source);
    std::memset(static_cast<char*>(target) + source, 0, size - source);
}

void copy_commit() {
    if (Worker::current()->checker()) pycnn_emu_copy_commit();
}

// wait_all is also for copies that no group was closed for.
void copy_wait(uint32_t groups, uint32_t all) {
    if (!Worker::current()->checker()) return;
    if (all) pycnn_emu_copy_commit();
    pycnn_emu_copy_wait(static_cast<int>(groups));
}

// ---- Ends -------------------------------------------------------------------------------------

void trap(uint32_t why, uint32_t site) {
    static const char* const kReasons[] = {"trap", "brx.idx with an index beyond its targets",
                                           "a function that does not return has returned"};
    fail("assertion", kReasons[why], site);
}

std::string text_at(uint64_t address) {
    auto* text = reinterpret_cast<const char*>(address);
    return text ? std::string(text, strnlen(text, 4096)) : std::string();
}

void assertfail(uint64_t message, uint64_t file, uint32_t line, uint64_t, uint64_t, uint32_t) {
    Report report;
    report.kind = "assertion";
    report.message = "assertion failed: " + text_at(message);
    report.where = Position{text_at(file), static_cast<int>(line), nullptr};
    Worker::current()->fail(std::move(report));
}

// printf: the arguments lie one after another, each at a multiple of its size.
uint32_t vprintf(uint64_t format_address, uint64_t arguments, uint32_t) {
    std::string text = text_at(format_address), out;
    uint32_t count = 0;
    uint64_t at = arguments;
    auto take = [&](auto& value) {
        at = (at + sizeof(value) - 1) & ~uint64_t{sizeof(value) - 1};
        std::memcpy(&value, reinterpret_cast<const void*>(at), sizeof(value));
        at += sizeof(value);
        ++count;
    };
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        if (i + 1 < text.size() && text[i + 1] == '%') {
            out += text[++i];
            continue;
        }
        std::string spec = "%";
        int longs = 0;
        for (++i; i < text.size() && !std::strchr("diouxXeEfFgGaAcsp", text[i]); ++i) {
            if (text[i] == '*') {
                int width;
                take(width);
                spec += std::to_string(width);
            } else if (text[i] == 'l' || text[i] == 'z' || text[i] == 'j' || text[i] == 't') {
                ++longs;
            } else if (text[i] != 'h') {
                spec += text[i];
            }
        }
        if (i >= text.size()) break;
        char kind = text[i];
        if (std::strchr("eEfFgGaA", kind)) {
            double value;
            take(value);
            out += format((spec + kind).c_str(), value);
        } else if (kind == 's') {
            uint64_t value;
            take(value);
            out += format((spec + kind).c_str(), text_at(value).c_str());
        } else if (kind == 'p') {
            void* value;
            take(value);
            out += format((spec + kind).c_str(), value);
        } else if (longs) {
            long long value;
            take(value);
            out += format((spec + "ll" + kind).c_str(), value);
        } else {
            int value;
            take(value);
            out += format((spec + kind).c_str(), value);
        }
    }
    std::fputs(out.c_str(), stdout);
    return count;
}

// ---- The heap ---------------------------------------------------------------------------------

void* allocate(uint64_t size) { return Heap::allocate(size); }

void release(void* pointer, uint32_t site) {
    Worker* worker = Worker::current();
    if (worker->checker())
        worker->checker()->release_memory(worker->self().thread, pointer, pc_of(site));
    else if (pointer && !Heap::release(pointer))
        fail("out_of_bounds", "free of an address that malloc has not returned", site);
}

// ---- Arithmetic -------------------------------------------------------------------------------

uint64_t globaltimer() {
    auto now = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

constexpr int kModes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};

// `volatile` keeps the compiler from computing before the rounding mode is set or after it is back.
template <typename T>
T rounded(uint32_t code, T a, T b, T c) {
    volatile T x = a, y = b, z = c, result = 0;
    std::fesetround(kModes[code & 3]);
    switch (code >> 2) {
        case 0: result = x + y; break;
        case 1: result = x - y; break;
        case 2: result = x * y; break;
        case 3: result = x / y; break;
        case 4: result = std::fma(x, y, z); break;
        default: result = std::sqrt(x); break;
    }
    std::fesetround(FE_TONEAREST);
    return result;
}

float rounded32(uint32_t code, float a, float b, float c) { return rounded(code, a, b, c); }
double rounded64(uint32_t code, double a, double b, double c) { return rounded(code, a, b, c); }

double f64_of_i64(uint32_t code, uint64_t bits) {
    volatile uint64_t value = bits;
    volatile double result = 0;
    std::fesetround(kModes[code & 3]);
    result = code & 4 ? static_cast<double>(static_cast<int64_t>(value)) : static_cast<double>(value);
    std::fesetround(FE_TONEAREST);
    return result;
}

double rsqrt(double x) { return 1 / std::sqrt(x); }
double sine(double x) { return std::sin(x); }
double cosine(double x) { return std::cos(x); }
// The quarters of a turn come out exactly.
double turned(double x, double (*function)(double)) {
    constexpr double kTurn = 6.283185307179586476925;
    double part = x - std::floor(x), rest = part - 0.25 * std::floor(4 * part);
    double value = function(kTurn * part);
    return rest == 0 ? std::nearbyint(value) : value;
}
double sine_of_turns(double x) { return turned(x, sine); }
double cosine_of_turns(double x) { return turned(x, cosine); }
double ex2(double x) { return std::exp2(x); }
double lg2(double x) { return std::log2(x); }
double tangent(double x) { return std::tanh(x); }

const std::vector<Function>& functions() {
    static const std::vector<Function> table = [] {
        std::vector<Function> all = {
            {"access", address(ptx_access)},
            {"read4", address(plain_access<4, kRead>)},
            {"read8", address(plain_access<8, kRead>)},
            {"read16", address(plain_access<16, kRead>)},
            {"write4", address(plain_access<4, kWrite>)},
            {"write8", address(plain_access<8, kWrite>)},
            {"write16", address(plain_access<16, kWrite>)},
            {"compare", address(compare)},
            {"local", address(local)},
            {"fence", address(fence)},
            {"fence_block", address(fence_block)},
            {"barrier", address(barrier)},
            {"poll", address(poll)},
            {"copy_async", address(copy_async)},
            {"copy_commit", address(copy_commit)},
            {"copy_wait", address(copy_wait)},
            {"trap", address(trap)},
            {"assertfail", address(assertfail)},
            {"vprintf", address(vprintf)},
            {"malloc", address(allocate)},
            {"free", address(release)},
            {"globaltimer", address(globaltimer)},
            {"rounded32", address(rounded32)},
            {"rounded64", address(rounded64)},
            {"f64_of_i64", address(f64_of_i64)},
            {"rsqrt", address(rsqrt)},
            {"sin", address(sine)},
            {"cos", address(cosine)},
            {"sin2pi", address(sine_of_turns)},
            {"cos2pi", address(cosine_of_turns)},
            {"ex2", address(ex2)},
            {"lg2", address(lg2)},
            {"tanh", address(tangent)},
        };
        for (const auto* more : {&warp_functions(), &matrix_functions(), &async_functions(), &small_functions(),
                                 &wgmma_functions(), &mbarrier_functions(), &bulk_functions(),
                                 &cluster_functions(), &tensor_functions()})
            all.insert(all.end(), more->begin(), more->end());
        return all;
    }();
    return table;
}

}  // namespace

std::vector<std::string> ptx_functions() {
    std::vector<std::string> names;
    for (const Function& function : functions()) names.emplace_back(function.name);
    return names;
}

PtxKernel::PtxKernel(uintptr_t code, std::string name, std::vector<std::string> words,
                     const std::vector<SiteRow>& sites, std::vector<SharedRow> shared,
                     std::string dynamic_name)
    : code_(reinterpret_cast<Code>(code)), name_(std::move(name)),
      dynamic_name_(std::move(dynamic_name)), words_(std::move(words)),
      shared_rows_(std::move(shared)), entry_{nullptr, &PtxKernel::invoke, 0, &none_} {
    entry_.name = name_.c_str();
    const auto word = [&](int i) { return words_.at(static_cast<size_t>(i)).c_str(); };
    sites_.reserve(sites.size());
    for (const SiteRow& row : sites)
        sites_.push_back(Site{word(row.what), word(row.file), row.line, 0});
    for (const std::string& what : words_) {
        some_arrive_ |= what.compare(0, 3, "bar") == 0 && what.find(".arrive") != what.npos;
        for (const char* part : {".bulk", "wgmma.", "st.async", "red.async"})
            some_operate_ |= what.find(part) != what.npos;
    }
    for (const auto& [variable, file, line, size, offset] : shared_rows_)
        shared_.push_back(SharedVariable{variable.c_str(), file.c_str(), line, size, 16, offset, nullptr});
}

void PtxKernel::invoke(void* const* arguments) {
    auto* kernel = static_cast<PtxKernel*>(arguments[3]);
    if (Checker* checker = Worker::current()->checker(); checker && kernel->told_ != checker) {
        for (const SharedVariable& variable : kernel->shared_) checker->register_shared(variable);
        if (!kernel->dynamic_name_.empty()) checker->name_dynamic(kernel->dynamic_name_.c_str());
        kernel->told_ = checker;
    }
    kernel->code_(pycnn_emu_self, arguments[1], arguments[2]);
}

Outcome PtxKernel::launch(dim3 grid, dim3 block, dim3 cluster, size_t dynamic_shared,
                          void* parameters, void* globals, unsigned workers,
                          Order order, uint64_t seed, bool checked, double timeout,
                          uint64_t max_steps, Knowledge knowledge, const Interrupted& interrupted) {
    std::vector<void*> context{globals};
    for (const Function& function : functions()) context.push_back(function.address);
    void* arguments[] = {nullptr, context.data(), parameters, this};
    told_ = nullptr;
    knowledge.operations = some_operate_;
    Launch job{&entry_, grid, block, dynamic_shared, arguments, order, seed, 0, 0, timeout,
               max_steps, cluster.x ? cluster : dim3(), cluster.x != 0,
               checked ? nullptr : code_};
    return checked ? run_checked(job, std::move(knowledge), interrupted)
                   : run(job, workers, interrupted);
}

}  // namespace pycnn_emu
