// SPDX-License-Identifier: BSD-3-Clause
#include "test/crash/judge.h"

#include "dpm/check/pool_check.h"
#include "dpm/session_table.h"
#include "pool/mailbox.h"
#include "pool/superblock.h"
#include "wire/format.h"

namespace dinomo::test {

namespace {

constexpr uint64_t kMuchLaterMs = 1000;
constexpr uint32_t kSequenceBits = 56;
constexpr uint32_t kKeysAfter = 20;   // of each log, written after the crash
constexpr uint32_t kOverwritten = 3;  // of them, that the run wrote too

std::string number(uint64_t n) { return std::to_string(n); }

}  // namespace

Judge::Judge(const Oracle& oracle, ImageSpace& live) : oracle_(oracle), live_(live) {
  for (auto& staging : staging_) staging.resize(4 * log::kEntryBytesMax);
}

std::string Judge::operator()(ImageSpace& image) {
  Node node{image};
  node.requests = uint64_t{1} << 40;
  node.clock.now = oracle_.clock->now.load();
  image_ = &image;
  node_ = &node;
  std::string why;
  if (const Status s = node.start(&why); !ok(s)) return "recovery fails: " + why;
  for (auto step : {&Judge::recovered, &Judge::checked, &Judge::counters, &Judge::grants_kept,
                    &Judge::requests_answered, &Judge::serves, &Judge::as_free_as_new}) {
    std::string wrong = (this->*step)();
    if (!wrong.empty()) return wrong;
  }
  if (const Status s = node.start(&why); !ok(s)) return "second recovery fails: " + why;
  return as_free_as_new();
}

std::string Judge::recovered() {
  const dpm::RecoveryReport& report = node_->service->recovery();
  if (report.slots_discarded != 0) return "a slot refers to no entry";
  if (report.links_cut != 0) return "a chain is broken";
  if (report.damage != 0) return "recovery takes what a crash left for damage";
  const pool::TableRef table(
      image_->record<pool::IndexRoot>(image_->superblock().index_root_offset)->current);
  for (uint64_t b = 0; b < table.buckets(); ++b) {
    const auto* head =
        image_->record<index::Bucket>(table.offset_bytes() + b * sizeof(index::Bucket));
    if ((head->header & index::kLockBit) != 0) return "a bucket is locked for ever";
  }
  for (uint32_t log = 0; log < kLogs; ++log) {
    const LogOracle& o = oracle_.logs[log];
    const uint64_t lsn =
        image_->record<pool::LogRecord>(pool::log_record_offset(image_->superblock(), log))
            ->merged_lsn;
    if (lsn < o.acknowledged || lsn > o.issued) {
      return "log " + number(log) + " ends at LSN " + number(lsn) + ", acknowledged " +
             number(o.acknowledged) + ", written " + number(o.issued);
    }
    lsns_[log] = lsn;
    std::string wrong = keys_of(log, lsn);
    if (wrong.empty()) wrong = sessions_of(log, lsn);
    if (!wrong.empty()) return wrong;
  }
  return {};
}

std::string Judge::checked() {
  dpm::CheckReport report;
  dpm::audit_pool(*image_, *node_->service, false, node_->clock.unix_ms(), &report);
  for (const dpm::Finding& f : report.findings()) {
    const dpm::ProblemInfo& about = dpm::info(f.problem);
    if (about.severity != dpm::Severity::kNote) {
      return std::string("the check finds ") + about.name + ": " + f.text;
    }
  }
  return {};
}

std::string Judge::value_of(const std::string& key, uint64_t* live_bytes) {
  const auto found = node_->service->index().find(
      key_hash(as_bytes(key), image_->superblock().hash_seed), as_bytes(key));
  if (!found) return found.error() == Status::kNotFound ? "-" : "(broken)";
  log::Entry e;
  const Bytes bytes(image_->at(found->offset_bytes()), found->length_bytes());
  if (log::parse_entry_low8(bytes, found->generation(), &e) != log::EntryCheck::kValid ||
      as_text(e.key) != key) {
    return "(broken)";
  }
  *live_bytes += found->length_bytes();
  return std::string(as_text(e.value));
}

std::string Judge::key_of(uint32_t log, uint32_t key, uint64_t lsn) {
  const Written* w = oracle_.logs[log].value_at(key, lsn);
  uint64_t ignored = 0;
  const std::string name = key_name(log, key);
  const std::string is = value_of(name, &ignored);
  const std::string& expected = w != nullptr ? w->value : "-";
  if (is == expected) return {};
  const bool may_be_gone =
      w != nullptr && w->expiry_ms != 0 && w->expiry_ms + kExpiryGraceMs <= node_->clock.unix_ms();
  if (may_be_gone && is == "-") return {};
  return name + " is " + is.substr(0, 12) + ", as of LSN " + number(lsn) + " it was " +
         expected.substr(0, 12);
}

std::string Judge::keys_of(uint32_t log, uint64_t lsn) {
  for (uint32_t key = 0; key < kKeysPerLog; ++key) {
    std::string wrong = key_of(log, key, lsn);
    if (!wrong.empty()) return wrong;
  }
  return {};
}

bool Judge::outcome_kept(const Written& w, uint32_t log) {
  const pool::Superblock& s = image_->superblock();
  const uint64_t sequence = w.sequence & ((uint64_t{1} << kSequenceBits) - 1);
  for (uint32_t slot = 0; slot < s.session_count; ++slot) {
    const auto* r = image_->record<pool::SessionRecord>(
        s.sessions_offset + slot * pool::session_bytes(s.session_window));
    if (r->session != w.session) continue;
    if (r->checksum !=
        checksum64(object_bytes(*r).first(offsetof(pool::SessionRecord, checksum)))) {
      return false;
    }
    const pool::OutcomeCell& c =
        reinterpret_cast<const pool::OutcomeCell*>(r + 1)[sequence % s.session_window];
    const uint64_t version =
        w.op != log::Op::kOutcome ? log::item_version(static_cast<uint16_t>(log), w.lsn) : 0;
    return c.sequence == sequence && c.status == w.outcome && c.version == version &&
           c.check == static_cast<uint32_t>(checksum64(object_bytes(c).first(28)));
  }
  return false;
}

/// The newest mutations of each session, as far as its window goes.
std::string Judge::sessions_of(uint32_t log, uint64_t lsn) {
  std::array<uint32_t, kSessionsPerLog> left{};
  left.fill(image_->superblock().session_window);
  const auto& writes = oracle_.logs[log].writes;
  for (auto w = writes.rbegin(); w != writes.rend(); ++w) {
    if (w->lsn > lsn || w->session == 0) continue;
    uint32_t& more = left[w->session - session_name(log, 0)];
    if (more == 0) continue;
    --more;
    if (!outcome_kept(*w, log)) {
      return "the outcome of LSN " + number(w->lsn) + " of log " + number(log) + " is lost";
    }
  }
  return {};
}

std::string Judge::counters() {
  uint64_t items = 0;
  uint64_t live_bytes = 0;
  for (uint32_t log = 0; log < kLogs; ++log) {
    for (uint32_t key = 0; key < kKeysPerLog; ++key) {
      items += value_of(key_name(log, key), &live_bytes) != "-" ? 1 : 0;
    }
  }
  const dpm::ServiceStats s = node_->service->stats();
  if (s.items != items) return "counts " + number(s.items) + " items of " + number(items);
  if (s.segments.live_bytes != live_bytes) {
    return "counts " + number(s.segments.live_bytes) + " live bytes of " + number(live_bytes);
  }
  dpm::SegmentTable& segments = node_->service->segments();
  for (uint32_t id = 0; id < segments.size(); ++id) {
    if (segments.live(id) != 0 &&
        segments.header(id).state == static_cast<uint32_t>(pool::SegmentState::kFree)) {
      return "a segment with live entries is free";
    }
  }
  return {};
}

std::string Judge::grants_kept() {
  const pool::Superblock& s = live_.superblock();
  for (uint32_t log = 0; log < kLogs; ++log) {
    const uint64_t at = pool::mailbox_offset(s, log, 0, 0);
    const pool::MailboxLine& heard = live_.record<pool::MailboxCell>(at)->reply;
    if (!pool::mailbox_line_valid(heard) || !ok(static_cast<Status>(heard.status)) ||
        heard.opcode != static_cast<uint16_t>(pool::MailboxOpcode::kSegmentGrant)) {
      continue;
    }
    const auto* r =
        image_->record<pool::LogRecord>(pool::log_record_offset(image_->superblock(), log));
    if (r->granted_sequence < heard.args[1]) {
      return "grant " + number(heard.args[1]) + " of log " + number(log) +
             " was seen by its KN and is forgotten";
    }
  }
  return {};
}

std::string Judge::requests_answered() {
  const pool::Superblock& s = image_->superblock();
  node_->turn(20);
  for (uint32_t slot = 0; slot < s.kn_slots; ++slot) {
    // Nobody waits for answers in a slot that its KN has left, but it may want to join again.
    const bool left = image_->record<pool::KnSlot>(pool::kn_slot_offset(s, slot))->state ==
                      static_cast<uint32_t>(pool::KnState::kFree);
    for (uint32_t worker = left ? s.workers_per_kn : 0; worker <= s.workers_per_kn; ++worker) {
      const auto* cell =
          image_->record<pool::MailboxCell>(pool::mailbox_offset(s, slot, worker, 0));
      if (pool::mailbox_line_valid(cell->request) &&
          !pool::answers(cell->reply, cell->request.sequence)) {
        return "a request of slot " + number(slot) + " is never answered";
      }
    }
  }
  return {};
}

std::string Judge::fills(MiniKn& kn, uint32_t log) {
  for (uint32_t key = 0; key < kKeysAfter; ++key) {
    const std::string name = key_name(log, key + kKeysPerLog - kOverwritten);
    if (!kn.append({}, name, "after")) return "cannot write after recovery";
  }
  if (!kn.merge()) return "merging hangs after recovery";
  for (const log::SegmentGrant& g : kn.grants) {
    const auto seen = oracle_.generations.find(g.offset);
    if (seen != oracle_.generations.end() && seen->second >= g.generation) {
      return "generation " + number(g.generation) + " of a segment is given twice";
    }
  }
  return {};
}

std::string Judge::serves() {
  std::array<MiniKn, kLogs> kns{MiniKn(*node_, 0, staging_[0]), MiniKn(*node_, 1, staging_[1])};
  for (uint32_t log = 0; log < kLogs; ++log) {
    if (!ok(kns[log].join())) return "a KN cannot join after recovery";
    std::string wrong = fills(kns[log], log);
    if (!wrong.empty()) return wrong;
  }
  for (uint32_t log = 0; log < kLogs; ++log) {
    for (uint32_t key = 0; key < kKeysPerLog; ++key) {
      uint64_t ignored = 0;
      const bool written = key >= kKeysPerLog - kOverwritten;
      if (written && value_of(key_name(log, key), &ignored) != "after") {
        return "a write after recovery is lost";
      }
      if (written) continue;
      std::string wrong = key_of(log, key, lsns_[log]);
      if (!wrong.empty()) return "after more writes: " + wrong;
    }
  }
  for (uint32_t log = 0; log < kLogs; ++log) {
    std::string wrong = empties(kns[log], log);
    if (!wrong.empty()) return wrong;
  }
  return {};
}

std::string Judge::empties(MiniKn& kn, uint32_t log) {
  for (uint32_t key = 0; key < kKeysPerLog + kKeysAfter; ++key) {
    if (!kn.append({.op = log::Op::kDelete}, key_name(log, key), {})) return "cannot delete";
  }
  if (!ok(kn.leave())) return "a KN cannot leave after recovery";
  return {};
}

std::string Judge::as_free_as_new() {
  node_->turn(4);
  node_->clock.advance_ms(kMuchLaterMs);
  node_->turn(4);
  const dpm::ServiceStats s = node_->service->stats();
  if (s.items != 0 || s.segments.live_bytes != 0) return "something is left after all is deleted";
  if (s.segments.free != s.segments.total) {
    return number(s.segments.free) + " of " + number(s.segments.total) + " segments are free";
  }
  return {};
}

}  // namespace dinomo::test
