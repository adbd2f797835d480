// SPDX-License-Identifier: BSD-3-Clause
// One option's value: conversion from a word of the command line or a typed libconfig value, range
// check, and formatting. Used by OptionTable only; start-up code, control thread.
//
// Every error is half a sentence that names what was given and what is valid; the caller puts the
// option's name and place in front.
#pragma once

#include <cstdint>
#include <expected>
#include <limits>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace dinomo::app {

/// From the command line always text; from a file as typed there.
struct OptionInput {
  std::variant<bool, int64_t, double, std::string> value;
  bool from_file = false;
};

template <class T>
using Converted = std::expected<T, std::string>;

struct IntegerRange {
  std::string unit;  // "bytes" takes k m g t as powers of 1024, counts take them as powers of 1000
  int64_t min = std::numeric_limits<int64_t>::min();
  int64_t max = std::numeric_limits<int64_t>::max();
};

struct RealRange {
  std::string unit;
  double min = std::numeric_limits<double>::lowest();
  double max = std::numeric_limits<double>::max();
};

Converted<bool> to_bool(const OptionInput& input);
Converted<int64_t> to_integer(const OptionInput& input, const IntegerRange& range);
Converted<double> to_real(const OptionInput& input, const RealRange& range);
Converted<std::string> to_text(const OptionInput& input);
/// Index of the chosen word.
Converted<size_t> to_choice(const OptionInput& input, const std::vector<std::string>& words);

/// True if `word` is one of true/false, on/off, yes/no, 1/0 (any case).
bool is_bool_word(std::string_view word);

/// For people: "8m" for 8 MiB, the plain number where no suffix fits exactly.
std::string format_integer(int64_t value, std::string_view unit);
std::string format_real(double value);
/// "1m to 4t bytes", "at least 1", "" if everything is valid.
std::string describe(const IntegerRange& range);
std::string describe(const RealRange& range);
/// As a libconfig literal: in quotes, escaped.
std::string quote(std::string_view text);

/// The name in `names` that a person most likely meant; "" if none is near.
std::string nearest(std::string_view given, const std::vector<std::string>& names);

}  // namespace dinomo::app
