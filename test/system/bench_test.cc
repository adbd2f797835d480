// SPDX-License-Identifier: BSD-3-Clause
// dinomo-bench as a process, above all: does it notice a server that lies.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "mini_server.h"
#include "process.h"

namespace dinomo::test {
namespace {

using nlohmann::json;

class BenchTest : public ::testing::Test {
 protected:
  Finished bench(std::vector<std::string> arguments) {
    std::vector<std::string> all{program_path("DINOMO_BENCH"),
                                 "--server",
                                 server_.address(),
                                 "--quiet",
                                 "--warmup-seconds",
                                 "0",
                                 "--keys",
                                 "500",
                                 "--value-bytes",
                                 "64",
                                 "--json",
                                 "-"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return run_process(all);
  }
  /// The last phase of a run that is expected to end with `status`.
  json last_phase(const std::vector<std::string>& arguments, int status) {
    const Finished f = bench(arguments);
    EXPECT_EQ(f.status, status) << f.err;
    const json document = json::parse(f.out, nullptr, false);
    EXPECT_TRUE(document.is_object()) << f.out.substr(0, 400) << f.err;
    if (!document.is_object()) return {};
    EXPECT_EQ(document["ok"], status == 0);
    return document["phases"].back();
  }

  MiniServer server_{{.kns = 2, .workers = 2}};
};

TEST_F(BenchTest, LoadsRunsAndChecks) {
  const json run = last_phase({"--ops", "5000", "--workload", "a", "--verify"}, 0);
  EXPECT_EQ(run["phase"], "run");
  EXPECT_EQ(run["ops"], 5000);
  EXPECT_EQ(server_.size(), 500u);
  EXPECT_EQ(run["counts"]["wrong"], 0);
  EXPECT_EQ(run["counts"]["lost"], 0);
  EXPECT_EQ(run["counts"]["verified"], run["kinds"]["read"]["ops"]);
  EXPECT_GT(run["kinds"]["update"]["latency"]["p99_us"], 0);
  EXPECT_TRUE(run.contains("kn"));
  EXPECT_GT(run["kn"]["delta"]["value_hits"], 0);
  const json check = last_phase({"--phase", "check", "--verify"}, 0);
  EXPECT_EQ(check["ops"], 500);
  EXPECT_EQ(check["counts"]["verified"], 500);
}

TEST_F(BenchTest, EveryWorkloadVerifiesWithSeveralThreadsUnderFaults) {
  server_.set_faults({.drop_request = 0.01,
                      .drop_reply = 0.01,
                      .duplicate_reply = 0.05,
                      .delay_reply = 0.02,
                      .busy = 0.01,
                      .moving = 0.01,
                      .no_session = 0.005});
  for (const char* workload : {"a", "b", "c", "d", "f", "50/50"}) {
    const json run = last_phase({"--ops", "4000", "-w", workload, "--verify", "--threads", "2",
                                 "--value-bytes", "16-3000", "--timeout-ms", "30000"},
                                0);
    EXPECT_EQ(run["counts"]["wrong"], 0) << workload;
    EXPECT_EQ(run["counts"]["lost"], 0) << workload;
    EXPECT_EQ(run["ops"], 4000) << workload;
  }
  EXPECT_EQ(server_.counts().misrouted, 0u);
  EXPECT_EQ(server_.counts().window_violations, 0u);
}

TEST_F(BenchTest, WorkloadDInsertsAndWorkloadFModifies) {
  const json d = last_phase({"--ops", "4000", "-w", "d", "--verify"}, 0);
  EXPECT_GT(d["kinds"]["insert"]["ops"], 100);
  EXPECT_EQ(server_.size(), 500 + d["kinds"]["insert"]["ops"].get<size_t>());
  const json f = last_phase({"--ops", "2000", "-w", "f", "--verify"}, 0);
  EXPECT_GT(f["kinds"]["rmw"]["ops"], 800);
}

TEST_F(BenchTest, RecordsTheRunForTheLaboratory) {
  std::string directory = testing::TempDir() + "dinomo-record-XXXXXX";
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  const std::string file = directory + "/run.stream";
  const json run =
      last_phase({"--ops", "6000", "--workload", "a", "--threads", "2", "--record", file}, 0);
  const Finished lab = run_process({program_path("DINOMO_LAB"), "--stream", file, "--memory", "2",
                                    "--splits", "2", "--json", directory + "/lab.json"});
  EXPECT_EQ(lab.status, 0) << lab.err;
  std::ifstream text(directory + "/lab.json");
  const json document = json::parse(text, nullptr, false);
  std::filesystem::remove_all(directory);
  ASSERT_TRUE(document.is_object()) << lab.out << lab.err;
  const json& stream = document["streams"][0];
  EXPECT_EQ(stream["accesses"], run["ops"]);
  EXPECT_GT(stream["keys"], 200);
  EXPECT_LE(stream["keys"], 500);
  EXPECT_EQ(stream["data_bytes"].get<uint64_t>(), stream["keys"].get<uint64_t>() * (8 + 64));
  EXPECT_EQ(bench({"--phase", "load", "--record", file}).status, 2);
  EXPECT_EQ(bench({"--record", "/no/such/directory/f"}).status, 2);
}

TEST_F(BenchTest, WritesATimelineOfEveryPhase) {
  std::string directory = testing::TempDir() + "dinomo-timeline-XXXXXX";
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  const std::string file = directory + "/timeline.jsonl";
  last_phase(
      {"--seconds", "0.3", "--warmup-seconds", "0.2", "--interval-ms", "50", "--timeline", file},
      0);
  std::ifstream lines(file);
  uint64_t warming_up = 0;
  uint64_t measured = 0;
  uint64_t last_ms = 0;
  for (std::string line; std::getline(lines, line);) {
    const json interval = json::parse(line, nullptr, false);
    ASSERT_TRUE(interval.is_object()) << line;
    if (interval["phase"] != "run") continue;
    (interval["measuring"] ? measured : warming_up) += interval["ops"].get<uint64_t>();
    EXPECT_GE(interval["unix_ms"], last_ms);
    last_ms = interval["unix_ms"];
    EXPECT_GT(interval["seconds"], 0);
    EXPECT_GE(interval["max_us"], interval["p99_us"]);
    EXPECT_GE(interval["p99_us"], interval["p50_us"]);
    EXPECT_EQ(interval["failures"], 0);
  }
  EXPECT_GT(warming_up, 0u);
  EXPECT_GT(measured, 0u);
  std::filesystem::remove_all(directory);
  EXPECT_EQ(bench({"--phase", "load", "--timeline", "/no/such/directory/f"}).status, 2);
  EXPECT_EQ(bench({"--phase", "load", "--interval-ms", "1"}).status, 2);
}

TEST_F(BenchTest, OpenLoopReportsBothLatencies) {
  const json run = last_phase({"--rate", "2000", "--seconds", "0.5"}, 0);
  EXPECT_TRUE(run["kinds"]["read"].contains("latency_from_due_time"));
  EXPECT_GE(run["kinds"]["read"]["latency_from_due_time"]["mean_us"],
            run["kinds"]["read"]["latency"]["mean_us"]);
}

TEST_F(BenchTest, PackOneSendsOneRequestADatagram) {
  const json run = last_phase({"--ops", "500", "--pack", "1"}, 0);
  EXPECT_EQ(run["requests_per_datagram"], 1.0);
  // How many share a datagram depends on how fast replies come; the first window always packs.
  EXPECT_GT(last_phase({"--ops", "2000", "--phase", "run"}, 0)["requests_per_datagram"], 1.0);
}

TEST_F(BenchTest, NoticesACorruptValue) {
  server_.set_faults({.corrupt = 0.01});
  EXPECT_GT(last_phase({"--ops", "3000", "-w", "c", "--verify"}, 1)["counts"]["corrupt"], 0);
}

TEST_F(BenchTest, NoticesAStaleValue) {
  server_.set_faults({.stale = 0.02});
  const json run = last_phase({"--ops", "6000", "-w", "a", "--verify"}, 1);
  EXPECT_GT(run["counts"]["stale"], 0);
  EXPECT_FALSE(run["wrong_answers"].empty());
}

TEST_F(BenchTest, NoticesAnotherKeysValue) {
  server_.set_faults({.foreign = 0.01});
  EXPECT_GT(last_phase({"--ops", "3000", "-w", "c", "--verify"}, 1)["counts"]["foreign"], 0);
}

TEST_F(BenchTest, NoticesAnAcknowledgedWriteThatIsGone) {
  server_.set_faults({.lose_put = 0.02});
  const json run = last_phase({"--ops", "6000", "-w", "a", "--verify"}, 1);
  EXPECT_GT(run["counts"]["missing"].get<int>() + run["counts"]["stale"].get<int>(), 0);
}

TEST_F(BenchTest, NoticesALoadedKeyThatIsMissingEvenWithoutVerify) {
  server_.set_faults({.forget = 0.02});
  EXPECT_GT(last_phase({"--ops", "3000", "-w", "c"}, 1)["counts"]["missing"], 0);
}

TEST_F(BenchTest, NoticesLostRequests) {
  bench({"--phase", "load"});
  server_.set_faults({.silent_get = 0.02});
  const std::vector<std::string> run{"--phase", "run", "--ops",        "500",
                                     "-w",      "c",   "--timeout-ms", "100"};
  EXPECT_GT(last_phase(run, 1)["counts"]["lost"], 0);
  std::vector<std::string> allowed = run;
  allowed.emplace_back("--allow-lost");
  EXPECT_GT(last_phase(allowed, 0)["counts"]["lost"], 0);
}

TEST_F(BenchTest, NoticesRefusals) {
  bench({"--phase", "load"});
  server_.decline_next(wire::Status::kNoSpace, 3, 0);
  const json run = last_phase({"--phase", "run", "--ops", "500", "-w", "a"}, 1);
  EXPECT_EQ(run["counts"]["refused_by_status"]["no-space"], 3);
}

TEST_F(BenchTest, TheSameSeedDrawsTheSameOperations) {
  const std::vector<std::string> run{"--ops", "2000", "-w", "a", "--seed", "9", "--window", "1"};
  const json one = last_phase(run, 0);
  const json two = last_phase(run, 0);
  EXPECT_EQ(one["kinds"]["read"]["ops"], two["kinds"]["read"]["ops"]);
}

TEST_F(BenchTest, UsageAndUnreachable) {
  for (const std::vector<std::string>& bad :
       std::vector<std::vector<std::string>>{{"--workload", "z"},
                                             {"--value-bytes", "9-3"},
                                             {"--verify", "--value-bytes", "8"},
                                             {"--key-bytes", "2"},
                                             {"--theta", "-1"},
                                             {"--phase", "walk"},
                                             {"--colour"}}) {
    const Finished f = bench(bad);
    EXPECT_EQ(f.status, 2) << bad[0];
    EXPECT_FALSE(f.err.empty()) << bad[0];
  }
  const Finished nobody =
      run_process({program_path("DINOMO_BENCH"), "--server", "127.0.0.1:9", "--timeout-ms", "100"});
  EXPECT_EQ(nobody.status, 4);
  EXPECT_NE(nobody.err.find("is dinomo-kn running"), std::string::npos) << nobody.err;
}

}  // namespace
}  // namespace dinomo::test
