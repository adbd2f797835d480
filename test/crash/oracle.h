// SPDX-License-Identifier: BSD-3-Clause
// What a scripted run has written and what it was told is durable: by it every image is judged.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "log/format.h"
#include "test/support/steady_clock.h"

namespace dinomo::test {

inline constexpr uint32_t kLogs = 2;
inline constexpr uint32_t kKeysPerLog = 16;
inline constexpr uint32_t kSessionsPerLog = 2;

struct Written {
  uint64_t lsn = 0;
  log::Op op = log::Op::kPut;
  uint32_t key = 0;
  std::string value;
  uint64_t expiry_ms = 0;
  uint64_t session = 0;
  uint64_t sequence = 0;
  uint8_t outcome = 0;
};

struct LogOracle {
  std::vector<Written> writes;  // by LSN; kEnd entries are not in it
  uint64_t acknowledged = 0;    // LSN
  uint64_t issued = 0;          // LSN

  /// Nothing after `lsn` reached the log, and its LSNs will be given again.
  void forget_after(uint64_t lsn) {
    while (!writes.empty() && writes.back().lsn > lsn) writes.pop_back();
    issued = lsn;
  }
  /// The last write of a key up to `lsn`; nullptr if there is none or it is a delete.
  const Written* value_at(uint32_t key, uint64_t lsn) const {
    for (auto w = writes.rbegin(); w != writes.rend(); ++w) {
      if (w->lsn > lsn || w->op == log::Op::kOutcome || w->key != key) continue;
      return w->op == log::Op::kPut ? &*w : nullptr;
    }
    return nullptr;
  }
};

inline constexpr uint32_t kExpiryGraceMs = 20;

struct Oracle {
  const HandClock* clock = nullptr;  // of the run
  std::array<LogOracle, kLogs> logs;
  std::map<uint64_t, uint32_t> generations;  // of segments that KNs were granted, by offset
};

inline std::string key_name(uint32_t log, uint32_t key) {
  return "log" + std::to_string(log) + "/key" + std::to_string(key);
}
inline uint64_t session_name(uint32_t log, uint32_t n) { return 1000 + log * 10 + n; }

}  // namespace dinomo::test
