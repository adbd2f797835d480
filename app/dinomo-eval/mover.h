// SPDX-License-Identifier: BSD-3-Clause
// Moves data from KN to KN, as a store with partitioned data has to when ownership changes: reads
// keys through their owners of now, keeps what they gave, writes it through their owners of then.
// Thread rule: the event loop's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "app/dinomo-eval/engine.h"

namespace dinomo::eval {

class Mover final : public Source {
 public:
  void read(std::vector<uint64_t> keys) {
    values_.assign(keys.size(), 0);
    keys_ = std::move(keys);
    begin(false);
  }
  void write() { begin(true); }
  bool finished() const noexcept { return done_ == keys_.size(); }
  /// Keys that were not there, or did not get to where they should.
  uint64_t failed() const noexcept { return failed_; }

  bool next(Operation* o) override {
    if (begun_ == keys_.size()) return false;
    o->put = writing_;
    o->key = keys_[begun_];
    if (writing_) o->value = values_[begun_];
    ++begun_;
    return true;
  }
  void done(const Operation& o) override {
    ++done_;
    failed_ += ok(o.status) ? 0 : 1;
    if (writing_) return;
    const auto at = std::ranges::lower_bound(keys_, o.key);  // they are in order
    values_[static_cast<size_t>(at - keys_.begin())] = o.value;
  }

 private:
  void begin(bool writing) noexcept {
    writing_ = writing;
    begun_ = done_ = 0;
  }

  std::vector<uint64_t> keys_;
  std::vector<uint64_t> values_;
  bool writing_ = false;
  uint64_t begun_ = 0;
  uint64_t done_ = 0;
  uint64_t failed_ = 0;
};

}  // namespace dinomo::eval
