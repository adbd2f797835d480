// SPDX-License-Identifier: BSD-3-Clause
// A store in one map that decides every operation as a KN does, and answers a stream of
// memcached commands with it: what the parser and the replies are held against memcached with.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "memcached/operation.h"
#include "pool/format.h"

namespace dinomo::memcached {

class ModelStore {
 public:
  explicit ModelStore(uint64_t unix_ms) : unix_ms_(unix_ms) {}

  /// What all the commands of `input` are answered, one behind the other.
  std::string serve(std::string_view input) {
    std::string out;
    while (!input.empty()) {
      const Parsed p = parse(as_bytes(input), input.size() + 1);
      if (p.kind == Parsed::Kind::kIncomplete || p.kind == Parsed::Kind::kHopeless) break;
      if (p.kind == Parsed::Kind::kCommand && p.command.verb == Verb::kQuit) break;
      out += answer(p);
      input.remove_prefix(p.consumed);
    }
    return out;
  }

  Outcome execute(const kn::Operation& o) {
    const std::string key(as_text(o.key));
    const auto at = items_.find(key);
    const bool there = at != items_.end() &&
                       (at->second.meta.expiry_ms == 0 || at->second.meta.expiry_ms > unix_ms_);
    if (o.opcode == wire::Opcode::kGet) {
      return there ? told(at->second) : Outcome{.status = wire::Status::kNotFound};
    }
    kn::Item old;
    if (there) old = {as_bytes(at->second.value), at->second.meta};
    const kn::Decision d = kn::decide(o, there ? &old : nullptr, scratch_);
    if (d.status != wire::Status::kOk) return {.status = d.status};
    if (d.remove) {
      items_.erase(at);
      return {};
    }
    StoredItem made;
    made.value = as_text(d.value);
    made.meta.version = ++versions_;
    made.meta.expiry_ms = d.expiry_ms;
    made.meta.item_flags = d.item_flags;
    return told(items_[key] = std::move(made));
  }

 private:
  struct StoredItem {
    std::string value;
    cache::ItemMeta meta;
  };

  static Outcome told(const StoredItem& i) {
    return {.item = {i.meta.version, i.meta.expiry_ms, i.meta.item_flags, 0},
            .value = as_bytes(i.value)};
  }

  std::string answer(const Parsed& p) {
    if (p.kind == Parsed::Kind::kRefused) {
      return p.silent ? "" : std::string(p.refusal) + "\r\n";
    }
    const Command& c = p.command;
    switch (c.verb) {
      case Verb::kMetaNoop: return std::string(kMetaNoopReply);
      case Verb::kVersion: return "VERSION model\r\n";
      case Verb::kVerbosity: return c.noreply ? "" : "OK\r\n";
      case Verb::kFlushAll: return c.noreply ? "" : std::string(kFlushRefusal);
      case Verb::kStats: return std::string(kEnd);
      default: break;
    }
    if (!is_retrieval(c.verb)) {
      std::array<std::byte, kKeyBytesMax> room;
      const Bytes key = binary_key(c, &room);
      return say(c, c.keys, execute(to_operation(c, key, unix_ms_)));
    }
    std::string out;
    std::string_view keys = c.keys;
    for (std::string_view k = next_key(&keys); !k.empty(); k = next_key(&keys)) {
      out += say(c, k, execute(to_operation(c, as_bytes(k), unix_ms_)));
    }
    return out + std::string(kEnd);
  }

  std::string say(const Command& c, std::string_view key, const Outcome& o) const {
    std::array<char, kReplyHeadBytesMax> head;
    const Reply r = format_reply(c, key, o, unix_ms_, &head);
    std::string text(head.data(), r.head_bytes);
    if (r.with_value) text += as_text(o.value);
    return text + std::string(r.tail);
  }

  uint64_t unix_ms_;
  uint64_t versions_ = 0;
  std::map<std::string, StoredItem> items_;
  std::vector<std::byte> scratch_ = std::vector<std::byte>(pool::kValueBytesMax);
};

}  // namespace dinomo::memcached
