// SPDX-License-Identifier: BSD-3-Clause
// How a cache policy is spelled in configuration files, on command lines and in statistics.
//
//   dac | value-only | shortcut-only | static:X (X from 0 to 1, the fraction for values) | none
#pragma once

#include <string>
#include <string_view>

#include "cache/dac.h"

namespace dinomo::cache {

struct DacPolicySpec {
  Policy policy = Policy::kDac;
  double static_value_fraction = 0.5;  // kStatic only

  bool operator==(const DacPolicySpec&) const noexcept = default;
};

/// kInvalid for anything but the spellings above. Start-up code.
Result<DacPolicySpec> parse_policy(std::string_view text) noexcept;

/// The inverse of parse_policy(); allocates, so not for the data path.
std::string format_policy(const DacPolicySpec& spec);

}  // namespace dinomo::cache
