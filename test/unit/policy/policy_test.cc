// SPDX-License-Identifier: BSD-3-Clause
// Every row of the table, each with what just does not suffice, and whole series of load in which
// nothing may swing to and fro.
#include "policy/policy.h"

#include <gtest/gtest.h>

#include <vector>

namespace dinomo::policy {
namespace {

KnReport kn(uint16_t slot, uint32_t busy_permille, uint32_t p99_us = 1000,
            uint32_t average_us = 100) {
  return {.kn_slot = slot,
          .operations = 10'000,
          .average_us = average_us,
          .p99_us = p99_us,
          .busy_permille = busy_permille,
          .partitions = 1000};
}

Inputs inputs(std::vector<KnReport> kns) {
  Inputs in;
  in.now_ms = 1'000'000;
  in.kns_active = static_cast<uint32_t>(kns.size());
  in.kns_to_add = 1;
  in.kns = std::move(kns);
  in.heat.sampled = 10'000;
  in.heat.keys = 1000;
  in.heat.mean = 10;
  in.heat.deviation = 50;  // more than the mean, as under any skew
  return in;
}

Heat with_hot_key(Heat heat, uint64_t routing_hash, double accesses) {
  heat.hottest.insert(heat.hottest.begin(), {routing_hash, routing_hash + 1, accesses, 0});
  return heat;
}

constexpr uint32_t kTooSlow = 20'000;  // p99 above the SLO
constexpr uint64_t kKey = 77;

TEST(Policy, NothingToDoWhileTheSloIsMetAndKnsAreUsed) {
  Engine engine(Config{});
  const Decision d = engine.decide(inputs({kn(0, 150), kn(1, 160)}));
  EXPECT_EQ(d.action, Action::kNone);
  EXPECT_NE(d.why.find("nothing to do"), std::string::npos) << d.why;
}

TEST(Policy, AddsAKnIfAllAreOverUtilisedAndTheSloIsViolated) {
  Engine engine(Config{});
  const Decision d = engine.decide(inputs({kn(0, 201), kn(1, 900, kTooSlow)}));
  EXPECT_EQ(d.action, Action::kAddKn);
  EXPECT_NE(d.why.find("20000"), std::string::npos) << d.why;
  EXPECT_NE(d.why.find("201 permille"), std::string::npos) << d.why;
}

TEST(Policy, AnAverageAboveItsSloCounts) {
  Engine engine(Config{});
  EXPECT_EQ(engine.decide(inputs({kn(0, 500, 1000, 1201)})).action, Action::kAddKn);
  EXPECT_EQ(engine.decide(inputs({kn(0, 500, 1000, 1200)})).action, Action::kNone);
}

TEST(Policy, AveragesAreWeightedByOperations) {
  Inputs in = inputs({kn(0, 500, 1000, 100), kn(1, 500, 1000, 5000)});
  in.kns[1].operations = 10;  // few, so the average of all is near 100
  EXPECT_EQ(Engine(Config{}).decide(in).action, Action::kNone);
}

TEST(Policy, AddsNoneIfOneKnHasRoom) {
  EXPECT_NE(Engine(Config{}).decide(inputs({kn(0, 200), kn(1, 900, kTooSlow)})).action,
            Action::kAddKn);
}

TEST(Policy, AddsNoneBeyondTheLimitOrWithoutOneToAdd) {
  Inputs in = inputs({kn(0, 900, kTooSlow), kn(1, 900, kTooSlow)});
  EXPECT_EQ(Engine({.kns_max = 2}).decide(in).action, Action::kNone);
  EXPECT_EQ(Engine({.elastic = false}).decide(in).action, Action::kNone);
  in.kns_to_add = 0;
  EXPECT_EQ(Engine(Config{}).decide(in).action, Action::kNone);
}

TEST(Policy, ReplicatesTheHottestKeyIfTheSloIsViolatedAndKnsHaveRoom) {
  Inputs in = inputs({kn(0, 900, 2 * kTooSlow), kn(1, 50), kn(2, 50), kn(3, 50)});
  in.heat = with_hot_key(in.heat, kKey, 161);  // hot: above 10 + 3 * 50
  const Decision d = Engine(Config{}).decide(in);
  EXPECT_EQ(d.action, Action::kReplicate);
  EXPECT_EQ(d.routing_hash, kKey);
  EXPECT_EQ(d.key_hash, kKey + 1);
  EXPECT_EQ(d.replicas, 2u);  // 1 KN x 40 ms / 16 ms
  in.heat.hottest[0].accesses = 160;
  EXPECT_NE(Engine(Config{}).decide(in).action, Action::kReplicate);
}

TEST(Policy, RepeatedReplicationFollowsTheExcessOfLatencyUpToAllKns) {
  Inputs in = inputs({kn(0, 900, 40'000), kn(1, 50), kn(2, 50), kn(3, 50)});
  in.heat = with_hot_key(in.heat, kKey, 9000);
  in.replicated = {{kKey, 2}};
  const Decision d = Engine(Config{}).decide(in);
  EXPECT_EQ(d.action, Action::kReplicate);
  EXPECT_EQ(d.replicas, 4u);  // 2 x 2.5 is 5, but there are 4
  in.replicated = {{kKey, 4}};
  EXPECT_NE(Engine(Config{}).decide(in).action, Action::kReplicate);
  in.replicated = {{kKey, 9}};  // KNs were lost
  EXPECT_NE(Engine(Config{}).decide(in).action, Action::kReplicate);
}

TEST(Policy, ReplicatesAtLeastToOneMore) {
  Inputs in = inputs({kn(0, 900, 16'001), kn(1, 50), kn(2, 50)});
  in.heat = with_hot_key(in.heat, kKey, 9000);
  EXPECT_EQ(Engine(Config{}).decide(in).replicas, 2u);
}

TEST(Policy, ReplicatesTheNextKeyIfTheHottestIsEverywhere) {
  Inputs in = inputs({kn(0, 900, kTooSlow), kn(1, 50)});
  in.heat = with_hot_key(in.heat, kKey + 10, 800);
  in.heat = with_hot_key(in.heat, kKey, 900);
  in.replicated = {{kKey, 2}};
  EXPECT_EQ(Engine(Config{}).decide(in).routing_hash, kKey + 10);
  EXPECT_NE(Engine({.replicated_max = 1}).decide(in).action, Action::kReplicate);
}

TEST(Policy, DecidesNothingOfKeysOnAFewSamples) {
  Inputs in = inputs({kn(0, 900, kTooSlow), kn(1, 850)});
  in.kns_to_add = 0;
  in.heat = with_hot_key(in.heat, kKey, 900);
  in.heat.sampled = 999;
  EXPECT_EQ(Engine(Config{}).decide(in).action, Action::kNone);
  in.heat.sampled = 1000;
  EXPECT_EQ(Engine(Config{}).decide(in).action, Action::kReplicate);
  EXPECT_EQ(Engine({.replicate = false}).decide(in).action, Action::kNone);
}

TEST(Policy, RebalancesIfNoKeyIsHotAndOneKnIsFarBusier) {
  Inputs in = inputs({kn(0, 900, kTooSlow), kn(1, 100), kn(2, 200)});
  const Decision d = Engine(Config{}).decide(in);
  EXPECT_EQ(d.action, Action::kRebalance);
  EXPECT_EQ(d.kn_slot, 0);
  EXPECT_EQ(d.to_kn_slot, 1);
  EXPECT_EQ(d.partitions, 444u);  // of 1000, (900 - 100) / 2 of 900
  EXPECT_EQ(Engine({.rebalance = false}).decide(in).action, Action::kNone);
  in.kns = {kn(0, 140, kTooSlow), kn(1, 10), kn(2, 10)};
  EXPECT_EQ(Engine(Config{}).decide(in).action, Action::kNone);  // hardly busy at all
}

TEST(Policy, RemovesTheLeastBusyIfTheOthersCanBearIt) {
  const Decision d = Engine(Config{}).decide(inputs({kn(0, 99), kn(1, 90), kn(2, 99)}));
  EXPECT_EQ(d.action, Action::kRemoveKn);
  EXPECT_EQ(d.kn_slot, 1);
  EXPECT_EQ(Engine(Config{}).decide(inputs({kn(0, 100), kn(1, 100)})).action, Action::kNone);
  EXPECT_EQ(Engine(Config{}).decide(inputs({kn(0, 90), kn(1, 90)})).action,
            Action::kNone);  // 180 for the one that is left
}

TEST(Policy, RemovesNoneBelowTheLimitOrWhileOneIsSilent) {
  Inputs in = inputs({kn(0, 1), kn(1, 1)});
  EXPECT_EQ(Engine({.kns_min = 2}).decide(in).action, Action::kNone);
  EXPECT_EQ(Engine({.elastic = false}).decide(in).action, Action::kNone);
  in.kns_active = 3;  // one has not reported
  EXPECT_EQ(Engine(Config{}).decide(in).action, Action::kNone);
  EXPECT_EQ(Engine(Config{}).decide(inputs({kn(0, 0)})).action, Action::kNone);  // never the last
}

TEST(Policy, RemovesNoneWhileTheSloIsViolated) {
  EXPECT_NE(Engine(Config{}).decide(inputs({kn(0, 1, kTooSlow), kn(1, 1)})).action,
            Action::kRemoveKn);
}

TEST(Policy, DereplicatesAColdKeyUnderSkewToo) {
  Engine engine(Config{});
  Inputs in = inputs({kn(0, 150), kn(1, 150)});
  in.heat = with_hot_key(in.heat, kKey, 10);  // not above the mean; mean - deviation is below 0
  in.replicated = {{kKey, 2}};
  EXPECT_EQ(engine.decide(in).action, Action::kNone);  // one report is not enough
  const Decision d = engine.decide(in);
  EXPECT_EQ(d.action, Action::kDereplicate);
  EXPECT_EQ(d.routing_hash, kKey);
}

TEST(Policy, AKeyThatWarmsUpBetweenTwoReportsStays) {
  Engine engine(Config{});
  Inputs in = inputs({kn(0, 150), kn(1, 150)});
  in.replicated = {{kKey, 2}};  // not even among the hottest
  EXPECT_EQ(engine.decide(in).action, Action::kNone);
  Inputs warm = in;
  warm.heat = with_hot_key(warm.heat, kKey, 11);
  EXPECT_EQ(engine.decide(warm).action, Action::kNone);
  EXPECT_EQ(engine.decide(in).action, Action::kNone);
  EXPECT_EQ(engine.decide(in).action, Action::kDereplicate);
}

TEST(Policy, DereplicatesBeforeAnythingElseEvenIfTheSloIsViolated) {
  Engine engine({.cold_reports = 1});
  Inputs in = inputs({kn(0, 900, kTooSlow), kn(1, 900)});
  in.replicated = {{kKey, 2}};
  EXPECT_EQ(engine.decide(in).action, Action::kDereplicate);
}

TEST(Policy, WaitsForGraceAfterAChange) {
  Engine engine({.grace_ms = 1000});
  Inputs in = inputs({kn(0, 900, kTooSlow)});
  engine.changed(in.now_ms);
  in.now_ms += 999;
  const Decision early = engine.decide(in);
  EXPECT_EQ(early.action, Action::kNone);
  EXPECT_NE(early.why.find("999 ms ago"), std::string::npos) << early.why;
  in.now_ms += 1;
  EXPECT_EQ(engine.decide(in).action, Action::kAddKn);
}

TEST(Policy, WaitsForAChangeThatIsUnderWay) {
  Engine engine(Config{});
  Inputs in = inputs({kn(0, 900, kTooSlow)});
  in.change_under_way = true;
  EXPECT_EQ(engine.decide(in).action, Action::kNone);
}

TEST(Policy, WithoutReportsNothingIsDone) {
  EXPECT_EQ(Engine(Config{}).decide(inputs({})).action, Action::kNone);
}

TEST(Policy, AConfigurationThatWouldSwingIsRefused) {
  EXPECT_EQ(check(Config{}), "");
  EXPECT_NE(check({.over_utilised_permille = 100, .under_utilised_permille = 100}), "");
  EXPECT_NE(check({.remove_limit_permille = 201}), "");
  EXPECT_NE(check({.kns_min = 0}), "");
  EXPECT_NE(check({.kns_min = 5, .kns_max = 4}), "");
  EXPECT_NE(check({.slo_average_us = 0, .slo_p99_us = 0}), "");
  EXPECT_NE(check({.imbalance = 1.0}), "");
  EXPECT_NE(check({.hot_deviations = 0}), "");
  EXPECT_NE(check({.replicas_max = 1}), "");
}

/// A cluster whose load divides evenly; p99 follows the busy share as a queue's does.
class Model {
 public:
  explicit Model(uint32_t kns) : kns_(kns) {}

  /// One round of reports under `load` (permille of one KN); carries out what is decided.
  Action round(double load) {
    now_ms_ += 10'000;
    std::vector<KnReport> reports;
    const double busy = std::min(load / kns_, 990.0);
    const auto p99_us = static_cast<uint32_t>(4000 * 1000 / (1000 - busy));
    for (uint16_t k = 0; k < kns_; ++k) {
      reports.push_back(kn(k, static_cast<uint32_t>(busy), p99_us));
    }
    Inputs in = inputs(reports);
    in.now_ms = now_ms_;
    const Action action = engine_.decide(in).action;
    if (action == Action::kAddKn) ++kns_;
    if (action == Action::kRemoveKn) --kns_;
    if (action != Action::kNone) engine_.changed(now_ms_);
    return action;
  }
  uint32_t kns() const { return kns_; }

 private:
  Engine engine_{Config{}};
  uint32_t kns_;
  uint64_t now_ms_ = 0;
};

TEST(PolicySeries, GrowsWithTheLoadAndShrinksWhenItGoesWithoutSwinging) {
  Model model(2);
  for (int i = 0; i < 200; ++i) {
    EXPECT_NE(model.round(3000), Action::kRemoveKn);
  }
  EXPECT_EQ(model.kns(), 4u);  // 750 permille each, p99 16 ms
  for (int i = 0; i < 200; ++i) EXPECT_EQ(model.round(3000), Action::kNone);
  for (int i = 0; i < 400; ++i) EXPECT_NE(model.round(100), Action::kAddKn);
  EXPECT_EQ(model.kns(), 1u);
}

TEST(PolicySeries, NoConstantLoadMakesItSwing) {
  for (double load = 10; load < 8000; load *= 1.07) {
    for (const uint32_t start : {1u, 4u, 16u}) {
      Model model(start);
      bool added = false;
      bool removed = false;
      for (int i = 0; i < 300; ++i) {
        const Action action = model.round(load);
        added |= action == Action::kAddKn;
        removed |= action == Action::kRemoveKn;
      }
      EXPECT_FALSE(added && removed) << "load " << load << " from " << start << " KNs";
      EXPECT_EQ(model.round(load), Action::kNone) << "load " << load;
    }
  }
}

TEST(PolicySeries, AHotKeyIsReplicatedOnceMoreEachGraceAndGivenBackWhenItCools) {
  Engine engine(Config{});
  uint64_t now_ms = 0;
  uint32_t replicas = 1;
  int changes = 0;
  const auto round = [&](double accesses, uint32_t p99_us) {
    now_ms += 10'000;
    Inputs in = inputs({kn(0, 900, p99_us), kn(1, 150), kn(2, 150), kn(3, 150)});
    in.now_ms = now_ms;
    in.heat = with_hot_key(in.heat, kKey, accesses);
    if (replicas > 1) in.replicated = {{kKey, replicas}};
    const Decision d = engine.decide(in);
    if (d.action == Action::kReplicate) replicas = d.replicas;
    if (d.action == Action::kDereplicate) replicas = 1;
    if (d.action != Action::kNone) {
      ++changes;
      engine.changed(now_ms);
    }
  };
  for (int i = 0; i < 60; ++i) round(5000, replicas < 3 ? 17'000 : 9'000);
  EXPECT_EQ(replicas, 3u);
  EXPECT_EQ(changes, 2);
  for (int i = 0; i < 60; ++i) round(2, 9'000);
  EXPECT_EQ(replicas, 1u);
  EXPECT_EQ(changes, 3);
}

}  // namespace
}  // namespace dinomo::policy
