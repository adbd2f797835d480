// SPDX-License-Identifier: BSD-3-Clause
// Where values come from: command line (CLI11) and config file (libconfig).
#include <fmt/format.h>
#include <libconfig.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <utility>

#include "app/common/build_info.h"
#include "app/common/options.h"

namespace dinomo::app {

namespace {

/// `--a_b=v` -> `--a-b=v`; values are left alone.
std::string canonical_word(const std::string& word) {
  std::string result = word;
  const size_t end = std::min(word.find('='), word.size());
  std::replace(result.begin() + 2, result.begin() + static_cast<ptrdiff_t>(end), '_', '-');
  return result;
}

std::string underscored(std::string name) {
  std::ranges::replace(name, '-', '_');
  return name;
}

std::string dashed(std::string name) {
  std::ranges::replace(name, '_', '-');
  return name;
}

std::string first_lines(const std::string& text, int count) {
  size_t at = 0;
  for (int i = 0; i < count && at != std::string::npos; ++i) {
    at = text.find('\n', at);
    if (at != std::string::npos) ++at;
  }
  return text.substr(0, at);
}

/// Overwrites a line with blanks, so that the others keep their numbers.
bool blank_line(std::string* text, int line) {
  const size_t begin = first_lines(*text, line - 1).size();
  const size_t end = std::min(text->find('\n', begin), text->size());
  if (begin >= end) return false;
  std::fill(text->begin() + static_cast<ptrdiff_t>(begin),
            text->begin() + static_cast<ptrdiff_t>(end), ' ');
  return true;
}

struct ConfigDeleter {
  void operator()(config_t* c) const {
    config_destroy(c);
    delete c;
  }
};
using Config = std::unique_ptr<config_t, ConfigDeleter>;

Config new_config(const std::string& path) {
  Config config(new config_t);
  config_init(config.get());
  const std::string directory = std::filesystem::path(path).parent_path().string();
  config_set_include_dir(config.get(), directory.empty() ? "." : directory.c_str());
  return config;
}

std::string type_name(int type) {
  switch (type) {
    case CONFIG_TYPE_GROUP: return "a group {}";
    case CONFIG_TYPE_ARRAY: return "an array []";
    case CONFIG_TYPE_LIST: return "a list ()";
    default: return "something else";
  }
}

}  // namespace

struct OptionTable::CommandLine {
  std::vector<std::pair<Option*, std::string>> values;
  std::string config;
  bool help = false;
  bool version = false;
  bool check = false;
  bool print = false;
};

OptionTable::CommandLine OptionTable::read_command_line(int argc, const char* const* argv) {
  CommandLine line;
  CLI::App cli;
  cli.set_help_flag();
  cli.allow_extras();
  cli.add_option("--config", line.config)->take_last();
  cli.add_flag("--help,-h", line.help);
  cli.add_flag("--version", line.version);
  cli.add_flag("--check-config", line.check);
  cli.add_flag("--print-config", line.print);

  // Every value is read as text and converted by the same code as that of a file.
  std::map<std::string, std::string> given;
  for (const Option& o : options_) {
    std::string& value = given[o.name];
    const std::string word = "--" + dashed(o.name);
    if (o.flag) {
      cli.add_flag(word, value)->take_last();
    } else {
      cli.add_option(word, value)->take_last();
    }
  }

  // CLI11 cannot tell a flag's value from the next word, so `--flag off` becomes `--flag=off`.
  std::vector<std::string> words;
  std::vector<std::string> plain;  // after `--` nothing is an option
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    if (word == "--") {
      plain.assign(argv + i + 1, argv + argc);
      break;
    }
    if (word.starts_with("--")) {
      word = canonical_word(word);
      const Option* flag = find(underscored(word.substr(2)));
      if (flag != nullptr && flag->flag && i + 1 < argc && is_bool_word(argv[i + 1])) {
        word += std::string("=") + argv[++i];
      } else if (word.starts_with("--no-") && find(underscored(word.substr(2))) == nullptr) {
        const Option* negated = find(underscored(word.substr(5)));
        if (negated != nullptr && negated->flag) word = "--" + word.substr(5) + "=false";
      }
    }
    words.push_back(std::move(word));
  }
  const size_t plain_after = plain.size();
  std::ranges::reverse(words);  // as CLI11 wants it
  try {
    cli.parse(words);
  } catch (const CLI::ParseError& e) {
    problems_.emplace_back(e.what());
  }

  bool refused = false;  // the word behind an unknown option is most likely its value
  for (const std::string& word : cli.remaining()) {
    if (word.size() > 1 && word[0] == '-') {
      refuse_option(word);
      refused = word.find('=') == std::string::npos;
    } else if (std::exchange(refused, false) && positionals_ == nullptr) {
      continue;
    } else {
      plain.insert(plain.end() - static_cast<ptrdiff_t>(plain_after), word);
    }
  }
  for (std::string& word : plain) {
    if (positionals_ != nullptr) {
      positionals_->push_back(std::move(word));
    } else {
      problems_.push_back(fmt::format("unexpected word '{}'; options start with --", word));
    }
  }
  for (Option& o : options_) {
    if (cli.count("--" + dashed(o.name)) != 0) line.values.emplace_back(&o, given[o.name]);
  }
  return line;
}

void OptionTable::refuse_option(const std::string& word) {
  const std::string option = word.substr(0, word.find('='));
  std::vector<std::string> all = names();
  for (const char* general : {"config", "check_config", "print_config", "help", "version"}) {
    all.emplace_back(general);
  }
  std::string meant;
  if (option.size() > 2) {
    meant = nearest(underscored(option.substr(option.find_first_not_of('-'))), all);
  }
  std::string hint = "; --help lists the options";
  if (!meant.empty()) {
    hint = "; did you mean --" + dashed(meant) + "?";
  } else if (eal_) {
    hint = "; EAL arguments go before `--`, --help lists the others";
  }
  problems_.push_back(fmt::format("unknown option {}{}", option, hint));
}

void OptionTable::apply_settings(void* config, const std::string& path) {
  const auto* parsed = static_cast<const config_t*>(config);
  const config_setting_t* root = config_root_setting(parsed);
  std::map<std::string, int> seen;
  for (int i = 0; i < config_setting_length(root); ++i) {
    const config_setting_t* s = config_setting_get_elem(root, static_cast<unsigned>(i));
    const char* file = config_setting_source_file(s);
    const int number = static_cast<int>(config_setting_source_line(s));
    const std::string where = fmt::format("{} line {}", file != nullptr ? file : path, number);
    const std::string key = config_setting_name(s);
    const std::string name = underscored(key);
    const std::string label = fmt::format("config key '{}' in {}", key, where);
    Option* option = find(name);
    if (option == nullptr) {
      const std::string meant = nearest(name, names());
      problems_.push_back(fmt::format(
          "unknown config key '{}' in {}{}", key, where,
          meant.empty() ? "; --print-config lists the keys" : "; did you mean '" + meant + "'?"));
      continue;
    }
    if (const auto [first, fresh] = seen.emplace(name, number); !fresh) {
      problems_.push_back(fmt::format("{}: given before in line {}", label, first->second));
      continue;
    }
    OptionInput input{.value = false, .from_file = true};
    switch (config_setting_type(s)) {
      case CONFIG_TYPE_BOOL: input.value = config_setting_get_bool(s) != 0; break;
      case CONFIG_TYPE_INT: input.value = int64_t{config_setting_get_int(s)}; break;
      case CONFIG_TYPE_INT64: input.value = int64_t{config_setting_get_int64(s)}; break;
      case CONFIG_TYPE_FLOAT: input.value = config_setting_get_float(s); break;
      case CONFIG_TYPE_STRING: input.value = std::string(config_setting_get_string(s)); break;
      default:
        problems_.push_back(fmt::format("{}: wrong type: expected one value, not {}", label,
                                        type_name(config_setting_type(s))));
        continue;
    }
    apply(*option, input, where, label);
  }
}

void OptionTable::read_file(const std::string& path) {
  std::ifstream file(path);
  std::stringstream contents;
  if (std::filesystem::is_directory(path)) errno = EISDIR;
  if (!file || std::filesystem::is_directory(path) || (file.peek(), file.bad())) {
    problems_.push_back(
        fmt::format("cannot read config file '{}': {}", path, std::strerror(errno)));
    return;
  }
  contents << file.rdbuf();
  std::string text = contents.str();
  if (text.find('\0') != std::string::npos) {
    problems_.push_back(fmt::format("config file '{}' holds a zero byte: it is no text", path));
    return;
  }

  // libconfig stops at its first error. A duplicate is noted and taken out, so that the rest is
  // checked, too; at a syntax error only what stands before it can be.
  for (;;) {
    Config config = new_config(path);
    if (config_read_string(config.get(), text.c_str()) == CONFIG_TRUE) {
      apply_settings(config.get(), path);
      return;
    }
    const int number = config_error_line(config.get());
    const char* included = config_error_file(config.get());
    const std::string what = config_error_text(config.get());
    const std::string where = fmt::format("{} line {}", included ? included : path, number);
    if (what.find("duplicate") != std::string::npos && included == nullptr) {
      problems_.push_back(fmt::format("{}: this key was given before", where));
      if (blank_line(&text, number)) continue;
      return;
    }
    problems_.push_back(fmt::format("{}: {}; the rest of the file was not read", where, what));
    for (int last = number - 1; last > 0 && last >= number - 2 && included == nullptr; --last) {
      config = new_config(path);
      if (config_read_string(config.get(), first_lines(text, last).c_str()) == CONFIG_TRUE) {
        apply_settings(config.get(), path);
        return;
      }
    }
    return;
  }
}

std::optional<int> OptionTable::parse(int argc, const char* const* argv) {
  return parse(argc, argv, std::cout, std::cerr);
}

std::optional<int> OptionTable::parse(int argc, const char* const* argv, std::ostream& out,
                                      std::ostream& err) {
  problems_.clear();
  const CommandLine line = read_command_line(argc, argv);
  if (line.help) {
    print_help(out);
    return 0;
  }
  if (line.version) {
    out << program_ << ' ' << build_info().version << '\n' << build_info().text << '\n';
    return 0;
  }
  if (!line.config.empty()) read_file(line.config);
  for (const auto& [option, text] : line.values) {
    apply(*option, OptionInput{.value = text, .from_file = false}, "command line",
          "option --" + dashed(option->name));
  }
  // Before the checks over several options: what is printed is to be filled in.
  if (line.print && problems_.empty()) {
    print_config(out);
    return 0;
  }
  if (problems_.empty()) {
    for (const auto& check : checks_) {
      if (std::string wrong = check(); !wrong.empty()) problems_.push_back(std::move(wrong));
    }
  }
  if (!problems_.empty()) {
    report(err);
    return line.check ? 1 : kExitUsage;
  }
  if (line.check) {
    out << program_ << ": configuration is valid\n";
    return 0;
  }
  return std::nullopt;
}

SplitArguments split_eal_args(int argc, char** argv) {
  SplitArguments split;
  if (argc == 0) return split;
  split.eal.push_back(argv[0]);
  split.own.push_back(argv[0]);
  int cut = 0;
  for (int i = 1; i < argc && cut == 0; ++i) {
    if (std::strcmp(argv[i], "--") == 0) cut = i;
  }
  for (int i = 1; i < argc; ++i) {
    if (i != cut) (i < cut ? split.eal : split.own).push_back(argv[i]);
  }
  return split;
}

}  // namespace dinomo::app
