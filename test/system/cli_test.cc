// SPDX-License-Identifier: BSD-3-Clause
// dinomo-cli as a process: what scripts rely on.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "mini_server.h"
#include "process.h"

namespace dinomo::test {
namespace {

class CliTest : public ::testing::Test {
 protected:
  Finished cli(std::vector<std::string> arguments, const std::string& input = "") {
    std::vector<std::string> all{program_path("DINOMO_CLI"), "--server", server_.address()};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return run_process(all, input);
  }
  static std::string file(const std::string& name) { return ::testing::TempDir() + name; }

  MiniServer server_{{.kns = 2, .workers = 2}};
};

TEST_F(CliTest, PutGetDelete) {
  EXPECT_EQ(cli({"get", "k"}).status, 1);
  EXPECT_EQ(cli({"put", "k", "hello"}).status, 0);
  const Finished got = cli({"get", "k"});
  EXPECT_EQ(got.status, 0);
  EXPECT_EQ(got.out, "hello");  // not a terminal: no newline added
  EXPECT_EQ(cli({"delete", "k"}).status, 0);
  EXPECT_EQ(cli({"delete", "k"}).status, 1);
  EXPECT_NE(cli({"get", "k"}).err.find("no such key"), std::string::npos);
}

TEST_F(CliTest, ConditionsDecideTheExitStatus) {
  EXPECT_EQ(cli({"replace", "k", "v"}).status, 1);
  EXPECT_EQ(cli({"append", "k", "v"}).status, 1);
  EXPECT_EQ(cli({"add", "k", "first"}).status, 0);
  const Finished taken = cli({"add", "k", "second"});
  EXPECT_EQ(taken.status, 5);
  EXPECT_NE(taken.err.find("exists"), std::string::npos);
  EXPECT_EQ(cli({"append", "k", ">"}).status, 0);
  EXPECT_EQ(cli({"prepend", "k", "<"}).status, 0);
  EXPECT_EQ(server_.load("k"), "<first>");
  EXPECT_EQ(cli({"replace", "k", "v", "--flags", "9"}).status, 0);
  const auto got = nlohmann::json::parse(cli({"--json", "get", "k"}).out);
  const std::string version = std::to_string(got["version"].get<uint64_t>());
  EXPECT_EQ(cli({"cas", "k", version, "mine"}).status, 0);
  const Finished late = cli({"--json", "cas", "k", version, "theirs"});
  EXPECT_EQ(late.status, 5);
  EXPECT_EQ(nlohmann::json::parse(late.out)["status"], "exists");
  EXPECT_EQ(cli({"cas", "none", version, "v"}).status, 1);
  EXPECT_EQ(server_.load("k"), "mine");
}

TEST_F(CliTest, CountersPrintTheirNumber) {
  EXPECT_EQ(cli({"incr", "n"}).status, 1);
  EXPECT_EQ(cli({"incr", "n", "--initial", "40"}).out, "40\n");
  EXPECT_EQ(cli({"incr", "n", "2"}).out, "42\n");
  EXPECT_EQ(cli({"decr", "n"}).out, "41\n");
  EXPECT_EQ(cli({"decr", "n", "100"}).out, "0\n");
  const auto counted = nlohmann::json::parse(cli({"--json", "incr", "n", "5"}).out);
  EXPECT_EQ(counted["number"], 5);
  EXPECT_GT(counted["version"].get<uint64_t>(), 0u);
  server_.store("text", "forty");
  const Finished wrong = cli({"incr", "text"});
  EXPECT_EQ(wrong.status, 5);
  EXPECT_NE(wrong.err.find("decimal number"), std::string::npos);
  EXPECT_EQ(cli({"incr", "n", "-1"}).status, 2);
}

TEST_F(CliTest, TouchAndSeveralAtOnce) {
  cli({"put", "k", "v"});
  EXPECT_EQ(cli({"touch", "none", "1000"}).status, 1);
  EXPECT_EQ(cli({"touch", "k", "60000"}).status, 0);
  EXPECT_TRUE(nlohmann::json::parse(cli({"--json", "get", "k"}).out).contains("expiry_unix_ms"));
  const Finished gat = cli({"gat", "k", "0"});
  EXPECT_EQ(gat.out, "v");
  EXPECT_FALSE(nlohmann::json::parse(cli({"--json", "get", "k"}).out).contains("expiry_unix_ms"));
  cli({"put", "l", "w"});
  EXPECT_EQ(cli({"mget", "k", "l"}).out, "v\nw\n");
  const Finished some = cli({"mget", "k", "none", "l"});
  EXPECT_EQ(some.status, 1);
  EXPECT_EQ(some.out, "v\n\nw\n");
  EXPECT_NE(some.err.find("no such key: none"), std::string::npos);
  EXPECT_EQ(cli({"mget", "k", ""}).status, 2);
  cli({"put", "soon", "gone", "--ttl-ms", "1"});
  int status = 0;
  while (status == 0) status = cli({"get", "soon"}).status;
  EXPECT_EQ(status, 1);
}

TEST_F(CliTest, ValuesAreBytes) {
  std::string bytes;
  for (int i = 0; i < 5000; ++i) bytes.push_back(static_cast<char>(i * 7));
  std::ofstream(file("in.bin"), std::ios::binary) << bytes;
  EXPECT_EQ(cli({"put", "k", "--file", file("in.bin")}).status, 0);
  EXPECT_EQ(server_.load("k"), bytes);
  EXPECT_EQ(cli({"get", "k"}).out, bytes);
  EXPECT_EQ(cli({"get", "k", "--output", file("out.bin")}).out, "");
  std::ifstream in(file("out.bin"), std::ios::binary);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), bytes);
  EXPECT_EQ(cli({"put", "piped", "-"}, bytes).status, 0);
  EXPECT_EQ(server_.load("piped"), bytes);
  EXPECT_EQ(cli({"put", "empty", ""}).status, 0);
  EXPECT_EQ(cli({"get", "empty"}).status, 0);
}

TEST_F(CliTest, HexKeysAndKeysThatLookLikeOptions) {
  EXPECT_EQ(cli({"--hex", "put", "00ff", "v"}).status, 0);
  EXPECT_EQ(server_.load(std::string("\x00\xff", 2)), "v");
  EXPECT_EQ(cli({"--hex", "get", "0"}).status, 2);
  EXPECT_EQ(cli({"put", "--", "-k", "-v"}).status, 0);
  EXPECT_EQ(server_.load("-k"), "-v");
}

TEST_F(CliTest, JsonIsOneObject) {
  cli({"put", "k", "v", "--flags", "7"});
  const auto got = nlohmann::json::parse(cli({"--json", "get", "k"}).out);
  EXPECT_EQ(got["status"], "ok");
  EXPECT_EQ(got["value"], "v");
  EXPECT_EQ(got["flags"], 7);
  server_.store("b", "\xff\x01");
  EXPECT_EQ(nlohmann::json::parse(cli({"get", "b", "--json"}).out)["value_hex"], "ff01");
  const Finished none = cli({"--json", "get", "none"});
  EXPECT_EQ(none.status, 1);
  EXPECT_EQ(nlohmann::json::parse(none.out)["status"], "not-found");
}

TEST_F(CliTest, RingPingStats) {
  const auto ring = nlohmann::json::parse(cli({"--json", "ring"}).out);
  EXPECT_EQ(ring["kns"].size(), 2u);
  EXPECT_EQ(ring["kns"][0]["partitions"], 2048);
  EXPECT_NE(cli({"ring"}).out.find("4096 partitions, 2 KNs"), std::string::npos);
  EXPECT_NE(cli({"ping"}).out.find("answered in"), std::string::npos);
  EXPECT_TRUE(nlohmann::json::parse(cli({"stats"}).out).contains("value_hits"));
}

TEST_F(CliTest, UsageErrorsAre2AndSayWhatToDo) {
  const Finished bare = run_process({program_path("DINOMO_CLI")});
  EXPECT_EQ(bare.status, 2);
  EXPECT_NE(bare.out.find("dinomo-cli put"), std::string::npos);
  EXPECT_NE(cli({"fetch", "k"}).err.find("get, mget, put, add"), std::string::npos);
  for (const std::vector<std::string>& bad :
       std::vector<std::vector<std::string>>{{"fetch", "k"},
                                             {"get"},
                                             {"get", ""},
                                             {"get", std::string(251, 'k')},
                                             {"put", "k"},
                                             {"put", "k", "v", "--file", "f"},
                                             {"put", "k", "--file", "/no/such/file"},
                                             {"get", "k", "--colour"},
                                             {"--timeout-ms", "0", "ping"}}) {
    const Finished f = cli(bad);
    EXPECT_EQ(f.status, 2) << bad[0];
    EXPECT_FALSE(f.err.empty()) << bad[0];
  }
  std::ofstream(file("big.bin")) << std::string(61'441, 'x');
  EXPECT_EQ(cli({"put", "k", "--file", file("big.bin")}).status, 2);
  EXPECT_EQ(run_process({program_path("DINOMO_CLI"), "--help"}).status, 0);
}

TEST_F(CliTest, ARefusalIs3AndNamesTheReason) {
  server_.decline_next(wire::Status::kNoSpace, 1, 0);
  const Finished refused = cli({"put", "k", "v"});
  EXPECT_EQ(refused.status, 3);
  EXPECT_NE(refused.err.find("no-space"), std::string::npos);
}

TEST_F(CliTest, NothingButBusySaysWhatThatMeans) {
  server_.set_faults({.busy = 1});
  const Finished busy = cli({"--timeout-ms", "200", "get", "k"});
  EXPECT_EQ(busy.status, 4);
  EXPECT_NE(busy.err.find("answered BUSY for 200 ms"), std::string::npos) << busy.err;
  EXPECT_NE(busy.err.find("dinomo-dpm"), std::string::npos) << busy.err;
}

TEST_F(CliTest, SilenceIs4) {
  server_.mute(true);
  const Finished silent = cli({"--timeout-ms", "100", "get", "k"});
  EXPECT_EQ(silent.status, 4);
  EXPECT_NE(silent.err.find("did not answer within 100 ms"), std::string::npos) << silent.err;
  EXPECT_EQ(
      run_process({program_path("DINOMO_CLI"), "-t", "100", "-s", "127.0.0.1:9", "ping"}).status,
      4);
  EXPECT_EQ(run_process({program_path("DINOMO_CLI"), "-s", "host:port", "ping"}).status, 2);
}

TEST_F(CliTest, RetriesUntilItWorks) {
  server_.set_faults({.drop_request = 0.3, .drop_reply = 0.3});
  EXPECT_EQ(cli({"--timeout-ms", "30000", "put", "k", "v"}).status, 0);
  EXPECT_EQ(server_.counts().applied, 1u);
}

}  // namespace
}  // namespace dinomo::test
