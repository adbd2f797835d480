// SPDX-License-Identifier: BSD-3-Clause
// Sessions (HELLO) and the ring.
#include <algorithm>
#include <cstring>

#include "client/client.h"
#include "client/internal.h"

namespace dinomo::client {

using detail::Kind;
using detail::State;

void Client::connect() noexcept {
  now_ns_ = clock_->now_ns();
  want_ring();
  flush_queues();
}

uint32_t Client::find_or_add_kn(const Address& base, uint16_t kn_slot, uint32_t workers) noexcept {
  uint32_t index = static_cast<uint32_t>(kns_.size());
  for (uint32_t i = 0; i < kns_.size(); ++i) {
    if (kns_[i]->used && kns_[i]->base == base) {
      index = i;
      break;
    }
    if (!kns_[i]->used && index == kns_.size()) index = i;
  }
  if (index == kKnsMax) return kNoKn;
  if (index == kns_.size()) {
    kns_.push_back(std::make_unique<Kn>());
    kns_[index]->hello.kind = Kind::kHello;
    kns_[index]->hello.slot = kHelloSlot + index;
    kns_[index]->hello.opcode = wire::Opcode::kHello;
  }
  Kn& kn = *kns_[index];
  if (!kn.used) {
    kn.used = true;
    kn.base = base;
    kn.ready = false;
    kn.cookie = 0;
    kn.srtt_ns = 0;
  }
  kn.worker_count = std::max(1u, workers);
  if (kn_slot != kAnyKn) kn.kn_slot = kn_slot;
  return index;
}

Client::Endpoint* Client::endpoint(Kn& kn, uint32_t worker) noexcept {
  while (kn.workers.size() <= worker) kn.workers.push_back(std::make_unique<Endpoint>());
  Endpoint* const e = kn.workers[worker].get();
  if (!e->open) {
    Address to = kn.base;
    to.port = static_cast<uint16_t>(to.port + worker);
    const auto link = transport_->open(to);
    if (!link) return nullptr;
    e->link = *link;
    e->open = true;
  }
  return e;
}

// Takes a KN out of use that the ring names no more. What it still owed is asked for elsewhere when
// its time-out comes.
void Client::retire_kn(uint32_t kn_index) noexcept {
  Kn& kn = *kns_[kn_index];
  for (const auto& e : kn.workers) {
    queued_.splice_back(&e->queue);
    if (e->open) transport_->close(e->link);
    e->open = false;
  }
  queued_.splice_back(&kn.waiting);
  TimerWheel::cancel(kn.hello.timer());
  kn.hello.state = State::kFree;
  kn.used = kn.ready = false;
  ++kn.cookie_generation;
}

// ---- HELLO

void Client::start_hello(uint32_t kn_index, uint32_t worker) noexcept {
  Request& hello = kns_[kn_index]->hello;
  if (hello.state != State::kFree) return;
  hello.route = kn_index;
  hello.worker = worker;
  hello.timeouts = 0;
  hello.sequence = new_control_sequence(hello.slot);
  send_hello(kn_index);
}

void Client::send_hello(uint32_t kn_index) noexcept {
  Kn& kn = *kns_[kn_index];
  Request& hello = kn.hello;
  hello.state = State::kSent;
  hello.last_sent_ns = now_ns_;
  hello.transmissions = hello.timeouts + 1;
  // An answer to what was asked for another session is none to this.
  if (hello.tag != session_) hello.sequence = new_control_sequence(hello.slot);
  hello.tag = session_;
  timers_.arm(hello.timer(), now_ns_ + timeout_ns(kn, hello));
  const Endpoint* const to = endpoint(kn, hello.worker);
  if (to == nullptr) return;  // tried again at the time-out
  const MutableBytes buffer = transport_->allocate(to->link, wire::kHelloBytesMin);
  if (buffer.size() < wire::kHelloBytesMin) return;
  // The old session and its token ask the server to go on with the session, so that what is in
  // flight keeps its numbers.
  wire::Writer writer(buffer.first(wire::kHelloBytesMin), header_for(kn));
  wire::MessageHeader m{};
  m.opcode = static_cast<uint8_t>(wire::Opcode::kHello);
  m.sequence = hello.sequence;
  const wire::HelloExtras extras{static_cast<uint32_t>(mutations_.size()), 0, token_};
  constexpr std::array<std::byte, wire::kHelloBytesMin - sizeof(wire::DatagramHeader) -
                                      sizeof(wire::MessageHeader) - sizeof(wire::HelloExtras)>
      kPadding{};
  writer.append(m, object_bytes(extras), {}, kPadding);
  transport_->send(writer.finish().size());
  ++counters_.hellos;
}

void Client::expire_hello(Request* r) noexcept {
  const uint32_t kn_index = r->route;
  ++r->timeouts;
  r->state = State::kFree;
  const bool wanted = !kns_[kn_index]->waiting.empty();
  if (!wanted && in_flight_ == 0) {  // nobody waits for it any more
    if (kn_index == control_kn_) ring_wanted_ = false;
    return;
  }
  if (kn_index == control_kn_ && r->timeouts >= 2) next_control_kn();
  if (wanted || (ring_wanted_ && kn_index == control_kn_)) send_hello(kn_index);
  if (ring_wanted_) drive_ring();
}

void Client::on_hello_reply(Request* r, const wire::Message& m) noexcept {
  Kn& kn = *kns_[r->route];
  if (r->state != State::kSent) return;
  if (m.status() == wire::Status::kBusy) return;  // asked again at the time-out
  if (m.status() != wire::Status::kOk || m.value.size() < sizeof(wire::HelloReply)) {
    ++counters_.malformed;
    TimerWheel::cancel(r->timer());
    r->state = State::kFree;
    List failed;
    failed.splice_back(&kn.waiting);
    while (!failed.empty()) on_final(detail::request_of(failed.pop_front()), m);
    return;
  }
  const auto reply = load<wire::HelloReply>(m.value.data());
  if (reply.session == 0 || reply.window == 0) {
    ++counters_.malformed;
    return;
  }
  TimerWheel::cancel(r->timer());
  r->state = State::kFree;
  if (reply.session != session_) {
    // Since this one was asked another KN may have given a session, or the one that it was asked to
    // go on with was given up: numbers that were used in it must not be used again.
    if (r->tag != session_) return start_hello(r->route, r->worker);
    new_session(reply.session);
  }
  token_ = reply.token;
  kn.ready = true;
  kn.cookie = reply.cookie;
  const uint64_t good_ns = reply.cookie_ms * kMs;
  kn.cookie_renew_ns = good_ns == 0 ? UINT64_MAX : now_ns_ + good_ns - good_ns / 4;
  kn.cookie_end_ns = good_ns == 0 ? UINT64_MAX : now_ns_ + good_ns;
  ++kn.cookie_generation;
  kn.kn_slot = reply.kn_slot;
  kn.datagram_bytes_max = std::clamp<uint32_t>(reply.datagram_bytes_max, 512, 65'000);
  window_ = std::min({reply.window, static_cast<uint32_t>(mutations_.size())});
  key_bytes_max_ = std::min<uint64_t>(reply.key_bytes_max, kKeyBytesMax);
  value_bytes_max_ = std::min<uint64_t>(reply.value_bytes_max, kValueBytesMax);
  queued_.splice_back(&kn.waiting);
  if (ring_wanted_) drive_ring();
}

// Not each of its transmissions in this session was answered NO_SESSION.
bool Client::may_have_run(const Request& r) noexcept {
  return r.in_session != 0 && (r.timeouts != 0 || r.declined != r.in_session);
}

// Says HELLO without a session; nothing depends on the old one any more.
void Client::drop_session() noexcept {
  renewing_ = false;
  session_ = token_ = 0;
  for (const auto& kn : kns_) {
    kn->ready = false;
    ++kn->cookie_generation;
  }
}

// In the background: the old cookie is good for a while.
void Client::renew_cookie(uint32_t kn_index) noexcept {
  kns_[kn_index]->cookie_renew_ns = now_ns_ + 1000 * kMs;  // again, should it be lost
  start_hello(kn_index, 0);
}

// The first session, one after SESSION_LOST (nothing is under way then), or the cluster has another
// pool than before: of the old one every KN would have taken the token. Reads are simply sent
// again. A mutation that was only ever answered NO_SESSION goes on: had a copy of it run, that was
// in the pool that is no more. Of any other the record is gone, and only the caller can decide.
void Client::new_session(uint64_t session) noexcept {
  if (session_ != 0) {
    for (Request& r : requests_) {
      if (r.state == State::kFree) continue;
      const bool mutation = wire::is_mutation(r.opcode);
      if (mutation && r.sequence == 0) continue;
      if (mutation && may_have_run(r)) {
        give_up(&r, Status::kStale);
        continue;
      }
      if (mutation) r.forget_sequence();
      if (r.state == State::kSent || (mutation && r.state == State::kQueued)) requeue(&r);
    }
    for (const auto& kn : kns_) kn->ready = false;
  }
  std::ranges::fill(mutations_, nullptr);
  mutation_next_ = mutation_oldest_ = 1;
  session_ = session;
  renewing_ = false;
  ++counters_.sessions;
}

// ---- ring

void Client::want_ring() noexcept {
  if (ring_wanted_) return;
  ring_wanted_ = true;
  ring_request_.timeouts = 0;
  assembler_.restart();
  drive_ring();
}

void Client::drive_ring() noexcept {
  if (!ring_wanted_ || ring_request_.state != State::kFree) return;
  if (now_ns_ < ring_not_before_ns_) {
    ring_request_.state = State::kBackoff;
    timers_.arm(ring_request_.timer(), ring_not_before_ns_);
    return;
  }
  Kn& kn = *kns_[control_kn_];
  if (!has_cookie(kn)) return start_hello(control_kn_, 0);  // its reply calls here again
  ring_request_.state = State::kSent;
  ring_request_.route = control_kn_;
  ring_request_.last_sent_ns = now_ns_;
  ring_request_.transmissions = 1;  // each has a sequence of its own
  ring_request_.opcode = wire::Opcode::kRing;
  ring_request_.sequence = new_control_sequence(kRingSlot);
  timers_.arm(ring_request_.timer(), now_ns_ + timeout_ns(kn, ring_request_));
  const Endpoint* const to = endpoint(kn, 0);
  if (to == nullptr) return;
  const MutableBytes buffer = transport_->allocate(to->link, 256);
  if (buffer.size() < 256) return;
  wire::Writer writer(buffer.first(256), header_for(kn));
  wire::MessageHeader m{};
  m.opcode = static_cast<uint8_t>(wire::Opcode::kRing);
  m.sequence = ring_request_.sequence;
  const wire::RingExtras extras = assembler_.wanted();
  writer.append(m, object_bytes(extras), {}, {});
  transport_->send(writer.finish().size());
}

void Client::expire_ring() noexcept {
  const bool timed_out = ring_request_.state == State::kSent;
  ring_request_.state = State::kFree;
  if (timed_out && in_flight_ == 0) {  // nobody waits for it any more
    ring_wanted_ = false;
    return;
  }
  if (timed_out && ++ring_request_.timeouts % 2 == 0) next_control_kn();
  drive_ring();
}

void Client::retry_ring_later() noexcept {
  ring_request_.state = State::kBackoff;
  timers_.arm(ring_request_.timer(), now_ns_ + jittered(10 * kMs));
}

void Client::on_ring_reply(const wire::Message& m) noexcept {
  if (ring_request_.state != State::kSent) return;
  TimerWheel::cancel(ring_request_.timer());
  ring_request_.state = State::kFree;
  if (m.status() == wire::Status::kNoSession) {
    ++counters_.no_session;
    kns_[control_kn_]->ready = false;
    return drive_ring();
  }
  if (m.status() == wire::Status::kBusy) ++counters_.busy;
  if (m.status() != wire::Status::kOk) return retry_ring_later();
  switch (assembler_.add_page(m.value)) {
    case Status::kOk: return install_ring();
    case Status::kInProgress: ring_request_.timeouts = 0; return drive_ring();
    case Status::kStale: return retry_ring_later();
    default:
      ++counters_.malformed;
      assembler_.restart();
      return retry_ring_later();
  }
}

void Client::install_ring() noexcept {
  ring_wanted_ = false;
  ++counters_.ring_fetches;
  const bool newer = assembler_.view().version > ring_.version;
  ring_unchanged_ = newer ? 0 : std::min(ring_unchanged_ + 1, 8u);
  ring_not_before_ns_ = now_ns_ + std::min(kMs << ring_unchanged_, 200 * kMs);
  if (newer) {
    requeue_moved(assembler_.view());
    ring_ = assembler_.view();
    const Kn& told_by = *kns_[control_kn_];
    const Address reached = told_by.base;
    const uint16_t told_by_slot = told_by.kn_slot;
    kn_by_slot_.fill(kNoKn);
    std::array<bool, kKnsMax> named{};
    for (const wire::KnRecord& record : ring_.kns) {
      Address base{record.address, record.udp_port_base};
      if (base.is_unspecified()) {
        if (record.kn_slot != told_by_slot) continue;
        base.ip = reached.ip;
      }
      const uint32_t index = find_or_add_kn(base, record.kn_slot, record.workers);
      if (index == kNoKn) continue;
      kn_by_slot_[record.kn_slot] = index;
      named[index] = true;
    }
    for (uint32_t i = 0; i < kns_.size(); ++i) {
      const Kn& kn = *kns_[i];
      if (kn.used && !named[i] && !kn.seed && i != control_kn_) retire_kn(i);
    }
  }
  queued_.splice_back(&ring_wait_);
}

// What was sent to a KN, or put off by one, whose partition another one has in `next`: waiting for
// it, for a second at worst, would be in vain. A copy of it may have run there.
void Client::requeue_moved(const RingView& next) noexcept {
  if (ring_.version == 0) return;
  for (Request& r : requests_) {
    if (r.key_bytes == 0 || (r.state != State::kSent && r.state != State::kBackoff)) continue;
    const uint32_t partition = partition_of(r.route_hash);
    const uint16_t before = ring_.owner[partition];
    if (next.owner[partition] == before || kns_[r.route]->kn_slot != before) continue;
    if (r.state == State::kSent) r.timeouts = 1;
    r.put_off = 0;
    requeue(&r);
    ++counters_.followed;
  }
  for (const auto& kn : kns_) queued_.splice_back(&kn->waiting);  // back to it, or elsewhere
}

// There is one, says a KN: no reason to wait, once for each version.
void Client::hear_of_ring(uint32_t version) noexcept {
  if (version > ring_heard_of_) {
    ring_heard_of_ = version;
    ring_not_before_ns_ = now_ns_;
    if (ring_wanted_ && ring_request_.state == State::kBackoff) {
      TimerWheel::cancel(ring_request_.timer());
      ring_request_.state = State::kFree;
      return drive_ring();
    }
  }
  want_ring();
}

void Client::next_control_kn() noexcept {
  for (uint32_t step = 1; step < kns_.size(); ++step) {
    const auto index = static_cast<uint32_t>((control_kn_ + step) % kns_.size());
    if (!kns_[index]->used) continue;
    control_kn_ = index;
    assembler_.restart();  // pages of two KNs do not mix
    return;
  }
}

}  // namespace dinomo::client
