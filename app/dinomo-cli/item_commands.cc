// SPDX-License-Identifier: BSD-3-Clause
#include <iostream>

#include "commands.h"
#include "text.h"

namespace dinomo::cli {

using client::PutOptions;
using client::Reply;

namespace {

/// What `get` and its kin tell beside the value.
json item_of(const Settings& s, const Reply& reply) {
  json extra = json::object();
  if (reply.status != Status::kOk) return extra;
  if (s.output.empty()) add_bytes(&extra, "value", reply.text());
  extra["value_bytes"] = reply.value.size();
  extra["flags"] = reply.item.item_flags;
  extra["version"] = reply.version;
  if (reply.item.expiry_ms != 0) extra["expiry_unix_ms"] = reply.item.expiry_ms;
  return extra;
}

int show_item(Session& session, const Settings& s, const Reply& reply) {
  session.remark(reply);
  const int status = session.judge(reply);
  if (s.json_output) print_json(reply, s.key, item_of(s, reply));
  return status == kOk ? write_value(s, reply.text()) : status;
}

/// Of a mutation without a result of its own.
int show_outcome(Session& session, const Settings& s, const Reply& reply, json extra) {
  session.remark(reply);
  const int status = session.judge(reply);
  if (!s.json_output) return status;
  if (status == kOk) extra["version"] = reply.version;
  print_json(reply, s.key, extra);
  return status;
}

template <class Store>
int store(Session& session, const Settings& s, Store call) {
  std::string value;
  if (const int status = read_value(s, &value); status != kOk) return status;
  const PutOptions options{.ttl_ms = s.ttl_ms, .item_flags = s.item_flags};
  const Reply reply = call(session.call(), as_bytes(s.key), as_bytes(value), options);
  return show_outcome(session, s, reply, {{"value_bytes", value.size()}});
}

int show_number(Session& session, const Settings& s, const Reply& reply) {
  if (reply.status != Status::kOk) return show_outcome(session, s, reply, json::object());
  const auto number = reply.number();
  if (!number) return complain(kRefused, "the server's answer is not a number");
  if (!s.json_output) std::cout << *number << '\n';
  return show_outcome(session, s, reply, {{"number", *number}});
}

}  // namespace

int run_get(Session& session, const Settings& s) {
  return show_item(session, s, session.call().get(as_bytes(s.key)));
}

int run_get_and_touch(Session& session, const Settings& s) {
  return show_item(session, s, session.call().get_and_touch(as_bytes(s.key), s.ttl_ms));
}

int run_get_many(Session& session, const Settings& s) {
  std::vector<Bytes> keys;
  keys.reserve(s.keys.size());
  for (const std::string& key : s.keys) keys.push_back(as_bytes(key));
  const std::vector<Reply> replies = session.call().get_many(keys);
  int worst = kOk;
  for (size_t i = 0; i < replies.size(); ++i) {
    session.remark(replies[i]);
    const int status =
        replies[i].status == Status::kNotFound ? kNotFound : session.judge(replies[i]);
    worst = std::max(worst, status);
    if (s.json_output) {
      print_json(replies[i], s.keys[i], item_of(s, replies[i]));
    } else {
      std::cout << replies[i].text() << '\n';
      if (status == kNotFound) complain(status, "no such key: " + s.keys[i]);
    }
  }
  return worst;
}

int run_put(Session& session, const Settings& s) {
  return store(session, s, [](auto& c, Bytes k, Bytes v, auto& o) { return c.put(k, v, o); });
}

int run_add(Session& session, const Settings& s) {
  return store(session, s, [](auto& c, Bytes k, Bytes v, auto& o) { return c.add(k, v, o); });
}

int run_replace(Session& session, const Settings& s) {
  return store(session, s, [](auto& c, Bytes k, Bytes v, auto& o) { return c.replace(k, v, o); });
}

int run_cas(Session& session, const Settings& s) {
  return store(session, s, [&s](auto& c, Bytes k, Bytes v, auto& o) {
    return c.compare_and_swap(k, s.version, v, o);
  });
}

int run_append(Session& session, const Settings& s) {
  return store(session, s, [](auto& c, Bytes k, Bytes v, auto&) { return c.append(k, v); });
}

int run_prepend(Session& session, const Settings& s) {
  return store(session, s, [](auto& c, Bytes k, Bytes v, auto&) { return c.prepend(k, v); });
}

int run_delete(Session& session, const Settings& s) {
  return show_outcome(session, s, session.call().remove(as_bytes(s.key)), json::object());
}

int run_increment(Session& session, const Settings& s) {
  const client::CounterOptions options{.initial = s.initial, .ttl_ms = s.ttl_ms};
  return show_number(session, s, session.call().increment(as_bytes(s.key), s.delta, options));
}

int run_decrement(Session& session, const Settings& s) {
  const client::CounterOptions options{.initial = s.initial, .ttl_ms = s.ttl_ms};
  return show_number(session, s, session.call().decrement(as_bytes(s.key), s.delta, options));
}

int run_touch(Session& session, const Settings& s) {
  return show_outcome(session, s, session.call().touch(as_bytes(s.key), s.ttl_ms), json::object());
}

}  // namespace dinomo::cli
