// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-eval/clover/kn.h"

#include "app/dinomo-eval/clover/cluster.h"
#include "app/dinomo-eval/clover/session.h"
#include "app/dinomo-eval/setup.h"

namespace dinomo::eval::clover {

Caller::Caller(Kn* kn, SimThread* thread, uint32_t number)
    : kn_(kn), thread_(thread), queue_(open_queue(*kn->to_ms_, thread)) {
  request.kn = kn->number_;
  request.caller = number;
}

Step Caller::call() {
  const size_t bytes = request.call == Call::kGc ? kGcCallBytes : kCallBytes;
  store(wire_.data(), request);
  co_await thread_->spend(kn_->costs_.verb_ns);
  const uint64_t cell = MetadataServer::cell(request.kn, request.caller, kn_->size_.callers());
  queue_->post_write(cell, Bytes(wire_).first(bytes), {}, fabric::Purpose::kMailbox, nobody());
  queue_->flush();
  co_await gate_;
}

void Caller::answered(Bytes wire) {
  reply = load<Reply>(wire.data());
  gate_.open_one();
}

Kn::Kn(sim::EventLoop* loop, uint32_t number, const Layout& layout, const KnSize& size,
       const KnCosts& costs)
    : layout_(layout),
      size_(size),
      costs_(costs),
      loop_(loop),
      number_(number),
      replies_(size.callers() * kCallBytes),
      target_(listen(address(number), replies_, 1)),
      pointers_(layout.keys) {
  on_landed(target_.get(), [this](uint64_t offset) {
    callers_[offset / kCallBytes]->answered(Bytes(replies_).subspan(offset, kCallBytes));
  });
}

Kn::~Kn() = default;

void Kn::start() {
  to_memory_ = connect(kMemoryAddress, static_cast<uint16_t>(number_));
  to_ms_ = connect(MetadataServer::kAddress, static_cast<uint16_t>(number_));
  for (uint32_t t = 0; t < size_.threads; ++t) {
    threads_.push_back(std::make_unique<Thread>(loop_));
    Thread* thread = threads_.back().get();
    thread->queue = open_queue(*to_memory_, &thread->cpu);
    for (uint32_t c = 0; c < size_.coroutines; ++c) {
      const auto caller = static_cast<uint32_t>(callers_.size());
      auto session = std::make_unique<KnSession>(this, thread, caller);
      callers_.push_back(&session->caller());
      sessions_.push_back(std::move(session));
    }
  }
  for (uint32_t g = 0; g < size_.gc_threads; ++g) {
    gc_threads_.push_back(std::make_unique<Thread>(loop_));
    Thread* gc = gc_threads_.back().get();
    gc->queue = open_queue(*to_memory_, &gc->cpu);
    gc->gc_caller =
        std::make_unique<Caller>(this, &gc->cpu, static_cast<uint32_t>(callers_.size()));
    callers_.push_back(gc->gc_caller.get());
  }
  for (const auto& gc : gc_threads_) steps_.push_back(collect(gc.get()));
  for (Step& s : steps_) s.start();
}

Step Kn::collect(Thread* gc) {
  for (;;) {
    while (written_.empty()) {
      co_await gc->cpu.sleep(costs_.idle_sleep_ns);
    }
    Request& batch = gc->gc_caller->request;
    batch.call = Call::kGc;
    batch.entries = 0;
    while (!written_.empty() && batch.entries < kGcBatch) {
      batch.gc[batch.entries++] = written_.front();
      written_.pop_front();
    }
    co_await write_shortcuts(gc, batch);
    co_await gc->gc_caller->call();
  }
}

/// One for each key of the batch: the oldest of it, as Clover does, so that the shortcuts of keys
/// that are written often lag behind.
Step Kn::write_shortcuts(Thread* gc, const Request& batch) {
  std::array<uint32_t, kGcBatch> firsts{};
  uint32_t count = 0;
  for (uint32_t i = 0; i < batch.entries; ++i) {
    const auto same = [&](uint32_t j) { return batch.gc[j].key == batch.gc[i].key; };
    if (std::none_of(firsts.begin(), firsts.begin() + count, same)) firsts[count++] = i;
  }
  co_await gc->cpu.spend(count * costs_.verb_ns);
  for (uint32_t i = 0; i + 1 < count; ++i) {
    const GcEntry& e = batch.gc[firsts[i]];
    gc->queue->post_write(layout_.shortcut(e.key), object_bytes(e.new_version), {},
                          fabric::Purpose::kIndex, nobody());
  }
  const GcEntry& last = batch.gc[firsts[count - 1]];
  co_await write(*gc->queue, layout_.shortcut(last.key), object_bytes(last.new_version),
                 fabric::Purpose::kIndex);
}

const fabric::QueueCounters& Kn::verbs(uint32_t thread) const noexcept {
  return threads_[thread]->queue->counters();
}

uint64_t Kn::free_buffers() const noexcept {
  uint64_t all = 0;
  for (const auto& t : threads_) all += t->free.size();
  return all;
}

uint64_t Kn::busy_ns() const noexcept {
  uint64_t all = 0;
  for (const auto& t : threads_) all += t->cpu.busy_ns();
  return all;
}

}  // namespace dinomo::eval::clover
