// SPDX-License-Identifier: BSD-3-Clause
// A store in one map that gives every operation the meaning it has on a KN, and answers a stream of
// memcached commands with it: what the parser and the replies are held against memcached with.
#pragma once

#include <charconv>
#include <map>
#include <string>
#include <string_view>

#include "memcached/operation.h"

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

  Outcome execute(const Operation& o, const std::string& key, Bytes value) {
    using wire::Opcode;
    using wire::Status;
    const auto at = live(key);
    const bool there = at != items_.end();
    switch (o.opcode) {
      case Opcode::kGet: return there ? read(at->second) : failed(Status::kNotFound);
      case Opcode::kGetAndTouch:
        if (!there) return failed(Status::kNotFound);
        touch(&at->second, load<wire::TouchExtras>(o.extras.data()).ttl_ms);
        return read(at->second);
      case Opcode::kTouch:
        if (!there) return failed(Status::kNotFound);
        touch(&at->second, load<wire::TouchExtras>(o.extras.data()).ttl_ms);
        return {};
      case Opcode::kDelete:
        if (!there) return failed(Status::kNotFound);
        items_.erase(at);
        return {};
      case Opcode::kIncr:
      case Opcode::kDecr: return count(o, key);
      case Opcode::kCas: {
        const auto cas = load<wire::CasExtras>(o.extras.data());
        if (!there) return failed(Status::kNotFound);
        if (at->second.version != cas.version) return failed(Status::kExists);
        return put(key, std::string(as_text(value)), cas.put);
      }
      case Opcode::kAdd:
        if (there) return failed(Status::kExists);
        break;
      case Opcode::kReplace:
        if (!there) return failed(Status::kNotStored);
        break;
      case Opcode::kAppend:
      case Opcode::kPrepend: {
        if (!there) return failed(Status::kNotStored);
        Item& item = at->second;
        const std::string added(as_text(value));
        item.value = o.opcode == Opcode::kAppend ? item.value + added : added + item.value;
        item.version = ++versions_;
        return version_of(item);
      }
      default: break;
    }
    return put(key, std::string(as_text(value)), load<wire::PutExtras>(o.extras.data()));
  }

 private:
  struct Item {
    std::string value;
    uint32_t flags = 0;
    uint64_t version = 0;
    uint64_t expiry_ms = 0;
  };
  using Items = std::map<std::string, Item>;

  static Outcome failed(wire::Status s) { return {.status = s}; }
  static Outcome version_of(const Item& i) {
    return {.item = {i.version, i.expiry_ms, i.flags, 0}};
  }
  static Outcome read(const Item& i) {
    Outcome o = version_of(i);
    o.value = as_bytes(i.value);
    return o;
  }

  Items::iterator live(const std::string& key) {
    const auto at = items_.find(key);
    // A lifetime of 1 ms stands for "at once".
    if (at != items_.end() && at->second.expiry_ms != 0 && at->second.expiry_ms <= unix_ms_ + 1) {
      items_.erase(at);
      return items_.end();
    }
    return at;
  }
  void touch(Item* item, uint64_t ttl_ms) const {
    item->expiry_ms = ttl_ms != 0 ? unix_ms_ + ttl_ms : 0;
  }
  Outcome put(const std::string& key, std::string value, const wire::PutExtras& extras) {
    Item& item = items_[key];
    item = {std::move(value), extras.item_flags, ++versions_, 0};
    touch(&item, extras.ttl_ms);
    return version_of(item);
  }
  Outcome count(const Operation& o, const std::string& key) {
    const auto c = load<wire::CounterExtras>(o.extras.data());
    const auto at = live(key);
    if (at == items_.end()) {
      if (c.create == 0) return failed(wire::Status::kNotFound);
      number_ = std::to_string(c.initial);
      Outcome made = put(key, number_, {c.ttl_ms, 0, 0});
      made.value = as_bytes(number_);
      return made;
    }
    const auto old = parse_number<uint64_t>(at->second.value);
    if (!old) return failed(wire::Status::kNotNumber);
    const uint64_t less = *old > c.delta ? *old - c.delta : 0;
    at->second.value = std::to_string(o.opcode == wire::Opcode::kIncr ? *old + c.delta : less);
    at->second.version = ++versions_;
    return read(at->second);
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
      return say(c, c.keys, execute(to_operation(c, unix_ms_), std::string(as_text(key)), c.value));
    }
    std::string out;
    std::string_view keys = c.keys;
    for (std::string_view k = next_key(&keys); !k.empty(); k = next_key(&keys)) {
      out += say(c, k, execute(to_operation(c, unix_ms_), std::string(k), {}));
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
  Items items_;
  std::string number_;
};

}  // namespace dinomo::memcached
