// SPDX-License-Identifier: BSD-3-Clause
// Mutations: once for each (session, sequence), and those whose outcome depends on the item under
// the order of their key:
//
//   hold the key; let what was appended for it become durable; look at the item; decide; append;
//   hold on until that is durable
//
// What fails is appended, too, without a key: the outcome belongs to the session, and a retry gets
// it whoever answers then. So a failure costs what a success costs, one entry in a batch.
#include "common/planted.h"
#include "kn/awaiters.h"
#include "kn/worker.h"

namespace dinomo::kn {

namespace {
constexpr uint32_t kBusyRetryUs = 1000;
constexpr uint32_t kNoPlaceRetryUs = 100'000;  // of a new session
}  // namespace

void Worker::serve_mutation(Request& r) noexcept {
  MutationClaim claim;
  if (r.session != 0) {
    const bool repeated = (r.operation.flags & wire::kRepeated) != 0;
    claim = sessions_.claim(r.session, r.sequence, repeated);
    if (claim.kind != MutationClaim::Kind::kNew) return serve_duplicate(r, claim);
  }
  const Operation& op = r.operation;
  Status status = Status::kNoResource;
  if (deletes_only_ && op.opcode != wire::Opcode::kDelete) {
    // Refused below, or later when there is room again.
  } else if (!is_conditional(op)) {
    const bool held = locks_.holds(r.hash) && !planted("key-not-held");
    if (!held) status = append(r, decide(op, nullptr, {}), claim.cell, false);
    if (ok(status)) stats_.puts.add();
  } else if (locks_.take(r.hash) || planted("key-not-held")) {
    status = start_conditional(r, claim.cell);
    if (!ok(status)) locks_.give(r.hash);
  }
  if (ok(status)) return;
  if (r.session != 0) sessions_.forget(claim.cell, r.session, r.sequence);
  if (pool_full_ && op.opcode != wire::Opcode::kDelete) return refuse(r, wire::Status::kNoSpace);
  defer(r);
}

Status Worker::start_conditional(Request& r, uint32_t session_cell) noexcept {
  Request kept = r;
  if (!retain(&kept)) return Status::kNoResource;
  ++tasks_;
  ++partition(r.routing).busy;
  const wire::Opcode opcode = r.operation.opcode;
  const Task task = run_conditional(kept, session_cell);
  if (!task.started) {
    --tasks_;
    --partition(r.routing).busy;
    drop_reference(kept.retained);
    return Status::kNoResource;
  }
  (opcode == wire::Opcode::kDelete ? stats_.deletes : stats_.conditionals).add();
  return Status::kOk;
}

Task Worker::run_conditional(Request r, uint32_t session_cell) noexcept {
  const uint64_t deadline_ns = now_ns_ + uint64_t{config_.write_wait_us} * 1000;
  bool alive = true;
  if (pending_of(r.hash) != 0) {
    alive = co_await DurableAwaiter(*this, log_->last_lsn());
  }
  wire::Status refusal = wire::Status::kBusy;
  bool concluded = false;
  while (alive) {
    const Looked looked = co_await LookupAwaiter(*this, r);
    if (looked.outcome != Outcome::kFailed) {
      const Item* item = looked.outcome == Outcome::kFound ? &looked.item : nullptr;
      const Decision decision = decide(r.operation, item, scratch_);
      concluded = conclude(r, decision, session_cell);
      if (concluded) break;
      if (r.operation.opcode == wire::Opcode::kDelete) {
        delete_waits_ = true;
      } else if (pool_full_) {
        refusal = wire::Status::kNoSpace;
        break;
      }
    } else if (looked.started) {
      break;  // the pool could not be read
    }
    co_await delays_.until(now_ns_ + 1);
    alive = !detaching_ && now_ns_ < deadline_ns;
  }
  --tasks_;
  --partition(r.routing).busy;
  if (!concluded) {
    locks_.give(r.hash);
    if (r.session != 0) sessions_.forget(session_cell, r.session, r.sequence);
    stats_.refused_busy.add();
    refuse(r, refusal, refusal == wire::Status::kBusy ? kBusyRetryUs : 0);
  }
  drop_reference(r.retained);
}

/// Carries a decision out. False if the log has no room for it now.
bool Worker::conclude(const Request& r, const Decision& decision, uint32_t session_cell) noexcept {
  const bool writes = decision.status == wire::Status::kOk;
  if (deletes_only_ && r.operation.opcode != wire::Opcode::kDelete) return false;
  if (writes || r.session != 0) {
    if (!ok(append(r, decision, session_cell, writes))) return false;
  } else {
    replies_.add(reply_to(r), decision.status);
  }
  if (!writes) locks_.give(r.hash);  // it decided, and later writes may come
  return true;
}

/// What the first execution answered, if that is known by now; or why nobody can tell.
void Worker::serve_duplicate(Request& r, const MutationClaim& claim) noexcept {
  switch (claim.kind) {
    case MutationClaim::Kind::kUnknown: look_up_session(r.session); return defer(r);
    case MutationClaim::Kind::kLost: return refuse(r, wire::Status::kSessionLost);
    case MutationClaim::Kind::kTooOld: return refuse(r, wire::Status::kTooOld);
    case MutationClaim::Kind::kFull:
      stats_.refused_busy.add();
      return refuse(r, wire::Status::kBusy, kNoPlaceRetryUs);
    default: break;
  }
  stats_.duplicates.add();
  if (claim.kind != MutationClaim::Kind::kDone) return;  // the first one will be answered
  const MutationOutcome outcome = sessions_.cell(claim.cell).outcome();
  if (outcome.status != wire::Status::kOk) return refuse(r, outcome.status);
  const wire::VersionExtras version{outcome.version};
  const wire::Opcode opcode = r.operation.opcode;
  if (opcode == wire::Opcode::kIncr || opcode == wire::Opcode::kDecr) {
    replies_.add(reply_to(r), wire::Status::kOk, object_bytes(version),
                 print_number(outcome.result, scratch_));
  } else if (opcode == wire::Opcode::kGetAndTouch) {
    Request kept = r;
    if (!retain(&kept)) return defer(r);
    ++tasks_;
    const Task task = run_repeated_read(kept, version.version);
    if (task.started) return;
    --tasks_;
    drop_reference(kept.retained);
    defer(r);
  } else {
    replies_.add(reply_to(r), wire::Status::kOk, object_bytes(version));
  }
}

/// GET_AND_TOUCH again: the value is that of the entry which the first one made, as long as the key
/// has it. Once it was overwritten, nobody has the answer any more.
Task Worker::run_repeated_read(Request r, uint64_t version) noexcept {
  const Looked looked = co_await LookupAwaiter(*this, r);
  --tasks_;
  if (looked.outcome == Outcome::kFailed) {
    refuse(r, wire::Status::kBusy, kBusyRetryUs);
  } else if (looked.outcome == Outcome::kFound && looked.item.meta.version == version) {
    ReplyTo to = reply_to(r);
    to.flags |= wire::kWantItem;
    reply_value(to, looked.item.value, looked.item.meta);
  } else {
    refuse(r, wire::Status::kTooOld);
  }
  drop_reference(r.retained);
}

}  // namespace dinomo::kn
