// SPDX-License-Identifier: BSD-3-Clause
// The numbers of an evaluation: what work costs on the machines that are modelled, their network,
// the sizes of the experiment. All of them come from one file, app/dinomo-eval/calibration.cfg,
// each with where it comes from; none has a default here.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "common/status.h"

namespace dinomo::eval {

struct Calibration {
  // Machines: CPU times below are of the machine where they were measured, and scaled by this.
  uint64_t cpu_percent = 0;
  uint64_t kn_threads = 0;
  uint64_t dpm_threads = 0;
  // The fabric.
  uint64_t one_way_ns = 0;
  uint64_t jitter_ns = 0;
  uint64_t verb_ns = 0;
  uint64_t bytes_per_us = 0;
  uint64_t atomic_ns = 0;
  // CPU of a KN's thread, an operation.
  uint64_t turn_ns = 0;
  uint64_t datagram_ns = 0;
  uint64_t get_value_ns = 0;
  uint64_t get_shortcut_ns = 0;
  uint64_t get_miss_ns = 0;
  uint64_t put_ns = 0;
  uint64_t post_ns = 0;
  // CPU of the memory node, an entry.
  uint64_t merge_ns = 0;
  // Clover's metadata server, and its sleeps. Not scaled.
  uint64_t ms_call_ns = 0;
  uint64_t ms_query_ns = 0;
  uint64_t ms_alloc_ns = 0;
  uint64_t ms_gc_entry_ns = 0;
  uint64_t ms_recycle_ns = 0;
  uint64_t ms_gc_sleep_ns = 0;
  uint64_t idle_sleep_ns = 0;
  // The experiment, all sizes before they are divided by `scale`.
  uint64_t scale = 0;
  uint64_t keys = 0;
  uint64_t value_bytes = 0;
  uint64_t cache_mib = 0;  // of each KN
  uint64_t pool_mib = 0;
  uint64_t clover_pool_mib = 0;
  uint64_t zipf_percent = 0;
  uint64_t warm_per_key = 0;  // operations for each key before anything is counted
  uint64_t counted_per_key = 0;
  uint64_t depth = 0;       // operations that clients keep in flight, all together
  uint64_t replicated = 0;  // keys, from the hottest on, that every KN may read

  uint64_t cpu(uint64_t ns) const noexcept { return ns * cpu_percent / 100; }
  uint64_t scaled_keys() const noexcept { return keys / scale; }
};

struct CalibrationKnob {
  const char* name;
  uint64_t Calibration::* value;
  uint64_t min;
  uint64_t max;
};
std::span<const CalibrationKnob> calibration_knobs() noexcept;

/// kInvalid with a sentence that names what is wrong and where: unreadable, a name that is not
/// known, one that is missing, a number out of range.
Status read_calibration(const std::string& path, Calibration* calibration, std::string* why);
/// NAME=NUMBER over what the file says. kInvalid with a sentence.
Status set_calibration(Calibration* calibration, const std::string& assignment, std::string* why);

}  // namespace dinomo::eval
