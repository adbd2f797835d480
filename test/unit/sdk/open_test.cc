// SPDX-License-Identifier: BSD-3-Clause
// Opening, closing, and what can be asked without an operation.
#include <cstdlib>
#include <set>

#include "sdk_fixture.h"

extern "C" int dinomo_test_from_c(const char* servers);

namespace dinomo::test {
namespace {

class OpenTest : public SdkTest {
 protected:
  /// Opens with what is wrong; the message has to name `word`.
  void expect_refused(const char* servers, const dinomo_options& options, dinomo_status status,
                      const std::string& word) {
    dinomo_client* c = reinterpret_cast<dinomo_client*>(1);
    EXPECT_EQ(dinomo_open(servers, &options, &c), status) << word;
    EXPECT_EQ(c, nullptr);
    EXPECT_NE(std::string(dinomo_open_error()).find(word), std::string::npos)
        << dinomo_open_error();
  }
};

TEST_F(OpenTest, RefusesWhatIsWrongAndSaysWhat) {
  expect_refused("no-such-host.invalid", {}, DINOMO_UNKNOWN_HOST, "no-such-host.invalid");
  expect_refused("127.0.0.1:port", {}, DINOMO_INVALID, "host[:port]");
  expect_refused("", {}, DINOMO_INVALID, "host[:port]");
  expect_refused("127.0.0.1,,127.0.0.2", {}, DINOMO_INVALID, "host[:port]");
  dinomo_options o{};
  o.in_flight_max = 65'001;
  expect_refused("127.0.0.1", o, DINOMO_INVALID, "in_flight_max");
  o = {};
  o.retry_min_ms = 50;
  o.retry_max_ms = 49;
  expect_refused("127.0.0.1", o, DINOMO_INVALID, "retry_min_ms");
  o = {};
  o.reserved[8] = 1;
  expect_refused("127.0.0.1", o, DINOMO_INVALID, "reserved");
  std::string many = "127.0.0.1:1";
  for (int i = 2; i <= 17; ++i) many += ",127.0.0.1:" + std::to_string(i);
  expect_refused(many.c_str(), {}, DINOMO_INVALID, "16");
  EXPECT_EQ(dinomo_open("127.0.0.1", nullptr, nullptr), DINOMO_INVALID);
  dinomo_close(nullptr);
}

TEST_F(OpenTest, OneRetryLimitAloneMovesTheOther) {
  dinomo_options o{};
  o.retry_max_ms = 5;  // below the default of the least
  open(o);
  EXPECT_EQ(dinomo_ping(client_, nullptr), DINOMO_OK);
  o = {};
  o.retry_min_ms = 2000;  // over the default of the most
  open(o);
  EXPECT_EQ(dinomo_ping(client_, nullptr), DINOMO_OK);
}

TEST_F(OpenTest, ServersFromTheEnvironment) {
  setenv("DINOMO_SERVER", server_.address(1).c_str(), 1);
  dinomo_client* c = nullptr;
  ASSERT_EQ(dinomo_open(nullptr, nullptr, &c), DINOMO_OK);
  EXPECT_EQ(dinomo_ping(c, nullptr), DINOMO_OK);
  dinomo_close(c);
  unsetenv("DINOMO_SERVER");
}

TEST_F(OpenTest, TheRingCanBeLookedAt) {
  open();
  dinomo_kn kns[4];
  EXPECT_EQ(dinomo_ring_version(client_), 0u);
  EXPECT_EQ(dinomo_kns(client_, kns, 4), 0u);
  ASSERT_EQ(dinomo_connect(client_), DINOMO_OK);
  EXPECT_NE(dinomo_ring_version(client_), 0u);
  EXPECT_EQ(dinomo_kns(client_, nullptr, 0), 2u);
  ASSERT_EQ(dinomo_kns(client_, kns, 4), 2u);
  uint32_t partitions = 0;
  for (int i = 0; i < 2; ++i) {
    partitions += kns[i].partitions;
    EXPECT_EQ(kns[i].workers, 2);
    EXPECT_EQ(std::string(kns[i].address),
              "127.0.0.1:" + std::to_string(server_.port(kns[i].kn_slot)));
  }
  EXPECT_EQ(partitions, 4096u);
}

TEST_F(OpenTest, CountersHaveNamesAndCount) {
  open();
  ASSERT_EQ(dinomo_ping(client_, nullptr), DINOMO_OK);
  EXPECT_EQ(counter("submitted"), 1u);
  EXPECT_EQ(counter("completed"), 1u);
  EXPECT_GE(counter("hellos"), 1u);
  std::set<std::string> names;
  size_t count = 0;
  for (; dinomo_counter_name(count) != nullptr; ++count) names.insert(dinomo_counter_name(count));
  EXPECT_EQ(names.size(), count);
  EXPECT_EQ(dinomo_counter(client_, count), 0u);
}

TEST_F(OpenTest, EveryStatusHasAWordAndASentence) {
  std::set<std::string> words;
  std::set<std::string> sentences;
  const dinomo_status all[] = {DINOMO_OK,          DINOMO_NOT_FOUND,
                               DINOMO_EXISTS,      DINOMO_NOT_STORED,
                               DINOMO_NOT_NUMBER,  DINOMO_BAD_REQUEST,
                               DINOMO_TOO_LARGE,   DINOMO_UNSUPPORTED,
                               DINOMO_BAD_VERSION, DINOMO_NO_SPACE,
                               DINOMO_INTERNAL,    DINOMO_TIMEOUT,
                               DINOMO_UNREACHABLE, DINOMO_OUTCOME_UNKNOWN,
                               DINOMO_CLOSED,      DINOMO_FULL,
                               DINOMO_INVALID,     DINOMO_UNKNOWN_HOST,
                               DINOMO_NO_RESOURCE, static_cast<dinomo_status>(255)};
  for (const dinomo_status s : all) {
    words.insert(dinomo_status_name(s));
    sentences.insert(dinomo_status_text(s));
  }
  EXPECT_EQ(words.size(), std::size(all));
  EXPECT_EQ(sentences.size(), std::size(all));
  EXPECT_EQ(std::string(dinomo_status_name(static_cast<dinomo_status>(255))), "unknown");
  EXPECT_NE(std::string(dinomo_version()), "");
}

TEST_F(OpenTest, AProgramInC) {
  EXPECT_EQ(dinomo_test_from_c(server_.address().c_str()), 0) << "line of from_c.c";
}

}  // namespace
}  // namespace dinomo::test
