// SPDX-License-Identifier: BSD-3-Clause
#include "app/common/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace dinomo::app {
namespace {

using testing::HasSubstr;

enum class Idle { kBusy, kAdaptive };

struct Bound {
  bool verify = false;
  uint64_t cache_bytes = uint64_t{256} << 20;
  uint16_t port = 11300;
  int32_t lease_us = 5000;
  double theta = 0.99;
  std::string ip;
  Idle idle = Idle::kAdaptive;
};

struct Outcome {
  std::optional<int> status;
  std::string out;
  std::string err;
};

class Options : public testing::Test {
 protected:
  Options() {
    table.group("Memory");
    table.add(
        "cache_bytes", &o.cache_bytes,
        {.unit = "bytes", .min = 1 << 20, .max = int64_t{1} << 40, .help = "cache of values"});
    table.group("Network");
    table.add("ip", &o.ip, {.placeholder = "ADDRESS", .help = "address and prefix"});
    table.add("port", &o.port, {.min = 1, .help = "UDP port of worker 0"});
    table.add("lease_us", &o.lease_us,
              {.unit = "us", .min = 100, .max = 1'000'000, .help = "lease"});
    table.add("theta", &o.theta, {.min = 0, .max = 2, .help = "skew"});
    table.add("idle", &o.idle,
              {.values = {{"busy", Idle::kBusy}, {"adaptive", Idle::kAdaptive}}, .help = "idling"});
    table.add("verify", &o.verify, {.help = "check every value"});
  }
  ~Options() override { std::filesystem::remove(path); }

  Outcome run(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "kn");
    std::ostringstream out;
    std::ostringstream err;
    Outcome r;
    r.status = table.parse(static_cast<int>(arguments.size()), arguments.data(), out, err);
    r.out = out.str();
    r.err = err.str();
    return r;
  }
  Outcome run_file(const std::string& text, std::vector<const char*> arguments = {}) {
    std::ofstream(path) << text;
    arguments.push_back("--config");
    arguments.push_back(path.c_str());
    return run(std::move(arguments));
  }

  Bound o;
  OptionTable table{"kn", "Test program."};
  std::string path = testing::TempDir() + "options_" + std::to_string(getpid()) + ".conf";
};

TEST_F(Options, DefaultsStay) {
  const Outcome r = run({});
  EXPECT_EQ(r.status, std::nullopt) << r.err;
  EXPECT_EQ(o.cache_bytes, uint64_t{256} << 20);
  EXPECT_EQ(table.source("cache_bytes"), "default");
}

TEST_F(Options, CommandLineSetsEveryType) {
  const Outcome r = run({"--cache-bytes", "2g", "--port=1", "--lease_us", "100", "--theta", "1.2",
                         "--ip", "10.0.0.1/24", "--idle", "busy", "--verify"});
  EXPECT_EQ(r.status, std::nullopt) << r.err;
  EXPECT_EQ(o.cache_bytes, uint64_t{2} << 30);
  EXPECT_EQ(o.port, 1);
  EXPECT_EQ(o.lease_us, 100);
  EXPECT_DOUBLE_EQ(o.theta, 1.2);
  EXPECT_EQ(o.ip, "10.0.0.1/24");
  EXPECT_EQ(o.idle, Idle::kBusy);
  EXPECT_TRUE(o.verify);
  EXPECT_EQ(table.source("port"), "command line");
}

TEST_F(Options, FlagsTakeAllTheirSpellings) {
  for (const auto& [words, expected] :
       std::vector<std::pair<std::vector<const char*>, bool>>{{{"--verify"}, true},
                                                              {{"--verify=false"}, false},
                                                              {{"--verify", "off"}, false},
                                                              {{"--verify", "yes"}, true},
                                                              {{"--no-verify"}, false}}) {
    o.verify = !expected;
    const Outcome r = run(words);
    EXPECT_EQ(r.status, std::nullopt) << words[0] << r.err;
    EXPECT_EQ(o.verify, expected) << words[0];
  }
  EXPECT_THAT(run({"--verify=maybe"}).err, HasSubstr("option --verify: 'maybe' is neither"));
}

TEST_F(Options, SuffixesByUnit) {
  EXPECT_EQ(run({"--cache-bytes", "8MiB"}).status, std::nullopt);
  EXPECT_EQ(o.cache_bytes, uint64_t{8} << 20);
  EXPECT_EQ(run({"--port", "2k"}).status, std::nullopt);  // a count: thousands
  EXPECT_EQ(o.port, 2000);
  EXPECT_THAT(run({"--lease-us", "5m"}).err, HasSubstr("'5m' is no whole number (us)"));
  EXPECT_THAT(run({"--cache-bytes", "9999999t"}).err, HasSubstr("does not fit"));
  EXPECT_THAT(run({"--cache-bytes", "12q"}).err, HasSubstr("suffixes k m g t"));
  EXPECT_THAT(run({"--cache-bytes", ""}).err, HasSubstr("--cache-bytes"));
}

TEST_F(Options, TheLastOfSeveralCounts) {
  EXPECT_EQ(run({"--port", "1", "--port", "2"}).status, std::nullopt);
  EXPECT_EQ(o.port, 2);
}

TEST_F(Options, FileThenCommandLine) {
  const Outcome r =
      run_file("cache_bytes = \"16m\";\nport = 7\ntheta = 1;\nverify = true; idle = \"busy\"\n",
               {"--port", "8"});
  EXPECT_EQ(r.status, std::nullopt) << r.err;
  EXPECT_EQ(o.cache_bytes, uint64_t{16} << 20);
  EXPECT_EQ(o.port, 8);
  EXPECT_DOUBLE_EQ(o.theta, 1.0);
  EXPECT_TRUE(o.verify);
  EXPECT_EQ(o.idle, Idle::kBusy);
  EXPECT_EQ(table.source("cache_bytes"), path + " line 1");
  EXPECT_EQ(table.source("port"), "command line");
}

TEST_F(Options, LargeIntegersInFiles) {
  EXPECT_EQ(run_file("cache_bytes = 8589934592L;").status, std::nullopt);
  EXPECT_EQ(o.cache_bytes, uint64_t{8} << 30);
  // Without the L, too: never a silently truncated number.
  o.cache_bytes = 0;
  const Outcome r = run_file("cache_bytes = 8589934592;");
  EXPECT_TRUE(r.status.has_value() || o.cache_bytes == uint64_t{8} << 30) << o.cache_bytes;
}

TEST_F(Options, UnknownNamesNameTheNearest) {
  Outcome r = run({"--cache-byts", "5m"});
  EXPECT_EQ(r.status, kExitUsage);
  EXPECT_THAT(r.err, HasSubstr("kn: unknown option --cache-byts; did you mean --cache-bytes?"));
  r = run_file("\n\ncache_byts = 5");
  EXPECT_THAT(r.err, HasSubstr("unknown config key 'cache_byts' in " + path +
                               " line 3; did you mean 'cache_bytes'?"));
  EXPECT_THAT(run({"--cache=1"}).err,
              HasSubstr("unknown option --cache; did you mean --cache-bytes?"));
  EXPECT_THAT(run({"--cofnig", "x"}).err, HasSubstr("did you mean --config?"));
  EXPECT_THAT(run({"--qqqqqq"}).err, HasSubstr("--help lists the options"));
  EXPECT_THAT(
      run({"--idle", "adaptve"}).err,
      HasSubstr("option --idle: 'adaptve' is none of busy, adaptive; did you mean 'adaptive'?"));
}

TEST_F(Options, RangesAreNamedWithUnit) {
  EXPECT_THAT(run({"--cache-bytes", "5"}).err,
              HasSubstr("option --cache-bytes: 5 bytes is out of range, valid: 1m to 1t bytes"));
  EXPECT_THAT(run({"--port", "70000"}).err, HasSubstr("valid: 1 to 65535"));
  EXPECT_THAT(run({"--port", "-1"}).err, HasSubstr("-1 is out of range"));
  EXPECT_THAT(run_file("lease_us = 5").err,
              HasSubstr("line 1: 5 us is out of range, valid: 100 to 1000000 us"));
  EXPECT_THAT(run({"--theta", "nan"}).err, HasSubstr("out of range"));
  EXPECT_EQ(o.port, 11300);  // a wrong value changes nothing
}

TEST_F(Options, WrongTypesInFiles) {
  EXPECT_THAT(run_file("ip = 5").err, HasSubstr("wrong type: expected text in quotes"));
  EXPECT_THAT(run_file("port = 1.5").err, HasSubstr("wrong type: expected a whole number"));
  EXPECT_THAT(run_file("port = true").err, HasSubstr("wrong type"));
  EXPECT_THAT(run_file("verify = \"true\"").err, HasSubstr("expected true or false"));
  EXPECT_THAT(run_file("theta = \"1.0\"").err, HasSubstr("expected a number"));
  EXPECT_THAT(run_file("idle = 1").err, HasSubstr("one of these words in quotes: busy, adaptive"));
  EXPECT_THAT(run_file("port = { a = 1; };").err, HasSubstr("not a group"));
  EXPECT_THAT(run_file("port = [ 1, 2 ];").err, HasSubstr("not an array"));
}

TEST_F(Options, AllProblemsAreReported) {
  const Outcome r = run_file(
      "cache_byts = 1\nport = 70000\nport = 8\ntheta = \"x\"\nverify = 3\nlease-us = 200\nlease_us "
      "= 300\n",
      {"--idle", "lazy", "--nonsense"});
  EXPECT_EQ(r.status, kExitUsage);
  for (const char* part :
       {"'cache_byts'", "line 1; did", "line 2: 70000 is out of range",
        "line 3: this key was given", "line 4: wrong type", "line 5: wrong type",
        "line 7: given before in line 6", "--idle: 'lazy'", "unknown option --nonsense"}) {
    EXPECT_THAT(r.err, HasSubstr(part));
  }
}

TEST_F(Options, SyntaxErrorsNameTheLineAndTheRestBeforeIsChecked) {
  const Outcome r = run_file("cache_byts = 1;\nport = ;\ntheta = 1.0;\n");
  EXPECT_THAT(r.err, HasSubstr(path + " line 2: syntax error"));
  EXPECT_THAT(r.err, HasSubstr("unknown config key 'cache_byts'"));
  EXPECT_THAT(run_file("ip = \"open").err, HasSubstr("line 1"));
}

TEST_F(Options, FilesThatCannotBeRead) {
  EXPECT_THAT(run({"--config", "/nonexistent/kn.conf"}).err,
              HasSubstr("cannot read config file '/nonexistent/kn.conf': No such file"));
  EXPECT_THAT(run({"--config", "/"}).err, HasSubstr("Is a directory"));
  EXPECT_THAT(run({"--config"}).err, HasSubstr("--config"));
  EXPECT_THAT(run_file(std::string("a\0b", 3)).err, HasSubstr("it is no text"));
  EXPECT_EQ(run_file("").status, std::nullopt);
}

TEST_F(Options, CheckConfig) {
  Outcome r = run_file("port = 5", {"--check-config"});
  EXPECT_EQ(r.status, 0);
  EXPECT_THAT(r.out, HasSubstr("valid"));
  r = run_file("port = 0", {"--check-config"});
  EXPECT_EQ(r.status, 1);
  EXPECT_THAT(r.err, HasSubstr("out of range"));
}

TEST_F(Options, ChecksOverSeveralOptions) {
  table.check([this] { return o.ip.empty() ? "--ip is missing" : ""; });
  EXPECT_THAT(run({}).err, HasSubstr("kn: --ip is missing"));
  EXPECT_EQ(run({"--ip", "x"}).status, std::nullopt);
}

TEST_F(Options, PrintedConfigReadsBack) {
  Outcome r = run({"--print-config", "--cache-bytes", "3g", "--ip", "say \"hi\\\"", "--theta", "1",
                   "--idle", "busy", "--verify"});
  EXPECT_EQ(r.status, 0);
  EXPECT_THAT(r.out,
              HasSubstr("# cache of values\n# default: 256m; unit: bytes; valid: 1m to 1t bytes; "
                        "set by: command line\ncache_bytes = 3221225472L;\n"));
  EXPECT_THAT(r.out, HasSubstr("# ---- Network"));
  o = Bound{};
  EXPECT_EQ(run_file(r.out).status, std::nullopt);
  EXPECT_EQ(o.cache_bytes, uint64_t{3} << 30);
  EXPECT_EQ(o.ip, "say \"hi\\\"");
  EXPECT_DOUBLE_EQ(o.theta, 1.0);
  EXPECT_EQ(o.idle, Idle::kBusy);
  EXPECT_TRUE(o.verify);
  const Outcome again = run({"--print-config", "--config", path.c_str()});
  EXPECT_THAT(again.out, HasSubstr("set by: " + path + " line"));
}

TEST_F(Options, HelpShowsGroupsTypesRangesAndDefaults) {
  const Outcome r = run({"--help"});
  EXPECT_EQ(r.status, 0);
  for (const char* part :
       {"Usage: kn [options]", "Memory:\n", "--cache-bytes BYTES", "1m to 1t bytes [256m]",
        "Network:\n", "--ip ADDRESS", "--idle busy|adaptive", "--verify", "--version"}) {
    EXPECT_THAT(r.out, HasSubstr(part));
  }
  EXPECT_THAT(run({"--version"}).out, testing::MatchesRegex("kn [0-9.]+\ncommit .+, clang.*\n"));
}

TEST_F(Options, TheWordBehindAnUnknownOptionIsItsValue) {
  const Outcome r = run({"--cache-byte", "64m", "stray"});
  EXPECT_THAT(r.err, HasSubstr("did you mean --cache-bytes?"));
  EXPECT_THAT(r.err, Not(HasSubstr("64m")));
  EXPECT_THAT(r.err, HasSubstr("unexpected word 'stray'"));
  EXPECT_THAT(run({"--cache-byte=64m", "stray"}).err, HasSubstr("unexpected word 'stray'"));
}

TEST_F(Options, Positionals) {
  EXPECT_THAT(run({"get"}).err, HasSubstr("unexpected word 'get'"));
  std::vector<std::string> words;
  table.positionals(&words, "COMMAND [KEY]");
  EXPECT_EQ(run({"get", "--verify", "key", "--port", "5", "--", "--odd"}).status, std::nullopt);
  EXPECT_THAT(words, testing::ElementsAre("get", "key", "--odd"));
  EXPECT_TRUE(o.verify);
}

TEST_F(Options, ATableThatIsWrongThrows) {
  uint16_t small = 0;
  EXPECT_THROW(table.add("port", &small, {.help = "again"}), std::logic_error);
  EXPECT_THROW(table.add("config", &small, {.help = "reserved"}), std::logic_error);
  EXPECT_THROW(table.add("fresh", &small, {.min = 1, .help = "default 0"}), std::logic_error);
}

TEST(SplitEal, CutsAtTheFirstDashes) {
  std::vector<std::string> words{"kn", "-l", "0,1", "--", "--ip", "x", "--", "y"};
  std::vector<char*> argv;
  argv.reserve(words.size());
  for (auto& w : words) argv.push_back(w.data());
  const SplitArguments s = split_eal_args(static_cast<int>(argv.size()), argv.data());
  EXPECT_THAT(std::vector<std::string>(s.eal.begin(), s.eal.end()),
              testing::ElementsAre("kn", "-l", "0,1"));
  EXPECT_THAT(std::vector<std::string>(s.own.begin(), s.own.end()),
              testing::ElementsAre("kn", "--ip", "x", "--", "y"));
  const SplitArguments none = split_eal_args(3, argv.data());
  EXPECT_EQ(none.eal.size(), 1u);
  EXPECT_EQ(none.own.size(), 3u);
}

TEST_F(Options, EalProgramsHintAtTheDashes) {
  table.takes_eal_arguments();
  EXPECT_THAT(run({"--vdev"}).err, HasSubstr("EAL arguments go before `--`"));
  EXPECT_THAT(run({"--help"}).out, HasSubstr("kn [EAL options] -- [options]"));
}

}  // namespace
}  // namespace dinomo::app
