// NVRTC as it is, but for one thing: behind every cubin stands what it was compiled from.
//
// The stand-in driver cannot run machine code. It finds the source behind the cubin and has the
// emulator run that (`pycnn_standin.cubin` reads it). The real NVRTC still compiles each kernel, so
// that one which does not compile for the architecture fails here as it does on a GPU.
//
// The trailer is kMagic, the options, the name expressions and the source, each ended by a null. The version number is one
// that no NVRTC has: no cache may take these cubins for those of the real one.

#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <map>
#include <mutex>
#include <string>

#include <nvrtc.h>

namespace {

constexpr char kMagic[] = "pycnn stand-in";  // written with its null
constexpr int kOwnVersions = 1000;

struct Source {
    std::string text;
    std::string options;      // one a line
    std::string expressions;  // name expressions, one a line: "<lowered name> <expression>"
};

std::mutex mutex;
std::map<nvrtcProgram, Source> sources;

// A function of the real library, whose path the launcher gives.
template <typename Function>
Function* real(Function*, const char* name) {
    static void* library = dlopen(std::getenv("PYCNN_STANDIN_NVRTC"), RTLD_NOW | RTLD_LOCAL);
    if (!library) std::abort();
    return reinterpret_cast<Function*>(dlsym(library, name));
}
#define REAL(name) real(name, #name)

Source& source(nvrtcProgram program) {
    std::lock_guard<std::mutex> lock(mutex);
    return sources[program];
}

std::string trailer(nvrtcProgram program) {
    const Source& s = source(program);
    std::string text(kMagic, sizeof kMagic);
    for (const std::string& part : {s.options, s.expressions, s.text})
        text.append(part.c_str(), part.size() + 1);
    return text;
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
    nvrtcResult result = REAL(nvrtcCreateProgram)(program, text, name, count, headers, names);
    if (result == NVRTC_SUCCESS) source(*program) = Source{text, "", ""};
    return result;
}

nvrtcResult nvrtcDestroyProgram(nvrtcProgram* program) {
    {
        std::lock_guard<std::mutex> lock(mutex);
        sources.erase(*program);
    }
    return REAL(nvrtcDestroyProgram)(program);
}

nvrtcResult nvrtcAddNameExpression(nvrtcProgram program, const char* expression) {
    return REAL(nvrtcAddNameExpression)(program, expression);
}

nvrtcResult nvrtcGetLoweredName(nvrtcProgram program, const char* expression, const char** name) {
    nvrtcResult result = REAL(nvrtcGetLoweredName)(program, expression, name);
    if (result == NVRTC_SUCCESS)
        source(program).expressions += std::string(*name) + " " + expression + "\n";
    return result;
}

nvrtcResult nvrtcCompileProgram(nvrtcProgram program, int count, const char* const* options) {
    Source& s = source(program);
    for (int i = 0; i < count; ++i) s.options += std::string(options[i]) + "\n";
    return REAL(nvrtcCompileProgram)(program, count, options);
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
