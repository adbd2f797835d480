// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include "test/unit/dpm/service_fixture.h"

namespace dinomo::dpm {
namespace {

using log::Op;

class Expiry : public test::ServiceTest {
 protected:
  Expiry() { config_.expiry_grace_ms = 100; }

  Status put_for(Log* l, const std::string& key, const std::string& value, uint64_t ttl_ms) {
    return l->append(Op::kPut, key, value, {.expiry_ms = clock_.unix_ms() + ttl_ms});
  }
  void pass(uint64_t ms) {
    clock_.advance_ms(ms);
    poll(500);
  }
};

TEST_F(Expiry, ItemsGoAfterTheirTimeAndNotBefore) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(put_for(&l, "soon", "1", 1000), Status::kOk);
  ASSERT_EQ(put_for(&l, "later", "2", 5000), Status::kOk);
  ASSERT_EQ(l.put("never", "3"), Status::kOk);
  l.merge();
  pass(999);
  EXPECT_EQ(value_of("soon"), "1");
  pass(100);  // its grace is not over
  EXPECT_EQ(value_of("soon"), "1");
  pass(1);
  EXPECT_EQ(value_of("soon"), "-");
  EXPECT_EQ(value_of("later"), "2");
  ServiceStats s = service_->stats();
  EXPECT_EQ(s.items, 2u);
  EXPECT_EQ(s.expired_items, 1u);
  EXPECT_EQ(s.expired_bytes, 64u);
  EXPECT_EQ(s.segments.live_bytes, 2 * 64u);
  pass(4000);
  EXPECT_EQ(value_of("later"), "-");
  EXPECT_EQ(value_of("never"), "3");
  EXPECT_EQ(service_->stats().items, 1u);
}

TEST_F(Expiry, WhatWasWrittenAgainStays) {
  open();
  Log l = log(0, 0, join(0));
  for (int i = 0; i < 300; ++i) {
    ASSERT_EQ(put_for(&l, "for ever" + std::to_string(i), "old", 1000), Status::kOk);
    ASSERT_EQ(put_for(&l, "touched" + std::to_string(i), "old", 1000), Status::kOk);
  }
  l.merge();
  clock_.advance_ms(1100);
  // The pass has begun and has noted what it will look at: only now come the newer ones.
  service_->poll();
  for (int i = 0; i < 300; ++i) {
    ASSERT_EQ(l.put("for ever" + std::to_string(i), "new"), Status::kOk);
    ASSERT_EQ(put_for(&l, "touched" + std::to_string(i), "new", 1000), Status::kOk);
  }
  l.merge();
  pass(0);
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(value_of("for ever" + std::to_string(i)), "new") << i;
    EXPECT_EQ(value_of("touched" + std::to_string(i)), "new") << i;
  }
  pass(1100);
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(value_of("for ever" + std::to_string(i)), "new");
    EXPECT_EQ(value_of("touched" + std::to_string(i)), "-");
  }
  EXPECT_EQ(service_->stats().items, 300u);
}

TEST_F(Expiry, TheIndexIsReadOnlyWhenSomethingIsDue) {
  open();
  pass(10'000);
  const uint64_t first = service_->stats().expiry_passes;
  EXPECT_EQ(first, 1u) << "after a start it is not known what is due";
  Log l = log(0, 0, join(0));
  for (int i = 0; i < 100; ++i) ASSERT_EQ(l.put("k" + std::to_string(i), "v"), Status::kOk);
  l.merge();
  pass(10'000);
  EXPECT_EQ(service_->stats().expiry_passes, first);
  ASSERT_EQ(put_for(&l, "later", "2", 60'000), Status::kOk);
  l.merge();
  pass(30'000);
  EXPECT_EQ(service_->stats().expiry_passes, first);
  pass(30'101);
  EXPECT_EQ(service_->stats().expiry_passes, first + 1);
  EXPECT_EQ(value_of("later"), "-");
}

TEST_F(Expiry, SpaceComesBackAndARestartForgetsNothing) {
  open();
  const uint64_t when_new = service_->stats().free_bytes;
  const uint32_t incarnation = join(0);
  Log l = log(0, 0, incarnation);
  for (int i = 0; i < 5000; ++i) {
    ASSERT_EQ(put_for(&l, "k" + std::to_string(i), std::string(900, 'x'), 60'000), Status::kOk);
    if (i % 100 == 0) l.merge();
  }
  l.merge();
  ASSERT_EQ(status_of(call(0, control(), incarnation, pool::MailboxOpcode::kDeregister)),
            Status::kOk);
  pass(1000);
  EXPECT_EQ(service_->stats().items, 5000u);
  reopen();
  pass(59'200);
  pass(1000);
  EXPECT_EQ(service_->stats().items, 0u);
  EXPECT_EQ(service_->stats().expired_items, 5000u);
  EXPECT_EQ(service_->stats().free_bytes, when_new);
  reopen();
  EXPECT_EQ(service_->stats().items, 0u);
}

TEST_F(Expiry, GoesOnWhileTheIndexIsResized) {
  options_.index_buckets = 1024;
  open();
  Log l = log(0, 0, join(0));
  for (int i = 0; i < 4000; ++i) {
    const std::string key = "k" + std::to_string(i);
    ASSERT_EQ(i % 2 != 0 ? l.put(key, "stays") : put_for(&l, key, "goes", 1000), Status::kOk);
  }
  l.merge();
  const uint64_t resizes = service_->stats().resize.finished;
  clock_.advance_ms(1100);
  service_->resizer().force(14);
  for (int i = 0; i < 20'000 && service_->stats().expired_items < 2000; ++i) {
    service_->poll();
    if (i % 100 == 0) clock_.advance_ms(1);
  }
  for (int i = 0; i < 20'000 && !service_->resizer().idle(); ++i) service_->poll();
  pass(1000);
  EXPECT_GT(service_->stats().resize.finished, resizes);
  for (int i = 0; i < 4000; ++i) {
    EXPECT_EQ(value_of("k" + std::to_string(i)), i % 2 != 0 ? "stays" : "-") << i;
  }
  EXPECT_EQ(service_->stats().items, 2000u);
}

}  // namespace
}  // namespace dinomo::dpm
