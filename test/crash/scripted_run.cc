// SPDX-License-Identifier: BSD-3-Clause
#include "test/crash/scripted_run.h"

#include "pool/superblock.h"
#include "wire/format.h"

namespace dinomo::test {

namespace {

constexpr uint64_t kPoolBytes = uint64_t{512} << 10;
constexpr uint64_t kIndexBuckets = 8;  // fewer slots than keys: chains
constexpr uint64_t kOverflowBuckets = 24;
constexpr uint64_t kValueBytesMax = 600;
constexpr uint64_t kTideSteps = 80;  // most are puts, then most are deletes
constexpr uint64_t kTtlMsMax = 400;
constexpr uint64_t kStopTurnsMax = 10'000;

uint64_t with_opcode(wire::Opcode opcode, uint64_t sequence) {
  return static_cast<uint64_t>(opcode) << 56 | sequence;
}

}  // namespace

ScriptedRun::ScriptedRun(const RunOptions& options)
    : options_(options), random_(options.seed), space_(kPoolBytes), node_{space_} {
  space_.format(kIndexBuckets, kOverflowBuckets);
  recorder_ =
      std::make_unique<Recorder>(space_, options.bounds, options.seed, Judge(oracle_, space_));
  node_.recorder = recorder_.get();
  oracle_.clock = &node_.clock;
  kns_.reserve(kLogs);
  for (uint32_t log = 0; log < kLogs; ++log) {
    staging_[log].resize(4 * log::kEntryBytesMax);
    kns_.emplace_back(node_, log, staging_[log]);
  }
}

bool ScriptedRun::finished() const {
  return recorder_->points() >= options_.points || !recorder_->failure().empty() ||
         !trouble_.empty();
}

void ScriptedRun::fail(const std::string& what) {
  if (trouble_.empty()) trouble_ = what;
}

void ScriptedRun::run() {
  restart(/*orderly=*/false);
  for (uint32_t log = 0; log < kLogs && !finished(); ++log) rejoin(log, false);
  while (!finished()) step();
}

/// So that the index shrinks, too.
bool ScriptedRun::ebb() const { return steps_ % (3 * kTideSteps) >= 2 * kTideSteps; }

void ScriptedRun::step() {
  ++steps_;
  const auto log = static_cast<uint32_t>(random_() % kLogs);
  const uint64_t what = random_() % 200;
  if (what < 2) {
    ++deaths_;
    for (uint64_t i = random_() % 4; i > 0; --i) append(log);
    kns_[log].die(random_);
    rejoin(log, false);
  } else if (what == 2) {
    rejoin(log, true);
  } else if (what < 5) {
    restart(what == 3);
  } else {
    batch(log);
    node_.turn(random_() % 4);
  }
  note();
}

void ScriptedRun::note() {
  const dpm::ServiceStats s = node_.service->stats();
  reclaimed_ += s.segments.reclaimed != 0 ? 1 : 0;
  compacted_ = std::max(compacted_, s.compacted_entries);
  expired_ = std::max(expired_, s.expired_items);
  shrinks_ += s.index_buckets < buckets_ ? 1 : 0;
  buckets_ = s.index_buckets;
  buckets_max_ = std::max(buckets_max_, s.index_buckets);
  overflow_max_ = std::max(overflow_max_, s.overflow_used);
}

bool ScriptedRun::append(uint32_t log) {
  LogOracle& o = oracle_.logs[log];
  Written w;
  w.key = static_cast<uint32_t>(random_() % kKeysPerLog);
  const uint64_t kind = random_() % 8;
  const uint64_t deletes = ebb() ? 7 : 2;
  w.op = kind == 0 ? log::Op::kOutcome : kind <= deletes ? log::Op::kDelete : log::Op::kPut;
  if (w.op == log::Op::kPut) {
    w.value = std::to_string(++next_value_);
    w.value.resize(w.value.size() + random_() % kValueBytesMax, '.');
    if (random_() % 4 == 0) w.expiry_ms = node_.clock.unix_ms() + random_() % kTtlMsMax;
  }
  log::EntryFields fields;
  fields.op = w.op;
  fields.expiry_ms = w.expiry_ms;
  if (w.op == log::Op::kOutcome || random_() % 2 == 0) {
    const uint32_t n = static_cast<uint32_t>(random_() % kSessionsPerLog);
    w.session = session_name(log, n);
    w.sequence = with_opcode(wire::Opcode::kPut, ++sequences_[log][n]);
    if (w.op == log::Op::kOutcome) w.outcome = static_cast<uint8_t>(wire::Status::kExists);
    fields.session = w.session;
    fields.sequence = w.sequence;
    fields.outcome = w.outcome;
  }
  const auto lsn = kns_[log].append(
      fields, w.op == log::Op::kOutcome ? std::string() : key_name(log, w.key), w.value);
  if (!lsn) {
    fail(std::string("a write is refused: ") + status_name(lsn.error()));
    return false;
  }
  for (const log::SegmentGrant& g : kns_[log].grants) oracle_.generations[g.offset] = g.generation;
  kns_[log].grants.clear();
  w.lsn = *lsn;
  o.writes.push_back(std::move(w));
  o.issued = *lsn;
  return true;
}

void ScriptedRun::batch(uint32_t log) {
  const uint64_t size = 1 + random_() % 6;
  for (uint64_t i = 0; i < size; ++i) {
    if (!append(log)) return;
  }
  kns_[log].commit(random_() % 3);
  acknowledge(log);
}

void ScriptedRun::acknowledge(uint32_t log) {
  oracle_.logs[log].acknowledged = kns_[log].durable_lsn();
}

void ScriptedRun::rejoin(uint32_t log, bool orderly) {
  if (orderly) {
    if (const Status s = kns_[log].leave(); !ok(s)) {
      return fail(std::string("a KN cannot leave: ") + status_name(s));
    }
    acknowledge(log);
    node_.turn(3);
  }
  if (const Status s = kns_[log].join(); !ok(s)) {
    return fail(std::string("a KN cannot join: ") + status_name(s));
  }
  const uint64_t merged = kns_[log].merged_lsn();
  LogOracle& o = oracle_.logs[log];
  if (merged < o.acknowledged) return fail("joining again loses acknowledged writes");
  for (const Written& w : o.writes) {
    if (w.lsn <= merged || w.session == 0) continue;
    uint64_t& last = sequences_[log][w.session - session_name(log, 0)];
    last = std::min(last, (w.sequence & (with_opcode(wire::Opcode{1}, 0) - 1)) - 1);
  }
  o.forget_after(merged);
}

void ScriptedRun::restart(bool orderly) {
  if (orderly) {
    uint64_t turns = 0;
    while (!node_.service->stop() && ++turns < kStopTurnsMax) {
    }
  }
  ++restarts_;
  std::string why;
  if (const Status s = node_.start(&why); !ok(s)) fail("the node does not start: " + why);
}

}  // namespace dinomo::test
