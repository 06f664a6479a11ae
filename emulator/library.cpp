#include "library.h"

#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>

#include <cxxabi.h>
#include <dlfcn.h>
#if defined(__linux__)
#include <link.h>
#endif

namespace pycnn_emu {

namespace {

#if defined(__linux__)

std::string demangle(const char* name) {
    int status = 0;
    std::unique_ptr<char, void (*)(void*)> text(
        abi::__cxa_demangle(name, nullptr, nullptr, &status), std::free);
    return status == 0 ? text.get() : name;
}

// Whether `name`, without its namespaces, is one of the words of `list`.
bool listed(const std::string& name, const char* list) {
    size_t colon = name.rfind("::");
    std::string word = " " + (colon == std::string::npos ? name : name.substr(colon + 2)) + " ";
    return list && std::strstr(list, word.c_str());
}

struct Segments {
    uintptr_t base;
    LibraryMap* map;
};

int add_segments(dl_phdr_info* module, size_t, void* argument) {
    auto& [base, map] = *static_cast<Segments*>(argument);
    if (module->dlpi_addr != base) return 0;
    LibraryMap::Span relro{0, 0};
    for (int i = 0; i < module->dlpi_phnum; ++i) {
        const auto& segment = module->dlpi_phdr[i];
        uintptr_t begin = base + segment.p_vaddr;
        LibraryMap::Span span{begin, begin + segment.p_memsz};
        if (segment.p_type == PT_GNU_RELRO) relro = span;
        if (segment.p_type != PT_LOAD) continue;
        (segment.p_flags & PF_W ? map->writable : map->read_only).push_back(span);
    }
    if (relro.end) map->read_only.push_back(relro);
    return 1;
}

template <typename T>
const T* at(const std::vector<char>& file, size_t offset, size_t count = 1) {
    bool inside = offset <= file.size() && count <= (file.size() - offset) / sizeof(T);
    return inside ? reinterpret_cast<const T*>(file.data() + offset) : nullptr;
}

// Every data symbol, static ones included: `f(name, address, size)`.
template <typename F>
void each_symbol(const std::vector<char>& file, uintptr_t base, F f) {
    const auto* header = at<ElfW(Ehdr)>(file, 0);
    const auto* sections =
        header ? at<ElfW(Shdr)>(file, header->e_shoff, header->e_shnum) : nullptr;
    if (!sections) return;
    for (unsigned i = 0; i < header->e_shnum; ++i) {
        const ElfW(Shdr)& table = sections[i];
        if (table.sh_type != SHT_SYMTAB || table.sh_link >= header->e_shnum) continue;
        const ElfW(Shdr)& names = sections[table.sh_link];
        const auto* symbols = at<ElfW(Sym)>(file, table.sh_offset, table.sh_size / sizeof(ElfW(Sym)));
        const char* text = at<char>(file, names.sh_offset, names.sh_size);
        if (!symbols || !text) continue;
        for (size_t s = 0; s < table.sh_size / sizeof(ElfW(Sym)); ++s)
            if ((symbols[s].st_info & 0xf) == STT_OBJECT && symbols[s].st_name < names.sh_size)
                f(text + symbols[s].st_name, base + symbols[s].st_value, symbols[s].st_size);
    }
}

std::unique_ptr<LibraryMap> read(const Dl_info& info) {
    auto map = std::make_unique<LibraryMap>();
    Segments segments{reinterpret_cast<uintptr_t>(info.dli_fbase), map.get()};
    dl_iterate_phdr(add_segments, &segments);
    std::ifstream stream(info.dli_fname, std::ios::binary);
    std::vector<char> file{std::istreambuf_iterator<char>(stream), {}};
    if (file.empty())  // gone since it was loaded: its data is not watched
        for (const auto& span : map->writable)
            map->variables.push_back({span.begin, span.end - span.begin, "", false, true});
    const char* constants = nullptr;
    each_symbol(file, segments.base, [&](const char* name, uintptr_t address, size_t) {
        if (std::strcmp(name, "pycnn_emu_constants") == 0)
            constants = reinterpret_cast<const char*>(address);
    });
    each_symbol(file, segments.base, [&](const char* name, uintptr_t address, size_t size) {
        if (map->is_read_only(address)) return;
        std::string plain = demangle(name);
        bool internal = std::strstr(name, "pycnn_emu") || std::strncmp(name, "_ZGV", 4) == 0;
        bool constant = listed(plain, constants);
        map->variables.push_back({address, size, std::move(plain), constant, internal});
    });
    return map;
}

#else

std::unique_ptr<LibraryMap> read(const Dl_info& info) {
    // No list of symbols here: what lies near the code is taken for its data, and not watched.
    auto base = reinterpret_cast<uintptr_t>(info.dli_fbase);
    auto map = std::make_unique<LibraryMap>();
    map->read_only.push_back({base, base + (uintptr_t{1} << 24)});
    return map;
}

#endif

}  // namespace

const LibraryMap& library_of(const void* code) {
    static std::mutex mutex;
    static std::map<const void*, std::unique_ptr<LibraryMap>> known;  // never unloaded
    static const LibraryMap none;  // of code that was made in memory
    Dl_info info{};
    if (!dladdr(code, &info)) return none;
    std::lock_guard<std::mutex> lock(mutex);
    auto& map = known[info.dli_fbase];
    if (!map) map = read(info);
    return *map;
}

}  // namespace pycnn_emu
