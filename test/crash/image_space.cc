// SPDX-License-Identifier: BSD-3-Clause
#include "test/crash/image_space.h"

#include <bit>
#include <cstdlib>
#include <cstring>

#include "common/align.h"
#include "index/index_writer.h"
#include "pool/superblock.h"

namespace dinomo::test {

namespace {

constexpr int kGarbage = 0xa5;
constexpr uint64_t kPageBytes = 4096;
constexpr uint16_t kFirstTableVersion = 1;

class Nothing final : public pool::Persist {
 public:
  void flush(const void*, size_t) noexcept override {}
  void drain() noexcept override {}
};

pool::PoolGeometry small_geometry() {
  return {.node_id = 1,
          .kn_slots = 2,
          .workers_per_kn = 1,
          .mailbox_cells = 1,
          .session_count = 4,
          .session_window = 8,
          .segment_bytes = 8192};
}

}  // namespace

ImageSpace::ImageSpace(uint64_t bytes)
    : memory_(static_cast<std::byte*>(std::aligned_alloc(kPageBytes, bytes))),
      bytes_(bytes),
      nothing_(std::make_unique<Nothing>()),
      persist_(nothing_.get()) {
  std::memset(static_cast<void*>(memory_.get()), kGarbage, bytes_);
}

Result<pool::SpaceObject> ImageSpace::allocate(pool::ObjectType type, uint64_t bytes,
                                               Prepare prepare, uint64_t prepared_bytes) noexcept {
  bytes = align_up<uint64_t>(bytes, kLineBytes);
  if (bytes > bytes_ - used_) return std::unexpected(Status::kNoSpace);
  const pool::SpaceObject object{used_, bytes};
  used_ += bytes;
  objects_.emplace_back(type, object);
  if (prepare != nullptr) {
    prepare(at(object.offset));
    if (on_prepared) on_prepared(object.offset, prepared_bytes);
  }
  return object;
}

std::vector<pool::SpaceObject> ImageSpace::objects(pool::ObjectType type) {
  std::vector<pool::SpaceObject> found;
  for (const auto& [t, object] : objects_) {
    if (t == type) found.push_back(object);
  }
  return found;
}

void ImageSpace::format(uint64_t index_buckets, uint64_t overflow_buckets) {
  const pool::PoolGeometry geometry = small_geometry();
  const uint64_t root = pool::root_bytes(geometry);
  std::memset(static_cast<void*>(at(kRootOffset)), 0, root);
  used_ = align_up<uint64_t>(kRootOffset + root, kPageBytes);
  const uint64_t table_bytes = index_buckets * sizeof(index::Bucket);
  const auto table = allocate(pool::ObjectType::kIndexTable, table_bytes, nullptr, 0);
  const auto overflow =
      allocate(pool::ObjectType::kOverflow, overflow_buckets * sizeof(index::Bucket), nullptr, 0);
  if (!table || !overflow) std::abort();  // the test's own sizes do not fit
  const pool::TableRef ref(table->offset, static_cast<uint32_t>(std::countr_zero(index_buckets)),
                           kFirstTableVersion);
  index::format_heads(memory(), ref, 0, index_buckets, *persist_);
  auto& s = *record<pool::Superblock>(kRootOffset);
  s = pool::make_superblock(geometry, kRootOffset, bytes_, {}, 42, 1);
  record<pool::IndexRoot>(s.index_root_offset)->current = ref.word();
  record<pool::IndexRoot>(s.index_root_offset)->buckets_min = index_buckets;
}

void ImageSpace::become(const ImageSpace& other, Bytes durable) {
  std::memcpy(memory_.get(), durable.data(), durable.size());
  used_ = other.used_;
  objects_ = other.objects_;
}

void ImageSpace::set_persist(pool::Persist* persist) {
  persist_ = persist != nullptr ? persist : nothing_.get();
}

}  // namespace dinomo::test
