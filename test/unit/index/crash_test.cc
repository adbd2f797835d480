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

#include "index/index_writer.h"
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
    // Few lines are dirty at once, so all subsets can be tried.
    ASSERT_LE(dirty.size(), 6u);
    for (uint32_t kept = 0; kept < 1u << dirty.size(); ++kept) {
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

}  // namespace
}  // namespace dinomo::index
