// SPDX-License-Identifier: BSD-3-Clause
// Everything that the command line can say.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "app/dinomo-bench/workload.h"

namespace dinomo::bench {

struct Settings {
  std::string server = "127.0.0.1:11300";
  std::string phase = "both";  // load, run, both, check
  std::string workload_name = "b";
  Workload workload;
  double theta = 0.99;
  uint64_t keys = 100'000;
  uint32_t key_bytes = 8;
  SizeRange value_bytes;
  uint32_t threads = 1;
  uint32_t window = 64;  // operations in flight, per thread
  double rate = 0;       // operations/s of all threads; 0: closed loop
  bool poisson = true;   // open loop: exponential gaps, else even ones
  double seconds = 10;
  uint64_t ops = 0;  // instead of seconds
  double warmup_seconds = 1;
  uint64_t seed = 1;
  uint32_t pack = 0;
  uint32_t timeout_ms = 5000;
  int64_t spin_us = -1;  // -1: 50, over an own port 5000
  bool verify = false;
  bool allow_lost = false;
  bool quiet = false;
  bool no_stats = false;
  std::string json_file;
  std::string record_file;
  std::string timeline_file;
  uint32_t interval_ms = 1000;  // of progress lines and the timeline

  bool dpdk = false;  // an own port instead of kernel sockets
  std::string ip;     // of that port, with prefix
  std::string server_mac;
  std::string dpdk_port;
  uint16_t udp_port = 20'000;  // of the first thread
  std::vector<std::string> eal_arguments;

  bool loads() const { return phase == "load" || phase == "both"; }
  bool runs() const { return phase == "run" || phase == "both"; }
};

/// Exit statuses of dinomo-bench.
enum Exit { kExitOk = 0, kExitFailed = 1, kExitUsage = 2, kExitUnreachable = 4 };

/// Parses and checks the command line. Empty: leave with *status, everything is said already.
std::optional<Settings> parse_command_line(int argc, char** argv, int* status);

}  // namespace dinomo::bench
