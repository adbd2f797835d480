// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-bench/zipf.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace dinomo::bench {

namespace {

// expm1(x)/x and log1p(x)/x, which are smooth at 0: there theta = 1 turns powers into logarithms.
double expm1_over(double x) { return std::abs(x) < 1e-8 ? 1 + x / 2 : std::expm1(x) / x; }
double log1p_over(double x) { return std::abs(x) < 1e-8 ? 1 - x / 2 : std::log1p(x) / x; }

}  // namespace

Zipf::Zipf(uint64_t n, double theta) noexcept : theta_(theta) {
  area_first_ = integral(1.5) - 1;
  accept_below_ = 2 - inverse_integral(integral(2.5) - density(2));
  resize(n);
}

void Zipf::resize(uint64_t n) noexcept {
  n_ = std::max<uint64_t>(n, 1);
  area_last_ = integral(static_cast<double>(n_) + 0.5);
}

double Zipf::density(double x) const noexcept { return std::exp(-theta_ * std::log(x)); }

double Zipf::integral(double x) const noexcept {
  const double log_x = std::log(x);
  return expm1_over((1 - theta_) * log_x) * log_x;
}

double Zipf::inverse_integral(double u) const noexcept {
  // Rounding may carry the argument past the pole of theta > 1.
  const double t = std::max(u * (1 - theta_), -1.0);
  return std::exp(log1p_over(t) * u);
}

uint64_t Zipf::sample(client::Random* random) const noexcept {
  // Accepted with probability well above 1/2 for any theta; the bound is for the proof of ending.
  for (int attempt = 0; attempt < 1000; ++attempt) {
    const double u = area_last_ + random->unit() * (area_first_ - area_last_);
    const double x = inverse_integral(u);
    const double rank = std::clamp(std::floor(x + 0.5), 1.0, static_cast<double>(n_));
    if (rank - x <= accept_below_ || u >= integral(rank + 0.5) - density(rank)) {
      return static_cast<uint64_t>(rank) - 1;
    }
  }
  return 0;
}

Scramble::Scramble(uint64_t n) noexcept : n_(std::max<uint64_t>(n, 1)) {
  const uint32_t bits = std::max<uint32_t>(static_cast<uint32_t>(std::bit_width(n_ - 1)), 2);
  mask_ = bits >= 64 ? UINT64_MAX : (uint64_t{1} << bits) - 1;
  shift_ = (bits + 1) / 2;
}

uint64_t Scramble::operator()(uint64_t rank) const noexcept {
  uint64_t x = rank;
  do {  // each step permutes 0..mask; walking on until below n permutes 0..n-1 (twice on average)
    x = (x * 0x9e37'79b9'7f4a'7c15u + 0x632b'e59b'd9b4'e019u) & mask_;
    x ^= x >> shift_;
    x = (x * 0xbf58'476d'1ce4'e5b9u + 0x94d0'49bb'1331'11ebu) & mask_;
    x ^= x >> shift_;
    x = (x * 0xd6e8'feb8'6659'fd93u) & mask_;
  } while (x >= n_);
  return x;
}

}  // namespace dinomo::bench
