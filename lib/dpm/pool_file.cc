// SPDX-License-Identifier: BSD-3-Clause
#include "dpm/pool_file.h"

#include <fcntl.h>
#include <libpmemobj.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "common/align.h"
#include "dpm/pool_shares.h"
#include "dpm/pool_storage.h"
#include "index/index_writer.h"

namespace dinomo::dpm {

namespace {

constexpr uint16_t kFirstTableVersion = 1;
constexpr uint64_t kIndexBucketsMin = 1024;
constexpr uint64_t kPoolBytesPerBucket = 16384;
constexpr uint64_t kPoolStepBytes = uint64_t{1} << 20;

Status fail(Status status, std::string* why, std::string text) {
  if (why != nullptr) *why = std::move(text);
  return status;
}

PMEMobjpool* pop(void* handle) noexcept { return static_cast<PMEMobjpool*>(handle); }

/// For what comes out of a damaged file: bytes that a terminal cannot show become '?'.
std::string printable(std::string text) {
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '?';
  }
  return text;
}

/// libpmemobj keeps this setting for the whole process.
class CopyOnWrite {
 public:
  explicit CopyOnWrite(bool on) noexcept : on_(on) { set(on_ ? 1 : 0); }
  ~CopyOnWrite() {
    if (on_) set(0);
  }
  CopyOnWrite(const CopyOnWrite&) = delete;
  CopyOnWrite& operator=(const CopyOnWrite&) = delete;

 private:
  static void set(int value) noexcept { pmemobj_ctl_set(nullptr, "copy_on_write.at_open", &value); }
  const bool on_;
};

struct Preparation {
  pool::Space::Prepare prepare;
  uint64_t bytes;
};

int construct(PMEMobjpool* handle, void* object, void* argument) noexcept {
  const auto* p = static_cast<const Preparation*>(argument);
  const auto address = reinterpret_cast<uintptr_t>(object);
  std::byte* aligned =
      static_cast<std::byte*>(object) + (align_up<uintptr_t>(address, kCacheLineBytes) - address);
  if (p->prepare != nullptr) p->prepare(aligned);
  pmemobj_persist(handle, aligned, p->bytes);
  return 0;
}

pool::SpaceObject aligned_object(PMEMoid oid) noexcept {
  const uint64_t offset = align_up<uint64_t>(oid.off, kCacheLineBytes);
  return {offset, oid.off + pmemobj_alloc_usable_size(oid) - offset};
}

}  // namespace

uint64_t default_index_buckets(uint64_t pool_bytes) noexcept {
  return std::max(kIndexBucketsMin, std::bit_floor(pool_bytes / kPoolBytesPerBucket));
}

PoolFile::~PoolFile() { close(); }

void PoolFile::close() noexcept {
  if (handle_ != nullptr) pmemobj_close(pop(handle_));
  handle_ = nullptr;
}

Result<std::unique_ptr<PoolFile>> PoolFile::open(const PoolOptions& options, std::string* why) {
  std::unique_ptr<PoolFile> file(new PoolFile);
  struct stat info{};
  const bool exists = stat(options.path.c_str(), &info) == 0;
  const int error = errno;
  if (!exists && error != ENOENT) {
    return std::unexpected(fail(status_of_errno(error), why,
                                "cannot look at " + options.path + ": " + std::strerror(error)));
  }
  if (!exists && !options.create) {
    return std::unexpected(
        fail(Status::kNotFound, why,
             "there is no pool at " + options.path +
                 "; change `pool`, or start dinomo-dpm with --create to make one"));
  }
  if (!exists) {
    if (const Status s = file->create(options, why); !ok(s)) return std::unexpected(s);
  }
  if (const Status s = file->attach(options, why); !ok(s)) return std::unexpected(s);
  if (const Status s = file->check_root(options, why); !ok(s)) return std::unexpected(s);
  if (const Status s = file->choose_persistence(options, why); !ok(s)) return std::unexpected(s);
  file->created_ |= !exists;
  return file;
}

Status PoolFile::create(const PoolOptions& options, std::string* why) {
  const uint64_t buckets = options.index_buckets != 0 ? options.index_buckets
                                                      : default_index_buckets(options.pool_bytes);
  if (!std::has_single_bit(buckets) || buckets < kIndexBucketsMin) {
    return fail(Status::kInvalid, why,
                "index_buckets must be a power of two of at least 1024, or 0 for the default");
  }
  const uint64_t root = pool::root_bytes(options.geometry);
  const uint64_t segment_bytes = fitted_segment_bytes(options.geometry.segment_bytes);
  if (segments_that_fit(options.pool_bytes, root, buckets, segment_bytes) < kSegmentsMin) {
    uint64_t enough = options.pool_bytes;
    while (segments_that_fit(enough, root, buckets, segment_bytes) < kSegmentsMin) {
      enough += kPoolStepBytes;
    }
    return fail(Status::kInvalid, why,
                "pool_bytes of " + mib(options.pool_bytes) +
                    " is too small for its directory, index and segments; it takes at least " +
                    mib(enough) + ", or a smaller segment_bytes");
  }
  if (const Status s = check_room(options.path, options.pool_bytes, why); !ok(s)) return s;
  // Made under another name and renamed when complete, so that a crash never leaves half a pool.
  const std::string draft = options.path + ".new";
  if (const int fd = ::open(draft.c_str(), O_RDWR | O_CLOEXEC); fd >= 0) {
    const bool idle = flock(fd, LOCK_EX | LOCK_NB) == 0;
    ::close(fd);
    if (!idle) {
      return fail(Status::kBusy, why,
                  draft + " is in use: another dinomo-dpm is creating this pool; wait for it");
    }
    unlink(draft.c_str());
  }
  handle_ = pmemobj_create(draft.c_str(), pool::kLayoutName, options.pool_bytes, 0600);
  if (handle_ == nullptr) {
    const int error = errno;
    unlink(draft.c_str());
    return fail(status_of_errno(error), why,
                "cannot create a pool of " + mib(options.pool_bytes) + " at " + options.path +
                    ": " + std::strerror(error) + " (" + pmemobj_errormsg() + ")");
  }
  memory_ = {reinterpret_cast<std::byte*>(handle_), options.pool_bytes};
  const Status formatted = format(options, why);
  close();
  if (!ok(formatted)) {
    unlink(draft.c_str());
    return formatted;
  }
  if (!make_durable(draft) || (syscall(SYS_renameat2, AT_FDCWD, draft.c_str(), AT_FDCWD,
                                       options.path.c_str(), 1u /* RENAME_NOREPLACE */) != 0 &&
                               link(draft.c_str(), options.path.c_str()) != 0)) {
    const int error = errno;
    unlink(draft.c_str());
    return fail(status_of_errno(error), why,
                "cannot put the new pool at " + options.path + ": " + std::strerror(error));
  }
  unlink(draft.c_str());
  if (!make_durable(directory_of(options.path))) {
    return fail(Status::kInternal, why,
                "the new pool at " + options.path +
                    " may not survive a power failure: " + std::strerror(errno));
  }
  return Status::kOk;
}

Status PoolFile::format(const PoolOptions& options, std::string* why) {
  PMEMobjpool* p = pop(handle_);
  const uint64_t root = pool::root_bytes(options.geometry);
  const PMEMoid oid = pmemobj_root(p, root + kCacheLineBytes);
  if (OID_IS_NULL(oid)) {
    return fail(Status::kNoSpace, why, "pool_bytes is too small for the directory");
  }
  superblock_offset_ = align_up<uint64_t>(oid.off, kCacheLineBytes);
  const uint64_t buckets =
      options.index_buckets != 0 ? options.index_buckets : default_index_buckets(memory_.size());
  const auto table =
      allocate(pool::ObjectType::kIndexTable, buckets * sizeof(index::Bucket), nullptr, 0);
  // Overflow buckets for a full table at two items a bucket, taken now so that merging never lacks
  // them because segments took all memory.
  const auto overflow =
      allocate(pool::ObjectType::kOverflow, buckets * 3 / 16 * sizeof(index::Bucket), nullptr, 0);
  if (!table || !overflow) {
    return fail(Status::kNoSpace, why,
                "the index does not fit the pool; set a larger pool_bytes or fewer index_buckets");
  }
  // msync is right for every kind of file, and no DAX device knows it.
  persist_ = pool::make_persist(device_ ? pool::Persistence::kDax : pool::Persistence::kMsync);
  const pool::TableRef first(table->offset, static_cast<uint32_t>(std::countr_zero(buckets)),
                             kFirstTableVersion);
  index::format_heads(memory_, first, 0, buckets, *persist_);
  pool::PoolGeometry geometry = options.geometry;
  geometry.segment_bytes = fitted_segment_bytes(geometry.segment_bytes);
  const pool::Superblock s =
      pool::make_superblock(geometry, superblock_offset_, memory_.size(), options.uuid,
                            options.hash_seed, options.unix_ms);
  auto* index_root = record<pool::IndexRoot>(s.index_root_offset);
  index_root->current = first.word();
  index_root->buckets_min = buckets;
  record<pool::PoolState>(s.state_offset)->clean_shutdown = pool::kCleanShutdown;
  persist_->persist(at(superblock_offset_), root);
  *record<pool::Superblock>(superblock_offset_) = s;
  persist_->persist(at(superblock_offset_), sizeof s);
  return Status::kOk;
}

Status PoolFile::attach(const PoolOptions& options, std::string* why) {
  const std::string& path = options.path;
  struct stat info{};
  if (stat(path.c_str(), &info) != 0) {
    return fail(status_of_errno(errno), why,
                "cannot look at " + path + ": " + std::strerror(errno));
  }
  if (access(path.c_str(), R_OK | W_OK) != 0) {
    return fail(Status::kInvalid, why,
                "no permission to read and write " + path + "; change its owner or mode");
  }
  device_ = S_ISCHR(info.st_mode);
  if (!device_ && !S_ISREG(info.st_mode)) {
    return fail(Status::kInvalid, why, path + " is neither a file nor a DAX device");
  }
  if (!device_ && static_cast<uint64_t>(info.st_size) < PMEMOBJ_MIN_POOL) {
    return fail(Status::kCorrupt, why,
                path + " has " + std::to_string(info.st_size) +
                    " bytes, too few for any pool: it is no pool, or it was truncated; restore it");
  }
  if (device_ && options.copy_on_write) {
    return fail(Status::kUnsupported, why,
                path +
                    " is a DAX device, which cannot be mapped without being changed; copy it to a "
                    "file (dd) and look at that");
  }
  const CopyOnWrite copy_on_write(options.copy_on_write);
  handle_ = pmemobj_open(path.c_str(), nullptr);  // any layout: a wrong one gets its own message
  if (handle_ == nullptr) {
    const int error = errno;
    if (error == EAGAIN || error == EWOULDBLOCK) {
      return fail(Status::kBusy, why,
                  path +
                      " is open in another process; only one dinomo-dpm may serve a pool: stop "
                      "the other one first");
    }
    return fail(status_of_errno(error), why,
                path + " cannot be opened as a pool: it is none, or it was damaged or truncated (" +
                    printable(pmemobj_errormsg()) +
                    "); look at it with `pmempool info` and restore a backup" +
                    (device_ ? std::string(", or make one with `pmempool create --layout ") +
                                   pool::kLayoutName + " obj " + path + "`"
                             : ""));
  }
  const uint64_t bytes = device_ ? device_bytes(info) : static_cast<uint64_t>(info.st_size);
  path_ = path;
  memory_ = {reinterpret_cast<std::byte*>(handle_), bytes};
  return Status::kOk;
}

Status PoolFile::check_root(const PoolOptions& options, std::string* why) {
  PMEMobjpool* p = pop(handle_);
  // The layout name is the first thing after the pool header (pmempool shows it there).
  constexpr uint64_t kLayoutOffset = 4096;
  const char* layout = reinterpret_cast<const char*>(memory_.data() + kLayoutOffset);
  const std::string name(layout, strnlen(layout, PMEMOBJ_MAX_LAYOUT));
  if (name != pool::kLayoutName) {
    return fail(name.starts_with("dinomo-") ? Status::kVersion : Status::kInvalid, why,
                path_ + " has layout \"" + printable(name) + "\", this build needs \"" +
                    pool::kLayoutName +
                    "\": it is a pool of another program or version; check `pool`");
  }
  if (options.create && pmemobj_root_size(p) == 0) {
    // Made empty by `pmempool create -l dinomo-1 obj`, which is how a DAX device gets its pool.
    created_ = true;
    if (const Status s = format(options, why); !ok(s)) return s;
  }
  const uint64_t root_bytes = pmemobj_root_size(p);
  if (root_bytes < sizeof(pool::Superblock) + kCacheLineBytes) {
    return fail(Status::kInvalid, why,
                path_ +
                    " has no superblock: it was never finished; "
                    "check `pool`, or start with --create to finish it");
  }
  const PMEMoid oid = pmemobj_root(p, root_bytes);
  superblock_offset_ = align_up<uint64_t>(oid.off, kCacheLineBytes);
  root_end_ = oid.off + root_bytes;
  const pool::Superblock& s = superblock();
  std::string reason;
  if (const Status status = pool::check_superblock(s, memory_.size(), &reason); !ok(status)) {
    return fail(status, why, path_ + ": " + reason);
  }
  if (s.sessions_offset + s.session_count * pool::session_bytes(s.session_window) > root_end_) {
    return fail(Status::kCorrupt, why,
                path_ +
                    ": a record lies outside of the pool: it was damaged; restore the pool from a "
                    "backup");
  }
  return check_index_root(why);
}

/// Both tables that the root may name are objects of the pool, large enough.
Status PoolFile::check_index_root(std::string* why) {
  const auto& root = *record<pool::IndexRoot>(superblock().index_root_offset);
  const std::vector<pool::SpaceObject> tables = objects(pool::ObjectType::kIndexTable);
  for (const pool::TableRef table : {pool::TableRef(root.current), pool::TableRef(root.next)}) {
    if (!table && table.word() == root.next) continue;
    const auto object = std::ranges::find(tables, table.offset_bytes(), &pool::SpaceObject::offset);
    if (object == tables.end() || table.buckets_log2() >= 40 ||
        table.buckets() * sizeof(index::Bucket) > object->bytes) {
      return fail(Status::kCorrupt, why,
                  path_ +
                      ": the index root names a table that is none: it was damaged; restore the "
                      "pool from a backup");
    }
  }
  return Status::kOk;
}

Status PoolFile::choose_persistence(const PoolOptions& options, std::string* why) {
  const bool dax = is_dax(path_);
  const bool memory_only = is_memory_file_system(path_);
  switch (options.persistence) {
    case PersistenceChoice::kAuto:
      domain_ = dax                          ? pool::Persistence::kDax
                : options.require_power_safe ? pool::Persistence::kMsync
                                             : pool::Persistence::kPageCache;
      break;
    case PersistenceChoice::kDax: domain_ = pool::Persistence::kDax; break;
    case PersistenceChoice::kPageCache: domain_ = pool::Persistence::kPageCache; break;
    case PersistenceChoice::kMsync: domain_ = pool::Persistence::kMsync; break;
  }
  if (domain_ == pool::Persistence::kDax && !dax) {
    return fail(Status::kUnsupported, why,
                "persistence = dax is demanded, but " + path_ +
                    " is not on a DAX device or file system; move the pool or set persistence = "
                    "auto, page-cache or msync");
  }
  if (options.require_power_safe &&
      (domain_ == pool::Persistence::kPageCache || (memory_only && !dax))) {
    return fail(
        Status::kUnsupported, why,
        "require_power_safe is set, but a pool at " + path_ + " with persistence = " +
            pool::persistence_name(domain_) + (memory_only ? " lies in memory and" : "") +
            " does not survive a power failure; use DAX, or a disk with persistence = msync");
  }
  persist_ = pool::make_persist(options.copy_on_write ? pool::Persistence::kPageCache : domain_);
  return Status::kOk;
}

Result<pool::SpaceObject> PoolFile::allocate(pool::ObjectType type, uint64_t bytes, Prepare prepare,
                                             uint64_t prepared_bytes) noexcept {
  Preparation preparation{prepare, prepared_bytes};
  const std::lock_guard lock(objects_mutex_);
  PMEMoid oid = OID_NULL;
  if (type == pool::ObjectType::kSegment && segments_left(bytes) == 0) {
    return std::unexpected(Status::kNoSpace);
  }
  if (pmemobj_alloc(pop(handle_), &oid, bytes + kAlignmentBytes, static_cast<uint64_t>(type),
                    prepare != nullptr ? construct : nullptr, &preparation) != 0) {
    return std::unexpected(Status::kNoSpace);
  }
  if (type == pool::ObjectType::kSegment) segments_.fetch_add(1, std::memory_order_relaxed);
  return aligned_object(oid);
}

void PoolFile::release(uint64_t offset) noexcept {
  const std::lock_guard lock(objects_mutex_);
  for (PMEMoid oid = pmemobj_first(pop(handle_)); !OID_IS_NULL(oid); oid = pmemobj_next(oid)) {
    if (aligned_object(oid).offset != offset) continue;
    if (pmemobj_type_num(oid) == static_cast<uint64_t>(pool::ObjectType::kSegment)) {
      segments_.fetch_sub(1, std::memory_order_relaxed);
    }
    pmemobj_free(&oid);
    return;
  }
}

uint64_t PoolFile::segments_left(uint64_t bytes) noexcept {
  const uint64_t first = record<pool::IndexRoot>(superblock().index_root_offset)->buckets_min;
  const uint64_t max =
      segments_that_fit(memory_.size(), root_end_ - superblock_offset_, first, bytes);
  const uint64_t used = segments_.load(std::memory_order_relaxed);
  return used < max ? max - used : 0;
}

std::vector<pool::SpaceObject> PoolFile::objects(pool::ObjectType type) {
  std::vector<pool::SpaceObject> found;
  for (PMEMoid oid = pmemobj_first(pop(handle_)); !OID_IS_NULL(oid); oid = pmemobj_next(oid)) {
    if (pmemobj_type_num(oid) == static_cast<uint64_t>(type)) found.push_back(aligned_object(oid));
  }
  if (type == pool::ObjectType::kSegment) {
    segments_.store(found.size(), std::memory_order_relaxed);
  }
  return found;
}

std::vector<pool::SpaceObject> PoolFile::strays() {
  std::vector<pool::SpaceObject> found;
  for (PMEMoid oid = pmemobj_first(pop(handle_)); !OID_IS_NULL(oid); oid = pmemobj_next(oid)) {
    const uint64_t type = pmemobj_type_num(oid);
    const pool::SpaceObject object = aligned_object(oid);
    const bool known = type >= static_cast<uint64_t>(pool::ObjectType::kSegment) &&
                       type <= static_cast<uint64_t>(pool::ObjectType::kPins);
    const bool small = type == static_cast<uint64_t>(pool::ObjectType::kSegment) &&
                       object.bytes < superblock().segment_bytes;
    if (!known || small) found.push_back(object);
  }
  return found;
}

Status PoolFile::check_allocator(const std::string& path, std::string* why) {
  if (pmemobj_check(path.c_str(), pool::kLayoutName) != 0) return Status::kOk;
  return fail(Status::kCorrupt, why, path + ": " + printable(pmemobj_errormsg()));
}

}  // namespace dinomo::dpm
