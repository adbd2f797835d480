// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-eval/clover/cluster.h"

#include "app/dinomo-eval/setup.h"
#include "client/random.h"
#include "common/bytes.h"

namespace dinomo::eval::clover {

Cluster::Cluster(sim::EventLoop* loop, const ClusterConfig& c)
    : layout_{.keys = c.keys, .buffers = c.buffers},
      memory_(layout_.bytes()),
      target_(listen(kMemoryAddress, memory_, static_cast<uint16_t>(c.kns))),
      ms_(std::make_unique<MetadataServer>(loop, layout_, c.variant.ms_workers,
                                           c.variant.ms_gc_threads, c.kns, c.variant.kn.callers(),
                                           c.ms)) {
  for (uint32_t n = 0; n < c.kns; ++n) {
    kns_.push_back(std::make_unique<Kn>(loop, n, layout_, c.variant.kn, c.kn));
    ms_->connect(n, Kn::address(n));
  }
  load(c);
  ms_->start();
  for (const auto& kn : kns_) kn->start();
}

void Cluster::load(const ClusterConfig& c) {
  client::Random random(c.seed);
  for (uint64_t key = 0; key < c.keys; ++key) {
    const Pointer first = Pointer::of(1 + key, 0);
    Buffer buffer{};
    buffer.header = Header::of({}, 0);
    buffer.key = key;
    store(&memory_[layout_.buffer(first.buffer())], buffer);
    store(&memory_[layout_.shortcut(key)], first);
    ms_->begin_with(key, first);
    kns_[random.below(c.kns)]->remember(key, first);
  }
  for (uint64_t buffer = 1 + c.keys; buffer < c.buffers; ++buffer) ms_->give(buffer);
}

}  // namespace dinomo::eval::clover
