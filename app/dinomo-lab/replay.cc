// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-lab/replay.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_map>
#include <vector>

#include "cache/adaptive.h"

namespace dinomo::lab {
namespace {

using cache::Found;

// The newest state of each key, to check answers by.
struct KeyState {
  uint32_t version = 0;  // 0: deleted
  uint32_t number = 0;
  uint32_t value_bytes = 0;
};

class Replay {
 public:
  Replay(const Stream& stream, const ReplaySetup& setup, cache::Dac& dac)
      : setup_(setup), dac_(dac), value_(kValueRoomBytes, std::byte{0x5a}) {
    keys_.reserve(stream.keys);
  }

  /// Round trips of one operation; 0 for writes.
  uint32_t step(const KeyStreamRecord& r) {
    const auto [at, fresh] = keys_.try_emplace(r.key_hash);
    KeyState& k = at->second;
    if (fresh) k = {.version = 1, .number = static_cast<uint32_t>(keys_.size())};
    std::memset(key_.data(), 0, r.key_bytes);
    std::memcpy(key_.data(), &r.key_hash, std::min<size_t>(r.key_bytes, sizeof r.key_hash));
    key_bytes_ = r.key_bytes;
    switch (static_cast<StreamOp>(r.op)) {
      case StreamOp::kGet: return get(r, k);
      case StreamOp::kPut: put(r, k); return 0;
      case StreamOp::kDelete: break;
    }
    k.version = 0;
    dac_.remove(r.key_hash, key());
    return 0;
  }

  uint64_t wrong() const { return wrong_; }

 private:
  static constexpr size_t kValueRoomBytes = 65536;

  Bytes key() const { return Bytes(key_).first(key_bytes_); }
  Bytes value(uint32_t bytes) const {
    return Bytes(value_).first(std::min<size_t>(bytes, value_.size()));
  }
  static pool::GlobalAddress address(const KeyState& k) {
    return pool::GlobalAddress::direct(1, (uint64_t{k.number} << 8 | (k.version & 0xff)) * 64, 64,
                                       k.version);
  }
  cache::ItemMeta meta(const KeyState& k) const { return {.version = k.version}; }

  void put(const KeyStreamRecord& r, KeyState& k) {
    ++k.version;
    k.value_bytes = r.value_bytes;
    dac_.update(r.key_hash, key(), value(r.value_bytes), meta(k), address(k));
  }

  uint32_t get(const KeyStreamRecord& r, KeyState& k) {
    const bool absent = (r.flags & KeyStreamRecord::kAbsent) != 0;
    if (!absent && k.version == 0) ++k.version;  // deleted in the recording by somebody unseen
    const Found found = dac_.find(r.key_hash, key());
    if (found.kind == Found::Kind::kValue) {
      if (found.meta.version != k.version || found.address != address(k)) ++wrong_;
      return 0;
    }
    uint32_t wasted = 0;
    if (found.kind == Found::Kind::kShortcut) {
      if (found.address == address(k)) {
        dac_.fill_shortcut_hit(r.key_hash, key(), value(r.value_bytes), meta(k), address(k));
        return 1;
      }
      wasted = 1;  // led to the entry of another key, or to one that is no more
      dac_.drop_shortcut(r.key_hash, found.address);
    }
    if (!absent) {
      dac_.fill_miss(r.key_hash, key(), value(r.value_bytes), meta(k), address(k), setup_.miss_rt);
    }
    return wasted + setup_.miss_rt;
  }

  const ReplaySetup& setup_;
  cache::Dac& dac_;
  std::vector<std::byte> value_;
  std::array<std::byte, 256> key_{};
  size_t key_bytes_ = 0;
  std::unordered_map<uint64_t, KeyState> keys_;
  uint64_t wrong_ = 0;
};

}  // namespace

ReplayResult replay(const Stream& stream, const ReplaySetup& setup) {
  ReplayResult result;
  auto made = cache::Dac::create({.budget_bytes = setup.budget_bytes,
                                  .policy = setup.policy.policy,
                                  .static_value_fraction = setup.policy.static_value_fraction,
                                  .initial_miss_rt = static_cast<double>(setup.miss_rt)});
  if (!made) return result;
  cache::Dac& dac = **made;
  Replay run(stream, setup, dac);
  const auto warm =
      static_cast<size_t>(static_cast<double>(stream.accesses.size()) * setup.warm_up);
  uint64_t round_trips = 0;
  cache::DacStats at_start;
  for (size_t i = 0; i < stream.accesses.size(); ++i) {
    if (i == warm) at_start = dac.stats();
    const uint32_t cost = run.step(stream.accesses[i]);
    if (i >= warm && stream.accesses[i].op == static_cast<uint8_t>(StreamOp::kGet)) {
      round_trips += cost;
      ++result.reads;
    }
    if (i % 1024 == 0) {
      const cache::DacStats s = dac.stats();
      result.held_most_bytes = std::max({result.held_most_bytes, s.used_bytes, s.allocated_bytes});
    }
  }
  result.created = true;
  result.stats = dac.stats();
  result.wrong = run.wrong();
  const auto reads = static_cast<double>(std::max<uint64_t>(result.reads, 1));
  result.rts_per_read = static_cast<double>(round_trips) / reads;
  result.value_hit_share =
      static_cast<double>(result.stats.value_hits - at_start.value_hits) / reads;
  result.shortcut_hit_share =
      static_cast<double>(result.stats.shortcut_hits - at_start.shortcut_hits) / reads;
  return result;
}

double best_fixed_contents(const Stream& stream, const ReplaySetup& setup) {
  struct Use {
    uint64_t reads = 0;
    uint32_t item_bytes = 0;
  };
  std::unordered_map<uint64_t, Use> uses;
  const auto warm =
      static_cast<size_t>(static_cast<double>(stream.accesses.size()) * setup.warm_up);
  uint64_t reads = 0;
  for (size_t i = warm; i < stream.accesses.size(); ++i) {
    const KeyStreamRecord& r = stream.accesses[i];
    if (r.op != static_cast<uint8_t>(StreamOp::kGet)) continue;
    Use& use = uses[r.key_hash];
    ++use.reads;
    ++reads;
    use.item_bytes = cache::Item::bytes_for(r.key_bytes, r.value_bytes);
  }
  // First a key's shortcut, then its value: each step saves round trips for bytes, and the steps
  // that save most for a byte are taken. Where the value saves more for a byte than the shortcut
  // does, both are one step.
  struct Step {
    double saved;
    double bytes;
  };
  std::vector<Step> steps;
  for (const auto& [hash, use] : uses) {
    const auto n = static_cast<double>(use.reads);
    const Step shortcut{n * (setup.miss_rt - 1.0), cache::kSlotBytes};
    const Step more{n, double{1} * use.item_bytes};
    if (shortcut.saved * more.bytes > more.saved * shortcut.bytes) {
      steps.push_back(shortcut);
      steps.push_back(more);
    } else {
      steps.push_back({shortcut.saved + more.saved, shortcut.bytes + more.bytes});
    }
  }
  std::ranges::sort(
      steps, [](const Step& a, const Step& b) { return a.saved * b.bytes > b.saved * a.bytes; });
  auto left = static_cast<double>(setup.budget_bytes);
  double cost = static_cast<double>(reads) * setup.miss_rt;
  for (const Step& s : steps) {
    const double part = std::min(1.0, left / s.bytes);
    cost -= s.saved * part;
    left -= s.bytes * part;
    if (left <= 0) break;
  }
  return reads == 0 ? 0 : cost / static_cast<double>(reads);
}

}  // namespace dinomo::lab
