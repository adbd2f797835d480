// SPDX-License-Identifier: BSD-3-Clause
// Submitting, routing, packing, time-outs. Replies: client_receive.cc; sessions and the ring:
// client_control.cc.
#include "client/client.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <new>

#include "client/internal.h"
#include "common/planted.h"

namespace dinomo::client {

using detail::Kind;
using detail::request_of;
using detail::State;

Result<std::unique_ptr<Client>> Client::create(Transport* transport, Clock* clock,
                                               const Options& options,
                                               std::span<const Address> seeds) {
  const bool sane = options.in_flight_max >= 1 && options.in_flight_max <= 65'000 &&
                    options.mutation_window >= 1 && options.deadline_ms >= 1 &&
                    options.retry_min_ms >= 1 && options.retry_max_ms >= options.retry_min_ms &&
                    options.attempts_max >= 1 && !seeds.empty() && seeds.size() <= kSeedsMax;
  if (!sane) return std::unexpected(Status::kInvalid);
  auto client = std::unique_ptr<Client>(new Client(transport, clock, options));
  const Status added = client->add_seeds(seeds);
  if (added != Status::kOk) return std::unexpected(added);
  return client;
}

Client::Client(Transport* transport, Clock* clock, const Options& options)
    : transport_(transport),
      clock_(clock),
      options_(options),
      random_(options.seed),
      requests_(options.in_flight_max),
      mutations_(std::bit_ceil(std::min(options.mutation_window, kWindowMax))) {
  kn_by_slot_.fill(kNoKn);
  free_.reserve(requests_.size());
  for (uint32_t i = options.in_flight_max; i-- > 0;) {
    requests_[i].slot = i;
    free_.push_back(i);
  }
  ring_request_.kind = Kind::kRing;
  ring_request_.slot = kRingSlot;
  // Sequences start at a place of their own, so that a reply meant for an earlier process on the
  // same port pairs with nothing.
  generation_ = random_.next() & 0x3fff'ffff;
  now_ns_ = clock_->now_ns();
}

Client::~Client() = default;

Status Client::add_seeds(std::span<const Address> seeds) {
  Status last = Status::kUnreachable;
  bool any = false;
  for (const Address& seed : seeds) {
    const uint32_t index = find_or_add_kn(seed, kAnyKn, 1);
    if (index == kNoKn) return Status::kNoResource;
    kns_[index]->seed = true;
    if (endpoint(*kns_[index], 0) != nullptr) any = true;
  }
  return any ? Status::kOk : last;
}

Status Client::submit(const Operation& op) noexcept {
  const size_t size = sizeof(wire::DatagramHeader) +
                      wire::message_bytes(op.extras.size(), op.key.size(), op.value.size());
  const bool control = op.opcode == wire::Opcode::kHello || op.opcode == wire::Opcode::kRing;
  if (op.key.size() > kKeyBytesMax || op.value.size() > kValueBytesMax || control ||
      op.extras.size() > sizeof(Request::extras) || op.extras.size() % 8 != 0) {
    return Status::kInvalid;
  }
  if (size > transport_->datagram_bytes_max()) return Status::kOutOfRange;
  if (free_.empty()) return Status::kNoResource;

  Request* const r = &requests_[free_.back()];
  const auto body_bytes = static_cast<uint32_t>(op.key.size() + op.value.size());
  if (r->body_capacity < body_bytes) {
    const uint32_t capacity = std::max(64u, std::bit_ceil(body_bytes));
    r->body.reset(new (std::nothrow) std::byte[capacity]);
    r->body_capacity = r->body ? capacity : 0;
    if (!r->body) return Status::kNoResource;
  }
  free_.pop_back();
  r->opcode = op.opcode;
  r->flags = op.flags;
  r->key_bytes = static_cast<uint8_t>(op.key.size());
  r->extra_bytes = static_cast<uint8_t>(op.extras.size());
  r->value_bytes = static_cast<uint32_t>(op.value.size());
  if (!op.key.empty()) std::memcpy(r->body.get(), op.key.data(), op.key.size());
  if (!op.value.empty()) {
    std::memcpy(r->body.get() + op.key.size(), op.value.data(), op.value.size());
  }
  if (!op.extras.empty()) std::memcpy(r->extras.data(), op.extras.data(), op.extras.size());
  r->kn_slot = op.kn_slot;
  r->route_hash = op.key.empty() ? 0 : routing_hash(op.key);
  r->to_owner = false;
  r->transmissions = r->put_off = r->timeouts = 0;
  r->forget_sequence();
  r->deadline_ns = r->first_sent_ns = r->last_sent_ns = 0;
  r->callback = op.callback;
  r->context = op.context;
  r->tag = op.tag;
  r->state = State::kQueued;
  queued_.push_back(r->queue());
  ++in_flight_;
  ++counters_.submitted;
  return Status::kOk;
}

void Client::flush() noexcept {
  now_ns_ = clock_->now_ns();
  flush_queues();
}

uint32_t Client::poll() noexcept {
  callbacks_ = 0;
  std::array<Bytes, 64> datagrams;
  for (uint32_t round = 0; round < kReceiveRoundsMax; ++round) {
    const uint32_t n = transport_->receive(datagrams);
    now_ns_ = clock_->now_ns();
    for (uint32_t i = 0; i < n; ++i) receive(datagrams[i]);
    if (n < datagrams.size()) break;
  }
  timers_.advance(now_ns_, [this](Timer* timer) { expire(request_of(timer)); });
  flush_queues();
  return callbacks_;
}

void Client::wait(uint64_t limit_ns) noexcept {
  const uint64_t sleep_ns = idle_ns(limit_ns);
  if (sleep_ns != 0) transport_->wait(sleep_ns);
}

void Client::flush_queues() noexcept {
  if (renewing_ && mutation_oldest_ == mutation_next_) drop_session();
  while (!window_wait_.empty() && window_open()) dispatch(request_of(window_wait_.pop_front()));
  while (!queued_.empty()) dispatch(request_of(queued_.pop_front()));
  // pack() puts back what the transport has no room for.
  const size_t count = dirty_.size();
  for (size_t i = 0; i < count; ++i) pack(dirty_[i].kn, dirty_[i].worker);
  dirty_.erase(dirty_.begin(), dirty_.begin() + static_cast<ptrdiff_t>(count));
  transport_->flush();
}

// Moves a request on to its endpoint's queue, or to the list of whatever it has to wait for.
void Client::dispatch(Request* r) noexcept {
  if (r->deadline_ns == 0) r->deadline_ns = now_ns_ + options_.deadline_ms * kMs;
  const uint32_t kn_index = route_kn(*r);
  if (kn_index == kNoKn) {
    hold(&ring_wait_, r);
    want_ring();
    return;
  }
  Kn& kn = *kns_[kn_index];
  const uint32_t worker =
      r->key_bytes == 0 ? 0 : worker_of(r->route_hash, std::max(1u, kn.worker_count));
  if (!has_cookie(kn)) {
    hold(&kn.waiting, r);
    start_hello(kn_index, worker);
    return;
  }
  Endpoint* const to = endpoint(kn, worker);
  if (to == nullptr) return back_off(r, 100 * kMs);
  if (r->sequence == 0 && !assign_sequence(r)) return hold(&window_wait_, r);
  r->worker = worker;
  enqueue(r, kn_index, to);
}

void Client::enqueue(Request* r, uint32_t kn_index, Endpoint* to) noexcept {
  r->route = kn_index;
  r->state = State::kQueued;
  to->queue.push_back(r->queue());
  if (!to->dirty) {
    to->dirty = true;
    dirty_.push_back({kn_index, r->worker});
  }
}

uint32_t Client::route_kn(const Request& r) noexcept {
  if (r.key_bytes == 0) {  // PING, STATS
    return r.kn_slot == kAnyKn ? control_kn_ : kn_by_slot_[r.kn_slot];
  }
  if (ring_.version == 0) return kNoKn;
  if (r.opcode == wire::Opcode::kGet && !r.to_owner && !ring_.replicated.empty()) {
    const uint32_t replica = route_replica(r.route_hash);
    if (replica != kNoKn) return replica;
  }
  const uint16_t owner = ring_.owner[partition_of(r.route_hash)];
  return owner == kAnyKn ? kNoKn : kn_by_slot_[owner];
}

/// Any of the KNs that serve reads of a replicated key; kNoKn if it is not one.
uint32_t Client::route_replica(uint64_t route_hash) noexcept {
  const wire::ReplicatedRecord* const key = ring_.find_replicated(route_hash);
  if (key == nullptr || key->owner_count == 0) return kNoKn;
  const uint16_t slot = key->owners[random_.below(key->owner_count)];
  return slot < kn_by_slot_.size() ? kn_by_slot_[slot] : kNoKn;
}

bool Client::window_open() const noexcept {
  return !renewing_ && mutation_next_ - mutation_oldest_ < window_;
}

bool Client::assign_sequence(Request* r) noexcept {
  if (!wire::is_mutation(r->opcode)) {
    r->sequence = new_control_sequence(r->slot);
    return true;
  }
  if (!window_open()) return false;
  r->sequence = mutation_next_++;
  Request*& place = mutations_[r->sequence & (mutations_.size() - 1)];
  assert(place == nullptr);
  place = r;
  return true;
}

uint64_t Client::new_control_sequence(uint32_t slot) noexcept {
  generation_ = (generation_ + 1) & kGenerationMask;
  return kOtherSequence | generation_ << kSlotBits | slot;
}

void Client::hold(List* list, Request* r) noexcept {
  r->state = State::kQueued;
  list->push_back(r->queue());
  timers_.arm(r->timer(), r->deadline_ns);
}

void Client::back_off(Request* r, uint64_t wait_ns) noexcept {
  r->queue()->unlink();
  r->state = State::kBackoff;
  timers_.arm(r->timer(), std::min(now_ns_ + jittered(wait_ns), r->deadline_ns));
}

void Client::requeue(Request* r) noexcept {
  r->queue()->unlink();
  TimerWheel::cancel(r->timer());
  r->state = State::kQueued;
  queued_.push_back(r->queue());
}

wire::DatagramHeader Client::header_for(const Kn& kn) const noexcept {
  wire::DatagramHeader h{};
  h.magic = wire::kMagic;
  h.version = wire::kVersion;
  h.kind = static_cast<uint8_t>(wire::Kind::kRequest);
  h.session = session_;
  h.cookie = kn.cookie;
  h.ring_version = ring_.version;
  h.stamp = static_cast<uint32_t>(now_ns_ >> 10);
  return h;
}

void Client::pack(uint32_t kn_index, uint32_t worker) noexcept {
  Kn& kn = *kns_[kn_index];
  if (worker >= kn.workers.size()) return;
  Endpoint& to = *kn.workers[worker];
  to.dirty = false;
  const uint32_t pack_max = options_.pack_max == 0 ? UINT16_MAX : options_.pack_max;
  if (now_ns_ >= kn.cookie_renew_ns) renew_cookie(kn_index);
  const wire::DatagramHeader header = header_for(kn);
  while (!to.queue.empty()) {
    const Request* const first = request_of(to.queue.front());
    const size_t needed = sizeof header + wire::message_bytes(first->extra_bytes, first->key_bytes,
                                                              first->value_bytes);
    const size_t size = std::max<size_t>(
        needed, std::min<size_t>(kn.datagram_bytes_max, transport_->datagram_bytes_max()));
    const MutableBytes buffer = transport_->allocate(to.link, size);
    if (buffer.size() < needed) {
      to.dirty = true;
      dirty_.push_back({kn_index, worker});
      for (ListNode* n = to.queue.front(); n != to.queue.end(); n = n->next) {
        Request* const r = request_of(n);
        if (!r->timer()->node.linked()) timers_.arm(r->timer(), r->deadline_ns);
      }
      return;
    }
    wire::Writer writer(buffer.first(std::min(buffer.size(), size)), header);
    while (!to.queue.empty() && writer.messages() < pack_max) {
      Request* const r = request_of(to.queue.front());
      wire::MessageHeader m{};
      m.opcode = static_cast<uint8_t>(r->opcode);
      m.flags = r->flags;
      if (r->in_session != 0 && wire::is_mutation(r->opcode)) m.flags |= wire::kRepeated;
      m.sequence = r->sequence;
      if (!writer.append(m, r->extra(), r->key(), r->value())) break;
      r->queue()->unlink();
      mark_sent(kn, r);
    }
    transport_->send(writer.finish().size());
    ++counters_.datagrams_out;
  }
}

void Client::mark_sent(Kn& kn, Request* r) noexcept {
  r->state = State::kSent;
  r->cookie_generation = kn.cookie_generation;
  r->last_sent_ns = now_ns_;
  if (r->transmissions++ == 0) r->first_sent_ns = now_ns_;
  ++r->in_session;
  ++counters_.transmissions;
  timers_.arm(r->timer(), std::min(now_ns_ + timeout_ns(kn, *r), r->deadline_ns));
}

uint64_t Client::jittered(uint64_t ns) noexcept {
  return ns * 3 / 4 + random_.below(ns / 2 + 1);  // 75..125 %
}

uint64_t Client::timeout_ns(const Kn& kn, const Request& r) noexcept {
  const uint64_t least = options_.retry_min_ms * kMs;
  const uint64_t most = options_.retry_max_ms * kMs;
  uint64_t base = kn.srtt_ns == 0 ? options_.retry_first_ms * kMs : kn.srtt_ns + 4 * kn.rttvar_ns;
  base = std::clamp(base, least, most);
  if (r.timeouts == 0) return base;
  return jittered(std::min(base << std::min(r.timeouts, 8u), most));
}

void Client::expire(Request* r) noexcept {
  if (r->kind == Kind::kHello) return expire_hello(r);
  if (r->kind == Kind::kRing) return expire_ring();
  if (now_ns_ >= r->deadline_ns) {
    const Kn& kn = *kns_[r->transmissions == 0 ? control_kn_ : r->route];
    const bool refused =
        !kn.workers.empty() && kn.workers[0]->open && transport_->refused(kn.workers[0]->link);
    return give_up(r, refused ? Status::kUnreachable : Status::kTimeout);
  }
  switch (r->state) {
    case State::kFree: break;
    case State::kQueued: timers_.arm(r->timer(), r->deadline_ns); break;
    case State::kBackoff: requeue(r); break;
    case State::kSent:
      ++r->timeouts;
      ++counters_.timeouts;
      if (r->transmissions >= options_.attempts_max) return give_up(r, Status::kTimeout);
      if (r->timeouts >= 2) want_ring();  // the owner may be gone
      if (planted("retry-is-new") && wire::is_mutation(r->opcode)) {
        mutations_[r->sequence & (mutations_.size() - 1)] = nullptr;
        r->sequence = 0;
      }
      requeue(r);
      break;
  }
}

void Client::give_up(Request* r, Status status) noexcept {
  ++counters_.gave_up;
  if (status == Status::kStale) ++counters_.outcome_unknown;
  Completion completion;
  completion.status = status;
  complete(r, &completion);
}

void Client::complete(Request* r, Completion* completion) noexcept {
  completion->opcode = r->opcode;
  completion->tag = r->tag;
  completion->sent_ns = r->first_sent_ns;
  completion->completed_ns = now_ns_;
  completion->transmissions = r->transmissions;
  const Callback callback = r->callback;
  void* const context = r->context;
  release(r);  // first, so that the callback can submit the next one
  ++counters_.completed;
  ++callbacks_;
  if (callback != nullptr) callback(context, *completion);
}

// A mutation's number is free again: of one that has ended, or was never carried out.
void Client::free_sequence(Request* r) noexcept {
  if (r->sequence != 0 && wire::is_mutation(r->opcode)) {
    const size_t mask = mutations_.size() - 1;
    mutations_[r->sequence & mask] = nullptr;
    while (mutation_oldest_ < mutation_next_ && mutations_[mutation_oldest_ & mask] == nullptr) {
      ++mutation_oldest_;
    }
  }
  r->forget_sequence();
}

void Client::release(Request* r) noexcept {
  r->queue()->unlink();
  TimerWheel::cancel(r->timer());
  free_sequence(r);
  r->state = State::kFree;
  free_.push_back(r->slot);
  --in_flight_;
}

}  // namespace dinomo::client
