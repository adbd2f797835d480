// SPDX-License-Identifier: BSD-3-Clause
// What to do next: operation by exact random mix, key by distribution, value size by range.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "app/dinomo-bench/zipf.h"
#include "client/random.h"

namespace dinomo::bench {

enum class OpKind : uint8_t { kRead, kUpdate, kInsert, kReadModifyWrite, kLoad };
inline constexpr size_t kOpKinds = 5;
const char* op_kind_name(OpKind kind) noexcept;

enum class Distribution : uint8_t { kZipfian, kUniform, kLatest };
const char* distribution_name(Distribution d) noexcept;

/// Shares of the operations; they add up to 1.
struct Mix {
  double read = 1;
  double update = 0;
  double insert = 0;
  double rmw = 0;

  /// Each operation is drawn on its own: no cycle, no bursts, the exact shares in the mean.
  OpKind draw(client::Random* random) const noexcept;
};

struct Workload {
  Mix mix;
  Distribution distribution = Distribution::kZipfian;
};

/// "a" "b" "c" "d" "f" (any case), "100/0" "95/5" "50/50"; nullopt for another name.
std::optional<Workload> workload_by_name(std::string_view name);

struct SizeRange {
  uint32_t min = 1024;
  uint32_t max = 1024;
  uint32_t draw(client::Random* random) const noexcept {
    return min == max ? min : min + static_cast<uint32_t>(random->below(max - min + 1));
  }
};
/// "1024" or "16-4096".
std::optional<SizeRange> parse_size_range(std::string_view text);

/// Keys that exist: 0..loaded-1, and what was inserted since. Shared by all threads.
struct KeySpace {
  uint64_t loaded = 0;
  std::atomic<uint64_t> newest{0};  // largest acknowledged key
};

/// Chooses keys to read or update. One per thread.
class KeyChooser {
 public:
  KeyChooser(Distribution distribution, double theta, const KeySpace* space);
  uint64_t choose(client::Random* random) noexcept;

 private:
  Distribution distribution_;
  const KeySpace* space_;
  Zipf zipf_;
  Scramble scramble_;
};

/// The key nearest to `key` that thread `thread` of `threads` may write. `loaded` >= threads.
inline uint64_t own_key(uint64_t key, uint32_t thread, uint32_t threads, uint64_t loaded) noexcept {
  const uint64_t own = key - key % threads + thread;
  return own < loaded ? own : own - threads;
}

}  // namespace dinomo::bench
