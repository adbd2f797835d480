// SPDX-License-Identifier: BSD-3-Clause
// Statistics of the memory node as one JSON object, for people, tests and the quickstart.
#pragma once

#include <string>

#include "dpm/service.h"

namespace dinomo::app {

struct Identity {
  std::string pool;
  std::string listen;
  std::string persistence;
  uint64_t pool_bytes = 0;
  uint64_t segment_bytes = 0;
};

/// Replaces `path` atomically. False if it cannot be written; errno says why.
bool write_stats(const std::string& path, const Identity& identity, const dpm::ServiceStats& stats);

}  // namespace dinomo::app
