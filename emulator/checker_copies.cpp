// cp.async in the checked build: copies that come when they are waited for.
#include <cstring>

#include "access.h"
#include "checker.h"

namespace pycnn_emu {

void Checker::copy_async(unsigned thread, void* shared, const void* global, size_t size,
                         size_t source_size, const void* pc) {
    if (source_size) access(thread, global, source_size, kRead, pc);
    auto address = reinterpret_cast<uintptr_t>(shared);
    access_part(thread, address, size, kWrite, pc, true);
    auto copy = std::make_shared<Copy>(Copy{shared, std::vector<char>(size, 0), pc, false});
    std::memcpy(copy->bytes.data(), global, source_size);
    block_->copies[thread].open.push_back(std::move(copy));
    for (uintptr_t word = address; word < address + size; word += kWord)
        shared_word(word).cell->pending = byte_mask(word, address, address + size);
}

void Checker::copy_commit(unsigned thread) {
    Copies& copies = block_->copies[thread];
    copies.groups.push_back(std::move(copies.open));
    copies.open.clear();
}

void Checker::copy_wait(unsigned thread, size_t groups_in_flight) {
    auto& groups = block_->copies[thread].groups;
    while (groups.size() > groups_in_flight) {
        complete(thread, groups.front());
        groups.erase(groups.begin());
    }
}

void Checker::complete(unsigned thread, CopyGroup& copies) {
    for (const auto& copy : copies) {
        if (!arrive(*copy)) continue;
        auto address = reinterpret_cast<uintptr_t>(copy->shared);
        for (uintptr_t word = address; word < address + copy->bytes.size(); word += kWord) {
            uint8_t mask = byte_mask(word, address, address + copy->bytes.size());
            block_->records.add(shared_word(word), record(thread, copy->pc, kWrites, mask),
                                block_->order);
        }
    }
}

// False if it has come before.
bool Checker::arrive(Copy& copy) {
    if (copy.done) return false;
    copy.done = true;
    std::memcpy(copy.shared, copy.bytes.data(), copy.bytes.size());
    auto address = reinterpret_cast<uintptr_t>(copy.shared);
    for (uintptr_t word = address; word < address + copy.bytes.size(); word += kWord)
        shared_word(word).cell->pending = 0;
    return true;
}

CopyGroup Checker::copies_on_way(unsigned thread) const {
    const Copies& copies = block_->copies[thread];
    CopyGroup all = copies.open;
    for (const CopyGroup& group : copies.groups) all.insert(all.end(), group.begin(), group.end());
    return all;
}

void Checker::copies_come(const CopyGroup& copies) {
    for (const auto& copy : copies) arrive(*copy);
}

}  // namespace pycnn_emu
