// SPDX-License-Identifier: BSD-3-Clause
#include "pool/persist.h"

#include <libpmem.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace dinomo::pool {

namespace {

class DaxPersist final : public Persist {
 public:
  void flush(const void* from, size_t bytes) noexcept override { pmem_flush(from, bytes); }
  void drain() noexcept override { pmem_drain(); }
};

class PageCachePersist final : public Persist {
 public:
  void flush(const void*, size_t) noexcept override {
    std::atomic_thread_fence(std::memory_order_release);
  }
  void drain() noexcept override { std::atomic_thread_fence(std::memory_order_release); }
};

class MsyncPersist final : public Persist {
 public:
  void flush(const void* from, size_t bytes) noexcept override {
    if (pmem_msync(from, bytes) == 0) return;
    std::fprintf(stderr,
                 "dinomo: msync of the pool failed (%s); what was written is not durable. The "
                 "process ends here; look at the disk, then start it again: it will recover\n",
                 std::strerror(errno));
    std::abort();
  }
  void drain() noexcept override {}
};

}  // namespace

std::unique_ptr<Persist> make_persist(Persistence domain) {
  switch (domain) {
    case Persistence::kDax: return std::make_unique<DaxPersist>();
    case Persistence::kMsync: return std::make_unique<MsyncPersist>();
    case Persistence::kPageCache: break;
  }
  return std::make_unique<PageCachePersist>();
}

const char* persistence_name(Persistence domain) noexcept {
  switch (domain) {
    case Persistence::kDax: return "dax";
    case Persistence::kPageCache: return "page-cache";
    case Persistence::kMsync: return "msync";
  }
  return "unknown";
}

}  // namespace dinomo::pool
