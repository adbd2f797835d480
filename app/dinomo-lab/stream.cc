// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-lab/stream.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <stdexcept>
#include <unordered_map>

#include "app/dinomo-bench/zipf.h"
#include "client/random.h"

namespace dinomo::lab {
namespace {

using bench::Scramble;
using bench::Zipf;
using client::Random;

constexpr uint8_t kKeyBytes = 8;
constexpr uint32_t kValueBytesMax = 60 * 1024;

// A size of its own for each key, from 0 B to 60 KiB, as many keys in each octave: most keys are
// small, most bytes belong to large ones.
uint32_t mixed_size(uint64_t key, uint64_t seed) {
  Random random(seed ^ (key + 1) * 0x9e37'79b9'7f4a'7c15u);
  const double size = std::exp(random.unit() * std::log(kValueBytesMax + 1.0)) - 1;
  return std::min(static_cast<uint32_t>(size), kValueBytesMax);
}

class Maker {
 public:
  Maker(const StreamSize& size, double theta)
      : size_(size), random_(size.seed), zipf_(size.keys, theta), scramble_(size.keys) {}

  void mix_sizes() { mixed_ = true; }
  Random& random() { return random_; }
  uint64_t keys() const { return size_.keys; }
  uint64_t phase() const {
    return std::max<uint64_t>(
        static_cast<uint64_t>(static_cast<double>(size_.keys) * size_.shift_every), 1);
  }
  uint64_t length() const { return size_.keys * size_.accesses_per_key; }

  /// A key by popularity; `shift` moves all popularities on by so many ranks.
  uint64_t popular(uint64_t shift = 0) {
    return scramble_((zipf_.sample(&random_) + shift) % size_.keys);
  }

  void add(Stream* stream, uint64_t key, StreamOp op = StreamOp::kGet) const {
    stream->accesses.push_back(
        {.key_hash = key_hash(object_bytes(key), 0),
         .value_bytes = mixed_ ? mixed_size(key, size_.seed) : size_.value_bytes,
         .key_bytes = kKeyBytes,
         .op = static_cast<uint8_t>(op),
         .flags = 0,
         .reserved = 0});
  }

 private:
  StreamSize size_;
  Random random_;
  Zipf zipf_;
  Scramble scramble_;
  bool mixed_ = false;
};

void add_popular(Maker& m, Stream* s) {
  for (uint64_t i = 0; i < m.length(); ++i) m.add(s, m.popular());
}

// All popularities move on at once: yesterday's hot keys are cold.
void add_shifting(Maker& m, Stream* s) {
  const uint64_t phase = m.phase();
  for (uint64_t i = 0; i < m.length(); ++i) m.add(s, m.popular(i / phase * (m.keys() / 8)));
}

// A quarter of the accesses in runs over a twentieth of all keys each, in order.
void add_scans(Maker& m, Stream* s) {
  const uint64_t run = std::max<uint64_t>(m.keys() / 20, 1);
  uint64_t next = 0;
  for (uint64_t i = 0; i < m.length(); ++i) {
    m.add(s, i / run % 4 == 3 ? next++ % m.keys() : m.popular());
  }
}

void add_loop(Maker& m, Stream* s) {
  for (uint64_t i = 0; i < m.length(); ++i) m.add(s, i % m.keys());
}

void add_updates(Maker& m, Stream* s) {
  for (uint64_t i = 0; i < m.length(); ++i) {
    const bool put = m.random().below(2) == 0;
    m.add(s, m.popular(), put ? StreamOp::kPut : StreamOp::kGet);
  }
}

void add_mixed_sizes(Maker& m, Stream* s) {
  m.mix_sizes();
  add_popular(m, s);
}

struct Recipe {
  StreamKind kind;
  double theta;
  void (*add)(Maker&, Stream*);
};

constexpr std::array<Recipe, 10> kRecipes = {{
    {{"uniform", "all keys alike"}, 0, add_popular},
    {{"zipf-0.5", "Zipf, exponent 0.5"}, 0.5, add_popular},
    {{"zipf-0.8", "Zipf, exponent 0.8"}, 0.8, add_popular},
    {{"zipf-0.99", "Zipf, exponent 0.99"}, 0.99, add_popular},
    {{"zipf-1.2", "Zipf, exponent 1.2"}, 1.2, add_popular},
    {{"shifting", "Zipf 0.99, the hot set jumps every 3 accesses a key (--shift-every)"},
     0.99,
     add_shifting},
    {{"scans", "Zipf 0.99, a quarter of the accesses in sequential scans"}, 0.99, add_scans},
    {{"loop", "all keys in turn, over and over"}, 0, add_loop},
    {{"updates", "Zipf 0.99, half of the operations PUTs"}, 0.99, add_updates},
    {{"mixed-sizes", "Zipf 0.99, values of 0 B to 60 KiB"}, 0.99, add_mixed_sizes},
}};

void measure(Stream* s) {
  std::unordered_map<uint64_t, uint64_t> bytes;
  bytes.reserve(s->accesses.size() / 4);
  for (const KeyStreamRecord& r : s->accesses) {
    bytes[r.key_hash] = uint64_t{r.key_bytes} + r.value_bytes;
  }
  s->keys = bytes.size();
  for (const auto& [hash, size] : bytes) s->data_bytes += size;
}

}  // namespace

const std::vector<StreamKind>& stream_kinds() {
  static const std::vector<StreamKind> kinds = [] {
    std::vector<StreamKind> all;
    all.reserve(std::size(kRecipes));
    for (const Recipe& r : kRecipes) all.push_back(r.kind);
    return all;
  }();
  return kinds;
}

Stream make_stream(const std::string& name, const StreamSize& size) {
  const auto* recipe =
      std::ranges::find_if(kRecipes, [&](const Recipe& r) { return name == r.kind.name; });
  if (recipe == kRecipes.end()) throw std::invalid_argument("no stream is called " + name);
  Stream s{.name = name, .accesses = {}};
  Maker maker(size, recipe->theta);
  s.accesses.reserve(maker.length());
  recipe->add(maker, &s);
  measure(&s);
  return s;
}

std::expected<Stream, std::string> read_stream(const std::string& path, uint64_t accesses_max) {
  auto records = app::read_key_stream(path, accesses_max);
  if (!records) return std::unexpected(records.error());
  if (records->empty()) return std::unexpected(path + ": no operation was recorded");
  Stream s{.name = path.substr(path.find_last_of('/') + 1), .accesses = std::move(*records)};
  measure(&s);
  return s;
}

}  // namespace dinomo::lab
