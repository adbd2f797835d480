// SPDX-License-Identifier: BSD-3-Clause
// What the command line said, and how the program ends.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dinomo::cli {

/// Exit status, made for scripts; described in the help.
enum Exit : uint8_t {
  kOk = 0,
  kNotFound = 1,
  kUsage = 2,
  kRefused = 3,
  kUnreachable = 4,
  kCondition = 5,
};

struct Settings {
  std::string server = "127.0.0.1:11300";
  uint32_t timeout_ms = 3000;
  bool hex = false;
  bool json_output = false;
  bool verbose = false;
  std::string key;
  std::vector<std::string> keys;  // mget
  std::string value;
  std::string file;
  std::string output;
  uint64_t ttl_ms = 0;
  uint32_t item_flags = 0;
  uint64_t version = 0;
  uint64_t delta = 1;
  std::optional<uint64_t> initial;
  uint32_t count = 1;
  // cluster
  std::string control;  // socket; empty: that of the only DPM on this machine
  uint32_t kn_slot = 0;
  uint32_t wait_s = 30;
  bool force = false;
  std::string partitions;   // one, or the first and the last
  uint32_t kns_wanted = 0;  // that are to serve reads of a key; 0: all
};

/// Says what is wrong, on stderr; returns `status`.
int complain(int status, const std::string& text);

}  // namespace dinomo::cli
