// SPDX-License-Identifier: BSD-3-Clause
#include "test/crash/mini_kn.h"

#include <cstring>

#include "pool/mailbox.h"
#include "pool/superblock.h"

namespace dinomo::test {

namespace {

constexpr uint32_t kTurnsMax = 2000;
constexpr uint64_t kTurnMs = 2;

}  // namespace

Status Node::start(std::string* why) {
  service.reset();
  auto started = dpm::Service::start(space, clock,
                                     {.merge_workers = 0,
                                      .reclaim_grace_ms = 20,
                                      .reserve_segments = 2,
                                      .index_grace_ms = 200,
                                      .compact_below_percent = 100,
                                      .expiry_grace_ms = kExpiryGraceMs},
                                     nullptr, why);
  if (!started) return started.error();
  service = std::move(*started);
  service->serve(target);
  return Status::kOk;
}

void Node::turn(uint32_t turns) {
  for (uint32_t i = 0; i < turns; ++i) {
    clock.advance_ms(kTurnMs);
    service->poll();
  }
}

Status RecordedQueue::post_read(uint64_t offset, MutableBytes to, fabric::Purpose,
                                fabric::Completion* completion) noexcept {
  std::memcpy(to.data(), node_.space.at(offset), to.size());
  completion->callback(completion, Status::kOk);
  return Status::kInProgress;
}

Status RecordedQueue::post_write(uint64_t offset, Bytes from, fabric::WriteOptions options,
                                 fabric::Purpose, fabric::Completion* completion) noexcept {
  writes_.push_back({offset, {from.begin(), from.end()}, options.persistent, completion});
  return Status::kInProgress;
}

void RecordedQueue::land(uint64_t offset, Bytes bytes) {
  if (node_.recorder != nullptr) {
    node_.recorder->remote_write(offset, bytes);
  } else {
    std::memcpy(node_.space.at(offset), bytes.data(), bytes.size());
  }
}

uint32_t RecordedQueue::poll(uint32_t turns_between) noexcept {
  for (const Write& w : writes_) land(w.offset, w.bytes);
  node_.turn(turns_between);
  const auto done = static_cast<uint32_t>(writes_.size());
  while (!writes_.empty()) {
    const Write w = std::move(writes_.front());
    writes_.pop_front();
    if (w.persistent && node_.recorder != nullptr) {
      node_.recorder->remote_durable(w.offset, w.bytes.size());
    }
    if (w.completion != nullptr) w.completion->callback(w.completion, Status::kOk);
  }
  return done;
}

void RecordedQueue::die(std::mt19937_64& random) {
  const size_t whole = writes_.empty() ? 0 : random() % (writes_.size() + 1);
  for (size_t i = 0; i < whole; ++i) land(writes_[i].offset, writes_[i].bytes);
  if (whole < writes_.size()) {
    const Write& w = writes_[whole];
    std::vector<std::byte> torn(w.bytes);
    std::memcpy(torn.data(), node_.space.at(w.offset), torn.size());
    for (size_t at = 0; at + 8 <= torn.size(); at += 8) {
      if (random() % 2 == 0) std::memcpy(torn.data() + at, w.bytes.data() + at, 8);
    }
    land(w.offset, torn);
  }
  writes_.clear();
}

MiniKn::MiniKn(Node& node, uint32_t slot, MutableBytes staging)
    : node_(node), slot_(slot), staging_(staging), queue_(node) {}

pool::LogRecord& MiniKn::record() {
  return *node_.space.record<pool::LogRecord>(
      pool::log_record_offset(node_.space.superblock(), slot_));
}

Result<pool::MailboxLine> MiniKn::call(uint32_t worker, pool::MailboxOpcode opcode,
                                       const std::array<uint64_t, 5>& args) {
  const uint64_t at = pool::mailbox_offset(node_.space.superblock(), slot_, worker, 0);
  const auto request = pool::make_request(++node_.requests, incarnation_, opcode, args);
  queue_.post_write(at, object_bytes(request), {}, fabric::Purpose::kMailbox, nullptr);
  queue_.poll(0);
  for (uint32_t i = 0; i < kTurnsMax; ++i) {
    node_.turn();
    const auto reply = pool::load_mailbox_line(&node_.space.record<pool::MailboxCell>(at)->reply);
    if (!pool::answers(reply, node_.requests)) continue;
    if (!ok(static_cast<Status>(reply.status))) {
      return std::unexpected(static_cast<Status>(reply.status));
    }
    return reply;
  }
  return std::unexpected(Status::kTimeout);
}

Status MiniKn::join() {
  const auto reply =
      call(node_.space.superblock().workers_per_kn, pool::MailboxOpcode::kRegister, {1});
  if (!reply) return reply.error();
  incarnation_ = static_cast<uint32_t>(reply->args[0]);
  const pool::Superblock& s = node_.space.superblock();
  log::LogWriterConfig config;
  config.node_id = static_cast<uint8_t>(s.node_id);
  config.log_id = static_cast<uint16_t>(slot_);
  config.incarnation = incarnation_;
  config.first_lsn = record().merged_lsn + 1;
  config.segment_bytes = s.segment_bytes;
  config.log_record_offset = pool::log_record_offset(s, slot_);
  writer_ = std::make_unique<log::LogWriter>(config, &queue_, staging_);
  return Status::kOk;
}

Status MiniKn::leave() {
  commit(0);
  const auto reply =
      call(node_.space.superblock().workers_per_kn, pool::MailboxOpcode::kDeregister, {});
  return reply ? Status::kOk : reply.error();
}

Status MiniKn::ask_for_segment(bool urgent) {
  const auto reply = call(0, pool::MailboxOpcode::kSegmentGrant, {urgent ? 1u : 0u});
  if (!reply) return reply.error();
  const log::SegmentGrant grant{reply->args[0], reply->args[1],
                                static_cast<uint32_t>(reply->args[2])};
  grants.push_back(grant);
  writer_->add_segment(grant);
  return Status::kOk;
}

Result<uint64_t> MiniKn::append(log::EntryFields fields, const std::string& key,
                                const std::string& value) {
  Status last = Status::kTimeout;
  for (uint32_t i = 0; i < kTurnsMax; ++i) {
    writer_->note_merged(record().merged_sequence);
    if (writer_->wants_segment()) {
      last = ask_for_segment(fields.op == log::Op::kDelete);
      if (last != Status::kOk && last != Status::kNoSpace && last != Status::kBusy) break;
    }
    const auto appended = writer_->append(fields, as_bytes(key), as_bytes(value));
    if (appended) return appended->lsn;
    commit(1);
  }
  return std::unexpected(last);
}

void MiniKn::commit(uint32_t turns_between) {
  if (writer_ == nullptr) return;
  writer_->commit();
  queue_.poll(turns_between);
  writer_->release_durable();
  if (turns_between != 0) node_.turn();
}

bool MiniKn::merge() {
  commit(0);
  for (uint32_t i = 0; i < kTurnsMax; ++i) {
    if (record().merged_lsn >= last_lsn()) return true;
    node_.turn();
  }
  return false;
}

}  // namespace dinomo::test
