// SPDX-License-Identifier: BSD-3-Clause
// One KN with one worker: the product's LogWriter over a fabric whose every step is recorded.
// Turned by hand, like the service beside it.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "dpm/service.h"
#include "log/log_writer.h"
#include "test/crash/oracle.h"
#include "test/crash/recorder.h"
#include "test/support/steady_clock.h"

namespace dinomo::test {

/// Access is taken away in no time: nothing of a revoked KN is under way here.
class ReadyTarget final : public fabric::Target {
 public:
  uint32_t poll() noexcept override { return 0; }
  Status revoke(uint16_t) noexcept override { return Status::kOk; }
  bool connected(uint16_t) noexcept override { return true; }
};

/// A memory node that can be started, turned, and lost.
struct Node {
  ImageSpace& space;
  Recorder* recorder = nullptr;  // none: writes are durable at once
  HandClock clock{};
  ReadyTarget target{};
  std::unique_ptr<dpm::Service> service{};
  uint64_t requests = 0;  // sequence of the newest mailbox request

  Status start(std::string* why);
  void turn(uint32_t turns = 1);
};

class RecordedQueue final : public fabric::Queue {
 public:
  explicit RecordedQueue(Node& node) : node_(node) {}

  Status post_read(uint64_t offset, MutableBytes to, fabric::Purpose purpose,
                   fabric::Completion* completion) noexcept override;
  Status post_write(uint64_t offset, Bytes from, fabric::WriteOptions options,
                    fabric::Purpose purpose, fabric::Completion* completion) noexcept override;
  Status post_compare_swap(uint64_t, uint64_t, uint64_t, uint64_t*, fabric::Purpose,
                           fabric::Completion*) noexcept override {
    return Status::kUnsupported;
  }
  Status post_fetch_add(uint64_t, uint64_t, uint64_t*, fabric::Purpose,
                        fabric::Completion*) noexcept override {
    return Status::kUnsupported;
  }
  void flush() noexcept override {}
  /// All writes land, in order; the node may turn while they are visible and not yet durable.
  /// Then they become durable and complete.
  uint32_t poll(uint32_t turns_between) noexcept override;
  uint32_t in_flight() const noexcept override { return static_cast<uint32_t>(writes_.size()); }

  /// The KN dies: some writes landed, the next one in part, no other one ever will.
  void die(std::mt19937_64& random);

 private:
  struct Write {
    uint64_t offset;
    std::vector<std::byte> bytes;
    bool persistent;
    fabric::Completion* completion;
  };
  void land(uint64_t offset, Bytes bytes);

  Node& node_;
  std::deque<Write> writes_;
};

class MiniKn {
 public:
  MiniKn(Node& node, uint32_t slot, MutableBytes staging);

  /// Joins, or joins again; its log goes on after what was merged.
  Status join();
  Status leave();
  /// Appends; commits, completes and asks for segments as needed. The LSN.
  Result<uint64_t> append(log::EntryFields fields, const std::string& key,
                          const std::string& value);
  void commit(uint32_t turns_between);
  void die(std::mt19937_64& random) { queue_.die(random); }

  uint64_t durable_lsn() const { return writer_->durable_lsn(); }
  uint64_t last_lsn() const { return writer_->last_lsn(); }
  uint64_t merged_lsn() { return record().merged_lsn; }
  /// Turns until everything is merged; false if that takes too long.
  bool merge();
  /// Segments that were granted, to be taken by the oracle.
  std::vector<log::SegmentGrant> grants;

 private:
  pool::LogRecord& record();
  Result<pool::MailboxLine> call(uint32_t worker, pool::MailboxOpcode opcode,
                                 const std::array<uint64_t, 5>& args);
  Status ask_for_segment(bool urgent);

  Node& node_;
  const uint32_t slot_;
  MutableBytes staging_;
  RecordedQueue queue_;
  uint32_t incarnation_ = 0;
  std::unique_ptr<log::LogWriter> writer_;
};

}  // namespace dinomo::test
