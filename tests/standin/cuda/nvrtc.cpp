// NVRTC as it is, but for one thing: behind every cubin stands its PTX.
//
// The stand-in driver cannot run machine code. It finds the PTX behind the cubin and has the emulator
// run that (`pycnn_standin.cubin` reads it). The real NVRTC still compiles each kernel, so that one
// which does not compile for the architecture fails here as it does on a GPU. It is told to keep
// lines, which changes no code, so that a report can name them.
//
// The trailer is kMagic and the PTX, each ended by a null. The version number is one that no NVRTC
// has: no cache may take these cubins for those of the real one.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <string>
#include <vector>

#include <nvrtc.h>

namespace {

constexpr char kMagic[] = "pycnn stand-in";  // written with its null
constexpr int kOwnVersions = 2000;

// A function of the real library, whose path the launcher gives.
template <typename Function>
Function* real(Function*, const char* name) {
    static void* library = dlopen(std::getenv("PYCNN_STANDIN_NVRTC"), RTLD_NOW | RTLD_LOCAL);
    if (!library) std::abort();
    return reinterpret_cast<Function*>(dlsym(library, name));
}
#define REAL(name) real(name, #name)

std::string trailer(nvrtcProgram program) {
    size_t size = 0;
    if (REAL(nvrtcGetPTXSize)(program, &size) != NVRTC_SUCCESS) return {};
    std::string text(size, '\0');
    if (REAL(nvrtcGetPTX)(program, text.data()) != NVRTC_SUCCESS) return {};
    return std::string(kMagic, sizeof kMagic) + text;
}

}  // namespace

extern "C" {

const char* nvrtcGetErrorString(nvrtcResult result) { return REAL(nvrtcGetErrorString)(result); }

nvrtcResult nvrtcVersion(int* major, int* minor) {
    nvrtcResult result = REAL(nvrtcVersion)(major, minor);
    *minor += kOwnVersions;
    return result;
}

nvrtcResult nvrtcGetNumSupportedArchs(int* count) { return REAL(nvrtcGetNumSupportedArchs)(count); }
nvrtcResult nvrtcGetSupportedArchs(int* archs) { return REAL(nvrtcGetSupportedArchs)(archs); }

nvrtcResult nvrtcCreateProgram(nvrtcProgram* program, const char* text, const char* name, int count,
                               const char* const* headers, const char* const* names) {
    return REAL(nvrtcCreateProgram)(program, text, name, count, headers, names);
}

nvrtcResult nvrtcDestroyProgram(nvrtcProgram* program) {
    return REAL(nvrtcDestroyProgram)(program);
}

nvrtcResult nvrtcAddNameExpression(nvrtcProgram program, const char* expression) {
    return REAL(nvrtcAddNameExpression)(program, expression);
}

nvrtcResult nvrtcGetLoweredName(nvrtcProgram program, const char* expression, const char** name) {
    return REAL(nvrtcGetLoweredName)(program, expression, name);
}

nvrtcResult nvrtcCompileProgram(nvrtcProgram program, int count, const char* const* options) {
    std::vector<const char*> all(options, options + count);
    bool lines = std::any_of(all.begin(), all.end(), [](const char* option) {
        return !std::strcmp(option, "-lineinfo") || !std::strcmp(option, "--generate-line-info");
    });
    if (!lines) all.push_back("-lineinfo");
    return REAL(nvrtcCompileProgram)(program, static_cast<int>(all.size()), all.data());
}

nvrtcResult nvrtcGetProgramLogSize(nvrtcProgram program, size_t* size) {
    return REAL(nvrtcGetProgramLogSize)(program, size);
}

nvrtcResult nvrtcGetProgramLog(nvrtcProgram program, char* log) {
    return REAL(nvrtcGetProgramLog)(program, log);
}

nvrtcResult nvrtcGetPTXSize(nvrtcProgram program, size_t* size) {
    return REAL(nvrtcGetPTXSize)(program, size);
}

nvrtcResult nvrtcGetPTX(nvrtcProgram program, char* ptx) { return REAL(nvrtcGetPTX)(program, ptx); }

nvrtcResult nvrtcGetCUBINSize(nvrtcProgram program, size_t* size) {
    nvrtcResult result = REAL(nvrtcGetCUBINSize)(program, size);
    if (result == NVRTC_SUCCESS) *size += trailer(program).size();
    return result;
}

nvrtcResult nvrtcGetCUBIN(nvrtcProgram program, char* cubin) {
    size_t size;
    nvrtcResult result = REAL(nvrtcGetCUBINSize)(program, &size);
    if (result != NVRTC_SUCCESS) return result;
    std::string text = trailer(program);
    std::memcpy(cubin + size, text.data(), text.size());
    return REAL(nvrtcGetCUBIN)(program, cubin);
}

}  // extern "C"
