// SPDX-License-Identifier: BSD-3-Clause
#include "world/fencer.h"

#include <cstring>

namespace dinomo::world {

namespace {

using fabric::Purpose;

constexpr uint64_t kPollNs = 200'000;
constexpr uint32_t kLooksMax = 5000;  // at a reply, a second of them
constexpr uint64_t kIdleNs = 100'000;
constexpr size_t kReplyAt = 64;
constexpr size_t kReadAt = 128;

}  // namespace

Fencer::Fencer(Environment* environment, std::string dpm, uint16_t own_slot)
    : environment_(environment),
      dpm_(std::move(dpm)),
      own_slot_(own_slot),
      frames_(1, 4096),
      memory_(kReadAt + sizeof(pool::Superblock) + sizeof(pool::KnSlot)) {}

Fencer::~Fencer() = default;

void Fencer::fence(uint16_t victim, std::function<void(bool)> done) {
  if (busy()) return;
  victim_ = victim;
  done_ = std::move(done);
  ended_ = fenced_ = running_ = false;
  if (lcore_) {
    lcore_->wake();
    return;
  }
  lcore_ = std::make_unique<Lcore>(
      &environment_->loop, &environment_->fabric, LcoreCosts{}, [this] { return turn(); },
      [this] { return busy() ? kIdleNs : kIdleNs * 10'000; });
}

bool Fencer::connect() {
  std::string why;
  auto fabric = fabric::find_driver("sim")->connect({.target = dpm_, .kn_slot = own_slot_}, &why);
  if (!fabric) return false;
  fabric_ = std::move(*fabric);
  auto queue = fabric_->open_queue({});
  if (!queue) return false;
  queue_ = std::move(*queue);
  return true;
}

uint32_t Fencer::turn() {
  if (!busy()) return 0;
  if (!running_) {
    if (!connect()) {
      end(false);
      return 1;
    }
    running_ = true;
    const kn::Task task = run();
    if (!task.started) end(false);
    return 1;
  }
  queue_->flush();
  uint32_t work = queue_->poll(16);
  work += delays_.resume(environment_->loop.now_ns(), false);
  if (ended_ && queue_->in_flight() == 0) end(fenced_);
  return work;
}

void Fencer::end(bool fenced) {
  queue_.reset();
  fabric_.reset();
  running_ = false;
  const auto done = std::move(done_);
  done_ = nullptr;
  done(fenced);
}

Bytes Fencer::request(pool::MailboxOpcode opcode, uint32_t incarnation,
                      const std::array<uint64_t, 5>& args) {
  sequence_ = std::max(sequence_ + 1, environment_->loop.now_ns() + 1);
  store(memory_.data(), pool::make_request(sequence_, incarnation, opcode, args));
  return Bytes(memory_).first(sizeof(pool::MailboxLine));
}

/// Registers as a standby, looks the victim's incarnation up, and has it fenced.
kn::Task Fencer::run() {
  constexpr uint64_t kStandby = 1;
  fabric::Queue& queue = *queue_;
  const MutableBytes read_to = MutableBytes(memory_).subspan(kReadAt);
  const MutableBytes reply_to = MutableBytes(memory_).subspan(kReplyAt, sizeof(pool::MailboxLine));
  Status status = co_await kn::read(queue, fabric_->remote().superblock_offset,
                                    read_to.first(sizeof superblock_), Purpose::kControl);
  superblock_ = load<pool::Superblock>(read_to.data());
  uint32_t incarnation = 0;
  for (const bool registering : {true, false}) {
    uint64_t victim_incarnation = 0;
    if (ok(status) && !registering) {
      const uint64_t at = pool::kn_slot_offset(superblock_, victim_);
      status = co_await kn::read(queue, at, read_to.first(sizeof(pool::KnSlot)), Purpose::kControl);
      victim_incarnation = load<pool::KnSlot>(read_to.data()).incarnation;
    }
    if (!ok(status)) break;
    const uint64_t cell =
        pool::mailbox_offset(superblock_, own_slot_, superblock_.workers_per_kn, 0);
    const Bytes line = registering
                           ? request(pool::MailboxOpcode::kRegister, 0, {1, kStandby, 0, 0, 0})
                           : request(pool::MailboxOpcode::kFenceKn, incarnation,
                                     {victim_, victim_incarnation, 0, 0, 0});
    const uint64_t sequence = sequence_;
    status = co_await kn::write(queue, cell, line, {}, Purpose::kMailbox);
    pool::MailboxLine reply{};
    for (uint32_t look = 0; ok(status); ++look) {
      status = co_await kn::read(queue, cell + offsetof(pool::MailboxCell, reply), reply_to,
                                 Purpose::kMailbox);
      reply = load<pool::MailboxLine>(reply_to.data());
      if (ok(status) && pool::answers(reply, sequence)) break;
      co_await delays_.until(environment_->loop.now_ns() + kPollNs);
      if (look == kLooksMax || !fabric_->alive()) status = Status::kTimeout;
    }
    if (ok(status)) status = static_cast<Status>(reply.status);
    incarnation = static_cast<uint32_t>(reply.args[0]);
  }
  fenced_ = ok(status);
  ended_ = true;
}

}  // namespace dinomo::world
