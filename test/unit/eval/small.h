// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "app/dinomo-eval/calibration.h"

namespace dinomo::eval {

/// Round numbers, small sizes: not those of any machine.
inline Calibration small_calibration() {
  Calibration c;
  for (const CalibrationKnob& k : calibration_knobs()) c.*k.value = k.min;
  c.cpu_percent = 100;
  c.kn_threads = 2;
  c.dpm_threads = 1;
  c.one_way_ns = 1000;
  c.verb_ns = 40;
  c.bytes_per_us = 6000;
  c.turn_ns = 50;
  c.datagram_ns = c.get_value_ns = c.get_shortcut_ns = c.get_miss_ns = c.put_ns = 300;
  c.ms_query_ns = c.ms_alloc_ns = c.ms_gc_entry_ns = 500;
  c.idle_sleep_ns = 60'000;
  c.keys = 2000;
  c.value_bytes = 1000;
  c.pool_mib = 64;
  c.clover_pool_mib = 5;
  c.zipf_percent = 99;
  c.warm_per_key = 2;
  c.counted_per_key = 2;
  c.depth = 32;
  return c;
}

}  // namespace dinomo::eval
