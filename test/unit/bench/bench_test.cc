// SPDX-License-Identifier: BSD-3-Clause
// The parts of dinomo-bench on which its figures and verdicts rest: samplers against exact
// probabilities, the mix, values, and what a read may return.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <set>
#include <vector>

#include "app/dinomo-bench/key_table.h"
#include "app/dinomo-bench/tally.h"
#include "app/dinomo-bench/value.h"
#include "app/dinomo-bench/workload.h"

namespace dinomo::bench {
namespace {

/// Pearson's chi-square of counts against probabilities, as a standard score (0 in the mean, 1 the
/// standard deviation); cells with less than 10 expected are put together.
double chi_square_score(const std::vector<uint64_t>& counts, const std::vector<double>& share) {
  const double total = static_cast<double>(std::accumulate(counts.begin(), counts.end(), 0ull));
  double chi = 0;
  double cells = -1;
  double seen = 0;
  double expected = 0;
  const auto close_cell = [&] {
    chi += (seen - expected) * (seen - expected) / expected;
    cells += 1;
    seen = expected = 0;
  };
  for (size_t i = 0; i < counts.size(); ++i) {
    seen += static_cast<double>(counts[i]);
    expected += share[i] * total;
    if (expected >= 10) close_cell();
  }
  if (expected > 1) close_cell();
  return (chi - cells) / std::sqrt(2 * cells);
}

std::vector<double> zipf_shares(uint64_t n, double theta) {
  std::vector<double> share(n);
  double sum = 0;
  for (uint64_t r = 0; r < n; ++r) sum += share[r] = std::pow(static_cast<double>(r + 1), -theta);
  for (double& s : share) s /= sum;
  return share;
}

class ZipfTest : public ::testing::TestWithParam<double> {};

TEST_P(ZipfTest, SamplesHaveTheExactProbabilities) {
  for (const uint64_t n : {2u, 10u, 1000u}) {
    client::Random random(n);
    const Zipf zipf(n, GetParam());
    std::vector<uint64_t> counts(n);
    for (int i = 0; i < 400'000; ++i) {
      const uint64_t rank = zipf.sample(&random);
      ASSERT_LT(rank, n);
      ++counts[rank];
    }
    EXPECT_LT(std::abs(chi_square_score(counts, zipf_shares(n, GetParam()))), 5) << n;
  }
}

INSTANTIATE_TEST_SUITE_P(Thetas, ZipfTest,
                         ::testing::Values(0.0, 0.5, 0.99, 1.0, 1.0000001, 1.2, 2.0, 5.0));

TEST(Zipf, ADifferentExponentIsNoticed) {  // the test above can fail
  client::Random random(1);
  const Zipf zipf(1000, 0.95);
  std::vector<uint64_t> counts(1000);
  for (int i = 0; i < 400'000; ++i) ++counts[zipf.sample(&random)];
  EXPECT_GT(chi_square_score(counts, zipf_shares(1000, 0.99)), 20);
}

TEST(Zipf, HugeAndTinyNumbersOfRanks) {
  client::Random random(1);
  for (const double theta : {0.0, 0.99, 1.0, 3.0}) {
    const Zipf one(1, theta);
    EXPECT_EQ(one.sample(&random), 0u);
    const Zipf many(uint64_t{1} << 40, theta);
    for (int i = 0; i < 10'000; ++i) ASSERT_LT(many.sample(&random), uint64_t{1} << 40);
  }
}

TEST(Zipf, ResizingEqualsANewOne) {
  Zipf resized(10, 0.99);
  resized.resize(1000);
  const Zipf fresh(1000, 0.99);
  client::Random a(4);
  client::Random b(4);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(resized.sample(&a), fresh.sample(&b));
}

TEST(Scramble, IsAPermutation) {
  for (const uint64_t n : {1u, 2u, 3u, 5u, 64u, 65u, 1000u, 100'003u}) {
    const Scramble scramble(n);
    std::vector<bool> hit(n);
    for (uint64_t i = 0; i < n; ++i) {
      const uint64_t key = scramble(i);
      ASSERT_LT(key, n);
      ASSERT_FALSE(hit[key]) << n;
      hit[key] = true;
    }
  }
}

TEST(Scramble, HotRanksAreNotNeighbours) {
  const Scramble scramble(1'000'000);
  std::set<uint64_t> thousands;
  for (uint64_t rank = 0; rank < 100; ++rank) thousands.insert(scramble(rank) / 1000);
  EXPECT_GT(thousands.size(), 80u);
}

TEST(KeyChooser, LatestPrefersTheNewestAndFollowsInserts) {
  KeySpace space;
  space.loaded = 1000;
  space.newest = 999;
  KeyChooser chooser(Distribution::kLatest, 0.99, &space);
  client::Random random(1);
  std::vector<uint64_t> counts(1000);
  for (int i = 0; i < 200'000; ++i) ++counts[999 - chooser.choose(&random)];
  EXPECT_LT(std::abs(chi_square_score(counts, zipf_shares(1000, 0.99))), 5);
  space.newest = 1499;
  uint64_t newest = 0;
  for (int i = 0; i < 10'000; ++i) {
    const uint64_t key = chooser.choose(&random);
    ASSERT_LE(key, 1499u);
    newest += key == 1499 ? 1 : 0;
  }
  EXPECT_GT(newest, 1000u);
}

TEST(KeyChooser, UniformIsUniform) {
  KeySpace space;
  space.loaded = 500;
  KeyChooser chooser(Distribution::kUniform, 0.99, &space);
  client::Random random(1);
  std::vector<uint64_t> counts(500);
  for (int i = 0; i < 200'000; ++i) ++counts[chooser.choose(&random)];
  EXPECT_LT(std::abs(chi_square_score(counts, std::vector<double>(500, 1.0 / 500))), 5);
}

TEST(Mix, IsExactAndComesInNoCycle) {
  const Mix mix = workload_by_name("95/5")->mix;
  client::Random random(1);
  constexpr int kDraws = 1'000'000;
  int updates = 0;
  int pairs = 0;  // two updates in a row, which a cycle would have always or never
  bool before = false;
  for (int i = 0; i < kDraws; ++i) {
    const bool update = mix.draw(&random) == OpKind::kUpdate;
    updates += update ? 1 : 0;
    pairs += update && before ? 1 : 0;
    before = update;
  }
  EXPECT_NEAR(updates, 0.05 * kDraws, 5 * std::sqrt(kDraws * 0.05 * 0.95));
  EXPECT_NEAR(pairs, 0.0025 * kDraws, 5 * std::sqrt(kDraws * 0.0025));
}

TEST(Mix, DrawsOnlyWhatWasAskedFor) {
  client::Random random(1);
  for (int i = 0; i < 100'000; ++i) {
    ASSERT_EQ((Mix{0, 1, 0, 0}.draw(&random)), OpKind::kUpdate);
    ASSERT_EQ((Mix{0, 0, 1, 0}.draw(&random)), OpKind::kInsert);
    ASSERT_EQ((Mix{0, 0, 0, 1}.draw(&random)), OpKind::kReadModifyWrite);
    ASSERT_EQ((Mix{1, 0, 0, 0}.draw(&random)), OpKind::kRead);
  }
}

TEST(Workload, NamesAndSizes) {
  EXPECT_EQ(workload_by_name("A")->mix.update, 0.5);
  EXPECT_EQ(workload_by_name("d")->distribution, Distribution::kLatest);
  EXPECT_EQ(workload_by_name("f")->mix.rmw, 0.5);
  EXPECT_FALSE(workload_by_name("e").has_value());
  EXPECT_EQ(parse_size_range("16-4096")->max, 4096u);
  EXPECT_EQ(parse_size_range("1024")->min, 1024u);
  for (const char* bad : {"", "x", "5-", "9-3", "1-2-3", "-4"}) {
    EXPECT_FALSE(parse_size_range(bad).has_value()) << bad;
  }
}

TEST(OwnKey, EachKeyHasOneWriter) {
  for (uint32_t thread = 0; thread < 3; ++thread) {
    for (uint64_t key = 0; key < 100; ++key) {
      const uint64_t own = own_key(key, thread, 3, 100);
      ASSERT_LT(own, 100u);
      ASSERT_EQ(own % 3, thread);
    }
  }
}

TEST(Values, SayWhetherTheyAreWholeAndWhose) {
  const Values values(1);
  for (const size_t bytes : {16u, 23u, 24u, 1024u, 61'440u}) {
    std::vector<std::byte> value(bytes);
    values.write(value, 17, {9, 5});
    EXPECT_EQ(Values::check(value, 17).verdict, Verdict::kGood);
    EXPECT_EQ(Values::check(value, 17).version.run, 9u);
    EXPECT_EQ(Values::check(value, 17).version.counter, 5u);
    EXPECT_EQ(Values::check(value, 18).verdict,
              bytes >= 24 ? Verdict::kForeign : Verdict::kCorrupt);
    EXPECT_EQ(Values::check(Bytes(value).first(bytes - 1), 17).verdict, Verdict::kCorrupt);
    for (size_t at = 0; at < bytes; at += std::max<size_t>(bytes / 50, 1)) {
      value[at] ^= std::byte{1};
      EXPECT_EQ(Values::check(value, 17).verdict, Verdict::kCorrupt) << at;
      value[at] ^= std::byte{1};
    }
  }
}

TEST(Values, KeysAreDecimalAndFillTheirSize) {
  std::vector<std::byte> key(8);
  write_key(key, 1234);
  EXPECT_EQ(as_text(key), "00001234");
  key.resize(25);
  write_key(key, 7);
  EXPECT_EQ(as_text(key), "user000000000000000000007");
  EXPECT_EQ(keys_possible(3), 1000u);
}

class KeyTableTest : public ::testing::Test {
 protected:
  std::unique_ptr<KeyTable> table_ = KeyTable::create(10);
};

TEST_F(KeyTableTest, FloorFollowsAcknowledgedWrites) {
  EXPECT_EQ(table_->expect(3).floor, 0u);
  const Write first = table_->begin_write(3);
  EXPECT_EQ(first.version, 1u);
  EXPECT_EQ(table_->newest_sent(3), 1u);
  EXPECT_EQ(table_->expect(3).floor, 0u);
  table_->acknowledge(3, first);
  EXPECT_EQ(table_->expect(3).floor, 1u);
  EXPECT_EQ(table_->expect(4).floor, 0u);
}

TEST_F(KeyTableTest, OverlappingWritesMayTakeEffectInAnyOrder) {
  const Write one = table_->begin_write(0);
  const Write two = table_->begin_write(0);
  table_->acknowledge(0, two);
  // 1 is still in flight: it may come after 2.
  EXPECT_EQ(table_->expect(0).floor, 1u);
  table_->acknowledge(0, one);
  EXPECT_EQ(table_->expect(0).floor, 1u);
  // 3 was sent after both were acknowledged: neither can come back.
  const Write three = table_->begin_write(0);
  table_->acknowledge(0, three);
  EXPECT_EQ(table_->expect(0).floor, 3u);
}

TEST_F(KeyTableTest, TheFloorMovesThoughAKeyIsNeverIdle) {
  Write previous = table_->begin_write(0);
  for (int i = 0; i < 1000; ++i) {
    const Write next = table_->begin_write(0);
    table_->acknowledge(0, previous);
    previous = next;
  }
  EXPECT_GE(table_->expect(0).floor, 998u);
}

TEST_F(KeyTableTest, LimitsWritesInFlightToOneKey) {
  std::vector<Write> writes;
  for (int i = 0; i < 32; ++i) writes.push_back(table_->begin_write(0));
  EXPECT_EQ(writes.back().version, 32u);
  EXPECT_EQ(table_->begin_write(0).version, 0u);
  for (size_t i = writes.size(); i-- > 0;) table_->acknowledge(0, writes[i]);
  EXPECT_EQ(table_->begin_write(0).version, 33u);
}

TEST_F(KeyTableTest, ALostWriteMakesTheKeyUnknown) {
  const Write write = table_->begin_write(0);
  table_->lose(0, write);
  EXPECT_TRUE(table_->expect(0).unknown);
  const Write next = table_->begin_write(0);
  table_->acknowledge(0, next);
  EXPECT_TRUE(table_->expect(0).unknown);  // the lost one may still come
}

TEST_F(KeyTableTest, ARefusedWriteChangesNothing) {
  const Write first = table_->begin_write(0);
  table_->acknowledge(0, first);
  table_->refuse(0, table_->begin_write(0));
  EXPECT_EQ(table_->expect(0).floor, 1u);
  EXPECT_FALSE(table_->expect(0).unknown);
}

TEST(Tally, MergingAddsEverything) {
  Tally a;
  Tally b;
  a.kinds[0].done = 1;
  b.kinds[0].done = 2;
  b.kinds[0].service.record(5);
  a.client.transmissions = 3;
  b.client.transmissions = 4;
  b.wrong.stale = 1;
  b.refused_by_status[67] = 2;
  a.merge(b);
  EXPECT_EQ(a.kinds[0].done, 3u);
  EXPECT_EQ(a.kinds[0].service.count(), 1u);
  EXPECT_EQ(a.client.transmissions, 7u);
  EXPECT_EQ(a.wrong.total(), 1u);
  EXPECT_EQ(a.refused_by_status[67], 2u);
}

}  // namespace
}  // namespace dinomo::bench
