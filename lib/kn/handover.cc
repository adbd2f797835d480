// SPDX-License-Identifier: BSD-3-Clause
#include "kn/handover.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstdlib>

#include "common/align.h"
#include "common/hash.h"
#include "kn/worker.h"

namespace dinomo::kn {

namespace {

uint64_t tag_of(Errand* errand) noexcept { return std::bit_cast<uint64_t>(errand); }
Errand* errand_of(uint64_t tag) noexcept { return std::bit_cast<Errand*>(tag); }

uint32_t take(rte_ring* ring, std::span<Errand*> out) noexcept {
  if (ring == nullptr) return 0;
  return rte_ring_sc_dequeue_burst(ring, reinterpret_cast<void**>(out.data()),
                                   static_cast<unsigned>(out.size()), nullptr);
}

void end(Errand* errand, wire::Status status) noexcept {
  errand->status = status;
  errand->extra_bytes = 0;
  errand->value = {};
  errand->done(errand);
}

}  // namespace

void Errand::keep_value() noexcept {
  if (value.data() == room.data()) return;
  std::ranges::copy(value, room.begin());
  value = room.first(value.size());
}

// ---------------------------------------------------------------------------- the rings

HandOver::Ring HandOver::make_ring(uint32_t slots) {
  const auto bytes = static_cast<size_t>(std::max<ssize_t>(rte_ring_get_memsize(slots), 1));
  Ring ring(static_cast<rte_ring*>(
      std::aligned_alloc(kCacheLineBytes, align_up<size_t>(bytes, kCacheLineBytes))));
  if (ring && rte_ring_init(ring.get(), "errands", slots, RING_F_SC_DEQ) != 0) ring.reset();
  return ring;
}

std::unique_ptr<HandOver> HandOver::create(uint16_t workers, uint16_t places,
                                           uint32_t errands_max) {
  assert(places >= workers && std::has_single_bit(errands_max));
  auto h = std::make_unique<HandOver>();
  h->workers_ = workers;
  h->errands_max_ = errands_max;
  h->places_.resize(places);
  for (uint16_t p = 0; p < places; ++p) {
    // A ring of n slots holds n - 1.
    h->places_[p].outcomes = make_ring(2 * errands_max);
    if (p < workers) h->places_[p].errands = make_ring(2 * errands_max);
    if (!h->places_[p].outcomes || (p < workers && !h->places_[p].errands)) return nullptr;
  }
  return h;
}

void HandOver::wake(const Place& place) noexcept {
  if (place.waker != nullptr) place.waker->wake();
}

bool HandOver::send(uint16_t worker, Errand* errand) noexcept {
  const Place& to = places_[worker];
  if (rte_ring_mp_enqueue(to.errands.get(), errand) != 0) return false;
  wake(to);
  return true;
}

void HandOver::send_back(Errand* errand) noexcept {
  const Place& to = places_[errand->place];
  const int full = rte_ring_mp_enqueue(to.outcomes.get(), errand);
  assert(full == 0);  // has room for all that the place may have out
  (void)full;
  wake(to);
}

uint32_t HandOver::take_errands(uint16_t place, std::span<Errand*> out) noexcept {
  return take(places_[place].errands.get(), out);
}

uint32_t HandOver::take_outcomes(uint16_t place, std::span<Errand*> out) noexcept {
  return take(places_[place].outcomes.get(), out);
}

bool HandOver::empty(uint16_t place) const noexcept {
  const Place& p = places_[place];
  return rte_ring_empty(p.outcomes.get()) != 0 &&
         (!p.errands || rte_ring_empty(p.errands.get()) != 0);
}

// ---------------------------------------------------------------------------- the desk

ErrandDesk::ErrandDesk(HandOver* hand_over, uint16_t place, Worker* worker) noexcept
    : hand_over_(*hand_over), place_(place), worker_(worker) {}

ErrandDesk::ErrandDesk(HandOver* hand_over, uint16_t place, Clock* clock) noexcept
    : hand_over_(*hand_over), place_(place), clock_(clock) {}

void ErrandDesk::start(Errand* e) noexcept {
  e->place = place_;
  const auto owner =
      static_cast<uint16_t>(worker_of(routing_hash(e->operation.key), hand_over_.workers()));
  if (worker_ != nullptr && owner == place_) {
    worker_->submit(e->operation, tag_of(e));
  } else if (hand_over_.send(owner, e)) {
    ++away_;
  } else {
    end(e, wire::Status::kBusy);
  }
}

uint32_t ErrandDesk::receive() noexcept {
  unix_ms_ = worker_ != nullptr ? worker_->unix_ms() : clock_->unix_ms();
  std::array<Errand*, kBurst> errands;
  const uint32_t back = hand_over_.take_outcomes(place_, errands);
  away_ -= back;
  for (Errand* e : std::span(errands).first(back)) e->done(e);
  uint32_t come = 0;
  if (worker_ != nullptr) {
    come = hand_over_.take_errands(place_, errands);
    for (Errand* e : std::span(errands).first(come)) worker_->submit(e->operation, tag_of(e));
  }
  return back + come + (protocol_ != nullptr ? protocol_->poll() : 0);
}

void ErrandDesk::on_reply(uint64_t tag, wire::Status status, Bytes extras, Bytes value) noexcept {
  Errand* const e = errand_of(tag);
  e->status = status;
  e->extra_bytes = static_cast<uint16_t>(std::min(extras.size(), e->extras.size()));
  std::copy_n(extras.begin(), e->extra_bytes, e->extras.begin());
  e->value = value;
  if (e->place == place_) {
    e->done(e);
    return;
  }
  e->keep_value();
  hand_over_.send_back(e);
}

/// What others carry out rings when it comes back.
bool ErrandDesk::waiting() const noexcept {
  return !hand_over_.empty(place_) || (protocol_ != nullptr && protocol_->waiting());
}

}  // namespace dinomo::kn
