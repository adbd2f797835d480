// SPDX-License-Identifier: BSD-3-Clause
#include "test/crash/recorder.h"

#include <algorithm>
#include <cstring>

namespace dinomo::test {

namespace {

constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kWordBytes = 8;

uint64_t first_line(uint64_t offset) { return offset / kLineBytes * kLineBytes; }

}  // namespace

Recorder::Recorder(ImageSpace& live, const Bounds& bounds, uint64_t seed, Judge judge)
    : live_(live),
      bounds_(bounds),
      random_(seed),
      judge_(std::move(judge)),
      known_(live.memory().begin(), live.memory().end()),
      durable_(known_),
      image_(known_.size()) {
  live_.set_persist(this);
  live_.on_prepared = [this](uint64_t offset, uint64_t bytes) {
    observe();
    mark_durable(offset, bytes);
  };
}

Recorder::~Recorder() {
  live_.set_persist(nullptr);
  live_.on_prepared = nullptr;
}

void Recorder::observe() {
  const std::byte* now = live_.memory().data();
  for (uint64_t page = 0; page < known_.size(); page += kPageBytes) {
    if (std::memcmp(now + page, known_.data() + page, kPageBytes) == 0) continue;
    for (uint64_t at = page; at < page + kPageBytes; at += kLineBytes) {
      if (std::memcmp(now + at, known_.data() + at, kLineBytes) == 0) continue;
      std::memcpy(known_.data() + at, now + at, kLineBytes);
      std::vector<LineBytes>& states = pending_[at].states;
      std::memcpy(states.emplace_back().data(), now + at, kLineBytes);
      changed_ = true;
      if (states.size() > bounds_.states) settle(at, 1);
    }
  }
}

/// The first `states` observed states of a line are over: the last of them is durable.
void Recorder::settle(uint64_t at, size_t states) {
  const auto found = pending_.find(at);
  Line& line = found->second;
  std::memcpy(durable_.data() + at, line.states[states - 1].data(), kLineBytes);
  line.states.erase(line.states.begin(), line.states.begin() + static_cast<ptrdiff_t>(states));
  line.flushed -= std::min(line.flushed, states);
  if (line.states.empty()) pending_.erase(found);
  changed_ = true;
}

void Recorder::flush(const void* from, size_t bytes) noexcept {
  observe();
  point();
  const auto offset =
      static_cast<uint64_t>(static_cast<const std::byte*>(from) - live_.memory().data());
  for (auto it = pending_.lower_bound(first_line(offset));
       it != pending_.end() && it->first < offset + bytes; ++it) {
    it->second.flushed = it->second.states.size();
  }
}

void Recorder::drain() noexcept {
  observe();
  point();
  std::vector<uint64_t> flushed;
  for (const auto& [at, line] : pending_) {
    if (line.flushed != 0) flushed.push_back(at);
  }
  for (const uint64_t at : flushed) settle(at, pending_.at(at).flushed);
  point();
}

void Recorder::mark_durable(uint64_t offset, uint64_t bytes) {
  std::vector<uint64_t> lines;
  for (auto it = pending_.lower_bound(first_line(offset));
       it != pending_.end() && it->first < offset + bytes; ++it) {
    lines.push_back(it->first);
  }
  for (const uint64_t at : lines) settle(at, pending_.at(at).states.size());
}

void Recorder::remote_write(uint64_t offset, Bytes from) {
  observe();
  std::memcpy(live_.at(offset), from.data(), from.size());
  observe();
  for (uint64_t at = first_line(offset); at < offset + from.size(); at += kLineBytes) {
    if (const auto line = pending_.find(at); line != pending_.end()) line->second.remote = true;
  }
  point();
}

void Recorder::remote_durable(uint64_t offset, uint64_t bytes) {
  observe();
  mark_durable(offset, bytes);
  point();
}

void Recorder::point() {
  if (judging_ || !failure_.empty()) return;
  ++points_;
  if (!changed_ || points_ % bounds_.stride != 0) return;
  changed_ = false;
  judging_ = true;
  images_here_ = 0;
  uint64_t combinations = 1;
  for (const auto& [at, line] : pending_) {
    if (line.remote) continue;
    combinations = std::min<uint64_t>(combinations * (line.states.size() + 1), UINT32_MAX);
  }
  const bool tearable = !pending_.empty();
  const uint32_t whole = bounds_.images - (tearable ? bounds_.torn : 0);
  if (combinations <= whole) {
    try_all(combinations);
    ++exhaustive_points_;
  } else {
    try_edges();
    while (images_here_ < whole && failure_.empty()) try_sample(false);
  }
  for (uint32_t i = 0; tearable && i < bounds_.torn && failure_.empty(); ++i) try_sample(true);
  judging_ = false;
}

void Recorder::try_all(uint64_t combinations) {
  for (uint64_t c = 0; c < combinations && failure_.empty(); ++c) {
    image_.become(live_, durable_);
    uint64_t rest = c;
    for (const auto& [at, line] : pending_) {
      if (line.remote) {
        patch(at, line, any_state(line));
        continue;
      }
      patch(at, line, rest % (line.states.size() + 1));
      rest /= line.states.size() + 1;
    }
    judge();
  }
}

/// None, all, and for lines picked at random: that one alone, and all but that one.
void Recorder::try_edges() {
  const size_t count = pending_.size();
  const auto with = [&](const std::function<bool(size_t)>& kept) {
    image_.become(live_, durable_);
    size_t i = 0;
    for (const auto& [at, line] : pending_) {
      if (kept(i++)) patch(at, line, line.states.size());
    }
    judge();
  };
  with([](size_t) { return false; });
  with([](size_t) { return true; });
  for (uint32_t n = 0; n < bounds_.images / 4 && failure_.empty(); ++n) {
    const size_t picked = random_() % count;
    with([&](size_t i) { return i == picked; });
    with([&](size_t i) { return i != picked; });
  }
}

void Recorder::try_sample(bool torn) {
  image_.become(live_, durable_);
  for (const auto& [at, line] : pending_) {
    if (torn && random_() % 2 == 0) {
      tear(at, line, random_() % line.states.size());
    } else {
      patch(at, line, any_state(line));
    }
  }
  judge();
}

const std::byte* Recorder::state_of(uint64_t at, const Line& line, size_t state) const {
  return state == 0 ? durable_.data() + at : line.states[state - 1].data();
}

void Recorder::patch(uint64_t at, const Line& line, size_t state) {
  std::memcpy(image_.at(at), state_of(at, line, state), kLineBytes);
}

/// Every word from this state or from the next one.
void Recorder::tear(uint64_t at, const Line& line, size_t state) {
  const uint64_t mask = random_();
  for (uint64_t word = 0; word < kLineBytes / kWordBytes; ++word) {
    const std::byte* from = state_of(at, line, state + (mask >> word & 1));
    std::memcpy(image_.at(at) + word * kWordBytes, from + word * kWordBytes, kWordBytes);
  }
}

void Recorder::judge() {
  if (!failure_.empty()) return;
  ++images_here_;
  ++images_;
  failure_ = judge_(image_);
  if (!failure_.empty()) failed_at_image_ = images_;
}

}  // namespace dinomo::test
