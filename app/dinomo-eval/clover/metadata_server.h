// SPDX-License-Identifier: BSD-3-Clause
// Clover's metadata server (MS): knows of each key where its newest version is, gives buffers away,
// and takes those of old versions back.
//
// Calls are written into the caller's cell of the MS's memory; a free worker handles them in the
// order in which they arrived, and writes the reply into the caller's memory. Every handler costs
// CPU time of its worker (Costs). Buffers that are free belong to the worker `number mod workers`,
// and a worker gives away only its own.
// Thread rule: the event loop's.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "app/dinomo-eval/clover/layout.h"
#include "app/dinomo-eval/machine.h"
#include "fabric/driver.h"

namespace dinomo::eval::clover {

struct MsCosts {
  uint64_t query_ns = 0;
  uint64_t alloc_ns = 0;     // of a batch
  uint64_t gc_entry_ns = 0;  // of one of a batch
  uint64_t call_ns = 0;      // receiving a call and posting its reply
  uint64_t recycle_ns = 0;   // GC thread, a buffer
  uint64_t gc_sleep_ns = 0;  // GC thread, before a batch
};

struct MsCounters {
  uint64_t queries = 0, allocs = 0, gc_calls = 0, gc_entries = 0;
  uint64_t alloc_empty = 0;  // the worker had no buffer left
  uint64_t recycled = 0;
  uint64_t parked = 0;  // GC entries that came before the one that they follow
  uint64_t busy_ns = 0;
};

class MetadataServer {
 public:
  static constexpr const char* kAddress = "clover-ms";

  MetadataServer(sim::EventLoop* loop, const Layout& layout, uint32_t workers, uint32_t gc_threads,
                 uint32_t kns, uint32_t callers_per_kn, const MsCosts& costs);
  MetadataServer(const MetadataServer&) = delete;
  MetadataServer& operator=(const MetadataServer&) = delete;

  /// Opens the way to the replies of KN `kn`, which listens there already.
  void connect(uint32_t kn, const std::string& address);
  /// The newest version of `key`, at the start.
  void begin_with(uint64_t key, Pointer pointer) { current_[key] = pointer; }
  /// A free buffer, at the start.
  void give(uint64_t buffer) { free_of(buffer).push_back(Pointer::of(buffer, 0)); }
  void start();

  Pointer current(uint64_t key) const noexcept { return current_[key]; }
  uint64_t free_buffers() const noexcept;
  MsCounters counters() const noexcept;

  static uint64_t cell(uint32_t kn, uint32_t caller, uint32_t callers_per_kn) noexcept {
    return (uint64_t{kn} * callers_per_kn + caller) * kCellBytes;
  }

 private:
  struct Worker {
    explicit Worker(sim::EventLoop* loop) : thread(loop) {}
    SimThread thread;
    std::deque<Pointer> free;
    std::vector<std::unique_ptr<fabric::Queue>> replies;  // by KN
  };
  struct GcThread {
    explicit GcThread(sim::EventLoop* loop) : thread(loop) {}
    SimThread thread;
    std::deque<Pointer> old_versions;
    Gate wanted;
  };

  Step serve(Worker* worker);
  Step recycle(GcThread* gc);
  void alloc(Worker* worker, Reply* reply);
  void collect(const GcEntry& entry);
  void retire(Pointer old_version);
  uint64_t cost(const Request& request) const noexcept;
  std::deque<Pointer>& free_of(uint64_t buffer) { return workers_[buffer % workers_.size()]->free; }

  const MsCosts costs_;
  std::vector<std::byte> memory_;  // the cells
  std::unique_ptr<fabric::Target> target_;
  std::vector<Pointer> current_;
  std::unordered_map<uint64_t, GcEntry> parked_;  // by the old version
  std::vector<std::unique_ptr<fabric::Fabric>> fabrics_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::unique_ptr<GcThread>> gc_threads_;
  size_t next_gc_ = 0;
  std::deque<uint64_t> calls_;  // cells that a call has come into
  Gate idle_;
  MsCounters counters_;
  std::vector<Step> steps_;  // last: ends before what it uses
};

}  // namespace dinomo::eval::clover
