// SPDX-License-Identifier: BSD-3-Clause
// dinomo-cli: operations from the shell. Results go to stdout, everything else to stderr; the exit
// status is made for scripts (see kFooter).
#include <fmt/format.h>

#include <iostream>

#include "app/common/complaint.h"
#include "commands.h"

namespace dinomo::cli {
namespace {

constexpr const char* kUsageText =
    R"(dinomo-cli: read and write a Dinomo key-value store from the shell

  dinomo-cli put greeting "hello, world"     store a value
  dinomo-cli get greeting                    print it
  dinomo-cli delete greeting                 remove it
  dinomo-cli add lock me --ttl-ms 5000       store it if there is none
  dinomo-cli incr visits --initial 1         count
  dinomo-cli put picture --file cat.png      values are bytes: from a file,
  tar c dir | dinomo-cli put backup -        or from standard input
  dinomo-cli mget a b c                      several at once
  dinomo-cli ping                            is a server there, and how far
  dinomo-cli ring                            who serves what
  dinomo-cli stats                           a server's counters
  dinomo-cli cluster status                  all KNs; also drain, add, remove: cluster --help

The server is 127.0.0.1:11300 unless --server or DINOMO_SERVER names another.
All options: dinomo-cli --help
)";

constexpr const char* kFooter = R"(
KEY is 1 to 250 bytes, a value 0 to 61440 bytes; both may hold anything. A KEY or VALUE that begins
with a dash goes after "--".

OUTPUT
  `get` and `gat` write the value's bytes unchanged; a newline is added only if the output is a
  terminal. `mget` writes one value a line, an empty one for a key that does not exist. `incr` and
  `decr` print the new number. The other commands print nothing.
  --json prints one object: status, key, and what the command has to tell; `mget` one a key. Bytes
  that are not UTF-8 are given in hexadecimal, under a name that ends in _hex.

CLUSTER
  `cluster` talks to dinomo-dpm on its machine, by its telemetry socket: who may write to that may
  steer the cluster, clients on the network may not. `drain`, `add`, `remove` and `pin` write down in
  the pool what is wanted of a KN slot, and wait until it is so: saying it twice is no harm, and it
  holds for whoever takes the slot later. Giving up to wait (--wait-s) takes nothing back.

EXIT STATUS
  0  done
  1  there is no such key (mget: not all of them exist)
  2  usage: unknown command or option, unreadable file, key or value too long
  3  the server refused; its reason is printed
  4  no server could be reached, or none answered in time. What was to be changed may or may not
     have been
  5  the condition does not hold: add: the key exists; cas: it has another version; incr, decr: the
     value is not a decimal number

ENVIRONMENT
  DINOMO_SERVER   default of --server
  DINOMO_CONTROL  default of --control

EXAMPLES
  dinomo-cli --server kn1,kn2:11300 get user:17
  dinomo-cli put session:9 token --ttl-ms 60000
  dinomo-cli --hex get 00ff00ff --output value.bin
  if dinomo-cli add lock me --ttl-ms 60000; then echo mine; fi
  version=$(dinomo-cli --json get k | jq .version) && dinomo-cli cas k "$version" new
)";

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
  app.add_flag("--hex", s.hex, "Keys are given in hexadecimal");
  app.add_flag("--json", s.json_output, "Print one JSON object instead of text");
  app.add_flag("-v,--verbose", s.verbose, "Also tell status, latency and version, on stderr");
  app.require_subcommand(1);
  app.failure_message(dinomo::app::complaint);
  const std::vector<Command> commands = add_commands(app, s);
  try {
    app.parse(argc, argv);
  } catch (const CLI::RequiredError& e) {
    if (app.get_subcommands().empty()) {
      return complain(kUsage, fmt::format("expected a command ({}), found{}",
                                          command_names(commands), words_of(argc, argv)));
    }
    return app.exit(e) == 0 ? kOk : kUsage;
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kOk : kUsage;
  }
  for (const Command& command : commands) {
    if (!command.app->parsed()) continue;
    if (const int status = check(command, s); status != kOk) return status;
    if (command.run_cluster != nullptr) return command.run_cluster(s);
    Session session(s);
    if (const int status = session.open(); status != kOk) return status;
    return command.run(session, s);
  }
  return kUsage;
}

}  // namespace
}  // namespace dinomo::cli

int main(int argc, char** argv) {
  try {
    return dinomo::cli::run(argc, argv);
  } catch (const std::exception& e) {
    return dinomo::cli::complain(dinomo::cli::kUsage, e.what());
  }
}
