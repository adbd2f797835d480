// SPDX-License-Identifier: BSD-3-Clause
// dinomo-cli: one operation, from the shell. Results go to stdout, everything else to stderr; the
// exit status is made for scripts (see kFooter).
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "client/blocking.h"
#include "client/udp_transport.h"
#include "drivers/clock/system/system_clock.h"

namespace {

using dinomo::Bytes;
using dinomo::Status;
using dinomo::client::Address;
using dinomo::client::Blocking;
using dinomo::client::Client;
using dinomo::client::Reply;
using dinomo::client::UdpTransport;
namespace wire = dinomo::wire;
using json = nlohmann::ordered_json;

enum Exit { kOk = 0, kNotFound = 1, kUsage = 2, kRefused = 3, kUnreachable = 4 };

constexpr const char* kUsageText =
    R"(dinomo-cli: read and write a Dinomo key-value store from the shell

  dinomo-cli put greeting "hello, world"     store a value
  dinomo-cli get greeting                    print it
  dinomo-cli delete greeting                 remove it
  dinomo-cli put picture --file cat.png      values are bytes: from a file,
  tar c dir | dinomo-cli put backup -        or from standard input
  dinomo-cli ping                            is a server there, and how far
  dinomo-cli ring                            who serves what
  dinomo-cli stats                           a server's counters

The server is 127.0.0.1:11300 unless --server or DINOMO_SERVER names another.
All options: dinomo-cli --help
)";

constexpr const char* kFooter = R"(
KEY is 1 to 250 bytes, a value 0 to 61440 bytes; both may hold anything. A KEY or VALUE that begins
with a dash goes after "--".

OUTPUT
  `get` writes the value's bytes unchanged; a newline is added only if the output is a terminal.
  --json prints one object: status, key, and what the command has to tell. Bytes that are not UTF-8
  are given in hexadecimal, under a name that ends in _hex.

EXIT STATUS
  0  done
  1  get, delete: there is no such key
  2  usage: unknown command or option, unreadable file, key or value too long
  3  the server refused; its reason is printed
  4  no server could be reached, or none answered in time. A put or delete that ends so may or may
     not have taken effect

ENVIRONMENT
  DINOMO_SERVER  default of --server

EXAMPLES
  dinomo-cli --server kn1,kn2:11300 get user:17
  dinomo-cli put session:9 token --ttl-ms 60000
  dinomo-cli --hex get 00ff00ff --output value.bin
  if dinomo-cli get lock >/dev/null 2>&1; then echo taken; fi
)";

struct Settings {
  std::string server = "127.0.0.1:11300";
  uint32_t timeout_ms = 3000;
  bool hex = false;
  bool json_output = false;
  bool verbose = false;
  std::string key;
  std::string value;
  std::string file;
  std::string output;
  uint64_t ttl_ms = 0;
  uint32_t item_flags = 0;
  uint32_t count = 1;
  CLI::Option* value_option = nullptr;
};

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

bool is_utf8(std::string_view text) {
  try {
    (void)json(text).dump();
    return true;
  } catch (const json::exception&) {
    return false;
  }
}

void add_bytes(json* to, const std::string& name, std::string_view bytes) {
  if (is_utf8(bytes)) {
    (*to)[name] = bytes;
    return;
  }
  std::string hex;
  for (const char c : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  (*to)[name + "_hex"] = hex;
}

std::string human_ns(uint64_t ns) {
  if (ns < 1000) return fmt::format("{} ns", ns);
  if (ns < 1'000'000) return fmt::format("{:.1f} us", static_cast<double>(ns) / 1e3);
  return fmt::format("{:.1f} ms", static_cast<double>(ns) / 1e6);
}

/// A connection to the cluster, and what every command does with a reply.
class Session {
 public:
  explicit Session(const Settings& settings) : settings_(settings) {}

  int open() {
    const auto seeds = dinomo::client::parse_addresses(settings_.server, wire::kDefaultPort);
    if (!seeds) {
      const bool unknown = seeds.error() == Status::kNotFound;
      return complain(
          unknown ? kUnreachable : kUsage,
          unknown ? fmt::format("--server {}: unknown host", settings_.server)
                  : fmt::format("--server {}: expected host[:port][,...]", settings_.server));
    }
    auto transport = UdpTransport::create({});
    if (!transport) return complain(kUnreachable, "cannot open a UDP socket");
    transport_ = std::move(*transport);
    dinomo::client::Options options;
    options.deadline_ms = settings_.timeout_ms;
    options.in_flight_max = 4;
    options.seed = clock_.now_ns();
    auto client = Client::create(transport_.get(), &clock_, options, *seeds);
    if (!client) {
      return complain(kUnreachable, fmt::format("no route to {}", settings_.server));
    }
    client_ = std::move(*client);
    blocking_ = std::make_unique<Blocking>(client_.get());
    return kOk;
  }

  Blocking& call() { return *blocking_; }
  Client& client() { return *client_; }

  /// Exit status for a reply; prints what went wrong.
  int judge(const Reply& reply) const {
    if (reply.status == Status::kOk) return kOk;
    if (!reply.answered) return no_answer(reply);
    if (reply.status == Status::kNotFound) {
      if (settings_.json_output) return kNotFound;
      return complain(kNotFound, "no such key");
    }
    return complain(kRefused,
                    fmt::format("the server refused: {}{}", wire::status_name(reply.wire_status),
                                advice(reply.wire_status)));
  }

  void remark(const Reply& reply) const {
    if (!settings_.verbose) return;
    std::cerr << fmt::format("{} in {}, {} transmission{}", wire::status_name(reply.wire_status),
                             human_ns(reply.latency_ns), reply.transmissions,
                             reply.transmissions == 1 ? "" : "s");
    if (reply.version != 0) std::cerr << ", version " << reply.version;
    std::cerr << '\n';
  }

 private:
  int no_answer(const Reply& reply) const {
    if (reply.status == Status::kStale) {
      return complain(kUnreachable,
                      "the server lost this session while the request was out: it may or may not "
                      "have taken effect");
    }
    if (reply.status == Status::kOutOfRange || reply.status == Status::kInvalid) {
      return complain(kUsage, "key or value too long");
    }
    const bool refused = reply.status == Status::kUnreachable;
    const bool heard = client_->heard();
    if (heard && client_->counters().busy != 0) {
      return complain(
          kUnreachable,
          fmt::format("{} is up but answered BUSY for {} ms: it is not connected to its "
                      "memory node (see its log; is dinomo-dpm running?), or has more "
                      "load than it takes",
                      settings_.server, settings_.timeout_ms));
    }
    return complain(kUnreachable,
                    fmt::format("{} {} within {} ms{}", settings_.server,
                                refused && !heard ? "is not listening: no answer"
                                : heard           ? "answered, but did not finish the request"
                                                  : "did not answer",
                                settings_.timeout_ms,
                                heard ? "; it may be overloaded or reconfiguring (see --timeout-ms)"
                                      : "; is dinomo-kn running there? (see --server)"));
  }

  static const char* advice(wire::Status s) {
    switch (s) {
      case wire::Status::kNoSpace: return " (the pool is full: delete something or enlarge it)";
      case wire::Status::kTooLarge: return " (the server's limit is lower than the protocol's)";
      case wire::Status::kBadVersion:
      case wire::Status::kUnsupported: return " (client and server are of different releases)";
      default: return "";
    }
  }

  const Settings& settings_;
  dinomo::SystemClock clock_{false};  // no measuring: a command takes a millisecond
  std::unique_ptr<UdpTransport> transport_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<Blocking> blocking_;
};

void print_json(const Settings& s, const Reply& reply, json extra) {
  json out;
  out["status"] = reply.answered ? wire::status_name(reply.wire_status) : status_name(reply.status);
  if (!s.key.empty()) add_bytes(&out, "key", s.key);
  for (auto& [name, value] : extra.items()) out[name] = value;
  out["latency_us"] = static_cast<double>(reply.latency_ns) / 1e3;
  out["transmissions"] = reply.transmissions;
  std::cout << out.dump() << '\n';
}

int write_value(const Settings& s, const Reply& reply) {
  if (!s.output.empty()) {
    std::ofstream file(s.output, std::ios::binary | std::ios::trunc);
    file << reply.text();
    file.close();
    if (!file) return complain(kUsage, fmt::format("cannot write {}", s.output));
    return kOk;
  }
  if (s.json_output) return kOk;
  std::cout << reply.text();
  if (isatty(STDOUT_FILENO) != 0) std::cout << '\n';
  std::cout.flush();
  return std::cout ? kOk : complain(kUsage, "cannot write to standard output");
}

int run_get(Session& session, const Settings& s) {
  const Reply reply = session.call().get(dinomo::as_bytes(s.key));
  session.remark(reply);
  const int status = session.judge(reply);
  if (s.json_output) {
    json extra;
    if (status == kOk) {
      if (s.output.empty()) add_bytes(&extra, "value", reply.text());
      extra["value_bytes"] = reply.value.size();
      extra["flags"] = reply.item.item_flags;
      extra["version"] = reply.version;
      if (reply.item.expiry_ms != 0) extra["expiry_unix_ms"] = reply.item.expiry_ms;
    }
    print_json(s, reply, extra);
  }
  return status == kOk ? write_value(s, reply) : status;
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
  if (value->size() > 61'440) {
    return complain(
        kUsage, fmt::format("the value has {} bytes; at most 61440 can be stored", value->size()));
  }
  return kOk;
}

int run_put(Session& session, const Settings& s) {
  std::string value;
  if (const int status = read_value(s, &value); status != kOk) return status;
  const Reply reply = session.call().put(dinomo::as_bytes(s.key), dinomo::as_bytes(value),
                                         {.ttl_ms = s.ttl_ms, .item_flags = s.item_flags});
  session.remark(reply);
  const int status = session.judge(reply);
  if (s.json_output) {
    print_json(s, reply, {{"value_bytes", value.size()}, {"version", reply.version}});
  }
  return status;
}

int run_delete(Session& session, const Settings& s) {
  const Reply reply = session.call().remove(dinomo::as_bytes(s.key));
  session.remark(reply);
  const int status = session.judge(reply);
  if (s.json_output) print_json(s, reply, json::object());
  return status;
}

int run_ping(Session& session, const Settings& s) {
  for (uint32_t i = 0; i < s.count; ++i) {
    const Reply reply = session.call().ping();
    const int status = session.judge(reply);
    if (s.json_output) print_json(s, reply, {{"server", s.server}});
    if (status != kOk) return status;
    if (!s.json_output) {
      std::cout << fmt::format("{} answered in {}\n", s.server, human_ns(reply.latency_ns));
    }
  }
  return kOk;
}

int run_ring(Session& session, const Settings& s) {
  if (session.call().connect() != Status::kOk) {
    Reply reply;
    reply.status = Status::kTimeout;
    return session.judge(reply);
  }
  const auto& ring = session.client().ring();
  std::map<uint16_t, uint32_t> owned;
  for (const uint16_t owner : ring.owner) ++owned[owner];
  json list = json::array();
  for (const wire::KnRecord& kn : ring.kns) {
    const Address base{kn.address, kn.udp_port_base};
    list.push_back({{"kn_slot", kn.kn_slot},
                    {"address", base.text()},
                    {"workers", kn.workers},
                    {"state", kn.state},
                    {"partitions", owned[kn.kn_slot]}});
  }
  const uint32_t orphans = owned.contains(0xffff) ? owned[0xffff] : 0;
  if (s.json_output) {
    std::cout << json{{"status", "ok"},
                      {"ring_version", ring.version},
                      {"partitions", ring.owner.size()},
                      {"partitions_without_owner", orphans},
                      {"kns", list}}
                     .dump()
              << '\n';
    return kOk;
  }
  std::cout << fmt::format("ring version {}: {} partitions, {} KN{}\n\n", ring.version,
                           ring.owner.size(), ring.kns.size(), ring.kns.size() == 1 ? "" : "s");
  std::cout << fmt::format("  {:>4}  {:<28} {:>7}  {:>10}  {:>6}\n", "KN", "address (worker 0)",
                           "workers", "partitions", "share");
  for (const json& kn : list) {
    const auto share = kn["partitions"].get<uint32_t>();
    std::cout << fmt::format("  {:>4}  {:<28} {:>7}  {:>10}  {:>5.1f}%\n", kn["kn_slot"].get<int>(),
                             kn["address"].get<std::string>(), kn["workers"].get<int>(), share,
                             share * 100.0 / 4096);
  }
  if (orphans != 0) std::cout << fmt::format("\n  {} partitions have no owner now\n", orphans);
  return kOk;
}

int run_stats(Session& session, const Settings& s) {
  const Reply reply = session.call().stats();
  session.remark(reply);
  if (const int status = session.judge(reply); status != kOk) return status;
  const json stats = json::parse(reply.text(), nullptr, false);
  if (stats.is_discarded()) return complain(kRefused, "the server's counters are not JSON");
  std::cout << (s.json_output ? stats.dump() : stats.dump(2)) << '\n';
  return kOk;
}

struct Command {
  CLI::App* app;
  int (*run)(Session&, const Settings&);
  bool keyed;
};

std::vector<Command> add_commands(CLI::App& app, Settings& s) {
  const auto add = [&](const char* name, const char* help) {
    CLI::App* const sub = app.add_subcommand(name, help);
    sub->footer("General options, exit status and examples: dinomo-cli --help");
    sub->fallthrough();  // general options may also stand behind the command
    return sub;
  };
  CLI::App* const get = add("get", "Print the value of KEY");
  get->add_option("KEY", s.key, "The key")->required();
  get->add_option("-o,--output", s.output, "Write the value to this file instead of stdout");

  CLI::App* const put = add("put", "Store VALUE under KEY, whether or not KEY exists");
  put->add_option("KEY", s.key, "The key")->required();
  s.value_option = put->add_option("VALUE", s.value, "The value; - reads it from standard input");
  put->add_option("-f,--file", s.file, "Take the value from this file; - is standard input");
  put->add_option("--ttl-ms", s.ttl_ms, "Let the item expire after so many milliseconds; 0: never");
  put->add_option("--flags", s.item_flags, "32 bits of your own, stored with the item");

  CLI::App* const remove = add("delete", "Remove KEY");
  remove->add_option("KEY", s.key, "The key")->required();

  CLI::App* const ping = add("ping", "Measure the round trip to the server");
  ping->add_option("-c,--count", s.count, "How often")->check(CLI::Range(1, 1'000'000));
  CLI::App* const ring = add("ring", "Show the KNs and how many partitions each owns");
  CLI::App* const stats = add("stats", "Print the counters of the KN reached");
  return {{get, run_get, true},    {put, run_put, true},    {remove, run_delete, true},
          {ping, run_ping, false}, {ring, run_ring, false}, {stats, run_stats, false}};
}

int check(const CLI::App& command, Settings& s) {
  if (s.hex) {
    const auto key = from_hex(s.key);
    if (!key) return complain(kUsage, fmt::format("--hex: {} is not hexadecimal", s.key));
    s.key = *key;
  }
  if (s.key.empty() || s.key.size() > 250) {
    return complain(kUsage,
                    fmt::format("the key has {} bytes; 1 to 250 are allowed", s.key.size()));
  }
  if (command.get_name() == "put" && (s.value_option->count() == 0) == s.file.empty()) {
    return complain(kUsage, "put: give either a VALUE or --file (- for standard input)");
  }
  return kOk;
}

std::string words_of(int argc, char** argv) {
  std::string words;
  for (int i = 1; i < argc; ++i) words += std::string(" ") + argv[i];
  return words;
}

int run(int argc, char** argv) {
  if (argc == 1) {
    std::cout << kUsageText;
    return kUsage;
  }
  Settings s;
  CLI::App app{"Read and write a Dinomo key-value store from the shell.", "dinomo-cli"};
  app.footer(kFooter);
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.set_version_flag("--version", "dinomo-cli " DINOMO_VERSION);
  app.add_option("-s,--server", s.server,
                 "KNs to begin with, host[:port][,...]; the others are learnt from them")
      ->envname("DINOMO_SERVER")
      ->capture_default_str();
  app.add_option("-t,--timeout-ms", s.timeout_ms, "Give up after so many milliseconds")
      ->check(CLI::Range(1, 3'600'000))
      ->capture_default_str();
  app.add_flag("--hex", s.hex, "KEY is given in hexadecimal");
  app.add_flag("--json", s.json_output, "Print one JSON object instead of text");
  app.add_flag("-v,--verbose", s.verbose, "Also tell status, latency and version, on stderr");
  app.require_subcommand(1);
  const std::vector<Command> commands = add_commands(app, s);
  try {
    app.parse(argc, argv);
  } catch (const CLI::RequiredError& e) {
    if (app.get_subcommands().empty()) {
      return complain(kUsage,
                      fmt::format("expected a command ({}), found{}",
                                  "get, put, delete, ping, ring or stats", words_of(argc, argv)));
    }
    return app.exit(e) == 0 ? kOk : kUsage;
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kOk : kUsage;
  }
  for (const Command& command : commands) {
    if (!command.app->parsed()) continue;
    if (command.keyed) {
      if (const int status = check(*command.app, s); status != kOk) return status;
    }
    Session session(s);
    if (const int status = session.open(); status != kOk) return status;
    return command.run(session, s);
  }
  return kUsage;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    return complain(kUsage, e.what());
  }
}
