// SPDX-License-Identifier: BSD-3-Clause
// Records what happens to a pool and offers, at every persist point, the images that a power
// failure could leave there.
//
// Persistence model: a line that was flushed and fenced is durable as it was when it was flushed.
// Any other line may have been evicted in every state in which it was observed since, or torn
// between two neighbouring ones at 8 bytes. Lines are independent of each other. Stores are
// observed, by comparing the pool with what was known of it, at every flush, every fence and every
// remote write. Remote writes become durable only when the fabric says so.
//
// The number of images at one point is bounded (Bounds). If all combinations of what the memory
// node stored fit, all of them are tried; else none, all, some lines alone, all but some lines, and
// then seeded samples. Lines that KNs write (hints, requests, entries under way) are in one of
// their states at random in every image, since hints and requests never become durable.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <random>
#include <vector>

#include "test/crash/image_space.h"

namespace dinomo::test {

struct Bounds {
  uint32_t images = 12;  // at one point
  uint32_t torn = 2;     // of them with lines torn at 8 bytes, if there is anything to tear
  uint32_t states = 4;   // of one line; an older one then counts as evicted for good
  uint32_t stride = 1;   // enumerate at every n-th point only
};

class Recorder final : public pool::Persist {
 public:
  /// Judges an image; what is wrong with it, empty if it is legal.
  using Judge = std::function<std::string(ImageSpace& image)>;

  /// Everything in `live` is durable now.
  Recorder(ImageSpace& live, const Bounds& bounds, uint64_t seed, Judge judge);
  ~Recorder() override;
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  void flush(const void* from, size_t bytes) noexcept override;
  void drain() noexcept override;

  /// A KN's write arrives: seen by everybody, not yet durable.
  void remote_write(uint64_t offset, Bytes from);
  /// The fabric answers that it is durable.
  void remote_durable(uint64_t offset, uint64_t bytes);

  uint64_t points() const { return points_; }
  uint64_t images() const { return images_; }
  uint64_t exhaustive_points() const { return exhaustive_points_; }
  /// The first image that was not legal: why, and how many images were judged until then.
  const std::string& failure() const { return failure_; }
  uint64_t failed_at_image() const { return failed_at_image_; }

 private:
  using LineBytes = std::array<std::byte, kLineBytes>;
  struct Line {
    std::vector<LineBytes> states;  // observed since the durable one, oldest first
    size_t flushed = 0;             // so many of them will be superseded by the next drain
    bool remote = false;            // last written by a KN
  };
  void observe();
  void settle(uint64_t line, size_t states);
  void mark_durable(uint64_t offset, uint64_t bytes);
  void point();
  void try_all(uint64_t combinations);
  void try_edges();
  void try_sample(bool torn);
  void patch(uint64_t line, const Line& history, size_t state);
  size_t any_state(const Line& history) { return random_() % (history.states.size() + 1); }
  void tear(uint64_t line, const Line& history, size_t state);
  void judge();
  const std::byte* state_of(uint64_t line, const Line& history, size_t state) const;

  ImageSpace& live_;
  const Bounds bounds_;
  std::mt19937_64 random_;
  Judge judge_;
  std::vector<std::byte> known_;
  std::vector<std::byte> durable_;
  std::map<uint64_t, Line> pending_;  // by offset of the line
  ImageSpace image_;
  bool changed_ = true;  // since the last enumeration
  bool judging_ = false;
  uint32_t images_here_ = 0;
  uint64_t points_ = 0;
  uint64_t images_ = 0;
  uint64_t exhaustive_points_ = 0;
  uint64_t failed_at_image_ = 0;
  std::string failure_;
};

}  // namespace dinomo::test
