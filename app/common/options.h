// SPDX-License-Identifier: BSD-3-Clause
// The options of a program, from one table: config file, command line, --help, --print-config,
// --check-config and the option pages of doc/ all come from it.
//
//   DpmOptions o;
//   OptionTable table{"dinomo-dpm", "Serves a pool of persistent memory to compute nodes."};
//   table.group("Pool");
//   table.add("pool", &o.pool, {.placeholder = "FILE", .help = "file or DAX device of the pool"});
//   table.add("pool_bytes", &o.pool_bytes,
//             {.unit = "bytes", .min = 64 << 20, .help = "size, if the pool is created"});
//   table.add("log_level", &o.level, {.values = {{"info", kInfo}, ...}, .help = "..."});
//   table.check([&] { return o.pool.empty() ? "--pool is missing" : ""; });
//   if (const auto status = table.parse(argc, argv)) return *status;
//
// What a bound variable holds when it is added is the default. Precedence: default < file (--config
// FILE, libconfig syntax, options at top level) < command line. In names `_` and `-` are the same;
// the table and files use `_`. A flag is given as --name, --name=false, --name off or --no-name.
//
// Errors: every problem of file and command line is printed, one line each, with the nearest valid
// name or the valid range. Start-up code, main thread; may throw std::logic_error for a table that
// is wrong in itself (a name twice, a default out of range).
#pragma once

#include <algorithm>
#include <concepts>
#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "app/common/option_value.h"

namespace dinomo::app {

struct FlagSpec {
  std::string help = {};
};
struct IntegerSpec {
  std::string unit = {};  // bytes, us, ms, s, or what is counted; empty for a bare number
  int64_t min = std::numeric_limits<int64_t>::min();
  int64_t max = std::numeric_limits<int64_t>::max();
  std::string help = {};
};
struct RealSpec {
  std::string unit = {};
  double min = std::numeric_limits<double>::lowest();
  double max = std::numeric_limits<double>::max();
  std::string help = {};
};
struct TextSpec {
  std::string placeholder = "TEXT";  // FILE, ADDRESS ... in --help
  std::string help = {};
};
template <class E>
struct EnumSpec {
  std::vector<std::pair<std::string, E>> values = {};
  std::string help = {};
};

/// Exit status of a program whose configuration is wrong (1 under --check-config).
inline constexpr int kExitUsage = 2;

class OptionTable {
 public:
  OptionTable(std::string program, std::string summary);

  /// The program takes DPDK EAL arguments before `--`: for usage line and error hints. The caller
  /// splits them off with split_eal_args() first.
  void takes_eal_arguments() { eal_ = true; }

  /// Words that are no options go to *to; without this they are errors. `usage` as in "KEY [FILE]".
  void positionals(std::vector<std::string>* to, std::string usage);

  /// Heading of the options added from here on.
  void group(std::string title) { group_ = std::move(title); }

  void add(const std::string& name, bool* target, FlagSpec spec);
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  void add(const std::string& name, T* target, IntegerSpec spec) {
    IntegerRange range{std::move(spec.unit), spec.min, spec.max};
    if constexpr (std::is_unsigned_v<T> || sizeof(T) < sizeof(int64_t)) {
      range.min = std::max<int64_t>(range.min, std::numeric_limits<T>::min());
    }
    if constexpr (sizeof(T) < sizeof(int64_t)) {
      range.max = std::min<int64_t>(range.max, std::numeric_limits<T>::max());
    }
    add_integer(
        name, range, std::move(spec.help), [target](int64_t v) { *target = static_cast<T>(v); },
        [target] { return static_cast<int64_t>(*target); });
  }
  void add(const std::string& name, double* target, RealSpec spec);
  void add(const std::string& name, std::string* target, TextSpec spec);
  template <class E>
    requires std::is_enum_v<E>
  void add(const std::string& name, E* target, std::type_identity_t<EnumSpec<E>> spec) {
    std::vector<std::string> words;
    std::vector<E> values;
    for (auto& [word, value] : spec.values) {
      words.push_back(word);
      values.push_back(value);
    }
    add_choice(
        name, std::move(words), std::move(spec.help),
        [target, values](size_t i) { *target = values[i]; },
        [target, values] {
          size_t i = 0;
          while (i < values.size() && values[i] != *target) ++i;
          return i;
        });
  }

  /// A condition over several options, looked at when each of them is right by itself. Returns a
  /// sentence that says what is wrong and what to do, or "".
  void check(std::function<std::string()> condition) { checks_.push_back(std::move(condition)); }

  /// Fills the bound variables. Nothing: go on. A number: end with this exit status, everything has
  /// been printed.
  std::optional<int> parse(int argc, const char* const* argv);
  std::optional<int> parse(int argc, const char* const* argv, std::ostream& out, std::ostream& err);

  void print_help(std::ostream& out) const;
  /// Every option with value, default, unit and help, as a libconfig file that can be read back.
  void print_config(std::ostream& out) const;

  /// Where an option's value comes from: "default", "kn.conf line 3", "command line".
  const std::string& source(const std::string& name) const;

  /// Names of the options whose value in `other`, a table of the same options, is another one.
  std::vector<std::string> changed_in(const OptionTable& other) const;

 private:
  struct Option {
    std::string name;
    std::string group;
    std::string help;
    std::string type;   // for --help: BYTES, FILE, busy|adaptive
    std::string valid;  // range or words, for people; may be empty
    std::string unit;
    bool flag = false;
    std::function<std::string(const OptionInput&)> apply;  // "" or what is wrong
    std::function<std::string()> literal;                  // the value, as in a file
    std::function<std::string()> text;                     // the value, for people
    std::string default_text;
    std::string source = "default";
  };
  struct CommandLine;

  void add_integer(const std::string& name, const IntegerRange& range, std::string help,
                   const std::function<void(int64_t)>& set, const std::function<int64_t()>& get);
  void add_choice(const std::string& name, std::vector<std::string> words, std::string help,
                  const std::function<void(size_t)>& set, const std::function<size_t()>& get);
  void insert(Option option);

  Option* find(const std::string& name);
  std::vector<std::string> names() const;
  CommandLine read_command_line(int argc, const char* const* argv);
  void refuse_option(const std::string& word);
  void read_file(const std::string& path);
  void apply_settings(void* config, const std::string& path);
  void apply(Option& option, const OptionInput& input, const std::string& where,
             const std::string& label);
  void report(std::ostream& err) const;

  std::string program_;
  std::string summary_;
  bool eal_ = false;
  std::vector<std::string>* positionals_ = nullptr;
  std::string positionals_usage_;
  std::string group_ = "Options";
  std::vector<Option> options_;
  std::vector<std::function<std::string()>> checks_;
  std::vector<std::string> problems_;
};

/// argv of a DPDK program, cut at the first `--`; both parts start with the program's name and can
/// be handed on as argc/argv. Without `--` everything is ours, so that --help and the like work.
struct SplitArguments {
  std::vector<char*> eal;
  std::vector<char*> own;
};
SplitArguments split_eal_args(int argc, char** argv);

}  // namespace dinomo::app
