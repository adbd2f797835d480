// SPDX-License-Identifier: BSD-3-Clause
#include "app/common/option_value.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <optional>

#include <fmt/format.h>

namespace dinomo::app {

namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

std::optional<bool> bool_word(std::string_view text) {
  const std::string word = lower(text);
  for (const char* yes : {"true", "on", "yes", "1"}) {
    if (word == yes) return true;
  }
  for (const char* no : {"false", "off", "no", "0"}) {
    if (word == no) return false;
  }
  return std::nullopt;
}

bool is_time(std::string_view unit) {
  return unit == "ns" || unit == "us" || unit == "ms" || unit == "s";
}

/// What the suffixes k m g t multiply by; 0 where a suffix would only confuse (5m minutes?).
int64_t suffix_base(std::string_view unit) {
  if (unit == "bytes") return 1024;
  return is_time(unit) ? 0 : 1000;
}

constexpr std::string_view kSuffixes = "kmgt";

/// 1, base, base^2 ...; 0 if the word is no suffix. "8mb" and "8mib" mean the same as "8m".
int64_t multiplier(std::string_view word, std::string_view unit) {
  if (word.empty()) return 1;
  const int64_t base = suffix_base(unit);
  const size_t power = kSuffixes.find(word[0]);
  if (base == 0 || power == std::string_view::npos) return 0;
  const std::string_view rest = word.substr(1);
  if (!rest.empty() && !(unit == "bytes" && (rest == "b" || rest == "ib"))) return 0;
  int64_t result = 1;
  for (size_t i = 0; i <= power; ++i) result *= base;
  return result;
}

std::string with_unit(std::string_view text, std::string_view unit) {
  return unit.empty() ? std::string(text) : fmt::format("{} {}", text, unit);
}

Converted<int64_t> parse_integer(const std::string& text, const IntegerRange& range) {
  const auto wrong = [&] {
    const std::string suffixes =
        suffix_base(range.unit) == 0 ? "" : ", suffixes k m g t are understood";
    return std::unexpected(fmt::format("'{}' is no whole number ({}{})", text,
                                       range.unit.empty() ? "count" : range.unit, suffixes));
  };
  const std::string word = lower(text);
  int64_t number = 0;
  const char* begin = word.data();
  const char* end = begin + word.size();
  const auto [rest, error] = std::from_chars(begin, end, number);
  if (error == std::errc::result_out_of_range) {
    return std::unexpected(fmt::format("'{}' does not fit 63 bits", text));
  }
  if (error != std::errc() || rest == begin) return wrong();
  const int64_t factor = multiplier({rest, static_cast<size_t>(end - rest)}, range.unit);
  if (factor == 0) return wrong();
  int64_t product = 0;
  if (__builtin_mul_overflow(number, factor, &product)) {
    return std::unexpected(fmt::format("'{}' does not fit 63 bits", text));
  }
  return product;
}

/// Optimal string alignment: insert, drop, replace, swap of neighbours cost 1 each.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1);
  std::vector<size_t> last(b.size() + 1);
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

std::string describe_bounds(bool has_min, bool has_max, const std::string& min,
                            const std::string& max, std::string_view unit) {
  if (has_min && has_max) return with_unit(fmt::format("{} to {}", min, max), unit);
  if (has_min) return with_unit("at least " + min, unit);
  if (has_max) return with_unit("at most " + max, unit);
  return "";
}

}  // namespace

bool is_bool_word(std::string_view word) { return bool_word(word).has_value(); }

Converted<bool> to_bool(const OptionInput& input) {
  if (const bool* b = std::get_if<bool>(&input.value)) return *b;
  if (const auto* text = std::get_if<std::string>(&input.value); text && !input.from_file) {
    if (const auto b = bool_word(*text)) return *b;
    return std::unexpected(fmt::format("'{}' is neither true nor false", *text));
  }
  return std::unexpected("wrong type: expected true or false (without quotes)");
}

Converted<int64_t> to_integer(const OptionInput& input, const IntegerRange& range) {
  int64_t number = 0;
  if (const auto* i = std::get_if<int64_t>(&input.value)) {
    number = *i;
  } else if (const auto* text = std::get_if<std::string>(&input.value)) {
    const auto parsed = parse_integer(*text, range);
    if (!parsed) return parsed;
    number = *parsed;
  } else {
    return std::unexpected("wrong type: expected a whole number, or one with a suffix in quotes");
  }
  if (number < range.min || number > range.max) {
    return std::unexpected(fmt::format("{} is out of range, valid: {}",
                                       with_unit(format_integer(number, range.unit), range.unit),
                                       describe(range)));
  }
  return number;
}

Converted<double> to_real(const OptionInput& input, const RealRange& range) {
  double number = 0;
  if (const auto* d = std::get_if<double>(&input.value)) {
    number = *d;
  } else if (const auto* i = std::get_if<int64_t>(&input.value)) {
    number = static_cast<double>(*i);
  } else if (const auto* text = std::get_if<std::string>(&input.value);
             text != nullptr && !input.from_file) {
    const auto [rest, error] = std::from_chars(text->data(), text->data() + text->size(), number);
    if (error != std::errc() || rest != text->data() + text->size()) {
      return std::unexpected(fmt::format("'{}' is no number", *text));
    }
  } else {
    return std::unexpected("wrong type: expected a number (without quotes)");
  }
  if (!(number >= range.min && number <= range.max)) {  // false for NaN, too
    return std::unexpected(fmt::format("{} is out of range, valid: {}",
                                       with_unit(format_real(number), range.unit),
                                       describe(range)));
  }
  return number;
}

Converted<std::string> to_text(const OptionInput& input) {
  if (const auto* text = std::get_if<std::string>(&input.value)) return *text;
  return std::unexpected("wrong type: expected text in quotes");
}

Converted<size_t> to_choice(const OptionInput& input, const std::vector<std::string>& words) {
  const auto* text = std::get_if<std::string>(&input.value);
  const std::string all = fmt::format("{}", fmt::join(words, ", "));
  if (text == nullptr) {
    return std::unexpected("wrong type: expected one of these words in quotes: " + all);
  }
  const auto found = std::ranges::find(words, *text);
  if (found != words.end()) return static_cast<size_t>(found - words.begin());
  const std::string meant = nearest(*text, words);
  return std::unexpected(fmt::format("'{}' is none of {}{}", *text, all,
                                     meant.empty() ? "" : "; did you mean '" + meant + "'?"));
}

std::string format_integer(int64_t value, std::string_view unit) {
  const int64_t base = suffix_base(unit);
  if (base == 0 || value == 0) return std::to_string(value);
  std::string suffix;
  for (const char letter : kSuffixes) {
    // Decimal counts such as 4000 read better written out than as 4k.
    if (value % base != 0 || (base == 1000 && std::abs(value) < 1'000'000 && suffix.empty())) break;
    value /= base;
    suffix = letter;
  }
  return std::to_string(value) + suffix;
}

std::string format_real(double value) {
  std::string text = fmt::format("{}", value);
  // libconfig tells reals from integers by the point.
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

std::string describe(const IntegerRange& range) {
  const bool has_min = range.min != std::numeric_limits<int64_t>::min();
  const bool has_max = range.max != std::numeric_limits<int64_t>::max();
  return describe_bounds(has_min, has_max, format_integer(range.min, range.unit),
                         format_integer(range.max, range.unit), range.unit);
}

std::string describe(const RealRange& range) {
  const bool has_min = range.min != std::numeric_limits<double>::lowest();
  const bool has_max = range.max != std::numeric_limits<double>::max();
  return describe_bounds(has_min, has_max, fmt::format("{}", range.min),
                         fmt::format("{}", range.max), range.unit);
}

std::string quote(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    switch (c) {
      case '"': result += "\\\""; break;
      case '\\': result += "\\\\"; break;
      case '\n': result += "\\n"; break;
      case '\t': result += "\\t"; break;
      case '\r': result += "\\r"; break;
      default: result += c;
    }
  }
  return result + '"';
}

std::string nearest(std::string_view given, const std::vector<std::string>& names) {
  const std::string word = lower(given);
  std::string best;
  size_t best_distance = std::max<size_t>(2, word.size() / 3) + 1;
  for (const std::string& name : names) {
    const size_t distance = edit_distance(word, name);
    if (distance < best_distance && distance < name.size()) {
      best = name;
      best_distance = distance;
    }
  }
  if (!best.empty() || word.size() < 3) return best;
  // "cache" for "cache_bytes": too far for typing errors, but plainly its beginning.
  const auto longer =
      std::ranges::find_if(names, [&](const std::string& name) { return name.starts_with(word); });
  return longer != names.end() ? *longer : "";
}

}  // namespace dinomo::app
