// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-eval/clover/metadata_server.h"

#include "app/dinomo-eval/setup.h"
#include "common/bytes.h"

namespace dinomo::eval::clover {

namespace {

constexpr size_t kGcThreadBatch = 64;

}  // namespace

MetadataServer::MetadataServer(sim::EventLoop* loop, const Layout& layout, uint32_t workers,
                               uint32_t gc_threads, uint32_t kns, uint32_t callers_per_kn,
                               const MsCosts& costs)
    : costs_(costs),
      memory_(uint64_t{kns} * callers_per_kn * kCellBytes),
      target_(listen(kAddress, memory_, static_cast<uint16_t>(kns))),
      current_(layout.keys) {
  for (uint32_t w = 0; w < workers; ++w) workers_.push_back(std::make_unique<Worker>(loop));
  for (uint32_t g = 0; g < gc_threads; ++g) gc_threads_.push_back(std::make_unique<GcThread>(loop));
  on_landed(target_.get(), [this](uint64_t offset) {
    calls_.push_back(offset / kCellBytes);
    idle_.open_one();
  });
}

void MetadataServer::connect(uint32_t kn, const std::string& address) {
  fabrics_.push_back(eval::connect(address, 0));
  for (const auto& w : workers_) {
    w->replies.resize(std::max<size_t>(w->replies.size(), kn + 1));
    w->replies[kn] = open_queue(*fabrics_.back(), &w->thread);
  }
}

void MetadataServer::start() {
  for (const auto& w : workers_) steps_.push_back(serve(w.get()));
  for (const auto& g : gc_threads_) steps_.push_back(recycle(g.get()));
  for (Step& s : steps_) s.start();
}

uint64_t MetadataServer::cost(const Request& r) const noexcept {
  switch (r.call) {
    case Call::kQuery: return costs_.call_ns + costs_.query_ns;
    case Call::kAlloc: return costs_.call_ns + costs_.alloc_ns;
    case Call::kGc: break;
  }
  return costs_.call_ns + r.entries * costs_.gc_entry_ns;
}

Step MetadataServer::serve(Worker* worker) {
  for (;;) {
    while (calls_.empty()) {
      co_await idle_;
    }
    const uint64_t cell = calls_.front();
    calls_.pop_front();
    const auto request = load<Request>(&memory_[cell * kCellBytes]);
    co_await worker->thread.spend(cost(request));
    std::array<std::byte, kCallBytes> wire{};
    Reply reply{};
    if (request.call == Call::kQuery) {
      ++counters_.queries;
      reply = {1, {current_[request.key]}};
    } else if (request.call == Call::kAlloc) {
      alloc(worker, &reply);
    } else {
      ++counters_.gc_calls;
      for (uint32_t i = 0; i < request.entries; ++i) collect(request.gc[i]);
    }
    store(wire.data(), reply);
    fabric::Queue& queue = *worker->replies[request.kn];
    queue.post_write(request.caller * kCallBytes, wire, {}, fabric::Purpose::kMailbox, nobody());
    queue.flush();
  }
}

void MetadataServer::alloc(Worker* worker, Reply* reply) {
  ++counters_.allocs;
  while (reply->count < kAllocBatch && !worker->free.empty()) {
    reply->pointers[reply->count++] = worker->free.front();
    worker->free.pop_front();
  }
  if (reply->count == 0) ++counters_.alloc_empty;
}

/// An update of a key is taken in when the one before it has been; until then it is parked.
void MetadataServer::collect(const GcEntry& entry) {
  ++counters_.gc_entries;
  Pointer& current = current_[entry.key];
  if (current != entry.old_version) {
    ++counters_.parked;
    parked_.emplace(entry.old_version.word, entry);
    return;
  }
  retire(current);
  current = entry.new_version;
  for (auto next = parked_.find(current.word); next != parked_.end();
       next = parked_.find(current.word)) {
    retire(current);
    current = next->second.new_version;
    parked_.erase(next);
  }
}

void MetadataServer::retire(Pointer old_version) {
  GcThread& gc = *gc_threads_[next_gc_++ % gc_threads_.size()];
  gc.old_versions.push_back(old_version);
  gc.wanted.open_one();
}

Step MetadataServer::recycle(GcThread* gc) {
  for (;;) {
    while (gc->old_versions.empty()) {
      co_await gc->wanted;
    }
    co_await gc->thread.sleep(costs_.gc_sleep_ns);
    const size_t batch = std::min(gc->old_versions.size(), kGcThreadBatch);
    co_await gc->thread.spend(batch * costs_.recycle_ns);
    for (size_t i = 0; i < batch; ++i) {
      const Pointer old = gc->old_versions.front();
      gc->old_versions.pop_front();
      const auto version = static_cast<uint8_t>(old.version() + 1);
      free_of(old.buffer()).push_back(Pointer::of(old.buffer(), version));
      ++counters_.recycled;
    }
  }
}

uint64_t MetadataServer::free_buffers() const noexcept {
  uint64_t all = 0;
  for (const auto& w : workers_) all += w->free.size();
  return all;
}

MsCounters MetadataServer::counters() const noexcept {
  MsCounters c = counters_;
  for (const auto& w : workers_) c.busy_ns += w->thread.busy_ns();
  return c;
}

}  // namespace dinomo::eval::clover
