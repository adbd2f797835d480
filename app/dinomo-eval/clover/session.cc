// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-eval/clover/session.h"

namespace dinomo::eval::clover {

namespace {

constexpr uint32_t kHopsMax = 100'000;  // a walk has no bound in Clover; this one ends the program

}  // namespace

Step KnSession::query(Operation* o) {
  caller_.request.call = Call::kQuery;
  caller_.request.key = o->key;
  ++o->calls;
  co_await caller_.call();
  at_ = caller_.reply.pointers[0];
}

Step KnSession::look_up(Operation* o) {
  at_ = kn_->pointers_[o->key];
  if (at_) co_return;
  o->answer = Answer::kCold;
  co_await query(o);
}

Step KnSession::get(Operation* o) {
  co_await thread_->cpu.spend(kn_->costs_.get_ns + kn_->costs_.verb_ns);
  co_await look_up(o);
  ++o->round_trips;
  o->status = co_await read_both(*thread_->queue, place(at_), in(sizeof in_),
                                 kn_->layout_.shortcut(o->key), shortcut());
  if (ok(o->status) && !newest()) {
    if (o->answer == Answer::kFresh) o->answer = Answer::kStale;
    co_await walk(o, sizeof in_);
  }
  if (!ok(o->status)) co_return;
  if (in_.key != o->key) o->status = Status::kCorrupt;
  o->value = in_.value;
  kn_->pointers_[o->key] = at_;
}

/// From what in_ and shortcut_ say to the newest version, of which `bytes` are read.
Step KnSession::walk(Operation* o, size_t bytes) {
  const bool valid = in_.header.entry_version() == at_.version();
  // Where the shortcut leads to what has just been read, its header says more: in favour of Clover.
  at_ = valid && shortcut_ == at_ ? in_.header.next() : shortcut_;
  for (uint32_t hop = 0; hop < kHopsMax; ++hop) {
    co_await thread_->cpu.spend(kn_->costs_.verb_ns);
    ++o->round_trips;
    o->status = co_await read(*thread_->queue, place(at_), in(bytes));
    if (!ok(o->status) || newest()) co_return;
    if (in_.header.entry_version() != at_.version()) {
      co_await query(o);  // the buffer was used again meanwhile
    } else {
      at_ = in_.header.next();
    }
  }
  o->status = Status::kTimeout;
}

Step KnSession::take_buffer(Operation* o) {
  while (thread_->free.empty()) {
    caller_.request.call = Call::kAlloc;
    ++o->calls;
    co_await caller_.call();
    const Reply& reply = caller_.reply;
    for (uint64_t i = 0; i < reply.count; ++i) thread_->free.push_back(reply.pointers[i]);
    if (reply.count == 0) {
      co_await thread_->cpu.sleep(kn_->costs_.idle_sleep_ns);
    }
  }
}

Step KnSession::put(Operation* o) {
  o->answer = Answer::kPut;
  co_await thread_->cpu.spend(kn_->costs_.put_ns + kn_->costs_.verb_ns);
  co_await look_up(o);
  o->answer = Answer::kPut;
  co_await take_buffer(o);
  const Pointer mine = thread_->free.front();
  thread_->free.pop_front();
  out_.header = Header::of({}, mine.version());
  out_.key = o->key;
  out_.value = o->value;
  ++o->round_trips;
  o->status =
      co_await write(*thread_->queue, place(mine), object_bytes(out_), fabric::Purpose::kLog);
  if (!ok(o->status)) co_return;
  co_await link(o, mine);
  if (!ok(o->status)) co_return;
  kn_->pointers_[o->key] = mine;
  kn_->written_.push_back({o->key, at_, mine});
}

/// Makes `mine` the newest version; at_ is then the one before it.
Step KnSession::link(Operation* o, Pointer mine) {
  for (;;) {
    const uint64_t tail = Header::of({}, at_.version()).word;
    const uint64_t linked = Header::of(mine, at_.version()).word;
    uint64_t old = 0;
    ++o->round_trips;
    o->status = co_await compare_swap(*thread_->queue, place(at_), tail, linked, &old);
    if (!ok(o->status) || old == tail) co_return;
    co_await thread_->cpu.spend(3 * kn_->costs_.verb_ns);
    ++o->round_trips;
    o->status = co_await read_both(*thread_->queue, place(at_), in(sizeof(Header)),
                                   kn_->layout_.shortcut(o->key), shortcut());
    if (ok(o->status) && !newest()) {
      co_await walk(o, sizeof(Header));
    }
    if (!ok(o->status)) co_return;
  }
}

}  // namespace dinomo::eval::clover
