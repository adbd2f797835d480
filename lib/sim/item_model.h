// SPDX-License-Identifier: BSD-3-Clause
// The sequential meaning of every operation on one key: what the checker holds replies against.
//
// Where the outside cannot know what a server had to decide, the model allows both:
//   expiry   an item that was stored with a lifetime may be absent from (invocation + lifetime -
//            skew) on and must be from (reply + lifetime + skew) on; skew bounds how far the clocks
//            of servers and clients are apart
//   version  the version that an unanswered mutation gave is open until a reply tells it
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "sim/history.h"

namespace dinomo::sim {

struct ItemModelOptions {
  uint64_t clock_skew_ns = 0;  // clocks of any two machines differ by at most this
};

/// Of one key, between two operations.
struct ItemState {
  static constexpr uint64_t kVersionOpen = 0;            // not told yet, and new
  static constexpr uint64_t kVersionAny = ~uint64_t{0};  // not told yet, may be an old one

  bool present = false;
  uint32_t value = 0;  // index in the model's table of values
  uint32_t item_flags = 0;
  uint64_t version = kVersionOpen;
  uint64_t expires_from_ns = kNever;   // may be absent from here on
  uint64_t expires_until_ns = kNever;  // is absent from here on

  bool operator==(const ItemState&) const noexcept = default;
};

class ItemModel {
 public:
  /// Stands for all values that no reply ever showed: they are one state.
  static constexpr std::string_view kHidden{"\0a value that was never seen", 28};

  /// `operations` are those of one key, all of them, so that the versions are known.
  ItemModel(const ItemModelOptions& options, const std::vector<const Operation*>& operations);

  struct Successors {
    std::array<ItemState, 2> state;
    uint32_t count = 0;
    void add(const ItemState& s) noexcept {
      if (count == 0 || (count == 1 && !(state[0] == s))) state[count++] = s;
    }
  };

  /// States after `operation` took effect in `from`; none if its reply contradicts `from`.
  Successors step(const ItemState& from, const Operation& operation);

  /// Whether the reply says that nothing was carried out (refused, or a question without effect
  /// that was not answered): the operation says nothing and is left out.
  static bool says_nothing(const Operation& operation) noexcept;

  std::string describe(const ItemState& state) const;

 private:
  void step_unexpired(const ItemState& from, const Operation& o, Successors* out);
  void store(const ItemState& from, const Operation& o, std::string value, bool keeps_lifetime,
             Successors* out);
  void concatenate(const ItemState& from, const Operation& o, Successors* out);
  void count(const ItemState& from, const Operation& o, Successors* out);
  void touch(const ItemState& from, const Operation& o, Successors* out);
  void read(const ItemState& from, const Operation& o, Successors* out);
  void compare_and_store(const ItemState& from, const Operation& o, Successors* out);
  void set_lifetime(ItemState* state, const Operation& o) const noexcept;
  bool fits_item(const ItemState& state, const Operation& o) const noexcept;
  bool version_possible(const ItemState& state, uint64_t version) const noexcept;
  uint32_t intern(std::string value);

  const ItemModelOptions options_;
  std::vector<std::string> values_;
  std::unordered_map<std::string, uint32_t> value_index_;
  std::unordered_set<uint64_t> told_versions_;  // that answered mutations gave
};

}  // namespace dinomo::sim
