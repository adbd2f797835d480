// SPDX-License-Identifier: BSD-3-Clause
// Requests: from datagrams to answers, or to the coroutines that will answer.
#include <algorithm>

#include "common/planted.h"
#include "kn/awaiters.h"
#include "kn/worker.h"

namespace dinomo::kn {

namespace {

constexpr uint32_t kBusyRetryUs = 500;
constexpr uint32_t kNotServingRetryUs = 20'000;
constexpr uint32_t kMovingRetryUs = 2000;

bool needs_session(wire::Opcode op) noexcept {
  return op != wire::Opcode::kHello && op != wire::Opcode::kPing;
}

bool has_key(wire::Opcode op) noexcept { return static_cast<uint8_t>(op) >= 16; }
bool is_control(wire::Opcode op) noexcept {
  return op >= wire::Opcode::kHello && op <= wire::Opcode::kStats;
}

}  // namespace

ReplyTo Worker::reply_to(const Request& r) const noexcept {
  ReplyTo to;
  if (r.datagram != nullptr) {
    to.peer = r.datagram->peer;
  } else {
    to.front_end = front_end_;
  }
  to.session = r.session;
  to.sequence = r.sequence;
  to.received_ns = r.received_ns;
  to.stamp = r.stamp;
  to.opcode = static_cast<uint8_t>(r.operation.opcode);
  to.flags = r.operation.flags;
  return to;
}

void Worker::refuse(const Request& request, wire::Status status, uint32_t retry_us) noexcept {
  if (retry_us == 0) {
    replies_.add(reply_to(request), status);
    return;
  }
  wire::HintExtras hint{};
  hint.retry_us = retry_us;
  hint.kn_slot = pool::kNoOwner;
  replies_.add(reply_to(request), status, object_bytes(hint));
}

/// Leaves what is native in front and returns how many these are.
uint32_t Worker::give_to_front_end(std::span<ingress::Datagram> received) noexcept {
  uint32_t native = 0;
  for (const ingress::Datagram& d : received) {
    if (d.peer.local_port == front_end_port_) {
      front_end_->take(d);
    } else {
      received[native++] = d;
    }
  }
  return native;
}

Worker::Arrived Worker::take_from_port(std::span<ingress::Datagram> out) noexcept {
  const uint32_t all = ingress_->receive(out);
  const uint32_t native = front_end_port_ != 0 ? give_to_front_end(out.first(all)) : all;
  return {all, native, all == out.size()};
}

/// What came before is served before what comes now. Returns work done.
uint32_t Worker::receive() noexcept {
  const uint32_t waited = backlog_.take(burst_);
  Arrived now{0, 0, true};
  if (waited != kBurst) now = take_from_port(std::span(burst_).subspan(waited));
  uint32_t work = waited + now.all;
  if (work == 0) return 0;
  if (!unix_ms_fresh_) unix_ms_ = clock_->unix_ms();
  unix_ms_fresh_ = true;
  serve_burst(waited + now.native);
  if (now.more) work += look_ahead();
  return work;
}

void Worker::serve_burst(uint32_t n) noexcept {
  for (uint32_t i = 0; i < n; ++i) {
    burst_retained_[i] = nullptr;
    parse_datagram(burst_[i], i);
  }
  serve_chunk();
  // Datagrams whose requests wait are kept; the rest goes back.
  uint32_t done = 0;
  for (uint32_t i = 0; i < n; ++i) {
    if (burst_retained_[i] == nullptr) {
      burst_[done++] = burst_[i];
    } else {
      drop_reference(burst_retained_[i]);
    }
  }
  ingress_->release(std::span(burst_).first(done));
}

/// More came than a turn serves: takes what else there is, and refuses what would wait too long.
/// What the port still holds after that is the next turn's, or the port drops it.
uint32_t Worker::look_ahead() noexcept {
  uint32_t work = 0;
  bool more = true;
  for (uint32_t round = 0; more && round < kAheadBursts; ++round) {
    const uint32_t limit = planted("queue-unbounded") ? UINT32_MAX : admission_.limit();
    const uint32_t room = limit - std::min(limit, backlog_.size());
    const size_t wanted = admission_.may_refuse() ? ahead_.size() : std::min<size_t>(room, kBurst);
    if (wanted == 0) break;
    const uint64_t began_ns = room < wanted ? clock_->now_ns() : 0;
    const Arrived now = take_from_port(std::span(ahead_).first(wanted));
    const uint32_t n = now.native;
    more = now.more;
    work += now.all;
    const uint32_t kept = std::min(n, room);
    for (uint32_t i = 0; i < kept; ++i) backlog_.push(ahead_[i]);
    if (kept == n) continue;
    shed(std::span(ahead_).subspan(kept, n - kept));
    // Receiving them is a good part of what refusing costs.
    admission_.refusing_took((clock_->now_ns() - began_ns) * (n - kept) / n);
  }
  if (backlog_.size() > stats_.queued_most.get()) stats_.queued_most.set(backlog_.size());
  if (backlog_.size() != 0) admission_.full(kBurst);
  return work;
}

/// Operations are refused; what keeps a client going (HELLO, RING, PING, STATS) is not.
void Worker::shed(std::span<ingress::Datagram> datagrams) noexcept {
  for (const ingress::Datagram& d : datagrams) {
    stats_.shed_datagrams.add();
    shed_retry_us_ = admission_.refuse(backlog_.size());
    parse_datagram(d, 0);
  }
  serve_chunk();
  shed_retry_us_ = 0;
  ingress_->release(datagrams);
}

void Worker::parse_datagram(const ingress::Datagram& datagram, uint32_t index) noexcept {
  wire::Reader reader(datagram.payload, wire::Kind::kRequest);
  const wire::DatagramHeader& h = reader.header();
  const bool known = cookies_.valid(datagram.peer, h.session, h.cookie);
  if (!known && reader.error() == wire::ReadError::kNone && !admit_stranger(datagram)) return;
  uint32_t answers_left = known ? UINT32_MAX : kStrangerAnswersMax;
  wire::Message message;
  while (answers_left != 0 && reader.next(&message)) {
    --answers_left;
    const wire::Opcode op = message.opcode();
    stats_.requests.add();
    Request& r = chunk_[chunk_size_];
    r.datagram = &datagram;
    r.burst_index = index;
    r.retained = nullptr;
    r.session = h.session;
    r.sequence = message.header.sequence;
    r.stamp = h.stamp;
    r.received_ns = now_ns_;
    r.waited = false;
    r.extras = message.extras;
    if (shed_retry_us_ != 0 && known && !is_control(op)) {
      r.operation = Operation{.opcode = op};
      stats_.shed.add();
      refuse(r, wire::Status::kBusy, shed_retry_us_);
      continue;
    }
    wire::Status parsed = wire::Status::kOk;
    if (is_control(op)) {
      r.operation = Operation{.opcode = op, .flags = message.header.flags};
    } else {
      parsed = parse_operation(message, unix_ms_, &r.operation);
    }
    if (!known && needs_session(op)) {
      stats_.refused_session.add();
      refuse(r, wire::Status::kNoSession);
    } else if (parsed != wire::Status::kOk) {
      stats_.refused_bad.add();
      refuse(r, parsed);
    } else {
      locate(&r);
      if (++chunk_size_ == kChunk) serve_chunk();
    }
  }
  if (reader.error() == wire::ReadError::kNone) return;
  stats_.malformed[static_cast<size_t>(reader.error())].add();
  if (reader.error() == wire::ReadError::kVersion) answer_version(datagram, h);
}

void Worker::serve_chunk() noexcept {
  for (uint32_t i = 0; i < chunk_size_; ++i) serve(chunk_[i]);
  chunk_size_ = 0;
}

void Worker::submit(const Operation& operation, uint64_t tag) noexcept {
  stats_.requests.add();
  Request& r = chunk_[chunk_size_];
  r = Request{};
  r.operation = operation;
  r.sequence = tag;
  r.received_ns = now_ns_;
  const wire::Status checked = check_operation(operation);
  if (checked != wire::Status::kOk) {
    stats_.refused_bad.add();
    refuse(r, checked);
    return;
  }
  locate(&r);
  if (++chunk_size_ == kChunk) serve_chunk();
}

/// Where the key belongs, and the start of loading what the cache has of it.
void Worker::locate(Request* r) noexcept {
  if (!has_key(r->operation.opcode) || attachment_ == nullptr) return;
  r->routing = routing_hash(r->operation.key);
  r->hash = key_hash(r->operation.key, attachment_->superblock.hash_seed);
  r->cache_hash = cache_hash(r->hash, r->routing);
  dac_->prefetch(r->cache_hash);
}

/// Refuses what this worker must not or cannot serve now.
bool Worker::admit(Request& r) noexcept {
  if (!serving() || (!lease_valid_ && !planted("lease-not-checked")) || ring_ == nullptr) {
    stats_.refused_lease.add();
    declined_ |= ring_ == nullptr;
    refuse(r, wire::Status::kBusy, kNotServingRetryUs);
    return false;
  }
  return is_own(r);
}

void Worker::refuse_moving(const Request& r) noexcept {
  stats_.refused_moving.add();
  refuse(r, wire::Status::kMoving, kMovingRetryUs);
}

/// What is not this worker's is refused, unless it is a read of a replicated key; what is a
/// replicated key's may have to wait.
bool Worker::is_own(Request& r) noexcept {
  const uint16_t owner = ring_->owner_of(r.routing);
  const uint32_t worker = worker_of(r.routing, config_.workers);
  SharedKey* const shared = shared_keys_.empty() ? nullptr : shared_keys_.find(r.routing);
  if (owner == attachment_->kn_slot && worker == config_.worker) {
    if (!ring_allows(r.routing) && !planted("moving-served")) {
      refuse_moving(r);
      return false;
    }
    return shared == nullptr || !shared->is_writer || may_show(r, shared);
  }
  if (planted("owner-not-checked")) return true;
  // Also while the partition has no owner: the cell stays as the last one left it.
  if (shared != nullptr && shared->reads && r.operation.opcode == wire::Opcode::kGet) {
    serve_shared_read(r, *shared);
    return false;
  }
  if (owner == pool::kNoOwner) {  // whoever asks elsewhere hears the same
    refuse_moving(r);
    return false;
  }
  stats_.refused_owner.add();
  reply_elsewhere(reply_to(r), r.routing);
  return false;
}

void Worker::serve(Request& r) noexcept {
  switch (r.operation.opcode) {
    case wire::Opcode::kGet:
      if (admit(r)) serve_get(r);
      return;
    case wire::Opcode::kPing:
      stats_.others.add();
      replies_.add(reply_to(r), wire::Status::kOk);
      return;
    case wire::Opcode::kHello: serve_hello(r); return;
    case wire::Opcode::kRing: serve_ring(r); return;
    case wire::Opcode::kStats: serve_stats(r); return;
    default:
      if (admit(r)) serve_mutation(r);
      return;
  }
}

void Worker::serve_get(Request& r) noexcept {
  const cache::Found found = dac_->find(r.cache_hash, r.operation.key);
  if (found.kind == cache::Found::Kind::kValue) {
    stats_.gets.add();
    if (found.meta.expiry_ms != 0 && found.meta.expiry_ms <= unix_ms_ &&
        !planted("expiry-ignored")) {
      stats_.expired.add();
      dac_->remove(r.cache_hash, r.operation.key);
      replies_.add(reply_to(r), wire::Status::kNotFound);
      return;
    }
    stats_.value_hits.add();
    note_answered(LatencyClass::kGetValue, r.received_ns, r.hash);
    reply_value(reply_to(r), found.value, found.meta);
    return;
  }
  const bool shortcut = found.kind == cache::Found::Kind::kShortcut;
  if (!fetch_for(r, shortcut ? found.address : pool::GlobalAddress())) {
    defer(r);
    return;
  }
  stats_.gets.add();
}

void Worker::reply_value(const ReplyTo& to, Bytes value, const cache::ItemMeta& meta) noexcept {
  if ((to.flags & wire::kWantItem) == 0) {
    replies_.add(to, wire::Status::kOk, {}, value);
    return;
  }
  const wire::ItemExtras item{meta.version, meta.expiry_ms, meta.item_flags, 0};
  replies_.add(to, wire::Status::kOk, object_bytes(item), value);
}

void Worker::serve_ring(const Request& r) noexcept {
  stats_.others.add();
  const auto wanted = wire::extras_as<wire::RingExtras>(r.extras);
  if (!wanted) {
    stats_.refused_bad.add();
    refuse(r, wire::Status::kBadRequest);
    return;
  }
  if (ring_ == nullptr) {
    refuse(r, wire::Status::kBusy, kNotServingRetryUs);
    return;
  }
  std::array<std::byte, 1400> page;
  const size_t bytes = ring::encode_page(*ring_, *wanted, page.data(), page.size());
  replies_.add(reply_to(r), wire::Status::kOk, {}, Bytes(page).first(bytes));
}

void Worker::serve_stats(const Request& r) noexcept {
  stats_.others.add();
  publish_stats();
  std::array<char, kStatsJsonBytesMax> text;  // more than a frame holds travels as fragments
  const size_t bytes = stats_json(shared_->stats, text.data(), text.size());
  if (bytes == 0) {
    refuse(r, wire::Status::kTooLarge);
    return;
  }
  replies_.add(reply_to(r), wire::Status::kOk, {}, as_bytes({text.data(), bytes}));
}

/// The datagram of a request, to outlive its turn; nullptr if too many do already. While it is in
/// the burst, the burst has a reference of its own.
Worker::Retained* Worker::keep_datagram(const Request& r) noexcept {
  if (r.retained != nullptr) return r.retained;
  Retained*& kept = burst_retained_[r.burst_index];
  if (kept != nullptr || free_retained_.empty()) return kept;
  kept = free_retained_.back();
  free_retained_.pop_back();
  kept->datagram = *r.datagram;
  kept->references = 1;
  return kept;
}

/// Lets the request be kept beyond its turn, until drop_reference(). False: no room, not retained.
/// What a front end submitted stays where it is anyway.
bool Worker::retain(Request* r) noexcept {
  if (r->datagram == nullptr) return true;
  Retained* const kept = keep_datagram(*r);
  if (kept == nullptr) return false;
  ++kept->references;
  r->retained = kept;
  r->datagram = &kept->datagram;
  return true;
}

void Worker::drop_reference(Retained* kept) noexcept {
  if (kept == nullptr || --kept->references != 0) return;
  ingress_->release(std::span(&kept->datagram, 1));
  free_retained_.push_back(kept);
}

/// Keeps the request for a later turn; BUSY if too many wait already.
void Worker::defer(Request& r) noexcept {
  const bool waited = r.waited;
  Request kept = r;
  if (deferred_tail_ - deferred_head_ == kDeferredMax || (!waited && !retain(&kept))) {
    stats_.refused_busy.add();
    refuse(r, wire::Status::kBusy, kBusyRetryUs);
    return;
  }
  if (!waited) stats_.deferred.add();
  kept.waited = true;
  deferred_[deferred_tail_++ % kDeferredMax] = {kept,
                                                now_ns_ + uint64_t{config_.write_wait_us} * 1000};
}

uint32_t Worker::retry_deferred() noexcept {
  const uint64_t end = deferred_tail_;
  uint32_t served = 0;
  while (deferred_head_ != end) {
    Deferred d = deferred_[deferred_head_++ % kDeferredMax];
    const uint64_t before = deferred_tail_;
    locate(&d.request);  // its partition may have been elsewhere meanwhile
    if (now_ns_ >= d.deadline_ns) {
      stats_.refused_busy.add();
      refuse(d.request, wire::Status::kBusy, kBusyRetryUs);
    } else {
      serve(d.request);
    }
    if (deferred_tail_ != before) {  // waits on, until the deadline it had
      deferred_[(deferred_tail_ - 1) % kDeferredMax].deadline_ns = d.deadline_ns;
      continue;
    }
    drop_reference(d.request.retained);
    ++served;
  }
  return served;
}

}  // namespace dinomo::kn
