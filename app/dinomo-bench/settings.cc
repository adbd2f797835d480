// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-bench/settings.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <iostream>
#include <string_view>

#include "app/common/complaint.h"
#include "app/dinomo-bench/value.h"

namespace dinomo::bench {

namespace {

constexpr const char* kFooter = R"(
PHASES
  load   stores every key once
  run    the workload, after a warm-up that is not counted
  both   load, then run (default)
  check  reads every key once; fails if one is missing or (--verify) wrong

WORKLOADS (operations drawn at random, one by one, in exactly these shares in the mean)
  a      50 % read, 50 % update               zipfian
  b      95 % read,  5 % update               zipfian
  c     100 % read                            zipfian
  d      95 % read,  5 % insert               latest
  f      50 % read, 50 % read-modify-write    zipfian
  100/0, 95/5, 50/50: the DINOMO paper's, as c, b and a
  --read, --update, --insert and --rmw replace the mix; any numbers, they are shares of their sum.

LATENCY
  A closed loop (default) keeps --window operations of each thread in flight; the latency is from
  sending to reply. An open loop (--rate) sends at given times, whatever the server does; if it is
  late, that is the server's doing, so the latency is also given corrected: from the time at which the
  operation was due. Percentiles are those of all threads' operations together.

RECORDING
  --record writes each operation of the run phase, in order of completion, as 16 bytes: hash of the
  key, sizes, kind. dinomo-lab replays it through caches of other sizes and policies.
  --timeline writes what was answered in each --interval-ms, warm-up included: unix_ms of its end,
  seconds, ops, p50_us, p99_us, max_us, retries, failures.

VERIFY
  Values carry their key, a version and a checksum. --verify checks each value read: whole, of this
  key, not older than the newest write known to be in force when the read was sent, not newer than
  what was written. Needs values of 16 bytes or more, written by dinomo-bench, by no other process
  at the same time.

EXIT STATUS
  0  done
  1  an answer was wrong, a loaded key missing, an operation refused, or a request lost, that is
     never answered although it was repeated (unless --allow-lost)
  2  usage
  4  no server could be reached

EXAMPLES
  dinomo-bench --server 10.0.0.1 --keys 1000000 --workload a --seconds 30 --verify
  dinomo-bench --phase run --rate 50000 --seconds 60 --json run.json
  dinomo-bench --read 80 --insert 20 --distribution uniform --value-bytes 16-4096
  dinomo-bench --workload a --record a.stream && dinomo-lab --stream a.stream --json a.json
  dinomo-bench --server 10.0.0.2 --dpdk --ip 10.0.0.1/24 -- --in-memory --no-huge -m 256 --no-pci \
      --vdev net_memif0,role=client,id=0,socket-abstract=no,socket=/run/dinomo/memif.sock
)";

struct Raw {
  std::string distribution;
  std::string value_bytes = "1024";
  std::string arrival = "poisson";
  double read = -1;
  double update = -1;
  double insert = -1;
  double rmw = -1;
};

int complain(const std::string& text) {
  std::cerr << "dinomo-bench: " << text << '\n';
  return kExitUsage;
}

void add_target(CLI::App& app, Settings& s) {
  const char* const group = "Server";
  app.add_option("-s,--server", s.server, "KNs to begin with, host[:port][,...]")
      ->envname("DINOMO_SERVER")
      ->capture_default_str()
      ->group(group);
  app.add_option("--timeout-ms", s.timeout_ms, "An operation unanswered for so long is lost")
      ->check(CLI::Range(1, 3'600'000))
      ->capture_default_str()
      ->group(group);
  app.add_option("--pack", s.pack, "At most so many requests in a datagram; 0: as many as fit")
      ->check(CLI::Range(0, 65'535))
      ->capture_default_str()
      ->group(group);
  app.add_flag("--no-stats", s.no_stats, "Do not ask the KNs for their counters")->group(group);
}

void add_data(CLI::App& app, Settings& s, Raw& raw) {
  const char* const group = "Data";
  app.add_option("-k,--keys", s.keys, "Number of keys to load and to use")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 40))
      ->capture_default_str()
      ->group(group);
  app.add_option("--key-bytes", s.key_bytes, "Size of a key")
      ->check(CLI::Range(1, 250))
      ->capture_default_str()
      ->group(group);
  app.add_option("--value-bytes", raw.value_bytes, "Size of a value, or a range such as 16-4096")
      ->capture_default_str()
      ->group(group);
}

void add_workload(CLI::App& app, Settings& s, Raw& raw) {
  const char* const group = "Workload";
  app.add_option("-p,--phase", s.phase, "load, run, both or check")
      ->check(CLI::IsMember({"load", "run", "both", "check"}))
      ->capture_default_str()
      ->group(group);
  app.add_option("-w,--workload", s.workload_name, "a, b, c, d, f, 100/0, 95/5 or 50/50")
      ->capture_default_str()
      ->group(group);
  app.add_option("--read", raw.read, "Share of reads")->group(group);
  app.add_option("--update", raw.update, "Share of updates")->group(group);
  app.add_option("--insert", raw.insert, "Share of inserts of new keys")->group(group);
  app.add_option("--rmw", raw.rmw, "Share of read-modify-writes")->group(group);
  app.add_option("-d,--distribution", raw.distribution,
                 "Which keys: zipfian (scrambled), uniform or latest; default: the workload's")
      ->check(CLI::IsMember({"zipfian", "uniform", "latest"}))
      ->group(group);
  app.add_option("--theta", s.theta, "Skew of zipfian and latest, 0 (uniform) or more")
      ->check(CLI::Range(0.0, 20.0))
      ->capture_default_str()
      ->group(group);
  app.add_option("--seed", s.seed, "The same seed draws the same operations and keys")
      ->capture_default_str()
      ->group(group);
}

void add_load(CLI::App& app, Settings& s, Raw& raw) {
  const char* const group = "Load";
  app.add_option("-t,--threads", s.threads, "Threads, each with a client of its own")
      ->check(CLI::Range(1, 256))
      ->capture_default_str()
      ->group(group);
  app.add_option("-W,--window", s.window, "Operations in flight per thread")
      ->check(CLI::Range(1, 65'000))
      ->capture_default_str()
      ->group(group);
  app.add_option("-r,--rate", s.rate, "Open loop: operations per second of all threads together")
      ->check(CLI::Range(0.0, 1e9))
      ->group(group);
  app.add_option("--arrival", raw.arrival, "Open loop: gaps between operations, poisson or even")
      ->check(CLI::IsMember({"poisson", "even"}))
      ->capture_default_str()
      ->group(group);
  app.add_option("--seconds", s.seconds, "Measured time")
      ->check(CLI::Range(0.001, 1e7))
      ->capture_default_str()
      ->group(group);
  app.add_option("-n,--ops", s.ops, "Measured operations, instead of --seconds")->group(group);
  app.add_option("--warmup-seconds", s.warmup_seconds, "Time before measuring")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str()
      ->group(group);
  app.add_option("--spin-us", s.spin_us,
                 "Poll for so long before sleeping when idle; default 50, over an own port 5000")
      ->check(CLI::Range(int64_t{0}, int64_t{1'000'000'000}))
      ->group(group);
}

void add_output(CLI::App& app, Settings& s) {
  const char* const group = "Result";
  app.add_flag("--verify", s.verify, "Check every value that is read")->group(group);
  app.add_flag("--allow-lost", s.allow_lost,
               "Lost requests do not fail the run (for tests that kill servers)")
      ->group(group);
  app.add_option("--json", s.json_file, "Also write everything to this file; - is stdout")
      ->group(group);
  app.add_option("--record", s.record_file,
                 "Also write each operation of the run phase to this file, 16 bytes each, for "
                 "dinomo-lab to replay; a file that is there is replaced")
      ->group(group);
  app.add_option("--timeline", s.timeline_file,
                 "Also write a line of JSON for each interval to this file; one that is there is "
                 "replaced")
      ->group(group);
  app.add_option("--interval-ms", s.interval_ms, "Time between progress lines, and of --timeline")
      ->check(CLI::Range(50, 3'600'000))
      ->capture_default_str()
      ->group(group);
  app.add_flag("-q,--quiet", s.quiet, "No progress lines")->group(group);
}

void add_dpdk(CLI::App& app, Settings& s) {
  const char* const group = "Own DPDK port";
  app.add_flag("--dpdk", s.dpdk, "Send through a DPDK port; EAL arguments follow after --")
      ->group(group);
  app.add_option("--ip", s.ip, "Address of the port, as 10.0.0.1/24")->group(group);
  app.add_option("--server-mac", s.server_mac, "MAC of the server or router; default: ask by ARP")
      ->group(group);
  app.add_option("--port", s.dpdk_port, "Name of the port; default: the first one")->group(group);
  app.add_option("--udp-port", s.udp_port, "UDP port of the first thread; the others count up")
      ->check(CLI::Range(1, 65'000))
      ->capture_default_str()
      ->group(group);
}

std::string resolve_mix(Settings& s, const Raw& raw) {
  const auto named = workload_by_name(s.workload_name);
  if (!named) {
    return fmt::format("--workload {}: expected a, b, c, d, f, 100/0, 95/5 or 50/50",
                       s.workload_name);
  }
  s.workload = *named;
  if (raw.distribution == "zipfian") s.workload.distribution = Distribution::kZipfian;
  if (raw.distribution == "uniform") s.workload.distribution = Distribution::kUniform;
  if (raw.distribution == "latest") s.workload.distribution = Distribution::kLatest;
  const double shares[] = {raw.read, raw.update, raw.insert, raw.rmw};
  if (std::ranges::all_of(shares, [](double d) { return d < 0; })) return "";
  double sum = 0;
  for (const double share : shares) sum += std::max(share, 0.0);
  if (!(sum > 0) || !std::isfinite(sum)) return "--read, --update, --insert, --rmw: nothing to do";
  s.workload.mix = {std::max(raw.read, 0.0) / sum, std::max(raw.update, 0.0) / sum,
                    std::max(raw.insert, 0.0) / sum, std::max(raw.rmw, 0.0) / sum};
  s.workload_name = "custom";
  return "";
}

std::string check(Settings& s, const Raw& raw) {
  if (const std::string wrong = resolve_mix(s, raw); !wrong.empty()) return wrong;
  const auto sizes = parse_size_range(raw.value_bytes);
  if (!sizes || sizes->max > 61'440) {
    return fmt::format("--value-bytes {}: expected a size or a range, 0 to 61440", raw.value_bytes);
  }
  s.value_bytes = *sizes;
  // A sleeping socket is woken by the kernel; a port is not, and its reader has a CPU to itself.
  if (s.spin_us < 0) s.spin_us = s.dpdk ? 5000 : 50;
  s.poisson = raw.arrival == "poisson";
  if (s.verify && s.value_bytes.min < kCheckableBytes) {
    return fmt::format("--verify needs --value-bytes of {} or more", kCheckableBytes);
  }
  if (s.keys > keys_possible(s.key_bytes)) {
    return fmt::format("--key-bytes {}: there are only {} keys of that size (they are decimal)",
                       s.key_bytes, keys_possible(s.key_bytes));
  }
  if (s.dpdk && s.ip.empty()) return "--dpdk needs --ip, the address of the port";
  if (s.dpdk && s.threads > 128) return "--dpdk has at most 128 threads";
  if (!s.dpdk && !s.eal_arguments.empty()) return "arguments after -- are EAL's: they need --dpdk";
  if (!s.record_file.empty() && !s.runs()) {
    return "--record records the run phase: it needs --phase run or both";
  }
  if (s.keys < s.threads) return "--keys must not be less than --threads";
  return "";
}

/// How many arguments stand before `--`.
int own_arguments(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--") return i;
  }
  return argc;
}

}  // namespace

std::optional<Settings> parse_command_line(int argc, char** argv, int* status) {
  Settings s;
  Raw raw;
  CLI::App app{"Load a Dinomo key-value store with YCSB workloads, measure and verify it.",
               "dinomo-bench"};
  app.footer(kFooter);
  app.failure_message(dinomo::app::complaint);
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.set_version_flag("--version", "dinomo-bench " DINOMO_VERSION);
  add_target(app, s);
  add_data(app, s, raw);
  add_workload(app, s, raw);
  add_load(app, s, raw);
  add_output(app, s);
  add_dpdk(app, s);
  const int own = own_arguments(argc, argv);
  for (int i = own + 1; i < argc; ++i) s.eal_arguments.emplace_back(argv[i]);
  try {
    app.parse(own, argv);
  } catch (const CLI::ParseError& e) {
    *status = app.exit(e) == 0 ? kExitOk : kExitUsage;
    return std::nullopt;
  }
  if (const std::string wrong = check(s, raw); !wrong.empty()) {
    *status = complain(wrong);
    return std::nullopt;
  }
  return s;
}

}  // namespace dinomo::bench
