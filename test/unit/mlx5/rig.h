// SPDX-License-Identifier: BSD-3-Clause
// The driver's send queues on a soft HCA that runs only when the test says so: what the device has
// seen, and when, is decided by the test.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <vector>

#include "drivers/fabric/mlx5/send_queue.h"
#include "drivers/fabric/mlx5/softhca/factory.h"

namespace dinomo::fabric::mlx5 {

inline constexpr uint64_t kRemoteBase = 0x1'0000'0000;
inline constexpr uint32_t kRemoteRights =
    IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC;

struct RigConfig {
  uint32_t pairs = 1;
  uint32_t blocks = 64;
  uint32_t entries = 256;
  uint32_t entry_bytes = 64;
  uint32_t bf_half_bytes = 256;
  softhca::Faults faults{};
};

struct Done {
  uint64_t tag;
  Status status;
  bool operator==(const Done&) const = default;
};
// NOLINTNEXTLINE(readability-identifier-naming): GoogleTest's name for it
inline void PrintTo(const Done& d, std::ostream* out) {
  *out << d.tag << ":" << status_name(d.status);
}

class Rig {
 public:
  explicit Rig(const RigConfig& config = {})
      : device(config.faults),
        kn_pd(device.make_pd()),
        dpm_pd(device.make_pd()),
        kn(device, factory(kn_pd, config)),
        dpm(device, factory(dpm_pd, config)),
        cq(kn.cq()) {
    flame = {kn.bf_register(), kn.bf_half_bytes(), 0};
    lkey = device
               .register_memory(kn_pd, reinterpret_cast<uintptr_t>(local.data()), local.size(),
                                local.data(), IBV_ACCESS_LOCAL_WRITE)
               .key;
    rkey = device
               .register_memory(dpm_pd, kRemoteBase, remote.size(), remote.data(),
                                kRemoteRights | IBV_ACCESS_LOCAL_WRITE)
               .key;
    connect();
    for (size_t i = 0; i < local.size(); ++i) local[i] = static_cast<std::byte>(i * 7 + 1);
  }
  ~Rig() {
    for (const std::string& what : findings()) ADD_FAILURE() << what;
  }
  Rig(const Rig&) = delete;
  Rig& operator=(const Rig&) = delete;

  /// Both ends ready, the driver's queues new. Again after reset(): as when pairs are lent anew.
  void connect() {
    softhca::connect(device, kn, dpm, kRemoteRights);
    flame.offset = 0;
    pairs.clear();
    for (uint32_t p = 0; p < kn.pairs(); ++p) pairs.emplace_back(kn.qp(p), kn.qpn(p), &flame);
  }
  void reset() {
    for (softhca::FactoryQueue* end : {&kn, &dpm}) {
      end->move(softhca::QpState::kReset);
      end->clear_records();
    }
  }
  SendQueue& sq() { return pairs[0]; }

  rdma::Remote at(uint64_t offset) const { return {kRemoteBase + offset, rkey}; }
  rdma::Local mine(uint64_t offset, uint32_t bytes) const {
    return {local.data() + offset, bytes, lkey};
  }
  Bytes bytes(uint64_t offset, size_t count) const { return Bytes(local).subspan(offset, count); }

  /// Until the device has nothing left to do.
  void run() {
    for (int i = 0; i < 100'000; ++i) {
      if (!device.step()) return;
    }
    ADD_FAILURE() << "the device does not come to rest";
  }

  /// Takes what completed from the CQ, `max` entries, and retires it.
  std::vector<Done> poll(uint32_t max = 1'000'000) {
    std::vector<Done> done;
    CompletionQueue::Entry entry{};
    last_entries = 0;
    while (last_entries < max && cq.next(&entry)) {
      ++last_entries;
      for (SendQueue& pair : pairs) {
        if (pair.qpn() != entry.qpn) continue;
        pair.retire(entry.index, status_of_syndrome(entry.syndrome),
                    [&](uint64_t tag, Status s) { done.push_back({tag, s}); });
      }
    }
    cq.update();
    return done;
  }
  std::vector<Done> run_and_poll() {
    run();
    return poll();
  }

  std::vector<std::string> findings() {
    std::vector<std::string> all;
    for (const softhca::Finding& f : device.take_findings()) all.push_back(f.what);
    return all;
  }
  const std::byte* block(uint32_t index) const {
    return static_cast<const std::byte*>(kn.qp(0).sq.buf) +
           size_t{index % kn.qp(0).sq.wqe_cnt} * kBlockBytes;
  }
  uint32_t record(uint32_t pair = 0) const { return be32toh(kn.qp(pair).dbrec[MLX5_SND_DBR]); }
  uint32_t consumer_record() const { return be32toh(kn.cq().dbrec[0]); }

  static softhca::FactoryConfig factory(uint32_t pd, const RigConfig& c) {
    return {.pd = pd,
            .pairs = c.pairs,
            .blocks = c.blocks,
            .entries = c.entries,
            .entry_bytes = c.entry_bytes,
            .bf_half_bytes = c.bf_half_bytes};
  }

  softhca::Device device;
  uint32_t kn_pd;
  uint32_t dpm_pd;
  std::vector<std::byte> local = std::vector<std::byte>(size_t{64} << 10);
  std::vector<std::byte> remote = std::vector<std::byte>(size_t{64} << 10);
  softhca::FactoryQueue kn;
  softhca::FactoryQueue dpm;
  CompletionQueue cq;
  BlueFlame flame;
  std::vector<SendQueue> pairs;
  uint32_t lkey = 0;
  uint32_t rkey = 0;
  uint32_t last_entries = 0;  // that the last poll() took
};

}  // namespace dinomo::fabric::mlx5
