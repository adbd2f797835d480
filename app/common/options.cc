// SPDX-License-Identifier: BSD-3-Clause
#include "app/common/options.h"

#include <fmt/format.h>

#include <iostream>
#include <map>
#include <stdexcept>

namespace dinomo::app {

namespace {

constexpr const char* kVersion = DINOMO_VERSION;

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

std::string dashed(std::string name) {
  std::ranges::replace(name, '_', '-');
  return name;
}

/// Breaks `text` at blanks into lines of at most `width` characters.
std::vector<std::string> wrap(const std::string& text, size_t width) {
  std::vector<std::string> lines{""};
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    if (!lines.back().empty() && lines.back().size() + 1 + word.size() > width) {
      lines.emplace_back();
    }
    if (!lines.back().empty()) lines.back() += ' ';
    lines.back() += word;
    at = end + 1;
  }
  return lines;
}

std::string range_word(const std::string& unit) { return unit.empty() ? "N" : upper(unit); }

void print_entry(std::ostream& out, const std::string& head, const std::string& text) {
  constexpr size_t kColumn = 30;
  constexpr size_t kWidth = 68;
  out << "  " << head;
  size_t used = 2 + head.size();
  if (used + 2 > kColumn) {
    out << '\n';
    used = 0;
  }
  for (const std::string& line : wrap(text, kWidth)) {
    out << std::string(kColumn - used, ' ') << line << '\n';
    used = 0;
  }
}

}  // namespace

OptionTable::OptionTable(std::string program, std::string summary)
    : program_(std::move(program)), summary_(std::move(summary)) {}

void OptionTable::positionals(std::vector<std::string>* to, std::string usage) {
  positionals_ = to;
  positionals_usage_ = std::move(usage);
}

void OptionTable::insert(Option option) {
  static const std::vector<std::string> general = {"config", "check_config", "print_config", "help",
                                                   "version"};
  const bool own = std::ranges::find(general, option.name) != general.end();
  if (own || find(option.name) != nullptr || option.name.find('-') != std::string::npos) {
    throw std::logic_error("option '" + option.name + "': name taken or not with underscores");
  }
  option.group = group_;
  option.default_text = option.text();
  options_.push_back(std::move(option));
}

void OptionTable::add(const std::string& name, bool* target, FlagSpec spec) {
  Option o;
  o.name = name;
  o.help = std::move(spec.help);
  o.valid = "true or false";
  o.flag = true;
  o.apply = [target](const OptionInput& input) -> std::string {
    const auto v = to_bool(input);
    if (v) *target = *v;
    return v ? "" : v.error();
  };
  o.literal = o.text = [target] { return std::string(*target ? "true" : "false"); };
  insert(std::move(o));
}

void OptionTable::add_integer(const std::string& name, const IntegerRange& range, std::string help,
                              const std::function<void(int64_t)>& set,
                              const std::function<int64_t()>& get) {
  if (get() < range.min || get() > range.max) {
    throw std::logic_error("option '" + name + "': default out of range");
  }
  Option o;
  o.name = name;
  o.help = std::move(help);
  o.type = range_word(range.unit);
  o.valid = describe(range);
  o.unit = range.unit;
  o.apply = [range, set](const OptionInput& input) -> std::string {
    const auto v = to_integer(input, range);
    if (v) set(*v);
    return v ? "" : v.error();
  };
  o.literal = [get] {
    const int64_t v = get();
    const bool wide =
        v > std::numeric_limits<int32_t>::max() || v < std::numeric_limits<int32_t>::min();
    return fmt::format("{}{}", v, wide ? "L" : "");
  };
  o.text = [get, unit = range.unit] { return format_integer(get(), unit); };
  insert(std::move(o));
}

void OptionTable::add(const std::string& name, double* target, RealSpec spec) {
  const RealRange range{std::move(spec.unit), spec.min, spec.max};
  if (!(*target >= range.min && *target <= range.max)) {
    throw std::logic_error("option '" + name + "': default out of range");
  }
  Option o;
  o.name = name;
  o.help = std::move(spec.help);
  o.type = range_word(range.unit);
  o.valid = describe(range);
  o.unit = range.unit;
  o.apply = [range, target](const OptionInput& input) -> std::string {
    const auto v = to_real(input, range);
    if (v) *target = *v;
    return v ? "" : v.error();
  };
  o.literal = o.text = [target] { return format_real(*target); };
  insert(std::move(o));
}

void OptionTable::add(const std::string& name, std::string* target, TextSpec spec) {
  Option o;
  o.name = name;
  o.help = std::move(spec.help);
  o.type = std::move(spec.placeholder);
  o.apply = [target](const OptionInput& input) -> std::string {
    auto v = to_text(input);
    if (v) *target = *v;
    return v ? "" : v.error();
  };
  o.literal = [target] { return quote(*target); };
  o.text = [target] { return target->empty() ? "none" : *target; };
  insert(std::move(o));
}

void OptionTable::add_choice(const std::string& name, std::vector<std::string> words,
                             std::string help, const std::function<void(size_t)>& set,
                             const std::function<size_t()>& get) {
  if (get() >= words.size()) {
    throw std::logic_error("option '" + name + "': default is none of its values");
  }
  Option o;
  o.name = name;
  o.help = std::move(help);
  o.type = fmt::format("{}", fmt::join(words, "|"));
  o.valid = fmt::format("{}", fmt::join(words, ", "));
  o.apply = [words, set](const OptionInput& input) -> std::string {
    const auto v = to_choice(input, words);
    if (v) set(*v);
    return v ? "" : v.error();
  };
  o.literal = [words, get] { return quote(words[get()]); };
  o.text = [words, get] { return words[get()]; };
  insert(std::move(o));
}

OptionTable::Option* OptionTable::find(const std::string& name) {
  const auto it = std::ranges::find(options_, name, &Option::name);
  return it != options_.end() ? &*it : nullptr;
}

std::vector<std::string> OptionTable::names() const {
  std::vector<std::string> result;
  result.reserve(options_.size());
  for (const Option& o : options_) result.push_back(o.name);
  return result;
}

const std::string& OptionTable::source(const std::string& name) const {
  const auto it = std::ranges::find(options_, name, &Option::name);
  if (it == options_.end()) throw std::logic_error("no option '" + name + "'");
  return it->source;
}

void OptionTable::apply(Option& option, const OptionInput& input, const std::string& where,
                        const std::string& label) {
  const std::string wrong = option.apply(input);
  if (wrong.empty()) {
    option.source = where;
  } else {
    problems_.push_back(label + ": " + wrong);
  }
}

void OptionTable::report(std::ostream& err) const {
  for (const std::string& problem : problems_) err << program_ << ": " << problem << '\n';
}

void OptionTable::print_help(std::ostream& out) const {
  out << "Usage: " << program_ << (eal_ ? " [EAL options] -- [options]" : " [options]");
  if (positionals_ != nullptr) out << ' ' << positionals_usage_;
  out << "\n" << summary_ << "\n";
  std::vector<std::string> groups;
  for (const Option& o : options_) {
    if (std::ranges::find(groups, o.group) == groups.end()) groups.push_back(o.group);
  }
  for (const std::string& group : groups) {
    out << '\n' << group << ":\n";
    for (const Option& o : options_) {
      if (o.group != group) continue;
      std::string text = o.help;
      // Words and flags are seen in the left column already.
      if (!o.valid.empty() && !o.flag && o.type.find('|') == std::string::npos) {
        text += "; " + o.valid;
      } else if (!o.unit.empty()) {
        text += "; in " + o.unit;
      }
      print_entry(out, "--" + dashed(o.name) + (o.flag ? "" : " " + o.type),
                  fmt::format("{} [{}]", text, o.default_text));
    }
  }
  out << "\nGeneral:\n";
  print_entry(out, "--config FILE",
              "read options from a libconfig file; the command line overrides it");
  print_entry(out, "--check-config", "check file and command line, then exit: 0 valid, 1 not");
  print_entry(out, "--print-config", "print every option as a config file, then exit");
  print_entry(out, "--help, -h", "print this text");
  print_entry(out, "--version", "print the version");
  out << "\nSizes take k, m, g, t (8m is 8 MiB; counts go by thousands). A flag is switched off by "
         "--no-NAME.\n";
  if (eal_) out << "EAL options are DPDK's own: `" << program_ << " --help --` lists them.\n";
}

std::vector<std::string> OptionTable::changed_in(const OptionTable& other) const {
  std::vector<std::string> changed;
  for (size_t i = 0; i < std::min(options_.size(), other.options_.size()); ++i) {
    if (options_[i].literal() != other.options_[i].literal()) changed.push_back(options_[i].name);
  }
  return changed;
}

void OptionTable::print_config(std::ostream& out) const {
  out << "# " << program_ << " " << kVersion << ": every option with the value in force.\n"
      << "# Read back with --config FILE; options that are left out keep their defaults.\n";
  std::string group;
  for (const Option& o : options_) {
    if (o.group != group) {
      group = o.group;
      out << "\n# ---- " << group << "\n";
    }
    out << '\n';
    for (const std::string& line : wrap(o.help, 96)) out << "# " << line << '\n';
    std::string facts = "default: " + o.default_text;
    if (!o.unit.empty()) facts += "; unit: " + o.unit;
    if (!o.valid.empty()) facts += "; valid: " + o.valid;
    if (o.source != "default") facts += "; set by: " + o.source;
    for (const std::string& line : wrap(facts, 96)) out << "# " << line << '\n';
    out << o.name << " = " << o.literal() << ";\n";
  }
}

}  // namespace dinomo::app
