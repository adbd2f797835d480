// SPDX-License-Identifier: BSD-3-Clause
// Gives memory of the index back once nobody can be in it any more: overflow buckets that were
// unlinked and tables that were replaced. Local users are told by their sections; remote readers by
// time: a KN serves only while its lease is valid, and each renewal of the lease is followed by a
// look at the index root, so a table that the root does not name is out of use one lease later.
// (A reader that breaks this rule meets a bucket of another chain or no bucket, see serves_chain.)
//
// Thread rule: service thread.
#pragma once

#include <cstdint>
#include <vector>

#include "index/overflow_pool.h"
#include "index/sections.h"
#include "pool/space.h"

namespace dinomo::index {

class Reclaimer {
 public:
  Reclaimer(pool::Space& space, OverflowPool& overflow, Sections& sections) noexcept
      : space_(space), overflow_(overflow), sections_(sections) {}

  /// The root names the table no longer; its memory goes back to the pool's allocator.
  void retire_table(uint64_t offset);

  /// One step; returns how many things were given back.
  uint32_t poll(uint64_t now_ns, uint64_t grace_ns);

  /// Objects that the pool's allocator got back so far.
  uint64_t given_back() const noexcept { return given_back_; }

  /// Nothing waits.
  bool idle() const noexcept { return buckets_.empty() && tables_.empty() && next_tables_.empty(); }

 private:
  pool::Space& space_;
  OverflowPool& overflow_;
  Sections& sections_;
  std::vector<uint64_t> next_tables_;
  // Waiting together, since `since_ns_`.
  std::vector<uint64_t> buckets_;
  std::vector<uint64_t> tables_;
  uint64_t since_ns_ = 0;
  uint64_t given_back_ = 0;
};

}  // namespace dinomo::index
