// SPDX-License-Identifier: BSD-3-Clause
#include "app/common/telemetry.h"

#include <gtest/gtest.h>

#include "app/common/telemetry_socket.h"

namespace dinomo::app {
namespace {

using nlohmann::json;

constexpr size_t kFigures = 90;

class Program final : public Observed {
 public:
  json info() override { return program_info("dinomo-test"); }
  Health health() override { return {.live = true, .ready = false, .why = "warming up"}; }
  std::vector<MetricRow> metrics() const override {
    std::vector<MetricRow> rows(
        kFigures, {{"", "hits", telemetry::Kind::kCounter, telemetry::Unit::kNone, "how often"}});
    for (size_t i = 0; i < rows.size(); ++i) rows[i].metric.section = names_[i].c_str();
    rows.back().label = "purpose";
    return rows;
  }
  json stats(std::string_view part) override {
    return part.empty() ? json({{"hits", 7}}) : json(nullptr);
  }
  std::vector<NamedHistogram> histograms() override {
    std::vector<NamedHistogram> all(1);
    all[0].name = "put";
    all[0].buckets.record_many(100, 3);
    all[0].sum_ns = 290;
    return all;
  }

  Program() {
    for (size_t i = 0; i < kFigures; ++i) names_.push_back("s" + std::to_string(i));
  }

 private:
  std::vector<std::string> names_;
};

json asked(Program& program, const std::string& message) {
  return json::parse(telemetry_reply(program, message));
}

TEST(Telemetry, DescribesEveryFigureByPages) {
  Program program;
  json all = json::object();
  for (json page = {1}; !page.empty();) {
    page = answer_telemetry(program, "/dinomo/describe", std::to_string(all.size()));
    all.update(page);
  }
  EXPECT_EQ(all.size(), kFigures);
  EXPECT_EQ(all["s3_hits"], json({{"kind", "counter"}, {"unit", ""}, {"help", "how often"}}));
  EXPECT_EQ(all["s89_hits"]["label"], "purpose");
  EXPECT_EQ(answer_telemetry(program, "/dinomo/list", "").size(), kFigures);
}

TEST(Telemetry, AnswersAreNamedByTheirCommand) {
  Program program;
  EXPECT_EQ(asked(program, "/dinomo/stats"), json({{"/dinomo/stats", {{"hits", 7}}}}));
  EXPECT_EQ(asked(program, "/dinomo/health")["/dinomo/health"]["why"], "warming up");
  const json put = asked(program, "/dinomo/histogram,put")["/dinomo/histogram"];
  EXPECT_EQ(put["count"], 3);
  EXPECT_EQ(put["sum_ns"], 290);
  EXPECT_EQ(put["last_ns"], json({100}));
}

TEST(Telemetry, WhatMakesNoSenseIsNull) {
  Program program;
  for (const char* message :
       {"/dinomo/stats,9", "/dinomo/describe,x", "/dinomo/describe,-1", "/dinomo/histogram,get",
        "/dinomo/nothing", "/help,/nothing", "", ",", "hello"}) {
    const json reply = asked(program, message);
    ASSERT_EQ(reply.size(), 1u) << message;
    EXPECT_TRUE(reply.begin().value().is_null()) << message;
  }
  EXPECT_TRUE(json::accept(telemetry_reply(program, "\xff\xfe\x01")));
  EXPECT_TRUE(json::accept(telemetry_reply(program, std::string(1024, '"'))));
}

TEST(Telemetry, ListsAndExplainsItsCommandsAsDpdkDoes) {
  Program program;
  const json commands = asked(program, "/")["/"];
  for (const TelemetryCommand& c : telemetry_commands()) {
    EXPECT_NE(std::ranges::find(commands, c.name), commands.end()) << c.name;
    EXPECT_EQ(asked(program, std::string("/help,") + c.name)["/help"][c.name], c.help);
    EXPECT_LT(std::string_view(c.help).size(), 128u);  // what rte_telemetry takes
  }
  EXPECT_EQ(asked(program, "/info")["/info"]["max_output_len"], 16384);
}

}  // namespace
}  // namespace dinomo::app
