// SPDX-License-Identifier: BSD-3-Clause
// What the machine itself takes for the parts of an operation, measured in the same run as the
// operations: a random read of memory, a copy of a value, its checksum; and what exactly-once
// takes.
#pragma once

#include <time.h>  // NOLINT(modernize-deprecated-headers): clock_gettime

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "common/hash.h"
#include "kn/sessions.h"

namespace dinomo::bench {

/// CPU time of this thread: what neighbours take of the CPU does not count.
inline double cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

template <class T>
inline void keep(const T& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

class RawCosts {
 public:
  RawCosts(size_t bytes, uint64_t operations)
      : operations_(operations), memory_(bytes / 8), to_(4096) {
    // One cycle through all cache lines in random order.
    const size_t lines = memory_.size() / 8;
    std::vector<uint64_t> order(lines);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin() + 1, order.end(), std::mt19937_64(11));
    for (size_t i = 0; i < lines; ++i) memory_[order[i] * 8] = order[(i + 1) % lines] * 8;
  }

  /// Each read knows its address only from the one before.
  double random_read() {
    uint64_t at = last_;
    const double began = cpu_ns();
    for (uint64_t i = 0; i < operations_; ++i) at = memory_[at];
    const double spent = cpu_ns() - began;
    last_ = at;
    return spent / static_cast<double>(operations_);
  }

  double copy_hot(size_t bytes) {
    const double began = cpu_ns();
    for (uint64_t i = 0; i < operations_; ++i) {
      std::memcpy(to_.data(), memory_.data() + i % 2 * 512, bytes);
      keep(to_[0]);
    }
    return (cpu_ns() - began) / static_cast<double>(operations_);
  }

  /// From anywhere in the memory; the addresses are known ahead, so copies overlap.
  double copy_random(size_t bytes) {
    const uint64_t places = memory_.size() * 8 / bytes;
    uint64_t x = last_ | 1;
    const double began = cpu_ns();
    for (uint64_t i = 0; i < operations_; ++i) {
      x = x * 6364136223846793005u + 1442695040888963407u;
      const auto place = static_cast<uint64_t>(static_cast<unsigned __int128>(x) * places >> 64);
      std::memcpy(to_.data(), reinterpret_cast<const std::byte*>(memory_.data()) + place * bytes,
                  bytes);
      keep(to_[0]);
    }
    last_ = x % (memory_.size() / 8) * 8;
    return (cpu_ns() - began) / static_cast<double>(operations_);
  }

  /// What exactly-once adds to a mutation in the engine: is it new, and its outcome noted. Each
  /// session has 16 mutations in a row, as packed datagrams bring them.
  double claim_and_finish(uint32_t clients) {
    constexpr uint32_t kPacked = 16;
    kn::Sessions sessions(1024, 256);
    std::vector<uint64_t> sequences(clients);
    uint64_t new_ones = 0;
    const double began = cpu_ns();
    for (uint64_t i = 0; i < operations_; ++i) {
      const uint64_t client = i / kPacked % clients;
      const uint64_t session = (1000 + client) << 24;
      const uint64_t sequence = ++sequences[client];
      const kn::MutationClaim claim = sessions.claim(session, sequence, false);
      new_ones += claim.kind == kn::MutationClaim::Kind::kNew ? 1 : 0;
      sessions.finish(claim.cell, session, sequence, {wire::Status::kOk, i, 0});
    }
    const double spent = cpu_ns() - began;
    keep(new_ones);
    return spent / static_cast<double>(operations_);
  }

  double xxh3(size_t bytes) {
    uint64_t sum = 0;
    const double began = cpu_ns();
    for (uint64_t i = 0; i < operations_; ++i) {
      sum +=
          checksum64(Bytes(reinterpret_cast<const std::byte*>(memory_.data()) + i % 8 * 8, bytes));
      keep(sum);
    }
    return (cpu_ns() - began) / static_cast<double>(operations_);
  }

 private:
  uint64_t operations_;
  std::vector<uint64_t> memory_;
  std::vector<std::byte> to_;
  uint64_t last_ = 0;
};

}  // namespace dinomo::bench
