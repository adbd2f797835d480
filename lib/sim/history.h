// SPDX-License-Identifier: BSD-3-Clause
// What clients asked for and what they were told: the input of the checker (checker.h).
//
// As a file a history is JSON lines, one operation a line in any order (table: doc/simulator.md).
// Times are nanoseconds of one clock that all clients of the history share.
// Thread rule: values; whoever holds one may use it.
#pragma once

#include <cstdint>
#include <istream>
#include <limits>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "common/status.h"
#include "wire/format.h"

namespace dinomo::sim {

inline constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

struct Operation {
  wire::Opcode opcode = wire::Opcode::kGet;
  uint64_t client = 0;
  std::string key;

  // Arguments; those that the opcode does not have stay as they are.
  std::string value;
  uint64_t ttl_ms = 0;  // 0: never expires
  uint32_t item_flags = 0;
  uint64_t expected_version = 0;  // CAS
  uint64_t delta = 0;             // INCR, DECR
  uint64_t initial = 0;
  bool create = false;

  uint64_t invoke_ns = 0;
  uint64_t return_ns = kNever;  // kNever: no reply; it may take effect at any later time, or never

  // The reply.
  wire::Status status = wire::Status::kOk;
  std::string result;     // GET, GAT: the value; INCR, DECR: the number in decimal
  uint64_t version = 0;   // of the item, in replies that carry it; else 0
  bool has_item = false;  // result_flags and result_expiry_ms were sent
  uint32_t result_flags = 0;
  uint64_t result_expiry_ms = 0;

  bool answered() const noexcept { return return_ns != kNever; }
};

using History = std::vector<Operation>;

/// One line, without its end. Values that are not printable ASCII are written in hexadecimal.
std::string to_json_line(const Operation& operation);

/// kInvalid with a sentence in `why` (which names the field) for a line that is no operation.
Result<Operation> from_json_line(std::string_view line, std::string* why);

void write_history(std::ostream& out, const History& history);

/// Empty lines are skipped. kInvalid with a sentence (which names the line) for a bad line.
Result<History> read_history(std::istream& in, std::string* why);

/// For people: "client 3 PUT k v=abc [120..340 ns] OK version 7".
std::string describe(const Operation& operation);

}  // namespace dinomo::sim
