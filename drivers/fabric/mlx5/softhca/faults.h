// SPDX-License-Identifier: BSD-3-Clause
// What the soft HCA does on purpose to be nastier than a good day on hardware. Everything follows
// from the seed; chances are in 1/1000.
#pragma once

#include <cstdint>

namespace dinomo::softhca {

struct Faults {
  uint64_t seed = 1;
  uint32_t delay_cqe = 0;  // a CQE comes some rounds late (those behind it wait)
  uint32_t delay_rounds_max = 16;
  uint32_t tear = 0;              // a payload lands in pieces over several rounds
  uint32_t tear_bytes = 64;       // size of a piece: 8 or more
  uint32_t read_again = 0;        // a READ's data is fetched a second time, later
  uint32_t stop_qp = 0;           // a QP goes to error by itself (before a WQE)
  uint32_t lose_link = 0;         // a QP loses its link (before a WQE)
  uint32_t pace_us = 0;           // so long a pause after a WQE of each QP; with start() only
  bool hca_only_atomics = false;  // CPU stores may come between an atomic's load and store
  bool write_buffer = false;      // WRITEs stay volatile until a READ of the same QP
};

/// SplitMix64: small, and the same on every machine.
class Dice {
 public:
  explicit Dice(uint64_t seed) noexcept : state_(seed) {}
  uint64_t next() noexcept {
    uint64_t z = (state_ += 0x9e37'79b9'7f4a'7c15);
    z = (z ^ z >> 30) * 0xbf58'476d'1ce4'e5b9;
    z = (z ^ z >> 27) * 0x94d0'49bb'1331'11eb;
    return z ^ z >> 31;
  }
  bool chance(uint32_t per_mille) noexcept { return per_mille != 0 && next() % 1000 < per_mille; }
  uint32_t below(uint32_t bound) noexcept { return static_cast<uint32_t>(next() % bound); }

 private:
  uint64_t state_;
};

}  // namespace dinomo::softhca
