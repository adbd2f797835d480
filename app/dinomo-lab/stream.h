// SPDX-License-Identifier: BSD-3-Clause
// Key streams for the cache laboratory: made up from a seed, or read from a recording.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "app/common/key_stream.h"

namespace dinomo::lab {

using app::KeyStreamRecord;
using app::StreamOp;

struct Stream {
  std::string name;
  std::vector<KeyStreamRecord> accesses;
  uint64_t keys = 0;        // different ones
  uint64_t data_bytes = 0;  // keys and values of all of them, at their last size
};

struct StreamSize {
  uint64_t keys = 50'000;
  uint64_t accesses_per_key = 12;
  uint32_t value_bytes = 256;  // of streams that do not mix sizes
  double shift_every = 3;      // accesses a key between two jumps of the hot set of `shifting`
  uint64_t seed = 1;
};

struct StreamKind {
  const char* name;
  const char* what;
};
/// The streams that can be made, in the order in which they are shown.
const std::vector<StreamKind>& stream_kinds();

/// `name` is one of stream_kinds(). Deterministic.
Stream make_stream(const std::string& name, const StreamSize& size);

/// At most `accesses_max` of a recording; or what is wrong with it.
std::expected<Stream, std::string> read_stream(const std::string& path, uint64_t accesses_max);

}  // namespace dinomo::lab
