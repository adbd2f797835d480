// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include "pool/sessions.h"
#include "test/unit/dpm/service_fixture.h"

namespace dinomo::dpm {
namespace {

using log::Op;
using pool::kSessionProbe;
using pool::session_home;
using test::ServiceTest;

TEST_F(ServiceTest, OutcomesOfSessionsReachTheSessionTable) {
  open();
  Log l = log(0, 0, join(0));
  const auto op = [](wire::Opcode o, uint64_t sequence) {
    return static_cast<uint64_t>(o) << 56 | sequence;
  };
  constexpr uint64_t kSession = 0xabcdef;
  ASSERT_EQ(
      l.append(Op::kPut, "a", "1", {.session = kSession, .sequence = op(wire::Opcode::kPut, 1)}),
      Status::kOk);
  ASSERT_EQ(l.append(Op::kOutcome, "", "",
                     {.outcome = static_cast<uint8_t>(wire::Status::kExists),
                      .session = kSession,
                      .sequence = op(wire::Opcode::kAdd, 2)}),
            Status::kOk);
  ASSERT_EQ(
      l.append(Op::kPut, "n", "41", {.session = kSession, .sequence = op(wire::Opcode::kIncr, 3)}),
      Status::kOk);
  l.merge();
  const auto& s = superblock();
  const pool::SessionRecord* found = nullptr;
  for (uint32_t i = 0; i < kSessionProbe; ++i) {
    const uint32_t slot = (session_home(kSession, s.session_count) + i) % s.session_count;
    const auto* r = pool_->record<pool::SessionRecord>(
        s.sessions_offset + slot * pool::session_bytes(s.session_window));
    if (r->session == kSession) found = r;
  }
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->checksum, checksum64(object_bytes(*found).first(56)));
  const auto* cells = reinterpret_cast<const pool::OutcomeCell*>(found + 1);
  EXPECT_EQ(cells[1].version, log::item_version(0, 1));
  EXPECT_EQ(cells[1].opcode, static_cast<uint8_t>(wire::Opcode::kPut));
  EXPECT_EQ(cells[2].status, static_cast<uint8_t>(wire::Status::kExists));
  EXPECT_EQ(cells[2].version, 0u);
  EXPECT_EQ(cells[3].result, 41u);
  for (int i = 1; i <= 3; ++i) {
    EXPECT_EQ(cells[i].sequence, static_cast<uint64_t>(i));
    EXPECT_EQ(cells[i].check, static_cast<uint32_t>(checksum64(object_bytes(cells[i]).first(28))));
  }
  EXPECT_EQ(value_of("a"), "1");
}

TEST_F(ServiceTest, ManySessionsEvictTheLeastRecentlyActive) {
  open();
  Log l = log(0, 0, join(0));
  for (uint64_t session = 1; session <= 200; ++session) {
    ASSERT_EQ(
        l.append(Op::kPut, "k", "v", {.session = session, .sequence = uint64_t{32} << 56 | 1}),
        Status::kOk);
    l.merge();
    clock_.advance_ms(5);
  }
  EXPECT_GE(service_->stats().session_evictions, 200u - superblock().session_count);
}

/// What a KN finds that looks for a session in the pool.
pool::SessionProbe::Step look_for(pool::Space& space, uint64_t session) {
  const pool::Superblock& s = space.superblock();
  pool::SessionProbe probe(s, session);
  for (;;) {
    const auto* r = space.record<pool::SessionRecord>(pool::session_offset(s, probe.record()));
    const pool::SessionProbe::Step step = probe.look(*r);
    if (step != pool::SessionProbe::Step::kGoOn) return step;
  }
}

TEST_F(ServiceTest, ASessionThatGaveWayIsNeverTakenForANewOne) {
  using Step = pool::SessionProbe::Step;
  open();
  Log l = log(0, 0, join(0));
  uint64_t births = 0;
  const auto born_at = [&](uint32_t home) {
    for (;;) {
      const uint64_t id = ++births << 24 | 1;
      if (session_home(id, superblock().session_count) == home) return id;
    }
  };
  const auto run = [&](uint64_t session, uint64_t sequence) {
    ASSERT_EQ(l.append(Op::kPut, "k", "v",
                       {.session = session, .sequence = uint64_t{32} << 56 | sequence}),
              Status::kOk);
    l.merge();
    clock_.advance_ms(5);
  };
  // The first one's own records are not all in use when those before its home are, so it gives way
  // to a session from there.
  const uint64_t first = born_at(kSessionProbe / 2);
  run(first, 1);
  EXPECT_EQ(look_for(*pool_, first), Step::kFound);
  while (service_->stats().session_evictions == 0) {
    const uint64_t session = born_at(0);
    EXPECT_EQ(look_for(*pool_, session), Step::kNever);
    run(session, 1);
    EXPECT_EQ(look_for(*pool_, session), Step::kFound);
  }
  EXPECT_EQ(look_for(*pool_, first), Step::kForgotten);
  // It comes back: its later mutations have outcomes again, its earlier ones have none.
  run(first, 2);
  EXPECT_EQ(look_for(*pool_, first), Step::kForgotten);
  EXPECT_EQ(look_for(*pool_, born_at(kSessionProbe / 2)), Step::kNever);
}

}  // namespace
}  // namespace dinomo::dpm
