// SPDX-License-Identifier: BSD-3-Clause
// Asynchronous client of a Dinomo cluster.
//
//   submit()  copies the operation and queues it; nothing is sent yet
//   flush()   routes what is queued to its owner KN's worker and packs it: as many requests as fit
//             share a datagram. A batch of submits and one flush is what makes a client fast
//   poll()    receives, calls callbacks, retransmits, and flushes
//
// The client looks after the rest by itself: HELLO and its cookie, one session for all KNs;
// fetching the ring, again when a KN answers WRONG_OWNER or names a newer one, and sending to the
// new owner what still waits for the old one; waiting when one answers MOVING or BUSY;
// repeating with exponential back-off and jitter what stays unanswered, until the deadline. A
// mutation keeps its sequence number through all of it, by which servers know a repetition
// (doc/protocol.md). Replies that come late or twice are counted and dropped.
//
// Two operations in flight at the same time have no order between them, also on one key.
//
// Bounds: at most Options::in_flight_max requests; at most the session's window of mutations
// between the oldest unanswered one and the newest (others wait inside); every request ends within
// its deadline. No allocation after warm-up except for values larger than any before.
//
// Thread rule: one thread. Callbacks are called from poll() (and from submit() and flush() never);
// they may submit(), but not flush() or poll().
// Cost: a packed GET of 64 B took dinomo-bench 0.2 us of CPU over memif, choosing keys included;
// over kernel sockets the kernel adds 0.4 us packed, 4 us with one request a datagram.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "client/random.h"
#include "client/request.h"
#include "client/ring_cache.h"
#include "client/transport.h"
#include "common/clock.h"
#include "wire/codec.h"

namespace dinomo::client {

struct Options {
  uint32_t in_flight_max = 1024;    // 1..65000 requests
  uint32_t mutation_window = 4096;  // mutations in flight to ask of the server
  uint32_t pack_max = 0;            // requests in a datagram; 0: as many as fit
  uint32_t deadline_ms = 5000;      // a request unanswered for so long is given up
  uint32_t retry_first_ms = 100;    // first time-out, until round trips have been measured
  uint32_t retry_min_ms = 20;       // time-outs are never shorter
  uint32_t retry_max_ms = 1000;     // and, with back-off, never longer
  uint32_t attempts_max = 64;       // transmissions of a request
  uint64_t seed = 1;                // of the jitter
};

struct Counters {
  uint64_t submitted = 0;
  uint64_t completed = 0;        // callbacks called
  uint64_t transmissions = 0;    // requests sent, repeats included
  uint64_t timeouts = 0;         // retransmissions because no reply came in time
  uint64_t gave_up = 0;          // requests that ended without an answer
  uint64_t outcome_unknown = 0;  // mutations whose session was lost (part of gave_up)
  uint64_t wrong_owner = 0;      // replies of that status; likewise the next three
  uint64_t moving = 0;
  uint64_t busy = 0;
  uint64_t no_session = 0;
  uint64_t followed = 0;       // sent again at once, as another KN owns their partition now
  uint64_t late_replies = 0;   // replies to nothing that is waiting: duplicates and late ones
  uint64_t malformed = 0;      // datagrams or replies that make no sense
  uint64_t hellos = 0;         // HELLO requests sent
  uint64_t sessions = 0;       // sessions had, 1 in a quiet life
  uint64_t ring_fetches = 0;   // whole rings received
  uint64_t datagrams_out = 0;  // of requests: transmissions / datagrams_out is the packing
  uint64_t datagrams_in = 0;
};

class Client {
 public:
  /// `seeds`: KNs to begin with, at least one; the others come with the ring. Transport and clock
  /// are the caller's and outlive the client. kInvalid for options out of range, or the transport's
  /// error if no seed can be reached at all. Sends nothing.
  static Result<std::unique_ptr<Client>> create(Transport* transport, Clock* clock,
                                                const Options& options,
                                                std::span<const Address> seeds);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// kOk: the callback will be called. kNoResource: in_flight_max are in flight, poll first.
  /// kInvalid: key longer than 250 bytes, value longer than 61440, extras longer than 32, or an
  /// opcode that is the client's own business (HELLO, RING). kOutOfRange: the transport cannot
  /// carry a request of this size.
  Status submit(const Operation& operation) noexcept;
  void flush() noexcept;
  /// Returns how many callbacks were called.
  uint32_t poll() noexcept;
  /// Sleeps until something may be received or a timer is due, at most `limit_ns`; then poll().
  void wait(uint64_t limit_ns) noexcept;
  /// How long no timer is due, at most `limit_ns`: for callers that sleep by themselves.
  uint64_t idle_ns(uint64_t limit_ns) const noexcept {
    return timers_.idle_ns(clock_->now_ns(), limit_ns);
  }

  /// Starts fetching the ring if it is not there yet (so does the first operation).
  void connect() noexcept;
  bool connected() const noexcept { return ring_.version != 0; }
  /// The ring in use; version 0 before the first has come.
  const RingView& ring() const noexcept { return ring_; }
  uint32_t in_flight() const noexcept { return in_flight_; }
  uint64_t session() const noexcept { return session_; }
  uint64_t key_bytes_max() const noexcept { return key_bytes_max_; }
  uint64_t value_bytes_max() const noexcept { return value_bytes_max_; }
  const Counters& counters() const noexcept { return counters_; }
  /// True once a server has answered anything at all; false says "nobody there" from "too slow".
  bool heard() const noexcept { return counters_.datagrams_in != 0; }
  /// Time of the last poll() or flush(), to save callers a clock read.
  uint64_t now_ns() const noexcept { return now_ns_; }

 private:
  using Request = detail::Request;

  struct Endpoint {  // one worker of one KN
    LinkId link = 0;
    bool open = false;
    bool dirty = false;  // in dirty_
    List queue;          // requests to be packed
  };

  struct Kn {
    Address base;  // worker w listens on base.port + w
    uint16_t kn_slot = kAnyKn;
    uint32_t worker_count = 1;
    bool used = false;
    bool seed = false;
    bool ready = false;  // has a cookie for the session
    uint64_t cookie = 0;
    uint32_t cookie_generation = 0;
    uint64_t cookie_renew_ns = UINT64_MAX;  // fetch a newer one from then on
    uint64_t cookie_end_ns = UINT64_MAX;    // it may be void from then on
    uint32_t datagram_bytes_max = wire::kDatagramBytesMax;
    uint64_t srtt_ns = 0;  // 0: not measured
    uint64_t rttvar_ns = 0;
    std::vector<std::unique_ptr<Endpoint>> workers;
    List waiting;  // requests that need the cookie
    Request hello;
  };

  struct Dirty {
    uint32_t kn;
    uint32_t worker;
  };

  Client(Transport* transport, Clock* clock, const Options& options);
  Status add_seeds(std::span<const Address> seeds);

  // client.cc: routing, packing, timers
  void flush_queues() noexcept;
  void dispatch(Request* r) noexcept;
  bool assign_sequence(Request* r) noexcept;
  void back_off(Request* r, uint64_t wait_ns) noexcept;
  void requeue(Request* r) noexcept;
  void enqueue(Request* r, uint32_t kn_index, Endpoint* endpoint) noexcept;
  void hold(List* list, Request* r) noexcept;
  uint32_t route_kn(const Request& r) noexcept;
  uint32_t route_replica(uint64_t route_hash) noexcept;
  void pack(uint32_t kn_index, uint32_t worker) noexcept;
  void mark_sent(Kn& kn, Request* r) noexcept;
  void expire(Request* r) noexcept;
  void give_up(Request* r, Status status) noexcept;
  void complete(Request* r, Completion* completion) noexcept;
  void free_sequence(Request* r) noexcept;
  void release(Request* r) noexcept;
  bool window_open() const noexcept;
  uint64_t timeout_ns(const Kn& kn, const Request& r) noexcept;
  uint64_t jittered(uint64_t ns) noexcept;
  wire::DatagramHeader header_for(const Kn& kn) const noexcept;

  // client_receive.cc: replies
  void receive(Bytes datagram) noexcept;
  Request* find(const wire::DatagramHeader& header, const wire::Message& m) noexcept;
  void on_reply(Request* r, const wire::DatagramHeader& header, const wire::Message& m) noexcept;
  void on_final(Request* r, const wire::Message& m) noexcept;
  void on_wrong_owner(Request* r, const wire::Message& m) noexcept;
  void on_no_session(Request* r) noexcept;
  void on_session_lost(Request* r) noexcept;
  void on_retry_later(Request* r, const wire::Message& m) noexcept;
  void measure(Request* r) noexcept;

  // client_control.cc: sessions and ring
  void start_hello(uint32_t kn_index, uint32_t worker) noexcept;
  void send_hello(uint32_t kn_index) noexcept;
  void expire_hello(Request* r) noexcept;
  void on_hello_reply(Request* r, const wire::Message& m) noexcept;
  void new_session(uint64_t session) noexcept;
  void drop_session() noexcept;
  void renew_cookie(uint32_t kn_index) noexcept;
  // Who slept asks before a cookie that has ended can make a mutation look as if it had been sent
  // before.
  bool has_cookie(const Kn& kn) const noexcept { return kn.ready && now_ns_ < kn.cookie_end_ns; }
  static bool may_have_run(const Request& r) noexcept;
  void want_ring() noexcept;
  void drive_ring() noexcept;
  void expire_ring() noexcept;
  void retry_ring_later() noexcept;
  void on_ring_reply(const wire::Message& m) noexcept;
  void install_ring() noexcept;
  void requeue_moved(const RingView& next) noexcept;
  void hear_of_ring(uint32_t version) noexcept;
  void next_control_kn() noexcept;
  void retire_kn(uint32_t kn_index) noexcept;
  uint32_t find_or_add_kn(const Address& base, uint16_t kn_slot, uint32_t workers) noexcept;
  Endpoint* endpoint(Kn& kn, uint32_t worker) noexcept;
  uint64_t new_control_sequence(uint32_t slot) noexcept;

  Transport* const transport_;
  Clock* const clock_;
  const Options options_;
  Random random_;
  Counters counters_;
  uint64_t now_ns_ = 0;
  uint32_t callbacks_ = 0;

  std::vector<Request> requests_;
  std::vector<uint32_t> free_;
  uint32_t in_flight_ = 0;
  uint64_t generation_ = 0;  // makes the sequences of non-mutations unique

  List queued_;       // submitted or to be sent again: to be routed
  List window_wait_;  // mutations that the window does not allow yet
  List ring_wait_;    // requests that need a (newer) ring
  std::vector<Dirty> dirty_;
  TimerWheel timers_;

  uint64_t session_ = 0;
  uint64_t token_ = 0;     // of the session
  bool renewing_ = false;  // no new mutations until those under way have ended and it is new
  uint32_t window_ = 1;
  uint64_t key_bytes_max_ = 250;
  uint64_t value_bytes_max_ = 61'440;
  uint64_t mutation_next_ = 1;       // next sequence
  uint64_t mutation_oldest_ = 1;     // oldest unanswered one
  std::vector<Request*> mutations_;  // by sequence modulo size, a power of two >= window_

  std::vector<std::unique_ptr<Kn>> kns_;
  std::array<uint32_t, 65'536> kn_by_slot_;
  uint32_t control_kn_ = 0;  // where the ring is fetched
  RingView ring_;
  RingAssembler assembler_;
  Request ring_request_;
  bool ring_wanted_ = false;
  uint64_t ring_not_before_ns_ = 0;
  uint32_t ring_heard_of_ = 0;   // newest version that a reply named
  uint32_t ring_unchanged_ = 0;  // fetches in a row that brought nothing new
};

}  // namespace dinomo::client
