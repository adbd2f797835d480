// SPDX-License-Identifier: BSD-3-Clause
// Dinomo's client library for C++17 and later. Header-only over the C interface (dinomo.h), whose
// rules on threads, order, bounds and deadlines hold here, too; so one library serves every
// compiler and standard library. Link with `pkg-config --cflags --libs dinomo-client`.
//
//   dinomo::Client client("kn1,kn2:11300");
//   client.put("colour", "blue");
//   if (dinomo::Result r = client.get("colour")) std::cout << r.value;
//
//   client.submit(dinomo::op::get("colour"), [](const dinomo_result& r) { ... });  // asynchronous
//   client.flush();
//   while (client.in_flight() != 0) client.poll(-1);
//
// A Result tells how an operation ended; it is no exception that a key is absent or a server away.
// Exceptions: Error from the constructor; whatever callbacks throw, from the call that ran them.
#pragma once

#include <dinomo/dinomo.h>

#include <cstdint>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace dinomo {

/// A client that could not be made.
class Error : public std::runtime_error {
 public:
  Error(dinomo_status status, const char* text) : std::runtime_error(text), status_(status) {}
  dinomo_status status() const noexcept { return status_; }

 private:
  dinomo_status status_;
};

/// A dinomo_result that owns its value.
struct Result {
  dinomo_status status = DINOMO_OK;
  std::string value;
  uint64_t version = 0;         // item version: what cas() compares
  uint64_t expiry_unix_ms = 0;  // 0: never
  uint64_t number = 0;          // incr(), decr()
  uint32_t item_flags = 0;
  uint32_t transmissions = 0;
  uint64_t latency_ns = 0;
  uint64_t tag = 0;

  Result() = default;
  explicit Result(const dinomo_result& r)
      : status(r.status),
        value(text_of(r)),
        version(r.version),
        expiry_unix_ms(r.expiry_unix_ms),
        number(r.number),
        item_flags(r.item_flags),
        transmissions(r.transmissions),
        latency_ns(r.latency_ns),
        tag(r.tag) {}

  bool ok() const noexcept { return status == DINOMO_OK; }
  explicit operator bool() const noexcept { return ok(); }
  /// A sentence for people.
  const char* reason() const noexcept { return dinomo_status_text(status); }

 private:
  static std::string_view text_of(const dinomo_result& r) noexcept {
    return {static_cast<const char*>(r.value), r.value_bytes};
  }
};

/// The value of a result that a callback was given; valid only during the callback.
inline std::string_view value_of(const dinomo_result& r) noexcept {
  return {static_cast<const char*>(r.value), r.value_bytes};
}

struct PutOptions {
  uint64_t ttl_ms = 0;      // from now; 0: never expires
  uint32_t item_flags = 0;  // opaque, stored with the item
};

/// Operations for submit(), call() and call_many(). They refer to key and value, which must live
/// until that call returns.
namespace op {

inline dinomo_operation keyed(dinomo_opcode opcode, std::string_view key) noexcept {
  dinomo_operation o{};
  o.opcode = opcode;
  o.key = key.data();
  o.key_bytes = key.size();
  return o;
}
inline dinomo_operation storing(dinomo_opcode opcode, std::string_view key, std::string_view value,
                                const PutOptions& options) noexcept {
  dinomo_operation o = keyed(opcode, key);
  o.value = value.data();
  o.value_bytes = value.size();
  o.ttl_ms = options.ttl_ms;
  o.item_flags = options.item_flags;
  return o;
}
inline dinomo_operation get(std::string_view key) noexcept { return keyed(DINOMO_GET, key); }
inline dinomo_operation put(std::string_view key, std::string_view value,
                            const PutOptions& options = {}) noexcept {
  return storing(DINOMO_PUT, key, value, options);
}
inline dinomo_operation add(std::string_view key, std::string_view value,
                            const PutOptions& options = {}) noexcept {
  return storing(DINOMO_ADD, key, value, options);
}
inline dinomo_operation replace(std::string_view key, std::string_view value,
                                const PutOptions& options = {}) noexcept {
  return storing(DINOMO_REPLACE, key, value, options);
}
inline dinomo_operation cas(std::string_view key, uint64_t version, std::string_view value,
                            const PutOptions& options = {}) noexcept {
  dinomo_operation o = storing(DINOMO_CAS, key, value, options);
  o.version = version;
  return o;
}
inline dinomo_operation append(std::string_view key, std::string_view value) noexcept {
  return storing(DINOMO_APPEND, key, value, {});
}
inline dinomo_operation prepend(std::string_view key, std::string_view value) noexcept {
  return storing(DINOMO_PREPEND, key, value, {});
}
inline dinomo_operation remove(std::string_view key) noexcept { return keyed(DINOMO_DELETE, key); }
inline dinomo_operation incr(std::string_view key, uint64_t delta = 1) noexcept {
  dinomo_operation o = keyed(DINOMO_INCR, key);
  o.delta = delta;
  return o;
}
inline dinomo_operation decr(std::string_view key, uint64_t delta = 1) noexcept {
  dinomo_operation o = keyed(DINOMO_DECR, key);
  o.delta = delta;
  return o;
}
/// Makes the item with the number `initial` if there is none.
inline dinomo_operation counter(std::string_view key, uint64_t delta, uint64_t initial,
                                uint64_t ttl_ms = 0) noexcept {
  dinomo_operation o = incr(key, delta);
  o.create = 1;
  o.initial = initial;
  o.ttl_ms = ttl_ms;
  return o;
}
inline dinomo_operation touch(std::string_view key, uint64_t ttl_ms) noexcept {
  dinomo_operation o = keyed(DINOMO_TOUCH, key);
  o.ttl_ms = ttl_ms;
  return o;
}
inline dinomo_operation get_and_touch(std::string_view key, uint64_t ttl_ms) noexcept {
  dinomo_operation o = keyed(DINOMO_GET_AND_TOUCH, key);
  o.ttl_ms = ttl_ms;
  return o;
}
inline dinomo_operation ping() noexcept { return keyed(DINOMO_PING, {}); }
inline dinomo_operation stats() noexcept { return keyed(DINOMO_STATS, {}); }

}  // namespace op

class Client {
 public:
  /// `servers`: "host[:port],..."; nullptr: $DINOMO_SERVER, else 127.0.0.1:11300. Options that are
  /// 0 have their defaults. Throws Error. Sends nothing yet.
  explicit Client(const char* servers = nullptr, const dinomo_options& options = {})
      : failure_(std::make_unique<std::exception_ptr>()) {
    dinomo_client* c = nullptr;
    const dinomo_status status = dinomo_open(servers, &options, &c);
    if (status != DINOMO_OK) throw Error(status, dinomo_open_error());
    handle_.reset(c);
  }
  explicit Client(const std::string& servers, const dinomo_options& options = {})
      : Client(servers.c_str(), options) {}

  // Blocking.
  Result call(const dinomo_operation& operation) {
    dinomo_result r{};
    dinomo_call(handle_.get(), &operation, &r);
    rethrow();
    return Result(r);
  }
  /// Results in the order of the operations; there is no order in which they are carried out.
  std::vector<Result> call_many(const std::vector<dinomo_operation>& operations) {
    std::vector<dinomo_result> raw(operations.size());
    dinomo_call_many(handle_.get(), operations.data(), operations.size(), raw.data());
    rethrow();
    std::vector<Result> results;
    results.reserve(raw.size());
    for (const dinomo_result& r : raw) results.emplace_back(r);
    return results;
  }
  Result get(std::string_view key) { return call(op::get(key)); }
  Result put(std::string_view key, std::string_view value, const PutOptions& options = {}) {
    return call(op::put(key, value, options));
  }
  Result add(std::string_view key, std::string_view value, const PutOptions& options = {}) {
    return call(op::add(key, value, options));
  }
  Result replace(std::string_view key, std::string_view value, const PutOptions& options = {}) {
    return call(op::replace(key, value, options));
  }
  Result cas(std::string_view key, uint64_t version, std::string_view value,
             const PutOptions& options = {}) {
    return call(op::cas(key, version, value, options));
  }
  Result append(std::string_view key, std::string_view value) {
    return call(op::append(key, value));
  }
  Result prepend(std::string_view key, std::string_view value) {
    return call(op::prepend(key, value));
  }
  Result remove(std::string_view key) { return call(op::remove(key)); }
  Result incr(std::string_view key, uint64_t delta = 1) { return call(op::incr(key, delta)); }
  Result decr(std::string_view key, uint64_t delta = 1) { return call(op::decr(key, delta)); }
  Result touch(std::string_view key, uint64_t ttl_ms) { return call(op::touch(key, ttl_ms)); }
  Result get_and_touch(std::string_view key, uint64_t ttl_ms) {
    return call(op::get_and_touch(key, ttl_ms));
  }
  Result ping() { return call(op::ping()); }
  Result stats() { return call(op::stats()); }
  dinomo_status connect() {
    const dinomo_status status = dinomo_connect(handle_.get());
    rethrow();
    return status;
  }

  // Asynchronous.
  /// `done(const dinomo_result&)` is called by poll(), by a blocking call, or, with DINOMO_CLOSED,
  /// by the destructor. It may call submit(). Statuses as dinomo_submit.
  template <class Done>
  dinomo_status submit(dinomo_operation operation, Done&& done) {
    using Stored = Pending<std::decay_t<Done>>;
    auto pending = std::make_unique<Stored>(Stored{std::forward<Done>(done), failure_.get()});
    operation.callback = Stored::run;
    operation.context = pending.get();
    const dinomo_status status = dinomo_submit(handle_.get(), &operation);
    if (status == DINOMO_OK) pending.release();  // run() has it now
    return status;
  }
  void flush() noexcept { dinomo_flush(handle_.get()); }
  uint32_t poll(int timeout_ms = 0) {
    const uint32_t ended = dinomo_poll(handle_.get(), timeout_ms);
    rethrow();
    return ended;
  }
  uint32_t in_flight() const noexcept { return dinomo_in_flight(handle_.get()); }

  /// For everything that dinomo.h has besides.
  dinomo_client* handle() noexcept { return handle_.get(); }

 private:
  struct Close {
    void operator()(dinomo_client* c) const noexcept { dinomo_close(c); }
  };

  template <class Done>
  struct Pending {
    Done done;
    std::exception_ptr* failure;

    static void run(void* context, const dinomo_result* result) noexcept {
      const std::unique_ptr<Pending> self(static_cast<Pending*>(context));
      try {
        self->done(*result);
      } catch (...) {
        if (!*self->failure) *self->failure = std::current_exception();
      }
    }
  };

  void rethrow() {
    if (*failure_) std::rethrow_exception(std::exchange(*failure_, nullptr));
  }

  std::unique_ptr<std::exception_ptr> failure_;   // the first that a callback has thrown
  std::unique_ptr<dinomo_client, Close> handle_;  // destroyed first
};

}  // namespace dinomo
