// SPDX-License-Identifier: BSD-3-Clause
// Clover whole: a memory node, a metadata server, KNs. All keys are loaded at the start, each by a
// KN that a draw decides; only that one knows where it is. Thread rule: the event loop's.
#pragma once

#include <memory>
#include <vector>

#include "app/dinomo-eval/clover/kn.h"
#include "app/dinomo-eval/clover/metadata_server.h"

namespace dinomo::eval::clover {

inline constexpr const char* kMemoryAddress = "clover-mn";

/// The two configurations: the one of the published comparison, and Clover's own repository.
struct Variant {
  const char* name;
  uint32_t ms_workers;
  uint32_t ms_gc_threads;
  KnSize kn;
};
inline constexpr Variant kPublished{"clover", 4, 1, {8, 1, 1}};
inline constexpr Variant kUpstream{"clover-upstream", 8, 4, {8, 5, 4}};

struct ClusterConfig {
  Variant variant = kPublished;
  uint32_t kns = 1;
  uint64_t keys = 1000;
  uint64_t buffers = 3000;  // all; a key takes one, what is under way some more
  KnCosts kn;
  MsCosts ms;
  uint64_t seed = 1;
};

class Cluster {
 public:
  Cluster(sim::EventLoop* loop, const ClusterConfig& config);

  std::vector<std::unique_ptr<Kn>>& kns() noexcept { return kns_; }
  MetadataServer& ms() noexcept { return *ms_; }
  const Layout& layout() const noexcept { return layout_; }
  Bytes memory() const noexcept { return memory_; }

 private:
  void load(const ClusterConfig& config);

  const Layout layout_;
  std::vector<std::byte> memory_;
  std::unique_ptr<fabric::Target> target_;
  std::unique_ptr<MetadataServer> ms_;
  std::vector<std::unique_ptr<Kn>> kns_;
};

}  // namespace dinomo::eval::clover
