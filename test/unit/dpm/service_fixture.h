// SPDX-License-Identifier: BSD-3-Clause
// A memory node on a real pool file, and KNs that write into the mapped pool as a fabric would.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dpm/service.h"
#include "log/format.h"
#include "pool/mailbox.h"
#include "test/support/steady_clock.h"
#include "test/unit/dpm/temporary.h"
#include "wire/format.h"

namespace dinomo::test {

class FakeTarget final : public fabric::Target {
 public:
  uint32_t poll() noexcept override { return 0; }
  Status revoke(uint16_t kn_slot) noexcept override {
    revoked.push_back(kn_slot);
    return answer;
  }
  bool connected(uint16_t) noexcept override { return true; }
  std::vector<uint16_t> revoked;
  Status answer = Status::kOk;
};

class ServiceTest : public testing::Test {
 protected:
  // Each gives way to the merge workers, so this bounds a test that hangs, not a slow one.
  static constexpr int kTurnsMax = 1'000'000;

  ~ServiceTest() override { crash(); }

  void open(uint32_t merge_workers = 0) {
    std::string why;
    config_.merge_workers = merge_workers;
    auto pool = dpm::PoolFile::open(options_, &why);
    ASSERT_TRUE(pool) << why;
    pool_ = std::move(*pool);
    auto service = dpm::Service::start(*pool_, clock_, config_, nullptr, &why);
    ASSERT_TRUE(service) << why;
    service_ = std::move(*service);
    service_->serve(target_);
  }
  /// The process dies here; what it stored stays.
  void crash() {
    service_.reset();
    pool_.reset();
  }
  void reopen() {
    crash();
    open();
  }
  void stop() {
    int turns = 0;
    while (!service_->stop()) {
      ASSERT_LT(++turns, kTurnsMax);
      sched_yield();
    }
    crash();
  }
  void poll(int turns = 50) {
    for (int i = 0; i < turns; ++i) service_->poll();
  }
  /// Also lets grace periods pass.
  void settle() {
    poll();
    clock_.advance_ms(1000);
    poll();
  }

  const pool::Superblock& superblock() { return pool_->superblock(); }
  pool::LogRecord& log_record(uint32_t log) {
    return *pool_->record<pool::LogRecord>(pool::log_record_offset(superblock(), log));
  }
  pool::KnSlot& kn_slot(uint32_t slot) {
    return *pool_->record<pool::KnSlot>(pool::kn_slot_offset(superblock(), slot));
  }
  pool::MailboxCell& cell(uint32_t slot, uint32_t worker, uint32_t n = 0) {
    return *pool_->record<pool::MailboxCell>(pool::mailbox_offset(superblock(), slot, worker, n));
  }
  uint32_t control() { return superblock().workers_per_kn; }

  void post(uint32_t slot, uint32_t worker, uint32_t incarnation, pool::MailboxOpcode opcode,
            std::array<uint64_t, 5> args) {
    pool::store_mailbox_line(&cell(slot, worker).request,
                             pool::make_request(++sequence_, incarnation, opcode, args));
  }
  pool::MailboxLine call(uint32_t slot, uint32_t worker, uint32_t incarnation,
                         pool::MailboxOpcode opcode, std::array<uint64_t, 5> args = {}) {
    post(slot, worker, incarnation, opcode, args);
    for (int i = 0; i < kTurnsMax; ++i) {
      service_->poll();
      const pool::MailboxLine reply = pool::load_mailbox_line(&cell(slot, worker).reply);
      if (pool::answers(reply, sequence_)) return reply;
      sched_yield();
    }
    ADD_FAILURE() << "no reply";
    return {};
  }
  static Status status_of(const pool::MailboxLine& reply) {
    return static_cast<Status>(reply.status);
  }

  /// The address that the index has for a key, 0 if none.
  pool::GlobalAddress find(const std::string& key) {
    const auto found =
        service_->index().find(key_hash(as_bytes(key), superblock().hash_seed), as_bytes(key));
    return found ? *found : pool::GlobalAddress();
  }
  /// The value that a reader gets, "-" if the key is absent.
  std::string value_of(const std::string& key) {
    const pool::GlobalAddress a = find(key);
    if (!a) return "-";
    log::Entry e;
    const Bytes bytes(pool_->at(a.offset_bytes()), a.length_bytes());
    if (log::parse_entry_low8(bytes, a.generation(), &e) != log::EntryCheck::kValid ||
        as_text(e.key) != key) {
      return "(broken)";
    }
    return std::string(as_text(e.value));
  }

  TemporaryDirectory directory_;
  dpm::ServiceConfig config_{.reclaim_grace_ms = 50, .reserve_segments = 2};
  dpm::PoolOptions options_ = small_pool(directory_.file("pool"));
  HandClock clock_;
  FakeTarget target_;
  std::unique_ptr<dpm::PoolFile> pool_;
  std::unique_ptr<dpm::Service> service_;
  uint64_t sequence_ = 0;

  /// One KN worker with its log, as lib/log's writer keeps it.
  struct Log {
    ServiceTest* test;
    uint32_t slot;
    uint32_t worker;
    uint32_t incarnation;
    uint64_t next_lsn = 0;
    uint64_t offset = 0;  // of the segment, 0 none
    uint64_t sequence = 0;
    uint32_t generation = 0;
    uint64_t used = 0;

    uint32_t id() const { return slot * test->superblock().workers_per_kn + worker; }

    Status grant(bool urgent = false) {
      const auto reply = test->call(slot, worker, incarnation, pool::MailboxOpcode::kSegmentGrant,
                                    {urgent ? 1u : 0u});
      if (status_of(reply) != Status::kOk) return status_of(reply);
      offset = reply.args[0];
      sequence = reply.args[1];
      generation = static_cast<uint32_t>(reply.args[2]);
      used = sizeof(pool::SegmentHeader);
      return Status::kOk;
    }
    Status append(log::Op op, const std::string& key, const std::string& value,
                  log::EntryFields fields = {}) {
      const uint64_t bytes = log::entry_bytes(key.size(), value.size());
      const uint64_t size = test->superblock().segment_bytes;
      if (offset == 0 || used + bytes > size) {
        if (offset != 0 && used + 64 <= size) write(log::Op::kEnd, "", "", {});
        offset = 0;
        hint();
        const Status s = grant(op == log::Op::kDelete);
        if (!ok(s)) return s;
      }
      write(op, key, value, fields);
      return Status::kOk;
    }
    void write(log::Op op, const std::string& key, const std::string& value,
               log::EntryFields fields) {
      fields.lsn = next_lsn++;
      fields.generation = generation;
      fields.log_id = static_cast<uint16_t>(id());
      fields.op = op;
      used +=
          log::build_entry(test->pool_->at(offset + used), fields, as_bytes(key), as_bytes(value));
    }
    /// The doorbell.
    void hint() {
      pool::LogRecord& r = test->log_record(id());
      r.tail_incarnation = incarnation;
      std::atomic_ref<uint64_t>(r.tail_lsn).store(next_lsn - 1, std::memory_order_release);
    }
    Status put(const std::string& key, const std::string& value) {
      return append(log::Op::kPut, key, value);
    }
    Status remove(const std::string& key) { return append(log::Op::kDelete, key, ""); }
    void merge() {
      hint();
      for (int i = 0; i < ServiceTest::kTurnsMax; ++i) {
        test->service_->poll();
        if (std::atomic_ref<uint64_t>(test->log_record(id()).merged_lsn)
                .load(std::memory_order_acquire) >= next_lsn - 1) {
          return;
        }
        sched_yield();
      }
      ADD_FAILURE() << "not merged";
    }
  };

  uint32_t join(uint32_t slot, uint32_t workers = 2) {
    const auto reply = call(slot, control(), 0, pool::MailboxOpcode::kRegister, {workers});
    EXPECT_EQ(status_of(reply), Status::kOk);
    return static_cast<uint32_t>(reply.args[0]);
  }
  Log log(uint32_t slot, uint32_t worker, uint32_t incarnation) {
    Log l{this, slot, worker, incarnation};
    l.next_lsn = log_record(l.id()).merged_lsn + 1;
    return l;
  }
};

}  // namespace dinomo::test
