// SPDX-License-Identifier: BSD-3-Clause
// Recovers an image with the product's own recovery and says whether the outcome is legal:
//  * recovery succeeds and finds nothing to discard: a crash alone damages nothing;
//  * every log is merged up to a point that is not before what was acknowledged and not after what
//    was written, and every key, present or deleted, is exactly as of that point; only an item
//    whose time was over may be there or not;
//  * outcomes of sessions are those of that point;
//  * the check of dinomo-dpm --check finds nothing;
//  * counters equal what a count finds; a segment in use is not free; no grant that a KN could
//    have heard of is forgotten, and generations grow;
//  * requests that were pending are answered;
//  * the pool goes on serving, and after all keys are deleted it is as free as when new, also
//    after another start.
#pragma once

#include <string>

#include "test/crash/mini_kn.h"

namespace dinomo::test {

class Judge {
 public:
  /// Both change while the run goes on; `live` is the pool as its processes see it.
  Judge(const Oracle& oracle, ImageSpace& live);

  /// What is wrong with the image, empty if it is legal. Uses the image up.
  std::string operator()(ImageSpace& image);

 private:
  std::string recovered();
  std::string keys_of(uint32_t log, uint64_t lsn);
  std::string key_of(uint32_t log, uint32_t key, uint64_t lsn);
  std::string sessions_of(uint32_t log, uint64_t lsn);
  std::string checked();
  std::string counters();
  std::string grants_kept();
  std::string requests_answered();
  std::string serves();
  std::string fills(MiniKn& kn, uint32_t log);
  std::string empties(MiniKn& kn, uint32_t log);
  std::string as_free_as_new();
  /// "-" if absent, "(broken)" if the index refers to no such entry.
  std::string value_of(const std::string& key, uint64_t* live_bytes);
  bool outcome_kept(const Written& written, uint32_t log);

  const Oracle& oracle_;
  ImageSpace& live_;
  ImageSpace* image_ = nullptr;
  Node* node_ = nullptr;
  std::array<uint64_t, kLogs> lsns_{};
  std::array<std::vector<std::byte>, kLogs> staging_;
};

}  // namespace dinomo::test
