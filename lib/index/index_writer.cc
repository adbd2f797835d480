// SPDX-License-Identifier: BSD-3-Clause
#include "index/index_writer.h"

#include "common/planted.h"

namespace dinomo::index {

using pool::GlobalAddress;
using pool::TableRef;

namespace {

uint64_t header_for(TableRef table, uint64_t hash) noexcept {
  return chain_header(table.version(), bucket_index(hash, table.buckets_log2()));
}

}  // namespace

/// The caller is in a section, so whatever table is found here stays.
Status IndexWriter::lock_chain(uint64_t hash, Chain* out) noexcept {
  for (uint32_t moves = 0; moves < kMovesMax; ++moves) {
    for (const uint64_t word : {get(root_.current), get(root_.next)}) {
      if (word == 0) continue;
      const TableRef table(word);
      out->head = memory_.head_of(table, hash);
      out->lock = HeadLock(out->head);
      if (!out->lock.held()) return Status::kBusy;
      if ((get(out->head->header) & kMigratedBit) == 0) {
        out->header = header_for(table, hash);
        return Status::kOk;
      }
      out->lock = HeadLock();
    }
  }
  return Status::kBusy;
}

Status IndexWriter::find_key(Bucket* head, uint64_t hash, Bytes key, Found* out) noexcept {
  Status status = Status::kOk;
  const Status walked = walk_chain(memory_, head, [&](Bucket* bucket, Bucket* previous) {
    out->place.note(bucket);
    for (Slot& slot : bucket->slots) {
      if (get(slot.hash) != hash) continue;
      const GlobalAddress address(get(slot.address));
      if (get(slot.hash) != hash) continue;  // only without the lock: changed under us
      if (address.is_indirect()) {
        status = Status::kUnsupported;
        return true;
      }
      const auto other = keys_.key_at(address);
      // A slot without an entry serves nobody: it is taken for this key's and thereby replaced.
      if (other && !equal(*other, key)) continue;
      out->slot = &slot;
      out->bucket = bucket;
      out->previous = previous;
      return true;
    }
    return false;
  });
  return ok(status) ? walked : status;
}

Status IndexWriter::find_address(Bucket* head, uint64_t hash, GlobalAddress address,
                                 Found* out) noexcept {
  return walk_chain(memory_, head, [&](Bucket* bucket, Bucket* previous) {
    for (Slot& slot : bucket->slots) {
      if (get(slot.hash) != hash || get(slot.address) != address.word()) continue;
      out->slot = &slot;
      out->bucket = bucket;
      out->previous = previous;
      return true;
    }
    return false;
  });
}

Result<GlobalAddress> IndexWriter::upsert(uint64_t hash, Bytes key,
                                          GlobalAddress address) noexcept {
  const Sections::Section section(sections_);
  Chain chain;
  if (const Status s = lock_chain(hash, &chain); !ok(s)) return std::unexpected(s);
  Found at;
  if (const Status s = find_key(chain.head, hash, key, &at); !ok(s)) return std::unexpected(s);
  if (at.slot == nullptr) {
    const Status s = add_slot(memory_, at.place, chain.header, {hash, address.word()});
    if (!ok(s)) return std::unexpected(s);
    return GlobalAddress();
  }
  const GlobalAddress old(get(at.slot->address));
  if (planted("update-not-flushed")) {
    put(at.slot->address, address.word());
    return old;
  }
  if (old != address) memory_.set(at.slot->address, address.word());
  return old;
}

Result<GlobalAddress> IndexWriter::remove(uint64_t hash, Bytes key) noexcept {
  const Sections::Section section(sections_);
  Chain chain;
  if (const Status s = lock_chain(hash, &chain); !ok(s)) return std::unexpected(s);
  Found at;
  if (const Status s = find_key(chain.head, hash, key, &at); !ok(s)) return std::unexpected(s);
  if (at.slot == nullptr) return GlobalAddress();
  const GlobalAddress old(get(at.slot->address));
  clear_slot(memory_, at.slot, at.bucket, at.previous);
  return old;
}

Result<bool> IndexWriter::relocate(uint64_t hash, GlobalAddress from, GlobalAddress to) noexcept {
  const Sections::Section section(sections_);
  Chain chain;
  if (const Status s = lock_chain(hash, &chain); !ok(s)) return std::unexpected(s);
  Found at;
  if (const Status s = find_address(chain.head, hash, from, &at); !ok(s)) return std::unexpected(s);
  if (at.slot == nullptr) return false;
  if (planted("swing-not-flushed")) {
    put(at.slot->address, to.word());
    return true;
  }
  memory_.set(at.slot->address, to.word());
  return true;
}

Result<bool> IndexWriter::erase_if(uint64_t hash, GlobalAddress address) noexcept {
  const Sections::Section section(sections_);
  Chain chain;
  if (const Status s = lock_chain(hash, &chain); !ok(s)) return std::unexpected(s);
  Found at;
  if (const Status s = find_address(chain.head, hash, address, &at); !ok(s)) {
    return std::unexpected(s);
  }
  if (at.slot == nullptr) return false;
  clear_slot(memory_, at.slot, at.bucket, at.previous);
  return true;
}

bool IndexWriter::refers(uint64_t hash, GlobalAddress address) noexcept {
  const Sections::Section section(sections_);
  for (const uint64_t word : {get(root_.current), get(root_.next)}) {
    if (word == 0) continue;
    Bucket* head = memory_.head_of(TableRef(word), hash);
    if ((get(head->header) & kMigratedBit) != 0) continue;
    Found at;
    return ok(find_address(head, hash, address, &at)) && at.slot != nullptr;
  }
  return false;
}

Result<GlobalAddress> IndexWriter::find(uint64_t hash, Bytes key) noexcept {
  const Sections::Section section(sections_);
  for (uint32_t moves = 0; moves < kMovesMax; ++moves) {
    for (const uint64_t word : {get(root_.current), get(root_.next)}) {
      if (word == 0) continue;
      Bucket* head = memory_.head_of(TableRef(word), hash);
      if ((get(head->header) & kMigratedBit) != 0) continue;
      Found at;
      if (const Status s = find_key(head, hash, key, &at); !ok(s)) return std::unexpected(s);
      if (at.slot == nullptr) return std::unexpected(Status::kNotFound);
      return GlobalAddress(get(at.slot->address));
    }
  }
  return std::unexpected(Status::kBusy);
}

void IndexWriter::prefetch_bucket(uint64_t hash) noexcept {
  __builtin_prefetch(head(hash), 1);
  // While the index is resized a chain may be in either table.
  if (const TableRef next = next_table()) __builtin_prefetch(memory_.head_of(next, hash), 1);
}

/// Outside of any section: of a table that was given back it reads what is no slot, and asks for
/// memory in vain.
void IndexWriter::prefetch_entries(uint64_t hash) noexcept {
  Bucket* at = head(hash);
  if (const TableRef next = next_table(); next && (get(at->header) & kMigratedBit) != 0) {
    at = memory_.head_of(next, hash);
  }
  for (Slot& slot : at->slots) {
    if (get(slot.hash) != hash) continue;
    const uint64_t offset = GlobalAddress(get(slot.address)).offset_bytes();
    if (offset < memory_.bytes.size()) __builtin_prefetch(memory_.bytes.data() + offset);
  }
}

IndexWriter::Scan::Scan(IndexWriter& index) noexcept
    : index_(index), section_(index.sections_), current_(index.table()) {}

void format_heads(MutableBytes memory, TableRef table, uint64_t begin, uint64_t end,
                  pool::Persist& persist) noexcept {
  Bucket empty{};
  for (uint64_t i = begin; i < end; ++i) {
    empty.header = chain_header(table.version(), i);
    store(memory.data() + table.offset_bytes() + i * sizeof(Bucket), empty);
  }
  persist.flush(memory.data() + table.offset_bytes() + begin * sizeof(Bucket),
                (end - begin) * sizeof(Bucket));
}

}  // namespace dinomo::index
