// SPDX-License-Identifier: BSD-3-Clause
#include "index/reclaimer.h"

#include <utility>

namespace dinomo::index {

void Reclaimer::retire_table(uint64_t offset) { next_tables_.push_back(offset); }

uint32_t Reclaimer::poll(uint64_t now_ns, uint64_t grace_ns) {
  if (buckets_.empty() && tables_.empty()) {
    if (next_tables_.empty() && !overflow_.has_retired()) return 0;
    overflow_.take_retired(&buckets_);
    tables_ = std::exchange(next_tables_, {});
    since_ns_ = now_ns;
    sections_.begin_wait();
  }
  if (!sections_.ended() || now_ns - since_ns_ < grace_ns) return 0;
  const auto count = static_cast<uint32_t>(buckets_.size() + tables_.size());
  given_back_ += tables_.size() + overflow_.release(buckets_);
  for (const uint64_t offset : tables_) space_.release(offset);
  buckets_.clear();
  tables_.clear();
  return count;
}

}  // namespace dinomo::index
