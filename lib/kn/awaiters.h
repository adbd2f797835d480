// SPDX-License-Identifier: BSD-3-Clause
// What a worker's coroutines wait for besides the fabric. Internal to lib/kn.
#pragma once

#include "kn/worker.h"

namespace dinomo::kn {

/// Until everything up to `lsn` is durable and shown. False if the log failed or the worker
/// detaches.
class [[nodiscard]] Worker::DurableAwaiter {
 public:
  DurableAwaiter(Worker& worker, uint64_t lsn) noexcept : worker_(worker) { waiter_.lsn = lsn; }
  DurableAwaiter(const DurableAwaiter&) = delete;
  DurableAwaiter& operator=(const DurableAwaiter&) = delete;

  bool await_ready() const noexcept { return worker_.shown_lsn_ >= waiter_.lsn; }
  void await_suspend(std::coroutine_handle<> handle) noexcept {
    waiter_.handle = handle;
    *worker_.lsn_waiters_end_ = &waiter_;
    worker_.lsn_waiters_end_ = &waiter_.next;
  }
  bool await_resume() const noexcept {
    return worker_.shown_lsn_ >= waiter_.lsn && !worker_.detaching_;
  }

 private:
  Worker& worker_;
  LsnWaiter waiter_;
};

/// A fetch from the index, which its owner frees afterwards.
class [[nodiscard]] Worker::FetchAwaiter {
 public:
  FetchAwaiter(Worker& worker, Fetch* fetch) noexcept : worker_(worker), fetch_(fetch) {}
  FetchAwaiter(const FetchAwaiter&) = delete;
  FetchAwaiter& operator=(const FetchAwaiter&) = delete;

  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> handle) noexcept {
    fetch_->parent = handle;
    fetch_->kept = true;
    const Task task = worker_.run_fetch(fetch_, {});
    if (task.started) return true;  // `this` may be gone by now
    fetch_->parent = {};
    fetch_->outcome = Outcome::kFailed;
    return false;
  }
  void await_resume() const noexcept {}

 private:
  Worker& worker_;
  Fetch* fetch_;
};

/// The live item of a key, if it has one: from the cache, or by a fetch of its own.
class [[nodiscard]] Worker::LookupAwaiter {
 public:
  LookupAwaiter(Worker& worker, const Request& r) noexcept
      : worker_(worker), hash_(r.hash), cache_hash_(r.cache_hash), key_(r.operation.key) {}
  LookupAwaiter(const LookupAwaiter&) = delete;
  LookupAwaiter& operator=(const LookupAwaiter&) = delete;

  bool await_ready() noexcept {
    const cache::Found found = worker_.dac_->find(cache_hash_, key_);
    shortcut_ = found.address;
    if (found.kind != cache::Found::Kind::kValue) return false;
    const uint64_t expiry_ms = found.meta.expiry_ms;
    looked_.started = true;
    looked_.outcome =
        expiry_ms != 0 && expiry_ms <= worker_.unix_ms_ ? Outcome::kAbsent : Outcome::kFound;
    looked_.item = {found.value, found.meta};
    return true;
  }
  bool await_suspend(std::coroutine_handle<> handle) noexcept {
    fetch_ = worker_.new_fetch(hash_, cache_hash_, key_);
    if (fetch_ == nullptr) return false;
    looked_.started = true;
    Fetch* fetch = fetch_;
    fetch->parent = handle;
    const Task task = worker_.run_fetch(fetch, shortcut_);
    if (task.started) return true;  // `this` may be gone by now
    fetch->parent = {};
    worker_.free_fetch(fetch);
    fetch_ = nullptr;
    looked_.started = false;
    return false;
  }
  /// Called while finish_fetch() still holds the fetch.
  Looked await_resume() noexcept {
    if (fetch_ == nullptr) return looked_;
    looked_.outcome = fetch_->outcome;
    if (looked_.outcome == Outcome::kFound) looked_.item = {fetch_->entry.value, meta_of(*fetch_)};
    return looked_;
  }

 private:
  Worker& worker_;
  uint64_t hash_;
  uint64_t cache_hash_;
  Bytes key_;
  pool::GlobalAddress shortcut_;
  Fetch* fetch_ = nullptr;
  Looked looked_;
};

}  // namespace dinomo::kn
