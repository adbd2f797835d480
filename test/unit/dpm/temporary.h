// SPDX-License-Identifier: BSD-3-Clause
// A directory that goes away, and a pool that is as small as pools may be.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "dpm/pool_file.h"

namespace dinomo::test {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = testing::TempDir() + "dinomo-XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline dpm::PoolOptions small_pool(const std::string& path) {
  dpm::PoolOptions o;
  o.path = path;
  o.create = true;
  o.pool_bytes = uint64_t{48} << 20;
  o.geometry.node_id = 3;
  o.geometry.kn_slots = 3;
  o.geometry.workers_per_kn = 2;
  o.geometry.session_count = 32;
  o.geometry.session_window = 16;
  o.geometry.segment_bytes = uint64_t{128} << 10;
  o.uuid = {1, 2, 3};
  o.hash_seed = 7;
  o.unix_ms = 1;
  return o;
}

}  // namespace dinomo::test
