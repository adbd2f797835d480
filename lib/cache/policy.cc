// SPDX-License-Identifier: BSD-3-Clause
#include "cache/policy.h"

#include <array>
#include <charconv>
#include <utility>

namespace dinomo::cache {
namespace {

constexpr std::string_view kStaticPrefix = "static:";
constexpr std::array<std::pair<std::string_view, Policy>, 4> kNames = {{
    {"dac", Policy::kDac},
    {"value-only", Policy::kValueOnly},
    {"shortcut-only", Policy::kShortcutOnly},
    {"none", Policy::kNone},
}};

}  // namespace

Result<DacPolicySpec> parse_policy(std::string_view text) noexcept {
  for (const auto& [name, policy] : kNames) {
    if (text == name) return DacPolicySpec{.policy = policy};
  }
  if (!text.starts_with(kStaticPrefix)) return std::unexpected(Status::kInvalid);
  const std::string_view number = text.substr(kStaticPrefix.size());
  double fraction = 0;
  const char* end = number.end();
  const auto parsed = std::from_chars(number.begin(), end, fraction, std::chars_format::fixed);
  const bool in_range = fraction >= 0 && fraction <= 1;  // false for a NaN
  if (parsed.ec != std::errc{} || parsed.ptr != end || !in_range) {
    return std::unexpected(Status::kInvalid);
  }
  // "-0" is zero, but printed it would not be what an operator expects.
  return DacPolicySpec{.policy = Policy::kStatic, .static_value_fraction = fraction + 0.0};
}

std::string format_policy(const DacPolicySpec& spec) {
  for (const auto& [name, policy] : kNames) {
    if (spec.policy == policy) return std::string(name);
  }
  std::array<char, 512> digits{};  // room for the longest fixed notation of a double
  const auto written = std::to_chars(digits.data(), digits.data() + digits.size(),
                                     spec.static_value_fraction, std::chars_format::fixed);
  return std::string(kStaticPrefix) + std::string(digits.data(), written.ptr);
}

}  // namespace dinomo::cache
