// SPDX-License-Identifier: BSD-3-Clause
// Operations between the threads of a KN: what came in here and belongs to another worker goes
// there, is carried out, and comes back with its outcome.
//
//   a place         a worker lcore, or another thread that takes requests (its number is from
//                   `workers` on)
//   an Errand       one operation on its way; memory, key and value are its origin's throughout
//   HandOver        the rings, one pair for each place; one object for a KN
//   ErrandDesk      a place's end of it: on a worker also the engine's front end, which carries out
//                   the errands of others
//
// Bounds: a place has at most HandOver::errands_max() errands out, which is what its ring back
// takes, so that an outcome always finds room; a ring to a worker may be full, then the errand ends
// with BUSY. Cost: two rings each way, one copy of a value that is read.
#pragma once

#include <rte_ring.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "common/clock.h"
#include "ingress/ingress.h"
#include "kn/front_end.h"
#include "kn/operation.h"

namespace dinomo::kn {

class Worker;

/// One operation. From ErrandDesk::start() until its done() nobody but the desks touches it.
struct Errand {
  Operation operation;
  // The outcome, as in a reply of the native protocol.
  wire::Status status = wire::Status::kInternal;
  uint16_t extra_bytes = 0;
  std::array<std::byte, sizeof(wire::ItemExtras)> extras{};
  Bytes value = {};  // in done() only, unless keep_value() was called
  // The origin's.
  MutableBytes room = {};  // for a largest value
  void (*done)(Errand* errand) noexcept = nullptr;
  uint16_t place = 0;  // set by start()

  Bytes extras_view() const noexcept { return Bytes(extras).first(extra_bytes); }
  /// Moves the value to `room`, where it stays.
  void keep_value() noexcept;
};

/// Wakes a place that sleeps. Any thread.
class Waker {
 public:
  virtual ~Waker() = default;
  virtual void wake() noexcept = 0;
};

class HandOver {
 public:
  /// `places` is workers and more; `errands_max` is a power of two. Null: out of memory.
  static std::unique_ptr<HandOver> create(uint16_t workers, uint16_t places, uint32_t errands_max);

  uint16_t workers() const noexcept { return workers_; }
  uint32_t errands_max() const noexcept { return errands_max_; }
  /// Before the first errand. Not owned.
  void set_waker(uint16_t place, Waker* waker) noexcept { places_[place].waker = waker; }

  /// From any place; false: that worker has too much to do.
  bool send(uint16_t worker, Errand* errand) noexcept;
  /// From the worker that carried it out.
  void send_back(Errand* errand) noexcept;
  /// The place's own thread.
  uint32_t take_errands(uint16_t place, std::span<Errand*> out) noexcept;
  uint32_t take_outcomes(uint16_t place, std::span<Errand*> out) noexcept;
  /// Nothing to be taken. The place's own thread.
  bool empty(uint16_t place) const noexcept;

 private:
  struct RingDelete {
    void operator()(rte_ring* ring) const noexcept { std::free(ring); }
  };
  using Ring = std::unique_ptr<rte_ring, RingDelete>;
  struct Place {
    Ring errands;  // null: not a worker's
    Ring outcomes;
    Waker* waker = nullptr;
  };

  static Ring make_ring(uint32_t slots);
  void wake(const Place& place) noexcept;

  uint16_t workers_ = 0;
  uint32_t errands_max_ = 0;
  std::vector<Place> places_;
};

/// A protocol that is served at a place.
class Protocol {
 public:
  virtual ~Protocol() = default;
  /// A datagram that came to the port of the protocol; it is the protocol's to release.
  virtual void take(const ingress::Datagram& datagram) noexcept = 0;
  /// Once a turn, bounded; the place to start errands from. Returns work done.
  virtual uint32_t poll() noexcept = 0;
  /// poll() has something to do that only polling can notice.
  virtual bool waiting() const noexcept = 0;
};

class ErrandDesk final : public FrontEnd {
 public:
  /// Of a worker; `worker` gets the desk as its front end.
  ErrandDesk(HandOver* hand_over, uint16_t place, Worker* worker) noexcept;
  /// Of another thread, which has to call poll().
  ErrandDesk(HandOver* hand_over, uint16_t place, Clock* clock) noexcept;

  /// Before the first turn. Not owned.
  void set_protocol(Protocol* protocol) noexcept { protocol_ = protocol; }

  /// Has the operation carried out by the worker that owns its key, then calls done() on this
  /// thread, maybe before start() returns. From the protocol's poll() only; not from done().
  /// REQUIRES: fewer than errands_max() are out.
  void start(Errand* errand) noexcept;

  /// Calendar time of this turn.
  uint64_t unix_ms() const noexcept { return unix_ms_; }

  /// A turn of a place that is no worker. Returns work done.
  uint32_t poll() noexcept { return receive(); }

  uint32_t receive() noexcept override;
  void take(const ingress::Datagram& datagram) noexcept override { protocol_->take(datagram); }
  void on_reply(uint64_t tag, wire::Status status, Bytes extras, Bytes value) noexcept override;
  void flush() noexcept override {}
  bool waiting() const noexcept override;

 private:
  static constexpr size_t kBurst = 32;

  HandOver& hand_over_;
  const uint16_t place_;
  Worker* const worker_ = nullptr;
  Clock* const clock_ = nullptr;
  Protocol* protocol_ = nullptr;
  uint64_t unix_ms_ = 0;
  uint32_t away_ = 0;  // errands of this place that others have
};

}  // namespace dinomo::kn
