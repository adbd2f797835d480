// SPDX-License-Identifier: BSD-3-Clause
// Which key next: Zipf with any exponent, and the scrambling that spreads hot ranks over the keys.
#pragma once

#include <cstdint>

#include "client/random.h"

namespace dinomo::bench {

/// Ranks 0..n-1, rank r with probability proportional to (r + 1)^-theta; theta 0 is uniform, theta
/// may be 1 or more. Rejection-inversion (Hoermann and Derflinger 1996): no table, O(1) a sample
/// for any n and theta, exact up to rounding.
class Zipf {
 public:
  Zipf(uint64_t n, double theta) noexcept;

  /// Another number of ranks, without a rebuild.
  void resize(uint64_t n) noexcept;
  uint64_t n() const noexcept { return n_; }
  uint64_t sample(client::Random* random) const noexcept;

 private:
  double integral(double x) const noexcept;          // H(x) of x^-theta, H(1) = 0
  double inverse_integral(double u) const noexcept;  // H^-1
  double density(double x) const noexcept;

  double theta_;
  uint64_t n_ = 0;
  double area_first_;     // left end of the area drawn from
  double area_last_ = 0;  // right end
  double accept_below_;   // distances that need no test
};

/// A fixed permutation of 0..n-1, so that the hot ranks are not neighbours. Unlike a hash modulo n
/// it maps no two ranks to one key, so each key's probability stays exactly that of its rank.
class Scramble {
 public:
  explicit Scramble(uint64_t n) noexcept;
  uint64_t operator()(uint64_t rank) const noexcept;

 private:
  uint64_t n_;
  uint64_t mask_;
  uint32_t shift_;
};

}  // namespace dinomo::bench
