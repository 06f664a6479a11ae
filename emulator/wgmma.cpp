#include "wgmma.h"

#include <algorithm>

namespace pycnn_emu {

namespace {

constexpr unsigned kAllWarps = 15;
constexpr uint32_t kMixed = 1;  // no swizzle

}  // namespace

void Wgmma::begin(unsigned threads) {
    warpgroups_.assign((threads + kWarpgroup - 1) / kWarpgroup, {});
    warps_.assign((threads + kWarp - 1) / kWarp, {});
    threads_.assign(threads, {});
}

bool Wgmma::issue(unsigned thread, const Issue& issue, const Known& done, Issue& other) {
    auto& products = warpgroups_[thread / kWarpgroup].products;
    size_t at = warps_[thread / kWarp].issued++;
    if (at == products.size()) {
        products.push_back({issue, 0, at ? products.back().done : Known{}});
    } else if (products[at].issue.site.place != issue.site.place ||
               products[at].issue.a != issue.a || products[at].issue.b != issue.b) {
        other = products[at].issue;
        return false;
    }
    products[at].warps |= 1u << thread / kWarp % 4;
    // Later ones are done only when this one is, too.
    for (size_t i = at; i < products.size(); ++i) products[i].done.add(done);
    return true;
}

void Wgmma::loaded(uint32_t site, uint32_t swizzle) {
    uint32_t& known = swizzles_.emplace(site, swizzle).first->second;
    if (known != swizzle) known = kMixed;
}

std::optional<uint32_t> Wgmma::swizzle_of(uint32_t site) const {
    auto found = swizzles_.find(site);
    if (found == swizzles_.end() || found->second == kMixed) return std::nullopt;
    return found->second;
}

void Wgmma::commit(unsigned thread) {
    threads_[thread].groups.push_back(issued(thread));
}

uint32_t Wgmma::close(unsigned thread, uint32_t pending) {
    Thread& me = threads_[thread];
    if (me.groups.size() > pending) {
        auto end = me.groups.end() - static_cast<std::ptrdiff_t>(pending);
        me.done = std::max(me.done, *(end - 1));
        me.groups.erase(me.groups.begin(), end);
    }
    return me.done;
}

bool Wgmma::complete(unsigned thread, uint32_t product) const {
    if (!product) return true;
    // They are issued in order, so the last stands for all before it.
    return warpgroups_[thread / kWarpgroup].products[product - 1].warps == kAllWarps;
}

const Known& Wgmma::known(unsigned thread, uint32_t product) const {
    return warpgroups_[thread / kWarpgroup].products[product - 1].done;
}

void Wgmma::sleep(unsigned thread) { warpgroups_[thread / kWarpgroup].sleepers.push_back(thread); }

std::vector<unsigned> Wgmma::sleepers(unsigned thread) {
    std::vector<unsigned> all;
    all.swap(warpgroups_[thread / kWarpgroup].sleepers);
    return all;
}

}  // namespace pycnn_emu
