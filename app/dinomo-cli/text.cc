// SPDX-License-Identifier: BSD-3-Clause
#include "text.h"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <fstream>
#include <iostream>
#include <iterator>

namespace dinomo::cli {

namespace {

constexpr size_t kValueBytesMax = 61'440;

bool is_utf8(std::string_view text) {
  try {
    (void)json(text).dump();
    return true;
  } catch (const json::exception&) {
    return false;
  }
}

}  // namespace

int complain(int status, const std::string& text) {
  std::cerr << "dinomo-cli: " << text << '\n';
  return status;
}

std::optional<std::string> from_hex(const std::string& text) {
  if (text.size() % 2 != 0) return std::nullopt;
  std::string out;
  for (size_t i = 0; i < text.size(); i += 2) {
    unsigned byte = 0;
    const auto [end, error] = std::from_chars(text.data() + i, text.data() + i + 2, byte, 16);
    if (error != std::errc{} || end != text.data() + i + 2) return std::nullopt;
    out.push_back(static_cast<char>(byte));
  }
  return out;
}

std::string to_hex(std::string_view bytes) {
  std::string hex;
  for (const char c : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return hex;
}

void add_bytes(json* to, const std::string& name, std::string_view bytes) {
  if (is_utf8(bytes)) {
    (*to)[name] = bytes;
    return;
  }
  (*to)[name + "_hex"] = to_hex(bytes);
}

std::string human_ns(uint64_t ns) {
  if (ns < 1000) return fmt::format("{} ns", ns);
  if (ns < 1'000'000) return fmt::format("{:.1f} us", static_cast<double>(ns) / 1e3);
  return fmt::format("{:.1f} ms", static_cast<double>(ns) / 1e6);
}

int read_value(const Settings& s, std::string* value) {
  const bool from_stdin = s.file == "-" || (s.file.empty() && s.value == "-");
  if (s.file.empty() && !from_stdin) {
    *value = s.value;
  } else {
    std::ifstream file;
    if (!from_stdin) {
      file.open(s.file, std::ios::binary);
      if (!file) return complain(kUsage, fmt::format("cannot read {}", s.file));
    }
    std::istream& in = from_stdin ? std::cin : file;
    value->assign(std::istreambuf_iterator<char>(in), {});
    if (in.bad()) return complain(kUsage, fmt::format("cannot read {}", s.file));
  }
  if (value->size() > kValueBytesMax) {
    return complain(kUsage, fmt::format("the value has {} bytes; at most {} can be stored",
                                        value->size(), kValueBytesMax));
  }
  return kOk;
}

int write_value(const Settings& s, std::string_view value) {
  if (!s.output.empty()) {
    std::ofstream file(s.output, std::ios::binary | std::ios::trunc);
    file << value;
    file.close();
    if (!file) return complain(kUsage, fmt::format("cannot write {}", s.output));
    return kOk;
  }
  if (s.json_output) return kOk;
  std::cout << value;
  if (isatty(STDOUT_FILENO) != 0) std::cout << '\n';
  std::cout.flush();
  return std::cout ? kOk : complain(kUsage, "cannot write to standard output");
}

}  // namespace dinomo::cli
