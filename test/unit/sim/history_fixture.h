// SPDX-License-Identifier: BSD-3-Clause
// Histories written as one line an operation.
#pragma once

#include <string>

#include "sim/checker.h"

namespace dinomo::test {

/// Builds histories of one key: times are small numbers, clients do not matter.
class HistoryBuilder {
 public:
  sim::Operation& add(wire::Opcode opcode, uint64_t from, uint64_t to,
                      wire::Status status = wire::Status::kOk) {
    sim::Operation& o = history.emplace_back();
    o.opcode = opcode;
    o.key = key;
    o.invoke_ns = from;
    o.return_ns = to;
    o.status = status;
    return o;
  }
  sim::Operation& put(uint64_t from, uint64_t to, const std::string& value) {
    sim::Operation& o = add(wire::Opcode::kPut, from, to);
    o.value = value;
    return o;
  }
  sim::Operation& get(uint64_t from, uint64_t to, const std::string& value) {
    sim::Operation& o = add(wire::Opcode::kGet, from, to);
    o.result = value;
    return o;
  }
  sim::Operation& absent(uint64_t from, uint64_t to) {
    return add(wire::Opcode::kGet, from, to, wire::Status::kNotFound);
  }
  sim::Operation& erase(uint64_t from, uint64_t to, wire::Status status = wire::Status::kOk) {
    return add(wire::Opcode::kDelete, from, to, status);
  }
  sim::Operation& incr(uint64_t from, uint64_t to, uint64_t delta, const std::string& result) {
    sim::Operation& o = add(wire::Opcode::kIncr, from, to);
    o.delta = delta;
    o.create = true;
    o.result = result;
    return o;
  }
  sim::CheckReport check(const sim::CheckOptions& options = {}) const {
    return sim::check_linearizable(history, options);
  }
  bool good(const sim::CheckOptions& options = {}) const {
    return check(options).verdict == sim::Verdict::kLinearizable;
  }
  bool bad(const sim::CheckOptions& options = {}) const {
    return check(options).verdict == sim::Verdict::kNotLinearizable;
  }

  sim::History history;
  std::string key = "k";
};

}  // namespace dinomo::test
