// SPDX-License-Identifier: BSD-3-Clause
// How the DPM makes its stores durable. Everything that the DPM writes into the pool goes through
// one Persist, so that a wrapper sees every point at which a crash image may be taken: stores since
// the last drain() may or may not survive, in any order of cache lines; flushed lines survive once
// drain() returned.
//
// Thread rule: any thread; drain() waits for the flushes of the calling thread.
// Errors: none are returned. A domain that can no longer keep its promise (msync fails) ends the
// process with a message; recovery then starts from what is durable.
#pragma once

#include <cstddef>
#include <memory>

#include "pool/format.h"

namespace dinomo::pool {

class Persist {
 public:
  virtual ~Persist() = default;

  /// Starts to make [from, from + bytes) durable.
  virtual void flush(const void* from, size_t bytes) noexcept = 0;

  /// Returns when everything that this thread has flushed is durable.
  virtual void drain() noexcept = 0;

  void persist(const void* from, size_t bytes) noexcept {
    flush(from, bytes);
    drain();
  }
};

/// dax: cache-line write-back and store fence (libpmem); page-cache: a release fence, since a
/// process crash loses no store; msync: pmem_msync of the pages.
std::unique_ptr<Persist> make_persist(Persistence domain);

/// Word for logs and stats: "dax", "page-cache", "msync".
const char* persistence_name(Persistence domain) noexcept;

}  // namespace dinomo::pool
