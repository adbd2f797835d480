// SPDX-License-Identifier: BSD-3-Clause
#include "commands.h"

#include <fmt/format.h>

#include "cluster_commands.h"
#include "text.h"

namespace dinomo::cli {

namespace {

constexpr size_t kKeyBytesMax = 250;

/// Builds the commands, so that what several have in common is said once.
class Builder {
 public:
  Builder(CLI::App& app, Settings& s) : app_(app), s_(s) {}

  CLI::App* plain(const char* name, const char* help, int (*run)(Session&, const Settings&)) {
    CLI::App* const sub = app_.add_subcommand(name, help);
    sub->footer("General options, exit status and examples: dinomo-cli --help");
    sub->fallthrough();  // general options may also stand behind the command
    commands_.push_back({.app = sub, .run = run});
    return sub;
  }
  CLI::App* keyed(const char* name, const char* help, int (*run)(Session&, const Settings&)) {
    CLI::App* const sub = plain(name, help, run);
    sub->add_option("KEY", s_.key, "The key")->required();
    commands_.back().keyed = true;
    return sub;
  }
  void add_value(CLI::App* sub) {
    commands_.back().value =
        sub->add_option("VALUE", s_.value, "The value; - reads it from standard input");
    sub->add_option("-f,--file", s_.file, "Take the value from this file; - is standard input");
  }
  void add_item_options(CLI::App* sub) {
    add_ttl(sub);
    sub->add_option("--flags", s_.item_flags, "32 bits of your own, stored with the item")
        ->check(CLI::NonNegativeNumber);
  }
  void add_ttl(CLI::App* sub) {
    sub->add_option("--ttl-ms", s_.ttl_ms,
                    "Let the item expire after so many milliseconds; 0: never")
        ->check(CLI::NonNegativeNumber);
  }
  void add_output(CLI::App* sub) {
    sub->add_option("-o,--output", s_.output, "Write the value to this file instead of stdout");
  }
  std::vector<Command> take() { return std::move(commands_); }

 private:
  CLI::App& app_;
  Settings& s_;
  std::vector<Command> commands_;
};

void add_reads(Builder& build, Settings& s) {
  build.add_output(build.keyed("get", "Print the value of KEY", run_get));
  CLI::App* const many = build.plain(
      "mget", "Print the values of several KEYs, a line each, asked for at once", run_get_many);
  many->add_option("KEYS", s.keys, "The keys")->required();
}

void add_writes(Builder& build, Settings& s) {
  struct Storing {
    const char* name;
    const char* help;
    int (*run)(Session&, const Settings&);
  };
  for (const Storing& c :
       {Storing{"put", "Store VALUE under KEY, whether or not KEY exists", run_put},
        Storing{"add", "Store VALUE under KEY if KEY does not exist", run_add},
        Storing{"replace", "Store VALUE under KEY if KEY exists", run_replace}}) {
    CLI::App* const sub = build.keyed(c.name, c.help, c.run);
    build.add_value(sub);
    build.add_item_options(sub);
  }
  CLI::App* const cas =
      build.keyed("cas", "Store VALUE under KEY if the item has version VERSION", run_cas);
  cas->add_option("VERSION", s.version, "As get --json tells it")
      ->required()
      ->check(CLI::NonNegativeNumber);
  build.add_value(cas);
  build.add_item_options(cas);
  build.add_value(build.keyed("append", "Add VALUE behind the value of KEY", run_append));
  build.add_value(build.keyed("prepend", "Add VALUE before the value of KEY", run_prepend));
  build.keyed("delete", "Remove KEY", run_delete);
  for (const Storing& c :
       {Storing{"incr", "Add DELTA to the number under KEY and print it", run_increment},
        Storing{"decr", "Take DELTA from the number under KEY and print it", run_decrement}}) {
    CLI::App* const sub = build.keyed(c.name, c.help, c.run);
    sub->add_option("DELTA", s.delta, "1 if left out")->check(CLI::NonNegativeNumber);
    sub->add_option("--initial", s.initial, "Make the item with this number if there is none")
        ->check(CLI::NonNegativeNumber);
    build.add_ttl(sub);
  }
  CLI::App* const touch =
      build.keyed("touch", "Let KEY expire TTL_MS milliseconds from now", run_touch);
  touch->add_option("TTL_MS", s.ttl_ms, "Milliseconds; 0: never")
      ->required()
      ->check(CLI::NonNegativeNumber);
  CLI::App* const gat =
      build.keyed("gat", "Print the value of KEY, and touch it", run_get_and_touch);
  gat->add_option("TTL_MS", s.ttl_ms, "Milliseconds; 0: never")
      ->required()
      ->check(CLI::NonNegativeNumber);
  build.add_output(gat);
}

constexpr const char* kClusterFooter =
    "Run it where dinomo-dpm runs, as its user or root. More: dinomo-cli --help";

void add_cluster(CLI::App& app, Settings& s, std::vector<Command>* commands) {
  CLI::App* const cluster =
      app.add_subcommand("cluster", "See and steer the KNs: status, drain, add, remove, ...");
  cluster->footer(kClusterFooter);
  cluster->fallthrough();
  cluster->require_subcommand(1);
  cluster
      ->add_option("--control", s.control, "Telemetry socket of dinomo-dpm; default: the only one")
      ->envname("DINOMO_CONTROL");
  cluster->add_option("--wait-s", s.wait_s, "Wait so long for what was asked to be done")
      ->check(CLI::Range(0, 86'400))
      ->capture_default_str();
  const auto add = [&](const char* name, const char* help, int (*run)(const Settings&)) {
    CLI::App* const sub = cluster->add_subcommand(name, help);
    sub->fallthrough();
    sub->footer(kClusterFooter);
    commands->push_back({.app = sub, .run = nullptr, .run_cluster = run});
    return sub;
  };
  add("status", "Show every KN: state, what is wanted of it, its partitions", run_cluster_status);
  add("ring", "Show which partitions each KN owns", run_cluster_ring);
  add("leader", "Show which KN leads", run_cluster_leader);
  struct Steering {
    const char* name;
    const char* help;
    int (*run)(const Settings&);
    bool forced;
  };
  for (const Steering& c :
       {Steering{"drain", "Let others have all partitions of a KN; it stays", run_cluster_drain,
                 true},
        Steering{"undrain", "Let a drained KN have its part again", run_cluster_add, false},
        Steering{"add", "Let a KN slot have its part, drained, removed or new", run_cluster_add,
                 false},
        Steering{"remove", "Drain a KN, then end its process", run_cluster_remove, true}}) {
    CLI::App* const sub = add(c.name, c.help, c.run);
    sub->add_option("KN_SLOT", s.kn_slot, "Its slot, as status tells it")
        ->required()
        ->check(CLI::Range(0, 65'535));
    if (c.forced) {
      sub->add_flag("--force", s.force, "Even the last KN that takes partitions");
    }
  }
  const auto add_keyed = [&](const char* name, const char* help, int (*run)(const Settings&)) {
    CLI::App* const sub = add(name, help, run);
    sub->add_option("KEY", s.key, "The key; with --hex in hexadecimal")->required();
    commands->back().keyed = true;
    return sub;
  };
  add_keyed("replicate", "Let several KNs serve reads of a hot KEY", run_cluster_replicate)
      ->add_option("--kns", s.kns_wanted, "So many, with the one that writes it; 0: all")
      ->check(CLI::Range(0, 65'535))
      ->capture_default_str();
  add_keyed("dereplicate", "Let one KN serve KEY again", run_cluster_dereplicate);
  add("replicated", "Show which keys several KNs serve, by their routing hash",
      run_cluster_replicated);
  const auto add_partitions = [&](const char* name, const char* help, int (*run)(const Settings&)) {
    CLI::App* const sub = add(name, help, run);
    sub->add_option("PARTITIONS", s.partitions, "PARTITION or FIRST-LAST, from 0 to 4095")
        ->required();
    return sub;
  };
  add_partitions("pin", "Let a KN have partitions, whenever it is there", run_cluster_pin)
      ->add_option("KN_SLOT", s.kn_slot, "Its slot, as status tells it")
      ->required()
      ->check(CLI::Range(0, 65'535));
  add_partitions("unpin", "Let partitions go where the ring has a place", run_cluster_unpin);
  add("pinned", "Show which partitions are pinned", run_cluster_pinned);
}

int check_key(bool hex, std::string* key) {
  if (hex) {
    const auto bytes = from_hex(*key);
    if (!bytes) return complain(kUsage, fmt::format("--hex: {} is not hexadecimal", *key));
    *key = *bytes;
  }
  if (!key->empty() && key->size() <= kKeyBytesMax) return kOk;
  return complain(kUsage, fmt::format("the key has {} bytes; 1 to 250 are allowed", key->size()));
}

}  // namespace

std::vector<Command> add_commands(CLI::App& app, Settings& s) {
  Builder build(app, s);
  add_reads(build, s);
  add_writes(build, s);
  CLI::App* const ping = build.plain("ping", "Measure the round trip to the server", run_ping);
  ping->add_option("-c,--count", s.count, "How often")->check(CLI::Range(1, 1'000'000));
  build.plain("ring", "Show the KNs and how many partitions each owns", run_ring);
  build.plain("stats", "Print the counters of the KN reached", run_stats);
  std::vector<Command> commands = build.take();
  add_cluster(app, s, &commands);
  return commands;
}

int check(const Command& command, Settings& s) {
  for (std::string& key : s.keys) {
    if (const int status = check_key(s.hex, &key); status != kOk) return status;
  }
  if (command.keyed) {
    if (const int status = check_key(s.hex, &s.key); status != kOk) return status;
  }
  if (command.value != nullptr && (command.value->count() == 0) == s.file.empty()) {
    return complain(kUsage, fmt::format("{}: give either a VALUE or --file (- for standard input)",
                                        command.app->get_name()));
  }
  return kOk;
}

std::string command_names(const std::vector<Command>& commands) {
  std::string names;
  for (const Command& command : commands) {
    if (command.run_cluster == nullptr) names += command.app->get_name() + ", ";
  }
  return names + "or cluster and what it is to do";
}

}  // namespace dinomo::cli
