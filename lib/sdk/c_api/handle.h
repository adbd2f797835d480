// SPDX-License-Identifier: BSD-3-Clause
// What is behind a dinomo_client: an asynchronous client (lib/client) over kernel sockets, and a
// slot for each operation in flight, which remembers where its result goes: to a callback, to the
// queue of dinomo_next, or to the blocking call that waits for it.
//
// Thread rule: as the handle, one thread at a time.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <vector>

#include "client/client.h"
#include "client/udp_transport.h"
#include "drivers/clock/system/system_clock.h"
#include "sdk/include/dinomo/dinomo.h"

namespace dinomo::sdk {

/// No sleep is longer, so that no lost wake-up holds anybody up for long.
inline constexpr uint64_t kSleepNs = 50'000'000;

/// A blocking call under way.
struct Batch {
  dinomo_result* results = nullptr;  // by index of the operation
  size_t left = 0;                   // operations that have not ended
};

enum class Target : uint8_t { kFree, kCallback, kQueue, kBatch };

struct Slot {
  Target target = Target::kFree;
  bool ended = false;  // in the queue
  dinomo_client* owner = nullptr;
  dinomo_callback callback = nullptr;
  void* context = nullptr;
  Batch* batch = nullptr;
  size_t index = 0;  // in the batch
  dinomo_opcode opcode = DINOMO_PING;
  uint64_t tag = 0;
  dinomo_result result{};
  std::vector<std::byte> value;  // of a result in the queue
};

dinomo_result to_result(const client::Completion& completion) noexcept;

/// Whether a caller's operation can be sent at all: DINOMO_OK, DINOMO_INVALID, DINOMO_TOO_LARGE.
dinomo_status check(const dinomo_operation& operation) noexcept;

}  // namespace dinomo::sdk

struct dinomo_client {
  dinomo::SystemClock clock{false};
  std::unique_ptr<dinomo::client::UdpTransport> transport;
  std::unique_ptr<dinomo::client::Client> client;

  std::vector<dinomo::sdk::Slot> slots;
  std::vector<uint32_t> free;   // slots
  std::deque<uint32_t> ended;   // slots whose results wait for dinomo_next, oldest first
  std::vector<std::byte> next;  // value of the last dinomo_next
  std::deque<std::vector<std::byte>> kept;  // values of the last blocking call, by index
  uint32_t delivered = 0;                   // operations ended since it was last set to 0
  bool in_callback = false;
  bool closing = false;

  dinomo_status submit(const dinomo_operation& operation, dinomo::sdk::Batch* batch, size_t index);
  /// poll(), and counts.
  uint32_t poll();
  /// Polls, and sleeps at most `limit_ns` if nothing has ended.
  void pump(uint64_t limit_ns);
  void finish(dinomo::sdk::Slot* slot, const dinomo_result& result);
  void release(dinomo::sdk::Slot* slot);
};
