// SPDX-License-Identifier: BSD-3-Clause
// The conversation of one request datagram or one connection: commands in, operations started in
// their order, text out in the same order.
//
//   Reads overlap: the keys of a retrieval, and mg after mg. Whatever changes something, or is not
//   an operation on a key, waits until everything before it is answered, so that a command sees
//   what those before it did.
//
// An Exchange belongs to a Server (udp_server.h, or the TCP listener), which owns the input until
// idle() and takes the text. Thread rule: that of its errand desk.
#pragma once

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "kn/handover.h"
#include "memcached/counters.h"
#include "memcached/operation.h"

namespace dinomo::memcached {

class Exchange;

/// An errand of an exchange, and what its outcome is worded with.
struct Slot : kn::Errand {
  Exchange* exchange = nullptr;
  Command command;
  std::string_view key;                            // as written
  std::array<std::byte, kKeyBytesMax> binary_key;  // if it came in base64
  bool answered = false;
  Slot* next = nullptr;  // in the exchange, or of the free ones
};

/// Slots of one place, each with room for a largest value, of which memory is touched as it is
/// needed.
class Slots {
 public:
  explicit Slots(uint32_t count);
  /// Null: all are taken.
  Slot* take() noexcept;
  void give(Slot* slot) noexcept;
  uint32_t taken() const noexcept { return taken_; }

 private:
  std::unique_ptr<std::byte[]> memory_;
  std::vector<Slot> slots_;
  Slot* free_ = nullptr;
  uint32_t taken_ = 0;
};

/// Where an exchange's text goes.
class Output {
 public:
  virtual ~Output() = default;
  virtual void append(Bytes text) noexcept = 0;
};

/// Who drives exchanges.
class Server {
 public:
  virtual ~Server() = default;
  /// Something was answered, and the exchange was not being advanced. advance(false) may be called
  /// from here.
  virtual void on_progress(Exchange* exchange) noexcept = 0;
  /// Appends what `stats` answers, END included, or an error line.
  virtual void write_stats(std::string_view arguments, Output* out) noexcept = 0;
};

/// What all exchanges of a place share.
struct Place {
  kn::ErrandDesk* desk = nullptr;
  Slots* slots = nullptr;
  Counters* counters = nullptr;
  Server* server = nullptr;
  std::string_view version;   // what `version` says
  size_t line_bytes_max = 0;  // of a stream's input
};

class Exchange {
 public:
  enum class State : uint8_t {
    kWaiting,  // for outcomes
    kBlocked,  // for a slot, or for leave to start something: advance again later
    kDone,     // everything that is complete in the input is answered; see wanted()
    kClose,    // so, and the conversation is over: quit, or no protocol at all
  };

  void begin(const Place* place, Output* output) noexcept;
  /// The input from consumed() on. REQUIRES: idle(), or the bytes that were given stay where they
  /// are.
  void set_input(Bytes input) noexcept { input_ = input; }

  /// Starts what can be started and says what can be said. Bounded. With `may_start` it is called
  /// from the protocol's poll().
  State advance(bool may_start) noexcept;

  /// Nothing refers to the input but what is left of it.
  bool idle() const noexcept { return in_flight_ == 0 && !retrieving_; }
  uint32_t in_flight() const noexcept { return in_flight_; }
  Bytes input() const noexcept { return input_; }
  /// Bytes that the first incomplete command needs in all; 0: there is none.
  size_t wanted() const noexcept { return wanted_; }
  /// Bytes of the stream that are to be thrown away before more input.
  size_t take_skip() noexcept { return std::exchange(skip_, 0); }

  void* owner = nullptr;  // the server's

 private:
  static constexpr uint32_t kStepsMax = 512;  // of one advance
  static constexpr uint32_t kWindow = 64;     // operations in flight

  enum class Step : uint8_t { kGoOn, kWait, kBlocked, kEnd, kClose };

  Step step(bool may_start) noexcept;
  Step step_retrieval(bool may_start) noexcept;
  Step carry_out(const Parsed& parsed, bool may_start) noexcept;
  Step carry_out_plain(const Command& command) noexcept;
  bool start(const Command& command, std::string_view key) noexcept;
  static void on_done(kn::Errand* errand) noexcept;
  void say_answered() noexcept;
  void say_outcome(Slot* slot) noexcept;
  void say(std::string_view text) noexcept { output_->append(as_bytes(text)); }

  const Place* place_ = nullptr;
  Output* output_ = nullptr;
  Bytes input_;
  Command command_;  // the retrieval under way
  bool retrieving_ = false;
  bool failed_ = false;      // it: neither further keys nor END
  bool only_reads_ = false;  // in flight
  bool advancing_ = false;
  bool closed_ = false;
  uint32_t in_flight_ = 0;
  size_t wanted_ = 0;
  size_t skip_ = 0;
  Slot* first_ = nullptr;  // in order
  Slot** end_ = &first_;
};

}  // namespace dinomo::memcached
