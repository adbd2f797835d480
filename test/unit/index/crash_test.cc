// SPDX-License-Identifier: BSD-3-Clause
// Power fails at every flush and drain of the index writer, with any of the cache lines written
// since the last drain lost: what remains must be legal, i.e. every key has its state from before
// or after the operation under way, and chains are whole.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "index/resizer.h"
#include "test/unit/index/table_fixture.h"

namespace dinomo::index {
namespace {

constexpr uint64_t kLine = 64;

/// Knows what is durable, and offers the images that a power failure could leave at this moment.
class CrashingPersist final : public pool::Persist {
 public:
  CrashingPersist(MutableBytes memory, std::function<void(Bytes)> check)
      : memory_(memory), durable_(memory.begin(), memory.end()), check_(std::move(check)) {}

  void flush(const void* from, size_t bytes) noexcept override {
    crash();
    const auto first = static_cast<uint64_t>(static_cast<const std::byte*>(from) - memory_.data());
    for (uint64_t at = first / kLine * kLine; at < first + bytes; at += kLine) flushed_.insert(at);
  }
  void drain() noexcept override {
    crash();
    for (const uint64_t at : flushed_) copy_line(&durable_, at);
    flushed_.clear();
    crash();
  }
  uint64_t images() const { return images_; }

 private:
  void copy_line(std::vector<std::byte>* to, uint64_t at) {
    std::memcpy(to->data() + at, memory_.data() + at, kLine);
  }
  void crash() {
    std::vector<uint64_t> dirty;
    for (uint64_t at = 0; at < memory_.size(); at += kLine) {
      if (std::memcmp(durable_.data() + at, memory_.data() + at, kLine) != 0) dirty.push_back(at);
    }
    // Every subset of up to 8 lines; of more (tables being made) 256 subsets drawn by a fixed seed.
    ASSERT_LE(dirty.size(), 32u);
    const bool all = dirty.size() <= 8;
    const uint32_t images = all ? 1u << dirty.size() : 256;
    for (uint32_t n = 0; n < images; ++n) {
      const auto kept = all ? n : static_cast<uint32_t>(random_());
      std::vector<std::byte> image = durable_;
      for (size_t i = 0; i < dirty.size(); ++i) {
        if ((kept >> i & 1) != 0) copy_line(&image, dirty[i]);
      }
      check_(image);
      ++images_;
    }
  }

  MutableBytes memory_;
  std::vector<std::byte> durable_;
  std::function<void(Bytes)> check_;
  std::set<uint64_t> flushed_;
  std::mt19937_64 random_{17};
  uint64_t images_ = 0;
};

/// All slots of an image by key; fails on broken chains.
void read_image(Bytes image, pool::TableRef ref, std::map<std::string, GlobalAddress>* out) {
  for (uint64_t b = 0; b < ref.buckets(); ++b) {
    uint64_t at = ref.offset_bytes() + b * sizeof(Bucket);
    for (uint32_t n = 0; at != 0; ++n) {
      ASSERT_LT(n, kChainBucketsMax);
      ASSERT_EQ(at % sizeof(Bucket), 0u);
      ASSERT_LE(at + sizeof(Bucket), image.size());
      const auto bucket = load<Bucket>(image.data() + at);
      ASSERT_EQ(table_version(bucket.header), ref.version());
      for (const Slot& slot : bucket.slots) {
        if (slot.hash == 0) continue;
        const GlobalAddress address(slot.address);
        ASSERT_LE(address.offset_bytes() + kLine, image.size());
        const std::byte* entry = image.data() + address.offset_bytes();
        ASSERT_NE(entry[0], std::byte{0}) << "a slot refers to nothing";
        const std::string key(as_text({entry + 1, static_cast<size_t>(entry[0])}));
        ASSERT_EQ(slot.hash, weak_hash(key)) << "hash and address of different keys";
        ASSERT_TRUE(out->emplace(key, address).second) << "a key has two slots: " << key;
      }
      at = bucket.next;
    }
  }
}

TEST(IndexCrash, EveryImageAtEveryFlushIsLegal) {
  Table t(1, 256, 64, (uint64_t{1} << 20) + (uint64_t{64} << 10));
  std::mt19937_64 random(3);
  std::map<std::string, GlobalAddress> before;
  std::map<std::string, GlobalAddress> after;
  std::vector<std::string> names;
  for (int i = 0; i < 24; ++i) names.push_back("k" + std::to_string(i));
  const auto check = [&](Bytes image) {
    std::map<std::string, GlobalAddress> found;
    ASSERT_NO_FATAL_FAILURE(read_image(image, t.ref, &found));
    ASSERT_TRUE(found == before || found == after);
  };
  // Entries are durable before the index refers to them.
  std::vector<std::pair<std::string, GlobalAddress>> operations;
  for (uint32_t i = 0; i < 120; ++i) {
    const std::string& key = names[random() % names.size()];
    operations.emplace_back(key, random() % 3 == 0 ? GlobalAddress() : t.keys.write(i, key));
  }
  auto persist = std::make_unique<CrashingPersist>(t.space.memory(), check);
  CrashingPersist& crashing = *persist;
  t.space.set_persist(std::move(persist));
  t.open();
  for (const auto& [key, address] : operations) {
    after = before;
    if (address) {
      after[key] = address;
      ASSERT_TRUE(t.writer->upsert(weak_hash(key), as_bytes(key), address));
    } else {
      after.erase(key);
      ASSERT_TRUE(t.writer->remove(weak_hash(key), as_bytes(key)));
    }
    t.space.persist().drain();
    before = after;
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(crashing.images(), operations.size() * 2);
  EXPECT_GT(t.overflow->used(), 0u);
}

/// As recovery reads an image: a chain that is marked is in the next table, any other where it was.
void read_resizing(Bytes image, uint64_t root_at, std::map<std::string, GlobalAddress>* out) {
  const auto root = load<pool::IndexRoot>(image.data() + root_at);
  const pool::TableRef from(root.current);
  const pool::TableRef to(root.next != root.current ? root.next : 0);
  const auto chain = [&](pool::TableRef table, uint64_t head, uint64_t wanted) {
    uint64_t at = table.offset_bytes() + head * sizeof(Bucket);
    for (uint32_t n = 0; at != 0; ++n) {
      ASSERT_LT(n, kChainBucketsMax);
      const auto bucket = load<Bucket>(image.data() + at);
      ASSERT_EQ(bucket.header & ~kLockBit, chain_header(table.version(), head));
      for (const Slot& slot : bucket.slots) {
        if (slot.hash == 0 || bucket_index(slot.hash, from.buckets_log2()) != wanted) continue;
        const GlobalAddress address(slot.address);
        ASSERT_LE(address.offset_bytes() + kLine, image.size());
        const std::byte* entry = image.data() + address.offset_bytes();
        const std::string key(as_text({entry + 1, static_cast<size_t>(entry[0])}));
        ASSERT_EQ(slot.hash, weak_hash(key));
        ASSERT_TRUE(out->emplace(key, address).second) << "a key has two slots: " << key;
      }
      at = bucket.next;
    }
  };
  for (uint64_t i = 0; i < from.buckets(); ++i) {
    const auto head = load<Bucket>(image.data() + from.offset_bytes() + i * sizeof(Bucket));
    if ((head.header & kMigratedBit) == 0) {
      ASSERT_NO_FATAL_FAILURE(chain(from, i, i));
      continue;
    }
    ASSERT_TRUE(to) << "marked, but there is no next table";
    const HeadRange heads = heads_over(from, i, to);
    for (uint64_t n = heads.begin; n < heads.end; ++n) ASSERT_NO_FATAL_FAILURE(chain(to, n, i));
  }
}

TEST(IndexCrash, EveryImageOfAResizeIsLegal) {
  Table t(1, 256, 64, (uint64_t{1} << 20) + (uint64_t{64} << 10));
  std::mt19937_64 random(9);
  std::map<std::string, GlobalAddress> before;
  for (uint32_t i = 0; i < 20; ++i) {
    const std::string key = "k" + std::to_string(i);
    before[key] = t.keys.write(i, key);
    ASSERT_TRUE(t.writer->upsert(weak_hash(key), as_bytes(key), before[key]));
  }
  std::map<std::string, GlobalAddress> after = before;
  const auto check = [&](Bytes image) {
    std::map<std::string, GlobalAddress> found;
    ASSERT_NO_FATAL_FAILURE(read_resizing(image, Table::kRootOffset, &found));
    ASSERT_TRUE(found == before || found == after);
  };
  std::vector<GlobalAddress> places;
  for (uint32_t i = 0; i < 200; ++i) {
    places.push_back(t.keys.write(32 + i, "k" + std::to_string(i % 24)));
  }
  auto persist = std::make_unique<CrashingPersist>(t.space.memory(), check);
  CrashingPersist& crashing = *persist;
  t.space.set_persist(std::move(persist));
  t.open();
  Reclaimer reclaimer(t.space, *t.overflow, t.writer->sections());
  Resizer resizer(t.space, *t.writer, *t.overflow, reclaimer);
  uint32_t number = 0;
  for (const uint32_t log2 : {2u, 1u, 3u}) {
    resizer.force(log2);
    uint64_t now_ns = 0;
    do {
      if (resizer.poll(20, now_ns += 20'000'000)) resizer.work();
      for (int n = 0; n < 3 && number < places.size(); ++n, ++number) {
        const std::string key = "k" + std::to_string(number % 24);
        after = before;
        if (random() % 3 == 0) {
          after.erase(key);
          ASSERT_TRUE(t.writer->remove(weak_hash(key), as_bytes(key)));
        } else {
          after[key] = places[number];
          ASSERT_TRUE(t.writer->upsert(weak_hash(key), as_bytes(key), places[number]));
        }
        t.space.persist().drain();
        before = after;
      }
      if (HasFatalFailure()) return;
    } while (!resizer.idle());
  }
  EXPECT_EQ(resizer.counters().finished, 3u);
  EXPECT_GT(crashing.images(), 300u);
}

}  // namespace
}  // namespace dinomo::index
