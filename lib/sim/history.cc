// SPDX-License-Identifier: BSD-3-Clause
#include "sim/history.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

namespace dinomo::sim {

namespace {

struct Name {
  wire::Opcode opcode;
  const char* name;
};
constexpr std::array kNames{
    Name{wire::Opcode::kGet, "GET"},         Name{wire::Opcode::kPut, "PUT"},
    Name{wire::Opcode::kDelete, "DELETE"},   Name{wire::Opcode::kAdd, "ADD"},
    Name{wire::Opcode::kReplace, "REPLACE"}, Name{wire::Opcode::kCas, "CAS"},
    Name{wire::Opcode::kAppend, "APPEND"},   Name{wire::Opcode::kPrepend, "PREPEND"},
    Name{wire::Opcode::kIncr, "INCR"},       Name{wire::Opcode::kDecr, "DECR"},
    Name{wire::Opcode::kTouch, "TOUCH"},     Name{wire::Opcode::kGetAndTouch, "GAT"},
};

struct StatusName {
  wire::Status status;
  const char* name;
};
constexpr std::array kStatusNames{
    StatusName{wire::Status::kOk, "OK"},
    StatusName{wire::Status::kNotFound, "NOT_FOUND"},
    StatusName{wire::Status::kExists, "EXISTS"},
    StatusName{wire::Status::kNotStored, "NOT_STORED"},
    StatusName{wire::Status::kNotNumber, "NOT_NUMBER"},
    StatusName{wire::Status::kBadRequest, "BAD_REQUEST"},
    StatusName{wire::Status::kTooLarge, "TOO_LARGE"},
    StatusName{wire::Status::kUnsupported, "UNSUPPORTED"},
    StatusName{wire::Status::kBadVersion, "BAD_VERSION"},
    StatusName{wire::Status::kNoSession, "NO_SESSION"},
    StatusName{wire::Status::kWrongOwner, "WRONG_OWNER"},
    StatusName{wire::Status::kMoving, "MOVING"},
    StatusName{wire::Status::kBusy, "BUSY"},
    StatusName{wire::Status::kNoSpace, "NO_SPACE"},
    StatusName{wire::Status::kInternal, "INTERNAL"},
};

const char* name_of(wire::Opcode opcode) noexcept {
  for (const Name& n : kNames) {
    if (n.opcode == opcode) return n.name;
  }
  return "?";
}

const char* name_of(wire::Status status) noexcept {
  for (const StatusName& n : kStatusNames) {
    if (n.status == status) return n.name;
  }
  return "?";
}

bool printable(std::string_view text) noexcept {
  return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f; });
}

std::string to_hex(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

int digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

using Json = nlohmann::ordered_json;

void put_text(Json* j, const std::string& field, const std::string& text) {
  if (printable(text)) {
    (*j)[field] = text;
  } else {
    (*j)[field + "_hex"] = to_hex(text);
  }
}

/// Reads fields by name; the first bad one is remembered.
class Fields {
 public:
  explicit Fields(const Json& json) : json_(json) {}

  uint64_t number(const char* field, uint64_t otherwise) {
    const auto it = json_.find(field);
    if (it == json_.end()) return otherwise;
    if (it->is_number_unsigned()) return it->get<uint64_t>();
    fail(field, "has to be a whole number from 0 on");
    return otherwise;
  }

  bool flag(const char* field) {
    const auto it = json_.find(field);
    if (it == json_.end()) return false;
    if (it->is_boolean()) return it->get<bool>();
    fail(field, "has to be true or false");
    return false;
  }

  bool has(const std::string& field) const { return json_.contains(field); }

  std::string text(const std::string& field) {
    if (const auto it = json_.find(field + "_hex"); it != json_.end()) {
      if (it->is_string()) return hex(field, it->get<std::string>());
      fail(field, "_hex has to be a string");
    }
    const auto it = json_.find(field);
    if (it == json_.end()) return {};
    if (it->is_string()) return it->get<std::string>();
    fail(field, "has to be a string");
    return {};
  }

  void fail(const std::string& field, const std::string& what) {
    if (why_.empty()) why_ = "field '" + field + "' " + what;
  }
  const std::string& why() const noexcept { return why_; }

 private:
  std::string hex(const std::string& field, const std::string& digits) {
    std::string text;
    bool good = digits.size() % 2 == 0;
    for (size_t i = 0; good && i < digits.size(); i += 2) {
      const int high = digit(digits[i]);
      const int low = digit(digits[i + 1]);
      good = high >= 0 && low >= 0;
      text += static_cast<char>(high << 4 | low);
    }
    if (!good) fail(field, "_hex has to be pairs of 0-9a-f");
    return text;
  }

  const Json& json_;
  std::string why_;
};

template <class Names, class Value>
bool find_name(const Names& names, const std::string& name, Value* value) {
  for (const auto& n : names) {
    if (name == n.name) {
      if constexpr (requires { n.opcode; }) {
        *value = n.opcode;
      } else {
        *value = n.status;
      }
      return true;
    }
  }
  return false;
}

}  // namespace

std::string to_json_line(const Operation& o) {
  Json j;
  j["client"] = o.client;
  j["op"] = name_of(o.opcode);
  put_text(&j, "key", o.key);
  if (!o.value.empty()) put_text(&j, "value", o.value);
  if (o.ttl_ms != 0) j["ttl_ms"] = o.ttl_ms;
  if (o.item_flags != 0) j["item_flags"] = o.item_flags;
  if (o.opcode == wire::Opcode::kCas) j["expected_version"] = o.expected_version;
  if (o.delta != 0) j["delta"] = o.delta;
  if (o.create) j["create"] = true;
  if (o.initial != 0) j["initial"] = o.initial;
  j["invoke_ns"] = o.invoke_ns;
  if (!o.answered()) return j.dump();
  j["return_ns"] = o.return_ns;
  j["status"] = name_of(o.status);
  if (!o.result.empty()) put_text(&j, "result", o.result);
  if (o.version != 0) j["version"] = o.version;
  if (o.has_item) {
    j["result_flags"] = o.result_flags;
    j["result_expiry_ms"] = o.result_expiry_ms;
  }
  return j.dump();
}

Result<Operation> from_json_line(std::string_view line, std::string* why) {
  const Json json = Json::parse(line, nullptr, false);
  if (!json.is_object()) {
    *why = "is no JSON object";
    return std::unexpected(Status::kInvalid);
  }
  Fields f(json);
  Operation o;
  if (!find_name(kNames, f.text("op"), &o.opcode)) f.fail("op", "names no operation on a key");
  o.client = f.number("client", 0);
  o.key = f.text("key");
  if (o.key.empty()) f.fail("key", "is missing or empty");
  o.value = f.text("value");
  o.ttl_ms = f.number("ttl_ms", 0);
  o.item_flags = static_cast<uint32_t>(f.number("item_flags", 0));
  o.expected_version = f.number("expected_version", 0);
  o.delta = f.number("delta", 0);
  o.initial = f.number("initial", 0);
  o.create = f.flag("create");
  if (!f.has("invoke_ns")) f.fail("invoke_ns", "is missing");
  o.invoke_ns = f.number("invoke_ns", 0);
  o.return_ns = f.number("return_ns", kNever);
  if (o.return_ns < o.invoke_ns) f.fail("return_ns", "is before invoke_ns");
  if (o.answered() && !find_name(kStatusNames, f.text("status"), &o.status)) {
    f.fail("status", "names no status of the protocol");
  }
  o.result = f.text("result");
  o.version = f.number("version", 0);
  o.has_item = f.has("result_flags") || f.has("result_expiry_ms");
  o.result_flags = static_cast<uint32_t>(f.number("result_flags", 0));
  o.result_expiry_ms = f.number("result_expiry_ms", 0);
  if (!f.why().empty()) {
    *why = f.why();
    return std::unexpected(Status::kInvalid);
  }
  return o;
}

void write_history(std::ostream& out, const History& history) {
  for (const Operation& o : history) out << to_json_line(o) << '\n';
}

Result<History> read_history(std::istream& in, std::string* why) {
  History history;
  std::string line;
  for (size_t number = 1; std::getline(in, line); ++number) {
    if (line.empty()) continue;
    auto operation = from_json_line(line, why);
    if (!operation) {
      *why = "line " + std::to_string(number) + ": " + *why;
      return std::unexpected(operation.error());
    }
    history.push_back(std::move(*operation));
  }
  return history;
}

std::string describe(const Operation& o) {
  std::string s = "client " + std::to_string(o.client) + " " + name_of(o.opcode) + " " +
                  (printable(o.key) ? o.key : to_hex(o.key));
  const auto shown = [](const std::string& v) {
    return v.size() > 40 ? v.substr(0, 40) + "..(" + std::to_string(v.size()) + " bytes)" : v;
  };
  if (!o.value.empty()) s += " value=" + shown(printable(o.value) ? o.value : to_hex(o.value));
  if (o.opcode == wire::Opcode::kCas) s += " if version " + std::to_string(o.expected_version);
  if (o.delta != 0) s += " delta=" + std::to_string(o.delta);
  if (o.create) s += " else " + std::to_string(o.initial);
  if (o.ttl_ms != 0) s += " ttl_ms=" + std::to_string(o.ttl_ms);
  s += " [" + std::to_string(o.invoke_ns) + "..";
  if (!o.answered()) return s + "] no reply";
  s += std::to_string(o.return_ns) + " ns] " + name_of(o.status);
  if (!o.result.empty()) s += " result=" + shown(printable(o.result) ? o.result : to_hex(o.result));
  if (o.version != 0) s += " version " + std::to_string(o.version);
  return s;
}

}  // namespace dinomo::sim
