// SPDX-License-Identifier: BSD-3-Clause
// Answers the requests that KNs write into their mailbox cells: control cells of every slot, worker
// cells of active KNs. What takes longer than a poll (sealing, merging) stays pending meanwhile;
// one cell carries one request at a time.
//
// A request is executed when its sequence differs from that of the reply in the cell, so one that
// was answered keeps its answer, also over restarts of the DPM; one that was not answered is
// executed again, and all of them bear that.
//
// Thread rule: service thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "dpm/cell_table.h"
#include "dpm/directory.h"
#include "pool/mailbox.h"

namespace dinomo::dpm {

struct MailboxCounters {
  uint64_t requests = 0;
  uint64_t torn = 0;     // lines met half-written, or never made right
  uint64_t refused = 0;  // fenced, malformed, unsupported
  uint64_t grants = 0;
  uint64_t grants_refused = 0;  // no space
  uint64_t registrations = 0;
  uint64_t fences = 0;
};

class MailboxServer {
 public:
  using Log = std::function<void(const std::string&)>;
  MailboxServer(pool::Space& space, SegmentTable& segments, Directory& directory, CellTable& cells,
                Clock& clock, Log log);

  /// Reads cells, carries on with pending requests, answers. Returns requests begun or answered.
  uint32_t poll();

  const MailboxCounters& counters() const noexcept { return counters_; }

 private:
  struct Pending {
    pool::MailboxLine request;
    pool::MailboxCell* cell = nullptr;
    std::vector<uint64_t> goals;  // kMergeNow, by log
    uint32_t slot = 0;
    uint32_t worker = 0;    // workers_per_kn: the control lcore
    uint32_t attempts = 0;  // of the log it is at
    uint32_t at = 0;        // kMergeNow: first log not yet merged
  };
  struct Answer {
    Status status;
    std::array<uint64_t, 5> args{};
  };
  uint32_t poll_cells(uint32_t slot, uint32_t worker);
  bool is_pending(const pool::MailboxCell* cell) const noexcept;
  /// kInProgress: ask again at the next poll.
  Answer step(Pending* p);
  Answer step_register(const Pending& p);
  Answer step_deregister(const Pending& p);
  Answer step_fence(const Pending& p);
  Answer step_merge(Pending* p);
  Answer grant(const Pending& p);
  Answer install_cell(const Pending& p);
  void reply(const Pending& p, const Answer& answer);

  pool::Space& space_;
  SegmentTable& segments_;
  Directory& directory_;
  Clock& clock_;
  Log log_;
  const uint32_t kn_slots_;
  const uint32_t workers_per_kn_;
  const uint32_t cells_;
  CellTable& cell_table_;
  std::vector<Pending> pending_;
  MailboxCounters counters_;
};

}  // namespace dinomo::dpm
