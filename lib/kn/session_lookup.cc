// SPDX-License-Identifier: BSD-3-Clause
// What the pool knows of a session: read when a mutation comes that may have run before this worker
// can remember (sessions.h says when). Two round trips if nothing is found, else three; once a
// session, not once a mutation.
#include "kn/awaiters.h"
#include "kn/worker.h"
#include "pool/sessions.h"

namespace dinomo::kn {

using Lookup = Sessions::Lookup;
using Step = pool::SessionProbe::Step;

/// The mutations that need it wait among the deferred and claim again each turn.
void Worker::look_up_session(uint64_t session) noexcept {
  if (!sessions_.start_lookup(session)) return;  // is being done
  Fetch* const buffers = new_fetch(session, session, {});
  if (buffers != nullptr) {
    ++tasks_;
    const Task task = run_session_lookup(buffers, session);
    if (task.started) {
      stats_.session_lookups.add();
      return;
    }
    --tasks_;
    free_fetch(buffers);
  }
  sessions_.end_lookup(session, Lookup::kFailed);
}

/// `buffers`: a fetch of no key, for its registered memory.
Task Worker::run_session_lookup(Fetch* buffers, uint64_t session) noexcept {
  const pool::Superblock& s = attachment_->superblock;
  const uint32_t distrusts = sessions_.distrusts();
  const uint64_t deadline_ns = now_ns_ + uint64_t{config_.write_wait_us} * 1000;
  // What this worker has forgotten is in its log, and only the merge brings it to the record.
  while (merged_lsn_ < sessions_.forgotten_lsn() && now_ns_ < deadline_ns && !detaching_) {
    co_await delays_.until(now_ns_ + kMergeWatchNs);
  }
  Status status = merged_lsn_ < sessions_.forgotten_lsn() ? Status::kTimeout : Status::kOk;
  pool::SessionProbe probe(s, session);
  Step step = Step::kGoOn;
  while (ok(status) && step == Step::kGoOn) {
    status = co_await read(*fabric_, pool::session_offset(s, probe.record()), buffers->bucket,
                           fabric::Purpose::kControl);
    if (ok(status)) step = probe.look(load<pool::SessionRecord>(buffers->bucket.data()));
  }
  const MutableBytes record = buffers->buffer.first(pool::session_bytes(s.session_window));
  if (ok(status) && step == Step::kFound) {
    const uint64_t at = pool::session_offset(s, probe.record());
    const auto before = load<pool::SessionRecord>(buffers->bucket.data());
    status = co_await read(*fabric_, at, record, fabric::Purpose::kControl);
    // It may have given way to another session under the read: its header tells, before and after.
    if (ok(status)) {
      status = co_await read(*fabric_, at, buffers->bucket, fabric::Purpose::kControl);
    }
    const auto after = load<pool::SessionRecord>(buffers->bucket.data());
    const bool same = after.session == session && after.created_unix_ms == before.created_unix_ms;
    if (ok(status) && !same) status = Status::kStale;
  }
  const bool sure = ok(status) && distrusts == sessions_.distrusts() && !detaching_;
  Lookup lookup = Lookup::kFailed;
  if (sure) {
    lookup = step == Step::kFound   ? Lookup::kFound
             : step == Step::kNever ? Lookup::kNever
                                    : Lookup::kForgotten;
  }
  sessions_.end_lookup(session, lookup, record);
  free_fetch(buffers);
  --tasks_;
}

}  // namespace dinomo::kn
