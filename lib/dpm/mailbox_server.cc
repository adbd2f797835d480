// SPDX-License-Identifier: BSD-3-Clause
#include "dpm/mailbox_server.h"

#include <algorithm>

#include "common/planted.h"
#include "pool/superblock.h"

namespace dinomo::dpm {

using pool::KnState;
using pool::MailboxOpcode;

MailboxServer::MailboxServer(pool::Space& space, SegmentTable& segments, Directory& directory,
                             CellTable& cells, Clock& clock, Log log)
    : space_(space),
      segments_(segments),
      directory_(directory),
      clock_(clock),
      log_(std::move(log)),
      kn_slots_(space.superblock().kn_slots),
      workers_per_kn_(space.superblock().workers_per_kn),
      cells_(space.superblock().mailbox_cells),
      cell_table_(cells) {}

uint32_t MailboxServer::poll() {
  uint32_t events = 0;
  for (uint32_t slot = 0; slot < kn_slots_; ++slot) {
    events += poll_cells(slot, workers_per_kn_);
    if (!directory_.taken(slot)) continue;  // a fenced KN is to hear that it is
    for (uint32_t w = 0; w < directory_.workers(slot); ++w) events += poll_cells(slot, w);
  }
  for (size_t i = 0; i < pending_.size();) {
    const Answer answer = step(&pending_[i]);
    if (answer.status == Status::kInProgress) {
      ++i;
      continue;
    }
    reply(pending_[i], answer);
    ++events;
    pending_.erase(pending_.begin() + static_cast<ptrdiff_t>(i));
  }
  return events;
}

uint32_t MailboxServer::poll_cells(uint32_t slot, uint32_t worker) {
  uint32_t begun = 0;
  for (uint32_t i = 0; i < cells_; ++i) {
    auto* cell = space_.record<pool::MailboxCell>(
        pool::mailbox_offset(space_.superblock(), slot, worker, i));
    const uint64_t sequence =
        std::atomic_ref<uint64_t>(cell->request.sequence).load(std::memory_order_acquire);
    if (sequence == 0) continue;  // never used
    // A reply that a crash left torn answers nobody.
    const bool answered = planted("torn-reply-answers") ? cell->reply.sequence == sequence
                                                        : pool::answers(cell->reply, sequence);
    if (answered || is_pending(cell)) continue;
    const pool::MailboxLine request = pool::load_mailbox_line(&cell->request);
    if (!pool::mailbox_line_valid(request)) {
      ++counters_.torn;
      continue;
    }
    ++counters_.requests;
    pending_.push_back({request, cell, {}, slot, worker, 0, 0});
    ++begun;
  }
  return begun;
}

bool MailboxServer::is_pending(const pool::MailboxCell* cell) const noexcept {
  return std::ranges::any_of(pending_, [&](const Pending& p) { return p.cell == cell; });
}

MailboxServer::Answer MailboxServer::step(Pending* p) {
  const auto opcode = static_cast<MailboxOpcode>(p->request.opcode);
  const bool control = p->worker == workers_per_kn_;
  if (opcode == MailboxOpcode::kRegister) {
    return control ? step_register(*p) : Answer{Status::kInvalid};
  }
  if (opcode == MailboxOpcode::kDeregister && control) return step_deregister(*p);
  if (!directory_.serves(p->slot, p->request.incarnation)) return {Status::kFenced};
  switch (opcode) {
    case MailboxOpcode::kSegmentGrant: return control ? Answer{Status::kInvalid} : grant(*p);
    case MailboxOpcode::kMergeNow: return step_merge(p);
    case MailboxOpcode::kFenceKn: return control ? step_fence(*p) : Answer{Status::kInvalid};
    case MailboxOpcode::kInstallCell: return control ? install_cell(*p) : Answer{Status::kInvalid};
    case MailboxOpcode::kRemoveCell:
      return {control
                  ? cell_table_.remove(p->request.args[0], pool::GlobalAddress(p->request.args[1]))
                  : Status::kInvalid};
    default: return {Status::kUnsupported};
  }
}

MailboxServer::Answer MailboxServer::step_register(const Pending& p) {
  const uint64_t workers = p.request.args[0];
  if (workers == 0 || workers > workers_per_kn_) return {Status::kInvalid};
  const Status sealed = directory_.seal(p.slot, KnState::kFenced, Directory::Revoke::kEarlier);
  if (!ok(sealed)) return {sealed};
  const bool standby = (p.request.args[1] & kRegisterStandby) != 0;
  const uint32_t incarnation =
      directory_.open_incarnation(p.slot, static_cast<uint32_t>(workers), standby);
  ++counters_.registrations;
  log_("KN slot " + std::to_string(p.slot) + " registered: incarnation " +
       std::to_string(incarnation) + ", " + std::to_string(workers) + " workers" +
       (standby ? ", standby" : ""));
  return {Status::kOk, {incarnation}};
}

MailboxServer::Answer MailboxServer::step_deregister(const Pending& p) {
  // While it is being sealed the slot serves nobody, but this request goes on.
  if (directory_.incarnation(p.slot) != p.request.incarnation) return {Status::kFenced};
  const Status sealed = directory_.seal(p.slot, KnState::kDraining, Directory::Revoke::kNobody);
  if (!ok(sealed)) return {sealed};
  directory_.set_state(p.slot, KnState::kFree);
  log_("KN slot " + std::to_string(p.slot) + " left; its logs are merged");
  return {Status::kOk};
}

MailboxServer::Answer MailboxServer::step_fence(const Pending& p) {
  const uint64_t slot = p.request.args[0];
  if (slot >= kn_slots_ || slot == p.slot) return {Status::kInvalid};
  const auto victim = static_cast<uint32_t>(slot);
  if (directory_.incarnation(victim) > p.request.args[1]) return {Status::kOk};  // sealed since
  if (directory_.incarnation(victim) != p.request.args[1]) return {Status::kInvalid};
  const Status sealed = directory_.seal(victim, KnState::kFenced, Directory::Revoke::kPresent);
  if (!ok(sealed)) return {sealed};
  ++counters_.fences;
  log_("KN slot " + std::to_string(victim) + " fenced; its logs are sealed and merged");
  return {Status::kOk};
}

MailboxServer::Answer MailboxServer::step_merge(Pending* p) {
  const uint64_t first = p->request.args[0];
  const uint64_t count = p->request.args[1];
  const uint64_t logs = directory_.logs().size();
  if (count == 0 || first >= logs || count > logs - first) return {Status::kInvalid};
  const uint64_t lsn = p->request.args[2];
  if (p->goals.empty()) {
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t hinted = directory_.hinted_lsn(static_cast<uint32_t>(first + i));
      p->goals.push_back(lsn != 0 ? lsn : hinted);
    }
  }
  for (; p->at < count; ++p->at) {
    const auto id = static_cast<uint32_t>(first + p->at);
    const Status status = directory_.merge_to(id, p->goals[p->at], &p->attempts);
    if (!ok(status)) return {status};
    p->attempts = 0;
  }
  return {Status::kOk, {directory_.logs()[first]->merged_lsn.load()}};
}

MailboxServer::Answer MailboxServer::grant(const Pending& p) {
  const uint32_t log_id = p.slot * workers_per_kn_ + p.worker;
  LogState& log = *directory_.logs()[log_id];
  const uint64_t sequence = log.granted.load(std::memory_order_relaxed) + 1;
  if (sequence - log.merged_sequence.load(std::memory_order_acquire) > kOpenSegmentsMax) {
    return {Status::kBusy};
  }
  const bool urgent = p.request.args[0] != 0;
  const auto id = segments_.grant({log.id, log.incarnation, sequence, clock_.unix_ms()}, urgent);
  if (!id) {
    ++counters_.grants_refused;
    return {id.error()};
  }
  // Durable before any KN can hear of it: what it writes there must not be given back by recovery.
  auto* record =
      space_.record<pool::LogRecord>(pool::log_record_offset(space_.superblock(), log_id));
  std::atomic_ref<uint64_t>(record->granted_sequence).store(sequence, std::memory_order_release);
  if (!planted("grant-heard-before-durable")) {
    space_.persist().persist(&record->granted_sequence, sizeof record->granted_sequence);
  }
  log.set_open_segment(sequence, *id);
  log.granted.store(sequence, std::memory_order_release);
  ++counters_.grants;
  return {Status::kOk, {segments_.offset(*id), sequence, segments_.header(*id).generation}};
}

MailboxServer::Answer MailboxServer::install_cell(const Pending& p) {
  const auto cell = cell_table_.install(p.request.args[0], p.request.args[1], p.request.args[2]);
  if (!cell) return {cell.error()};
  return {Status::kOk, {cell->word()}};
}

void MailboxServer::reply(const Pending& p, const Answer& answer) {
  const pool::MailboxLine line = pool::make_reply(p.request, answer.status, answer.args);
  pool::store_mailbox_line(&p.cell->reply, line);
  space_.persist().persist(&p.cell->reply, sizeof line);
  if (!ok(answer.status) && answer.status != Status::kNoSpace && answer.status != Status::kBusy) {
    ++counters_.refused;
  }
}

}  // namespace dinomo::dpm
